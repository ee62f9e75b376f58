/* Multi-head attention; part of body.h, after gemm.h.
 *
 * Everything is worked out with the lanes along the queries: scores, softmax and weighted sums of 16 queries at a time
 * need no sum across lanes and no packed copy of keys or values. Queries, keys and values come as two sets of rows
 * each. Weights lie as [keys][queries, filled up to 16 with zero queries]. */
#ifndef JF_CORE_KERNELS_ATTENTION_H
#define JF_CORE_KERNELS_ATTENTION_H

/* One head's columns of two sets of tokens, the second behind the first. */
struct token_rows {
	const float *a, *b;
	int na, n; /* of the first set, of both */
	size_t stride;
};

/* The same where they are written. */
struct token_sums {
	float *a, *b;
	int na, n;
	size_t stride;
};

SIMD_INLINE const float *token_row(const struct token_rows *t, int j) {
	return j < t->na ? t->a + (size_t)j * t->stride : t->b + (size_t)(j - t->na) * t->stride;
}

/* Transposed and packed as gemm's weight of t->n outputs: to[block of 16 tokens][column][16], zero beyond the last. */
static void pack_transposed(float *to, const struct token_rows *t, int width) {
	static const float zero[16];

	for (int j0 = 0; j0 < t->n; j0 += 16, to += 16 * width) {
		const float *from[16];
		int c = 0;

		for (; c + 16 <= width; c += 16) {
			for (int j = 0; j < 16; j++)
				from[j] = j0 + j < t->n ? token_row(t, j0 + j) + c : zero;
			transpose_16x16(to + 16 * c, from);
		}
		for (; c < width; c++)
			for (int j = 0; j < 16; j++)
				to[16 * c + j] = j0 + j < t->n ? token_row(t, j0 + j)[c] : 0.0f;
	}
}

/* Packed as gemm's weight of `width` outputs: to[block of 16 columns][token][16]. */
static void pack_tokens(float *to, const struct token_rows *t, int width) {
	for (int c = 0; c < width; c += 16) {
		const int lanes = width - c < 16 ? width - c : 16;

		for (int j = 0; j < t->n; j++, to += 16)
			v16_store(to, v16_load_part(token_row(t, j) + c, lanes));
	}
}

/* y[m][n] = x[m][k] w (+ residual), rows y_stride and x_stride apart, w packed as gemm's. */
static void rows_product(float *y, size_t y_stride, const float *x, size_t x_stride, const float *w,
    const float *residual, int m, int k, int n) {
	const struct product p = {
	    .x = x,
	    .m = m,
	    .width = m,
	    .step = x_stride,
	    .segments = 1,
	    .run = k,
	    .w = w,
	    .residual = residual,
	    .y = y,
	    .n = n,
	    .y_stride = y_stride,
	};

	if (m > 0)
		product_run(&p);
}

/* s[j][queries] = tokens x packed queries */
static void scores(float *s, size_t padded, const struct token_rows *t, const float *packed, int width) {
	rows_product(s, padded, t->a, t->stride, packed, NULL, t->na, width, (int)padded);
	rows_product(
	    s + (size_t)t->na * padded, padded, t->b, t->stride, packed, NULL, t->n - t->na, width, (int)padded);
}

#define SOFTMAX_ROWS 4 /* at a time; divides 16 */

/* exp(factor p - shift) of SOFTMAX_ROWS rows, or of the `left` there are, added to `sums`. */
SIMD_INLINE void softmax_rows(float *p, size_t padded, int left, vf *sums, float factor, vf shift) {
	vf e[SOFTMAX_ROWS];

#pragma GCC unroll 8
	for (int i = 0; i < SOFTMAX_ROWS; i++)
		e[i] = vf_fma(vf_load(p + (size_t)(i < left ? i : 0) * padded), vf_set1(-factor), shift);
	vf_exp_minus_each(e, SOFTMAX_ROWS);
#pragma GCC unroll 8
	for (int i = 0; i < SOFTMAX_ROWS; i++)
		if (i < left) {
			sums[i] = vf_add(sums[i], e[i]);
			vf_store(p + (size_t)i * padded, e[i]);
		}
}

/* Four chains beside each other. */
SIMD_INLINE vf columns_max(const float *p, int nk, size_t padded) {
	vf top[4];

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		top[i] = vf_load(p);
	for (int j = 0; j < nk; j += 4)
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			top[i] = vf_max(top[i], vf_load(p + (size_t)(j + i < nk ? j + i : 0) * padded));
	return vf_max(vf_max(top[0], top[1]), vf_max(top[2], top[3]));
}

/* p = softmax(factor p) over the nk rows of each of `padded` columns. A column's sum is that of 16 lanes, lane l adding
 * up rows l, l + 16, ..., folded as reduce16 does. */
static void softmax_columns(float *p, int nk, size_t padded, float factor) {
	for (size_t q = 0; q < padded; q += VL, p += VL) {
		const vf top = columns_max(p, nk, padded);
		const vf shift = vf_mul(top, vf_set1(factor));
		vf sums[16], inverse;

		for (int l = 0; l < 16; l++)
			sums[l] = vf_zero();
		for (int j = 0; j < nk; j += SOFTMAX_ROWS)
			softmax_rows(p + (size_t)j * padded, padded, nk - j, sums + j % 16, factor, shift);
		for (int half = 8; half > 0; half /= 2)
			for (int l = 0; l < half; l++)
				sums[l] = vf_add(sums[l], sums[l + half]);
		inverse = vf_div(vf_set1(1.0f), sums[0]);
		for (int j = 0; j < nk; j++)
			vf_store(p + (size_t)j * padded, vf_mul(vf_load(p + (size_t)j * padded), inverse));
	}
}

/* Columns and vectors of queries of the tile below. */
#if VL == 16
#define COLUMN_ROWS 8
#elif VL == 8 || VL == 4
#define COLUMN_ROWS 4
#else
#define COLUMN_ROWS 1
#endif

/* to[c][queries] = sum over the tokens in order of token[c] p[token][queries], for `rows` columns from c on and some
 * vectors of queries, which `to` and p point at. */
SIMD_INLINE void columns_tile(
    float *to, const struct token_rows *t, int c, const float *p, size_t padded, const int rows, const int vectors) {
	vf acc[COLUMN_ROWS][TILE_VECTORS];

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int v = 0; v < vectors; v++)
			acc[r][v] = vf_zero();
	for (int set = 0; set < 2; set++) {
		const float *x = (set ? t->b : t->a) + c;

		for (int j = set ? t->n - t->na : t->na; j > 0; j--, x += t->stride, p += padded) {
			vf w[TILE_VECTORS];
#pragma GCC unroll 16
			for (int v = 0; v < vectors; v++)
				w[v] = vf_load(p + v * VL);
#pragma GCC unroll 16
			for (int r = 0; r < rows; r++) {
				const vf xr = vf_set1(x[r]);
#pragma GCC unroll 16
				for (int v = 0; v < vectors; v++)
					acc[r][v] = vf_fma(xr, w[v], acc[r][v]);
			}
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int v = 0; v < vectors; v++)
			vf_store(to + (size_t)r * padded + v * VL, acc[r][v]);
}

SIMD_INLINE void columns_run(
    float *to, const struct token_rows *t, int width, const float *p, size_t padded, const int vectors) {
	int c = 0;

	for (; c + COLUMN_ROWS <= width; c += COLUMN_ROWS)
		columns_tile(to + (size_t)c * padded, t, c, p, padded, COLUMN_ROWS, vectors);
	for (; c < width; c++)
		columns_tile(to + (size_t)c * padded, t, c, p, padded, 1, vectors);
}

static void columns_product(float *to, const struct token_rows *t, int width, const float *p, size_t padded) {
	const size_t wide = padded / (TILE_VECTORS * VL) * (TILE_VECTORS * VL);

	for (size_t q = 0; q < wide; q += TILE_VECTORS * VL)
		columns_run(to + q, t, width, p + q, padded, TILE_VECTORS);
	for (size_t q = wide; q < padded; q += 16)
		columns_run(to + q, t, width, p + q, padded, 16 / VL < TILE_VECTORS ? 16 / VL : 1);
}

/* Row q's `width` columns (+)= from[column][q], for all tokens of t. */
static void give_transposed(const struct token_sums *t, int width, const float *from, size_t padded, bool accumulate) {
	for (int q0 = 0; q0 < t->n; q0 += 16)
		for (int c = 0; c < width; c += 16) {
			static const float zero[16];
			const int lanes = width - c < 16 ? width - c : 16;
			const float *rows[16];
			float block[16 * 16];

			for (int j = 0; j < 16; j++)
				rows[j] = j < lanes ? from + (size_t)(c + j) * padded + q0 : zero;
			transpose_16x16(block, rows);
			for (int q = 0; q < 16 && q0 + q < t->n; q++) {
				const int at = q0 + q;
				float *to = (at < t->na ? t->a + (size_t)at * t->stride
							: t->b + (size_t)(at - t->na) * t->stride) +
					    c;
				struct v16 y = v16_load(block + 16 * q);

				if (accumulate)
					y = v16_add(v16_load_part(to, lanes), y);
				v16_store_part(to, y, lanes);
			}
		}
}

/* A third of a head's columns of both token sets, and what else comes as rows of the same tokens. */
static struct token_rows thirds(const float *a, const float *b, int na, int nb, int d, int column) {
	return (struct token_rows){a + column, b + column, na, na + nb, 3 * (size_t)d};
}

static struct token_sums sum_thirds(float *a, float *b, int na, int nb, int d, int column) {
	return (struct token_sums){a + column, b + column, na, na + nb, 3 * (size_t)d};
}

static void attention(const struct jf_attention *n) {
	const int width = n->d / n->heads, nq = n->nq + n->nq2, nk = n->na + n->nb;
	const size_t padded = JF_PAD16((size_t)nq);
	float *packed = n->scratch, *turned = packed + padded * (size_t)width;

	for (int i = 0; i < n->heads; i++) {
		const int column = i * width;
		const float *q2 = n->nq2 > 0 ? n->q2_rows : n->q_rows;
		const struct token_rows queries = thirds(n->q_rows, q2, n->nq, n->nq2, n->d, column);
		const struct token_rows keys = thirds(n->a, n->b, n->na, n->nb, n->d, n->d + column);
		const struct token_rows values = thirds(n->a, n->b, n->na, n->nb, n->d, 2 * n->d + column);
		const struct token_sums answers = {
		    n->y + column, (n->nq2 > 0 ? n->y2 : n->y) + column, n->nq, nq, (size_t)n->d};
		float *p = n->probs + (n->keep ? (size_t)i * (size_t)nk * padded : 0);

		pack_transposed(packed, &queries, width);
		scores(p, padded, &keys, packed, width);
		softmax_columns(p, nk, padded, 1.0f / sqrtf((float)width));
		columns_product(turned, &values, width, p, padded);
		give_transposed(&answers, width, turned, padded, false);
	}
}

/* ds = factor p (dp - sum_k p_k dp_k), in place of dp, column by column. */
static void softmax_columns_grad(float *dp, const float *p, int nk, size_t padded, float factor) {
	for (size_t q = 0; q < padded; q += VL, dp += VL, p += VL) {
		vf dot = vf_zero();

		for (int j = 0; j < nk; j++)
			dot = vf_fma(vf_load(p + (size_t)j * padded), vf_load(dp + (size_t)j * padded), dot);
		for (int j = 0; j < nk; j++) {
			float *at = dp + (size_t)j * padded;

			vf_store(at,
			    vf_mul(vf_mul(vf_set1(factor), vf_load(p + (size_t)j * padded)), vf_sub(vf_load(at), dot)));
		}
	}
}

/* Every token's gradient += sum over the queries of weights[token][query] times the query's packed row. */
static void give_tokens(
    const struct token_sums *to, const float *weights, size_t padded, const float *packed, int nq, int width) {
	rows_product(to->a, to->stride, weights, padded, packed, to->a, to->na, nq, width);
	rows_product(
	    to->b, to->stride, weights + (size_t)to->na * padded, padded, packed, to->b, to->n - to->na, nq, width);
}

static void attention_grad(const struct jf_attention_grad *n) {
	const int width = n->d / n->heads, nq = n->nq, nk = n->na + n->nb;
	const size_t padded = JF_PAD16((size_t)nq), packed = padded * JF_PAD16((size_t)width);
	float *dy_turned = n->scratch, *rows = dy_turned + packed, *ds = rows + packed;

	for (int i = 0; i < n->heads; i++) {
		const int column = i * width;
		const struct token_rows queries = thirds(n->q_rows, n->q_rows, nq, 0, n->d, column);
		const struct token_sums dqueries = sum_thirds(n->dq_rows, n->dq_rows, nq, 0, n->d, column);
		const struct token_rows dy = {n->dy + column, n->dy + column, nq, nq, (size_t)n->d};
		const struct token_rows keys = thirds(n->a, n->b, n->na, n->nb, n->d, n->d + column);
		const struct token_sums dkeys = sum_thirds(n->da, n->db, n->na, n->nb, n->d, n->d + column);
		const struct token_rows values = thirds(n->a, n->b, n->na, n->nb, n->d, 2 * n->d + column);
		const struct token_sums dvalues = sum_thirds(n->da, n->db, n->na, n->nb, n->d, 2 * n->d + column);
		const float *p = n->probs + (size_t)i * (size_t)nk * padded;

		pack_transposed(dy_turned, &dy, width);
		scores(ds, padded, &values, dy_turned, width);
		softmax_columns_grad(ds, p, nk, padded, 1.0f / sqrtf((float)width));
		columns_product(dy_turned, &keys, width, ds, padded);
		give_transposed(&dqueries, width, dy_turned, padded, true);
		pack_tokens(rows, &queries, width);
		give_tokens(&dkeys, ds, padded, rows, nq, width);
		pack_tokens(rows, &dy, width);
		give_tokens(&dvalues, p, padded, rows, nq, width);
	}
}

#define JF_KERNELS_ATTENTION .attention = attention, .attention_grad = attention_grad

#endif
