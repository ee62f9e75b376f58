/* Sums of products of floats in double; part of body.h. The product of two floats is exact in double, so fused or not
 * a sum has the same bytes, and every vector length gives them. */
#ifndef JF_CORE_KERNELS_WHITEN_H
#define JF_CORE_KERNELS_WHITEN_H

#include "core/kernels/kernels.h"
#include "core/kernels/simd.h"

/* `vd` is VD double lanes; struct d16 is 16 logical lanes of them. */
#if VL == 16
#define VD 8
typedef __m512d vd;
#define vd_load _mm512_loadu_pd
#define vd_store _mm512_storeu_pd
#define vd_set1 _mm512_set1_pd
#define vd_fma _mm512_fmadd_pd
#define vd_widen(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#elif VL == 8
#define VD 4
typedef __m256d vd;
#define vd_load _mm256_loadu_pd
#define vd_store _mm256_storeu_pd
#define vd_set1 _mm256_set1_pd
#define vd_fma _mm256_fmadd_pd
#define vd_widen(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#elif VL == 4
#define VD 2
typedef float64x2_t vd;
#define vd_load vld1q_f64
#define vd_store vst1q_f64
#define vd_set1 vdupq_n_f64
#define vd_fma(a, b, c) vfmaq_f64(c, a, b)
#define vd_widen(p) vcvt_f64_f32(vld1_f32(p))
#else
#define VD 1
typedef double vd;
#define vd_load(p) (*(p))
#define vd_store(p, v) (*(p) = (v))
#define vd_set1(x) (x)
#define vd_fma(a, b, c) ((a) * (b) + (c))
#define vd_widen(p) ((double)*(p))
#endif

#define WHITEN_AHEAD 12 /* rows */

/* n <= JF_WHITEN_ROWS sets of values at a time, so that a row is widened once for all of them. */
SIMD_INLINE void whiten_run(
    double *sums, const double *values, const float *rows, size_t stride, const int n, int m, int lanes) {
	vd acc[JF_WHITEN_ROWS][JF_LANES / VD];

#pragma GCC unroll 16
	for (int r = 0; r < n; r++)
#pragma GCC unroll 16
		for (int v = 0; v < JF_LANES / VD; v++)
			acc[r][v] = vd_load(sums + r * JF_LANES + v * VD);
	for (int i = 0; i < m; i++, rows += stride) {
		float part[JF_LANES];
		const float *row = rows;

		__builtin_prefetch(rows + WHITEN_AHEAD * stride); /* the rows lie too far apart for the processor */
		if (lanes < JF_LANES) {
			v16_store(part, v16_load_part(rows, lanes));
			row = part;
		}
#pragma GCC unroll 16
		for (int v = 0; v < JF_LANES / VD; v++) {
			const vd wide = vd_widen(row + v * VD);
#pragma GCC unroll 16
			for (int r = 0; r < n; r++)
				acc[r][v] = vd_fma(vd_set1(values[r * m + i]), wide, acc[r][v]);
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < n; r++)
#pragma GCC unroll 16
		for (int v = 0; v < JF_LANES / VD; v++)
			vd_store(sums + r * JF_LANES + v * VD, acc[r][v]);
}

static void whiten(double *sums, const double *values, const float *rows, size_t stride, int n, int m, int lanes) {
	if (n == JF_WHITEN_ROWS)
		whiten_run(sums, values, rows, stride, JF_WHITEN_ROWS, m, lanes);
	else
		for (int r = 0; r < n; r++)
			whiten_run(sums + r * JF_LANES, values + r * m, rows, stride, 1, m, lanes);
}

#define JF_KERNELS_WHITEN .whiten = whiten

#endif
