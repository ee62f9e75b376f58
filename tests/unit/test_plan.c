/* Plans: what is pruned, hoisted and shared; that no two living values overlap; that a plan changes no result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/engine/exec.h"
#include "core/engine/plan.h"
#include "core/engine/sampler.h"
#include "tests/unit/rig.h"

static struct jf_plan *plan_of(const struct jf_graph *g, struct jf_plan_spec spec) {
	struct jf_error err;
	struct jf_plan *plan = jf_plan_create(g, &spec, &err);

	assert_non_null(plan);
	return plan;
}

static enum jf_when when_of(const struct jf_plan *plan, const char *name) {
	for (int i = 0; i < plan->graph->n_nodes; i++)
		if (strcmp(plan->graph->nodes[i].name, name) == 0)
			return plan->nodes[i].when;
	fail_msg("no node %s", name);
	return JF_NEVER;
}

static void test_classify_hoists_the_encoder(void **state) {
	const struct jf_network_config c = jf_network_config_default();
	struct jf_graph *g = jf_network_build(&c, NULL);
	struct jf_plan *plan = plan_of(g, jf_sampler_plan_spec(JF_TASK_CLASSIFY, 8));

	(void)state;
	assert_int_equal(when_of(plan, "enc1.0.conv1"), JF_ONCE);
	assert_int_equal(when_of(plan, "mid0.img_qkv"), JF_ONCE);
	assert_int_equal(when_of(plan, "mid0.img_attention"), JF_STEP);
	assert_int_equal(when_of(plan, "head.fc2"), JF_STEP);
	assert_int_equal(when_of(plan, "up1"), JF_NEVER);
	assert_int_equal(when_of(plan, "conv_out"), JF_NEVER);
	assert_int_equal(
	    when_of(plan, "mid1.img_fc1"), JF_NEVER); /* the last layer's image tokens feed the decoder alone */
	assert_true(jf_plan_multiply_adds(plan, JF_ONCE) > 3 * jf_plan_multiply_adds(plan, JF_STEP));
	jf_plan_destroy(plan);
	jf_graph_destroy(g);
}

static int node_of(const struct jf_graph *g, const char *name) {
	for (int i = 0; i < g->n_nodes; i++)
		if (strcmp(g->nodes[i].name, name) == 0)
			return i;
	fail_msg("no node %s", name);
	return JF_NONE;
}

/* Image and label tokens look at the same keys; in the last layer a classification asks for the label's alone. */
static void test_attentions_go_together(void **state) {
	const struct jf_network_config c = jf_network_config_default();
	struct jf_graph *g = jf_network_build(&c, NULL);
	struct jf_plan *classify = plan_of(g, jf_sampler_plan_spec(JF_TASK_CLASSIFY, 8));
	struct jf_plan *train = plan_of(g,
	    (struct jf_plan_spec){
		.outputs = 1u << JF_OUTPUT_IMAGE | 1u << JF_OUTPUT_LABEL, .train = true, .batch = 2, .micro_batch = 2});
	const int image = node_of(g, "mid0.img_attention"), label = node_of(g, "mid0.lab_attention");

	(void)state;
	assert_int_equal(classify->nodes[label].fused, image);
	assert_int_equal(classify->nodes[image].partner, label);
	assert_int_equal(classify->nodes[image].fused, JF_NONE);
	assert_int_equal(classify->nodes[node_of(g, "mid1.lab_attention")].fused, JF_NONE);
	assert_int_equal(train->nodes[label].fused, JF_NONE);
	assert_int_equal(train->nodes[image].partner, JF_NONE);
	jf_plan_destroy(classify);
	jf_plan_destroy(train);
	jf_graph_destroy(g);
}

static const struct jf_plan_node *planned(const struct jf_plan *plan, const char *name) {
	return &plan->nodes[node_of(plan->graph, name)];
}

/* What a concatenation reads in another order is not written in it; what backward hands on lies where it lay. */
static void test_nothing_is_copied_twice(void **state) {
	const struct jf_network_config c = jf_network_config_default();
	struct jf_graph *g = jf_network_build(&c, NULL);
	struct jf_plan *draw = plan_of(g, jf_sampler_plan_spec(JF_TASK_GENERATE, 8));
	struct jf_plan *train =
	    plan_of(g, (struct jf_plan_spec){.outputs = 3, .train = true, .batch = 2, .micro_batch = 2});

	(void)state;
	for (int i = 0; i < g->n_nodes; i++) {
		const bool view = g->nodes[i].op == JF_OP_DEPTH_TO_SPACE;

		assert_true(draw->nodes[i].view == view && train->nodes[i].view == view);
		assert_true(!view || (draw->nodes[i].offset == JF_NO_OFFSET && draw->nodes[i].slots == 0));
		assert_int_equal(draw->nodes[i].grad_root, i);
	}
	assert_int_equal(jf_plan_source(draw, node_of(g, "up1.space")), node_of(g, "up1"));
	/* a residual block's way past its convolutions; what down1 reads is a padded copy of what the block put out */
	assert_int_equal(planned(train, "conv_in")->grad_root, node_of(g, "enc1.0.conv2"));
	assert_int_equal(planned(train, "conv_in")->grad_offset, planned(train, "enc1.0.conv2")->grad_offset);
	assert_int_equal(planned(train, "down1.pad")->grad_root, planned(train, "enc1.0.conv2")->grad_root);
	assert_true(planned(train, "down1")->accumulate[0]);
	assert_false(planned(train, "up1.concat")->accumulate[0]);
	/* the image tokens through all layers, from the decoder's side */
	assert_int_equal(planned(train, "mid0.img_proj")->grad_root, node_of(g, "mid1.img_fc2"));
	assert_int_not_equal(planned(train, "enc1.0.norm1")->grad_root, planned(train, "enc1.0.conv1")->grad_root);
	jf_plan_destroy(draw);
	jf_plan_destroy(train);
	jf_graph_destroy(g);
}

/* A residual block's norms: gathered in the convolution before, computed in the one behind. Behind a concatenation, and
 * where the two run in different phases, a norm does one or both for itself. */
static void test_norms_go_with_convolutions(void **state) {
	const struct jf_network_config c = jf_network_config_default();
	struct jf_graph *g = jf_network_build(&c, NULL);
	struct jf_plan *sample = plan_of(g, jf_sampler_plan_spec(JF_TASK_SAMPLE, 8));
	struct jf_plan *still = plan_of(
	    g, (struct jf_plan_spec){
		   .outputs = 1u << JF_OUTPUT_IMAGE, .fixed = 1u << JF_INPUT_IMAGE, .batch = 4, .micro_batch = 4});
	const int norm = node_of(g, "enc1.0.norm2"), conv = node_of(g, "enc1.0.conv2");
	const int first = node_of(g, "enc1.0.norm1"), in = node_of(g, "conv_in");

	(void)state;
	assert_int_equal(sample->nodes[norm].fused, conv);
	assert_int_equal(sample->nodes[conv].partner, norm);
	assert_true(sample->nodes[node_of(g, "enc1.0.conv1")].gathers);
	assert_true(sample->nodes[in].gathers && sample->nodes[node_of(g, "down1")].gathers);
	assert_false(sample->nodes[node_of(g, "conv_out")].gathers);
	assert_false(sample->nodes[node_of(g, "dec1.0.norm1")].fused == JF_NONE);
	assert_false(sample->nodes[node_of(g, "up2.concat")].gathers);
	/* the image stays as it is, the clock of the first block's vector does not */
	assert_int_equal(still->nodes[first].when, JF_ONCE);
	assert_int_equal(still->nodes[node_of(g, "enc1.0.conv1")].when, JF_STEP);
	assert_int_equal(still->nodes[first].fused, JF_NONE);
	assert_true(still->nodes[in].gathers);
	jf_plan_destroy(sample);
	jf_plan_destroy(still);
	jf_graph_destroy(g);
}

static void test_generate_hoists_the_label(void **state) {
	const struct jf_network_config c = jf_network_config_default();
	struct jf_graph *g = jf_network_build(&c, NULL);
	struct jf_plan *plan = plan_of(g, jf_sampler_plan_spec(JF_TASK_GENERATE, 8));

	(void)state;
	assert_int_equal(when_of(plan, "lab_in.fc2"), JF_ONCE);
	assert_int_equal(when_of(plan, "lab_time.fc2"), JF_ONCE);
	assert_int_equal(when_of(plan, "mid0.lab_qkv"), JF_ONCE);
	assert_int_equal(when_of(plan, "enc1.0.conv1"), JF_STEP);
	assert_int_equal(when_of(plan, "head.fc1"), JF_NEVER);
	assert_int_equal(when_of(plan, "mid1.lab_fc2"), JF_STEP);
	jf_plan_destroy(plan);
	jf_graph_destroy(g);
}

static void test_shared_clock_runs_once_for_the_batch(void **state) {
	const struct jf_network_config c = jf_network_config_default();
	struct jf_graph *g = jf_network_build(&c, NULL);
	struct jf_plan *plan = plan_of(g, jf_sampler_plan_spec(JF_TASK_SAMPLE, 8));

	(void)state;
	for (int i = 0; i < g->n_nodes; i++) {
		if (strncmp(g->nodes[i].name, "img_time", 8) == 0 || strcmp(g->nodes[i].name, "enc2.0.time") == 0)
			assert_true(plan->nodes[i].shared && plan->nodes[i].slots == 1);
		if (strncmp(g->nodes[i].name, "enc2.0.conv", 11) == 0)
			assert_false(plan->nodes[i].shared);
	}
	jf_plan_destroy(plan);
	jf_graph_destroy(g);
}

/* Memory that a plan may use as temporary between two runs: what is in it must not matter. */
static void spoil(float *floats, size_t n) {
	for (size_t i = 0; i < n; i++)
		floats[i] = 1e30f;
}

static void run(const struct jf_model *m, struct jf_plan_spec spec, int n, bool poison, float *image, float *label) {
	const struct jf_network_config *c = &m->config;
	size_t pixels = jf_network_image_floats(c), k = (size_t)c->classes;
	struct jf_plan *plan = plan_of(m->graph, spec);
	struct jf_error err;
	struct jf_workspace *workspace = jf_workspace_create();
	struct jf_exec *exec = jf_exec_create_in(workspace, plan, m->packed, &err);

	assert_non_null(exec);
	if (poison)
		spoil(exec->lasting, plan->lasting_floats);
	for (int i = 0; i < n; i++) {
		jf_rng_normal(jf_exec_input(exec, JF_INPUT_IMAGE, i), pixels, 7, JF_STREAM_IMAGE, (uint64_t)i);
		jf_rng_normal(jf_exec_input(exec, JF_INPUT_LABEL, i), k, 7, JF_STREAM_LABEL, (uint64_t)i);
		*jf_exec_input(exec, JF_INPUT_TIME_IMG, i) = 0.3f;
		*jf_exec_input(exec, JF_INPUT_TIME_LAB, i) = 0.8f;
	}
	for (int phase = 0; phase < 3; phase++) {
		/* as an executor does that shares the workspace and runs in between */
		if (poison)
			spoil(workspace->floats, workspace->size);
		if (phase == 0)
			jf_exec_once(exec, n);
		else
			jf_exec_step(exec, n);
	}
	if (poison)
		spoil(workspace->floats, workspace->size);
	for (int i = 0; i < n; i++) {
		if (image)
			memcpy(image + (size_t)i * pixels, jf_exec_output(exec, JF_OUTPUT_IMAGE, i),
			    pixels * sizeof(float));
		if (label)
			memcpy(label + (size_t)i * k, jf_exec_output(exec, JF_OUTPUT_LABEL, i), k * sizeof(float));
	}
	jf_exec_destroy(exec);
	jf_workspace_destroy(workspace);
	jf_plan_destroy(plan);
}

static void test_plans_change_no_result(void **state) {
	const unsigned both = 1u << JF_OUTPUT_IMAGE | 1u << JF_OUTPUT_LABEL, image = 1u << JF_OUTPUT_IMAGE,
		       label = 1u << JF_OUTPUT_LABEL, clocks = 1u << JF_INPUT_TIME_IMG | 1u << JF_INPUT_TIME_LAB;
	const struct jf_network_config c = rig_config();
	struct jf_model *m = rig_model(&c, 3);
	float want_image[7 * 96], want_label[7 * 5], got_image[7 * 96], got_label[7 * 5];

	(void)state;
	assert_non_null(m);
	run(m, (struct jf_plan_spec){.outputs = both, .batch = 7, .micro_batch = 7}, 7, false, want_image, want_label);
	for (unsigned fixed = 0; fixed < 16; fixed++)
		for (int micro = 1; micro <= 4; micro += 3)
			for (unsigned shared = 0; shared <= clocks; shared += clocks) {
				struct jf_plan_spec spec = {.outputs = both,
				    .fixed = fixed,
				    .shared = shared,
				    .batch = 7,
				    .micro_batch = micro};

				run(m, spec, 7, true, got_image, got_label);
				assert_memory_equal(got_image, want_image, sizeof(want_image));
				assert_memory_equal(got_label, want_label, sizeof(want_label));
				spec.outputs = image;
				run(m, spec, 7, true, got_image, NULL);
				assert_memory_equal(got_image, want_image, sizeof(want_image));
				spec.outputs = label;
				run(m, spec, 7, true, NULL, got_label);
				assert_memory_equal(got_label, want_label, sizeof(want_label));
			}
	jf_model_unref(m);
}

static void test_memory_is_shared(void **state) {
	const struct jf_network_config c = jf_network_config_default();
	struct jf_graph *g = jf_network_build(&c, NULL);
	struct jf_plan *plan = plan_of(g, jf_sampler_plan_spec(JF_TASK_SAMPLE, 4));

	(void)state;
	assert_true(plan->lasting_floats + plan->temporary_floats < plan->unplanned_floats / 3);
	jf_plan_destroy(plan);
	plan = plan_of(g, (struct jf_plan_spec){.outputs = 3, .train = true, .batch = 4, .micro_batch = 4});
	assert_true(plan->lasting_floats < plan->unplanned_floats);
	assert_int_equal(plan->temporary_floats, 0);
	jf_plan_destroy(plan);
	jf_graph_destroy(g);
}

/* A worker has a sampler of each task, and one after the other runs: their temporary memory is that of the one that
 * needs most. With the network that ships and batches of 16 a worker takes 2.8 MB, of which half lasts. */
static void test_tasks_share_a_workspace(void **state) {
	struct jf_network_config c = jf_network_config_default();
	struct jf_model *model;
	struct jf_workspace *workspace = jf_workspace_create();
	struct jf_sampler *samplers[JF_N_TASKS];
	size_t most = 0, lasting = 0;

	(void)state;
	c.channels = 16;
	c.layers = 6;
	model = jf_model_create(&c, 1, NULL);
	assert_non_null(model);
	assert_non_null(workspace);
	for (int task = 0; task < JF_N_TASKS; task++) {
		struct jf_plan *plan = plan_of(model->graph, jf_sampler_plan_spec((enum jf_task)task, 16));
		const size_t temporary = plan->temporary_floats + plan->scratch_floats;

		samplers[task] = jf_sampler_create_in(workspace, model, (enum jf_task)task, 16, NULL);
		assert_non_null(samplers[task]);
		most = temporary > most ? temporary : most;
		lasting += plan->lasting_floats;
		jf_plan_destroy(plan);
	}
	assert_int_equal(workspace->size, most);
	assert_true((lasting + most) * sizeof(float) < 2900000);
	for (int task = 0; task < JF_N_TASKS; task++)
		jf_sampler_destroy(samplers[task]);
	jf_workspace_destroy(workspace);
	jf_model_unref(model);
}

static void test_bad_specs_are_refused(void **state) {
	const struct jf_network_config c = rig_config();
	struct jf_graph *g = jf_network_build(&c, NULL);
	const struct jf_plan_spec bad[] = {
	    {.outputs = 1, .batch = 0, .micro_batch = 0},
	    {.outputs = 1, .batch = 4, .micro_batch = 5},
	    {.outputs = 1, .batch = 4, .micro_batch = 2, .train = true},
	    {.outputs = 1, .batch = 4, .micro_batch = 4, .train = true, .fixed = 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct jf_error err = {JF_OK, ""};
		assert_null(jf_plan_create(g, &bad[i], &err));
		assert_int_equal(err.code, JF_EINVAL);
	}
	jf_graph_destroy(g);
}

static void test_bad_networks_are_refused(void **state) {
	struct jf_error err;
	struct {
		size_t field;
		int value;
		const char *says;
	} const bad[] = {
	    {offsetof(struct jf_network_config, height), 30, "multiples of 4"},
	    {offsetof(struct jf_network_config, width), 4, "width"},
	    {offsetof(struct jf_network_config, image_channels), 2, "image_channels"},
	    {offsetof(struct jf_network_config, classes), 1, "classes"},
	    {offsetof(struct jf_network_config, channels), 12, "multiple of 8"},
	    {offsetof(struct jf_network_config, heads), 5, "heads"},
	    {offsetof(struct jf_network_config, layers), 0, "layers"},
	    {offsetof(struct jf_network_config, blocks), 9, "blocks"},
	    {offsetof(struct jf_network_config, label_tokens), 65, "label_tokens"},
	    {offsetof(struct jf_network_config, augment), -1, "augment"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct jf_network_config c = jf_network_config_default();
		memcpy((char *)&c + bad[i].field, &bad[i].value, sizeof(int));
		assert_null(jf_network_build(&c, &err));
		assert_int_equal(err.code, JF_EINVAL);
		assert_non_null(strstr(err.message, bad[i].says));
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_attentions_go_together),
	    cmocka_unit_test(test_classify_hoists_the_encoder),
	    cmocka_unit_test(test_nothing_is_copied_twice),
	    cmocka_unit_test(test_norms_go_with_convolutions),
	    cmocka_unit_test(test_generate_hoists_the_label),
	    cmocka_unit_test(test_shared_clock_runs_once_for_the_batch),
	    cmocka_unit_test(test_plans_change_no_result),
	    cmocka_unit_test(test_memory_is_shared),
	    cmocka_unit_test(test_tasks_share_a_workspace),
	    cmocka_unit_test(test_bad_specs_are_refused),
	    cmocka_unit_test(test_bad_networks_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
