/* Multi-head attention; part of kernels_body.h, after kernels_norm.h (load_n, store_n, exp_row). Floor 0. */
#ifndef JF_CORE_KERNELS_ATTENTION_H
#define JF_CORE_KERNELS_ATTENTION_H

/* The union of two token sets: row j of [a; b], third `third` of its 3 d columns. */
SIMD_INLINE const float *token(const float *a, const float *b, int na, int d, int j, int third) {
	const float *row = j < na ? a + (size_t)j * 3 * (size_t)d : b + (size_t)(j - na) * 3 * (size_t)d;
	return row + (size_t)third * (size_t)d;
}

/* t[i][j] = column i of head's third of token j, j < nk; zero up to nk_padded. */
static void transpose_tokens(
    float *t, const float *a, const float *b, int na, int nk, int nk_padded, int d, int column, int width, int third) {
	for (int j = 0; j < nk; j++) {
		const float *row = token(a, b, na, d, j, third) + column;
		for (int i = 0; i < width; i++)
			t[(size_t)i * (size_t)nk_padded + (size_t)j] = row[i];
	}
	for (int i = 0; i < width; i++)
		for (int j = nk; j < nk_padded; j++)
			t[(size_t)i * (size_t)nk_padded + (size_t)j] = 0.0f;
}

/* s[j] = factor * sum_i q[i] t[i][j] for all j < nk_padded (a multiple of 16). */
static void scores_row(float *s, const float *q, const float *t, float factor, int width, int nk_padded) {
	for (int j = 0; j < nk_padded; j += 16) {
		vf acc[NVL];

		for (int v = 0; v < NVL; v++)
			acc[v] = vf_zero();
		for (int i = 0; i < width; i++)
			for (int v = 0; v < NVL; v++)
				acc[v] = vf_fma(
				    vf_set1(q[i]), vf_load(t + (size_t)i * (size_t)nk_padded + j + v * VL), acc[v]);
		for (int v = 0; v < NVL; v++)
			vf_store(s + j + v * VL, vf_mul(acc[v], vf_set1(factor)));
	}
}

/* y[i] = sum_j p[j] value_j[i] for one query and one head; two queries at a time hide the latency. */
static void values_rows(float *y, const float *p, const float *a, const float *b, int na, int nk, int nk_padded, int d,
    int column, int width, int rows) {
	for (int c0 = 0; c0 < width; c0 += VL) {
		int lanes = width - c0 < VL ? width - c0 : VL;
		vf acc[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};

		for (int j = 0; j < nk; j++) {
			vf value = load_n(token(a, b, na, d, j, 2) + column + c0, lanes);
			for (int r = 0; r < 4; r++)
				acc[r] = vf_fma(vf_set1(p[(size_t)(r < rows ? r : 0) * (size_t)nk_padded + (size_t)j]),
				    value, acc[r]);
		}
		for (int r = 0; r < rows; r++)
			store_n(y + (size_t)r * (size_t)d + column + c0, acc[r], lanes);
	}
}

static void attention(float *y, float *probs, float *scratch, const float *q_rows, const float *a, const float *b,
    int nq, int na, int nb, int d, int heads) {
	int width = d / heads, nk = na + nb, nk_padded = JF_PAD16(nk);
	float factor = 1.0f / sqrtf((float)width);

	for (int head = 0; head < heads; head++) {
		int column = head * width;
		float *p = probs + (size_t)head * (size_t)nq * (size_t)nk_padded;

		transpose_tokens(scratch, a, b, na, nk, nk_padded, d, column, width, 1);
		for (int i = 0; i < nq; i++) {
			float *row = p + (size_t)i * (size_t)nk_padded;
			float sum;

			scores_row(row, q_rows + (size_t)i * 3 * (size_t)d + column, scratch, factor, width, nk_padded);
			sum = exp_row(row, row, nk);
			for (int j = 0; j < nk_padded; j++)
				row[j] = j < nk ? row[j] / sum : 0.0f;
		}
		for (int i = 0; i < nq; i += 4)
			values_rows(y + (size_t)i * (size_t)d, p + (size_t)i * (size_t)nk_padded, a, b, na, nk,
			    nk_padded, d, column, width, nq - i < 4 ? nq - i : 4);
	}
}

/* ds[j] = factor p[j] (dp[j] - sum_k p[k] dp[k]), in place of dp. */
static void softmax_row_grad(float *dp, const float *p, float factor, int nk) {
	float dot = 0.0f;

	for (int j = 0; j < nk; j++)
		dot += p[j] * dp[j];
	for (int j = 0; j < nk; j++)
		dp[j] = factor * p[j] * (dp[j] - dot);
}

/* One query of one head: dq += sum_j ds_j key_j; dkey_j += ds_j q; dvalue_j += p_j dy. */
static void spread_query_grad(float *dq, float *da, float *db, const float *ds, const float *p, const float *q,
    const float *dy, const float *a, const float *b, int na, int nk, int d, int column, int width) {
	for (int c0 = 0; c0 < width; c0 += VL) {
		int lanes = width - c0 < VL ? width - c0 : VL;
		vf vq = load_n(q + c0, lanes), vy = load_n(dy + c0, lanes), acc = load_n(dq + c0, lanes);

		for (int j = 0; j < nk; j++) {
			float *row = (j < na ? da + (size_t)j * 3 * (size_t)d : db + (size_t)(j - na) * 3 * (size_t)d) +
				     column + c0;
			vf s = vf_set1(ds[j]);

			acc = vf_fma(s, load_n(token(a, b, na, d, j, 1) + column + c0, lanes), acc);
			store_n(row + d, vf_fma(s, vq, load_n(row + d, lanes)), lanes);
			store_n(row + 2 * d, vf_fma(vf_set1(p[j]), vy, load_n(row + 2 * d, lanes)), lanes);
		}
		store_n(dq + c0, acc, lanes);
	}
}

static void attention_grad(float *dq_rows, float *da, float *db, float *scratch, const float *probs,
    const float *q_rows, const float *a, const float *b, const float *dy, int nq, int na, int nb, int d, int heads) {
	int width = d / heads, nk = na + nb, nk_padded = JF_PAD16(nk);
	float *values = scratch, *ds = scratch + (size_t)nk_padded * (size_t)d;
	float factor = 1.0f / sqrtf((float)width);

	for (int head = 0; head < heads; head++) {
		int column = head * width;

		transpose_tokens(values, a, b, na, nk, nk_padded, d, column, width, 2);
		for (int i = 0; i < nq; i++) {
			const float *p = probs + ((size_t)head * (size_t)nq + (size_t)i) * (size_t)nk_padded;
			const float *dyi = dy + (size_t)i * (size_t)d + column;
			size_t query = (size_t)i * 3 * (size_t)d + (size_t)column;

			scores_row(ds, dyi, values, 1.0f, width, nk_padded);
			softmax_row_grad(ds, p, factor, nk);
			spread_query_grad(
			    dq_rows + query, da, db, ds, p, q_rows + query, dyi, a, b, na, nk, d, column, width);
		}
	}
}

#define JF_KERNELS_ATTENTION .attention = attention, .attention_grad = attention_grad

#endif
