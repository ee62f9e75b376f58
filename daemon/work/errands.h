/* A few threads for work that takes long and is neither a step of a worker nor fit for a network thread: decoding large
 * pictures, reading large bodies.
 *
 * Each errand has a weight, in pixels or what takes as long as one. A thread does at most JF_ERRAND_RATE of them a
 * second, and rests when it was quicker, so that a flood of large pictures leaves the processor to the workers. Small
 * errands go before large ones that came a little earlier; nothing waits for ever behind later ones. A client's errands
 * queue behind each other, so that one client who sends many does not keep the others from their turn. What takes
 * long is to be done in pieces, each an errand of its own, between which the others have theirs.
 *
 * As much may wait as is done by its deadline. */
#ifndef JF_DAEMON_WORK_ERRANDS_H
#define JF_DAEMON_WORK_ERRANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"

#define JF_ERRAND_RATE 32000000L /* of one thread, a second */

struct jf_errands;

struct jf_errand {
	void (*run)(void *context); /* called once, on one of the threads */
	void *context;
	long weight;         /* of this piece */
	long rest;           /* of the pieces that will follow it */
	const char *client;  /* whose it is; read by jf_errands_submit only */
	int64_t deadline_ns; /* when all pieces are to be done (core/base/clock.h) */
	bool goes_on;        /* a piece that follows another: it was let in with that one */
};

/* NULL on failure. */
struct jf_errands *jf_errands_create(int threads, struct jf_error *err);

/* False: no room, as what goes before it takes too long for its deadline, and *retry_after_s says when there will be (1
 * to 60). An errand always fits when nothing waits. Any thread. */
bool jf_errands_submit(struct jf_errands *errands, const struct jf_errand *errand, int *retry_after_s);

/* By an errand that turns out to be heavier than it said: what it weighs altogether. Of no effect on other threads. */
void jf_errands_weigh(struct jf_errands *errands, long weight);

/* By an errand that has many parts, between two of them: it moves. Of no effect on other threads. */
void jf_errands_beat(struct jf_errands *errands);

/* Whether every errand that runs began, or beat, within the last stall_ms, and every thread without one has woken when
 * it was asked to. Asks anew now and then; one caller. */
bool jf_errands_alive(struct jf_errands *errands, int stall_ms);

void jf_errands_destroy(struct jf_errands *errands); /* runs first what waits; NULL allowed */

#endif
