/* Two ways to a likelihood, by denoising errors (core/questions/score.c) and by the flow's own density (bench/flow.c),
 * on a distribution whose density is known: a mixture of a few images for each class, with the mean velocity that
 * belongs to it in the network's place. All three must agree within their errors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/engine/exec.h"

static void constructed_step(struct jf_exec *exec, int n);

/* The scorer as it is, but for what it takes for the network's answer. */
#define jf_exec_step constructed_step
#include "core/questions/score.c" /* NOLINT */
#undef jf_exec_step

#include "bench/flow.h"
#include "tests/unit/rig.h"

#define PIXELS 96
#define K 5
#define EACH 3 /* images of a class */
#define FROM 0.1
#define NOISES 16
#define STEPS 24

static float images[K * EACH][PIXELS];
static struct jf_model *model;

/* The images that class `k` draws from, K: any. */
static int first_of(int k) {
	return k < K ? k * EACH : 0;
}

static int count_of(int k) {
	return k < K ? EACH : K * EACH;
}

/* ln p_t(z | class), and in weights [count] what each image has of it. */
static double log_density(double *weights, const float *z, double t, int k) {
	const int first = first_of(k), count = count_of(k);
	double most = -INFINITY, sum = 0.0;

	for (int i = 0; i < count; i++) {
		weights[i] = flow_log_noise(z, images[first + i], PIXELS, t) - log(count);
		most = fmax(most, weights[i]);
	}
	for (int i = 0; i < count; i++)
		sum += weights[i] = exp(weights[i] - most);
	for (int i = 0; i < count; i++)
		weights[i] /= sum;
	return most + log(sum);
}

/* The mean of e - x given z = (1 - t) x + t e. */
static void mean_velocity(float *v, const float *z, double t, int k) {
	double weights[K * EACH];

	log_density(weights, z, t, k);
	for (int j = 0; j < PIXELS; j++) {
		double x = 0.0;

		for (int i = 0; i < count_of(k); i++)
			x += weights[i] * (double)images[first_of(k) + i][j];
		v[j] = (float)(((double)z[j] - x) / t);
	}
}

static void constructed_step(struct jf_exec *exec, int n) {
	const float *z = jf_exec_input(exec, JF_INPUT_IMAGE, 0);
	const float t = *jf_exec_input(exec, JF_INPUT_TIME_IMG, 0);

	for (int i = 0; i < n; i++)
		mean_velocity((float *)(uintptr_t)jf_exec_output(exec, JF_OUTPUT_IMAGE, i), z, (double)t, i);
}

static void class_velocity(void *context, float *v, const float *z, int count, float t) {
	for (int i = 0; i < count; i++)
		mean_velocity(v + (size_t)i * PIXELS, z + (size_t)i * PIXELS, (double)t, *(const int *)context);
}

/* Classes lie near each other, and so do the images of one, so that noise mixes them up one after the other. */
static int setup(void **state) {
	const struct jf_network_config c = rig_config();
	float u[PIXELS];

	(void)state;
	model = rig_model(&c, 11);
	for (int i = 0; i < K * EACH; i++) {
		for (int j = 0; j < PIXELS; j++)
			images[i][j] = (float)(100 + j % 40) / 127.5f - 1.0f;
		jf_rng_normal(u, PIXELS, 1, JF_STREAM_EVAL, (uint64_t)(i / EACH));
		for (int j = 0; j < PIXELS; j++)
			images[i][j] += 0.08f * u[j];
		jf_rng_normal(u, PIXELS, 2, JF_STREAM_EVAL, (uint64_t)i);
		for (int j = 0; j < PIXELS; j++)
			images[i][j] += 0.03f * u[j];
	}
	return model ? 0 : -1;
}

static int teardown(void **state) {
	(void)state;
	jf_model_unref(model);
	return 0;
}

/* Both other ways for the image and class `k`, over the same noises: means and the standard errors of the means. */
static void by_density(double *exact, double *flow, double *errors, const float *image, int k, int probes) {
	const struct flow_field field = {PIXELS, 2 * PIXELS, class_velocity, &k};
	double weights[K * EACH], squares[2] = {0.0, 0.0};
	float noise[PIXELS], z[PIXELS];

	*exact = *flow = 0.0;
	for (int i = 0; i < NOISES; i++) {
		jf_rng_normal(noise, PIXELS, 77, JF_STREAM_IMAGE, (uint64_t)i);
		for (int j = 0; j < PIXELS; j++)
			z[j] = (float)((1.0 - FROM) * (double)image[j] + FROM * (double)noise[j]);
		const double given = flow_log_noise(z, image, PIXELS, FROM);
		const double a = log_density(weights, z, FROM, k) - given;
		const double b = flow_log_density(&field, z, FROM, STEPS, probes, 5, (uint64_t)i) - given;

		*exact += a / NOISES;
		*flow += b / NOISES;
		squares[0] += a * a / NOISES;
		squares[1] += b * b / NOISES;
	}
	errors[0] = sqrt((squares[0] - *exact * *exact) / NOISES);
	errors[1] = sqrt((squares[1] - *flow * *flow) / NOISES);
}

static void test_two_ways(void **state) {
	const struct jf_score_args args = {.draws = 4096, .seed = 3, .from = FROM};
	const float *image = images[1];
	double log_p[K + 1], errors[K + 1];
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(model, &err);

	(void)state;
	assert_non_null(scorer);
	assert_int_equal(jf_scorer_score(scorer, log_p, errors, image, &args, &err), JF_OK);
	for (int k = 0; k <= K; k += k < 1 ? 1 : K - 1) { /* its class, another one, none */
		double exact, flow, of[2];

		by_density(&exact, &flow, of, image, k, 0);
		print_message("class %d: denoising %.3f +- %.3f, flow %.3f +- %.3f, known %.3f +- %.3f\n", k, log_p[k],
		    errors[k], flow, of[1], exact, of[0]);
		assert_true(fabs(flow - exact) < 0.01 + 0.01 * fabs(exact)); /* of the same noises */
		assert_true(fabs(log_p[k] - exact) < 4.0 * hypot(errors[k], of[0]) + 0.01);
		assert_true(fabs(log_p[k] - flow) < 4.0 * hypot(errors[k], of[1]) + 0.01);
	}
	jf_scorer_destroy(scorer);
}

/* Hutchinson's estimate of the trace is right on average. */
static void test_hutchinson(void **state) {
	double exact, flow, of[2];

	(void)state;
	by_density(&exact, &flow, of, images[1], K, 8);
	print_message("Hutchinson: %.3f +- %.3f, known %.3f +- %.3f\n", flow, of[1], exact, of[0]);
	assert_true(of[1] < 2.0);
	assert_true(fabs(flow - exact) < 4.0 * hypot(of[0], of[1]));
}

/* What comes of the part of the integral that classes are told apart by. */
static void test_classes(void **state) {
	const struct jf_score_args args = {.draws = 512, .seed = 3};
	float p[K];
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(model, &err);

	(void)state;
	assert_non_null(scorer);
	for (int i = 0; i < K * EACH; i++) {
		assert_int_equal(jf_scorer_classify(scorer, p, images[i], &args, &err), JF_OK);
		assert_true(p[i / EACH] > 0.5f);
	}
	jf_scorer_destroy(scorer);
}

static void test_bad_from(void **state) {
	const double bad[] = {-0.1, 1.0, NAN};
	double log_p[K + 1], errors[K + 1];
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(model, &err);

	(void)state;
	assert_non_null(scorer);
	for (int i = 0; i < 3; i++)
		assert_int_equal(jf_scorer_score(scorer, log_p, errors, images[0],
				     &(struct jf_score_args){.draws = 2, .from = bad[i]}, &err),
		    JF_EINVAL);
	jf_scorer_destroy(scorer);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_two_ways),
	    cmocka_unit_test(test_hutchinson),
	    cmocka_unit_test(test_classes),
	    cmocka_unit_test(test_bad_from),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
