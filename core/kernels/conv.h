/* The 3x3 convolutions; part of body.h.
 *
 * In a zero-bordered channels-last image the three pixels under one kernel row are 3 * cin consecutive floats, so a 3x3
 * convolution is the product of gemm.h with three runs, and its weight gradient is three products of
 * [3 * cin][pixels] by [pixels][cout]. */
#ifndef JF_CORE_KERNELS_CONV_H
#define JF_CORE_KERNELS_CONV_H

#include "core/kernels/gemm.h"
#include "core/kernels/kernels.h"
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

	if (p.m > 0)
		product_run(&p);
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

/* --- weight gradient --- */

/* One tile of dw += x^T dy: some rows of the 3 * cin that a kernel row has, times some vectors of the outputs, over
 * `lines` image rows of w pixels. */
struct grad_tile {
	float *dw;       /* the tile's first element; rows are `cout` apart */
	const float *x;  /* the tile's first input of the first pixel */
	const float *dy; /* the tile's first output of the first pixel */
	size_t line;     /* floats from one image row of x to the next */
	int lines;
	int w;
	int cin;
	int cout;
	int lanes; /* outputs from the tile's first on */
};

SIMD_INLINE void grad_run(const struct grad_tile *t, const int rows, const int vectors, const bool full) {
	vf acc[TILE_ROWS][TILE_VECTORS];
	const float *dy = t->dy;

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++) {
		__builtin_prefetch(t->dw + (size_t)r * (size_t)t->cout, 1);
#pragma GCC unroll 16
		for (int v = 0; v < vectors; v++)
			acc[r][v] = vf_zero();
	}
	for (int i = 0; i < t->lines; i++) {
		const float *x = t->x + (size_t)i * t->line;

		for (int j = 0; j < t->w; j++, x += t->cin, dy += t->cout) {
			vf g[TILE_VECTORS];
#pragma GCC unroll 16
			for (int v = 0; v < vectors; v++)
				g[v] = full ? vf_load(dy + v * VL) : vf_load_part(dy + v * VL, v16_lanes(t->lanes, v));
#pragma GCC unroll 16
			for (int r = 0; r < rows; r++) {
				vf xr = vf_set1(x[r]);
#pragma GCC unroll 16
				for (int v = 0; v < vectors; v++)
					acc[r][v] = vf_fma(xr, g[v], acc[r][v]);
			}
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int v = 0; v < vectors; v++) {
			float *d = t->dw + (size_t)r * (size_t)t->cout + v * VL;
			int lanes = v16_lanes(t->lanes, v);

			if (full)
				vf_store(d, vf_add(acc[r][v], vf_load(d)));
			else
				vf_store_part(d, vf_add(acc[r][v], vf_load_part(d, lanes)), lanes);
		}
}

typedef void grad_fn(const struct grad_tile *t);

/* For each number of rows: all vectors, one vector, part of one vector. */
#define GRAD_FN(rows)                                             \
	static void grad_all_##rows(const struct grad_tile *t) {  \
		grad_run(t, rows, TILE_VECTORS, true);            \
	}                                                         \
	static void grad_one_##rows(const struct grad_tile *t) {  \
		grad_run(t, rows, 1, true);                       \
	}                                                         \
	static void grad_part_##rows(const struct grad_tile *t) { \
		grad_run(t, rows, 1, false);                      \
	}
TILE_EACH(GRAD_FN)
static grad_fn *const grad_all[TILE_ROWS] = {TILE_LIST(grad_all)};
static grad_fn *const grad_one[TILE_ROWS] = {TILE_LIST(grad_one)};
static grad_fn *const grad_part[TILE_ROWS] = {TILE_LIST(grad_part)};

/* One kernel row, dw[3 * cin][cout], over some image rows; t describes the first tile. */
static void grad_kernel_row(const struct grad_tile *first) {
	const int rows = 3 * first->cin;
	const int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
	int vectors = 0;

	for (int o = 0; o < first->cout; o += vectors * VL) {
		const int lanes = first->cout - o;
		grad_fn *const *fns = lanes >= TILE_VECTORS * VL ? grad_all : lanes >= VL ? grad_one : grad_part;

		vectors = fns == grad_all ? TILE_VECTORS : 1;
		for (int i = 0, r = 0; i < tiles; i++) {
			const int count = rows / tiles + (i < rows % tiles ? 1 : 0);
			struct grad_tile t = *first;

			t.x += r;
			t.dy += o;
			t.dw += (size_t)r * (size_t)t.cout + (size_t)o;
			t.lanes = lanes;
			fns[count - 1](&t);
			r += count;
		}
	}
}

static void grad_bias(float *db, const float *dy, int pixels, int cout) {
	for (int o = 0; o < cout; o += 16) {
		const int lanes = cout - o < 16 ? cout - o : 16;
		struct v16 sum = v16_zero();

		for (int p = 0; p < pixels; p++)
			sum = v16_add(sum, v16_load_part(dy + (size_t)p * (size_t)cout + (size_t)o, lanes));
		v16_store_part(db + o, v16_add(sum, v16_load_part(db + o, lanes)), lanes);
	}
}

/* Few outputs: the lanes run along a kernel row's 3 * cin inputs, in groups of `vectors`, all three kernel rows at
 * once. Adds to dw[3][3 * cin][cout], inputs k0 ... of each kernel row. */
SIMD_INLINE void grad_narrow_run(float *dw, const float *x_padded, const float *dy, int h, int w, int cin, int k0,
    const int vectors, const int cout, const bool full) {
	const size_t line = (size_t)(w + 2) * (size_t)cin;
	const int left = 3 * cin - k0;
	vf acc[3][3][JF_NARROW];

#pragma GCC unroll 16
	for (int i = 0; i < 3 * vectors * cout; i++)
		acc[i / (vectors * cout)][i / cout % vectors][i % cout] = vf_zero();
	for (int i = 0; i < h; i++) {
		const float *x = x_padded + (size_t)i * line + k0;

		for (int j = 0; j < w; j++, x += cin, dy += cout) {
#pragma GCC unroll 16
			for (int kv = 0; kv < 3 * vectors; kv++) {
				const int kh = kv / vectors;
				const int v = kv % vectors;
				const float *at = x + (size_t)kh * line + v * VL;
				const vf xv = full ? vf_load(at) : vf_load_part(at, v16_lanes(left, v));
#pragma GCC unroll 16
				for (int o = 0; o < cout; o++)
					acc[kh][v][o] = vf_fma(vf_set1(dy[o]), xv, acc[kh][v][o]);
			}
		}
	}
	for (int i = 0; i < 3 * vectors * cout; i++) {
		const int kh = i / (vectors * cout);
		const int v = i / cout % vectors;
		float *d = dw + (kh * 3 * cin + k0 + v * VL) * cout + i % cout;
		float lanes[VL];

		vf_store(lanes, acc[kh][v][i % cout]);
		for (int l = 0; l < v16_lanes(left, v); l++)
			d[l * cout] += lanes[l];
	}
}

#define GRAD_NARROW(name, vectors, cout)                                                             \
	static void name(float *dw, const float *x_padded, const float *dy, int h, int w, int cin) { \
		int k0 = 0;                                                                          \
                                                                                                     \
		for (; k0 + vectors * VL <= 3 * cin; k0 += vectors * VL)                             \
			grad_narrow_run(dw, x_padded, dy, h, w, cin, k0, vectors, cout, true);       \
		for (; k0 < 3 * cin; k0 += VL)                                                       \
			grad_narrow_run(dw, x_padded, dy, h, w, cin, k0, 1, cout, false);            \
	}
GRAD_NARROW(grad_narrow_1, 3, 1)
GRAD_NARROW(grad_narrow_2, 2, 2)
GRAD_NARROW(grad_narrow_3, 1, 3)
GRAD_NARROW(grad_narrow_4, 1, 4)

static void grad_narrow(float *dw, const float *x_padded, const float *dy, int h, int w, int cin, int cout) {
	static void (*const fns[JF_NARROW])(float *, const float *, const float *, int, int, int) = {
	    grad_narrow_1, grad_narrow_2, grad_narrow_3, grad_narrow_4};

	fns[cout - 1](dw, x_padded, dy, h, w, cin);
}

/* Image rows worked on at a time: as many as the first-level cache holds beside a tile's outputs. */
#define GRAD_BYTES 28672

static void grad_wide(float *dw, const float *x_padded, const float *dy, int h, int w, int cin, int cout) {
	const size_t line = (size_t)(w + 2) * (size_t)cin;
	const size_t line_bytes = (line + (size_t)(w * TILE_VECTORS * VL)) * sizeof(float);
	const int block = line_bytes < GRAD_BYTES ? (int)(GRAD_BYTES / line_bytes) : 1;
	const int blocks = (h + block - 1) / block;

	for (int b = 0, i = 0; b < blocks; b++) {
		const int lines = h / blocks + (b < h % blocks ? 1 : 0);

		for (int kh = 0; kh < 3; kh++) {
			const struct grad_tile t = {
			    .dw = dw + (size_t)(kh * 3 * cin) * (size_t)cout,
			    .x = x_padded + (size_t)(i + kh) * line,
			    .dy = dy + (size_t)(i * w) * (size_t)cout,
			    .line = line,
			    .lines = lines,
			    .w = w,
			    .cin = cin,
			    .cout = cout,
			};

			grad_kernel_row(&t);
		}
		i += lines;
	}
}

static void conv3x3_grad_weight(
    float *dw, float *db, const float *x_padded, const float *dy, int h, int w, int cin, int cout) {
	if (cout <= JF_NARROW)
		grad_narrow(dw, x_padded, dy, h, w, cin, cout);
	else
		grad_wide(dw, x_padded, dy, h, w, cin, cout);
	if (db != NULL)
		grad_bias(db, dy, h * w, cout);
}

#define JF_KERNELS_CONV .conv3x3 = conv3x3, .conv3x3_narrow = conv3x3_narrow, .conv3x3_grad_weight = conv3x3_grad_weight

#endif
