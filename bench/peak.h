/* The fused multiply-add peak of one core, for benchmarks that print shares of it. */
#ifndef JF_BENCH_PEAK_H
#define JF_BENCH_PEAK_H

#include <stddef.h>

struct peak {
	const char *name;  /* of the instruction set, as in core/kernels/kernels.h */
	void (*run)(void); /* one round of 12 independent chains of fused multiply-adds, some 10 to 50 us */
	double flop;       /* of one round */
};

/* NULL when the name is unknown or not built. Whether this CPU can run it, jf_kernels_by_name tells. */
const struct peak *peak_by_name(const char *isa);

/* Best operations per second of `rounds` rounds on the calling thread. */
double peak_flop_per_s(const struct peak *peak, int rounds);

#endif
