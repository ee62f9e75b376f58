#include "config.h"

#include "daemon/api/v2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/questions/question.h"
#include "daemon/api/call.h"
#include "daemon/api/submit.h"

void jf_v2_server(struct jf_call *call) {
	struct jf_json_writer writer;

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "name", "jointflow");
	jf_json_put_string(&writer, "version", PACKAGE_VERSION);
	jf_json_begin_array(&writer, "extensions");
	jf_json_end_array(&writer);
	jf_json_end_object(&writer);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

static void reply_flag(struct jf_call *call, const char *key, const char *name) {
	struct jf_json_writer writer;

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	if (name)
		jf_json_put_string(&writer, "name", name);
	jf_json_put_bool(&writer, key, true);
	jf_json_end_object(&writer);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

void jf_v2_live(struct jf_call *call) {
	reply_flag(call, "live", NULL);
}

void jf_v2_ready(struct jf_call *call) {
	struct jf_model *model = jf_call_model(call);

	if (!model)
		return;
	jf_model_unref(model);
	reply_flag(call, "ready", NULL);
}

/* The model if the path names it; NULL after answering. */
static struct jf_model *named_model(struct jf_call *call) {
	struct jf_model *model = jf_call_model(call);

	if (!model || strcmp(model->name, call->tail) == 0)
		return model;
	jf_call_fail_with(
	    call, JF_PROBLEM_NOT_FOUND, "The model here is \"%.80s\", not \"%.80s\".", model->name, call->tail);
	jf_model_unref(model);
	return NULL;
}

static void put_tensor(
    struct jf_json_writer *writer, const char *name, const char *datatype, const int *shape, int rank) {
	int i;

	jf_json_begin_object(writer, NULL);
	jf_json_put_string(writer, "name", name);
	jf_json_put_string(writer, "datatype", datatype);
	jf_json_begin_array(writer, "shape");
	for (i = 0; i < rank; i++)
		jf_json_put_integer(writer, NULL, shape[i]);
	jf_json_end_array(writer);
}

void jf_v2_model(struct jf_call *call) {
	struct jf_model *model = named_model(call);
	struct jf_json_writer writer;
	int shape[4];

	if (!model)
		return;
	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "name", model->name);
	jf_json_begin_array(&writer, "versions");
	jf_json_put_string(&writer, NULL, "1");
	jf_json_end_array(&writer);
	jf_json_put_string(&writer, "platform", "jointflow");
	jf_json_begin_array(&writer, "inputs");
	shape[0] = -1;
	shape[1] = model->config.height;
	shape[2] = model->config.width;
	shape[3] = model->config.image_channels;
	put_tensor(&writer, "image", "FP32", shape, 4);
	jf_json_end_object(&writer);
	jf_json_end_array(&writer);
	jf_json_begin_array(&writer, "outputs");
	shape[1] = model->config.classes;
	put_tensor(&writer, "probabilities", "FP32", shape, 2);
	jf_json_end_object(&writer);
	put_tensor(&writer, "label", "INT64", shape, 1);
	jf_json_end_object(&writer);
	jf_json_end_array(&writer);
	jf_json_end_object(&writer);
	jf_model_unref(model);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

void jf_v2_model_ready(struct jf_call *call) {
	struct jf_model *model = named_model(call);

	if (!model)
		return;
	reply_flag(call, "ready", model->name);
	jf_model_unref(model);
}

/* --- infer --- */

static bool string_is(const struct jf_json *value, const char *text) {
	const char *given;
	size_t length;

	return value && jf_json_read_string(value, &given, &length, NULL) == JF_OK && strcmp(given, text) == 0;
}

/* Flat or nested data, row by row, into out[limit]; *n counts. */
static bool read_data(struct jf_call *call, const struct jf_json *data, float *out, size_t limit, size_t *n) {
	struct jf_error err = {0};
	double value;
	size_t i;

	if (jf_json_type(data) == JF_JSON_ARRAY) {
		for (i = 0; i < jf_json_size(data); i++)
			if (!read_data(call, jf_json_at(data, i), out, limit, n))
				return false;
		return true;
	}
	if (jf_json_read_number(data, &value, -1, 1, &err) != JF_OK)
		return jf_problem_field(&call->problem, "/inputs/0/data", "value %zu %.150s", *n, err.message);
	if (*n == limit)
		return jf_problem_field(&call->problem, "/inputs/0/data", "has more than %zu values", limit);
	out[(*n)++] = (float)value;
	return true;
}

/* The number of images the shape says; 0 after noting what is wrong. */
static int read_shape(struct jf_call *call, const struct jf_json *shape, const struct jf_network_config *config) {
	const int wanted[3] = {config->height, config->width, config->image_channels};
	int max = call->http->parts.conf->max_count;
	struct jf_error err = {0};
	int64_t size[4] = {0};
	size_t rank = shape && jf_json_type(shape) == JF_JSON_ARRAY ? jf_json_size(shape) : 0, i;
	bool fits;

	for (i = 0; i < rank && i < 4; i++)
		if (jf_json_read_integer(jf_json_at(shape, i), &size[i], 1, i ? 1 << 24 : max, &err) != JF_OK) {
			jf_problem_field(&call->problem, "/inputs/0/shape", "element %zu %.150s", i, err.message);
			return 0;
		}
	fits = (rank == 4 && size[1] == wanted[0] && size[2] == wanted[1] && size[3] == wanted[2]) ||
	       (rank == 2 && size[1] == (int64_t)wanted[0] * wanted[1] * wanted[2]);
	if (fits)
		return (int)size[0];
	jf_problem_field(&call->problem, "/inputs/0/shape", "must be [n, %d, %d, %d] or [n, %d]", wanted[0], wanted[1],
	    wanted[2], wanted[0] * wanted[1] * wanted[2]);
	return 0;
}

static struct jf_job *read_inputs(struct jf_call *call, struct jf_model *model) {
	const struct jf_json *inputs = jf_json_get(call->params.root, "inputs"), *input;
	size_t pixels = jf_network_image_floats(&model->config);
	struct jf_error err = {0};
	struct jf_job *job;
	size_t count = 0;
	int n, i;

	if (!inputs || jf_json_type(inputs) != JF_JSON_ARRAY || jf_json_size(inputs) != 1 ||
	    jf_json_type(jf_json_at(inputs, 0)) != JF_JSON_OBJECT) {
		jf_problem_field(&call->problem, "/inputs", "must be an array with the one input named image");
		return NULL;
	}
	input = jf_json_at(inputs, 0);
	if (!string_is(jf_json_get(input, "name"), "image"))
		jf_problem_field(&call->problem, "/inputs/0/name", "must be image");
	if (!string_is(jf_json_get(input, "datatype"), "FP32"))
		jf_problem_field(&call->problem, "/inputs/0/datatype", "must be FP32");
	n = read_shape(call, jf_json_get(input, "shape"), &model->config);
	if (call->problem.set)
		return NULL;
	job = jf_job_create(model, JF_JOB_POSTERIOR, n, &err);
	if (!job || jf_job_alloc_images(job, n, &err) != JF_OK) {
		jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "%.300s", err.message);
		goto fail;
	}
	if (!jf_json_get(input, "data")) {
		jf_problem_field(&call->problem, "/inputs/0/data", "is missing");
		goto fail;
	}
	if (!read_data(call, jf_json_get(input, "data"), job->images, (size_t)n * pixels, &count))
		goto fail;
	if (count != (size_t)n * pixels) {
		jf_problem_field(
		    &call->problem, "/inputs/0/data", "has %zu values, the shape says %zu", count, (size_t)n * pixels);
		goto fail;
	}
	for (i = 0; i < n; i++)
		job->items[i].image = job->images + (size_t)i * pixels;
	return job;
fail:
	jf_job_unref(job);
	return NULL;
}

/* Which outputs are wanted: bit 0 probabilities, bit 1 label; 0 after noting what is wrong. */
static int read_outputs(struct jf_call *call) {
	const struct jf_json *outputs = jf_json_get(call->params.root, "outputs"), *name;
	int wanted = 0;
	size_t i;

	if (!outputs)
		return 3;
	if (jf_json_type(outputs) != JF_JSON_ARRAY || jf_json_size(outputs) == 0) {
		jf_problem_field(&call->problem, "/outputs", "must be an array of outputs, or be left out");
		return 0;
	}
	for (i = 0; i < jf_json_size(outputs); i++) {
		name = jf_json_type(jf_json_at(outputs, i)) == JF_JSON_OBJECT
			   ? jf_json_get(jf_json_at(outputs, i), "name")
			   : NULL;
		if (string_is(name, "probabilities"))
			wanted |= 1;
		else if (string_is(name, "label"))
			wanted |= 2;
		else
			jf_problem_field(
			    &call->problem, "/outputs", "entry %zu: the outputs are probabilities and label", i);
	}
	return wanted;
}

static void reply(struct jf_call *call, const struct jf_job *job) {
	const int classes = job->model->config.classes;
	const int shape[2] = {job->n, classes};
	struct jf_json_writer writer;
	const char *id;
	size_t length;
	int i;

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "model_name", job->model->name);
	jf_json_put_string(&writer, "model_version", "1");
	if (jf_json_get(call->params.root, "id") &&
	    jf_json_read_string(jf_json_get(call->params.root, "id"), &id, &length, NULL) == JF_OK)
		jf_json_put_string(&writer, "id", id);
	else
		jf_json_put_string(&writer, "id", call->id);
	jf_json_begin_array(&writer, "outputs");
	if (call->outputs & 1) {
		put_tensor(&writer, "probabilities", "FP32", shape, 2);
		jf_json_put_floats(&writer, "data", job->out_probabilities, (size_t)job->n * (size_t)classes);
		jf_json_end_object(&writer);
	}
	if (call->outputs & 2) {
		put_tensor(&writer, "label", "INT64", shape, 1);
		jf_json_begin_array(&writer, "data");
		for (i = 0; i < job->n; i++)
			jf_json_put_integer(
			    &writer, NULL, jf_argmax(job->out_probabilities + (size_t)i * (size_t)classes, classes));
		jf_json_end_array(&writer);
		jf_json_end_object(&writer);
	}
	jf_json_end_array(&writer);
	jf_json_end_object(&writer);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

static bool parse_infer(struct jf_call *call) {
	static const char *const known[] = {"id", "parameters", "inputs", "outputs"};
	const char *body, *text;
	size_t size;
	int i;

	body = jf_request_body(call->request, &size);
	if (!jf_params_add_json(&call->params, body, size) && !call->params.root)
		return false;
	if (call->problem.set)
		return false;
	if (jf_params_has(&call->params, "id"))
		jf_params_string(&call->params, "id", &text, &size);
	for (i = 0; i < 4; i++)
		jf_params_touch(&call->params, known[i]);
	return jf_params_finish(&call->params);
}

void jf_v2_infer(struct jf_call *call) {
	struct jf_model *model = named_model(call);
	struct jf_job *job = NULL;

	if (!model)
		return;
	if (parse_infer(call)) {
		call->outputs = read_outputs(call);
		job = read_inputs(call, model);
	}
	jf_model_unref(model);
	if (!job || call->problem.set) {
		jf_job_unref(job);
		jf_call_fail(call);
		return;
	}
	jf_submit_job(call, job, reply);
}
