/* What reading and writing a checkpoint share: its keys, its names, the tensors of its familiarity. */
#include "core/files/checkpoint_parts.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME 256 /* bytes of a model's or class's name */

const struct jf_checkpoint_field jf_checkpoint_fields[JF_CHECKPOINT_FIELDS] = {
    {"height", offsetof(struct jf_network_config, height)},
    {"width", offsetof(struct jf_network_config, width)},
    {"image_channels", offsetof(struct jf_network_config, image_channels)},
    {"classes", offsetof(struct jf_network_config, classes)},
    {"channels", offsetof(struct jf_network_config, channels)},
    {"blocks", offsetof(struct jf_network_config, blocks)},
    {"layers", offsetof(struct jf_network_config, layers)},
    {"heads", offsetof(struct jf_network_config, heads)},
    {"label_tokens", offsetof(struct jf_network_config, label_tokens)},
    {"augment", offsetof(struct jf_network_config, augment)},
};

const char *const jf_checkpoint_heads[] = {[JF_HEAD_ENDPOINT] = "endpoint", [JF_HEAD_VELOCITY] = "velocity"};

static const char *const other_keys[JF_CHECKPOINT_OTHER_KEYS] = {"format", "format_version", "label_head",
    "class_names", "name", "temperature", "preprocess", "paper", "label_bias"};

int jf_checkpoint_field_value(const struct jf_network_config *config, size_t field) {
	return *(const int *)(const void *)((const char *)config + jf_checkpoint_fields[field].offset);
}

bool jf_checkpoint_is_ours(const char *key) {
	for (size_t i = 0; i < JF_CHECKPOINT_FIELDS; i++)
		if (strcmp(key, jf_checkpoint_fields[i].key) == 0)
			return true;
	for (size_t i = 0; i < JF_CHECKPOINT_OTHER_KEYS; i++)
		if (strcmp(key, other_keys[i]) == 0)
			return true;
	return false;
}

const char *jf_checkpoint_difference(
    const struct jf_network_config *a, const struct jf_network_config *b, int *of_a, int *of_b) {
	for (size_t i = 0; i < JF_CHECKPOINT_FIELDS; i++) {
		*of_a = jf_checkpoint_field_value(a, i);
		*of_b = jf_checkpoint_field_value(b, i);
		if (*of_a != *of_b)
			return jf_checkpoint_fields[i].key;
	}
	*of_a = (int)a->head;
	*of_b = (int)b->head;
	return *of_a != *of_b ? "label_head" : NULL;
}

enum jf_err jf_checkpoint_check_name(const char *what, const char *name, struct jf_error *err) {
	size_t length = strlen(name);

	if (length < 1 || length > MAX_NAME)
		return jf_error_set(err, JF_EFORMAT, "%s has %zu bytes; must have 1 to %d", what, length, MAX_NAME);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 127)
			return jf_error_set(err, JF_EFORMAT, "%s has a control character", what);
	return JF_OK;
}

enum jf_err jf_checkpoint_check_class_names(const char *const *names, int classes, struct jf_error *err) {
	for (int k = 0; k < classes; k++) {
		char what[32];
		enum jf_err status;

		snprintf(what, sizeof(what), "[%d]", k);
		status = jf_checkpoint_check_name(what, names[k], err);
		if (status)
			return status;
		for (int j = 0; j < k; j++)
			if (strcmp(names[j], names[k]) == 0)
				return jf_error_set(err, JF_EFORMAT, "[%d] and [%d] are both \"%s\"", j, k, names[k]);
	}
	return JF_OK;
}

enum jf_err jf_checkpoint_check_names(const struct jf_model *model, struct jf_error *err) {
	enum jf_err status = jf_checkpoint_check_name("the model's name", model->name ? model->name : "", err);

	if (!status &&
	    jf_checkpoint_check_class_names((const char *const *)model->class_names, model->config.classes, err))
		status = jf_error_prefix(err, "the names of the classes");
	return status;
}

void jf_checkpoint_familiarity_params(
    struct jf_param params[JF_CHECKPOINT_FAMILIARITY], const struct jf_network_config *config) {
	int d = jf_network_features(config);

	params[0] = (struct jf_param){.name = "familiarity.mean", .rank = 1, .shape = {d}};
	params[1] = (struct jf_param){.name = "familiarity.whitening", .rank = 2, .shape = {d, d}};
	params[2] = (struct jf_param){.name = "familiarity.centres", .rank = 2, .shape = {config->classes, d}};
	params[3] = (struct jf_param){.name = "familiarity.quantiles", .rank = 1, .shape = {JF_FAMILIARITY_QUANTILES}};
	for (int i = 0; i < JF_CHECKPOINT_FAMILIARITY; i++) {
		params[i].size = 1;
		for (int j = 0; j < params[i].rank; j++)
			params[i].size *= (size_t)params[i].shape[j];
	}
}

void jf_checkpoint_familiarity_values(
    float *values[JF_CHECKPOINT_FAMILIARITY], const struct jf_familiarity *familiarity) {
	values[0] = familiarity->mean;
	values[1] = familiarity->whitening;
	values[2] = familiarity->centres;
	values[3] = familiarity->quantiles;
}
