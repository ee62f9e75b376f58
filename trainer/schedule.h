/* The learning rate over a run: linear warm-up, then half a cosine down to zero. */
#ifndef JF_TRAINER_SCHEDULE_H
#define JF_TRAINER_SCHEDULE_H

#include <stdint.h>

struct jf_schedule {
	uint64_t start,
	    end;         /* steps; an extended run has a schedule of its own that starts where the first one was left */
	uint64_t warmup; /* steps */
	double peak;
};

/* The rate of step `step` (start <= step < end); 0 at `end` and after. */
float jf_schedule_rate(const struct jf_schedule *schedule, uint64_t step);

#endif
