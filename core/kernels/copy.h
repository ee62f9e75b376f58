/* Rows copied or added up; part of body.h. */
#ifndef JF_CORE_KERNELS_COPY_H
#define JF_CORE_KERNELS_COPY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/kernels/simd.h"

SIMD_INLINE void copy_lanes(float *to, const float *from, int lanes, const bool full, const bool accumulate) {
	const struct v16 x = load16(from, lanes, full);

	store16(to, accumulate ? v16_add(load16(to, lanes, full), x) : x, lanes, full);
}

SIMD_INLINE void copy_run(
    float *to, size_t to_stride, const float *from, size_t from_stride, size_t rows, size_t n, const bool accumulate) {
	for (size_t r = 0; r < rows; r++, to += to_stride, from += from_stride) {
		size_t i = 0;

		for (; i + 16 <= n; i += 16)
			copy_lanes(to + i, from + i, 16, true, accumulate);
		if (i < n)
			copy_lanes(to + i, from + i, (int)(n - i), false, accumulate);
	}
}

static void copy_rows(
    float *to, size_t to_stride, const float *from, size_t from_stride, size_t rows, size_t n, bool accumulate) {
	if (accumulate)
		copy_run(to, to_stride, from, from_stride, rows, n, true);
	else
		copy_run(to, to_stride, from, from_stride, rows, n, false);
}

#define JF_KERNELS_COPY .copy_rows = copy_rows

#endif
