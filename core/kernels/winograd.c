#include "core/kernels/winograd.h"
#include "core/kernels/kernels.h"

#define SQRT2 1.4142135623730951
#define TILE 4
#define N 6

bool jf_winograd_suits(int h, int w, int cin, int cout) {
	return cin % JF_LANES == 0 && cout % JF_LANES == 0 && h > TILE && w > TILE;
}

size_t jf_winograd_size(int cin, int cout) {
	return N * N * (size_t)cin * (size_t)cout;
}

/* Of a block of at most `most` tiles, transformed inputs and outputs. */
static size_t block_floats(int images, int h, int w, int channels, size_t most) {
	size_t tiles = (size_t)images * (size_t)((h + TILE - 1) / TILE) * (size_t)((w + TILE - 1) / TILE);

	return (tiles < most ? tiles : most) * JF_WINOGRAD_STRIDE * (size_t)(channels / JF_LANES);
}

size_t jf_winograd_scratch(int images, int h, int w, int cin, int cout) {
	return block_floats(images, h, w, cin + cout, JF_WINOGRAD_BLOCK);
}

size_t jf_winograd_grad_scratch(int images, int h, int w, int cin, int cout) {
	return block_floats(images, h, w, cin + cout, JF_WINOGRAD_GRAD_BLOCK) +
	       (size_t)cin * (size_t)(cout / JF_LANES) * JF_WINOGRAD_STRIDE;
}

/* r = G g for JF_LANES kernels; elements of g and r are `step` apart. Row a of G is (1, a, a^2) over the product of a's
 * distances to the other points 0, +-sqrt 2, +-1 / sqrt 2; the last row, infinity's, is (0, 0, 1). */
static void transform(double *restrict r, const double *restrict g, size_t step) {
	for (size_t l = 0; l < JF_LANES; l++) {
		const double even = (g[l] + 2.0 * g[2 * step + l]) * (1.0 / 6.0);
		const double odd = g[step + l] * (SQRT2 / 6.0);
		const double even2 = (g[l] + 0.5 * g[2 * step + l]) * (-2.0 / 3.0);
		const double odd2 = g[step + l] * (-SQRT2 / 3.0);

		r[l] = g[l];
		r[step + l] = even + odd;
		r[2 * step + l] = even - odd;
		r[3 * step + l] = even2 + odd2;
		r[4 * step + l] = even2 - odd2;
		r[5 * step + l] = g[2 * step + l];
	}
}

/* u = G g G^T for JF_LANES kernels g[3][3]; the 36 results are `plane` floats apart. */
static void transform_lanes(float *u, size_t plane, double g[3][3][JF_LANES]) {
	double t[N][3][JF_LANES];
	double r[N][JF_LANES];

	for (int kw = 0; kw < 3; kw++)
		transform(t[0][kw], g[0][kw], sizeof(g[0]) / sizeof(double));
	for (int p = 0; p < N; p++) {
		transform(r[0], t[p][0], JF_LANES);
		for (int q = 0; q < N; q++, u += plane)
			for (int l = 0; l < JF_LANES; l++)
				u[l] = (float)r[q][l];
	}
}

void jf_winograd_pack(float *u, const float *weight, int cin, int cout) {
	const size_t plane = (size_t)cin * (size_t)cout;
	double g[3][3][JF_LANES];

	for (int block = 0; block < cout; block += JF_LANES)
		for (int c = 0; c < cin; c++, u += JF_LANES) {
			const float *first = weight + (size_t)c * (size_t)cout + (size_t)block;

			for (size_t tap = 0; tap < 9; tap++)
				for (size_t l = 0; l < JF_LANES; l++)
					g[tap / 3][tap % 3][l] = (double)first[tap * plane + l];
			transform_lanes(u, plane, g);
		}
}

void jf_winograd_pack_transposed(float *u, const float *weight, int cin, int cout) {
	const size_t plane = (size_t)cin * (size_t)cout;
	double g[3][3][JF_LANES];

	for (int block = 0; block < cin; block += JF_LANES)
		for (int o = 0; o < cout; o++, u += JF_LANES) {
			const float *first = weight + (size_t)block * (size_t)cout + (size_t)o;

			for (size_t tap = 0; tap < 9; tap++)
				for (size_t l = 0; l < JF_LANES; l++)
					g[tap / 3][tap % 3][l] = (double)first[(8 - tap) * plane + l * (size_t)cout];
			transform_lanes(u, plane, g);
		}
}
