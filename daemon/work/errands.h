/* A few threads for work that takes long and is neither a step of a worker nor fit for a network thread: decoding large
 * pictures, reading large bodies.
 *
 * Each errand has a weight, in pixels or what takes as long as one. A thread does at most JF_ERRAND_RATE of them a
 * second, and rests when it was quicker, so that a flood of large pictures leaves the processor to the workers. Small
 * errands go before large ones that came a little earlier; nothing waits for ever behind later ones. */
#ifndef JF_DAEMON_WORK_ERRANDS_H
#define JF_DAEMON_WORK_ERRANDS_H

#include <stdbool.h>

#include "core/base/error.h"

#define JF_ERRAND_RATE 32000000L /* of one thread, a second */

struct jf_errands;

/* capacity: weight that may wait at a time. NULL on failure. */
struct jf_errands *jf_errands_create(int threads, long capacity, struct jf_error *err);

/* run(context) is called once, on one of the threads. False: no room, and *retry_after_s says when there will be (1 to
 * 60). An errand always fits when nothing waits. Any thread. */
bool jf_errands_submit(
    struct jf_errands *errands, long weight, void (*run)(void *context), void *context, int *retry_after_s);

/* By an errand that has many parts, between two of them: it moves. Of no effect on other threads. */
void jf_errands_beat(struct jf_errands *errands);

/* Whether every errand that runs began, or beat, within the last stall_ms, and every thread without one has woken when
 * it was asked to. Asks anew now and then; one caller. */
bool jf_errands_alive(struct jf_errands *errands, int stall_ms);

void jf_errands_destroy(struct jf_errands *errands); /* runs first what waits; NULL allowed */

#endif
