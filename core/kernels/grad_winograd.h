/* The weight gradient of a 3x3 convolution, stride 1, by Winograd's F(4x4, 3x3); part of body.h, after conv_winograd.h.
 *
 * With that file's matrices, what one tile's 6 x 6 inputs d and 4 x 4 output gradients y add to the weight's is
 * G^T [(B^T d B) . (A y A^T)] G: linear in the bracket, so brackets are summed over all tiles first, by 36 products of
 * [cin][tiles] by [tiles][cout], and go through G once. Source: Lavin and Gray, arXiv:1509.09308. */
#ifndef JF_CORE_KERNELS_GRAD_WINOGRAD_H
#define JF_CORE_KERNELS_GRAD_WINOGRAD_H

#include "core/kernels/conv_winograd.h"

/* Rows (input channels) of a tile of the products beside `vectors` vectors of output channels; they divide JF_LANES. */
#if VL == 16
#define WINOGRAD_GRAD_ROWS(vectors) ((vectors) == 1 ? 16 : 8)
#elif VL == 8 || VL == 4
#define WINOGRAD_GRAD_ROWS(vectors) 4
#else
#define WINOGRAD_GRAD_ROWS(vectors) 1
#endif

/* One gradient. What is transformed lies as conv_winograd.h's; sums as [cin][cout / JF_LANES][36][JF_LANES], runs of
 * 36 JF_WINOGRAD_STRIDE apart. */
struct winograd_grad {
	const struct jf_conv_grad *c;
	struct winograd inputs; /* transforms x into its v */
	float *u;               /* transformed output gradients */
	float *sums;
};

/* r = A y */
SIMD_INLINE void winograd_gradient(vf r[WINOGRAD_N], const vf y[WINOGRAD_TILE]) {
	const vf even = vf_fma(vf_set1(2.0f), y[2], y[0]);
	const vf odd = vf_fma(vf_set1(SQRT8), y[3], vf_mul(vf_set1(SQRT2), y[1]));
	const vf even2 = vf_fma(vf_set1(0.5f), y[2], y[0]);
	const vf odd2 = vf_fma(vf_set1(SQRT2_4), y[3], vf_mul(vf_set1(SQRT2_2), y[1]));

	r[0] = y[0];
	r[1] = vf_add(even, odd);
	r[2] = vf_sub(even, odd);
	r[3] = vf_add(even2, odd2);
	r[4] = vf_sub(even2, odd2);
	r[5] = y[3];
}

/* Transforms the output gradients of a tile into place `at` of the block; beyond the image they are zero. */
SIMD_INLINE void winograd_tile_gradient(
    const struct winograd_grad *g, int at, const struct winograd_place *place, const bool inside) {
	const int h = g->c->h, w = g->c->w, i = place->i, j = place->j;
	const size_t pixel = (size_t)g->c->cout, line = (size_t)w * pixel;
	const float *dy = g->c->dy + (place->image * (size_t)h + (size_t)i) * line + (size_t)j * pixel;
	float *out = g->u + (size_t)at * JF_WINOGRAD_STRIDE;

	for (int c = 0; c < g->c->cout; c += VL, out += c % JF_LANES == 0 ? g->inputs.lanes - JF_LANES + VL : VL) {
		vf t[WINOGRAD_N][WINOGRAD_TILE];

#pragma GCC unroll 6
		for (int q = 0; q < WINOGRAD_TILE; q++) {
			vf y[WINOGRAD_TILE], r[WINOGRAD_N];

#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_TILE; p++)
				y[p] = inside || (i + p < h && j + q < w)
					   ? vf_load(dy + (size_t)p * line + (size_t)q * pixel + (size_t)c)
					   : vf_zero();
			winograd_gradient(r, y);
#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_N; p++)
				t[p][q] = r[p];
		}
#pragma GCC unroll 6
		for (int p = 0; p < WINOGRAD_N; p++) {
			vf r[WINOGRAD_N];

			winograd_gradient(r, t[p]);
#pragma GCC unroll 6
			for (int q = 0; q < WINOGRAD_N; q++)
				vf_store(out + (p * WINOGRAD_N + q) * JF_LANES, r[q]);
		}
	}
}

/* Adds a block's tiles in order to the sums of some input channels and some vectors of output channels in one plane.
 * ahead_v, ahead_u: fetches what the next plane reads of the same tiles, which lies next to it, but so far from tile to
 * tile that a processor does not foresee it. */
SIMD_INLINE void winograd_grad_tile(float *sums, size_t row, const float *v, const float *u, size_t lanes, int count,
    const int rows, const int vectors, bool first, const bool ahead_v, const bool ahead_u) {
	vf acc[JF_LANES][TILE_VECTORS];

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int i = 0; i < vectors; i++)
			acc[r][i] = first
					? vf_zero()
					: vf_load(sums + (size_t)r * row +
						  (size_t)(i * VL / JF_LANES) * JF_WINOGRAD_STRIDE + i * VL % JF_LANES);
	for (int t = 0; t < count; t++, v += JF_WINOGRAD_STRIDE, u += JF_WINOGRAD_STRIDE) {
		vf y[TILE_VECTORS];

		if (ahead_v)
			__builtin_prefetch(v + JF_LANES);
#pragma GCC unroll 16
		for (int i = 0; ahead_u && i < vectors; i++)
			if (i * VL % JF_LANES == 0)
				__builtin_prefetch(u + (size_t)(i * VL / JF_LANES) * lanes + JF_LANES);
#pragma GCC unroll 16
		for (int i = 0; i < vectors; i++)
			y[i] = vf_load(u + (size_t)(i * VL / JF_LANES) * lanes + i * VL % JF_LANES);
#pragma GCC unroll 16
		for (int r = 0; r < rows; r++) {
			const vf x = vf_set1(v[r]);
#pragma GCC unroll 16
			for (int i = 0; i < vectors; i++)
				acc[r][i] = vf_fma(x, y[i], acc[r][i]);
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int i = 0; i < vectors; i++)
			vf_store(sums + (size_t)r * row + (size_t)(i * VL / JF_LANES) * JF_WINOGRAD_STRIDE +
				     i * VL % JF_LANES,
			    acc[r][i]);
}

/* All input channels of some vectors of output channels in one plane; v, u, sums: the first of each. */
SIMD_INLINE void winograd_grad_plane(const struct winograd_grad *g, float *sums, const float *v, const float *u,
    int count, bool first, const int vectors) {
	const int rows = WINOGRAD_GRAD_ROWS(vectors), cin = g->c->cin;
	const size_t lanes = g->inputs.lanes, row = (size_t)(g->c->cout / JF_LANES) * JF_WINOGRAD_STRIDE;

	for (int c = 0; c < cin; c += rows, sums += (size_t)rows * row) {
		const float *from = v + (size_t)(c / JF_LANES) * lanes + c % JF_LANES;

		if (c == 0)
			winograd_grad_tile(sums, row, from, u, lanes, count, rows, vectors, first, true, true);
		else if (c % JF_LANES == 0)
			winograd_grad_tile(sums, row, from, u, lanes, count, rows, vectors, first, true, false);
		else
			winograd_grad_tile(sums, row, from, u, lanes, count, rows, vectors, first, false, false);
	}
}

/* All planes and input channels of output channels o .. end - 1. */
SIMD_INLINE void winograd_grad_planes(
    const struct winograd_grad *g, int count, bool first, int o, int end, const int vectors) {
	for (int f = 0; f < WINOGRAD_N * WINOGRAD_N; f++)
		for (int at = o; at < end; at += vectors * VL) {
			const size_t block = (size_t)(at / JF_LANES);

			winograd_grad_plane(g, g->sums + block * JF_WINOGRAD_STRIDE + f * JF_LANES,
			    g->inputs.v + f * JF_LANES, g->u + block * g->inputs.lanes + f * JF_LANES, count, first,
			    vectors);
		}
}

/* The block's products, by as many vectors at a time as there are, then by those of one group of channels. */
JF_UNWATCHED static void winograd_grad_products(const struct winograd_grad *g, int count, bool first) {
	const int cout = g->c->cout, wide = cout / (TILE_VECTORS * VL) * (TILE_VECTORS * VL);

	winograd_grad_planes(g, count, first, 0, wide, TILE_VECTORS);
	if (wide < cout)
		winograd_grad_planes(g, count, first, wide, cout, JF_LANES / VL < TILE_VECTORS ? JF_LANES / VL : 1);
}

/* r = G^T m */
SIMD_INLINE void winograd_weight(vf r[3], const vf m[WINOGRAD_N]) {
	const vf sum = vf_add(m[1], m[2]), difference = vf_sub(m[1], m[2]);
	const vf sum2 = vf_add(m[3], m[4]), difference2 = vf_sub(m[3], m[4]);

	r[0] = vf_fma(vf_set1(-2.0f / 3.0f), sum2, vf_fma(vf_set1(1.0f / 6.0f), sum, m[0]));
	r[1] = vf_fma(vf_set1(-SQRT2 / 3.0f), difference2, vf_mul(vf_set1(SQRT2 / 6.0f), difference));
	r[2] = vf_fma(vf_set1(1.0f / 3.0f), vf_sub(sum, sum2), m[5]);
}

/* dw += G^T sums G */
static void winograd_grad_weights(const struct winograd_grad *g) {
	const size_t cout = (size_t)g->c->cout, plane = (size_t)g->c->cin * cout;

	for (size_t at = 0; at < plane; at += VL) {
		const float *in = g->sums + at / JF_LANES * JF_WINOGRAD_STRIDE + at % JF_LANES;
		float *dw = g->c->dw + at;
		vf t[3][WINOGRAD_N];

#pragma GCC unroll 6
		for (int q = 0; q < WINOGRAD_N; q++) {
			vf m[WINOGRAD_N], r[3];

#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_N; p++)
				m[p] = vf_load(in + (p * WINOGRAD_N + q) * JF_LANES);
			winograd_weight(r, m);
			t[0][q] = r[0];
			t[1][q] = r[1];
			t[2][q] = r[2];
		}
#pragma GCC unroll 3
		for (int p = 0; p < 3; p++) {
			vf r[3];

			winograd_weight(r, t[p]);
#pragma GCC unroll 3
			for (int q = 0; q < 3; q++, dw += plane)
				vf_store(dw, vf_add(vf_load(dw), r[q]));
		}
	}
}

static void conv3x3_grad_winograd(const struct jf_conv_grad *c) {
	const int across = (c->w + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
	const int per_image = (c->h + WINOGRAD_TILE - 1) / WINOGRAD_TILE * across;
	const int tiles = per_image * c->images;
	const int blocks = (tiles + JF_WINOGRAD_GRAD_BLOCK - 1) / JF_WINOGRAD_GRAD_BLOCK;
	const int block = (tiles + blocks - 1) / blocks;
	const size_t lanes = (size_t)block * JF_WINOGRAD_STRIDE;
	const struct jf_conv conv = {.x = c->x, .h = c->h, .w = c->w, .cin = c->cin};
	const struct winograd_grad g = {
	    .c = c,
	    .inputs = {.c = &conv, .across = across, .tiles = per_image, .v = c->scratch, .lanes = lanes},
	    .u = c->scratch + (size_t)(c->cin / JF_LANES) * lanes,
	    .sums = c->scratch + (size_t)((c->cin + c->cout) / JF_LANES) * lanes,
	};

	for (int first = 0; first < tiles; first += block) {
		const int count = tiles - first < block ? tiles - first : block;

		for (int at = 0; at < count; at++) {
			const struct winograd_place place = winograd_place(&g.inputs, first + at);

			winograd_tile_input(&g.inputs, at, &place);
			if (place.inside)
				winograd_tile_gradient(&g, at, &place, true);
			else
				winograd_tile_gradient(&g, at, &place, false);
		}
		winograd_grad_products(&g, count, first == 0);
	}
	winograd_grad_weights(&g);
	if (c->db != NULL)
		row_sums(c->db, c->dy, c->images * c->h * c->w, c->cout);
}

#define JF_KERNELS_GRAD_WINOGRAD .conv3x3_grad_winograd = conv3x3_grad_winograd

#endif
