/* Gradients of linear layers and 3x3 convolutions; part of body.h, after gemm.h.
 *
 * A weight gradient is x^T dy, summed over rows in order: of a linear layer one product of [k][rows] by [rows][n], of a
 * 3x3 convolution, whose three pixels under one kernel row are 3 * cin consecutive floats of a zero-bordered image,
 * three of [3 * cin][pixels] by [pixels][cout]. */
#ifndef JF_CORE_KERNELS_GRAD_H
#define JF_CORE_KERNELS_GRAD_H

#include "core/kernels/gemm.h"
#include "core/kernels/kernels.h"
#include "core/kernels/simd.h"

/* One tile of dw += x^T dy: some inputs times some vectors of the outputs, over `lines` image rows of w pixels. */
struct grad_tile {
	float *dw;       /* the tile's first element; rows are `cout` apart */
	const float *x;  /* the tile's first input of the first pixel */
	const float *dy; /* the tile's first output of the first pixel */
	size_t line;     /* floats from one image row of x to the next */
	size_t step;     /* from one pixel of x to the next */
	int lines;
	int w;
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

		for (int j = 0; j < t->w; j++, x += t->step, dy += t->cout) {
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

/* dw[rows][cout] over some image rows; `first` describes the first tile. */
static void grad_rows(const struct grad_tile *first, int rows) {
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

#define GRAD_CHAINS 4 /* sums beside each other, or each addition would wait for the one before */

/* db[lanes] += the sum of the rows */
SIMD_INLINE void row_sums_lanes(float *db, const float *dy, int rows, size_t n, int lanes, const bool full) {
	struct v16 sums[GRAD_CHAINS];
	int r = 0;

	for (int i = 0; i < GRAD_CHAINS; i++)
		sums[i] = v16_zero();
	for (; r + GRAD_CHAINS <= rows; r += GRAD_CHAINS)
#pragma GCC unroll 4
		for (int i = 0; i < GRAD_CHAINS; i++, dy += n)
			sums[i] = v16_add(sums[i], load16(dy, lanes, full));
	for (; r < rows; r++, dy += n)
		sums[0] = v16_add(sums[0], v16_load_part(dy, lanes));
	sums[0] = v16_add(v16_add(sums[0], sums[1]), v16_add(sums[2], sums[3]));
	v16_store_part(db, v16_add(sums[0], v16_load_part(db, lanes)), lanes);
}

static void row_sums(float *db, const float *dy, int rows, int n) {
	for (int o = 0; o < n; o += 16)
		if (n - o >= 16)
			row_sums_lanes(db + o, dy + o, rows, (size_t)n, 16, true);
		else
			row_sums_lanes(db + o, dy + o, rows, (size_t)n, n - o, false);
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

static void grad_wide(const struct jf_conv_grad *c, const float *x, const float *dy) {
	const size_t line = (size_t)(c->stride * c->w + 2) * (size_t)c->cin;
	const size_t line_bytes = (line + (size_t)(c->w * TILE_VECTORS * VL)) * sizeof(float);
	const int block = line_bytes < GRAD_BYTES ? (int)(GRAD_BYTES / line_bytes) : 1;
	const int blocks = (c->h + block - 1) / block;

	for (int b = 0, i = 0; b < blocks; b++) {
		const int lines = c->h / blocks + (b < c->h % blocks ? 1 : 0);

		for (int kh = 0; kh < 3; kh++) {
			const struct grad_tile t = {
			    .dw = c->dw + (size_t)(kh * 3 * c->cin) * (size_t)c->cout,
			    .x = x + (size_t)(c->stride * i + kh) * line,
			    .dy = dy + (size_t)(i * c->w) * (size_t)c->cout,
			    .line = (size_t)c->stride * line,
			    .step = (size_t)(c->stride * c->cin),
			    .lines = lines,
			    .w = c->w,
			    .cout = c->cout,
			};

			grad_rows(&t, 3 * c->cin);
		}
		i += lines;
	}
}

static void conv3x3_grad_weight(const struct jf_conv_grad *c) {
	const size_t x_size = (size_t)(c->stride * c->h + 2) * (size_t)(c->stride * c->w + 2) * (size_t)c->cin;
	const size_t dy_size = (size_t)(c->h * c->w) * (size_t)c->cout;

	for (size_t i = 0; i < (size_t)c->images; i++)
		if (c->cout <= JF_NARROW && c->stride == 1)
			grad_narrow(c->dw, c->x + i * x_size, c->dy + i * dy_size, c->h, c->w, c->cin, c->cout);
		else
			grad_wide(c, c->x + i * x_size, c->dy + i * dy_size);
	if (c->db != NULL)
		row_sums(c->db, c->dy, c->images * c->h * c->w, c->cout);
}

#define GRAD_LINES 224 /* rows at a time: their outputs of one tile stay in the first-level cache */

static void linear_grad_weight(float *dw, float *db, const float *x, const float *dy, int m, int k, int n) {
	for (int done = 0; done < m; done += GRAD_LINES) {
		const struct grad_tile t = {
		    .dw = dw,
		    .x = x + (size_t)done * (size_t)k,
		    .dy = dy + (size_t)done * (size_t)n,
		    .step = (size_t)k,
		    .lines = 1,
		    .w = m - done < GRAD_LINES ? m - done : GRAD_LINES,
		    .cout = n,
		};

		grad_rows(&t, k);
	}
	row_sums(db, dy, m, n);
}

/* The four kinds of pixels that a convolution of stride 2 read, by row and column, even and odd: an even one was read
 * by one kernel row (or column) of one output, an odd one by two. Each kind is a product of its own. */
static void conv3x3_strided_data(const struct jf_conv *c) {
	const size_t cin = (size_t)c->cin, cout = (size_t)c->cout, line = (size_t)(c->w + 2) * cin;
	const size_t block = JF_PAD16(cout) * cin; /* floats of a packed tap */
	const float *weight = c->weight;

	for (int kind = 0; kind < 4; kind++) {
		const int lower = kind / 2, right = kind % 2;
		struct product p = {
		    .m = c->w,
		    .width = c->w,
		    .step = cin,
		    .segments = lower + 1,
		    .run = (right + 1) * c->cin,
		    .segment_stride = line,
		    .w = weight,
		    .n = c->cout,
		    .y_stride = 2 * cout,
		};

		for (int i = 0; i < c->h; i++) {
			const size_t to = ((size_t)(2 * i + lower) * (size_t)(2 * c->w) + (size_t)right) * cout;

			p.x = c->x + (size_t)(i + 1) * line + cin;
			p.y = c->y + to;
			p.residual = c->residual != NULL ? c->residual + to : NULL;
			product_run(&p);
		}
		weight += (size_t)((lower + 1) * (right + 1)) * block;
	}
}

#define JF_KERNELS_GRAD                                                                                             \
	.row_sums = row_sums, .linear_grad_weight = linear_grad_weight, .conv3x3_grad_weight = conv3x3_grad_weight, \
	.conv3x3_strided_data = conv3x3_strided_data

#endif
