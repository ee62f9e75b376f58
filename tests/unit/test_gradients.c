/* Each op's backward pass against finite differences of its forward pass, through graphs of one op.
 *
 * The op's inputs are linear layers of one number, whose biases are then the input itself, one value an element: so
 * the gradient by an input is the gradient of a parameter like any other. The loss is a fixed random weighting of the
 * outputs, summed in double precision over a batch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/engine/exec.h"
#include "core/engine/graph.h"
#include "core/engine/plan.h"
#include "core/kernels/kernels.h"
#include "tests/unit/isa.h"

#define BATCH 3
#define MOST_CHECKED 60 /* elements of one parameter */
#define TOLERANCE 1e-3  /* of the parameter's largest gradient */
#define FLOOR 0.03      /* which counts as at least this share of the largest of all parameters */

static const struct jf_kernels *kernels;

struct rig {
	struct jf_graph *graph;
	int feed; /* the input [1] */
	struct jf_plan *plan;
	struct jf_exec *exec;
	float *params, *packed, *packed_transposed, *grads, *weights;
	size_t out_floats;
};

static struct jf_shape shape(int rows, int columns, int channels) {
	return (struct jf_shape){rows, columns, channels, false};
}

static void rig_begin(struct rig *r) {
	memset(r, 0, sizeof(*r));
	r->graph = jf_graph_create();
	assert_non_null(r->graph);
	r->feed = jf_g_input(r->graph, "feed", 0, shape(1, 1, 1));
}

/* A node whose value is its parameter "<name>.bias", plus feed times "<name>.weight". */
static int variable(struct rig *r, const char *name, struct jf_shape s) {
	return jf_g_linear(r->graph, name, r->feed, s, JF_NONE, JF_INIT_FAN_IN);
}

static void rig_end(struct rig *r, int output) {
	struct jf_plan_spec spec = {.outputs = 1, .train = true, .batch = BATCH, .micro_batch = BATCH};
	struct jf_graph *g = r->graph;
	struct jf_error err;

	if (g->status != JF_OK)
		fail_msg("%s", g->error.message);
	g->outputs[0] = output;
	r->out_floats = jf_shape_count(g->nodes[output].shape);
	r->plan = jf_plan_create(g, &spec, &err);
	if (!r->plan)
		fail_msg("%s", err.message);
	r->params = jf_alloc_floats(g->n_params_floats);
	r->grads = jf_alloc_floats(g->n_params_floats);
	r->packed = jf_alloc_floats(g->packed_floats);
	r->packed_transposed = jf_alloc_floats(g->packed_transposed_floats);
	r->weights = jf_alloc_floats(BATCH * r->out_floats);
	assert_true(r->params && r->grads && r->packed && r->packed_transposed && r->weights);
	jf_rng_normal(r->params, g->n_params_floats, 5, JF_STREAM_INIT, 0);
	jf_rng_normal(r->weights, BATCH * r->out_floats, 5, JF_STREAM_EVAL, 0);
	r->exec = jf_exec_create(r->plan, r->params, r->packed, r->packed_transposed, r->grads, &err);
	if (!r->exec)
		fail_msg("%s", err.message);
	r->exec->kernels = kernels;
}

static void rig_deinit(struct rig *r) {
	jf_exec_destroy(r->exec);
	jf_plan_destroy(r->plan);
	jf_graph_destroy(r->graph);
	free(r->params);
	free(r->grads);
	free(r->packed);
	free(r->packed_transposed);
	free(r->weights);
}

static double run_forward(struct rig *r) {
	double loss = 0.0;

	jf_exec_pack(r->graph, r->packed, r->params);
	for (int i = 0; i < BATCH; i++)
		*jf_exec_input(r->exec, 0, i) = 0.25f * (float)(i - 1);
	jf_exec_step(r->exec, BATCH);
	for (int i = 0; i < BATCH; i++) {
		const float *out = jf_exec_output(r->exec, 0, i);

		for (size_t j = 0; j < r->out_floats; j++)
			loss += (double)out[j] * (double)r->weights[(size_t)i * r->out_floats + j];
	}
	return loss;
}

static void run_backward(struct rig *r) {
	memset(r->grads, 0, r->graph->n_params_floats * sizeof(float));
	jf_exec_pack_transposed(r->graph, r->packed_transposed, r->params);
	run_forward(r);
	for (int i = 0; i < BATCH; i++)
		memcpy(jf_exec_output_grad(r->exec, 0, i), r->weights + (size_t)i * r->out_floats,
		    r->out_floats * sizeof(float));
	jf_exec_backward(r->exec, BATCH);
}

/* The four-point central difference: its own error is of order step^4. */
static double difference_quotient(struct rig *r, size_t at, double step) {
	float value = r->params[at];
	static const struct { double place, weight; } points[] = {{-2, 1}, {-1, -8}, {1, 8}, {2, -1}};
	double sum = 0.0;

	for (int p = 0; p < 4; p++) {
		r->params[at] = value + (float)(points[p].place * step);
		sum += points[p].weight * run_forward(r);
	}
	r->params[at] = value;
	return sum / (12.0 * step);
}

static double largest_gradient(const struct rig *r, size_t offset, size_t size) {
	double largest = 0.0;

	/* Not fmax over fabs: gcc 12.2 fails on it with an internal error for 64-bit ARM. */
	for (size_t i = 0; i < size; i++) {
		float value = fabsf(r->grads[offset + i]);

		if (!((double)value <= largest)) /* a NaN stays */
			largest = (double)value;
	}
	return largest;
}

/* step: 0.5 where the op is linear in each variable (exact, least noise), about 0.02 otherwise. */
static void check(const char *what, struct rig *r, int output, double step) {
	const struct jf_graph *g = r->graph;
	double largest;

	rig_end(r, output);
	run_backward(r);
	largest = largest_gradient(r, 0, g->n_params_floats);
	assert_true(largest > 0.0);
	for (int i = 0; i < g->n_params; i++) {
		const struct jf_param *p = &g->params[i];
		size_t count = p->size < MOST_CHECKED ? p->size : MOST_CHECKED;
		double scale = fmax(largest_gradient(r, p->offset, p->size), FLOOR * largest);

		for (size_t j = 0; j < count; j++) {
			size_t at = p->offset + j * p->size / count;
			double expect = difference_quotient(r, at, step), got = (double)r->grads[at];

			if (!(fabs(got - expect) <= TOLERANCE * scale))
				fail_msg("%s on %s: gradient %zu of %s is %.6g, by differences %.6g", what,
				    kernels->name, at - p->offset, p->name, got, expect);
		}
	}
	rig_deinit(r);
}

/* Twice the same call adds twice the same gradient: backward adds, it does not overwrite. */
static void test_backward_adds(void **state) {
	struct rig r;
	float first;

	(void)state;
	rig_begin(&r);
	rig_end(
	    &r, jf_g_linear(r.graph, "op", variable(&r, "x", shape(1, 1, 4)), shape(1, 1, 3), JF_NONE, JF_INIT_FAN_IN));
	run_backward(&r);
	first = r.grads[0];
	jf_exec_backward(r.exec, BATCH);
	assert_true(fabsf(r.grads[0] - 2.0f * first) <= 1e-5f * fabsf(first));
	rig_deinit(&r);
}

static void test_linear(void **state) {
	struct rig r;
	int x, y;

	(void)state;
	rig_begin(&r);
	x = variable(&r, "x", shape(5, 1, 7));
	check("linear", &r, jf_g_linear(r.graph, "op", x, shape(5, 1, 3), JF_NONE, JF_INIT_FAN_IN), 0.5);
	rig_begin(&r);
	x = variable(&r, "x", shape(4, 3, 20));
	y = variable(&r, "y", shape(4, 3, 35));
	check("linear with residual", &r, jf_g_linear(r.graph, "op", x, shape(4, 3, 35), y, JF_INIT_FAN_IN), 0.5);
	rig_begin(&r);
	x = variable(&r, "x", shape(1, 1, 6));
	check("linear to tokens", &r, jf_g_linear(r.graph, "op", x, shape(4, 1, 8), JF_NONE, JF_INIT_FAN_IN), 0.5);
	rig_begin(&r);
	x = variable(&r, "x", shape(4, 1, 8));
	check("linear from tokens", &r, jf_g_linear(r.graph, "op", x, shape(1, 1, 5), JF_NONE, JF_INIT_FAN_IN), 0.5);
	rig_begin(&r); /* so many weights that their gradient is OpenBLAS's */
	x = variable(&r, "x", shape(2, 1, 260));
	check("wide linear", &r, jf_g_linear(r.graph, "op", x, shape(2, 1, 270), JF_NONE, JF_INIT_FAN_IN), 0.5);
	rig_begin(&r); /* the residual is the input itself: two gradients meet */
	x = variable(&r, "x", shape(3, 1, 8));
	check(
	    "linear with its own residual", &r, jf_g_linear(r.graph, "op", x, shape(3, 1, 8), x, JF_INIT_FAN_IN), 0.5);
}

static void conv(int rows, int columns, int in, int out, int stride, bool vector, bool residual) {
	struct rig r;
	char what[80];
	int x, v = JF_NONE, y = JF_NONE;

	rig_begin(&r);
	x = jf_g_pad(r.graph, "pad", variable(&r, "x", shape(rows, columns, in)));
	if (vector)
		v = variable(&r, "v", shape(1, 1, out));
	if (residual)
		y = variable(&r, "y", shape(rows / stride, columns / stride, out));
	snprintf(what, sizeof(what), "conv3x3 %d x %d, %d to %d, stride %d", rows, columns, in, out, stride);
	check(what, &r, jf_g_conv3x3(r.graph, "op", x, out, stride, v, y, JF_INIT_FAN_IN), 0.5);
}

static void test_conv(void **state) {
	(void)state;
	conv(4, 6, 3, 5, 1, false, false);
	conv(4, 6, 8, 16, 1, true, true);
	conv(7, 7, 16, 8, 1, true, false);
	conv(14, 14, 4, 24, 1, false, true);
	conv(4, 4, 8, 1, 1, false, false);
	conv(4, 6, 8, 3, 1, false, false);
	conv(8, 4, 1, 16, 1, false, false);
	conv(8, 12, 8, 16, 2, false, false);
	conv(6, 4, 3, 32, 2, false, false);
}

static void test_group_norm(void **state) {
	struct rig r;
	int x;

	(void)state;
	for (int silu = 0; silu < 2; silu++) {
		rig_begin(&r);
		x = variable(&r, "x", shape(4, 3, 16));
		check("group norm", &r, jf_g_group_norm(r.graph, "op", x, 8, silu, false), 0.02);
		rig_begin(&r);
		x = variable(&r, "x", shape(5, 2, 8));
		check("group norm, one channel a group", &r, jf_g_group_norm(r.graph, "op", x, 8, silu, false), 0.02);
		rig_begin(&r);
		x = variable(&r, "x", shape(3, 3, 48));
		check("group norm, wide", &r, jf_g_group_norm(r.graph, "op", x, 8, silu, false), 0.02);
		rig_begin(&r);
		x = jf_g_group_norm(r.graph, "op", variable(&r, "x", shape(4, 4, 8)), 4, silu, true);
		check("group norm into a padded image", &r,
		    jf_g_conv3x3(r.graph, "conv", x, 5, 1, JF_NONE, JF_NONE, JF_INIT_FAN_IN), 0.02);
		rig_begin(&r); /* the norm's input goes on beside it, as in a residual block */
		x = variable(&r, "x", shape(4, 4, 8));
		check("group norm beside its input", &r,
		    jf_g_conv3x3(r.graph, "conv", jf_g_group_norm(r.graph, "op", x, 8, silu, true), 8, 1, JF_NONE, x,
			JF_INIT_FAN_IN),
		    0.02);
	}
}

static void test_layer_norm(void **state) {
	struct rig r;

	(void)state;
	rig_begin(&r);
	check("layer norm", &r, jf_g_layer_norm(r.graph, "op", variable(&r, "x", shape(5, 1, 20))), 0.02);
	rig_begin(&r);
	check("layer norm", &r, jf_g_layer_norm(r.graph, "op", variable(&r, "x", shape(3, 1, 64))), 0.02);
}

static void test_silu(void **state) {
	struct rig r;
	int x;

	(void)state;
	rig_begin(&r);
	check("silu", &r, jf_g_silu(r.graph, "op", variable(&r, "x", shape(3, 5, 7))), 0.05);
	rig_begin(&r); /* one value with two readers */
	x = variable(&r, "x", shape(1, 1, 40));
	check("silu beside its input", &r, jf_g_concat(r.graph, "op", jf_g_silu(r.graph, "silu", x), x), 0.05);
}

static void test_add(void **state) {
	struct rig r;
	int x, y;

	(void)state;
	rig_begin(&r);
	x = variable(&r, "x", shape(3, 4, 9));
	y = variable(&r, "y", shape(1, 1, 9));
	check("add rows", &r, jf_g_add_rows(r.graph, "op", x, y), 0.5);
}

static void attention(int nq, int other, int width, int heads, int query) {
	struct rig r;
	char what[80];
	int x, y, q;

	rig_begin(&r);
	x = variable(&r, "x", shape(nq, 1, 3 * width));
	y = variable(&r, "y", shape(other, 1, 3 * width));
	q = query == 0 ? x : query == 1 ? y : variable(&r, "q", shape(2, 1, 3 * width));
	snprintf(what, sizeof(what), "attention over %d + %d tokens of %d, query %d", nq, other, width, query);
	check(what, &r, jf_g_attention(r.graph, "op", q, x, y, heads), 0.02);
}

static void test_attention(void **state) {
	(void)state;
	for (int query = 0; query < 3; query++) {
		attention(6, 3, 8, 2, query);
		attention(17, 2, 16, 4, query);
	}
	attention(4, 4, 6, 1, 0);
	attention(3, 5, 12, 3, 1);
}

static void test_moves(void **state) {
	struct rig r;
	int x, y;

	(void)state;
	rig_begin(&r);
	x = variable(&r, "x", shape(3, 4, 5));
	y = variable(&r, "y", shape(3, 4, 8));
	check("concat", &r, jf_g_concat(r.graph, "op", x, y), 0.5);
	rig_begin(&r);
	check("depth to space", &r, jf_g_depth_to_space(r.graph, "op", variable(&r, "x", shape(3, 2, 20))), 0.5);
	rig_begin(&r); /* concat moves the space's values itself */
	x = jf_g_depth_to_space(r.graph, "space", variable(&r, "x", shape(3, 2, 20)));
	y = variable(&r, "y", shape(6, 4, 18));
	check("depth to space beside another", &r, jf_g_concat(r.graph, "op", x, y), 0.5);
	rig_begin(&r);
	x = variable(&r, "x", shape(2, 3, 68));
	y = jf_g_depth_to_space(r.graph, "space", x);
	y = jf_g_concat(r.graph, "beside", variable(&r, "y", shape(4, 6, 3)), y);
	x = jf_g_depth_to_space(r.graph, "again", x);
	check("depth to space twice", &r, jf_g_concat(r.graph, "op", x, y), 0.5);
	rig_begin(&r);
	x = jf_g_depth_to_space(r.graph, "space", variable(&r, "x", shape(1, 2, 8)));
	check("depth to space beside itself", &r, jf_g_concat(r.graph, "op", x, x), 0.5);
	rig_begin(&r);
	check("mean of rows", &r, jf_g_mean_rows(r.graph, "op", variable(&r, "x", shape(7, 3, 11))), 0.5);
}

/* Gradients that are handed on lie in one place: of a chain of residual layers, of a padded copy and of what is read
 * once more before or after. */
static void test_shared_gradients(void **state) {
	struct rig r;
	int x, y, z;

	(void)state;
	rig_begin(&r);
	x = variable(&r, "x", shape(3, 1, 8));
	y = jf_g_linear(r.graph, "one", jf_g_silu(r.graph, "a", x), shape(3, 1, 8), x, JF_INIT_FAN_IN);
	y = jf_g_linear(r.graph, "two", jf_g_silu(r.graph, "b", y), shape(3, 1, 8), y, JF_INIT_FAN_IN);
	y = jf_g_add_rows(r.graph, "rows", y, variable(&r, "v", shape(1, 1, 8)));
	check("residual layers in a chain", &r, jf_g_linear(r.graph, "op", y, shape(3, 1, 8), y, JF_INIT_FAN_IN), 0.02);
	rig_begin(&r); /* x is read by a later node than the one that hands its gradient on */
	x = variable(&r, "x", shape(3, 1, 8));
	y = jf_g_linear(r.graph, "one", variable(&r, "y", shape(3, 1, 4)), shape(3, 1, 8), x, JF_INIT_FAN_IN);
	check("read again after a residual layer", &r, jf_g_concat(r.graph, "op", y, x), 0.5);
	rig_begin(&r); /* one value is the residual of two */
	x = variable(&r, "x", shape(3, 1, 8));
	y = jf_g_linear(r.graph, "one", variable(&r, "y", shape(3, 1, 4)), shape(3, 1, 8), x, JF_INIT_FAN_IN);
	z = jf_g_linear(r.graph, "two", variable(&r, "z", shape(3, 1, 4)), shape(3, 1, 8), x, JF_INIT_FAN_IN);
	check("two residuals of one value", &r, jf_g_concat(r.graph, "op", y, jf_g_silu(r.graph, "s", z)), 0.02);
	rig_begin(&r);
	x = variable(&r, "x", shape(4, 6, 8));
	y = jf_g_conv3x3(r.graph, "one", jf_g_pad(r.graph, "a", x), 8, 1, JF_NONE, x, JF_INIT_FAN_IN);
	z = jf_g_conv3x3(r.graph, "two", jf_g_pad(r.graph, "b", y), 8, 2, JF_NONE, JF_NONE, JF_INIT_FAN_IN);
	z = jf_g_depth_to_space(
	    r.graph, "space", jf_g_linear(r.graph, "up", z, shape(2, 3, 32), JF_NONE, JF_INIT_FAN_IN));
	check("a padded copy that is its own residual", &r, jf_g_concat(r.graph, "op", z, y), 0.02);
}

static void test_time_features(void **state) {
	enum { FEATURES = 64 };
	static const float times[BATCH] = {0.0f, 0.4375f, 1.0f};
	struct jf_plan_spec spec = {.outputs = 1, .batch = BATCH, .micro_batch = 1};
	struct jf_graph *g = jf_graph_create();
	struct jf_plan *plan;
	struct jf_exec *exec;
	struct jf_error err;

	(void)state;
	assert_non_null(g);
	g->outputs[0] = jf_g_time_features(g, "op", jf_g_input(g, "t", 0, shape(1, 1, 1)), FEATURES);
	assert_int_equal(g->status, JF_OK);
	plan = jf_plan_create(g, &spec, &err);
	assert_non_null(plan);
	exec = jf_exec_create(plan, NULL, NULL, NULL, NULL, &err);
	assert_non_null(exec);
	exec->kernels = kernels;
	for (int i = 0; i < BATCH; i++)
		*jf_exec_input(exec, 0, i) = times[i];
	jf_exec_step(exec, BATCH);
	for (int i = 0; i < BATCH; i++) {
		const float *out = jf_exec_output(exec, 0, i);

		for (int f = 0; f < FEATURES / 2; f++) {
			double angle = 1000.0 * (double)times[i] * pow(10000.0, -f / (FEATURES / 2.0));

			/* the angle itself, up to 1000, is a float */
			assert_true(fabs((double)out[f] - cos(angle)) < 1.5e-4);
			assert_true(fabs((double)out[FEATURES / 2 + f] - sin(angle)) < 1.5e-4);
		}
	}
	jf_exec_destroy(exec);
	jf_plan_destroy(plan);
	jf_graph_destroy(g);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_backward_adds),
	    cmocka_unit_test(test_linear),
	    cmocka_unit_test(test_conv),
	    cmocka_unit_test(test_group_norm),
	    cmocka_unit_test(test_layer_norm),
	    cmocka_unit_test(test_silu),
	    cmocka_unit_test(test_add),
	    cmocka_unit_test(test_attention),
	    cmocka_unit_test(test_moves),
	    cmocka_unit_test(test_shared_gradients),
	    cmocka_unit_test(test_time_features),
	};
	int failed = 0;

	for (int i = 0; i < N_ISAS; i++) {
		kernels = isa_kernels(isa_names[i]);
		if (!kernels) {
			print_message("%s: not on this processor\n", isa_names[i]);
			continue;
		}
		failed += cmocka_run_group_tests_name(isa_names[i], tests, NULL, NULL);
	}
	return failed;
}
