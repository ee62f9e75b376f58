/* Matrix products: the register tile that gemm and the 3x3 convolutions share; part of body.h.
 *
 * A tile is a few rows (pixels) times a few vectors of output channels. Each row's inputs are `segments` runs of `run`
 * consecutive floats, `segment_stride` apart (gemm: one run of k; 3x3: three image rows of 3 * cin); the packed weights
 * lie in the same order. Each output element is one accumulator: bias, then k ascending, then the residual. So its
 * bytes do not depend on the tile it fell into. */
#ifndef JF_CORE_KERNELS_GEMM_H
#define JF_CORE_KERNELS_GEMM_H

#include "core/kernels/kernels.h"
#include "core/kernels/simd.h"
#include "core/kernels/watched.h"

/* Rows and vectors of the largest tile, within the register file: 12 + 3 of 16, 24 + 5 or 28 + 2 of 32. */
#if VL == 16
#define TILE_ROWS 14
#define TILE_VECTORS 2
#elif VL == 8
#define TILE_ROWS 6
#define TILE_VECTORS 2
#elif VL == 4
#define TILE_ROWS 6
#define TILE_VECTORS 4
#else
#define TILE_ROWS 1
#define TILE_VECTORS 16
#endif

/* The blocks of weights that a group of columns spans. The next group's, or the next product's, lie right behind; the
 * first tile fetches them into the cache in advance, which a processor does not do by itself beyond a page of 4096
 * bytes. The others need not, and every load that a tile does without makes it faster. */
#define TILE_BLOCKS (TILE_VECTORS * VL / JF_LANES > 1 ? TILE_VECTORS * VL / JF_LANES : 1)

/* A product to compute: rows of inputs times packed weights. Row p of the m rows begins at
 * x + (p / width) * line_stride + (p % width) * step: pixels of an image, or plain matrix rows (width = m). */
struct product {
	const float *x;
	int m;
	int width;
	size_t line_stride;
	size_t step;
	int segments;
	int run;
	size_t segment_stride;
	const float *w;
	const float *bias;     /* [n] or NULL */
	const float *residual; /* beside y, or NULL */
	float *y;              /* [m][n], rows y_stride apart */
	int n;
	size_t y_stride;
};

/* One tile of a product. Copies what the inner loop needs, so that no store to y makes the compiler load it again. */
struct tile {
	const float *x[TILE_ROWS]; /* first input of each row */
	size_t step;               /* from each row to the next, where they lie evenly */
	int segments;
	int run;
	size_t segment_stride;
	const float *w;        /* the first of the tile's blocks */
	size_t block;          /* floats of a packed block */
	float *y;              /* first output */
	const float *residual; /* beside y, or NULL */
	size_t y_stride;       /* from one row of outputs to the next */
	int lanes;             /* outputs from the tile's first on */
	vf bias[TILE_VECTORS];
};

SIMD_INLINE void tile_store(const struct tile *t, vf acc[TILE_ROWS][TILE_VECTORS], const int rows, const int vectors) {
	const size_t n = t->y_stride;
	const float *residual = t->residual;
	float *y = t->y;

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++) {
#pragma GCC unroll 16
		for (int v = 0; v < vectors; v++) {
			vf sum = acc[r][v];

			if (residual != NULL)
				sum = vf_add(sum, vf_load(residual + (size_t)r * n + (size_t)(v * VL)));
			vf_store(y + (size_t)r * n + (size_t)(v * VL), sum);
		}
	}
}

/* The same where the row ends within the tile. */
SIMD_INLINE void tile_store_part(
    const struct tile *t, vf acc[TILE_ROWS][TILE_VECTORS], const int rows, const int vectors) {
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int v = 0; v < vectors; v++) {
			const size_t at = (size_t)r * t->y_stride + (size_t)(v * VL);
			const int lanes = v16_lanes(t->lanes, v);
			vf sum = acc[r][v];

			if (t->residual != NULL)
				sum = vf_add(sum, vf_load_part(t->residual + at, lanes));
			vf_store_part(t->y + at, sum, lanes);
		}
}

#define TILE_THIRDS ((TILE_ROWS + 2) / 3)

/* Pointers to each third row, which with the step and twice the step reach all: a pointer for each row is more than the
 * processor has registers for. */
SIMD_INLINE void tile_thirds(const float *third[TILE_THIRDS], const struct tile *t, size_t at, const int rows) {
#pragma GCC unroll 16
	for (int r = 0; r < rows; r += 3)
		third[r / 3] = t->x[r] + at;
}

/* The barrier keeps the compiler from going back to one pointer for each row. */
SIMD_INLINE void tile_thirds_go_on(const float *third[TILE_THIRDS], const int rows) {
#pragma GCC unroll 16
	for (int r = 0; r < rows; r += 3) {
		third[r / 3]++;
		__asm__("" : "+r"(third[r / 3]));
	}
}

/* first: of its columns, so it fetches the weights of the next, and its rows may lie anywhere; the others' lie `step`
 * apart. */
SIMD_INLINE void tile_run(const struct tile *t, const int rows, const int vectors, const bool first) {
	const size_t block = t->block, step = t->step;
	const float *w = t->w;
	vf acc[TILE_ROWS][TILE_VECTORS];

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int v = 0; v < vectors; v++)
			acc[r][v] = t->bias[v];
	for (int s = 0; s < t->segments; s++) {
		size_t at = (size_t)s * t->segment_stride;
		const float *third[TILE_THIRDS];

		if (!first)
			tile_thirds(third, t, at, rows);
		for (int k = 0; k < t->run; k++, at++, w += JF_LANES) {
			vf wv[TILE_VECTORS];
#pragma GCC unroll 16
			for (int v = 0; v < vectors; v++) {
				wv[v] = vf_load(w + (size_t)(v * VL / JF_LANES) * block + v * VL % JF_LANES);
				if (first && v * VL % JF_LANES == 0)
					__builtin_prefetch(w + (size_t)(v * VL / JF_LANES + TILE_BLOCKS) * block);
			}
#pragma GCC unroll 16
			for (int r = 0; r < rows; r++) {
				vf x = vf_set1(first ? t->x[r][at] : third[r / 3][(size_t)(r % 3) * step]);
#pragma GCC unroll 16
				for (int v = 0; v < vectors; v++)
					acc[r][v] = vf_fma(x, wv[v], acc[r][v]);
			}
			if (!first)
				tile_thirds_go_on(third, rows);
		}
	}
	if (t->lanes >= vectors * VL)
		tile_store(t, acc, rows, vectors);
	else
		tile_store_part(t, acc, rows, vectors);
}

typedef void tile_fn(const struct tile *t);

#if VL == 16
#define TILE_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14)
#define TILE_LIST(f) \
	f##_1, f##_2, f##_3, f##_4, f##_5, f##_6, f##_7, f##_8, f##_9, f##_10, f##_11, f##_12, f##_13, f##_14
#elif VL == 8 || VL == 4
#define TILE_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6)
#define TILE_LIST(f) f##_1, f##_2, f##_3, f##_4, f##_5, f##_6
#else
#define TILE_EACH(M) M(1)
#define TILE_LIST(f) f##_1
#endif

/* For each number of rows: all vectors, one vector; the first tile and any other. */
#define TILE_FN(rows)                                                          \
	JF_UNWATCHED static void tile_all_##rows(const struct tile *t) {       \
		tile_run(t, rows, TILE_VECTORS, false);                        \
	}                                                                      \
	JF_UNWATCHED static void tile_one_##rows(const struct tile *t) {       \
		tile_run(t, rows, 1, false);                                   \
	}                                                                      \
	JF_UNWATCHED static void tile_first_all_##rows(const struct tile *t) { \
		tile_run(t, rows, TILE_VECTORS, true);                         \
	}                                                                      \
	JF_UNWATCHED static void tile_first_one_##rows(const struct tile *t) { \
		tile_run(t, rows, 1, true);                                    \
	}
TILE_EACH(TILE_FN)
static tile_fn *const tile_all[TILE_ROWS] = {TILE_LIST(tile_all)};
static tile_fn *const tile_one[TILE_ROWS] = {TILE_LIST(tile_one)};
static tile_fn *const tile_first_all[TILE_ROWS] = {TILE_LIST(tile_first_all)};
static tile_fn *const tile_first_one[TILE_ROWS] = {TILE_LIST(tile_first_one)};

/* What the tile functions read and write, for a sanitizer. */
static inline void tile_watch(const struct tile *t, int rows) {
	const int vectors = t->lanes > VL ? TILE_VECTORS : 1;
	const size_t lanes = (size_t)(t->lanes < vectors * VL ? t->lanes : vectors * VL);

	for (int at = 0; at < vectors * VL; at += JF_LANES)
		watch_read(t->w + (size_t)(at / JF_LANES) * t->block, t->block);
	for (int r = 0; r < rows; r++) {
		for (int s = 0; s < t->segments; s++)
			watch_read(t->x[r] + (size_t)s * t->segment_stride, (size_t)t->run);
		if (t->residual != NULL)
			watch_read(t->residual + (size_t)r * t->y_stride, lanes);
		watch_write(t->y + (size_t)r * t->y_stride, lanes);
	}
}

/* The tiles of one group of columns. Rows are dealt out evenly, so that no tile is much smaller, hence slower,
 * than the others. */
static void product_columns(const struct product *p, struct tile *t) {
	const int tiles = (p->m + TILE_ROWS - 1) / TILE_ROWS;
	const int small = p->m / tiles;
	const int larger = p->m % tiles;
	tile_fn *const *fns = t->lanes > VL ? tile_all : tile_one;
	tile_fn *const *first = t->lanes > VL ? tile_first_all : tile_first_one;
	const float *line = p->x;
	int at = 0;

	for (int i = 0; i < tiles; i++) {
		const int rows = small + (i < larger ? 1 : 0);

		for (int r = 0; r < rows; r++) {
			t->x[r] = line + (size_t)at * p->step;
			if (++at == p->width) {
				at = 0;
				line += p->line_stride;
			}
		}
		tile_watch(t, rows);
		/* rows go on evenly but where an image's line ends */
		if (i > 0 && t->x[rows - 1] == t->x[0] + (size_t)(rows - 1) * p->step)
			fns[rows - 1](t);
		else
			first[rows - 1](t);
		t->y += (size_t)rows * p->y_stride;
		if (t->residual != NULL)
			t->residual += (size_t)rows * p->y_stride;
	}
}

static void product_run(const struct product *p) {
	struct tile t = {
	    .segments = p->segments,
	    .run = p->run,
	    .segment_stride = p->segment_stride,
	    .block = (size_t)p->segments * (size_t)p->run * JF_LANES,
	    .y_stride = p->y_stride,
	    .step = p->step,
	};

	for (int column = 0; column < p->n; column += TILE_VECTORS * VL) {
		t.w = p->w + (size_t)(column / JF_LANES) * t.block;
		t.y = p->y + column;
		t.residual = p->residual != NULL ? p->residual + column : NULL;
		t.lanes = p->n - column;
		for (int v = 0; v < TILE_VECTORS; v++)
			t.bias[v] = p->bias != NULL ? vf_load_part(p->bias + column + v * VL, v16_lanes(t.lanes, v))
						    : vf_zero();
		product_columns(p, &t);
	}
}

static void gemm(
    float *y, const float *x, const float *w_packed, const float *bias, const float *residual, int m, int k, int n) {
	const struct product p = {
	    .x = x,
	    .m = m,
	    .width = m,
	    .step = (size_t)k,
	    .segments = 1,
	    .run = k,
	    .w = w_packed,
	    .bias = bias,
	    .residual = residual,
	    .y = y,
	    .n = n,
	    .y_stride = (size_t)n,
	};

	if (m > 0)
		product_run(&p);
}

#define JF_KERNELS_GEMM .gemm = gemm

#endif
