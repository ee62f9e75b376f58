/* What the kernel tests share: instruction sets, noise, and a check with a rigorous rounding bound. Include it after
 * cmocka.h. Buffers have their exact size, so that AddressSanitizer sees any step outside. */
#ifndef JF_TESTS_KERNELS_CHECK_H
#define JF_TESTS_KERNELS_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "tests/unit/isa.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The i-th instruction set's table, NULL when this CPU runs neither it nor its emulation. */
static inline const struct jf_kernels *isa(size_t i) {
	return isa_kernels(isa_names[i]);
}

static inline float *floats(size_t n) {
	float *p = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);

	assert_non_null(p);
	return p;
}

/* n numbers in [-0.5, 0.5); ends exactly at the allocation's end. */
static inline float *noise(size_t n) {
	static uint32_t seed = 1;
	float *p = malloc((n > 0 ? n : 1) * sizeof(float));

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525U + 1013904223U;
		p[i] = (float)(seed >> 8) * 0x1p-24f - 0.5f;
	}
	return p;
}

static inline float *packed(const float *weight, int k, int n) {
	float *p = floats(jf_pack_size(k, n));

	jf_pack(p, weight, k, n);
	return p;
}

/* |value - sum| <= terms * 2^-23 * sum of magnitudes: twice what `terms` roundings can do. */
static inline void check(float value, double sum, double magnitude, int terms, const char *what, const char *where) {
	double bound = (terms + 3) * 0x1p-23 * magnitude;

	if (!(fabs((double)value - sum) <= bound))
		fail_msg("%s, %s: %.9g for %.9g, off by %.3g, allowed %.3g", what, where, (double)value, sum,
		    fabs((double)value - sum), bound);
}

#endif
