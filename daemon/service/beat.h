/* Whether a thread that mostly sleeps still turns its loop: now and then it is woken to show it. */
#ifndef JF_DAEMON_SERVICE_BEAT_H
#define JF_DAEMON_SERVICE_BEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/clock.h"

#define JF_BEATS_A_STALL 4 /* how often it is asked, at most, within the time that it has for an answer */

struct jf_beat {
	atomic_uint asked, answered;
	int64_t asked_ns; /* the asker's own, of whom there is one */
};

/* By the thread, in each turn of its loop. */
static inline void jf_beat_answer(struct jf_beat *beat) {
	atomic_store(&beat->answered, atomic_load(&beat->asked));
}

static inline bool jf_beat_is_answered(struct jf_beat *beat) {
	return atomic_load(&beat->answered) == atomic_load(&beat->asked);
}

/* Asks again when it is time to. True: the thread must be woken now. */
static inline bool jf_beat_ask(struct jf_beat *beat, int stall_ms) {
	int64_t now = jf_clock_ns();
	if (!jf_beat_is_answered(beat) ||
	    (beat->asked_ns && now - beat->asked_ns < stall_ms * INT64_C(1000000) / JF_BEATS_A_STALL))
		return false;
	beat->asked_ns = now;
	atomic_fetch_add(&beat->asked, 1);
	return true;
}

/* Whether nothing was asked that has waited for its answer for longer than stall_ms. */
static inline bool jf_beat_is_alive(struct jf_beat *beat, int stall_ms) {
	return jf_beat_is_answered(beat) || jf_clock_ns() - beat->asked_ns <= stall_ms * INT64_C(1000000);
}

#endif
