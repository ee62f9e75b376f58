/* The numeric kernels: packing, matrix product, attention, the choice of an instruction set. Product and attention
 * against naive ones in double precision on every instruction set that this CPU runs; equal bytes across instruction
 * sets and numbers of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/kernels/kernels.h"
#include "tests/unit/kernels_check.h"

/* --- packing --- */

static void test_pack(void **state) {
	static const int shapes[][2] = {{1, 1}, {3, 16}, {5, 17}, {9, 40}, {27, 3}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		const int k = shapes[s][0];
		const int n = shapes[s][1];
		float *weight = noise((size_t)(k * n));
		float *p = packed(weight, k, n);

		assert_int_equal(jf_pack_size(k, n), k * ((n + 15) / 16 * 16));
		for (int block = 0; block < (n + 15) / 16; block++)
			for (int row = 0; row < k; row++)
				for (int lane = 0; lane < 16; lane++) {
					const int o = block * 16 + lane;
					const float expect = o < n ? weight[row * n + o] : 0.0f;

					assert_true(p[(block * k + row) * 16 + lane] == expect);
				}
		free(weight);
		free(p);
	}
}

static void test_pack_transposed(void **state) {
	enum { K = 21, N = 34 };
	const size_t size = jf_pack_size(N, K);
	float *weight = noise(K * N);
	float *turned = noise(K * N);
	float *expect;
	float *p = floats(size);

	(void)state;
	for (int k = 0; k < K; k++)
		for (int n = 0; n < N; n++)
			turned[n * K + k] = weight[k * N + n];
	expect = packed(turned, N, K);
	jf_pack_transposed(p, weight, K, N);
	assert_memory_equal(p, expect, size * sizeof(float));
	free(weight);
	free(turned);
	free(expect);
	free(p);
}

static void test_pack_conv_transposed(void **state) {
	static const int shapes[][2] = {{1, 1}, {16, 32}, {17, 3}, {5, 20}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		const int cin = shapes[s][0];
		const int cout = shapes[s][1];
		float *weight = noise((size_t)(9 * cin * cout));
		float *turned = floats((size_t)(9 * cin * cout));
		float *expect;
		float *p = floats(jf_pack_size(9 * cout, cin));

		for (int tap = 0; tap < 9; tap++)
			for (int c = 0; c < cin; c++)
				for (int o = 0; o < cout; o++)
					turned[(tap * cout + o) * cin + c] = weight[((8 - tap) * cin + c) * cout + o];
		expect = packed(turned, 9 * cout, cin);
		jf_pack_conv_transposed(p, weight, cin, cout);
		assert_memory_equal(p, expect, jf_pack_size(9 * cout, cin) * sizeof(float));
		free(weight);
		free(turned);
		free(expect);
		free(p);
	}
}

/* --- products in double --- */

/* The exact products in the same order are the same doubles, on every instruction set. */
static void test_whiten(void **state) {
	static const int shapes[][3] = {{1, 1, 1}, {4, 37, 16}, {3, 300, 7}, {4, 5, 11}, {2, 64, 16}}; /* n, m, lanes */
	enum { STRIDE = 19 };

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		const int n = shapes[s][0], m = shapes[s][1], lanes = shapes[s][2];
		float *rows = noise((size_t)(m * STRIDE)), *from = noise((size_t)(n * m));
		double *values = malloc((size_t)(n * m) * sizeof(*values));
		double expect[JF_WHITEN_ROWS][JF_LANES], sums[JF_WHITEN_ROWS][JF_LANES];

		for (int i = 0; i < n * m; i++)
			values[i] = (double)from[i];
		for (int r = 0; r < n; r++)
			for (int j = 0; j < lanes; j++) {
				expect[r][j] = 0.25 * r;
				for (int i = 0; i < m; i++)
					expect[r][j] += values[r * m + i] * (double)rows[i * STRIDE + j];
			}
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			if (isa(i) == NULL)
				continue;
			for (int at = 0; at < JF_WHITEN_ROWS * JF_LANES; at++)
				sums[at / JF_LANES][at % JF_LANES] = 0.25 * (at / JF_LANES);
			isa(i)->whiten(sums[0], values, rows, STRIDE, n, m, lanes);
			for (int r = 0; r < n; r++)
				assert_memory_equal(sums[r], expect[r], (size_t)lanes * sizeof(**sums));
		}
		free(rows);
		free(from);
		free(values);
	}
}

/* --- matrix product --- */

struct gemm {
	int m, k, n;
	float *x, *weight, *w, *bias, *residual, *y, *first;
};

static void gemm_setup(struct gemm *g, const int shape[3]) {
	g->m = shape[0];
	g->k = shape[1];
	g->n = shape[2];
	g->x = noise((size_t)(g->m * g->k));
	g->weight = noise((size_t)(g->k * g->n));
	g->w = packed(g->weight, g->k, g->n);
	g->bias = noise((size_t)g->n);
	g->residual = noise((size_t)(g->m * g->n));
	g->y = noise((size_t)(g->m * g->n));
	g->first = noise((size_t)(g->m * g->n));
}

static void gemm_teardown(struct gemm *g) {
	free(g->x);
	free(g->weight);
	free(g->w);
	free(g->bias);
	free(g->residual);
	free(g->y);
	free(g->first);
}

static void gemm_check(const struct gemm *g, const float *bias, const float *residual, const char *where) {
	for (int i = 0; i < g->m; i++)
		for (int o = 0; o < g->n; o++) {
			double sum = bias != NULL ? (double)bias[o] : 0.0;
			double magnitude = fabs(sum);

			for (int c = 0; c < g->k; c++) {
				double term = (double)g->x[i * g->k + c] * (double)g->weight[c * g->n + o];
				sum += term;
				magnitude += fabs(term);
			}
			if (residual != NULL) {
				sum += (double)residual[i * g->n + o];
				magnitude += fabs((double)residual[i * g->n + o]);
			}
			check(g->y[i * g->n + o], sum, magnitude, g->k, "gemm", where);
		}
}

/* The same rows, a few at a time and one by one, with y in the residual's place. */
static void gemm_check_split(const struct gemm *g, const struct jf_kernels *jf) {
	const size_t bytes = (size_t)(g->m * g->n) * sizeof(float);

	for (int step = 1; step <= 9; step += 4) {
		memcpy(g->y, g->residual, bytes);
		for (int i = 0; i < g->m; i += step) {
			const int rows = g->m - i < step ? g->m - i : step;
			float *y = g->y + i * g->n;

			jf->gemm(y, g->x + i * g->k, g->w, g->bias, y, rows, g->k, g->n);
		}
		assert_memory_equal(g->y, g->first, bytes);
	}
}

static void test_gemm(void **state) {
	static const int shapes[][3] = {{1, 1, 1}, {1, 16, 16}, {5, 3, 8}, {6, 16, 9}, {7, 17, 10}, {13, 5, 24},
	    {14, 30, 40}, {15, 64, 33}, {29, 7, 48}, {49, 64, 96}, {57, 40, 72}, {100, 11, 31}, {196, 24, 16}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct gemm g;
		size_t bytes;

		gemm_setup(&g, shapes[s]);
		bytes = (size_t)(g.m * g.n) * sizeof(float);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);

			if (jf == NULL)
				continue;
			jf->gemm(g.y, g.x, g.w, NULL, NULL, g.m, g.k, g.n);
			gemm_check(&g, NULL, NULL, jf->name);
			jf->gemm(g.y, g.x, g.w, NULL, g.residual, g.m, g.k, g.n);
			gemm_check(&g, NULL, g.residual, jf->name);
			jf->gemm(g.y, g.x, g.w, g.bias, g.residual, g.m, g.k, g.n);
			gemm_check(&g, g.bias, g.residual, jf->name);
			if (i == 0)
				memcpy(g.first, g.y, bytes);
			assert_memory_equal(g.y, g.first, bytes);
			gemm_check_split(&g, jf);
		}
		gemm_teardown(&g);
	}
}

#if defined __SANITIZE_ADDRESS__
/* A gemm with one float too few in buffer `part` of x, w, residual, y; the process's exit status. */
static int gemm_with_short(const struct jf_kernels *jf, int part) {
	enum { M = 15, K = 17, N = 47 };
	const size_t floats[] = {M * K, jf_pack_size(K, N), M * N, M * N};
	int status = 0;
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		void *buffer[COUNT(floats)];

		for (size_t i = 0; i < COUNT(floats); i++) {
			const size_t size = (floats[i] - ((int)i == part)) * sizeof(float);

			if (posix_memalign(&buffer[i], 64, size) != 0)
				_exit(0);
			memset(buffer[i], 0, size);
		}
		close(STDERR_FILENO);
		jf->gemm(buffer[3], buffer[0], buffer[1], NULL, buffer[2], M, K, N);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

/* Where the tiles' checks are made all at once (core/kernels/watched.h), none is lost. */
static void test_gemm_is_watched(void **state) {
	(void)state;
	for (size_t i = 0; i < COUNT(isa_names); i++) {
		const struct jf_kernels *jf = isa(i);

		if (!jf)
			continue;
		assert_int_equal(gemm_with_short(jf, -1), 0);
		for (int part = 0; part < 4; part++)
			if (gemm_with_short(jf, part) == 0)
				fail_msg("%s: nobody saw that buffer %d is too short", jf->name, part);
	}
}
#endif

static void test_gemm_of_no_rows(void **state) {
	float y = 7.0f;
	float x = 1.0f;
	float *w = packed(&x, 1, 1);

	(void)state;
	for (size_t i = 0; i < COUNT(isa_names); i++)
		if (isa(i) != NULL)
			isa(i)->gemm(&y, &x, w, NULL, NULL, 0, 1, 1);
	assert_true(y == 7.0f);
	free(w);
}

/* --- attention --- */

struct attention {
	struct jf_attention n;
	float *q_rows, *a, *b, *y, *first_y, *first_probs;
	size_t probs_floats;
};

static void attention_setup(struct attention *t, const int shape[5]) {
	const size_t nq = (size_t)shape[0], na = (size_t)shape[1], nb = (size_t)shape[2], d = (size_t)shape[3];
	const size_t heads = (size_t)shape[4];

	t->probs_floats = heads * (na + nb) * JF_PAD16(nq);
	t->n = (struct jf_attention){.y = t->y = noise(nq * d),
	    .probs = noise(t->probs_floats),
	    .scratch = floats(JF_ATTENTION_SCRATCH(nq, d, heads)),
	    .q_rows = t->q_rows = noise(nq * 3 * d),
	    .a = t->a = noise(na * 3 * d),
	    .b = t->b = noise(nb * 3 * d),
	    .nq = shape[0],
	    .na = shape[1],
	    .nb = shape[2],
	    .d = shape[3],
	    .heads = shape[4],
	    .keep = true};
	t->first_y = noise(nq * d);
	t->first_probs = noise(t->probs_floats);
	for (size_t i = 0; i < nq * 3 * d; i++) /* far from even weights, and scores far below 0 */
		t->q_rows[i] = 40.0f * t->q_rows[i] - 10.0f;
}

static void attention_teardown(struct attention *t) {
	free(t->n.probs);
	free(t->n.scratch);
	free(t->q_rows);
	free(t->a);
	free(t->b);
	free(t->y);
	free(t->first_y);
	free(t->first_probs);
}

/* Query i's weights and answer in one head, in double precision. A score is off by at most 1e-4 of its magnitude. */
static void attention_check_row(const struct attention *t, int head, int i, const char *where) {
	const struct jf_attention *n = &t->n;
	const int nk = n->na + n->nb, width = n->d / n->heads, column = head * width;
	const size_t padded = JF_PAD16((size_t)n->nq);
	const float *p = n->probs + (size_t)(head * nk) * padded + (size_t)i;
	const float *q = n->q_rows + 3 * i * n->d + column;
	double e[512], top = -1e30, sum = 0.0;

	for (int j = 0; j < nk; j++) {
		const float *k = (j < n->na ? n->a + 3 * j * n->d : n->b + 3 * (j - n->na) * n->d) + n->d + column;

		e[j] = 0.0;
		for (int c = 0; c < width; c++)
			e[j] += (double)q[c] * (double)k[c] / sqrt((double)width);
		top = e[j] > top ? e[j] : top;
	}
	for (int j = 0; j < nk; j++)
		sum += e[j] = exp(e[j] - top);
	for (int j = 0; j < nk; j++)
		if (!(fabs((double)p[(size_t)j * padded] - e[j] / sum) <= 1e-4))
			fail_msg("%s: weight %d of query %d is %.9g", where, j, i, (double)p[(size_t)j * padded]);
	for (int c = 0; c < width; c++) {
		double y = 0.0;

		for (int j = 0; j < nk; j++)
			y += e[j] / sum *
			     (double)(j < n->na ? n->a + 3 * j * n->d
						: n->b + 3 * (j - n->na) * n->d)[2 * n->d + column + c];
		if (!(fabs((double)n->y[i * n->d + column + c] - y) <= 1e-4))
			fail_msg("%s: element %d of query %d", where, c, i);
	}
}

static void test_attention(void **state) {
	/* queries, tokens of either set, width, heads */
	static const int shapes[][5] = {{49, 49, 8, 64, 4}, {8, 49, 8, 64, 4}, {1, 1, 1, 1, 1}, {3, 2, 14, 32, 1},
	    {5, 16, 1, 24, 3}, {17, 30, 35, 40, 2}, {9, 60, 4, 96, 2}, {2, 256, 8, 20, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct attention t;
		size_t bytes;

		attention_setup(&t, shapes[s]);
		bytes = (size_t)(t.n.nq * t.n.d) * sizeof(float);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);

			if (jf == NULL)
				continue;
			jf->attention(&t.n);
			for (int q = 0; q < t.n.nq * t.n.heads; q++)
				attention_check_row(&t, q / t.n.nq, q % t.n.nq, jf->name);
			if (i == 0) {
				memcpy(t.first_y, t.y, bytes);
				memcpy(t.first_probs, t.n.probs, t.probs_floats * sizeof(float));
			}
			assert_memory_equal(t.y, t.first_y, bytes);
			assert_memory_equal(t.n.probs, t.first_probs, t.probs_floats * sizeof(float));
		}
		attention_teardown(&t);
	}
}

/* Two sets of queries in one call: the bytes of a call each. */
static void test_attention_of_two(void **state) {
	(void)state;
	for (size_t i = 0; i < COUNT(isa_names); i++) {
		const struct jf_kernels *jf = isa(i);
		struct attention t, u;

		if (jf == NULL)
			continue;
		attention_setup(&t, (int[5]){21, 21, 8, 48, 2});
		attention_setup(&u, (int[5]){8, 21, 8, 48, 2});
		free(t.n.probs);
		free(t.n.scratch);
		t.n.keep = false; /* one head's weights at a time */
		t.n.probs = floats((size_t)(21 + 8) * JF_PAD16(21 + 8));
		t.n.scratch = floats(JF_ATTENTION_SCRATCH(21 + 8, 48, 2));
		u.n.a = t.n.a;
		u.n.b = t.n.b;
		jf->attention(&t.n);
		jf->attention(&u.n);
		memcpy(t.first_y, t.y, 21 * 48 * sizeof(float));
		t.n.q2_rows = u.q_rows;
		t.n.nq2 = 8;
		t.n.y2 = u.first_y;
		jf->attention(&t.n);
		assert_memory_equal(t.y, t.first_y, 21 * 48 * sizeof(float));
		assert_memory_equal(u.first_y, u.y, 8 * 48 * sizeof(float));
		attention_teardown(&t);
		attention_teardown(&u);
	}
}

/* Rows that end within and beyond 16 numbers, with gaps and without; what lies between them stays. */
static void test_copy_rows(void **state) {
	static const size_t widths[] = {1, 15, 16, 17, 40};
	const size_t rows = 3, stride = 43, other = 41, total = (rows - 1) * stride;

	(void)state;
	for (size_t i = 0; i < COUNT(isa_names); i++)
		for (size_t w = 0; isa(i) != NULL && w < COUNT(widths); w++)
			for (int adds = 0; adds < 2; adds++) {
				const size_t n = widths[w];
				float *from = noise((rows - 1) * other + n), *to = noise(total + n),
				      *before = malloc((total + n) * sizeof(float));

				assert_non_null(before);
				memcpy(before, to, (total + n) * sizeof(float));
				isa(i)->copy_rows(to, stride, from, other, rows, n, adds != 0);
				for (size_t at = 0; at < total + n; at++) {
					const size_t r = at / stride, j = at % stride;
					const float x = j < n ? from[r * other + j] : 0.0f;

					assert_true(to[at] == (j >= n ? before[at] : adds ? before[at] + x : x));
				}
				free(from);
				free(to);
				free(before);
			}
}

/* --- the choice --- */

static void test_by_name(void **state) {
	(void)state;
	assert_non_null(jf_kernels_by_name("base"));
	assert_null(jf_kernels_by_name("mmx"));
	assert_null(jf_kernels_by_name(""));
	for (size_t i = 0; i < COUNT(isa_names); i++)
		if (isa(i) != NULL)
			assert_string_equal(isa(i)->name, isa_names[i]);
}

/* The choice is made once a process, so each case has a child of its own. */
static void expect_choice(const char *wanted, const char *expected) {
	char text[128];
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (wanted == NULL)
			unsetenv("JOINTFLOW_ISA");
		else
			setenv("JOINTFLOW_ISA", wanted, 1);
		if (strcmp(jf_kernels()->name, expected) != 0)
			_exit(1);
		_exit(jf_kernels_complaint(text, sizeof(text)) == (wanted && strcmp(wanted, expected) != 0) ? 0 : 2);
	}
	assert_true(waitpid(child, &status, 0) == child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Emulated does not count. */
static bool has(size_t i) {
	return jf_kernels_by_name(isa_names[i]) != NULL;
}

static void test_choice(void **state) {
	const char *widest = "base";

	(void)state;
	for (size_t i = 0; i < COUNT(isa_names); i++) {
		if (has(i))
			widest = isa_names[i];
	}
	expect_choice(NULL, widest);
	expect_choice("base", "base");
	expect_choice("pentium", widest);
	for (size_t i = 0; i < COUNT(isa_names); i++)
		expect_choice(isa_names[i], has(i) ? isa_names[i] : widest);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attention),
		cmocka_unit_test(test_attention_of_two),
		cmocka_unit_test(test_by_name),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_copy_rows),
		cmocka_unit_test(test_gemm),
#if defined __SANITIZE_ADDRESS__
		cmocka_unit_test(test_gemm_is_watched),
#endif
		cmocka_unit_test(test_gemm_of_no_rows),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_pack_conv_transposed),
		cmocka_unit_test(test_pack_transposed),
		cmocka_unit_test(test_whiten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
