/* The sampler and the four questions: bytes that depend on (seed, index) alone, solver order, guidance, dropping,
 * restarting, bad arguments. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/engine/sampler_internal.h"
#include "core/kernels/kernels.h"
#include "core/questions/tasks.h"
#include "tests/unit/rig.h"

#define PIXELS 96
#define K 5
#define N 11
#define CHI_SQUARE_999 18.47 /* of K - 1 degrees of freedom */

static struct jf_model *model;
static float images[N * PIXELS], labels[N * K];

static int setup(void **state) {
	const struct jf_network_config c = rig_config();

	(void)state;
	model = rig_model(&c, 11);
	for (int i = 0; i < N; i++) {
		float weights[K] = {0};

		jf_rng_uniform(images + i * PIXELS, PIXELS, 5, JF_STREAM_EVAL, (uint64_t)i);
		weights[i % K] = 0.75f;
		weights[(i + 1) % K] = 0.25f;
		jf_label_from_weights(labels + i * K, weights, K);
	}
	return model ? 0 : -1;
}

static int teardown(void **state) {
	(void)state;
	jf_model_unref(model);
	return 0;
}

static struct jf_task_options options(int threads, int batch, enum jf_solver solver, int steps, float guidance) {
	struct jf_task_options o = jf_task_options_default();

	o.sampler = (struct jf_sampler_args){.solver = solver, .steps = steps, .guidance = guidance};
	o.seed = 42;
	o.threads = threads;
	o.batch = batch;
	return o;
}

static void test_bytes_do_not_depend_on_batch_or_threads(void **state) {
	static float one[N * PIXELS], many[N * PIXELS], label1[N * K], label2[N * K], p1[N * K], p2[N * K];
	struct jf_error err;

	(void)state;
	for (int guided = 0; guided < 2; guided++) {
		struct jf_task_options a = options(1, 1, JF_SOLVER_HEUN, 3, guided ? 2.0f : 1.0f);
		struct jf_task_options b = options(3, 4, JF_SOLVER_HEUN, 3, guided ? 2.0f : 1.0f);

		assert_int_equal(jf_generate(model, one, labels, NULL, N, &a, &err), JF_OK);
		assert_int_equal(jf_generate(model, many, labels, NULL, N, &b, &err), JF_OK);
		assert_memory_equal(one, many, sizeof(one));
	}
	struct jf_task_options a = options(1, 1, JF_SOLVER_EULER, 4, 1.0f), b = options(2, 7, JF_SOLVER_EULER, 4, 1.0f);
	assert_int_equal(jf_sample(model, one, label1, p1, N, &a, &err), JF_OK);
	assert_int_equal(jf_sample(model, many, label2, p2, N, &b, &err), JF_OK);
	assert_memory_equal(one, many, sizeof(one));
	assert_memory_equal(label1, label2, sizeof(label1));
	assert_memory_equal(p1, p2, sizeof(p1));
	assert_int_equal(jf_classify_posterior(model, p1, images, N, 3, &a, &err), JF_OK);
	assert_int_equal(jf_classify_posterior(model, p2, images, N, 3, &b, &err), JF_OK);
	assert_memory_equal(p1, p2, sizeof(p1));
}

static void test_votes(void **state) {
	static float final1[N * 6 * K], final2[N * 6 * K], p[N * K];
	int votes1[N * K], votes2[N * K];
	struct jf_task_options a = options(1, 1, JF_SOLVER_EULER, 5, 1.0f), b = options(2, 5, JF_SOLVER_EULER, 5, 1.0f);
	struct jf_error err;

	(void)state;
	assert_int_equal(jf_classify_sample(model, votes1, final1, p, images, N, 6, &a, &err), JF_OK);
	assert_int_equal(jf_classify_sample(model, votes2, final2, NULL, images, N, 6, &b, &err), JF_OK);
	assert_memory_equal(votes1, votes2, sizeof(votes1));
	assert_memory_equal(final1, final2, sizeof(final1));
	for (int i = 0; i < N; i++) {
		int sum = 0;
		float total = 0.0f;
		for (int k = 0; k < K; k++) {
			sum += votes1[i * K + k];
			total += p[i * K + k];
		}
		assert_int_equal(sum, 6);
		assert_true(fabsf(total - 1.0f) < 1e-5f);
	}
	/* Noise: two samples of one image end apart. */
	assert_memory_not_equal(final1, final1 + K, K * sizeof(float));
}

static void test_posterior_is_a_distribution(void **state) {
	float p[N * K];
	struct jf_task_options o = options(2, 4, JF_SOLVER_EULER, 1, 1.0f);
	struct jf_error err;

	(void)state;
	assert_int_equal(jf_classify_posterior(model, p, images, N, 1, &o, &err), JF_OK);
	for (int i = 0; i < N; i++) {
		float sum = 0.0f;
		for (int k = 0; k < K; k++) {
			assert_true(p[i * K + k] >= 0.0f && p[i * K + k] <= 1.0f);
			sum += p[i * K + k];
		}
		assert_true(fabsf(sum - 1.0f) < 1e-5f);
	}
}

/* How far `solver` with `steps` ends from a very fine integration. */
static double distance(enum jf_solver solver, int steps, const float *fine) {
	static float got[N * PIXELS];
	struct jf_task_options o = options(2, 8, solver, steps, 1.0f);
	struct jf_error err;
	double sum = 0.0;

	assert_int_equal(jf_generate(model, got, labels, NULL, N, &o, &err), JF_OK);
	for (int i = 0; i < N * PIXELS; i++)
		sum += (double)(got[i] - fine[i]) * (double)(got[i] - fine[i]);
	return sqrt(sum);
}

static void test_solvers_converge_with_their_order(void **state) {
	static float fine[N * PIXELS];
	struct jf_task_options o = options(2, 8, JF_SOLVER_MIDPOINT, JF_MAX_STEPS, 1.0f);
	struct jf_error err;

	(void)state;
	assert_int_equal(jf_generate(model, fine, labels, NULL, N, &o, &err), JF_OK);
	double euler = distance(JF_SOLVER_EULER, 400, fine), euler2 = distance(JF_SOLVER_EULER, 800, fine);
	double mid = distance(JF_SOLVER_MIDPOINT, 200, fine), mid2 = distance(JF_SOLVER_MIDPOINT, 400, fine);
	double heun = distance(JF_SOLVER_HEUN, 400, fine);

	assert_true(euler / euler2 > 1.5 && euler / euler2 < 2.5);
	assert_true(mid / mid2 > 2.5);
	assert_true(mid2 < 0.5 * euler);
	assert_true(heun < euler2);
}

/* A joint sample is a label, whole, and the image that `generate` draws for it; its probabilities are what `classify`
 * says of that image. */
static void test_joint_sample_is_a_label_then_its_image(void **state) {
	static float image[N * PIXELS], drawn[N * PIXELS], label[N * K], p[N * K], posterior[N * K];
	struct jf_error err;

	(void)state;
	for (int solver = 0; solver < JF_N_SOLVERS; solver++)
		for (int steps = 1; steps < 5; steps++) {
			struct jf_task_options o = options(2, 8, (enum jf_solver)solver, steps, 1.0f);

			assert_int_equal(jf_sample(model, image, label, p, N, &o, &err), JF_OK);
			for (int i = 0; i < N; i++) {
				float want[K];

				jf_label_one_hot(want, jf_argmax(label + i * K, K), K);
				assert_memory_equal(label + i * K, want, sizeof(want));
			}
			assert_int_equal(jf_generate(model, drawn, label, NULL, N, &o, &err), JF_OK);
			assert_memory_equal(image, drawn, sizeof(image));
			assert_int_equal(jf_classify_posterior(model, posterior, image, N, 1, &o, &err), JF_OK);
			assert_memory_equal(p, posterior, sizeof(p));
		}
}

/* Labels come as often as the network says of noise: over 4,000 draws chi-square stays below its 99.9 % point for K - 1
 * degrees of freedom. */
static void test_joint_labels_follow_their_probabilities(void **state) {
	enum { DRAWS = 4000 };
	struct jf_task_options o = options(2, 16, JF_SOLVER_EULER, 1, 1.0f);
	float *image = malloc((size_t)DRAWS * PIXELS * sizeof(float)),
	      *label = malloc((size_t)DRAWS * K * sizeof(float));
	double expected[K] = {0}, seen[K] = {0}, chi_square = 0.0;
	struct jf_sampler *s;
	struct jf_error err;

	(void)state;
	assert_int_equal(jf_sample(model, image, label, NULL, DRAWS, &o, &err), JF_OK);
	for (int i = 0; i < DRAWS; i++)
		seen[jf_argmax(label + i * K, K)]++;
	s = jf_sampler_create(model, JF_TASK_SAMPLE, 1, &err);
	assert_non_null(s);
	for (int i = 0; i < DRAWS / 10; i++) { /* its own P at the start, before a label is drawn from it */
		struct jf_trajectory t = {.seed = o.seed, .index = (uint64_t)i};

		assert_int_equal(jf_sampler_begin(s, &o.sampler, &t, 1, &err), JF_OK);
		sampler_set_input(s, JF_INPUT_TIME_IMG, 0, 1.0f);
		sampler_set_input(s, JF_INPUT_TIME_LAB, 0, 1.0f);
		jf_exec_step(s->exec, 1);
		jf_kernels()->softmax(s->probabilities, jf_exec_output(s->exec, JF_OUTPUT_LABEL, 0), 1, K);
		for (int j = 0; j < K; j++)
			expected[j] += 10.0 * (double)s->probabilities[j];
	}
	jf_sampler_destroy(s);
	for (int j = 0; j < K; j++)
		chi_square += (seen[j] - expected[j]) * (seen[j] - expected[j]) / expected[j];
	print_message("chi-square %.2f\n", chi_square);
	assert_true(chi_square < CHI_SQUARE_999);
	free(image);
	free(label);
}

/* The chain's noise is of (seed, index, step) alone. */
static void test_ancestral_is_stochastic_and_repeatable(void **state) {
	static float one[N * PIXELS], again[N * PIXELS], other[N * PIXELS], euler[N * PIXELS], l1[N * K], l2[N * K];
	struct jf_task_options a = options(1, 1, JF_SOLVER_ANCESTRAL, 5, 1.0f);
	struct jf_task_options b = options(3, 4, JF_SOLVER_ANCESTRAL, 5, 1.0f);
	struct jf_task_options e = options(2, 4, JF_SOLVER_EULER, 1, 1.0f);
	int votes1[N * K], votes2[N * K];
	struct jf_error err;

	(void)state;
	assert_int_equal(jf_generate(model, one, labels, NULL, N, &a, &err), JF_OK);
	assert_int_equal(jf_generate(model, again, labels, NULL, N, &b, &err), JF_OK);
	assert_memory_equal(one, again, sizeof(one));
	b.seed++;
	assert_int_equal(jf_generate(model, other, labels, NULL, N, &b, &err), JF_OK);
	assert_memory_not_equal(one, other, PIXELS * sizeof(float));
	b.seed--;
	assert_int_equal(jf_sample(model, one, l1, NULL, N, &a, &err), JF_OK);
	assert_int_equal(jf_sample(model, again, l2, NULL, N, &b, &err), JF_OK);
	assert_memory_equal(one, again, sizeof(one));
	assert_memory_equal(l1, l2, sizeof(l1));
	assert_int_equal(jf_classify_sample(model, votes1, NULL, NULL, images, N, 4, &a, &err), JF_OK);
	assert_int_equal(jf_classify_sample(model, votes2, NULL, NULL, images, N, 4, &b, &err), JF_OK);
	assert_memory_equal(votes1, votes2, sizeof(votes1));
	/* A single step goes to the endpoint: Euler's answer up to rounding. */
	a.sampler.steps = 1;
	assert_int_equal(jf_generate(model, one, labels, NULL, N, &a, &err), JF_OK);
	assert_int_equal(jf_generate(model, euler, labels, NULL, N, &e, &err), JF_OK);
	for (int i = 0; i < N * PIXELS; i++)
		assert_true(fabsf(one[i] - euler[i]) < 1e-5f);
}

static void test_guidance(void **state) {
	static float plain[N * PIXELS], almost[N * PIXELS], none[N * PIXELS], none_of_another[N * PIXELS];
	static float other_labels[N * K];
	struct jf_error err;

	(void)state;
	for (int i = 0; i < N; i++)
		jf_label_one_hot(other_labels + i * K, (i + 3) % K, K);
	struct jf_task_options one = options(2, 8, JF_SOLVER_EULER, 4, 1.0f);
	struct jf_task_options near_one = options(2, 8, JF_SOLVER_EULER, 4, 1.0000001f);
	struct jf_task_options zero = options(2, 8, JF_SOLVER_EULER, 4, 0.0f);
	assert_int_equal(jf_generate(model, plain, labels, NULL, N, &one, &err), JF_OK);
	assert_int_equal(jf_generate(model, almost, labels, NULL, N, &near_one, &err), JF_OK);
	for (int i = 0; i < N * PIXELS; i++)
		assert_true(fabsf(plain[i] - almost[i]) < 1e-4f);
	/* Without guidance weight the label plays no part. */
	assert_int_equal(jf_generate(model, none, labels, NULL, N, &zero, &err), JF_OK);
	assert_int_equal(jf_generate(model, none_of_another, other_labels, NULL, N, &zero, &err), JF_OK);
	assert_memory_equal(none, none_of_another, sizeof(none));
	assert_memory_not_equal(none, plain, sizeof(none));
}

/* Guidance in a part of the way only: that of nothing is plain, that of all is the usual, and one that has not begun
 * changes nothing yet. */
static void test_guidance_interval(void **state) {
	static float plain[N * PIXELS], all[N * PIXELS], part[N * PIXELS];
	struct jf_task_options o = options(2, 3, JF_SOLVER_HEUN, 4, 1.0f);
	struct jf_error err;

	(void)state;
	assert_int_equal(jf_generate(model, plain, labels, NULL, N, &o, &err), JF_OK);
	o.sampler.guidance = 2.5f;
	assert_int_equal(jf_generate(model, all, labels, NULL, N, &o, &err), JF_OK);
	assert_int_equal(jf_sampler_evaluations(JF_TASK_GENERATE, &o.sampler), 2 * 7);
	o.sampler.guidance_high = 1.0f;
	assert_int_equal(jf_generate(model, part, labels, NULL, N, &o, &err), JF_OK);
	assert_memory_equal(part, all, sizeof(all));
	o.sampler.guidance_high = 1e-6f; /* the last step's end is not evaluated */
	assert_int_equal(jf_generate(model, part, labels, NULL, N, &o, &err), JF_OK);
	assert_memory_equal(part, plain, sizeof(plain));
	assert_int_equal(jf_sampler_evaluations(JF_TASK_GENERATE, &o.sampler), 7);
	o.sampler.guidance_low = 0.3f; /* times are 1, 0.857, 0.667 and 0.4; all but the first are evaluated twice */
	o.sampler.guidance_high = 0.7f;
	assert_int_equal(jf_generate(model, part, labels, NULL, N, &o, &err), JF_OK);
	assert_memory_not_equal(part, plain, sizeof(plain));
	assert_memory_not_equal(part, all, sizeof(all));
	assert_int_equal(jf_sampler_evaluations(JF_TASK_GENERATE, &o.sampler), 7 + 4);
	assert_int_equal(jf_sampler_evaluations(JF_TASK_SAMPLE, &o.sampler), 7 + JF_SAMPLE_EXTRA_EVALUATIONS);
}

/* model->label_bias moves the labels of joint samples: here all to class 3. */
static void test_label_bias(void **state) {
	static float image[N * PIXELS], label[N * K];
	struct jf_task_options o = options(2, 4, JF_SOLVER_EULER, 1, 1.0f);
	float bias[K] = {0, 0, 0, 60, 0}, prior[K];
	struct jf_sampler *s = jf_sampler_create(model, JF_TASK_SAMPLE, 1, NULL);
	struct jf_trajectory t = {.seed = 1};
	struct jf_error err;

	(void)state;
	assert_non_null(s);
	model->label_bias = bias;
	assert_int_equal(jf_sample(model, image, label, NULL, N, &o, &err), JF_OK);
	for (int i = 0; i < N; i++)
		assert_int_equal(jf_argmax(label + i * K, K), 3);
	/* what it is fitted to does not have it */
	assert_int_equal(jf_sampler_begin(s, &o.sampler, &t, 1, &err), JF_OK);
	assert_int_equal(jf_sampler_prior(s, prior, &err), JF_OK);
	assert_true(prior[3] < 0.9f);
	assert_int_equal(jf_sampler_step(s, &err), JF_OK);
	assert_int_equal(jf_sampler_prior(s, prior, &err), JF_EINVAL);
	model->label_bias = NULL;
	jf_sampler_destroy(s);
}

static void begin_all(struct jf_sampler *s, enum jf_solver solver, int steps) {
	const struct jf_sampler_args args = {.solver = solver, .steps = steps, .guidance = 1.5f, .guidance_low = 0.2f};
	struct jf_trajectory t[N];
	struct jf_error err;

	for (int i = 0; i < N; i++)
		t[i] = (struct jf_trajectory){.seed = 9, .index = (uint64_t)i, .label = labels + i * K};
	assert_int_equal(jf_sampler_begin(s, &args, t, N, &err), JF_OK);
}

static void check_dropping(enum jf_solver solver) {
	static float want[N * PIXELS];
	struct jf_error err;
	struct jf_sampler *s = jf_sampler_create(model, JF_TASK_GENERATE, N, &err);
	bool keep[N];
	int kept = 0;

	assert_non_null(s);
	begin_all(s, solver, 4);
	while (jf_sampler_steps_left(s))
		assert_int_equal(jf_sampler_step(s, &err), JF_OK);
	for (int i = 0; i < N; i++)
		memcpy(want + i * PIXELS, jf_sampler_image(s, i), PIXELS * sizeof(float));
	begin_all(s, solver, 4);
	assert_int_equal(jf_sampler_step(s, &err), JF_OK);
	assert_int_equal(jf_sampler_step(s, &err), JF_OK);
	for (int i = 0; i < N; i++)
		keep[i] = i % 3 != 0;
	assert_int_equal(jf_sampler_keep(s, keep), 7);
	while (jf_sampler_steps_left(s))
		assert_int_equal(jf_sampler_step(s, &err), JF_OK);
	assert_true(jf_sampler_time(s) == 0.0f);
	for (int i = 0; i < N; i++)
		if (keep[i])
			assert_memory_equal(jf_sampler_image(s, kept++), want + i * PIXELS, PIXELS * sizeof(float));
	memset(keep, 0, sizeof(keep));
	assert_int_equal(jf_sampler_keep(s, keep), 0);
	assert_int_equal(jf_sampler_step(s, &err), JF_EINVAL);
	jf_sampler_destroy(s);
}

static void test_dropping_leaves_the_rest_unchanged(void **state) {
	(void)state;
	check_dropping(JF_SOLVER_HEUN);
	check_dropping(JF_SOLVER_ANCESTRAL);
}

static void test_bad_arguments(void **state) {
	struct jf_error err;
	struct jf_sampler *s = jf_sampler_create(model, JF_TASK_GENERATE, 2, &err);
	float bad_label[K] = {0, 0, NAN, 0, 0};
	const struct {
		struct jf_sampler_args args;
		struct jf_trajectory t;
		int n;
		enum jf_err rc;
	} cases[] = {
	    {{JF_SOLVER_EULER, 0, 1.0f, 0, 0, 0, 0}, {.label = labels}, 1, JF_EINVAL},
	    {{JF_SOLVER_EULER, JF_MAX_STEPS + 1, 1.0f, 0, 0, 0, 0}, {.label = labels}, 1, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, -1.0f, 0, 0, 0, 0}, {.label = labels}, 1, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, NAN, 0, 0, 0, 0}, {.label = labels}, 1, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0, 0, -0.1f, 0}, {.label = labels}, 1, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0, 0, 0, 1.1f}, {.label = labels}, 1, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0, 0, 0, NAN}, {.label = labels}, 1, JF_EINVAL},
	    {{(enum jf_solver)9, 1, 1.0f, 0, 0, 0, 0}, {.label = labels}, 1, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0, 0, 0, 0}, {.label = labels}, 0, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0, 0, 0, 0}, {.label = labels}, 3, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0, 0, 0, 0}, {.image = images}, 1, JF_EINVAL},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0, 0, 0, 0}, {.label = bad_label}, 1, JF_ENUMERIC},
	};

	(void)state;
	assert_non_null(s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(jf_sampler_begin(s, &cases[i].args, &cases[i].t, cases[i].n, &err), cases[i].rc);
		assert_int_equal(err.code, cases[i].rc);
		assert_true(strlen(err.message) > 0);
		if ((int)cases[i].args.solver == 9)
			assert_string_equal(err.message, "there is no solver number 9");
	}
	jf_sampler_destroy(s);
	assert_null(jf_sampler_create(model, JF_TASK_SAMPLE, 0, &err));
	assert_null(jf_sampler_create(model, JF_TASK_SAMPLE, 257, &err));
}

static void test_cancel(void **state) {
	static float out[N * PIXELS];
	atomic_bool cancel = true;
	struct jf_task_options o = options(2, 2, JF_SOLVER_EULER, 1000, 1.0f);
	struct jf_error err;

	(void)state;
	o.cancel = &cancel;
	assert_int_equal(jf_generate(model, out, labels, NULL, N, &o, &err), JF_ECANCELED);
}

static int progress_calls, progress_done;
static void count_progress(void *context, int done, int total) {
	assert_ptr_equal(context, &progress_calls);
	assert_int_equal(total, N);
	assert_true(done > progress_done);
	progress_done = done;
	progress_calls++;
}

static void test_progress(void **state) {
	static float out[N * PIXELS];
	struct jf_task_options o = options(1, 2, JF_SOLVER_EULER, 1, 1.0f);
	struct jf_error err;

	(void)state;
	o.progress = count_progress;
	o.progress_context = &progress_calls;
	assert_int_equal(jf_generate(model, out, labels, NULL, N, &o, &err), JF_OK);
	assert_int_equal(progress_calls, 6);
	assert_int_equal(progress_done, N);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bytes_do_not_depend_on_batch_or_threads),
	    cmocka_unit_test(test_votes),
	    cmocka_unit_test(test_posterior_is_a_distribution),
	    cmocka_unit_test(test_solvers_converge_with_their_order),
	    cmocka_unit_test(test_joint_sample_is_a_label_then_its_image),
	    cmocka_unit_test(test_joint_labels_follow_their_probabilities),
	    cmocka_unit_test(test_ancestral_is_stochastic_and_repeatable),
	    cmocka_unit_test(test_guidance),
	    cmocka_unit_test(test_guidance_interval),
	    cmocka_unit_test(test_label_bias),
	    cmocka_unit_test(test_dropping_leaves_the_rest_unchanged),
	    cmocka_unit_test(test_bad_arguments),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_progress),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
