#include "cli/onnx.h"

#include <stdlib.h>

#include "cli/onnx_internal.h"
#include "core/base/json.h"

/* Marks what the outputs of this part depend on; the graph is in topological order. */
static void find_wanted(struct export *e) {
	e->wanted[e->graph->outputs[JF_OUTPUT_LABEL]] = true;
	e->wanted[e->graph->outputs[JF_OUTPUT_IMAGE]] = e->part == ONNX_FIELD;
	for (int i = e->graph->n_nodes - 1; i >= 0; i--)
		for (int j = 0; j < JF_MAX_IN && e->wanted[i]; j++)
			if (node_of(e, i)->in[j] != JF_NONE)
				e->wanted[node_of(e, i)->in[j]] = true;
}

/* The clipped endpoint of a velocity head at t = 1: max(0, (y - v + 1) / 2) over its sum, 1 / K where that is 0. */
static const char *endpoint_probabilities(struct export *e, const struct jf_node *head, const char *v) {
	const float half = 0.5f, one = 1.0f, zero = 0.0f, uniform = 1.0f / (float)e->model->config.classes;
	const int64_t dim[] = {1}, axis[] = {1};
	const char *y = e->values[e->graph->inputs[JF_INPUT_LABEL]].name, *w, *sum, *some;

	w = op2(e, head, "Add", op2(e, head, "Sub", y, v), onnx_floats(e->onnx, NULL, 1, dim, &one));
	w = op1(e, head, "Relu", op2(e, head, "Mul", w, onnx_floats(e->onnx, NULL, 1, dim, &half)));
	sum = op2(e, head, "ReduceSum", w, onnx_ints(e->onnx, NULL, 1, axis));
	some = op2(e, head, "Greater", sum, onnx_floats(e->onnx, NULL, 1, dim, &zero));
	return onnx_op(e->onnx, head->name, "Where", some, op2(e, head, "Div", w, sum),
	    onnx_floats(e->onnx, NULL, 1, dim, &uniform), NULL);
}

static void posterior_outputs(struct export *e) {
	const int64_t classes[] = {e->model->config.classes}, one[] = {1};
	const struct jf_node *head = node_of(e, e->graph->outputs[JF_OUTPUT_LABEL]);
	const char *x = e->values[e->graph->outputs[JF_OUTPUT_LABEL]].name;

	if (e->model->config.head == JF_HEAD_ENDPOINT) {
		x = op2(e, head, "Div", x, onnx_floats(e->onnx, "temperature", 1, one, &e->model->temperature));
		op1(e, head, "Softmax", x);
		onnx_attribute_int(e->onnx, "axis", -1);
	} else {
		endpoint_probabilities(e, head, x);
	}
	onnx_rename(e->onnx, "probabilities");
	op1(e, head, "ArgMax", "probabilities");
	onnx_attribute_int(e->onnx, "axis", 1);
	onnx_attribute_int(e->onnx, "keepdims", 0);
	onnx_rename(e->onnx, "label");
	onnx_output(e->onnx, "probabilities", "P(label | image), [N][K]", ONNX_FLOAT, 1, classes);
	onnx_output(e->onnx, "label", "the likeliest class, [N]", ONNX_INT64, 0, classes);
}

static void field_outputs(struct export *e) {
	const struct jf_network_config *c = &e->model->config;
	const int64_t image[] = {c->height, c->width, c->image_channels}, classes[] = {c->classes};
	const struct jf_node *node = node_of(e, e->graph->outputs[JF_OUTPUT_IMAGE]);
	const bool endpoint = c->head == JF_HEAD_ENDPOINT;

	onnx_transpose(e, node, e->values[e->graph->outputs[JF_OUTPUT_IMAGE]].name, 4, 0, 2, 3, 1);
	onnx_rename(e->onnx, "image_velocity");
	onnx_output(e->onnx, "image_velocity", "dx / dt, [N][H][W][C]", ONNX_FLOAT, 3, image);
	op1(e, node, "Identity", e->values[e->graph->outputs[JF_OUTPUT_LABEL]].name);
	onnx_rename(e->onnx, endpoint ? "label_logits" : "label_velocity");
	onnx_output(e->onnx, endpoint ? "label_logits" : "label_velocity",
	    endpoint ? "[N][K]; the endpoint is 2 softmax - 1, the velocity (label - endpoint) / t_lab"
		     : "dy / dt, [N][K]",
	    ONNX_FLOAT, 1, classes);
}

static enum jf_err add_facts(struct export *e, struct jf_error *err) {
	struct jf_json_writer json;
	enum jf_err rc;

	jf_json_writer_init(&json);
	jf_json_begin_array(&json, NULL);
	for (int k = 0; k < e->model->config.classes; k++)
		jf_json_put_string(&json, NULL, e->model->class_names[k]);
	jf_json_end_array(&json);
	rc = jf_json_writer_text(&json) ? JF_OK
					: jf_error_set(err, JF_ENOMEM, "out of memory for the names of the classes");
	if (rc == JF_OK)
		onnx_metadata(e->onnx, "class_names", jf_json_writer_text(&json));
	jf_json_writer_deinit(&json);
	onnx_metadata(e->onnx, "name", e->model->name);
	onnx_metadata(e->onnx, "checksum", e->model->checksum);
	onnx_metadata(e->onnx, "temperature", onnx_name(e->onnx, "%.9g", (double)e->model->temperature));
	return rc;
}

static enum jf_err export_graph(struct export *e, const char *path, struct jf_error *err) {
	find_wanted(e);
	for (int i = 0; i < e->graph->n_nodes; i++)
		if (e->wanted[i] && onnx_export_node(e, i, err) != JF_OK)
			return err->code;
	if (e->part == ONNX_POSTERIOR)
		posterior_outputs(e);
	else
		field_outputs(e);
	if (add_facts(e, err) != JF_OK)
		return err->code;
	return onnx_write(e->onnx, path,
	    e->part == ONNX_POSTERIOR ? "P(label | image) of a joint model of images and labels"
				      : "The velocity field of a joint model of images and labels",
	    err);
}

enum jf_err onnx_export(const struct jf_model *model, enum onnx_part part, const char *path, struct jf_error *err) {
	struct export e = {.model = model, .graph = model->graph, .part = part};
	enum jf_err rc;

	e.onnx = onnx_create(part == ONNX_POSTERIOR ? "posterior" : "field");
	e.values = calloc((size_t)e.graph->n_nodes, sizeof(*e.values));
	e.wanted = calloc((size_t)e.graph->n_nodes, sizeof(*e.wanted));
	rc = e.onnx && e.values && e.wanted ? export_graph(&e, path, err)
					    : jf_error_set(err, JF_ENOMEM, "out of memory for '%s'", path);
	free(e.values);
	free(e.wanted);
	onnx_destroy(e.onnx);
	return rc;
}
