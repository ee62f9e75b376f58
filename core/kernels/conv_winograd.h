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

/* One convolution, and the block of its tiles that is being worked on. The tiles of all images count as one row. */
struct winograd {
	const struct jf_conv *c;
	int across; /* tiles of an image, in a row and in all */
	int tiles;
	float *v; /* [36][block][cin] transformed inputs, planes v_plane apart */
	float *m; /* [36][block][cout] products, planes m_plane apart */
	size_t v_plane;
	size_t m_plane;
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

/* r = B^T d */
SIMD_INLINE void winograd_input(vf r[WINOGRAD_N], const vf d[WINOGRAD_N]) {
	const vf even = vf_fma(vf_set1(-0.5f), d[2], d[4]);
	const vf odd = vf_fma(vf_set1(-0.5f), d[1], d[3]);
	const vf even2 = vf_fma(vf_set1(-2.0f), d[2], d[4]);
	const vf odd2 = vf_fma(vf_set1(-2.0f), d[1], d[3]);

	r[0] = vf_fma(vf_set1(-2.5f), d[2], vf_add(d[0], d[4]));
	r[1] = vf_fma(vf_set1(SQRT2), odd, even);
	r[2] = vf_fma(vf_set1(-SQRT2), odd, even);
	r[3] = vf_fma(vf_set1(SQRT2_2), odd2, even2);
	r[4] = vf_fma(vf_set1(-SQRT2_2), odd2, even2);
	r[5] = vf_fma(vf_set1(-2.5f), d[3], vf_add(d[1], d[5]));
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

/* Transforms the inputs of a tile into place `at` of the block. What lies beyond the padded image is zero; `inside`:
 * nothing does. */
SIMD_INLINE void winograd_tile_input(
    const struct winograd *g, int at, const struct winograd_place *place, const bool inside) {
	const int h = g->c->h, w = g->c->w, cin = g->c->cin, i = place->i, j = place->j;
	const size_t pixel = (size_t)cin;
	const size_t line = (size_t)(w + 2) * pixel;
	const size_t plane = g->v_plane;
	const float *x = g->c->x + (place->image * (size_t)(h + 2) + (size_t)i) * line + (size_t)j * pixel;
	float *out = g->v + (size_t)at * pixel;

	for (int c = 0; c < cin; c += VL, x += VL, out += VL) {
		vf t[WINOGRAD_N][WINOGRAD_N];

#pragma GCC unroll 6
		for (int q = 0; q < WINOGRAD_N; q++) {
			vf d[WINOGRAD_N];
			vf r[WINOGRAD_N];

#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_N; p++)
				d[p] = inside || (i + p < h + 2 && j + q < w + 2)
					   ? vf_load(x + (size_t)p * line + (size_t)q * pixel)
					   : vf_zero();
			winograd_input(r, d);
#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_N; p++)
				t[p][q] = r[p];
		}
#pragma GCC unroll 6
		for (int p = 0; p < WINOGRAD_N; p++) {
			vf r[WINOGRAD_N];

			winograd_input(r, t[p]);
#pragma GCC unroll 6
			for (int q = 0; q < WINOGRAD_N; q++)
				vf_store(out + (size_t)(p * WINOGRAD_N + q) * plane, r[q]);
		}
	}
}

/* Transforms the products at place `at` of the block back into the tile's output pixels. */
SIMD_INLINE void winograd_tile_output(
    const struct winograd *g, int at, const struct winograd_place *place, const bool inside) {
	const int h = g->c->h, w = g->c->w, cout = g->c->cout, i = place->i, j = place->j;
	const size_t pixel = (size_t)cout;
	const size_t line = (size_t)w * pixel;
	const size_t plane = g->m_plane;
	const size_t first = (place->image * (size_t)h + (size_t)i) * line + (size_t)j * pixel;
	const float *in = g->m + (size_t)at * pixel;
	const float *all_bias = g->c->bias, *residual = g->c->residual;
	float *y = g->c->y;

	if (all_bias != NULL)
		all_bias += place->image * (size_t)g->c->bias_stride;
	for (int c = 0; c < cout; c += VL, in += VL) {
		const vf bias = all_bias != NULL ? vf_load(all_bias + c) : vf_zero();
		vf t[WINOGRAD_TILE][WINOGRAD_N];

#pragma GCC unroll 6
		for (int q = 0; q < WINOGRAD_N; q++) {
			vf m[WINOGRAD_N];
			vf r[WINOGRAD_TILE];

#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_N; p++)
				m[p] = vf_load(in + (size_t)(p * WINOGRAD_N + q) * plane);
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
	size_t v_plane, u_plane, m_plane;
	int groups, cin, cout;
	int lanes; /* output channels, a multiple of the vectors of the tile */
};

#define WINOGRAD_AHEAD 2048 /* floats that the weights are fetched ahead: they are read in one stream, once a block */

/* One group's outputs of some vectors of channels in one plane. */
SIMD_INLINE void winograd_group(
    float *m, const float *v, const float *u, size_t cin, size_t cout, const int rows, const int vectors) {
	const float *base[(TILE_ROWS + 2) / 3]; /* three rows each: so the pointers stay in registers */
	vf acc[TILE_ROWS][TILE_VECTORS];

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++) {
		if (r % 3 == 0)
			base[r / 3] = v + (size_t)r * cin;
#pragma GCC unroll 16
		for (int i = 0; i < vectors; i++)
			acc[r][i] = vf_zero();
	}
	for (size_t k = 0; k < cin; k++, u += JF_LANES) {
		vf w[TILE_VECTORS];
#pragma GCC unroll 16
		for (int i = 0; i < vectors; i++) {
			w[i] = vf_load(u + (size_t)(i * VL / JF_LANES) * cin * JF_LANES + i * VL % JF_LANES);
			if (i * VL % JF_LANES == 0)
				__builtin_prefetch(u + (size_t)(i * VL / JF_LANES) * cin * JF_LANES + WINOGRAD_AHEAD);
		}
#pragma GCC unroll 16
		for (int r = 0; r < rows; r++) {
			const vf x = vf_set1(base[r / 3][(size_t)(r % 3) * cin]);
#pragma GCC unroll 16
			for (int i = 0; i < vectors; i++)
				acc[r][i] = vf_fma(x, w[i], acc[r][i]);
		}
#pragma GCC unroll 16
		for (int r = 0; r < rows; r += 3)
			base[r / 3]++;
	}
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int i = 0; i < vectors; i++)
			vf_store(m + (size_t)r * cout + i * VL, acc[r][i]);
}

SIMD_INLINE void winograd_planes(const struct winograd_products *p, const int rows, const int vectors) {
	const size_t cin = (size_t)p->cin, cout = (size_t)p->cout;
	const float *v = p->v, *u = p->u;
	float *m = p->m;

	for (int f = 0; f < WINOGRAD_N * WINOGRAD_N; f++, v += p->v_plane, u += p->u_plane, m += p->m_plane)
		for (int o = 0; o < p->lanes; o += vectors * VL)
			for (int g = 0; g < p->groups; g++)
				winograd_group(m + (size_t)(g * rows) * cout + o, v + (size_t)(g * rows) * cin,
				    u + (size_t)o * cin, cin, cout, rows, vectors);
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
	    .v = g->v + (size_t)at * (size_t)cin,
	    .u = g->c->weight,
	    .m = g->m + (size_t)at * (size_t)cout,
	    .v_plane = g->v_plane,
	    .u_plane = (size_t)cin * (size_t)cout,
	    .m_plane = g->m_plane,
	    .groups = groups,
	    .cin = cin,
	    .cout = cout,
	    .lanes = wide,
	};

	if (groups == 0)
		return;
	watch_read(p.u, WINOGRAD_N * WINOGRAD_N * p.u_plane);
	for (size_t f = 0; f < WINOGRAD_N * WINOGRAD_N; f++) {
		watch_read(p.v + f * p.v_plane, (size_t)(groups * rows * cin));
		watch_write(p.m + f * p.m_plane, (size_t)(groups * rows * cout));
	}
	if (wide > 0)
		winograd_all[rows - 1](&p);
	p.u += (size_t)wide * (size_t)cin;
	p.m += wide;
	p.lanes = cout - wide;
	if (p.lanes > 0)
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
static void winograd_block(const struct winograd *g, int first, int count) {

	for (int at = 0; at < count; at++) {
		const struct winograd_place place = winograd_place(g, first + at);

		if (place.inside)
			winograd_tile_input(g, at, &place, true);
		else
			winograd_tile_input(g, at, &place, false);
	}
	winograd_products(g, count);
	for (int at = 0; at < count; at++) {
		const struct winograd_place place = winograd_place(g, first + at);

		if (place.inside)
			winograd_tile_output(g, at, &place, true);
		else
			winograd_tile_output(g, at, &place, false);
	}
}

/* Tiles are dealt out evenly to blocks. Few tiles an image make small products, which read the weights again for each:
 * that is why several images share a block. */
static void conv3x3_winograd(const struct jf_conv *c) {
	const int across = (c->w + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
	const int per_image = (c->h + WINOGRAD_TILE - 1) / WINOGRAD_TILE * across;
	const int tiles = per_image * (c->images > 1 ? c->images : 1);
	const int blocks = (tiles + JF_WINOGRAD_BLOCK - 1) / JF_WINOGRAD_BLOCK;
	const int block = (tiles + blocks - 1) / blocks;
	const size_t v_plane = JF_WINOGRAD_PLANE((size_t)block * (size_t)c->cin);
	const struct winograd g = {
	    .c = c,
	    .across = across,
	    .tiles = per_image,
	    .v = c->scratch,
	    .m = c->scratch + WINOGRAD_N * WINOGRAD_N * v_plane,
	    .v_plane = v_plane,
	    .m_plane = JF_WINOGRAD_PLANE((size_t)block * (size_t)c->cout),
	};

	for (int first = 0; first < tiles; first += block)
		winograd_block(&g, first, tiles - first < block ? tiles - first : block);
}

#define JF_KERNELS_WINOGRAD .conv3x3_winograd = conv3x3_winograd

#endif
