#include "trainer/schedule.h"

#include <math.h>

float jf_schedule_rate(const struct jf_schedule *schedule, uint64_t step) {
	double done, rest;

	if (step >= schedule->end)
		return 0;
	done = step > schedule->start ? (double)(step - schedule->start) : 0;
	if (done < (double)schedule->warmup)
		return (float)(schedule->peak * (done + 1) / (double)schedule->warmup);
	rest = (double)(schedule->end - schedule->start) - (double)schedule->warmup;
	return (float)(schedule->peak * 0.5 * (1 + cos(M_PI * (done - (double)schedule->warmup) / rest)));
}
