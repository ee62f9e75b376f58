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

/* Per-channel sums over pixels of x - shift[c] (squared if asked); four partial sums by pixel number modulo 4. */
static void channel_sums(float *sum, const float *x, const float *shift, int pixels, int c, bool square) {
	for (int c0 = 0; c0 < c; c0 += VL) {
		int lanes = c - c0 < VL ? c - c0 : VL;
		vf s = shift ? load_n(shift + c0, lanes) : vf_zero();
		vf acc[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
		int p = 0;

		for (; p + 4 <= pixels; p += 4)
			for (int q = 0; q < 4; q++) {
				vf d = vf_sub(load_n(x + (size_t)(p + q) * (size_t)c + c0, lanes), s);
				acc[q] = square ? vf_fma(d, d, acc[q]) : vf_add(acc[q], d);
			}
		for (int q = 0; p + q < pixels; q++) {
			vf d = vf_sub(load_n(x + (size_t)(p + q) * (size_t)c + c0, lanes), s);
			acc[q] = square ? vf_fma(d, d, acc[q]) : vf_add(acc[q], d);
		}
		store_n(sum + c0, vf_add(vf_add(acc[0], acc[1]), vf_add(acc[2], acc[3])), lanes);
	}
}

static void group_statistics(float *stats, const float *x, int pixels, int c, int groups) {
	float sum[NORM_MAX_CHANNELS], shift[NORM_MAX_CHANNELS];
	int size = c / groups;
	float count = (float)(pixels * size);

	channel_sums(sum, x, NULL, pixels, c, false);
	shift[0] = 0.0f; /* for compilers that cannot tell that there is a group */
	for (int g = 0; g < groups; g++) {
		float total = 0.0f;
		for (int i = 0; i < size; i++)
			total += sum[g * size + i];
		stats[g] = total / count;
		for (int i = 0; i < size; i++)
			shift[g * size + i] = stats[g];
	}
	channel_sums(sum, x, shift, pixels, c, true);
	for (int g = 0; g < groups; g++) {
		float total = 0.0f;
		for (int i = 0; i < size; i++)
			total += sum[g * size + i];
		stats[groups + g] = 1.0f / sqrtf(total / count + NORM_EPSILON);
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

static void group_norm(const struct jf_group_norm *n) {
	const float *x = n->x;
	float *y = n->y;
	int h = n->h, w = n->w, c = n->c;
	float a[NORM_MAX_CHANNELS], b[NORM_MAX_CHANNELS];
	size_t row = (size_t)w * (size_t)c, wide = (size_t)(w + 2) * (size_t)c;

	group_statistics(n->stats, x, h * w, c, n->groups);
	group_coefficients(a, b, n->stats, n->scale, n->bias, c, n->groups);
	if (!n->padded) {
		affine_run(y, x, a, b, h * w, c, n->silu);
		return;
	}
	memset(y, 0, wide * sizeof(float));
	for (int i = 0; i < h; i++) {
		float *out = y + (size_t)(i + 1) * wide;

		memset(out, 0, (size_t)c * sizeof(float));
		affine_run(out + c, x + (size_t)i * row, a, b, w, c, n->silu);
		memset(out + c + row, 0, (size_t)c * sizeof(float));
	}
	memset(y + (size_t)(h + 1) * wide, 0, wide * sizeof(float));
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

static void layer_norm(float *y, float *stats, const float *x, const float *scale, const float *bias, int rows, int c) {
	for (int r = 0; r < rows; r++, x += c, y += c, stats += 2) {
		float mean = row_sum(x, c, 0.0f, false) / (float)c;
		float rstd = 1.0f / sqrtf(row_sum(x, c, mean, true) / (float)c + NORM_EPSILON);

		stats[0] = mean;
		stats[1] = rstd;
		for (int c0 = 0; c0 < c; c0 += VL) {
			int lanes = c - c0 < VL ? c - c0 : VL;
			vf hat = vf_mul(vf_sub(load_n(x + c0, lanes), vf_set1(mean)), vf_set1(rstd));

			store_n(y + c0, vf_fma(hat, load_n(scale + c0, lanes), load_n(bias + c0, lanes)), lanes);
		}
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

/* p = exp(x - max x) over n values, padded lanes included in the loads only; returns the sum over 16 lanes. */
SIMD_INLINE float exp_row(float *p, const float *x, int n) {
	float top = row_max(x, n);

	for (int i = 0; i < n; i += VL) {
		int lanes = n - i < VL ? n - i : VL;
		store_n(p + i, vf_exp(vf_sub(load_n(x + i, lanes), vf_set1(top))), lanes);
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
	.layer_norm = layer_norm, .layer_norm_grad = layer_norm_grad, .softmax = softmax

#endif
