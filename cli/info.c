/* info: what a model is, and what a plan of its network computes when. */
#include <limits.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "cli/setup.h"
#include "core/engine/ops.h"
#include "core/engine/plan.h"
#include "core/engine/sampler.h"
#include "core/pictures/framing.h"

/* --- the model ------------------------------------------------------------- */

static const char *head_name(enum jf_label_head head) {
	return head == JF_HEAD_ENDPOINT ? "endpoint" : "velocity";
}

static void print_model(const struct jf_model *model, const char *path) {
	const struct jf_network_config *c = &model->config;
	const char *separator = "";
	int width = 13;

	printf("file          %s\n", path);
	printf("name          %s\n", model->name ? model->name : "");
	printf("checksum      %s\n", model->checksum);
	printf("images        %d x %d x %d\n", c->height, c->width, c->image_channels);
	printf("classes       %d: ", c->classes);
	for (int k = 0; k < c->classes; k++, separator = ", ")
		printf("%s%s", separator, model->class_names[k]);
	printf("\nparameters    %zu\n", jf_model_parameter_count(model));
	printf("network       %d channels, %d block%s a level, %d bottleneck layer%s, %d heads, %d label tokens\n",
	    c->channels, c->blocks, c->blocks == 1 ? "" : "s", c->layers, c->layers == 1 ? "" : "s", c->heads,
	    c->label_tokens);
	printf("preprocess    %s\n", jf_preprocess_name((enum jf_preprocess)model->preprocess));
	if (model->preprocess == JF_PREPROCESS_NONE)
		printf("learnt from   %s\n",
		    model->paper == JF_PAPER_DARK ? "light on dark" : "pictures with light borders too");
	printf("augmentation  %d\n", c->augment);
	printf("label head    %s\n", head_name(c->head));
	printf("temperature   %g\n", (double)model->temperature);
	printf("calibrated    %s\n", !model->label_bias ? "no" : model->familiarity ? "labels, familiarity" : "labels");
	for (size_t i = 0; i < model->n_facts; i++)
		width = (int)strlen(model->facts[i].key) > width ? (int)strlen(model->facts[i].key) : width;
	for (size_t i = 0; i < model->n_facts; i++)
		printf("%-*s %s\n", width, model->facts[i].key, model->facts[i].value);
}

static void put_model(struct jf_json_writer *json, const struct jf_model *model, const char *path) {
	const struct jf_network_config *c = &model->config;

	jf_json_put_string(json, "file", path);
	jf_json_put_string(json, "name", model->name);
	jf_json_put_string(json, "checksum", model->checksum);
	jf_json_put_unsigned(json, "parameters", jf_model_parameter_count(model));
	jf_json_put_integer(json, "height", c->height);
	jf_json_put_integer(json, "width", c->width);
	jf_json_put_integer(json, "image_channels", c->image_channels);
	jf_json_put_integer(json, "classes", c->classes);
	jf_json_put_integer(json, "channels", c->channels);
	jf_json_put_integer(json, "blocks", c->blocks);
	jf_json_put_integer(json, "layers", c->layers);
	jf_json_put_integer(json, "heads", c->heads);
	jf_json_put_integer(json, "label_tokens", c->label_tokens);
	jf_json_put_string(json, "preprocess", jf_preprocess_name((enum jf_preprocess)model->preprocess));
	jf_json_put_string(json, "paper", jf_paper_names[model->paper]);
	jf_json_put_integer(json, "augment", c->augment);
	jf_json_put_string(json, "label_head", head_name(c->head));
	jf_json_put_float(json, "temperature", model->temperature);
	jf_json_begin_object(json, "calibrated");
	jf_json_put_bool(json, "labels", model->label_bias != NULL);
	jf_json_put_bool(json, "familiarity", model->familiarity != NULL);
	jf_json_end_object(json);
	jf_json_begin_array(json, "class_names");
	for (int k = 0; k < c->classes; k++)
		jf_json_put_string(json, NULL, model->class_names[k]);
	jf_json_end_array(json);
	jf_json_begin_object(json, "facts");
	for (size_t i = 0; i < model->n_facts; i++)
		jf_json_put_string(json, model->facts[i].key, model->facts[i].value);
	jf_json_end_object(json);
}

/* --- a plan ------------------------------------------------------------------ */

static const char *const plan_names[] = {"classify", "generate", "sample", "train"};

static const struct {
	enum jf_when when;
	const char *key, *title;
} phases[] = {
    {JF_ONCE, "once", "once a request"},
    {JF_STEP, "step", "every step"},
    {JF_NEVER, "never", "never"},
};

static struct jf_plan_spec spec_of(enum cli_plan plan, int batch) {
	static const enum jf_task tasks[] = {
	    [CLI_PLAN_CLASSIFY] = JF_TASK_CLASSIFY,
	    [CLI_PLAN_GENERATE] = JF_TASK_GENERATE,
	    [CLI_PLAN_SAMPLE] = JF_TASK_SAMPLE,
	};

	if (plan == CLI_PLAN_TRAIN)
		return (struct jf_plan_spec){.outputs = 1u << JF_OUTPUT_IMAGE | 1u << JF_OUTPUT_LABEL,
		    .train = true,
		    .batch = batch,
		    .micro_batch = batch};
	return jf_sampler_plan_spec(tasks[plan], batch);
}

/* Bytes of what a node computes for one sample, and of its parameters. */
static size_t value_bytes(const struct jf_plan *plan, int i) {
	return plan->nodes[i].view ? 0 : jf_shape_floats(plan->graph->nodes[i].shape) * sizeof(float);
}

static size_t parameter_bytes(const struct jf_graph *graph, const struct jf_node *node) {
	size_t floats = 0;

	for (int i = 0; i < JF_MAX_PARAM; i++)
		floats += node->param[i] == JF_NONE ? 0 : graph->params[node->param[i]].size;
	return floats * sizeof(float);
}

struct sums {
	int nodes;
	long long multiply_adds;
	size_t value_bytes, parameter_bytes;
};

static struct sums sum_phase(const struct jf_plan *plan, enum jf_when when) {
	struct sums sums = {0};

	for (int i = 0; i < plan->graph->n_nodes; i++) {
		const struct jf_node *node = &plan->graph->nodes[i];

		if (plan->nodes[i].when != when)
			continue;
		sums.nodes++;
		sums.multiply_adds += jf_op_multiply_adds(plan->graph, i);
		sums.value_bytes += value_bytes(plan, i);
		sums.parameter_bytes += parameter_bytes(plan->graph, node);
	}
	return sums;
}

static void print_node(const struct jf_plan *plan, int i) {
	const struct jf_node *node = &plan->graph->nodes[i];
	char shape[48];

	snprintf(shape, sizeof(shape), "%d x %d x %d", node->shape.rows, node->shape.columns, node->shape.channels);
	printf("  %-22s %-15s %14s %12lld %10zu %10zu%s", node->name, jf_op_name(node->op), shape,
	    jf_op_multiply_adds(plan->graph, i), value_bytes(plan, i), parameter_bytes(plan->graph, node),
	    plan->nodes[i].shared ? "  one for the batch" : "");
	if (plan->nodes[i].fused != JF_NONE)
		printf("  with %s", plan->graph->nodes[plan->nodes[i].fused].name);
	if (plan->nodes[i].view)
		printf("  read where %s lies", plan->graph->nodes[jf_plan_source(plan, i)].name);
	if (plan->nodes[i].grad_root != i)
		printf("  gradient with %s's", plan->graph->nodes[plan->nodes[i].grad_root].name);
	if (node->op == JF_OP_GROUP_NORM && plan->nodes[node->in[0]].gathers)
		printf("  statistics with %s", plan->graph->nodes[node->in[0]].name);
	putchar('\n');
}

/* What a worker's executors of all tasks have in one workspace. */
static size_t common_bytes(const struct jf_plan *plan) {
	return (plan->temporary_floats + plan->scratch_floats) * sizeof(float);
}

static size_t plan_bytes(const struct jf_plan *plan) {
	return plan->lasting_floats * sizeof(float) + common_bytes(plan);
}

static void print_plan(const struct jf_plan *plan, const char *name) {
	printf("plan %s, room for %d samples; for one sample:\n", name, plan->spec.batch);
	for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++) {
		struct sums sums = sum_phase(plan, phases[p].when);

		printf("\n%s: %d nodes, %.2f M multiply-adds, %zu bytes of values, %zu bytes of parameters\n",
		    phases[p].title, sums.nodes, (double)sums.multiply_adds * 1e-6, sums.value_bytes,
		    sums.parameter_bytes);
		if (sums.nodes)
			printf("  %-22s %-15s %14s %12s %10s %10s\n", "node", "op", "shape", "multiply-adds", "bytes",
			    "parameters");
		for (int i = 0; i < plan->graph->n_nodes; i++) {
			if (plan->nodes[i].when == phases[p].when)
				print_node(plan, i);
		}
	}
	printf(
	    "\nmemory of a worker: %zu bytes, %zu of them common to all its tasks; %zu if no value shared memory with "
	    "another\n",
	    plan_bytes(plan), common_bytes(plan), (plan->unplanned_floats + plan->scratch_floats) * sizeof(float));
}

static void put_node(struct jf_json_writer *json, const struct jf_plan *plan, int i, const char *when) {
	const struct jf_node *node = &plan->graph->nodes[i];

	jf_json_begin_object(json, NULL);
	jf_json_put_string(json, "name", node->name);
	jf_json_put_string(json, "op", jf_op_name(node->op));
	jf_json_put_string(json, "when", when);
	jf_json_put_bool(json, "shared", plan->nodes[i].shared);
	if (plan->nodes[i].fused != JF_NONE)
		jf_json_put_string(json, "computed_with", plan->graph->nodes[plan->nodes[i].fused].name);
	if (plan->nodes[i].view)
		jf_json_put_string(json, "view_of", plan->graph->nodes[jf_plan_source(plan, i)].name);
	if (plan->nodes[i].grad_root != i)
		jf_json_put_string(json, "gradient_with", plan->graph->nodes[plan->nodes[i].grad_root].name);
	if (node->op == JF_OP_GROUP_NORM && plan->nodes[node->in[0]].gathers)
		jf_json_put_string(json, "statistics_with", plan->graph->nodes[node->in[0]].name);
	jf_json_begin_array(json, "shape");
	jf_json_put_integer(json, NULL, node->shape.rows);
	jf_json_put_integer(json, NULL, node->shape.columns);
	jf_json_put_integer(json, NULL, node->shape.channels);
	jf_json_end_array(json);
	jf_json_put_integer(json, "multiply_adds", jf_op_multiply_adds(plan->graph, i));
	jf_json_put_unsigned(json, "bytes", value_bytes(plan, i));
	jf_json_put_unsigned(json, "parameter_bytes", parameter_bytes(plan->graph, node));
	jf_json_end_object(json);
}

static void put_plan(struct jf_json_writer *json, const struct jf_plan *plan, const char *name) {
	jf_json_begin_object(json, "plan");
	jf_json_put_string(json, "task", name);
	jf_json_put_integer(json, "slots", plan->spec.batch);
	jf_json_put_unsigned(json, "arena_bytes", plan_bytes(plan));
	jf_json_put_unsigned(json, "common_bytes", common_bytes(plan));
	jf_json_begin_object(json, "multiply_adds");
	for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++)
		jf_json_put_integer(json, phases[p].key, sum_phase(plan, phases[p].when).multiply_adds);
	jf_json_end_object(json);
	jf_json_begin_array(json, "nodes");
	for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++) {
		for (int i = 0; i < plan->graph->n_nodes; i++) {
			if (plan->nodes[i].when == phases[p].when)
				put_node(json, plan, i, phases[p].key);
		}
	}
	jf_json_end_array(json);
	jf_json_end_object(json);
}

/* json NULL: prints text */
static enum jf_err show_plan(
    struct jf_json_writer *json, const struct cli_args *args, const struct jf_model *model, struct jf_error *err) {
	struct jf_plan_spec spec = spec_of((enum cli_plan)args->plan, args->batch ? args->batch : 16);
	struct jf_plan *plan = jf_plan_create(model->graph, &spec, err);

	if (!plan)
		return err->code;
	if (json)
		put_plan(json, plan, plan_names[args->plan]);
	else
		print_plan(plan, plan_names[args->plan]);
	jf_plan_destroy(plan);
	return JF_OK;
}

static enum jf_err show_json(
    const struct cli_args *args, const struct jf_model *model, const char *path, struct jf_error *err) {
	struct jf_json_writer json;

	jf_json_writer_init(&json);
	jf_json_begin_object(&json, NULL);
	put_model(&json, model, path);
	if (!args->plan_given || show_plan(&json, args, model, err) == JF_OK) {
		jf_json_end_object(&json);
		cli_json_print(&json, err);
	}
	jf_json_writer_deinit(&json);
	return err->code;
}

int cli_info(const struct cli_args *args) {
	struct jf_error err = {0};
	struct jf_model *model;
	char path[PATH_MAX];

	if (args->n_operands)
		return cli_usage("extra operand '%s'", args->operands[0]);
	model = cli_model_load(args, path, sizeof(path), &err);
	if (!model)
		return cli_fail(&err);
	if (args->json)
		show_json(args, model, path, &err);
	else if (args->plan_given)
		show_plan(NULL, args, model, &err);
	else
		print_model(model, path);
	jf_model_unref(model);
	return err.code ? cli_fail(&err) : CLI_EXIT_OK;
}
