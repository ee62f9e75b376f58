#include "core/files/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/files/checkpoint_parts.h"
#include "core/files/safetensors.h"
#include "core/pictures/framing.h"

#define MAX_BIAS 100.0f

/* Reading. Messages here begin without the file's name, which load() puts in front of them. Writing is in
 * checkpoint_write.c. */

static enum jf_err get(const char **value, const struct jf_safetensors *file, const char *key, struct jf_error *err) {
	*value = jf_safetensors_metadata(file, key);
	if (!*value)
		return jf_error_set(err, JF_EFORMAT, "metadata \"%s\" is missing", key);
	return JF_OK;
}

/* 0 to 999999999, digits only. */
static enum jf_err get_int(int *out, const struct jf_safetensors *file, const char *key, struct jf_error *err) {
	const char *text;
	enum jf_err status = get(&text, file, key, err);
	size_t length;

	if (status)
		return status;
	length = strlen(text);
	if (length < 1 || length > 9 || strspn(text, "0123456789") != length)
		return jf_error_set(err, JF_EFORMAT, "metadata \"%s\": \"%.32s\" is not a number", key, text);
	*out = (int)strtol(text, NULL, 10);
	return JF_OK;
}

static enum jf_err read_config(
    struct jf_network_config *config, const struct jf_safetensors *file, struct jf_error *err) {
	const char *text;
	enum jf_err status;
	int version;

	*config = (struct jf_network_config){0};
	status = get(&text, file, "format", err);
	if (status || strcmp(text, JF_CHECKPOINT_FORMAT) != 0)
		return jf_error_set(err, JF_EFORMAT,
		    "not a jointflow checkpoint: metadata \"format\" is not \"" JF_CHECKPOINT_FORMAT "\"");
	status = get_int(&version, file, "format_version", err);
	if (status)
		return status;
	if (version != JF_CHECKPOINT_VERSION)
		return jf_error_set(err, JF_EFORMAT, "checkpoint format_version %d; this program reads %d", version,
		    JF_CHECKPOINT_VERSION);
	for (size_t i = 0; i < JF_CHECKPOINT_FIELDS; i++) {
		status = get_int((int *)(void *)((char *)config + jf_checkpoint_fields[i].offset), file,
		    jf_checkpoint_fields[i].key, err);
		if (status)
			return status;
	}
	status = get(&text, file, "label_head", err);
	if (status)
		return status;
	if (strcmp(text, jf_checkpoint_heads[JF_HEAD_ENDPOINT]) == 0)
		config->head = JF_HEAD_ENDPOINT;
	else if (strcmp(text, jf_checkpoint_heads[JF_HEAD_VELOCITY]) == 0)
		config->head = JF_HEAD_VELOCITY;
	else
		return jf_error_set(
		    err, JF_EFORMAT, "metadata \"label_head\": \"%.32s\" is neither endpoint nor velocity", text);
	if (jf_network_config_check(config, err)) {
		jf_error_prefix(err, "metadata");
		return err ? (err->code = JF_EFORMAT) : JF_EFORMAT;
	}
	return JF_OK;
}

/* "[3, 3, 1, 16]" */
static void show_shape(char *out, size_t size, int rank, const uint64_t *shape) {
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < rank && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%ju", i ? ", " : "", (uintmax_t)shape[i]);
}

static enum jf_err check_tensor(const struct jf_safetensors *file, const struct jf_param *param, struct jf_error *err) {
	const struct jf_tensor *tensor = jf_safetensors_find(file, param->name);
	uint64_t shape[4] = {0};
	char found[128], expected[128];
	bool same;

	if (!tensor)
		return jf_error_set(err, JF_EFORMAT, "tensor %s is missing", param->name);
	if (tensor->dtype != JF_DTYPE_F32)
		return jf_error_set(
		    err, JF_EFORMAT, "tensor %s: dtype %s, expected F32", param->name, jf_dtype_name(tensor->dtype));
	for (int i = 0; i < param->rank; i++)
		shape[i] = (uint64_t)param->shape[i];
	same = tensor->rank == param->rank && memcmp(tensor->shape, shape, sizeof(shape[0]) * (size_t)param->rank) == 0;
	if (same)
		return JF_OK;
	show_shape(found, sizeof(found), tensor->rank, tensor->shape);
	show_shape(expected, sizeof(expected), param->rank, shape);
	return jf_error_set(err, JF_EFORMAT, "tensor %s: shape [%s], expected [%s]", param->name, found, expected);
}

static bool has_familiarity(const struct jf_safetensors *file) {
	return jf_safetensors_find(file, "familiarity.mean") != NULL;
}

static bool is_familiarity(const char *name, const struct jf_param params[JF_CHECKPOINT_FAMILIARITY]) {
	for (int i = 0; i < JF_CHECKPOINT_FAMILIARITY; i++)
		if (strcmp(name, params[i].name) == 0)
			return true;
	return false;
}

static enum jf_err load_familiarity(struct jf_model *model, const struct jf_safetensors *file, struct jf_error *err) {
	struct jf_param params[JF_CHECKPOINT_FAMILIARITY];
	float *values[JF_CHECKPOINT_FAMILIARITY];
	enum jf_err status = JF_OK;

	if (!has_familiarity(file))
		return JF_OK;
	jf_checkpoint_familiarity_params(params, &model->config);
	model->familiarity = jf_familiarity_create(params[0].shape[0], model->config.classes);
	if (!model->familiarity)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory", jf_safetensors_origin(file));
	jf_checkpoint_familiarity_values(values, model->familiarity);
	for (int i = 0; !status && i < JF_CHECKPOINT_FAMILIARITY; i++)
		status = jf_safetensors_read_f32(file, params[i].name, values[i], params[i].size, err);
	for (int i = 1; !status && i < JF_FAMILIARITY_QUANTILES; i++)
		if (!(values[3][i - 1] <= values[3][i]))
			status = jf_error_set(err, JF_EFORMAT,
			    "%s: tensor familiarity.quantiles: element %d is below the one before it",
			    jf_safetensors_origin(file), i);
	return status;
}

/* Exactly the network's tensors, and those of its familiarity if it has them. Before any memory is taken for a model:
 * afterwards its size is known to be the file's. */
static enum jf_err check_tensors(
    const struct jf_safetensors *file, const struct jf_network_config *config, struct jf_error *err) {
	struct jf_graph *graph = jf_network_build(config, err);
	struct jf_param familiarity[JF_CHECKPOINT_FAMILIARITY];
	enum jf_err status = JF_OK;

	if (!graph)
		return err ? err->code : JF_EINTERNAL;
	jf_checkpoint_familiarity_params(familiarity, config);
	for (size_t i = 0; !status && i < jf_safetensors_count(file); i++) {
		const char *name = jf_safetensors_at(file, i)->name;
		int p = 0;

		while (p < graph->n_params && strcmp(graph->params[p].name, name) != 0)
			p++;
		if (p == graph->n_params && !is_familiarity(name, familiarity))
			status = jf_error_set(err, JF_EFORMAT, "tensor %.64s is not part of this network", name);
	}
	for (int p = 0; !status && p < graph->n_params; p++)
		status = check_tensor(file, &graph->params[p], err);
	for (int i = 0; !status && has_familiarity(file) && i < JF_CHECKPOINT_FAMILIARITY; i++)
		status = check_tensor(file, &familiarity[i], err);
	jf_graph_destroy(graph);
	return status;
}

static enum jf_err read_names(const char **names, int classes, const struct jf_json *list, struct jf_error *err) {
	if (jf_json_type(list) != JF_JSON_ARRAY || jf_json_size(list) != (size_t)classes)
		return jf_error_set(err, JF_EFORMAT, "must be an array of %d strings", classes);
	for (int k = 0; k < classes; k++) {
		enum jf_err status = jf_json_read_string(jf_json_at(list, (size_t)k), &names[k], NULL, err);

		if (status) {
			jf_error_prefix(err, "[%d]", k);
			return status;
		}
	}
	return jf_checkpoint_check_class_names(names, classes, err);
}

static enum jf_err set_class_names(struct jf_model *model, const struct jf_safetensors *file, struct jf_error *err) {
	const char **names = NULL;
	struct jf_json *list = NULL;
	const char *text;
	enum jf_err status = get(&text, file, "class_names", err);

	if (status)
		return status;
	list = jf_json_parse(text, strlen(text), 1, err);
	if (!list) {
		status = JF_EFORMAT;
		goto out;
	}
	names = calloc((size_t)model->config.classes, sizeof(*names));
	if (!names) {
		status = jf_error_set(err, JF_ENOMEM, "out of memory");
		goto out;
	}
	status = read_names(names, model->config.classes, list, err);
	if (!status && jf_model_set_class_names(model, names))
		status = jf_error_set(err, JF_ENOMEM, "out of memory");
out:
	if (status)
		jf_error_prefix(err, "metadata \"class_names\"");
	free(names);
	jf_json_free(list);
	return status;
}

static enum jf_err set_temperature(struct jf_model *model, const char *text, struct jf_error *err) {
	char *end;

	if (!text)
		return JF_OK; /* stays 1 */
	model->temperature = strtof(text, &end);
	if (*end || strspn(text, "0123456789.eE+-") != strlen(text) || !isfinite(model->temperature) ||
	    model->temperature < 0.01f || model->temperature > 100.0f)
		return jf_error_set(
		    err, JF_EFORMAT, "metadata \"temperature\": \"%.32s\" is not a number from 0.01 to 100", text);
	return JF_OK;
}

/* [K] numbers; a model that was not calibrated has none. */
static enum jf_err set_label_bias(struct jf_model *model, const char *text, struct jf_error *err) {
	const int k = model->config.classes;
	const char *at = text;

	if (!text)
		return JF_OK;
	model->label_bias = calloc((size_t)k, sizeof(*model->label_bias));
	if (!model->label_bias)
		return jf_error_set(err, JF_ENOMEM, "out of memory");
	for (int j = 0; j < k; j++) {
		char *end;

		model->label_bias[j] = strtof(at, &end);
		if (end == at || *end != (j + 1 < k ? ' ' : '\0') || !(fabsf(model->label_bias[j]) <= MAX_BIAS))
			return jf_error_set(err, JF_EFORMAT,
			    "metadata \"label_bias\": number %d of %d is not one from -%g to %g, with a space after it "
			    "unless it is the last",
			    j + 1, k, (double)MAX_BIAS, (double)MAX_BIAS);
		at = end + 1;
	}
	return JF_OK;
}

/* Files from before there was a choice have none: they are of MNIST. */
static enum jf_err set_preprocess(struct jf_model *model, const char *text, struct jf_error *err) {
	model->preprocess = JF_PREPROCESS_MNIST;
	while (text && model->preprocess < JF_N_PREPROCESS &&
	       strcmp(text, jf_preprocess_name((enum jf_preprocess)model->preprocess)) != 0)
		model->preprocess++;
	if (model->preprocess == JF_N_PREPROCESS)
		return jf_error_set(err, JF_EFORMAT, "metadata \"preprocess\": \"%.32s\" is not a known framing", text);
	return JF_OK;
}

/* Files from before it was recorded have none: dark. */
static enum jf_err set_paper(struct jf_model *model, const char *text, struct jf_error *err) {
	model->paper = JF_PAPER_DARK;
	while (text && model->paper < JF_N_PAPER && strcmp(text, jf_paper_names[model->paper]) != 0)
		model->paper++;
	if (model->paper == JF_N_PAPER)
		return jf_error_set(err, JF_EFORMAT, "metadata \"paper\": \"%.32s\" is neither dark nor any", text);
	return JF_OK;
}

static enum jf_err set_facts(struct jf_model *model, const struct jf_safetensors *file, struct jf_error *err) {
	const char *name;
	enum jf_err status = get(&name, file, "name", err);

	if (!status)
		status = jf_checkpoint_check_name("metadata \"name\"", name, err);
	if (!status && jf_model_set_name(model, name))
		status = jf_error_set(err, JF_ENOMEM, "out of memory");
	if (!status)
		status = set_class_names(model, file, err);
	if (!status)
		status = set_temperature(model, jf_safetensors_metadata(file, "temperature"), err);
	if (!status)
		status = set_label_bias(model, jf_safetensors_metadata(file, "label_bias"), err);
	if (!status)
		status = set_preprocess(model, jf_safetensors_metadata(file, "preprocess"), err);
	if (!status)
		status = set_paper(model, jf_safetensors_metadata(file, "paper"), err);
	for (size_t i = 0; !status && i < jf_safetensors_metadata_count(file); i++) {
		const struct jf_metadata *entry = jf_safetensors_metadata_at(file, i);

		if (!jf_checkpoint_is_ours(entry->key) && jf_model_set_fact(model, entry->key, entry->value))
			status = jf_error_set(err, JF_ENOMEM, "out of memory");
	}
	return status;
}

static struct jf_model *load(const struct jf_safetensors *file, struct jf_error *err) {
	struct jf_network_config config;
	struct jf_model *model = NULL;
	enum jf_err status = read_config(&config, file, err);

	if (!status)
		status = check_tensors(file, &config, err);
	if (!status) {
		model = jf_model_create(&config, 0, err);
		if (!model)
			status = err ? err->code : JF_ENOMEM;
	}
	if (!status)
		status = set_facts(model, file, err);
	if (status) {
		jf_error_prefix(err, "%s", jf_safetensors_origin(file));
		goto fail;
	}
	for (int p = 0; p < model->graph->n_params; p++) {
		const struct jf_param *param = &model->graph->params[p];

		if (jf_safetensors_read_f32(file, param->name, model->params + param->offset, param->size, err))
			goto fail;
	}
	if (load_familiarity(model, file, err))
		goto fail;
	if (jf_model_pack(model, err)) {
		jf_error_prefix(err, "%s", jf_safetensors_origin(file));
		goto fail;
	}
	memcpy(model->checksum, jf_safetensors_checksum(file), sizeof(model->checksum));
	return model;
fail:
	jf_model_unref(model);
	return NULL;
}

struct jf_model *jf_checkpoint_load(const char *path, struct jf_error *err) {
	struct jf_safetensors *file = jf_safetensors_open(path, err);
	struct jf_model *model = file ? load(file, err) : NULL;

	jf_safetensors_close(file);
	return model;
}

struct jf_model *jf_checkpoint_load_buffer(
    const void *data, size_t size_bytes, const char *origin, struct jf_error *err) {
	struct jf_safetensors *file = jf_safetensors_parse(data, size_bytes, origin, err);
	struct jf_model *model = file ? load(file, err) : NULL;

	jf_safetensors_close(file);
	return model;
}
