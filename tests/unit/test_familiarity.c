/* How familiar an image is: the fit against figures that can be checked by hand, the quantiles, and what refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/engine/familiarity.h"
#include "core/questions/quality.h"

#define D 2
#define N 20000
#define MANY 19 /* of them at once */

/* Two classes around (0, 0) and (10, 0) with deviations 1 and 2, the coordinates correlated by 0.6. */
static void draw(float *x, uint16_t *y, uint64_t seed) {
	jf_rng_normal(x, (size_t)N * D, seed, JF_STREAM_LABEL, 0);
	for (int i = 0; i < N; i++) {
		float a = x[i * D], b = x[i * D + 1];

		y[i] = (uint16_t)(i % 2);
		x[i * D] = a + 10.0f * (float)y[i];
		x[i * D + 1] = 2.0f * (0.6f * a + 0.8f * b);
	}
}

static struct jf_familiarity *fitted(float *x, uint16_t *y) {
	struct jf_familiarity *f = jf_familiarity_create(D, 2);
	struct jf_error err = {0};

	assert_non_null(f);
	draw(x, y, 1);
	assert_int_equal(jf_familiarity_fit(f, x, y, N, &err), JF_OK);
	draw(x, y, 2);
	assert_int_equal(jf_familiarity_calibrate(f, x, N, &err), JF_OK);
	return f;
}

/* In two dimensions the squared distance is chi-squared with two degrees of freedom, nearer than r^2 with chance
 * 1 - exp(-r^2 / 2); so familiarity is exp(-r^2 / 2). */
static void test_share(void **state) {
	static const struct {
		float a, b; /* before correlation, from the class's centre */
		float centre;
	} cases[] = {{1, 0, 0}, {0, 1, 0}, {0, -1, 10}, {1, 1, 10}, {-1.5f, 1, 0}, {0, 3, 10}};
	float *x = malloc(sizeof(float) * N * D);
	uint16_t *y = malloc(sizeof(uint16_t) * N);
	struct jf_familiarity *f = fitted(x, y);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		float a = cases[i].a, b = cases[i].b;
		float at[D] = {cases[i].centre + a, 2.0f * (0.6f * a + 0.8f * b)};

		assert_true(fabsf(jf_familiarity_of(f, at) - expf(-0.5f * (a * a + b * b))) < 0.02f);
	}
	assert_true(jf_familiarity_of(f, (float[D]){5, 0}) < 0.001f);
	assert_true(jf_familiarity_of(f, (float[D]){0, 0}) > 0.99f);
	assert_true(jf_familiarity_of(f, (float[D]){1000, 0}) == 0.0f);
	assert_true(jf_familiarity_of(f, (float[D]){NAN, 0}) == 0.0f);
	assert_true(jf_familiarity_of(f, (float[D]){INFINITY, 0}) == 0.0f);
	jf_familiarity_destroy(f);
	free(x);
	free(y);
}

/* A share: one in a hundred of other images of the same kind is below 0.01, half are below a half. */
static void test_quantiles(void **state) {
	float *x = malloc(sizeof(float) * N * D);
	uint16_t *y = malloc(sizeof(uint16_t) * N);
	struct jf_familiarity *f = fitted(x, y);
	float all[MANY];
	int hundredth = 0, half = 0;

	(void)state;
	draw(x, y, 3);
	jf_familiarity_of_all(f, all, x, MANY);
	for (int i = 0; i < N; i++) {
		float share = jf_familiarity_of(f, x + i * D);

		if (i < MANY) /* the same bytes, alone or among others */
			assert_memory_equal(&all[i], &share, sizeof(share));

		assert_true(share >= 0 && share <= 1);
		hundredth += share < 0.01f;
		half += share < 0.5f;
	}
	assert_true(abs(hundredth - N / 100) < 5 * 15);
	assert_true(abs(half - N / 2) < 5 * 100);
	for (int i = 1; i < JF_FAMILIARITY_QUANTILES; i++)
		assert_true(f->quantiles[i - 1] <= f->quantiles[i]);
	jf_familiarity_destroy(f);
	free(x);
	free(y);
}

static void test_refusals(void **state) {
	struct jf_familiarity *f = jf_familiarity_create(D, 2);
	float x[JF_FAMILIARITY_MIN * D] = {0};
	uint16_t y[JF_FAMILIARITY_MIN] = {0};
	struct jf_error err = {0};

	(void)state;
	assert_null(jf_familiarity_create(0, 2));
	assert_int_equal(jf_familiarity_fit(f, x, y, JF_FAMILIARITY_MIN - 1, &err), JF_EINVAL);
	assert_int_equal(jf_familiarity_calibrate(f, x, JF_FAMILIARITY_MIN - 1, &err), JF_EINVAL);
	x[7] = NAN;
	assert_int_equal(jf_familiarity_fit(f, x, y, JF_FAMILIARITY_MIN, &err), JF_ENUMERIC);
	x[7] = 0; /* images that are all alike, and a class without any: no division by nothing */
	assert_int_equal(jf_familiarity_fit(f, x, y, JF_FAMILIARITY_MIN, &err), JF_OK);
	assert_int_equal(jf_familiarity_calibrate(f, x, JF_FAMILIARITY_MIN, &err), JF_OK);
	for (int i = 0; i < D * D; i++)
		assert_true(isfinite(f->whitening[i]));
	assert_true(jf_familiarity_of(f, (float[D]){0, 0}) >= 0);
	assert_true(jf_familiarity_of(f, (float[D]){1, 0}) == 0.0f);
	jf_familiarity_destroy(f);
	jf_familiarity_destroy(NULL);
}

static void test_auroc(void **state) {
	float above[] = {0.5f, 0.9f, 0.7f, 0.2f}, below[] = {0.1f, 0.5f, 0.3f};
	double error;

	(void)state; /* pairs won: 0.5 beats 2 and ties 1; 0.9 and 0.7 beat 3; 0.2 beats 1: 9.5 of 12 */
	assert_true(fabs(jf_auroc(above, 4, below, 3, &error) - 9.5 / 12) < 1e-12);
	assert_true(error > 0.1 && error < 0.3);
	assert_true(jf_auroc(above, 0, below, 3, &error) == 0.0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_quantiles),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_auroc),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
