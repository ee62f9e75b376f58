#include "core/base/clock.h"

#include <time.h>

int64_t jf_clock_ns(void) {
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t jf_clock_ms(void) {
	return jf_clock_ns() / 1000000;
}

double jf_clock_s(void) {
	return 1e-9 * (double)jf_clock_ns();
}
