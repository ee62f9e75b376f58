/* Multi-head attention; part of body.h, after norm.h (exp_row).
 * Everything but the softmax is a product of a small matrix of weights with rows of 16 lanes: weighted_rows. */
#ifndef JF_CORE_KERNELS_ATTENTION_H
#define JF_CORE_KERNELS_ATTENTION_H

/* A matrix in memory: element (i, j) at p[i * outer + j * inner]. */
struct view {
	const float *p;
	size_t outer, inner;
};

/* out[i][0 .. lanes) += sum_j weights(i, j) rows[j * stride + 0 .. lanes), i < n_out <= 4, j < n_rows in order. */
SIMD_INLINE void weighted_tile(float *out, size_t out_stride, int n_out, struct view weights, const float *rows,
    size_t stride, int n_rows, int lanes) {
	struct v16 acc[4];
	const float *w[4];

	for (int i = 0; i < 4; i++) {
		int k = i < n_out ? i : 0;
		acc[i] = v16_load_part(out + (size_t)k * out_stride, lanes);
		w[i] = weights.p + (size_t)k * weights.outer;
	}
	for (int j = 0; j < n_rows; j++, rows += stride) {
		struct v16 row = lanes == 16 ? v16_load(rows) : v16_load_part(rows, lanes);
		for (int i = 0; i < 4; i++)
			acc[i] = v16_fma(v16_set1(w[i][(size_t)j * weights.inner]), row, acc[i]);
	}
	for (int i = 0; i < n_out; i++)
		v16_store_part(out + (size_t)i * out_stride, acc[i], lanes);
}

/* out[i][c] += sum_j weights(i, j) rows[j][c], c < width. */
static void weighted_rows(float *out, size_t out_stride, int n_out, struct view weights, const float *rows,
    size_t stride, int n_rows, int width) {
	for (int c = 0; c < width; c += 16)
		for (int i = 0; i < n_out; i += 4) {
			struct view w = {weights.p + (size_t)i * weights.outer, weights.outer, weights.inner};
			float *to = out + (size_t)i * out_stride + c;
			int count = n_out - i < 4 ? n_out - i : 4;

			if (width - c >= 16)
				weighted_tile(to, out_stride, count, w, rows + c, stride, n_rows, 16);
			else
				weighted_tile(to, out_stride, count, w, rows + c, stride, n_rows, width - c);
		}
}

/* What a head works on: the union of both token sets, seen through one head's columns. */
struct head {
	const float *a, *b; /* the head's first query column in each set */
	int na, nb, nk, nk_padded, d, width;
};

/* y[m][n] = x[m][k] w, rows y_stride and x_stride apart, w packed as gemm's. */
static void rows_product(
    float *y, size_t y_stride, const float *x, size_t x_stride, const float *w, int m, int k, int n) {
	const struct product p = {
	    .x = x,
	    .m = m,
	    .width = m,
	    .step = x_stride,
	    .segments = 1,
	    .run = k,
	    .w = w,
	    .y = y,
	    .n = n,
	    .y_stride = y_stride,
	};

	product_run(&p);
}

static void zero_rows(float *out, size_t stride, int rows, int width) {
	for (int i = 0; i < rows; i++)
		memset(out + (size_t)i * stride, 0, (size_t)width * sizeof(float));
}

/* t[i][j] = column i of third `third` of token j; zero from nk to nk_padded. */
static void transpose_tokens(float *t, const struct head *h, int third) {
	size_t row = 3 * (size_t)h->d, offset = (size_t)third * (size_t)h->d, padded = (size_t)h->nk_padded;

	for (int j = 0; j < h->nk; j++) {
		const float *from = (j < h->na ? h->a + (size_t)j * row : h->b + (size_t)(j - h->na) * row) + offset;
		for (int i = 0; i < h->width; i++)
			t[(size_t)i * padded + (size_t)j] = from[i];
	}
	for (int i = 0; i < h->width; i++)
		memset(t + (size_t)i * padded + h->nk, 0, (padded - (size_t)h->nk) * sizeof(float));
}

/* out[i] += sum over all tokens j of weights(i, j) times third `third` of token j. */
static void gather_tokens(
    float *out, size_t out_stride, int n_out, struct view weights, const struct head *h, int third) {
	size_t row = 3 * (size_t)h->d, offset = (size_t)third * (size_t)h->d;
	struct view rest = {weights.p + (size_t)h->na * weights.inner, weights.outer, weights.inner};

	weighted_rows(out, out_stride, n_out, weights, h->a + offset, row, h->na, h->width);
	weighted_rows(out, out_stride, n_out, rest, h->b + offset, row, h->nb, h->width);
}

static struct head head_of(const float *a, const float *b, int na, int nb, int d, int heads, int head) {
	int width = d / heads, column = head * width;
	return (struct head){a + column, b + column, na, nb, na + nb, JF_PAD16(na + nb), d, width};
}

/* Row of a token in one third of a head's columns. */
SIMD_INLINE const float *token(const struct head *h, int third, int j) {
	const size_t row = 3 * (size_t)h->d, offset = (size_t)third * (size_t)h->d;

	return offset + (j < h->na ? h->a + (size_t)j * row : h->b + (size_t)(j - h->na) * row);
}

/* Third `third` of all tokens, transposed and packed as gemm's weight of nk_padded outputs: t[block][column][16
 * tokens], zero beyond the last token. */
static void pack_keys(float *t, const struct head *h, int third) {
	static const float zero[16];

	for (int j0 = 0; j0 < h->nk_padded; j0 += 16, t += 16 * h->width)
		if (h->width % 16 == 0) {
			const float *from[16];

			for (int c = 0; c < h->width; c += 16) {
				for (int j = 0; j < 16; j++)
					from[j] = j0 + j < h->nk ? token(h, third, j0 + j) + c : zero;
				transpose_16x16(t + 16 * c, from);
			}
		} else {
			for (int j = 0; j < 16; j++)
				for (int c = 0; c < h->width; c++)
					t[16 * c + j] = j0 + j < h->nk ? token(h, third, j0 + j)[c] : 0.0f;
		}
}

/* Third `third` of all tokens, packed as gemm's weight of `width` outputs: t[block of 16 columns][token][16]. */
static void pack_values(float *t, const struct head *h, int third) {
	for (int c = 0; c < h->width; c += 16) {
		const int lanes = h->width - c < 16 ? h->width - c : 16;

		for (int j = 0; j < h->nk; j++, t += 16)
			v16_store(t, lanes == 16 ? v16_load(token(h, third, j) + c)
						 : v16_load_part(token(h, third, j) + c, lanes));
	}
}

/* p = softmax(factor p) over the first nk of nk_padded = 16 blocks values, 0 beyond. */
SIMD_INLINE void softmax_row(float *p, const int blocks, int nk, float factor) {
	const int last = nk - 16 * (blocks - 1);
	const struct v16 f = v16_set1(factor), low = v16_set1(-0x1p+126f);
	struct v16 e, top = low, sum = v16_zero(), shift;

#pragma GCC unroll 4
	for (int b = 0; b < blocks; b++) {
		e = v16_load(p + 16 * b);
		top = v16_max(top, b == blocks - 1 ? v16_blend(e, low, last) : e);
	}
	shift = v16_set1(-reduce16_max(top) * factor);
#pragma GCC unroll 4
	for (int b = 0; b < blocks; b++) {
		e = v16_fma(v16_load(p + 16 * b), f, shift);
		for (int i = 0; i < NVL; i++)
			e.v[i] = vf_exp(e.v[i]);
		if (b == blocks - 1)
			e = v16_blend(e, v16_zero(), last);
		sum = v16_add(sum, e);
		v16_store(p + 16 * b, e);
	}
	shift = v16_set1(1.0f / reduce16(sum));
#pragma GCC unroll 4
	for (int b = 0; b < blocks; b++)
		v16_store(p + 16 * b, v16_mul(v16_load(p + 16 * b), shift));
}

static void softmax_rows(float *p, int rows, int nk, int nk_padded, float factor) {
	if (nk_padded == 64)
		for (int i = 0; i < rows; i++, p += 64)
			softmax_row(p, 4, nk, factor);
	else
		for (int i = 0; i < rows; i++, p += nk_padded)
			softmax_row(p, nk_padded / 16, nk, factor);
}

/* Each head: scores as one product with the packed keys, softmax in place, then one product with the packed values;
 * all of it fits the first-level cache. */
static void attention(const struct jf_attention *n) {
	const size_t row = 3 * (size_t)n->d;

	for (int i = 0; i < n->heads; i++) {
		const struct head h = head_of(n->a, n->b, n->na, n->nb, n->d, n->heads, i);
		const size_t padded = (size_t)h.nk_padded;
		float *keys = n->scratch, *values = keys + padded * (size_t)h.width;
		float *p = n->probs + (size_t)i * (size_t)n->nq * padded;

		pack_keys(keys, &h, 1);
		pack_values(values, &h, 2);
		rows_product(p, padded, n->q_rows + i * h.width, row, keys, n->nq, h.width, h.nk_padded);
		softmax_rows(p, n->nq, h.nk, h.nk_padded, 1.0f / sqrtf((float)h.width));
		rows_product(n->y + i * h.width, (size_t)n->d, p, padded, values, n->nq, h.nk, h.width);
	}
}

/* ds = factor p (dp - sum_k p_k dp_k), in place of dp, row by row. */
static void softmax_rows_grad(float *dp, const float *p, int rows, int nk_padded, float factor) {
	for (int i = 0; i < rows; i++, dp += nk_padded, p += nk_padded) {
		struct v16 acc = v16_zero();
		vf dot;

		for (int j = 0; j < nk_padded; j += 16)
			acc = v16_fma(v16_load(p + j), v16_load(dp + j), acc);
		dot = vf_set1(reduce16(acc));
		for (int j = 0; j < nk_padded; j += VL)
			vf_store(dp + j, vf_mul(vf_mul(vf_set1(factor), vf_load(p + j)), vf_sub(vf_load(dp + j), dot)));
	}
}

/* Third `third` of every token's gradient += sum over queries i of weights[i][token] rows[i]. */
static void scatter_tokens(float *da, float *db, const float *weights, const float *rows, size_t stride, int nq,
    const struct head *h, int third) {
	size_t row = 3 * (size_t)h->d, offset = (size_t)third * (size_t)h->d, padded = (size_t)h->nk_padded;

	weighted_rows(da + offset, row, h->na, (struct view){weights, 1, padded}, rows, stride, nq, h->width);
	weighted_rows(db + offset, row, h->nb, (struct view){weights + h->na, 1, padded}, rows, stride, nq, h->width);
}

static void attention_grad(const struct jf_attention_grad *n) {
	int nq = n->nq, d = n->d;

	for (int i = 0; i < n->heads; i++) {
		struct head h = head_of(n->a, n->b, n->na, n->nb, d, n->heads, i);
		size_t padded = (size_t)h.nk_padded, row = 3 * (size_t)d;
		const float *p = n->probs + (size_t)i * (size_t)nq * padded, *dyi = n->dy + i * h.width;
		float *values = n->scratch, *ds = n->scratch + padded * (size_t)h.width;
		int column = i * h.width;

		transpose_tokens(values, &h, 2);
		zero_rows(ds, padded, nq, h.nk_padded);
		weighted_rows(ds, padded, nq, (struct view){dyi, (size_t)d, 1}, values, padded, h.width, h.nk_padded);
		softmax_rows_grad(ds, p, nq, h.nk_padded, 1.0f / sqrtf((float)h.width));
		gather_tokens(n->dq_rows + column, row, nq, (struct view){ds, padded, 1}, &h, 1);
		scatter_tokens(n->da + column, n->db + column, ds, n->q_rows + column, row, nq, &h, 1);
		scatter_tokens(n->da + column, n->db + column, p, dyi, (size_t)d, nq, &h, 2);
	}
}

#define JF_KERNELS_ATTENTION .attention = attention, .attention_grad = attention_grad

#endif
