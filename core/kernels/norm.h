/* SiLU, norms and softmax; part of body.h. Lane-wise work gives the same bytes at every vector length;
 * sums along a row go through 16 logical lanes and one tree. Defines JF_KERNELS_NORM, this file's initialisers. */
#ifndef JF_CORE_KERNELS_NORM_H
#define JF_CORE_KERNELS_NORM_H

#include <math.h>

/* Up to VL floats; missing lanes read as 0 and are not written. */
SIMD_INLINE vf load_n(const float *p, int n) {
	return n >= VL ? vf_load(p) : vf_load_part(p, n);
}

SIMD_INLINE void store_n(float *p, vf v, int n) {
	if (n >= VL)
		vf_store(p, v);
	else
		vf_store_part(p, v, n);
}

SIMD_INLINE vf silu1(vf x) {
	vf d;

	vf_logistic_divisors(&d, &x, 1);
	return vf_div(x, d);
}

#define SILU_GRADS 4 /* at a time: one alone is a chain that a processor waits for */

/* x = silu'(x) = s (1 + x (1 - s)), s = sigmoid(x) */
SIMD_INLINE void silu_grad_each(vf x[], const int n) {
	vf s[SILU_GRADS];

	vf_logistic_divisors(s, x, n);
#pragma GCC unroll 8
	for (int i = 0; i < n; i++)
		s[i] = vf_div(vf_set1(1.0f), s[i]);
#pragma GCC unroll 8
	for (int i = 0; i < n; i++)
		x[i] = vf_mul(s[i], vf_fma(x[i], vf_sub(vf_set1(1.0f), s[i]), vf_set1(1.0f)));
}

static void silu(float *y, const float *x, size_t n) {
	size_t i = 0;

	for (; i + VL <= n; i += VL)
		vf_store(y + i, silu1(vf_load(x + i)));
	if (i < n)
		store_n(y + i, silu1(load_n(x + i, (int)(n - i))), (int)(n - i));
}

static void silu_grad(float *dx, const float *x, const float *dy, size_t n, bool accumulate) {
	for (size_t i = 0; i < n; i += SILU_GRADS * VL) {
		vf g[SILU_GRADS];
		int lanes[SILU_GRADS];

		for (size_t q = 0; q < SILU_GRADS; q++) {
			const size_t at = i + q * VL;

			lanes[q] = at >= n ? 0 : n - at < VL ? (int)(n - at) : VL;
			g[q] = lanes[q] > 0 ? load_n(x + at, lanes[q]) : vf_zero();
		}
		silu_grad_each(g, SILU_GRADS);
		for (size_t q = 0; q < SILU_GRADS && lanes[q] > 0; q++) {
			const size_t at = i + q * VL;

			g[q] = vf_mul(load_n(dy + at, lanes[q]), g[q]);
			if (accumulate)
				g[q] = vf_add(g[q], load_n(dx + at, lanes[q]));
			store_n(dx + at, g[q], lanes[q]);
		}
	}
}

/* Sum over a row of x - shift, or of its square. */
static float row_sum(const float *x, int n, float shift, bool square) {
	struct v16 acc = v16_zero();

	for (int i = 0; i < n; i += 16) {
		int lanes = n - i < 16 ? n - i : 16;
		struct v16 d = lanes == 16 ? v16_load(x + i) : v16_load_part(x + i, lanes);

		for (int v = 0; v < NVL; v++) {
			vf e = vf_sub(d.v[v], vf_set1(shift));
			e = square ? vf_mul(e, e) : e;
			/* Lanes beyond the row must add 0, not -shift. */
			if (lanes < 16) {
				float t[VL];
				vf_store(t, e);
				e = vf_load_part(t, v16_lanes(lanes, v));
			}
			acc.v[v] = vf_add(acc.v[v], e);
		}
	}
	return reduce16(acc);
}

static float row_max(const float *x, int n) {
	struct v16 top = v16_set1(x[0]);
	int i = 0;
	float most;

	for (; i + 16 <= n; i += 16)
		top = v16_max(top, v16_load(x + i));
	most = reduce16_max(top);
	for (; i < n; i++)
		most = x[i] > most ? x[i] : most;
	return most;
}

#define NORM_EPSILON 1e-5f
#define NORM_MAX_CHANNELS 2048

#define BAND_ROWS 4 /* as many as a Winograd tile has */

/* Adds x - shift and its square, of one block of channels, over some pixels; four partial sums each by pixel modulo 4.
 */
SIMD_INLINE void channel_sums(
    vf *sum, vf *square, const float *x, vf shift, int pixels, size_t c, int lanes, const bool full) {
	vf s[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()}, q[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
	int p = 0;

	for (; p + 4 <= pixels; p += 4, x += 4 * c)
#pragma GCC unroll 4
		for (size_t i = 0; i < 4; i++) {
			const vf d = vf_sub(full ? vf_load(x + i * c) : vf_load_part(x + i * c, lanes), shift);

			s[i] = vf_add(s[i], d);
			q[i] = vf_fma(d, d, q[i]);
		}
#pragma GCC unroll 4
	for (int i = 0; i < 3; i++, x += c)
		if (p + i < pixels) {
			const vf d = vf_sub(full ? vf_load(x) : vf_load_part(x, lanes), shift);

			s[i] = vf_add(s[i], d);
			q[i] = vf_fma(d, d, q[i]);
		}
	*sum = vf_add(*sum, vf_add(vf_add(s[0], s[1]), vf_add(s[2], s[3])));
	*square = vf_add(*square, vf_add(vf_add(q[0], q[1]), vf_add(q[2], q[3])));
}

/* One block of channels of a band. */
SIMD_INLINE void channel_block(
    float *stats, const float *x, const bool first, int pixels, size_t c, int lanes, const bool full) {
	vf shift = vf_zero(), sum = vf_zero(), square = vf_zero();

	if (first) {
		channel_sums(&sum, &square, x, shift, pixels, c, lanes, full);
		shift = vf_mul(sum, vf_set1(1.0f / (float)pixels));
		sum = square = vf_zero();
		store_n(stats, shift, lanes);
	} else {
		shift = load_n(stats, lanes);
		sum = load_n(stats + c, lanes);
		square = load_n(stats + 2 * c, lanes);
	}
	channel_sums(&sum, &square, x, shift, pixels, c, lanes, full);
	store_n(stats + c, sum, lanes);
	store_n(stats + 2 * c, square, lanes);
}

/* Takes the band of rows from `row` on, at most BAND_ROWS of h, into the statistics [3][c] of an image's channels: a
 * shift, the sum of the differences from it and that of their squares. Bands come from top to bottom. The shift is the
 * first band's mean: however far from zero the values lie, and however far the others from the first band, a variance
 * loses no more digits than there are bands. */
static void channel_statistics(float *stats, const float *x, int row, int h, int w, int c) {
	const int pixels = (h - row < BAND_ROWS ? h - row : BAND_ROWS) * w;

	x += (size_t)row * (size_t)w * (size_t)c;
	for (int c0 = 0; c0 < c; c0 += VL, x += VL, stats += VL) {
		const int lanes = c - c0 < VL ? c - c0 : VL;

		if (lanes == VL)
			channel_block(stats, x, row == 0, pixels, (size_t)c, VL, true);
		else
			channel_block(stats, x, row == 0, pixels, (size_t)c, lanes, false);
	}
}

/* Of all channels of a group, each over as many pixels: stats[2][groups], as jf_group_norm says. What is summed is
 * how far the channels' means are from the first one's shift, so that no digits are lost here either. */
static void group_statistics(float *stats, const float *channels, int pixels, int c, int groups) {
	const int size = c / groups;
	const float n = (float)pixels, share = 1.0f / n;
	float delta[NORM_MAX_CHANNELS];

	for (int g = 0; g < groups; g++, channels += size) {
		float mean = 0.0f, squares = 0.0f;

		for (int i = 0; i < size; i++) {
			delta[i] = channels[i] - channels[0] + channels[c + i] * share;
			mean += delta[i];
		}
		mean /= (float)size;
		for (int i = 0; i < size; i++) {
			const float sum = channels[c + i], within = channels[2 * c + i] - sum * (sum * share);
			const float between = delta[i] - mean;

			squares += (within > 0.0f ? within : 0.0f) + n * between * between;
		}
		stats[g] = channels[0] + mean;
		stats[groups + g] = 1.0f / sqrtf(squares / (n * (float)size) + NORM_EPSILON);
	}
}

/* y = a x + b per channel, then SiLU, over `pixels` consecutive pixels. */
SIMD_INLINE void affine_run(float *y, const float *x, const float *a, const float *b, int pixels, int c, bool act) {
	for (int c0 = 0; c0 < c; c0 += VL) {
		int lanes = c - c0 < VL ? c - c0 : VL;
		vf va = load_n(a + c0, lanes), vb = load_n(b + c0, lanes);

		for (int p = 0; p < pixels; p++) {
			vf u = vf_fma(load_n(x + (size_t)p * (size_t)c + c0, lanes), va, vb);
			store_n(y + (size_t)p * (size_t)c + c0, act ? silu1(u) : u, lanes);
		}
	}
}

static void group_coefficients(
    float *a, float *b, const float *stats, const float *scale, const float *bias, int c, int groups) {
	for (int i = 0; i < c; i++) {
		int g = i / (c / groups);
		a[i] = scale[i] * stats[groups + g];
		b[i] = __builtin_fmaf(-stats[g], a[i], bias[i]);
	}
}

/* What turns x into y, per channel. */
struct group_coefficients {
	float a[NORM_MAX_CHANNELS], b[NORM_MAX_CHANNELS];
};

/* The norm of another of the images that lie one behind the other. */
static struct jf_group_norm group_norm_image(const struct jf_group_norm *first, size_t image) {
	struct jf_group_norm n = *first;
	const size_t c = (size_t)n.c;

	n.x += image * (size_t)(n.h * n.w) * c;
	n.y += image * (size_t)((n.h + 2) * (n.w + 2)) * c;
	n.stats += image * 2 * (size_t)n.groups;
	if (n.channels != NULL)
		n.channels += image * 3 * c;
	return n;
}

static void group_norm_begin(struct group_coefficients *k, const struct jf_group_norm *n) {
	float own[3 * NORM_MAX_CHANNELS];
	const float *channels = n->channels;

	if (channels == NULL) {
		for (int row = 0; row < n->h; row += BAND_ROWS)
			channel_statistics(own, n->x, row, n->h, n->w, n->c);
		channels = own;
	}
	group_statistics(n->stats, channels, n->h * n->w, n->c, n->groups);
	group_coefficients(k->a, k->b, n->stats, n->scale, n->bias, n->c, n->groups);
}

/* Rows `from` to `to` - 1 of the padded y, which has h + 2. */
static void group_norm_rows(const struct group_coefficients *k, const struct jf_group_norm *n, int from, int to) {
	const size_t c = (size_t)n->c, row = (size_t)n->w * c, wide = row + 2 * c;

	for (int i = from; i < to; i++) {
		float *out = n->y + (size_t)i * wide;

		if (i == 0 || i == n->h + 1) {
			memset(out, 0, wide * sizeof(float));
			continue;
		}
		memset(out, 0, c * sizeof(float));
		affine_run(out + c, n->x + (size_t)(i - 1) * row, k->a, k->b, n->w, n->c, n->silu);
		memset(out + c + row, 0, c * sizeof(float));
	}
}

static void group_norm(const struct jf_group_norm *n) {
	struct group_coefficients k;

	group_norm_begin(&k, n);
	if (n->padded)
		group_norm_rows(&k, n, 0, n->h + 2);
	else
		affine_run(n->y, n->x, k.a, k.b, n->h * n->w, n->c, n->silu);
}

/* Sums of one channel block over the pixels. */
struct group_grad_lanes {
	vf a, b, mean, sum1, sum2;
	int lanes;
};

/* `count` consecutive pixels, the first of them at x, dy, du. */
SIMD_INLINE void group_grad_pixels(struct group_grad_lanes *l, float *du, const float *x, const float *dy, size_t c,
    const int count, const bool silu) {
	vf vx[SILU_GRADS], g[SILU_GRADS];

#pragma GCC unroll 8
	for (int q = 0; q < count; q++) {
		vx[q] = load_n(x + (size_t)q * c, l->lanes);
		g[q] = vf_fma(vx[q], l->a, l->b);
	}
	if (silu)
		silu_grad_each(g, count);
#pragma GCC unroll 8
	for (int q = 0; q < count; q++) {
		const vf y = load_n(dy + (size_t)q * c, l->lanes);

		g[q] = silu ? vf_mul(y, g[q]) : y;
		store_n(du + (size_t)q * c, g[q], l->lanes);
		l->sum1 = vf_add(l->sum1, g[q]);
		l->sum2 = vf_fma(g[q], vf_sub(vx[q], l->mean), l->sum2);
	}
}

/* First pass: du = dy silu'(a x + b) into `du`; s1 = sum du, s2 = sum du (x - mean), per channel. */
SIMD_INLINE void group_grad_sums(const struct jf_group_norm_grad *n, float *du, float *s1, float *s2, const float *a,
    const float *b, const float *mean, const bool silu) {
	const int pixels = n->h * n->w, c = n->c;

	for (int c0 = 0; c0 < c; c0 += VL) {
		const int lanes = c - c0 < VL ? c - c0 : VL;
		struct group_grad_lanes l = {load_n(a + c0, lanes), load_n(b + c0, lanes), load_n(mean + c0, lanes),
		    vf_zero(), vf_zero(), lanes};
		const float *x = n->x + c0, *dy = n->dy + c0;
		float *to = du + c0;
		int p = 0;

		for (; p + SILU_GRADS <= pixels; p += SILU_GRADS) {
			const size_t at = (size_t)p * (size_t)c;

			group_grad_pixels(&l, to + at, x + at, dy + at, (size_t)c, SILU_GRADS, silu);
		}
		for (; p < pixels; p++) {
			const size_t at = (size_t)p * (size_t)c;

			group_grad_pixels(&l, to + at, x + at, dy + at, (size_t)c, 1, silu);
		}
		store_n(s1 + c0, l.sum1, lanes);
		store_n(s2 + c0, l.sum2, lanes);
	}
}

/* Second pass: dx (+)= ka du + kb x + kc per channel. */
static void group_grad_apply(
    const struct jf_group_norm_grad *n, const float *du, const float *ka, const float *kb, const float *kc) {
	float *dx = n->dx;
	int pixels = n->h * n->w, c = n->c;

	for (int c0 = 0; c0 < c; c0 += VL) {
		int lanes = c - c0 < VL ? c - c0 : VL;
		vf va = load_n(ka + c0, lanes), vb = load_n(kb + c0, lanes), vc = load_n(kc + c0, lanes);

		for (int p = 0; p < pixels; p++) {
			size_t at = (size_t)p * (size_t)c + (size_t)c0;
			vf g = vf_fma(load_n(du + at, lanes), va, vf_fma(load_n(n->x + at, lanes), vb, vc));

			if (n->accumulate)
				g = vf_add(g, load_n(dx + at, lanes));
			store_n(dx + at, g, lanes);
		}
	}
}

/* With xhat = (x - mean) r, u = scale xhat + bias, du = dy silu'(u) and N values a group:
 * dx = r (scale du - mean_N(scale du) - xhat mean_N(scale du xhat)), written as ka du + kb x + kc. */
static void group_norm_grad(const struct jf_group_norm_grad *n) {
	int h = n->h, w = n->w, c = n->c, groups = n->groups;
	/* In place where dx is not added to: one array less to carry through the caches. */
	float *du = n->accumulate ? n->scratch : n->dx;
	float *a = n->scratch + (size_t)(h * w) * (size_t)c, *b = a + c, *mean = b + c, *s1 = mean + c;
	float *s2 = s1 + c, *ka = s2 + c, *kb = ka + c, *kc = kb + c;
	int size = c / groups;
	float count = (float)(h * w * size);

	group_coefficients(a, b, n->stats, n->scale, n->bias, c, groups);
	for (int i = 0; i < c; i++)
		mean[i] = n->stats[i / size];
	if (n->silu)
		group_grad_sums(n, du, s1, s2, a, b, mean, true);
	else
		group_grad_sums(n, du, s1, s2, a, b, mean, false);
	for (int g = 0; g < groups; g++) {
		float r = n->stats[groups + g], g1 = 0.0f, g2 = 0.0f;

		for (int i = g * size; i < (g + 1) * size; i++) {
			n->dbias[i] += s1[i];
			n->dscale[i] += s2[i] * r;
			g1 += n->scale[i] * s1[i];
			g2 += n->scale[i] * s2[i] * r;
		}
		for (int i = g * size; i < (g + 1) * size; i++) {
			ka[i] = r * n->scale[i];
			kb[i] = -r * r * (g2 / count);
			kc[i] = -r * (g1 / count) - kb[i] * n->stats[g];
		}
	}
	group_grad_apply(n, du, ka, kb, kc);
}

/* p = exp(x - max x) over n values; returns the sum over 16 lanes. */
SIMD_INLINE float exp_row(float *p, const float *x, int n) {
	float top = row_max(x, n);

	for (int i = 0; i < n; i += VL) {
		int lanes = n - i < VL ? n - i : VL;
		vf e = vf_sub(vf_set1(top), load_n(x + i, lanes));

		vf_exp_minus_each(&e, 1);
		store_n(p + i, e, lanes);
	}
	return row_sum(p, n, 0.0f, false);
}

static void softmax(float *y, const float *x, int rows, int n) {
	for (int r = 0; r < rows; r++, x += n, y += n) {
		float sum = exp_row(y, x, n);

		for (int i = 0; i < n; i++)
			y[i] /= sum;
	}
}

#define JF_KERNELS_NORM                                                                                     \
	.silu = silu, .silu_grad = silu_grad, .group_norm = group_norm, .group_norm_grad = group_norm_grad, \
	.softmax = softmax

#endif
