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

/* One convolution, and the block of its tiles that is being worked on. */
struct winograd {
	const float *x; /* padded */
	float *y;
	const float *bias;
	const float *residual;
	float *v; /* [36][block][cin] transformed inputs, planes v_plane apart */
	float *m; /* [36][block][cout] products, planes m_plane apart */
	size_t v_plane;
	size_t m_plane;
	int h;
	int w;
	int cin;
	int cout;
};

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

/* Transforms the inputs of the tile whose first output pixel is (i, j) into place `at` of the block. What lies beyond
 * the padded image is zero; `inside`: nothing does. */
SIMD_INLINE void winograd_tile_input(const struct winograd *g, int at, int i, int j, const bool inside) {
	const size_t pixel = (size_t)g->cin;
	const size_t line = (size_t)(g->w + 2) * pixel;
	const size_t plane = g->v_plane;
	const float *x = g->x + (size_t)i * line + (size_t)j * pixel;
	float *out = g->v + (size_t)at * pixel;

	for (int c = 0; c < g->cin; c += VL, x += VL, out += VL) {
		vf t[WINOGRAD_N][WINOGRAD_N];

#pragma GCC unroll 6
		for (int q = 0; q < WINOGRAD_N; q++) {
			vf d[WINOGRAD_N];
			vf r[WINOGRAD_N];

#pragma GCC unroll 6
			for (int p = 0; p < WINOGRAD_N; p++)
				d[p] = inside || (i + p < g->h + 2 && j + q < g->w + 2)
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
SIMD_INLINE void winograd_tile_output(const struct winograd *g, int at, int i, int j, const bool inside) {
	const size_t pixel = (size_t)g->cout;
	const size_t line = (size_t)g->w * pixel;
	const size_t plane = g->m_plane;
	const size_t first = (size_t)i * line + (size_t)j * pixel;
	const float *in = g->m + (size_t)at * pixel;

	for (int c = 0; c < g->cout; c += VL, in += VL) {
		const vf bias = g->bias != NULL ? vf_load(g->bias + c) : vf_zero();
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
				if (inside || (i + p < g->h && j + q < g->w)) {
					const size_t to = first + (size_t)p * line + (size_t)q * pixel + (size_t)c;
					vf sum = vf_add(r[q], bias);

					if (g->residual != NULL)
						sum = vf_add(sum, vf_load(g->residual + to));
					vf_store(g->y + to, sum);
				}
		}
	}
}

/* One block of `count` tiles from tile `first` on. */
static void winograd_block(const struct winograd *g, const float *u, int first, int count) {
	const int across = (g->w + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
	const size_t u_plane = (size_t)g->cin * (size_t)g->cout;

	for (int at = 0; at < count; at++) {
		const int i = (first + at) / across * WINOGRAD_TILE;
		const int j = (first + at) % across * WINOGRAD_TILE;

		if (i + WINOGRAD_TILE <= g->h && j + WINOGRAD_TILE <= g->w)
			winograd_tile_input(g, at, i, j, true);
		else
			winograd_tile_input(g, at, i, j, false);
	}
	for (size_t f = 0; f < WINOGRAD_N * WINOGRAD_N; f++)
		gemm(g->m + f * g->m_plane, g->v + f * g->v_plane, u + f * u_plane, NULL, NULL, count, g->cin, g->cout);
	for (int at = 0; at < count; at++) {
		const int i = (first + at) / across * WINOGRAD_TILE;
		const int j = (first + at) % across * WINOGRAD_TILE;

		if (i + WINOGRAD_TILE <= g->h && j + WINOGRAD_TILE <= g->w)
			winograd_tile_output(g, at, i, j, true);
		else
			winograd_tile_output(g, at, i, j, false);
	}
}

/* Tiles are dealt out evenly to blocks. */
static void conv3x3_winograd(const struct jf_conv *c) {
	const int tiles = ((c->h + WINOGRAD_TILE - 1) / WINOGRAD_TILE) * ((c->w + WINOGRAD_TILE - 1) / WINOGRAD_TILE);
	const int blocks = (tiles + JF_WINOGRAD_BLOCK - 1) / JF_WINOGRAD_BLOCK;
	const int block = (tiles + blocks - 1) / blocks;
	const size_t v_plane = JF_WINOGRAD_PLANE((size_t)block * (size_t)c->cin);
	const struct winograd g = {
	    .x = c->x,
	    .y = c->y,
	    .bias = c->bias,
	    .residual = c->residual,
	    .v = c->scratch,
	    .m = c->scratch + WINOGRAD_N * WINOGRAD_N * v_plane,
	    .v_plane = v_plane,
	    .m_plane = JF_WINOGRAD_PLANE((size_t)block * (size_t)c->cout),
	    .h = c->h,
	    .w = c->w,
	    .cin = c->cin,
	    .cout = c->cout,
	};

	for (int first = 0; first < tiles; first += block)
		winograd_block(&g, c->weight, first, tiles - first < block ? tiles - first : block);
}

#define JF_KERNELS_WINOGRAD .conv3x3_winograd = conv3x3_winograd

#endif
