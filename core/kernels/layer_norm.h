/* LayerNorm; part of body.h, after norm.h. Sums along a row go through 16 logical lanes and one tree. Defines
 * JF_KERNELS_LAYER_NORM, this file's initialisers. */
#ifndef JF_CORE_KERNELS_LAYER_NORM_H
#define JF_CORE_KERNELS_LAYER_NORM_H

#include "core/kernels/norm.h"

#define LAYER_NORM_ROWS 4 /* at a time: one alone is a chain that a processor waits for */

/* Means and 1 / deviations of some rows of whole blocks of 16 channels: stats[rows][2]. */
SIMD_INLINE void layer_norm_statistics(float *stats, const float *x, int c, const int rows) {
	const float share = 1.0f / (float)c;
	struct v16 acc[LAYER_NORM_ROWS], mean[LAYER_NORM_ROWS];

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		acc[r] = v16_zero();
	for (int i = 0; i < c; i += 16)
#pragma GCC unroll 4
		for (int r = 0; r < rows; r++)
			acc[r] = v16_add(acc[r], v16_load(x + r * c + i));
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++) {
		stats[2 * r] = reduce16(acc[r]) * share;
		mean[r] = v16_set1(stats[2 * r]);
		acc[r] = v16_zero();
	}
	for (int i = 0; i < c; i += 16)
#pragma GCC unroll 4
		for (int r = 0; r < rows; r++) {
			const struct v16 d = v16_sub(v16_load(x + r * c + i), mean[r]);

			acc[r] = v16_add(acc[r], v16_mul(d, d));
		}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		stats[2 * r + 1] = 1.0f / sqrtf(reduce16(acc[r]) * share + NORM_EPSILON);
}

/* The same of a row that ends within a block. */
static void layer_norm_statistics_part(float *stats, const float *x, int c) {
	const float share = 1.0f / (float)c;

	stats[0] = row_sum(x, c, 0.0f, false) * share;
	stats[1] = 1.0f / sqrtf(row_sum(x, c, stats[0], true) * share + NORM_EPSILON);
}

static void layer_norm_apply(
    float *y, const float *stats, const float *x, const float *scale, const float *bias, int c) {
	const vf mean = vf_set1(stats[0]), rstd = vf_set1(stats[1]);

	for (int i = 0; i < c; i += VL) {
		const int lanes = c - i < VL ? c - i : VL;
		const vf hat = vf_mul(vf_sub(load_n(x + i, lanes), mean), rstd);

		store_n(y + i, vf_fma(hat, load_n(scale + i, lanes), load_n(bias + i, lanes)), lanes);
	}
}

static void layer_norm(float *y, float *stats, const float *x, const float *scale, const float *bias, int rows, int c) {
	int count;

	for (int r = 0; r < rows; r += count, stats += 2 * count) {
		count = c % 16 != 0 || rows - r < LAYER_NORM_ROWS ? 1 : LAYER_NORM_ROWS;
		if (c % 16 != 0)
			layer_norm_statistics_part(stats, x, c);
		else if (count == 1)
			layer_norm_statistics(stats, x, c, 1);
		else
			layer_norm_statistics(stats, x, c, LAYER_NORM_ROWS);
		for (int i = 0; i < count; i++, x += c, y += c)
			layer_norm_apply(y, stats + 2 * i, x, scale, bias, c);
	}
}

/* One row's gradient; dbias and dscale are added to. Lanes beyond the row have no gradient, so they add nothing. */
SIMD_INLINE void layer_norm_grad_row(const struct jf_layer_norm_grad *n, float *dx, const float *x, const float *dy,
    float mean, float rstd, const bool full) {
	struct v16 sum1 = v16_zero(), sum2 = v16_zero(), mean1, mean2;
	const struct v16 shift = v16_set1(-mean), factor = v16_set1(rstd);
	const int c = n->c;

	for (int i = 0; i < c; i += 16) {
		const int lanes = full || c - i >= 16 ? 16 : c - i;
		struct v16 hat = v16_mul(v16_add(load16(x + i, lanes, full), shift), factor);
		struct v16 y = load16(dy + i, lanes, full), g = v16_mul(y, load16(n->scale + i, lanes, full));

		store16(n->dbias + i, v16_add(load16(n->dbias + i, lanes, full), y), lanes, full);
		store16(n->dscale + i, v16_fma(y, hat, load16(n->dscale + i, lanes, full)), lanes, full);
		sum1 = v16_add(sum1, g);
		sum2 = v16_fma(g, hat, sum2);
	}
	mean1 = v16_set1(-reduce16(sum1) / (float)c);
	mean2 = v16_set1(-reduce16(sum2) / (float)c);
	for (int i = 0; i < c; i += 16) {
		const int lanes = full || c - i >= 16 ? 16 : c - i;
		struct v16 hat = v16_mul(v16_add(load16(x + i, lanes, full), shift), factor);
		struct v16 g = v16_fma(load16(dy + i, lanes, full), load16(n->scale + i, lanes, full), mean1);

		g = v16_mul(factor, v16_fma(hat, mean2, g));
		if (n->accumulate)
			g = v16_add(load16(dx + i, lanes, full), g);
		store16(dx + i, g, lanes, full);
	}
}

static void layer_norm_grad(const struct jf_layer_norm_grad *n) {
	for (int r = 0; r < n->rows; r++) {
		const size_t at = (size_t)r * (size_t)n->c;
		const float mean = n->stats[2 * r], rstd = n->stats[2 * r + 1];

		if (n->c % 16 == 0)
			layer_norm_grad_row(n, n->dx + at, n->x + at, n->dy + at, mean, rstd, true);
		else
			layer_norm_grad_row(n, n->dx + at, n->x + at, n->dy + at, mean, rstd, false);
	}
}

#define JF_KERNELS_LAYER_NORM .layer_norm = layer_norm, .layer_norm_grad = layer_norm_grad

#endif
