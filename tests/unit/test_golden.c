/* The whole network against an independent PyTorch implementation (tests/golden): forward values, loss and the
 * gradient of every parameter, on every instruction set that this processor has. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/engine/exec.h"
#include "core/engine/plan.h"
#include "core/kernels/kernels.h"
#include "tests/unit/golden.h"
#include "tests/unit/isa.h"

#define TOLERANCE 1e-4
/* A gradient that is zero in exact arithmetic (a bias right before a norm of one channel a group) is rounding noise:
 * compared with the largest gradient of the network instead of with itself. */
#define NOISE 1e-6

static const char *const cases[] = {"small", "colour", "start"};

struct engine {
	struct jf_plan *plan;
	struct jf_exec *exec;
	float *packed, *packed_transposed, *grads;
};

static void engine_init(struct engine *e, const struct golden *g, const struct jf_kernels *kernels, bool train) {
	const struct jf_graph *graph = g->graph;
	struct jf_plan_spec spec = {.outputs = 1u << JF_OUTPUT_IMAGE | 1u << JF_OUTPUT_LABEL,
	    .train = train,
	    .batch = g->batch,
	    .micro_batch = train ? g->batch : 1};
	struct jf_error err;

	e->packed = jf_alloc_floats(graph->packed_floats);
	e->packed_transposed = jf_alloc_floats(graph->packed_transposed_floats);
	e->grads = jf_alloc_floats(graph->n_params_floats);
	assert_true(e->packed && e->packed_transposed && e->grads);
	jf_exec_pack(graph, e->packed, g->params);
	jf_exec_pack_transposed(graph, e->packed_transposed, g->params);
	e->plan = jf_plan_create(graph, &spec, &err);
	if (!e->plan)
		fail_msg("%s", err.message);
	e->exec = jf_exec_create(
	    e->plan, g->params, e->packed, train ? e->packed_transposed : NULL, train ? e->grads : NULL, &err);
	if (!e->exec)
		fail_msg("%s", err.message);
	e->exec->kernels = kernels;
}

static void engine_deinit(struct engine *e) {
	jf_exec_destroy(e->exec);
	jf_plan_destroy(e->plan);
	free(e->packed);
	free(e->packed_transposed);
	free(e->grads);
}

static void set(const struct engine *e, int input, int i, const float *values, size_t n) {
	float *at = jf_exec_input(e->exec, input, i);

	assert_non_null(at);
	memcpy(at, values + (size_t)i * n, n * sizeof(*at));
}

static size_t pixels(const struct golden *g) {
	return jf_network_image_floats(&g->config);
}

static void forward(const struct engine *e, const struct golden *g) {
	for (int i = 0; i < g->batch; i++) {
		set(e, JF_INPUT_IMAGE, i, g->x, pixels(g));
		set(e, JF_INPUT_LABEL, i, g->y, (size_t)g->config.classes);
		set(e, JF_INPUT_TIME_IMG, i, g->t_img, 1);
		set(e, JF_INPUT_TIME_LAB, i, g->t_lab, 1);
		if (g->config.augment)
			set(e, JF_INPUT_AUGMENT, i, g->augment, (size_t)g->config.augment);
	}
	jf_exec_once(e->exec, g->batch);
	jf_exec_step(e->exec, g->batch);
}

/* Largest difference from what is expected, as a share of the largest expected value (at least `floor`). */
static double difference(const float *got, const float *expect, size_t n, double floor) {
	double worst = 0.0, largest = floor;

	for (size_t i = 0; i < n; i++) {
		assert_true(isfinite(got[i]));
		worst = fmax(worst, fabs((double)got[i] - (double)expect[i]));
		largest = fmax(largest, fabs((double)expect[i]));
	}
	return worst / largest;
}

static void check_outputs(const struct engine *e, const struct golden *g, const char *what) {
	size_t classes = (size_t)g->config.classes;

	for (int i = 0; i < g->batch; i++) {
		const float *v = jf_exec_output(e->exec, JF_OUTPUT_IMAGE, i);
		const float *l = jf_exec_output(e->exec, JF_OUTPUT_LABEL, i);
		double dv = difference(v, g->velocity + (size_t)i * pixels(g), pixels(g), 1e-3);
		double dl = difference(l, g->logits + (size_t)i * classes, classes, 1e-3);

		if (dv > TOLERANCE || dl > TOLERANCE)
			fail_msg("%s, sample %d: velocity off by %.1e, logits by %.1e", what, i, dv, dl);
	}
}

/* The loss of doc/architecture.md and its gradients by the outputs: mean over pixels and batch of (v - v*)^2, plus
 * 0.3 times the mean cross-entropy. */
static double loss(const struct engine *e, const struct golden *g) {
	size_t n = pixels(g), classes = (size_t)g->config.classes;
	double image = 0.0, label = 0.0;

	for (int i = 0; i < g->batch; i++) {
		const float *v = jf_exec_output(e->exec, JF_OUTPUT_IMAGE, i);
		const float *l = jf_exec_output(e->exec, JF_OUTPUT_LABEL, i);
		const float *target = g->target + (size_t)i * n;
		float *dv = jf_exec_output_grad(e->exec, JF_OUTPUT_IMAGE, i);
		float *dl = jf_exec_output_grad(e->exec, JF_OUTPUT_LABEL, i);
		size_t right = (size_t)g->classes[i];
		double sum = 0.0;

		for (size_t p = 0; p < n; p++) {
			double d = (double)v[p] - (double)target[p];

			image += d * d;
			dv[p] = (float)(2.0 * d / (double)n / g->batch);
		}
		for (size_t k = 0; k < classes; k++)
			sum += exp((double)l[k]);
		for (size_t k = 0; k < classes; k++)
			dl[k] = (float)(0.3 * (exp((double)l[k]) / sum - (k == right)) / g->batch);
		label += log(sum) - (double)l[right];
	}
	return image / (double)n / g->batch + 0.3 * label / g->batch;
}

static void check_gradients(const struct engine *e, const struct golden *g, const char *what) {
	double worst = 0.0;

	for (int i = 0; i < g->graph->n_params; i++) {
		const struct jf_param *p = &g->graph->params[i];
		const float *got = e->grads + p->offset;
		size_t count;
		const float *expect = golden_gradient(g, p, &count);
		float *picked = jf_alloc_floats(count);
		double d;

		assert_non_null(picked);
		for (size_t j = 0; j < count; j++)
			picked[j] = got[j * p->size / count];
		d = difference(picked, expect, count, NOISE / TOLERANCE * g->largest_gradient);
		free(picked);
		worst = fmax(worst, d);
		if (d > TOLERANCE)
			fail_msg("%s: the gradient of %s is off by %.1e", what, p->name, d);
	}
	print_message("%s: gradients agree to %.1e\n", what, worst);
}

static void run_case(const char *name, const struct jf_kernels *kernels) {
	struct golden g;
	struct engine e;
	char what[64];
	double got;

	snprintf(what, sizeof(what), "%s on %s", name, kernels->name);
	golden_open(&g, name);
	engine_init(&e, &g, kernels, false);
	forward(&e, &g);
	check_outputs(&e, &g, what);
	engine_deinit(&e);

	engine_init(&e, &g, kernels, true);
	forward(&e, &g);
	check_outputs(&e, &g, what);
	got = loss(&e, &g);
	if (fabs(got - (double)g.loss) > TOLERANCE * (double)g.loss)
		fail_msg("%s: loss %.7f, not %.7f", what, got, (double)g.loss);
	jf_exec_backward(e.exec, g.batch);
	check_gradients(&e, &g, what);
	engine_deinit(&e);
	golden_close(&g);
}

static void run_isa(const char *isa) {
	const struct jf_kernels *kernels = isa_kernels(isa);

	if (!kernels) {
		print_message("%s: not on this processor\n", isa);
		skip();
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run_case(cases[i], kernels);
}

static void test_base(void **state) {
	(void)state;
	run_isa("base");
}

static void test_neon(void **state) {
	(void)state;
	run_isa("neon");
}

static void test_avx2(void **state) {
	(void)state;
	run_isa("avx2");
}

static void test_avx512(void **state) {
	(void)state;
	run_isa("avx512");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_base),
	    cmocka_unit_test(test_neon),
	    cmocka_unit_test(test_avx2),
	    cmocka_unit_test(test_avx512),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
