/* The 3x3 convolutions; part of body.h.
 *
 * In a zero-bordered channels-last image the three pixels under one kernel row are 3 * cin consecutive floats, so a 3x3
 * convolution is the product of gemm.h with three runs. */
#ifndef JF_CORE_KERNELS_CONV_H
#define JF_CORE_KERNELS_CONV_H

#include "core/kernels/gemm.h"
#include "core/kernels/kernels.h"
#include "core/kernels/norm.h"
#include "core/kernels/simd.h"

static void conv3x3(const struct jf_conv *c) {
	size_t line = (size_t)(c->stride * c->w + 2) * (size_t)c->cin;
	const struct product p = {
	    .x = c->x,
	    .m = c->h * c->w,
	    .width = c->w,
	    .line_stride = (size_t)c->stride * line,
	    .step = (size_t)(c->stride * c->cin),
	    .segments = 3,
	    .run = 3 * c->cin,
	    .segment_stride = line,
	    .w = c->weight,
	    .bias = c->bias,
	    .residual = c->residual,
	    .y = c->y,
	    .n = c->cout,
	    .y_stride = (size_t)c->cout,
	};

	if (p.m > 0 && c->channels == NULL)
		product_run(&p);
	for (int row = 0; row < c->h && c->channels != NULL; row += BAND_ROWS) {
		const int rows = c->h - row < BAND_ROWS ? c->h - row : BAND_ROWS;
		const size_t at = (size_t)(row * c->w) * (size_t)c->cout;
		struct product band = p;

		band.m = rows * c->w;
		band.x += (size_t)row * p.line_stride;
		band.y += at;
		if (p.residual != NULL)
			band.residual += at;
		product_run(&band);
		channel_statistics(c->channels, c->y, row, c->h, c->w, c->cout);
	}
}

/* --- few outputs: lanes run along the inputs --- */

#define NARROW_PIXELS 4
#define NARROW_CHUNK 384 /* inputs of a kernel row whose weights are transposed at a time; a multiple of 16 */

struct narrow {
	float w[JF_NARROW][3][NARROW_CHUNK]; /* weight transposed, filled up with zeros */
	struct v16 acc[JF_NARROW][NARROW_PIXELS];
};

/* Transposes the weights of inputs k0 ... of each kernel row; returns how many inputs that are, at most
 * NARROW_CHUNK. */
static int narrow_load(struct narrow *n, const float *weight, int k0, int run, int cout) {
	int count = run - k0 < NARROW_CHUNK ? run - k0 : NARROW_CHUNK;

	for (int o = 0; o < cout; o++)
		for (int kh = 0; kh < 3; kh++)
			for (int k = 0; k < JF_PAD16(count); k++)
				n->w[o][kh][k] = k < count ? weight[(kh * run + k0 + k) * cout + o] : 0.0f;
	return count;
}

/* Adds `count` inputs of each of three kernel rows, `line` apart, to output o of `pixels` pixels, `cin` apart. */
SIMD_INLINE void narrow_add(
    struct narrow *n, const float *x, size_t line, int count, int cin, int o, int first, const int pixels) {
	struct v16 acc[NARROW_PIXELS];

#pragma GCC unroll 4
	for (int j = 0; j < pixels; j++)
		acc[j] = n->acc[o][first + j];
	for (int kh = 0; kh < 3; kh++, x += line) {
		int k = 0;

		for (; k + 16 <= count; k += 16) {
			struct v16 w = v16_load(n->w[o][kh] + k);
#pragma GCC unroll 4
			for (int j = 0; j < pixels; j++)
				acc[j] = v16_fma(v16_load(x + (first + j) * cin + k), w, acc[j]);
		}
		if (k < count) {
			struct v16 w = v16_load(n->w[o][kh] + k);
#pragma GCC unroll 4
			for (int j = 0; j < pixels; j++)
				acc[j] = v16_fma(v16_load_part(x + (first + j) * cin + k, count - k), w, acc[j]);
		}
	}
#pragma GCC unroll 4
	for (int j = 0; j < pixels; j++)
		n->acc[o][first + j] = acc[j];
}

/* All outputs of one tile of pixels. */
static void narrow_tile(struct narrow *n, const float *x, size_t line, int count, int cin, int cout, int pixels) {
	for (int o = 0; o < cout; o++)
		if (pixels == NARROW_PIXELS)
			narrow_add(n, x, line, count, cin, o, 0, NARROW_PIXELS);
		else
			for (int p = 0; p < pixels; p++)
				narrow_add(n, x, line, count, cin, o, p, 1);
}

/* Each output: 16 lanes over the inputs of a kernel row, rows top to bottom, folded by reduce16, plus the bias. */
static void conv3x3_narrow(const struct jf_conv *c) {
	const int h = c->h, w = c->w, cin = c->cin, cout = c->cout;
	const float *bias = c->bias;
	float *y = c->y;
	const int run = 3 * cin;
	const size_t line = (size_t)(w + 2) * (size_t)cin;
	struct narrow n;
	int loaded = -1;
	int count = 0;

	for (int i = 0; i < h; i++) {
		for (int j = 0; j < w; j += NARROW_PIXELS) {
			const int pixels = w - j < NARROW_PIXELS ? w - j : NARROW_PIXELS;
			const float *x = c->x + (size_t)i * line + (size_t)(j * cin);

			for (int o = 0; o < cout; o++)
				for (int p = 0; p < NARROW_PIXELS; p++)
					n.acc[o][p] = v16_zero();
			for (int k0 = 0; k0 < run; k0 += count) {
				if (k0 != loaded)
					count = narrow_load(&n, c->weight, k0, run, cout);
				loaded = k0;
				narrow_tile(&n, x + k0, line, count, cin, cout, pixels);
			}
			for (int p = 0; p < pixels; p++, y += cout)
				for (int o = 0; o < cout; o++)
					y[o] = reduce16(n.acc[o][p]) + (bias != NULL ? bias[o] : 0.0f);
		}
	}
}

#define JF_KERNELS_CONV .conv3x3 = conv3x3, .conv3x3_narrow = conv3x3_narrow

#endif
