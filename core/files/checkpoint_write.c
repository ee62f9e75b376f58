/* Writing a checkpoint. Reading is in checkpoint.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/json.h"
#include "core/files/checkpoint_parts.h"
#include "core/files/safetensors.h"
#include "core/pictures/framing.h"

#define MAX_FIXED (JF_CHECKPOINT_FIELDS + JF_CHECKPOINT_OTHER_KEYS)

struct metadata {
	struct jf_metadata *entries; /* [MAX_FIXED + facts] */
	size_t n;
	char numbers[JF_CHECKPOINT_FIELDS][12];
	char version[12], temperature[32], *label_bias; /* owned */
	struct jf_json_writer names;
};

static void add(struct metadata *metadata, const char *key, const char *value) {
	metadata->entries[metadata->n++] = (struct jf_metadata){key, value};
}

/* NULL: out of memory. */
static char *format_label_bias(const struct jf_model *model) {
	const size_t room = 20; /* "-1.23456789e-10 " and more */
	char *text = calloc((size_t)model->config.classes, room);
	size_t used = 0;

	for (int k = 0; text && k < model->config.classes; k++)
		used += (size_t)snprintf(text + used, room, "%s%.9g", k ? " " : "", (double)model->label_bias[k]);
	return text;
}

static enum jf_err collect_metadata(struct metadata *metadata, const struct jf_model *model, struct jf_error *err) {
	metadata->entries = calloc(MAX_FIXED + model->n_facts, sizeof(*metadata->entries));
	jf_json_begin_array(&metadata->names, NULL);
	for (int k = 0; k < model->config.classes; k++)
		jf_json_put_string(&metadata->names, NULL, model->class_names[k]);
	jf_json_end_array(&metadata->names);
	if (!metadata->entries || metadata->names.failed)
		return jf_error_set(err, JF_ENOMEM, "out of memory");
	snprintf(metadata->version, sizeof(metadata->version), "%d", JF_CHECKPOINT_VERSION);
	snprintf(metadata->temperature, sizeof(metadata->temperature), "%.9g", (double)model->temperature);
	add(metadata, "format", JF_CHECKPOINT_FORMAT);
	add(metadata, "format_version", metadata->version);
	for (size_t i = 0; i < JF_CHECKPOINT_FIELDS; i++) {
		snprintf(metadata->numbers[i], sizeof(metadata->numbers[i]), "%d",
		    jf_checkpoint_field_value(&model->config, i));
		add(metadata, jf_checkpoint_fields[i].key, metadata->numbers[i]);
	}
	add(metadata, "label_head", jf_checkpoint_heads[model->config.head]);
	add(metadata, "class_names", jf_json_writer_text(&metadata->names));
	add(metadata, "name", model->name);
	add(metadata, "temperature", metadata->temperature);
	add(metadata, "preprocess", jf_preprocess_name((enum jf_preprocess)model->preprocess));
	if (model->paper != JF_PAPER_DARK)
		add(metadata, "paper", jf_paper_names[model->paper]);
	if (model->label_bias) {
		metadata->label_bias = format_label_bias(model);
		if (!metadata->label_bias)
			return jf_error_set(err, JF_ENOMEM, "out of memory");
		add(metadata, "label_bias", metadata->label_bias);
	}
	for (size_t i = 0; i < model->n_facts; i++) {
		if (jf_checkpoint_is_ours(model->facts[i].key))
			return jf_error_set(err, JF_EINVAL, "a fact cannot be named \"%s\"", model->facts[i].key);
		add(metadata, model->facts[i].key, model->facts[i].value);
	}
	return JF_OK;
}

static enum jf_err collect_tensor(
    struct jf_tensor *tensor, const struct jf_param *param, const float *values, struct jf_error *err) {
	*tensor = (struct jf_tensor){.name = param->name, .dtype = JF_DTYPE_F32, .rank = param->rank, .data = values};
	for (int i = 0; i < param->rank; i++)
		tensor->shape[i] = (uint64_t)param->shape[i];
	for (size_t i = 0; i < param->size; i++)
		if (!isfinite(values[i]))
			return jf_error_set(err, JF_ENUMERIC, "tensor %s: element %zu is not finite", param->name, i);
	return JF_OK;
}

/* tensors [n_params + JF_CHECKPOINT_FAMILIARITY]; *n: how many there are. The names in `familiarity` are borrowed. */
static enum jf_err collect_tensors(struct jf_tensor *tensors, size_t *n,
    struct jf_param familiarity[JF_CHECKPOINT_FAMILIARITY], const struct jf_model *model, struct jf_error *err) {
	float *values[JF_CHECKPOINT_FAMILIARITY];
	enum jf_err status = JF_OK;

	*n = 0;
	for (int p = 0; !status && p < model->graph->n_params; p++) {
		const struct jf_param *param = &model->graph->params[p];

		status = collect_tensor(&tensors[(*n)++], param, model->params + param->offset, err);
	}
	if (status || !model->familiarity)
		return status;
	jf_checkpoint_familiarity_params(familiarity, &model->config);
	jf_checkpoint_familiarity_values(values, model->familiarity);
	for (int i = 0; !status && i < JF_CHECKPOINT_FAMILIARITY; i++)
		status = collect_tensor(&tensors[(*n)++], &familiarity[i], values[i], err);
	return status;
}

enum jf_err jf_checkpoint_save(const struct jf_model *model, const char *path, struct jf_error *err) {
	size_t n = 0;
	struct jf_tensor *tensors =
	    calloc((size_t)model->graph->n_params + JF_CHECKPOINT_FAMILIARITY, sizeof(*tensors));
	struct jf_param familiarity[JF_CHECKPOINT_FAMILIARITY];
	struct metadata metadata = {0};
	enum jf_err status = JF_OK;

	jf_json_writer_init(&metadata.names);
	if (!tensors)
		status = jf_error_set(err, JF_ENOMEM, "out of memory");
	else if (!model->params)
		status = jf_error_set(err, JF_EINVAL, "the model's parameters have been freed");
	if (!status)
		status = jf_checkpoint_check_names(model, err);
	if (!status)
		status = collect_metadata(&metadata, model, err);
	if (!status)
		status = collect_tensors(tensors, &n, familiarity, model, err);
	if (status)
		jf_error_prefix(err, "%s", path);
	else
		status = jf_safetensors_save(path, tensors, n, metadata.entries, metadata.n, err);
	jf_json_writer_deinit(&metadata.names);
	free(metadata.entries);
	free(metadata.label_bias);
	free(tensors);
	return status;
}
