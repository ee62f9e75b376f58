/* Likelihoods: bytes that depend on the arguments alone, what is common to the classes, Bayes' rule, errors
 * that are honest, and a network for which the integral is known in another way. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/questions/score.h"
#include "tests/unit/rig.h"

#define PIXELS 96
#define K 5

static struct jf_model *model;
static float image[PIXELS];

static int setup(void **state) {
	const struct jf_network_config c = rig_config();
	float u[PIXELS];

	(void)state;
	model = rig_model(&c, 11);
	jf_rng_uniform(u, PIXELS, 5, JF_STREAM_EVAL, 0);
	for (int i = 0; i < PIXELS; i++)
		image[i] = floorf(u[i] * 256.0f) / 127.5f - 1.0f;
	return model ? 0 : -1;
}

static int teardown(void **state) {
	(void)state;
	jf_model_unref(model);
	return 0;
}

static void score(struct jf_model *of, double *log_p, double *errors, int draws, uint64_t seed) {
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(of, &err);

	assert_non_null(scorer);
	const struct jf_score_args args = {.draws = draws, .seed = seed};

	assert_int_equal(jf_scorer_score(scorer, log_p, errors, image, &args, &err), JF_OK);
	jf_scorer_destroy(scorer);
}

static void test_same_bytes(void **state) {
	double a[K + 1], b[K + 1], ea[K + 1], eb[K + 1];
	float other[PIXELS];
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(model, &err);

	(void)state;
	assert_non_null(scorer);
	score(model, a, ea, 8, 3);
	for (int i = 0; i < PIXELS; i++)
		other[i] = -image[i];
	/* whatever it scored before */
	assert_int_equal(
	    jf_scorer_score(scorer, b, eb, other, &(struct jf_score_args){4, 1, 0, NULL, NULL, 0}, &err), JF_OK);
	assert_int_equal(
	    jf_scorer_score(scorer, b, eb, image, &(struct jf_score_args){8, 3, 0, NULL, NULL, 0}, &err), JF_OK);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_equal(ea, eb, sizeof(ea));
	assert_int_equal(
	    jf_scorer_score(scorer, b, eb, image, &(struct jf_score_args){8, 4, 0, NULL, NULL, 0}, &err), JF_OK);
	assert_memory_not_equal(a, b, sizeof(a));
	jf_scorer_destroy(scorer);
}

/* A network whose weights are all zero predicts no velocity: its x^ is z itself. Then the integral is known: above t =
 * 0.1 of (|e - x|^2, whose mean is 1 + x^2 a pixel) (1 - t) / t; between 0.004 and 0.1 the same, for pixels far from
 * black; below, what is not known of a level when z is, which the test sums by itself over fine steps of t. Of the
 * levels only their distance from x counts there, so one sum holds for every pixel. */
static double expected_below(double low, double high) {
	const int steps = 400, noises = 400;
	const double space = 2.0 / 255.0;
	double sum = 0.0;

	for (int i = 0; i < steps; i++) {
		const double t = low * pow(high / low, (i + 0.5) / steps), s = t / (1.0 - t);
		double error = 0.0, weights = 0.0;

		for (int j = 0; j < noises; j++) {
			const double e = -6.0 + 12.0 * (j + 0.5) / noises, w = exp(-0.5 * e * e);
			double mean = 0.0, all = 0.0;

			for (int l = -8; l <= 8; l++) {
				const double level = l * space,
					     p = exp(-0.5 * (s * e - level) * (s * e - level) / s / s);
				mean += p * level;
				all += p;
			}
			error += w * (mean / all) * (mean / all);
			weights += w;
		}
		/* |x - x^|^2 / t^2 (1 - t) / t dt, dt = t dln t */
		sum += error / weights / t / t * (1.0 - t) * log(high / low) / steps;
	}
	return sum;
}

static void test_a_network_that_predicts_nothing(void **state) {
	const struct jf_network_config c = rig_config();
	struct jf_error err;
	struct jf_model *still = jf_model_create(&c, 1, &err);
	const double below = expected_below(0.0008, 0.004);
	double log_p[K + 1], errors[K + 1], wanted = 0.0;

	(void)state;
	assert_non_null(still);
	memset(still->params, 0, still->graph->n_params_floats * sizeof(float));
	assert_int_equal(jf_model_pack(still, &err), JF_OK);
	for (int i = 0; i < PIXELS; i++)
		image[i] = (float)(100 + i % 40) / 127.5f - 1.0f;
	score(still, log_p, errors, 4096, 3);
	for (int i = 0; i < PIXELS; i++) {
		const double x = (double)image[i];

		wanted += (1.0 + x * x) * (log(1.0 / 0.004) - 1.0 + 0.004) + below;
	}
	print_message("%.2f +- %.2f, by summing %.2f\n", -log_p[K], errors[K], wanted);
	assert_true(errors[K] < 0.01 * wanted);
	assert_true(fabs(-log_p[K] - wanted) < 4.0 * errors[K]);
	for (int k = 0; k < K; k++) /* no label makes a difference to it */
		assert_true(fabs(log_p[k] - log_p[K]) < 1e-9 * wanted);
	jf_model_unref(still);
}

/* Twice as often measured, the answers of two seeds lie within the errors that are told. */
static void test_errors_are_honest(void **state) {
	double a[K + 1], b[K + 1], ea[K + 1], eb[K + 1], few[K + 1], e_few[K + 1];

	(void)state;
	score(model, a, ea, 512, 3);
	score(model, b, eb, 512, 4);
	score(model, few, e_few, 32, 5);
	for (int k = 0; k <= K; k++) {
		assert_true(fabs(a[k] - b[k]) < 4.0 * sqrt(ea[k] * ea[k] + eb[k] * eb[k]));
		assert_true(ea[k] < e_few[k]);
	}
}

/* Classes are told apart by the same bytes whatever came before, and nothing else is looked at than their errors. */
static void test_classify(void **state) {
	const struct jf_score_args args = {.draws = 8, .seed = 3, .index = 5},
				   later = {.draws = 8, .seed = 3, .index = 6};
	float a[K], b[K], sum = 0.0f;
	double log_p[K + 1], errors[K + 1];
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(model, &err);

	(void)state;
	assert_non_null(scorer);
	assert_int_equal(jf_scorer_classify(scorer, a, image, &args, &err), JF_OK);
	assert_int_equal(jf_scorer_score(scorer, log_p, errors, image, &args, &err), JF_OK);
	assert_int_equal(jf_scorer_classify(scorer, b, image, &args, &err), JF_OK);
	assert_memory_equal(a, b, sizeof(a));
	for (int k = 0; k < K; k++)
		sum += a[k];
	assert_true(fabsf(sum - 1.0f) < 1e-5f);
	assert_int_equal(jf_scorer_classify(scorer, b, image, &later, &err), JF_OK);
	assert_memory_not_equal(a, b, sizeof(a));
	jf_scorer_destroy(scorer);
}

static bool never(void *unused) {
	(void)unused;
	return false;
}

static void test_bad_arguments(void **state) {
	double a[K + 1], e[K + 1];
	float bad[PIXELS] = {NAN};
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(model, &err);
	const int draws[] = {0, -2, 1, 7, JF_MAX_SCORE_DRAWS + 2};

	(void)state;
	assert_non_null(scorer);
	for (size_t i = 0; i < sizeof(draws) / sizeof(draws[0]); i++)
		assert_int_equal(
		    jf_scorer_score(scorer, a, e, image, &(struct jf_score_args){draws[i], 1, 0, NULL, NULL, 0}, &err),
		    JF_EINVAL);
	assert_int_equal(
	    jf_scorer_score(scorer, a, e, bad, &(struct jf_score_args){2, 1, 0, NULL, NULL, 0}, &err), JF_ENUMERIC);
	assert_int_equal(
	    jf_scorer_score(scorer, a, e, image, &(struct jf_score_args){4, 1, 0, never, NULL, 0}, &err), JF_ECANCELED);
	jf_scorer_destroy(scorer);
}

static void test_bayes(void **state) {
	const double log_p[3] = {-5000.0, -5000.0 + log(2.0), -9000.0};
	float p[3];

	(void)state;
	jf_score_bayes(p, log_p, 3);
	assert_true(fabsf(p[0] - 1.0f / 3.0f) < 1e-6f && fabsf(p[1] - 2.0f / 3.0f) < 1e-6f);
	assert_true(!(p[2] > 0.0f));
}

static void test_bits(void **state) {
	const struct jf_network_config c = rig_config();

	(void)state;
	assert_true(fabs(jf_score_bits(-8.0 * PIXELS * log(2.0), &c) - 8.0) < 1e-12);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same_bytes),
	    cmocka_unit_test(test_errors_are_honest),
	    cmocka_unit_test(test_a_network_that_predicts_nothing),
	    cmocka_unit_test(test_classify),
	    cmocka_unit_test(test_bad_arguments),
	    cmocka_unit_test(test_bayes),
	    cmocka_unit_test(test_bits),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
