#include "daemon/api/v2_infer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/pictures/image.h"
#include "core/questions/question.h"
#include "daemon/api/call.h"

#define LENGTH_FIELD "Inference-Header-Content-Length"

const char *jf_v2_tensor_name(enum jf_v2_tensor tensor) {
	static const char *const names[JF_N_V2_TENSORS] = {"probabilities", "label", "familiarity"};

	return names[tensor];
}

static bool string_is(const struct jf_json *value, const char *text) {
	const char *given;
	size_t length;

	return value && jf_json_read_string(value, &given, &length, NULL) == JF_OK && strcmp(given, text) == 0;
}

/* object[key], which must be an object or an array itself; NULL when there is none of that kind, or null. */
static const struct jf_json *get(const struct jf_json *object, const char *key, enum jf_json_type type) {
	const struct jf_json *value =
	    object && jf_json_type(object) == JF_JSON_OBJECT ? jf_json_get(object, key) : NULL;

	return value && jf_json_type(value) == type ? value : NULL;
}

static bool is_absent(const struct jf_json *object, const char *key) {
	const struct jf_json *value = jf_json_get(object, key);

	return !value || jf_json_type(value) == JF_JSON_NULL;
}

/* --- the request --- */

/* Where the JSON ends and raw tensors begin. */
static bool split_body(struct jf_call *call, size_t size, size_t *json_size) {
	const char *field = jf_request_header(call->request, LENGTH_FIELD);
	unsigned long long length;
	char *end;

	*json_size = size;
	if (!field)
		return true;
	length = strtoull(field, &end, 10);
	if (!*field || *end || strspn(field, "0123456789") != strlen(field) || length > size)
		return jf_problem_set(&call->problem, JF_PROBLEM_MALFORMED,
		    LENGTH_FIELD
		    " is \"%.40s\"; it must be the length of the JSON at the beginning of the body's %zu bytes.",
		    field, size);
	*json_size = (size_t)length;
	return true;
}

static bool parse_json(struct jf_call *call, const char *text, size_t size) {
	static const char *const known[] = {"id", "parameters", "inputs", "outputs"};
	const char *id;

	if (!jf_params_add_json(&call->params, text, size) && !call->params.root)
		return false;
	if (call->problem.set)
		return false;
	if (jf_params_string(&call->params, "id", &id, &size) && !(call->client_id = strdup(id)))
		return jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		jf_params_touch(&call->params, known[i]);
	return jf_params_finish(&call->params);
}

static bool read_flag(const struct jf_json *parameters, const char *key, bool fallback) {
	const struct jf_json *value = parameters ? jf_json_get(parameters, key) : NULL;
	bool flag = fallback;

	if (value)
		jf_json_read_bool(value, &flag, NULL);
	return flag;
}

/* One entry of "outputs". */
static bool read_output(
    struct jf_call *call, const struct jf_json *entry, size_t i, bool binary, const struct jf_model *model) {
	const struct jf_json *parameters = get(entry, "parameters", JF_JSON_OBJECT);
	const struct jf_json *name = get(entry, "name", JF_JSON_STRING), *count;
	struct jf_v2_outputs *outputs = &call->outputs;
	struct jf_error err = {0};
	int64_t wanted = 0;
	int classes = model->config.classes;
	char pointer[64];
	int tensor;

	snprintf(pointer, sizeof(pointer), "/outputs/%zu/name", i);
	for (tensor = 0; tensor < JF_N_V2_TENSORS && !string_is(name, jf_v2_tensor_name((enum jf_v2_tensor)tensor));
	     tensor++)
		;
	if (tensor == JF_N_V2_TENSORS)
		return jf_problem_field(&call->problem, pointer, "must be probabilities, label or familiarity");
	if (tensor == JF_V2_FAMILIARITY && !model->familiarity)
		return jf_problem_field(
		    &call->problem, pointer, "needs a model that knows what is familiar; this one is not calibrated");
	if (outputs->n == JF_V2_MAX_OUTPUTS)
		return jf_problem_field(&call->problem, "/outputs", "has more than %d entries", JF_V2_MAX_OUTPUTS);
	count = parameters ? jf_json_get(parameters, "classification") : NULL;
	snprintf(pointer, sizeof(pointer), "/outputs/%zu/parameters/classification", i);
	if (count && tensor != JF_V2_PROBABILITIES)
		return jf_problem_field(&call->problem, pointer, "is for probabilities only");
	if (count && jf_json_read_integer(count, &wanted, 0, INT32_MAX, &err) != JF_OK)
		return jf_problem_field(&call->problem, pointer, "%s", err.message);
	outputs->item[outputs->n].tensor = (enum jf_v2_tensor)tensor;
	outputs->item[outputs->n].binary = read_flag(parameters, "binary_data", binary);
	outputs->item[outputs->n].classes = wanted < classes ? (int)wanted : classes;
	outputs->n++;
	return true;
}

static void read_outputs(struct jf_call *call, const struct jf_model *model) {
	const struct jf_json *outputs = get(call->params.root, "outputs", JF_JSON_ARRAY);
	bool binary = read_flag(get(call->params.root, "parameters", JF_JSON_OBJECT), "binary_data_output", false);

	if (is_absent(call->params.root, "outputs")) {
		for (int tensor = 0; tensor < JF_V2_FAMILIARITY; tensor++) {
			call->outputs.item[tensor].tensor = (enum jf_v2_tensor)tensor;
			call->outputs.item[tensor].binary = binary;
			call->outputs.item[tensor].classes = 0;
		}
		call->outputs.n = JF_V2_FAMILIARITY;
		return;
	}
	if (!outputs || jf_json_size(outputs) == 0) {
		jf_problem_field(&call->problem, "/outputs", "must be an array of outputs, or be left out");
		return;
	}
	for (size_t i = 0; i < jf_json_size(outputs); i++)
		read_output(call, jf_json_at(outputs, i), i, binary, model);
}

/* The number of images in the shape; 0 after noting what is wrong. */
static int read_shape(struct jf_call *call, const struct jf_json *shape, const struct jf_network_config *config) {
	const int wanted[3] = {config->height, config->width, config->image_channels};
	int max = call->http->parts.conf->max_count;
	struct jf_error err = {0};
	int64_t size[4] = {0};
	size_t rank = shape ? jf_json_size(shape) : 0, i;
	bool fits;

	for (i = 0; i < rank && i < 4; i++)
		if (jf_json_read_integer(jf_json_at(shape, i), &size[i], 1, i ? 1 << 24 : max, &err) != JF_OK) {
			jf_problem_field(&call->problem, "/inputs/0/shape", "element %zu %.150s", i, err.message);
			return 0;
		}
	fits = (rank == 4 && size[1] == wanted[0] && size[2] == wanted[1] && size[3] == wanted[2]) ||
	       (rank == 2 && size[1] == (int64_t)jf_network_image_floats(config));
	if (fits)
		return (int)size[0];
	jf_problem_field(&call->problem, "/inputs/0/shape", "must be [n, %d, %d, %d] or [n, %zu]", wanted[0], wanted[1],
	    wanted[2], jf_network_image_floats(config));
	return 0;
}

/* Where values go, and what they may be. */
struct filling {
	float *out;
	size_t limit, n;
	bool pixels; /* UINT8, 0 to 255, in place of FP32, -1 to 1 */
};

/* Flat or nested data, row by row. */
static bool read_data(struct jf_call *call, const struct jf_json *data, struct filling *to) {
	struct jf_error err = {0};
	double value;
	enum jf_err rc;

	if (jf_json_type(data) == JF_JSON_ARRAY) {
		for (size_t i = 0; i < jf_json_size(data); i++)
			if (!read_data(call, jf_json_at(data, i), to))
				return false;
		return true;
	}
	rc = jf_json_read_number(data, &value, to->pixels ? 0 : -1, to->pixels ? 255 : 1, &err);
	if (rc == JF_OK && to->pixels && value != floor(value))
		rc = jf_error_set(&err, JF_EINVAL, "must be a whole number from 0 to 255, not %g", value);
	if (rc != JF_OK)
		return jf_problem_field(&call->problem, "/inputs/0/data", "value %zu %.150s", to->n, err.message);
	if (to->n == to->limit)
		return jf_problem_field(&call->problem, "/inputs/0/data", "has more than %zu values", to->limit);
	to->out[to->n++] = to->pixels ? jf_byte_to_float((uint8_t)value) : (float)value;
	return true;
}

/* Raw values, little-endian. */
static bool read_raw(struct jf_call *call, const unsigned char *raw, size_t size, struct filling *to) {
	size_t width = to->pixels ? 1 : sizeof(float);

	if (size != to->limit * width)
		return jf_problem_field(&call->problem, "/inputs/0/parameters/binary_data_size",
		    "is %zu, the shape says %zu bytes", size, to->limit * width);
	for (; to->n < to->limit; to->n++) {
		uint32_t bits = to->pixels ? 0 : (uint32_t)jf_little_endian(raw + 4 * to->n, 4);

		if (to->pixels)
			to->out[to->n] = jf_byte_to_float(raw[to->n]);
		else
			memcpy(&to->out[to->n], &bits, sizeof(bits));
		if (!(to->out[to->n] >= -1 && to->out[to->n] <= 1))
			return jf_problem_field(&call->problem, "/inputs/0",
			    "value %zu of the binary data must be a number from -1 to 1, not %g", to->n,
			    (double)to->out[to->n]);
	}
	return true;
}

static bool read_values(
    struct jf_call *call, const struct jf_json *input, const char *raw, size_t raw_size, struct filling *to) {
	const struct jf_json *parameters = get(input, "parameters", JF_JSON_OBJECT);
	const struct jf_json *size = parameters ? jf_json_get(parameters, "binary_data_size") : NULL;
	const char *pointer = "/inputs/0/parameters/binary_data_size";
	struct jf_error err = {0};
	int64_t bytes;

	if (size) {
		if (!is_absent(input, "data"))
			return jf_problem_field(
			    &call->problem, "/inputs/0/data", "cannot be given together with binary_data_size");
		if (jf_json_read_integer(size, &bytes, 0, INT64_MAX, &err) != JF_OK)
			return jf_problem_field(&call->problem, pointer, "%s", err.message);
		if ((uint64_t)bytes != raw_size)
			return jf_problem_field(&call->problem, pointer,
			    "is %" PRId64 ", but %zu bytes follow the JSON (" LENGTH_FIELD " tells where it ends)",
			    bytes, raw_size);
		return read_raw(call, (const unsigned char *)raw, raw_size, to);
	}
	if (raw_size)
		return jf_problem_field(&call->problem, pointer, "is missing, and %zu bytes follow the JSON", raw_size);
	if (is_absent(input, "data"))
		return jf_problem_field(&call->problem, "/inputs/0/data", "is missing");
	if (!read_data(call, jf_json_get(input, "data"), to))
		return false;
	return to->n == to->limit || jf_problem_field(&call->problem, "/inputs/0/data",
					 "has %zu values, the shape says %zu", to->n, to->limit);
}

static struct jf_job *read_inputs(struct jf_call *call, struct jf_model *model, const char *raw, size_t raw_size) {
	const struct jf_json *inputs = get(call->params.root, "inputs", JF_JSON_ARRAY);
	const struct jf_json *input = inputs && jf_json_size(inputs) == 1 ? jf_json_at(inputs, 0) : NULL;
	size_t pixels = jf_network_image_floats(&model->config);
	struct filling to = {0};
	struct jf_error err = {0};
	struct jf_job *job;
	int n;

	if (!input || jf_json_type(input) != JF_JSON_OBJECT) {
		jf_problem_field(&call->problem, "/inputs", "must be an array with the one input named image");
		return NULL;
	}
	if (!string_is(jf_json_get(input, "name"), "image"))
		jf_problem_field(&call->problem, "/inputs/0/name", "must be image");
	to.pixels = string_is(jf_json_get(input, "datatype"), "UINT8");
	if (!to.pixels && !string_is(jf_json_get(input, "datatype"), "FP32"))
		jf_problem_field(&call->problem, "/inputs/0/datatype", "must be FP32 or UINT8");
	n = read_shape(call, get(input, "shape", JF_JSON_ARRAY), &model->config);
	if (call->problem.set)
		return NULL;
	job = jf_job_create(model, JF_JOB_POSTERIOR, n, &err);
	if (!job || jf_job_alloc_images(job, n, &err) != JF_OK) {
		jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "%.300s", err.message);
		goto fail;
	}
	to.out = job->images;
	to.limit = (size_t)n * pixels;
	if (!read_values(call, input, raw, raw_size, &to))
		goto fail;
	for (int i = 0; i < n; i++)
		job->items[i].image = job->images + (size_t)i * pixels;
	return job;
fail:
	jf_job_unref(job);
	return NULL;
}

struct jf_job *jf_v2_infer_parse(struct jf_call *call, struct jf_model *model) {
	size_t size, json_size;
	const char *body = jf_request_body(call->request, &size);
	struct jf_job *job;

	if (!split_body(call, size, &json_size) || !parse_json(call, body, json_size))
		return NULL;
	read_outputs(call, model);
	job = read_inputs(call, model, body + json_size, size - json_size);
	if (job && !call->problem.set)
		return job;
	jf_job_unref(job);
	return NULL;
}

/* --- the answer --- */

struct bytes {
	unsigned char *data;
	size_t size, capacity;
	bool failed;
};

static void put_bytes(struct bytes *out, const void *data, size_t size) {
	if (out->failed)
		return;
	if (size > out->capacity - out->size) {
		size_t capacity = 2 * out->capacity + size + 1024;
		unsigned char *grown = realloc(out->data, capacity);

		if (!grown) {
			out->failed = true;
			return;
		}
		out->data = grown;
		out->capacity = capacity;
	}
	memcpy(out->data + out->size, data, size);
	out->size += size;
}

static void put_little_endian(struct bytes *out, uint64_t value, int width) {
	unsigned char bytes[8];

	for (int i = 0; i < width; i++)
		bytes[i] = (unsigned char)(value >> 8 * i);
	put_bytes(out, bytes, (size_t)width);
}

/* "value:index:name" of the rank-th best class. */
static void class_text(char *out, size_t size, const struct jf_model *model, const float *row, int rank) {
	int best = jf_votes_place(NULL, row, rank, model->config.classes);

	snprintf(out, size, "%f:%d:%.200s", (double)row[best], best, model->class_names[best]);
}

static void put_classification(
    struct jf_json_writer *writer, struct bytes *raw, const struct jf_job *job, int count, bool binary) {
	char text[280];

	for (int i = 0; i < job->n; i++)
		for (int rank = 0; rank < count; rank++) {
			class_text(text, sizeof(text), job->model,
			    job->out_probabilities + (size_t)i * (size_t)job->model->config.classes, rank);
			if (binary) {
				put_little_endian(raw, strlen(text), 4);
				put_bytes(raw, text, strlen(text));
			} else {
				jf_json_put_string(writer, NULL, text);
			}
		}
}

static void put_values(
    struct jf_json_writer *writer, struct bytes *raw, const struct jf_job *job, enum jf_v2_tensor tensor, bool binary) {
	size_t classes = (size_t)job->model->config.classes;

	for (int i = 0; i < job->n; i++) {
		const float *row = job->out_probabilities + (size_t)i * classes;
		size_t n = classes;

		if (tensor == JF_V2_FAMILIARITY) {
			row = job->out_familiarity + i;
			n = 1;
		}
		if (tensor == JF_V2_LABEL) {
			int label = jf_argmax(row, (int)classes);

			if (binary)
				put_little_endian(raw, (uint64_t)label, 8);
			else
				jf_json_put_integer(writer, NULL, label);
			continue;
		}
		for (size_t k = 0; k < n; k++) {
			uint32_t bits;

			memcpy(&bits, &row[k], sizeof(bits));
			if (binary)
				put_little_endian(raw, bits, 4);
			else
				jf_json_put_float(writer, NULL, row[k]);
		}
	}
}

static void put_output(
    const struct jf_call *call, struct jf_json_writer *writer, struct bytes *raw, const struct jf_job *job, int i) {
	enum jf_v2_tensor tensor = call->outputs.item[i].tensor;
	int count = call->outputs.item[i].classes;
	bool binary = call->outputs.item[i].binary;
	size_t before = raw->size;

	jf_json_begin_object(writer, NULL);
	jf_json_put_string(writer, "name", jf_v2_tensor_name(tensor));
	jf_json_put_string(writer, "datatype", count ? "BYTES" : tensor == JF_V2_LABEL ? "INT64" : "FP32");
	jf_json_begin_array(writer, "shape");
	jf_json_put_integer(writer, NULL, job->n);
	if (tensor == JF_V2_PROBABILITIES)
		jf_json_put_integer(writer, NULL, count ? count : job->model->config.classes);
	jf_json_end_array(writer);
	if (!binary)
		jf_json_begin_array(writer, "data");
	if (count)
		put_classification(writer, raw, job, count, binary);
	else
		put_values(writer, raw, job, tensor, binary);
	if (binary) {
		jf_json_begin_object(writer, "parameters");
		jf_json_put_unsigned(writer, "binary_data_size", raw->size - before);
		jf_json_end_object(writer);
	} else {
		jf_json_end_array(writer);
	}
	jf_json_end_object(writer);
}

/* JSON, and behind it the raw tensors when there are any. */
static void reply_with(struct jf_call *call, struct jf_json_writer *writer, struct bytes *raw) {
	struct jf_response response;
	struct bytes whole = {0};
	size_t length;
	char *text;

	if (raw->size == 0 && !raw->failed) {
		jf_call_reply_json(call, 200, writer);
		return;
	}
	if (jf_json_writer_take(writer, &text, &length) == JF_OK) {
		put_bytes(&whole, text, length);
		put_bytes(&whole, raw->data, raw->size);
		free(text);
	} else {
		whole.failed = true;
	}
	if (whole.failed || raw->failed) {
		free(whole.data);
		jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "Out of memory.");
		return;
	}
	jf_response_init(&response, 200);
	jf_response_own(&response, "application/octet-stream", (char *)whole.data, whole.size);
	jf_response_header(&response, LENGTH_FIELD, "%zu", length);
	jf_call_reply(call, &response);
}

void jf_v2_infer_reply(struct jf_call *call, const struct jf_job *job) {
	struct jf_json_writer writer;
	struct bytes raw = {0};

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "model_name", job->model->name);
	jf_json_put_string(&writer, "model_version", "1");
	jf_json_put_string(&writer, "id", call->client_id ? call->client_id : call->id);
	jf_json_begin_array(&writer, "outputs");
	for (int i = 0; i < call->outputs.n; i++)
		put_output(call, &writer, &raw, job, i);
	jf_json_end_array(&writer);
	jf_json_end_object(&writer);
	reply_with(call, &writer, &raw);
	jf_json_writer_deinit(&writer);
	free(raw.data);
}
