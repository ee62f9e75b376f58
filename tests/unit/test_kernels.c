/* The numeric kernels: each against a naive reference in double precision with a rigorous rounding bound, on every
 * instruction set that this CPU runs; equal bytes across instruction sets, numbers of rows and positions. Buffers have
 * their exact size, so that AddressSanitizer sees any step outside. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/kernels.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const isa_names[] = {"base", "avx2", "avx512"};

/* The i-th instruction set's table, NULL when this CPU does not run it. */
static const struct jf_kernels *isa(size_t i) {
	return jf_kernels_by_name(isa_names[i]);
}

static float *floats(size_t n) {
	float *p = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);

	assert_non_null(p);
	return p;
}

/* n numbers in [-0.5, 0.5); ends exactly at the allocation's end. */
static float *noise(size_t n) {
	static uint32_t seed = 1;
	float *p = malloc((n > 0 ? n : 1) * sizeof(float));

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525U + 1013904223U;
		p[i] = (float)(seed >> 8) * 0x1p-24f - 0.5f;
	}
	return p;
}

static float *packed(const float *weight, int k, int n) {
	float *p = floats(jf_pack_size(k, n));

	jf_pack(p, weight, k, n);
	return p;
}

/* |value - sum| <= terms * 2^-23 * sum of magnitudes: twice what `terms` roundings can do. */
static void check(float value, double sum, double magnitude, int terms, const char *what, const char *where) {
	double bound = (terms + 3) * 0x1p-23 * magnitude;

	if (!(fabs((double)value - sum) <= bound))
		fail_msg("%s, %s: %.9g for %.9g, off by %.3g, allowed %.3g", what, where, (double)value, sum,
		    fabs((double)value - sum), bound);
}

/* --- packing -------------------------------------------------------------------------------------------------------
 */

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

/* --- matrix product ------------------------------------------------------------------------------------------------
 */

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

/* --- convolutions --------------------------------------------------------------------------------------------------
 */

struct conv {
	int h, w, cin, cout, stride;
	size_t line; /* floats of a padded image row */
	size_t outputs, weights;
	float *x, *weight, *packed, *bias, *residual, *y, *first;
};

static void conv_setup(struct conv *c, const int shape[5]) {
	c->h = shape[0];
	c->w = shape[1];
	c->cin = shape[2];
	c->cout = shape[3];
	c->stride = shape[4];
	c->line = (size_t)((c->stride * c->w + 2) * c->cin);
	c->outputs = (size_t)(c->h * c->w * c->cout);
	c->weights = (size_t)(9 * c->cin * c->cout);
	/* The border is noise, too: the kernels read it, zeros or not. */
	c->x = noise(c->line * (size_t)(c->stride * c->h + 2));
	c->weight = noise(c->weights);
	c->packed = packed(c->weight, 9 * c->cin, c->cout);
	c->bias = noise((size_t)c->cout);
	c->residual = noise(c->outputs);
	c->y = noise(c->outputs);
	c->first = noise(c->outputs);
}

static void conv_teardown(struct conv *c) {
	free(c->x);
	free(c->weight);
	free(c->packed);
	free(c->bias);
	free(c->residual);
	free(c->y);
	free(c->first);
}

/* Input (kh, kw, channel) of output pixel (i, j). */
static double conv_input(const struct conv *c, int i, int j, int tap, int channel) {
	const int row = c->stride * i + tap / 3;
	const int column = c->stride * j + tap % 3;

	return (double)c->x[(size_t)row * c->line + (size_t)(column * c->cin + channel)];
}

static void conv_check_pixel(
    const struct conv *c, int i, int j, const float *bias, const float *residual, const char *where) {
	for (int o = 0; o < c->cout; o++) {
		const int at = (i * c->w + j) * c->cout + o;
		double sum = bias != NULL ? (double)bias[o] : 0.0;
		double magnitude = fabs(sum);

		for (int tap = 0; tap < 9; tap++)
			for (int k = 0; k < c->cin; k++) {
				double weight = (double)c->weight[(tap * c->cin + k) * c->cout + o];
				double term = conv_input(c, i, j, tap, k) * weight;
				sum += term;
				magnitude += fabs(term);
			}
		if (residual != NULL) {
			sum += (double)residual[at];
			magnitude += fabs((double)residual[at]);
		}
		check(c->y[at], sum, magnitude, 9 * c->cin, "convolution", where);
	}
}

static void conv_check(const struct conv *c, const float *bias, const float *residual, const char *where) {
	for (int i = 0; i < c->h; i++)
		for (int j = 0; j < c->w; j++)
			conv_check_pixel(c, i, j, bias, residual, where);
}

/* Image rows do not depend on how many are worked on; y may be the residual. */
static void conv_check_rows(const struct conv *c, const struct jf_kernels *jf) {
	const size_t outputs = (size_t)(c->w * c->cout);

	memcpy(c->y, c->residual, c->outputs * sizeof(float));
	for (int i = 0; i < c->h; i++) {
		float *y = c->y + (size_t)i * outputs;

		jf->conv3x3(y, c->x + (size_t)(c->stride * i) * c->line, c->packed, c->bias, y, 1, c->w, c->cin,
		    c->cout, c->stride);
	}
	assert_memory_equal(c->y, c->first, c->outputs * sizeof(float));
}

static void test_conv3x3(void **state) {
	static const int shapes[][5] = {{1, 1, 1, 1, 1}, {1, 1, 3, 16, 2}, {28, 28, 1, 16, 1}, {3, 28, 3, 16, 1},
	    {4, 9, 2, 8, 1}, {5, 7, 5, 9, 2}, {7, 7, 16, 24, 1}, {3, 14, 16, 32, 2}, {6, 5, 7, 33, 1},
	    {7, 7, 24, 48, 2}, {2, 13, 12, 40, 1}, {7, 7, 64, 64, 1}, {2, 29, 4, 100, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;

		conv_setup(&c, shapes[s]);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);

			if (jf == NULL)
				continue;
			jf->conv3x3(c.y, c.x, c.packed, NULL, NULL, c.h, c.w, c.cin, c.cout, c.stride);
			conv_check(&c, NULL, NULL, jf->name);
			jf->conv3x3(c.y, c.x, c.packed, c.bias, c.residual, c.h, c.w, c.cin, c.cout, c.stride);
			conv_check(&c, c.bias, c.residual, jf->name);
			if (i == 0)
				memcpy(c.first, c.y, c.outputs * sizeof(float));
			assert_memory_equal(c.y, c.first, c.outputs * sizeof(float));
			conv_check_rows(&c, jf);
		}
		conv_teardown(&c);
	}
}

static void test_conv3x3_narrow(void **state) {
	static const int shapes[][5] = {{1, 1, 1, 1, 1}, {28, 28, 16, 1, 1}, {9, 28, 32, 3, 1}, {4, 6, 5, 2, 1},
	    {3, 7, 13, 4, 1}, {2, 5, 128, 3, 1}, {2, 9, 150, 2, 1}, {1, 6, 300, 1, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;

		conv_setup(&c, shapes[s]);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);

			if (jf == NULL)
				continue;
			jf->conv3x3_narrow(c.y, c.x, c.weight, NULL, c.h, c.w, c.cin, c.cout);
			conv_check(&c, NULL, NULL, jf->name);
			jf->conv3x3_narrow(c.y, c.x, c.weight, c.bias, c.h, c.w, c.cin, c.cout);
			conv_check(&c, c.bias, NULL, jf->name);
			if (i == 0)
				memcpy(c.first, c.y, c.outputs * sizeof(float));
			assert_memory_equal(c.y, c.first, c.outputs * sizeof(float));
			for (int row = 0; row < c.h; row++)
				jf->conv3x3_narrow(c.y + row * c.w * c.cout, c.x + (size_t)row * c.line, c.weight,
				    c.bias, 1, c.w, c.cin, c.cout);
			assert_memory_equal(c.y, c.first, c.outputs * sizeof(float));
		}
		conv_teardown(&c);
	}
}

/* dw and db were `before` resp. c->bias; c->residual is dy. */
static void grad_check(const struct conv *c, const float *dw, const float *before, const float *db, const char *where) {
	const float *dy = c->residual;

	for (int at = 0; at < 9 * c->cin; at++)
		for (int o = 0; o < c->cout; o++) {
			double sum = (double)before[at * c->cout + o];
			double magnitude = fabs(sum);

			for (int p = 0; p < c->h * c->w; p++) {
				double term = conv_input(c, p / c->w, p % c->w, at / c->cin, at % c->cin) *
					      (double)dy[p * c->cout + o];
				sum += term;
				magnitude += fabs(term);
			}
			check(dw[at * c->cout + o], sum, magnitude, c->h * c->w, "weight gradient", where);
		}
	for (int o = 0; o < c->cout; o++) {
		double sum = (double)c->bias[o];
		double magnitude = fabs(sum);

		for (int p = 0; p < c->h * c->w; p++) {
			sum += (double)dy[p * c->cout + o];
			magnitude += fabs((double)dy[p * c->cout + o]);
		}
		check(db[o], sum, magnitude, c->h * c->w, "bias gradient", where);
	}
}

static void test_conv3x3_grad_weight(void **state) {
	static const int shapes[][5] = {{1, 1, 1, 1, 1}, {28, 28, 1, 16, 1}, {28, 28, 16, 1, 1}, {9, 28, 5, 3, 1},
	    {5, 4, 3, 2, 1}, {3, 9, 30, 4, 1}, {6, 7, 7, 5, 1}, {14, 14, 16, 24, 1}, {7, 7, 64, 64, 1},
	    {3, 5, 2, 33, 1}, {11, 3, 17, 10, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;
		float *dw;
		float *db;
		float *again;

		conv_setup(&c, shapes[s]);
		dw = noise(c.weights);
		again = noise(c.weights);
		db = noise((size_t)c.cout);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);

			if (jf == NULL)
				continue;
			memcpy(dw, c.weight, c.weights * sizeof(float));
			memcpy(db, c.bias, (size_t)c.cout * sizeof(float));
			jf->conv3x3_grad_weight(dw, db, c.x, c.residual, c.h, c.w, c.cin, c.cout);
			grad_check(&c, dw, c.weight, db, jf->name);
			memcpy(again, c.weight, c.weights * sizeof(float));
			jf->conv3x3_grad_weight(again, NULL, c.x, c.residual, c.h, c.w, c.cin, c.cout);
			assert_memory_equal(dw, again, c.weights * sizeof(float));
		}
		free(dw);
		free(db);
		free(again);
		conv_teardown(&c);
	}
}

/* The data gradient is a convolution of dy with the turned, transposed weight. */
static void test_data_gradient(void **state) {
	enum { H = 5, W = 6, CIN = 7, COUT = 18 };
	float *weight = noise(9 * CIN * COUT);
	float *w = floats(jf_pack_size(9 * COUT, CIN));
	float *dy_padded = noise((H + 2) * (W + 2) * COUT);
	float *dx = noise(H * W * CIN);

	(void)state;
	jf_pack_conv_transposed(w, weight, CIN, COUT);
	for (int p = 0; p < (H + 2) * (W + 2); p++) {
		const int i = p / (W + 2);
		const int j = p % (W + 2);

		if (i == 0 || j == 0 || i == H + 1 || j == W + 1)
			memset(dy_padded + (size_t)(p * COUT), 0, COUT * sizeof(float));
	}
	for (size_t i = 0; i < COUNT(isa_names); i++) {
		if (isa(i) == NULL)
			continue;
		isa(i)->conv3x3(dx, dy_padded, w, NULL, NULL, H, W, COUT, CIN, 1);
		for (int q = 0; q < H * W * CIN; q++) {
			const int row = q / (W * CIN);
			const int column = q / CIN % W;
			double sum = 0.0;
			double magnitude = 0.0;

			/* Output (oi, oj) reads input (oi + kh - 1, oj + kw - 1). */
			for (int tap = 0; tap < 9; tap++) {
				const int oi = row + 1 - tap / 3;
				const int oj = column + 1 - tap % 3;

				if (oi < 0 || oi >= H || oj < 0 || oj >= W)
					continue;
				for (int o = 0; o < COUT; o++) {
					double term = (double)dy_padded[((oi + 1) * (W + 2) + oj + 1) * COUT + o] *
						      (double)weight[(tap * CIN + q % CIN) * COUT + o];
					sum += term;
					magnitude += fabs(term);
				}
			}
			check(dx[q], sum, magnitude, 9 * COUT, "data gradient", isa_names[i]);
		}
	}
	free(weight);
	free(w);
	free(dy_padded);
	free(dx);
}

/* --- the choice ----------------------------------------------------------------------------------------------------
 */

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
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (wanted == NULL)
			unsetenv("JOINTFLOW_ISA");
		else
			setenv("JOINTFLOW_ISA", wanted, 1);
		_exit(strcmp(jf_kernels()->name, expected) == 0 ? 0 : 1);
	}
	assert_true(waitpid(child, &status, 0) == child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_choice(void **state) {
	const char *widest = isa(2) != NULL ? "avx512" : isa(1) != NULL ? "avx2" : "base";

	(void)state;
	expect_choice(NULL, widest);
	expect_choice("base", "base");
	expect_choice("pentium", widest);
	for (size_t i = 0; i < COUNT(isa_names); i++)
		expect_choice(isa_names[i], isa(i) != NULL ? isa_names[i] : widest);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_by_name),
	    cmocka_unit_test(test_choice),
	    cmocka_unit_test(test_conv3x3),
	    cmocka_unit_test(test_conv3x3_grad_weight),
	    cmocka_unit_test(test_conv3x3_narrow),
	    cmocka_unit_test(test_data_gradient),
	    cmocka_unit_test(test_gemm),
	    cmocka_unit_test(test_gemm_of_no_rows),
	    cmocka_unit_test(test_pack),
	    cmocka_unit_test(test_pack_conv_transposed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
