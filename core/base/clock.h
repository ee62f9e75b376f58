/* The one clock for durations and deadlines: it only moves forward, whatever happens to the date (CLOCK_MONOTONIC). */
#ifndef JF_CORE_BASE_CLOCK_H
#define JF_CORE_BASE_CLOCK_H

#include <stdint.h>

int64_t jf_clock_ns(void); /* nanoseconds since some moment before the process began */
int64_t jf_clock_ms(void); /* the same in milliseconds */
double jf_clock_s(void);   /* the same in seconds */

#endif
