/* The training step: clocks, deterministic threads, independence of the thread count up to rounding, clipping, decay,
 * and that a bad gradient changes nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/kernels/blas.h"
#include "tests/unit/rig.h"
#include "trainer/step.h"

#define PIXELS 96
#define BATCH 10

static struct jf_objective_options objective = {
    JF_TIMES_MIXTURE, JF_DENSITY_UNIFORM, 0.3f, 1.0f, {0.3f, 0.2f, 0.2f}, 0.0f};

static void fill(struct jf_batch *batch, float *images, int *labels, uint64_t *sample, int step) {
	for (int i = 0; i < BATCH; i++) {
		labels[i] = i % 5;
		sample[i] = (uint64_t)(step * BATCH + i);
		for (int p = 0; p < PIXELS; p++)
			images[i * PIXELS + p] = p % 5 == labels[i] ? 1.0f : -1.0f;
	}
	*batch = (struct jf_batch){images, labels, NULL, sample, BATCH};
}

/* Trains a small model; returns its parameters (to be freed) and the last step's losses. */
static float *train(int threads, int steps, struct jf_step_result *result, float clip) {
	static float images[BATCH * PIXELS];
	static int labels[BATCH];
	static uint64_t sample[BATCH];
	const struct jf_network_config c = rig_config();
	struct jf_optimiser_options optimiser = jf_optimiser_options_default();
	struct jf_error err;
	struct jf_model *m = jf_model_create(&c, 1, &err);
	struct jf_trainer *t;
	size_t bytes = m->graph->n_params_floats * sizeof(float);
	float *params = malloc(bytes);

	optimiser.clip = clip;
	t = jf_trainer_create(m, &objective, &optimiser, 5, threads, &err);
	assert_non_null(t);
	for (int s = 0; s < steps; s++) {
		struct jf_batch batch;
		fill(&batch, images, labels, sample, s);
		assert_int_equal(jf_trainer_step(t, result, &batch, BATCH, 2e-3f, &err), JF_OK);
	}
	memcpy(params, jf_trainer_params(t), bytes);
	assert_int_equal(*jf_trainer_step_count(t), steps);
	jf_trainer_destroy(t);
	jf_model_unref(m);
	return params;
}

static size_t param_count(void) {
	const struct jf_network_config c = rig_config();
	struct jf_graph *g = jf_network_build(&c, NULL);
	size_t n = g->n_params_floats;

	jf_graph_destroy(g);
	return n;
}

static void test_same_threads_same_bits(void **state) {
	struct jf_step_result a, b;

	(void)state;
	for (int threads = 1; threads <= 3; threads++) {
		float *x = train(threads, 6, &a, 1.0f), *y = train(threads, 6, &b, 1.0f);
		assert_memory_equal(x, y, param_count() * sizeof(float));
		assert_true(a.loss_image == b.loss_image && a.loss_label == b.loss_label);
		free(x);
		free(y);
	}
}

static void test_thread_count_changes_rounding_only(void **state) {
	struct jf_step_result a, b;

	(void)state;
	free(train(1, 3, &a, 1.0f));
	free(train(3, 3, &b, 1.0f));
	assert_true(fabs(a.loss_image / b.loss_image - 1.0) < 1e-4);
	assert_true(fabs(a.loss_label / b.loss_label - 1.0) < 1e-4);
}

static void test_loss_falls(void **state) {
	struct jf_step_result first, last;

	(void)state;
	free(train(2, 1, &first, 1.0f));
	free(train(2, 120, &last, 1.0f));
	assert_true(last.loss_image < 0.7 * first.loss_image);
	assert_true(last.loss_label < 0.7 * first.loss_label);
}

static void test_bad_numbers_change_nothing(void **state) {
	static float images[BATCH * PIXELS];
	static int labels[BATCH];
	static uint64_t sample[BATCH];
	const struct jf_network_config c = rig_config();
	const struct jf_optimiser_options optimiser = jf_optimiser_options_default();
	struct jf_error err;
	struct jf_model *m = jf_model_create(&c, 1, &err);
	struct jf_trainer *t = jf_trainer_create(m, &objective, &optimiser, 5, 2, &err);
	struct jf_step_result result;
	struct jf_batch batch;
	size_t bytes = m->graph->n_params_floats * sizeof(float);
	float *before = malloc(bytes);

	(void)state;
	fill(&batch, images, labels, sample, 0);
	for (int i = 0; i < BATCH * PIXELS; i++)
		images[i] = NAN;
	memcpy(before, m->params, bytes);
	assert_int_equal(jf_trainer_step(t, &result, &batch, BATCH, 2e-3f, &err), JF_ENUMERIC);
	assert_memory_equal(before, m->params, bytes);
	assert_int_equal(*jf_trainer_step_count(t), 0);
	/* And it goes on with good ones. */
	fill(&batch, images, labels, sample, 0);
	assert_int_equal(jf_trainer_step(t, &result, &batch, BATCH, 2e-3f, &err), JF_OK);
	free(before);
	jf_trainer_destroy(t);
	jf_model_unref(m);
}

/* An image that is held owes nothing, so the plan that leaves the decoder out gives the gradients of the whole one. */
static void test_label_alone(void **state) {
	const struct jf_network_config c = rig_config();
	struct jf_model *m = rig_model(&c, 3);
	const struct jf_graph *g = m->graph;
	float *grads[2], *transposed = jf_alloc_floats(g->packed_transposed_floats), image[PIXELS] = {0},
			 target[PIXELS];
	const struct jf_objective_options held = {
	    JF_TIMES_MIXTURE, JF_DENSITY_UNIFORM, 0.3f, 1.0f, {0.0f, 0.0f, 1.0f}, 0.0f};
	struct jf_loss loss[2] = {{0}};
	size_t moved = 0;

	(void)state;
	jf_exec_pack(g, m->packed, m->params);
	jf_exec_pack_transposed(g, transposed, m->params);
	for (int alone = 0; alone < 2; alone++) {
		const struct jf_plan_spec spec = {
		    .outputs = 1u << JF_OUTPUT_LABEL | (alone ? 0 : 1u << JF_OUTPUT_IMAGE),
		    .train = true,
		    .batch = 2,
		    .micro_batch = 2};
		struct jf_error err;
		struct jf_plan *plan = jf_plan_create(g, &spec, &err);
		struct jf_exec *exec;

		grads[alone] = jf_alloc_floats(g->n_params_floats);
		exec = jf_exec_create(plan, m->params, m->packed, transposed, grads[alone], &err);
		assert_non_null(exec);
		assert_true(alone == (jf_exec_output_grad(exec, JF_OUTPUT_IMAGE, 0) == NULL));
		for (int i = 0; i < 2; i++) {
			struct jf_example example = {image, i, NULL, (uint64_t)i};

			jf_objective_set_inputs(exec, i, &example, &c, &held, 5);
		}
		jf_exec_step(exec, 2);
		for (int i = 0; i < 2; i++) {
			struct jf_example example = {image, i, NULL, (uint64_t)i};

			jf_objective_loss(exec, i, &example, 0.5f, &c, &held, 5, NULL, target, &loss[alone]);
		}
		jf_exec_backward(exec, 2);
		jf_exec_destroy(exec);
		jf_plan_destroy(plan);
	}
	assert_true(loss[0].label == loss[1].label && loss[0].label_count == 2 && loss[1].image_count == 0);
	for (size_t i = 0; i < g->n_params_floats; i++) {
		assert_true(grads[0][i] == grads[1][i]);
		moved += grads[0][i] != 0;
	}
	assert_in_range(moved, g->n_params_floats / 4, g->n_params_floats - 1);
	free(grads[0]);
	free(grads[1]);
	free(transposed);
	jf_model_unref(m);
}

static void test_averages_follow(void **state) {
	static float images[BATCH * PIXELS];
	static int labels[BATCH];
	static uint64_t sample[BATCH];
	const struct jf_network_config c = rig_config();
	struct jf_optimiser_options optimiser = jf_optimiser_options_default();
	struct jf_error err;
	struct jf_model *m = jf_model_create(&c, 1, &err), *copy = jf_model_create(&c, 2, &err);
	struct jf_step_result result;
	struct jf_batch batch;

	(void)state;
	optimiser.n_ema = 2;
	optimiser.ema_decay[0] = 0.0f;
	optimiser.ema_decay[1] = 0.9f;
	struct jf_trainer *t = jf_trainer_create(m, &objective, &optimiser, 5, 1, &err);
	for (int s = 0; s < 4; s++) {
		fill(&batch, images, labels, sample, s);
		assert_int_equal(jf_trainer_step(t, &result, &batch, BATCH, 2e-3f, &err), JF_OK);
	}
	assert_memory_equal(jf_trainer_ema(t, 0), m->params, m->graph->n_params_floats * sizeof(float));
	assert_memory_not_equal(jf_trainer_ema(t, 1), m->params, m->graph->n_params_floats * sizeof(float));
	assert_int_equal(jf_trainer_export(t, 1, copy, &err), JF_OK);
	assert_memory_equal(copy->params, jf_trainer_ema(t, 1), m->graph->n_params_floats * sizeof(float));
	assert_int_equal(jf_trainer_export(t, 2, copy, &err), JF_EINVAL);
	jf_trainer_destroy(t);
	jf_model_unref(m);
	jf_model_unref(copy);
}

static void test_clocks(void **state) {
	int held_image = 0, held_label = 0, same = 0, posterior = 0;
	const int n = 4000;

	(void)state;
	for (int scheme = 0; scheme < JF_N_TIMES; scheme++)
		for (int density = 0; density < JF_N_DENSITIES; density++)
			for (int i = 0; i < n; i++) {
				struct jf_objective_options o = {(enum jf_times)scheme, (enum jf_time_density)density,
				    1.0f, 1.0f, {0.3f, 0.2f, 0.2f}, 0.0f};
				float t[2];

				jf_objective_times(t, &o, 3, (uint64_t)i);
				assert_true(t[0] >= 0.0f && t[0] <= 1.0f && t[1] >= 0.0f && t[1] <= 1.0f);
				if (scheme == JF_TIMES_SHARED)
					assert_true(t[0] == t[1]);
				if (scheme != JF_TIMES_MIXTURE || density)
					continue;
				held_image += t[0] == 0.0f;
				held_label += t[1] == 0.0f;
				same += t[0] == t[1];
				posterior += t[0] == 0.0f && t[1] == 1.0f;
			}
	assert_in_range(held_label, n * 27 / 100, n * 33 / 100);
	assert_in_range(held_image, n * 17 / 100, n * 23 / 100);
	assert_in_range(same, n * 17 / 100, n * 23 / 100);
	assert_in_range(posterior, n * 8 / 100, n * 12 / 100);
}

/* With guidance w the gradient of the image is that of (v - (e - z0) - w (v - v without the label))^2, the last bracket
 * held; examples whose label has noise on it keep theirs. */
static void test_guidance(void **state) {
	const struct jf_objective_options plain = {
	    JF_TIMES_MIXTURE, JF_DENSITY_UNIFORM, 1.0f, 1.0f, {0.5f, 0.1f, 0.1f}, 0.0f};
	const struct jf_network_config c = rig_config();
	const struct jf_plan_spec spec = {
	    .outputs = 1u << JF_OUTPUT_IMAGE | 1u << JF_OUTPUT_LABEL, .train = true, .batch = 1, .micro_batch = 1};
	struct jf_objective_options guided = plain;
	struct jf_model *m = rig_model(&c, 3);
	struct jf_plan *plan = jf_plan_create(m->graph, &spec, NULL);
	float *transposed = jf_alloc_floats(m->graph->packed_transposed_floats);
	float *grads = jf_alloc_floats(m->graph->n_params_floats);
	struct jf_exec *exec = jf_exec_create(plan, m->params, m->packed, transposed, grads, NULL);
	float image[PIXELS], target[PIXELS], without[PIXELS], v[PIXELS], before[PIXELS];
	struct jf_loss loss = {0};
	int seen = 0;

	(void)state;
	assert_non_null(exec);
	guided.guidance = 0.25f;
	for (uint64_t sample = 0; sample < 20; sample++) {
		const struct jf_example example = {image, (int)(sample % 5), NULL, sample};
		const float *grad = jf_exec_output_grad(exec, JF_OUTPUT_IMAGE, 0);
		float times[2];
		bool is_guided;

		for (int p = 0; p < PIXELS; p++)
			image[p] = p % 5 == example.label ? 1.0f : -1.0f;
		jf_objective_times(times, &guided, 3, sample);
		is_guided = jf_objective_is_guided(&guided, times);
		assert_int_equal(is_guided, times[0] > 0.0f && times[1] == 0.0f);
		assert_false(jf_objective_is_guided(&plain, times));
		jf_objective_set_unlabelled(exec, 0, &example, &c, &guided, 3);
		jf_exec_step(exec, 1);
		memcpy(without, jf_exec_output(exec, JF_OUTPUT_IMAGE, 0), sizeof(without));
		jf_objective_set_inputs(exec, 0, &example, &c, &guided, 3);
		jf_exec_step(exec, 1);
		memcpy(v, jf_exec_output(exec, JF_OUTPUT_IMAGE, 0), sizeof(v));
		jf_objective_loss(exec, 0, &example, 1.0f, &c, &plain, 3, NULL, target, &loss);
		memcpy(before, grad, sizeof(before));
		jf_objective_loss(exec, 0, &example, 1.0f, &c, &guided, 3, is_guided ? without : NULL, target, &loss);
		for (int p = 0; p < PIXELS; p++) {
			float moved = is_guided ? 2.0f * 0.25f * (v[p] - without[p]) / PIXELS : 0.0f;

			assert_true(fabsf(grad[p] - (before[p] - moved)) < 1e-6f);
			seen += moved != 0.0f;
		}
	}
	assert_in_range(seen, 6 * PIXELS, 14 * PIXELS);
	jf_exec_destroy(exec);
	jf_plan_destroy(plan);
	jf_model_unref(m);
	free(transposed);
	free(grads);
}

/* The unlabelled evaluations neither depend on the threads nor leave a trace in an unguided run. */
static void test_guided_training(void **state) {
	struct jf_step_result plain, guided, again;
	float *x = train(2, 4, &plain, 1.0f), *y, *z;

	(void)state;
	objective.guidance = 0.3f;
	y = train(2, 4, &guided, 1.0f);
	z = train(2, 4, &again, 1.0f);
	objective.guidance = 0.0f;
	assert_memory_equal(y, z, param_count() * sizeof(float));
	assert_memory_not_equal(x, y, param_count() * sizeof(float));
	free(x);
	free(y);
	free(z);
}

/* Shares of 0.6, 0.1, 0.1 and a shift of 2: the held clocks stay held, and half of the others' times lie above 2 /
 * 3. */
static void test_shares_and_shift(void **state) {
	const struct jf_objective_options o = {
	    JF_TIMES_MIXTURE, JF_DENSITY_UNIFORM, 1.0f, 2.0f, {0.6f, 0.1f, 0.1f}, 0.0f};
	const struct jf_objective_options plain = {
	    JF_TIMES_MIXTURE, JF_DENSITY_UNIFORM, 1.0f, 1.0f, {0.6f, 0.1f, 0.1f}, 0.0f};
	int held_image = 0, held_label = 0, noisy = 0;
	const int n = 4000;

	(void)state;
	for (int i = 0; i < n; i++) {
		float t[2], u[2];

		jf_objective_times(t, &o, 3, (uint64_t)i);
		jf_objective_times(u, &plain, 3, (uint64_t)i);
		assert_true(t[1] == u[1]);
		assert_true(fabsf(t[0] - 2.0f * u[0] / (1.0f + u[0])) < 1e-6f && t[0] <= 1.0f);
		held_image += t[0] == 0.0f;
		held_label += t[1] == 0.0f;
		noisy += t[0] > 2.0f / 3.0f;
	}
	assert_in_range(held_label, n * 57 / 100, n * 63 / 100);
	assert_in_range(held_image, n * 8 / 100, n * 12 / 100);
	assert_in_range(noisy, (n - held_image) * 47 / 100, (n - held_image) * 53 / 100);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same_threads_same_bits),
	    cmocka_unit_test(test_thread_count_changes_rounding_only),
	    cmocka_unit_test(test_loss_falls),
	    cmocka_unit_test(test_bad_numbers_change_nothing),
	    cmocka_unit_test(test_label_alone),
	    cmocka_unit_test(test_averages_follow),
	    cmocka_unit_test(test_clocks),
	    cmocka_unit_test(test_guidance),
	    cmocka_unit_test(test_guided_training),
	    cmocka_unit_test(test_shares_and_shift),
	};
	jf_blas_set_threads_one();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
