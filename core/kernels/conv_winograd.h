/* 3x3 convolution, stride 1, by Winograd's minimal filtering F(4x4, 3x3); part of body.h.
 *
 * The output is cut into tiles of 4 x 4 pixels, each computed from 6 x 6 inputs d: Y = A^T [U . (B^T d B)] A, where
 * U = G g G^T is the weight, transformed when packed (core/kernels/winograd.c). The 36 products are matrix products
 * over channels, done by gemm.h. Points: 0, +-sqrt 2, +-1/sqrt 2, infinity, which round better than whole numbers.
 * Every step is per element in a fixed order, so the bytes depend neither on the instruction set nor on the block that
 * a tile fell into. Sources: Lavin and Gray, arXiv:1509.09308; the points: Barabasz et al., arXiv:1803.10986. */
#ifndef JF_CORE_KERNELS_CONV_WINOGRAD_H
#define JF_CORE_KERNELS_CONV_WINOGRAD_H

#include "core/kernels/gemm.h"
#include "core/kernels/kernels.h"
#include "core/kernels/simd.h"
#include "core/kernels/winograd.h"

#define WINOGRAD_TILE 4
#define WINOGRAD_N 6
#define SQRT2 0x1.6a09e6p+0f
#define SQRT2_2 0x1.6a09e6p-1f
#define SQRT2_4 0x1.6a09e6p-2f
#define SQRT8 0x1.6a09e6p+1f

/* One convolution, and the block of its tiles that is being worked on. The tiles of all images count as one row. What
 * is transformed lies as [channels / JF_LANES][tile][36][JF_LANES], tiles JF_WINOGRAD_STRIDE apart, so that the
 * transforms read and write one run of memory at places known when they are compiled. */
struct winograd {
	const struct jf_conv *c;
	int across; /* tiles of an image, in a row and in all */
	int tiles;
	float *v;     /* transformed inputs */
	float *m;     /* products; may be v, see conv3x3_winograd */
	size_t lanes; /* floats from one group of channels to the next */
	/* How far c->norm has written: images, and rows of the last of them. */
	struct group_coefficients *coefficients;
	int images, rows;
};

/* Where a tile lies. */
struct winograd_place {
	size_t image;
	int i, j;    /* its first output pixel */
	bool inside; /* all of it lies in the image */
};

SIMD_INLINE struct winograd_place winograd_place(const struct winograd *g, int tile) {
	const int image = tile / g->tiles, at = tile % g->tiles;
	const int i = at / g->across * WINOGRAD_TILE, j = at % g->across * WINOGRAD_TILE;

	return (struct winograd_place){
	    (size_t)image, i, j, i + WINOGRAD_TILE <= g->c->h && j + WINOGRAD_TILE <= g->c->w};
}

/* r = three rows of B^T d, the upper or the lower: of the columns of a tile, so that what is between them and the rows
 * stays in registers. */
SIMD_INLINE void winograd_input_half(vf r[3], const vf d[WINOGRAD_N], const bool lower) {
	const float near = lower ? -2.0f : -0.5f, far = lower ? SQRT2_2 : SQRT2;
	const vf even = vf_fma(vf_set1(near), d[2], d[4]);
	const vf odd = vf_fma(vf_set1(near), d[1], d[3]);
	const vf plus = vf_fma(vf_set1(far), odd, even);
	const vf minus = vf_fma(vf_set1(-far), odd, even);

	if (lower) {
		r[0] = plus;
		r[1] = minus;
		r[2] = vf_fma(vf_set1(-2.5f), d[3], vf_add(d[1], d[5]));
	} else {
		r[0] = vf_fma(vf_set1(-2.5f), d[2], vf_add(d[0], d[4]));
		r[1] = plus;
		r[2] = minus;
	}
}

/* r = A^T m */
SIMD_INLINE void winograd_output(vf r[WINOGRAD_TILE], const vf m[WINOGRAD_N]) {
	const vf sum = vf_add(m[1], m[2]);
	const vf difference = vf_sub(m[1], m[2]);
	const vf sum2 = vf_add(m[3], m[4]);
	const vf difference2 = vf_sub(m[3], m[4]);

	r[0] = vf_add(m[0], vf_add(sum, sum2));
	r[1] = vf_fma(vf_set1(SQRT2), difference, vf_mul(vf_set1(SQRT2_2), difference2));
	r[2] = vf_fma(vf_set1(2.0f), sum, vf_mul(vf_set1(0.5f), sum2));
	r[3] = vf_fma(vf_set1(SQRT8), difference, vf_fma(vf_set1(SQRT2_4), difference2, m[5]));
}

/* Half of the 36 results of a tile's 6 x 6 inputs, for VL channels. */
SIMD_INLINE void winograd_half(float *out, const float *x, size_t line, size_t pixel, const bool lower) {
	vf t[3][WINOGRAD_N];

#pragma GCC unroll 6
	for (int q = 0; q < WINOGRAD_N; q++, x += pixel) {
		vf d[WINOGRAD_N], r[3];

#pragma GCC unroll 6
		for (int p = 0; p < WINOGRAD_N; p++)
			d[p] = p == (lower ? 0 : 5) ? vf_zero() : vf_load(x + (size_t)p * line);
		winograd_input_half(r, d, lower);
#pragma GCC unroll 3
		for (int p = 0; p < 3; p++)
			t[p][q] = r[p];
	}
#pragma GCC unroll 3
	for (int p = 0; p < 3; p++) {
		vf r[WINOGRAD_N];

		winograd_input_half(r, t[p], false);
		winograd_input_half(r + 3, t[p], true);
#pragma GCC unroll 6
		for (int q = 0; q < WINOGRAD_N; q++)
			vf_store(out + ((lower ? 3 : 0) + p) * WINOGRAD_N * JF_LANES + q * JF_LANES, r[q]);
	}
}

/* JF_LANES channels. */
SIMD_INLINE void winograd_lanes_input(float *out, const float *x, size_t line, size_t pixel) {
	for (int c = 0; c < JF_LANES; c += VL) {
		winograd_half(out + c, x + c, line, pixel, false);
		winograd_half(out + c, x + c, line, pixel, true);
	}
}

/* Sees to it that the rows that a tile reads have been written. */
static void winograd_load(struct winograd *g, const struct winograd_place *place) {
	const int end = place->i + WINOGRAD_N < g->c->h + 2 ? place->i + WINOGRAD_N : g->c->h + 2;

	if (g->c->norm == NULL || place->j != 0)
		return;
	const struct jf_group_norm norm = group_norm_image(g->c->norm, place->image);
	if (g->images <= (int)place->image) {
		group_norm_begin(g->coefficients, &norm);
		g->images++;
		g->rows = 0;
	}
	group_norm_rows(g->coefficients, &norm, g->rows, end);
	g->rows = end;
}

/* Transforms the inputs of a tile into place `at` of the block. What lies beyond the padded image is zero. */
static void winograd_tile_input(const struct winograd *g, int at, const struct winograd_place *place) {
	const int h = g->c->h, w = g->c->w, cin = g->c->cin, i = place->i, j = place->j;
	const size_t pixel = (size_t)cin;
	const size_t line = (size_t)(w + 2) * pixel;
	const float *x = g->c->x + (place->image * (size_t)(h + 2) + (size_t)i) * line + (size_t)j * pixel;
	float *out = g->v + (size_t)at * JF_WINOGRAD_STRIDE;

	for (int c = 0; c < cin; c += JF_LANES, x += JF_LANES, out += g->lanes) {
		float patch[WINOGRAD_N][WINOGRAD_N][JF_LANES];

		if (place->inside) {
			winograd_lanes_input(out, x, line, pixel);
			continue;
		}
		for (int p = 0; p < WINOGRAD_N; p++)
			for (int q = 0; q < WINOGRAD_N; q++)
				v16_store(patch[p][q], i + p < h + 2 && j + q < w + 2
							   ? v16_load(x + (size_t)p * line + (size_t)q * pixel)
							   : v16_zero());
		winograd_lanes_input(out, patch[0][0], WINOGRAD_N * JF_LANES, JF_LANES);
	}
}

/* Transforms the products at place `at` of the block back into the tile's output pixels. */
SIMD_INLINE void winograd_tile_output(
    const struct winograd *g, int at, const struct winograd_place *place, const bool inside) {
	const int h = g->c->h, w = g->c->w, cout = g->c->cout, i = place->i, j = place->j;
	const size_t pixel = (size_t)cout;
	const size_t line = (size_t)w * pixel;
	const size_t first = (place->image * (size_t)h + (size_t)i) * line + (size_t)j * pixel;
	const float *in = g->m + (size_t)at * JF_WINOGRAD_STRIDE;
	const float *all_bias = g->c->bias, *residual = g->c->residual;
	float *y = g->c->y;

	if (all_bias != NULL)
		all_bias += place->image * (size_t)g->c->bias_stride;
	for (int c = 0; c < cout; c += VL, in += c % JF_LANES == 0 ? g->lanes - JF_LANES + VL : VL) {
		const vf bias = all_bias != NULL ? vf_load(all_bias + c) : vf_zero();
		vf t[WINOGRAD_TILE][WINOGRAD_N];

#pragma GCC unroll 6
		for (int q = 0; q < WINOGRAD_N; q++) {
			vf m[WINOGRAD_N];
			vf r[WINOGRAD_TILE];

#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_N; p++)
				m[p] = vf_load(in + (p * WINOGRAD_N + q) * JF_LANES);
			winograd_output(r, m);
#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_TILE; p++)
				t[p][q] = r[p];
		}
#pragma GCC unroll 6
		for (int p = 0; p < WINOGRAD_TILE; p++) {
			vf r[WINOGRAD_TILE];

			winograd_output(r, t[p]);
#pragma GCC unroll 6
			for (int q = 0; q < WINOGRAD_TILE; q++)
				if (inside || (i + p < h && j + q < w)) {
					const size_t to = first + (size_t)p * line + (size_t)q * pixel + (size_t)c;
					vf sum = vf_add(r[q], bias);

					if (residual != NULL)
						sum = vf_add(sum, vf_load(residual + to));
					vf_store(y + to, sum);
				}
		}
	}
}

/* The 36 products of a block, `groups` groups of a fixed number of its tiles each, for some of the output channels: a
 * product of its own for each would be done before it had begun. Each element is one accumulator over the input
 * channels in order, as gemm's. */
struct winograd_products {
	const float *v, *u; /* the first tile's inputs, the first output channel's block of weights */
	float *m;
	size_t step, u_plane; /* from one group of channels to the next; from one plane of weights to the next */
	int groups, cin;
	int channels; /* to be put out, a multiple of the vectors of the tile */
};

#define WINOGRAD_AHEAD 2048 /* floats that the weights are fetched ahead: they are read in one stream, once a block */

/* One group's outputs of some vectors of channels in one plane. ahead: fetches weights, as one group of a plane
 * has to. */
SIMD_INLINE void winograd_group(float *m, const float *v, const float *u, size_t cin, size_t step, const int rows,
    const int vectors, const bool ahead) {
	vf acc[TILE_ROWS][TILE_VECTORS];

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int i = 0; i < vectors; i++)
			acc[r][i] = vf_zero();
	for (size_t c = 0; c < cin; c += JF_LANES, v += step - JF_LANES)
		for (int k = 0; k < JF_LANES; k++, u += JF_LANES, v++) {
			vf w[TILE_VECTORS];
#pragma GCC unroll 16
			for (int i = 0; i < vectors; i++) {
				w[i] = vf_load(u + (size_t)(i * VL / JF_LANES) * cin * JF_LANES + i * VL % JF_LANES);
				if (ahead && i * VL % JF_LANES == 0)
					__builtin_prefetch(
					    u + (size_t)(i * VL / JF_LANES) * cin * JF_LANES + WINOGRAD_AHEAD);
			}
#pragma GCC unroll 16
			for (int r = 0; r < rows; r++) {
				const vf x = vf_set1(v[r * JF_WINOGRAD_STRIDE]);
#pragma GCC unroll 16
				for (int i = 0; i < vectors; i++)
					acc[r][i] = vf_fma(x, w[i], acc[r][i]);
			}
		}
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int i = 0; i < vectors; i++)
			vf_store(m + r * JF_WINOGRAD_STRIDE + (size_t)(i * VL / JF_LANES) * step + i * VL % JF_LANES,
			    acc[r][i]);
}

SIMD_INLINE void winograd_planes(const struct winograd_products *p, const int rows, const int vectors) {
	const size_t cin = (size_t)p->cin, group = (size_t)rows * JF_WINOGRAD_STRIDE;
	const float *v = p->v, *u = p->u;
	float *m = p->m;

	for (int f = 0; f < WINOGRAD_N * WINOGRAD_N; f++, v += JF_LANES, u += p->u_plane, m += JF_LANES)
		for (size_t o = 0; o < (size_t)p->channels; o += (size_t)(vectors * VL)) {
			float *to = m + o / JF_LANES * p->step;

			winograd_group(to, v, u + o * cin, cin, p->step, rows, vectors, true);
			for (size_t g = 1; g < (size_t)p->groups; g++)
				winograd_group(
				    to + g * group, v + g * group, u + o * cin, cin, p->step, rows, vectors, false);
		}
}

typedef void winograd_planes_fn(const struct winograd_products *p);

#define WINOGRAD_FN(rows)                                                                        \
	JF_UNWATCHED static void winograd_planes_all_##rows(const struct winograd_products *p) { \
		winograd_planes(p, rows, TILE_VECTORS);                                          \
	}                                                                                        \
	JF_UNWATCHED static void winograd_planes_one_##rows(const struct winograd_products *p) { \
		winograd_planes(p, rows, JF_LANES / VL < TILE_VECTORS ? JF_LANES / VL : 1);      \
	}
TILE_EACH(WINOGRAD_FN)
static winograd_planes_fn *const winograd_all[TILE_ROWS] = {TILE_LIST(winograd_planes_all)};
static winograd_planes_fn *const winograd_one[TILE_ROWS] = {TILE_LIST(winograd_planes_one)};

/* Tiles at .. at + groups * rows - 1 of the block. */
static void winograd_rows(const struct winograd *g, int at, int groups, int rows) {
	const int cin = g->c->cin, cout = g->c->cout;
	const int wide = cout / (TILE_VECTORS * VL) * (TILE_VECTORS * VL); /* channels that fill all vectors */
	struct winograd_products p = {
	    .v = g->v + (size_t)at * JF_WINOGRAD_STRIDE,
	    .u = g->c->weight,
	    .m = g->m + (size_t)at * JF_WINOGRAD_STRIDE,
	    .step = g->lanes,
	    .u_plane = (size_t)cin * (size_t)cout,
	    .groups = groups,
	    .cin = cin,
	    .channels = wide,
	};

	if (groups == 0)
		return;
	watch_read(p.u, WINOGRAD_N * WINOGRAD_N * p.u_plane);
	for (size_t c = 0; c < (size_t)cin; c += JF_LANES)
		watch_read(p.v + c / JF_LANES * p.step, (size_t)(groups * rows) * JF_WINOGRAD_STRIDE);
	for (size_t c = 0; c < (size_t)cout; c += JF_LANES)
		watch_write(p.m + c / JF_LANES * p.step, (size_t)(groups * rows) * JF_WINOGRAD_STRIDE);
	if (wide > 0)
		winograd_all[rows - 1](&p);
	p.u += (size_t)wide * (size_t)cin;
	p.m += (size_t)(wide / JF_LANES) * p.step;
	p.channels = cout - wide;
	if (p.channels > 0)
		winograd_one[rows - 1](&p);
}

/* Dealt out evenly to groups, so that no group is much smaller, hence slower, than the others. */
static void winograd_products(const struct winograd *g, int count) {
	const int groups = (count + TILE_ROWS - 1) / TILE_ROWS;
	const int small = count / groups, larger = count % groups;

	winograd_rows(g, 0, larger, small + 1);
	winograd_rows(g, larger * (small + 1), groups - larger, small);
}

/* One block of `count` tiles from tile `first` on. */
static void winograd_block(struct winograd *g, int first, int count) {
	const struct jf_conv *c = g->c;

	for (int at = 0; at < count; at++) {
		const struct winograd_place place = winograd_place(g, first + at);

		winograd_load(g, &place);
		winograd_tile_input(g, at, &place);
	}
	winograd_products(g, count);
	for (int at = 0; at < count; at++) {
		const struct winograd_place place = winograd_place(g, first + at);

		if (place.inside)
			winograd_tile_output(g, at, &place, true);
		else
			winograd_tile_output(g, at, &place, false);
		if (c->channels != NULL && place.j + WINOGRAD_TILE >= c->w)
			channel_statistics(c->channels + place.image * 3 * (size_t)c->cout,
			    c->y + place.image * (size_t)(c->h * c->w) * (size_t)c->cout, place.i, c->h, c->w, c->cout);
	}
}

/* Tiles are dealt out evenly to blocks. Few tiles an image make small products, which read the weights again for each:
 * that is why several images share a block. Where one group's products are all of a plane's outputs, they are written
 * over its inputs, which are read before: half the memory to carry through the caches. */
static void conv3x3_winograd(const struct jf_conv *c) {
	const int across = (c->w + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
	const int per_image = (c->h + WINOGRAD_TILE - 1) / WINOGRAD_TILE * across;
	const int tiles = per_image * (c->images > 1 ? c->images : 1);
	const int blocks = (tiles + JF_WINOGRAD_BLOCK - 1) / JF_WINOGRAD_BLOCK;
	const int block = (tiles + blocks - 1) / blocks;
	const size_t lanes = (size_t)block * JF_WINOGRAD_STRIDE;
	struct group_coefficients coefficients;
	struct winograd g = {
	    .c = c,
	    .coefficients = &coefficients,
	    .across = across,
	    .tiles = per_image,
	    .v = c->scratch,
	    .m = c->cout <= TILE_VECTORS * VL ? c->scratch : c->scratch + (size_t)(c->cin / JF_LANES) * lanes,
	    .lanes = lanes,
	};

	for (int first = 0; first < tiles; first += block)
		winograd_block(&g, first, tiles - first < block ? tiles - first : block);
}

#define JF_KERNELS_WINOGRAD .conv3x3_winograd = conv3x3_winograd

#endif
