#include "core/engine/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/engine/exec.h"

static void init_param(float *values, const struct jf_param *p, uint64_t seed, uint64_t index) {
	int fan_out = p->shape[p->rank - 1];
	float bound = 1.0f / sqrtf((float)(p->size / (size_t)fan_out));

	switch (p->init) {
	case JF_INIT_ZERO:
		break; /* the array is zeroed */
	case JF_INIT_ONE:
		for (size_t i = 0; i < p->size; i++)
			values[i] = 1.0f;
		break;
	case JF_INIT_FAN_IN:
		jf_rng_uniform(values, p->size, seed, JF_STREAM_INIT, index);
		for (size_t i = 0; i < p->size; i++)
			values[i] = bound * (2.0f * values[i] - 1.0f);
		break;
	case JF_INIT_NORMAL:
		jf_rng_normal(values, p->size, seed, JF_STREAM_INIT, index);
		for (size_t i = 0; i < p->size; i++)
			values[i] *= 0.02f;
		break;
	}
}

static enum jf_err set_default_names(struct jf_model *model) {
	model->class_names = calloc((size_t)model->config.classes, sizeof(char *));
	if (!model->class_names)
		return JF_ENOMEM;
	for (int k = 0; k < model->config.classes; k++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", k);
		model->class_names[k] = strdup(name);
		if (!model->class_names[k])
			return JF_ENOMEM;
	}
	return jf_model_set_name(model, "jointflow");
}

struct jf_model *jf_model_create(const struct jf_network_config *config, uint64_t seed, struct jf_error *err) {
	struct jf_graph *graph = jf_network_build(config, err);
	struct jf_model *model;

	if (!graph)
		return NULL;
	model = calloc(1, sizeof(*model));
	if (!model) {
		jf_graph_destroy(graph);
		goto no_memory;
	}
	model->references = 1;
	model->temperature = 1.0f;
	model->config = *config;
	model->graph = graph;
	model->params = jf_alloc_floats(graph->n_params_floats);
	model->packed = jf_alloc_floats(graph->packed_floats);
	if (!model->params || !model->packed || set_default_names(model) != JF_OK)
		goto no_memory;
	for (int i = 0; i < graph->n_params; i++)
		init_param(model->params + graph->params[i].offset, &graph->params[i], seed, (uint64_t)i);
	jf_exec_pack(graph, model->packed, model->params);
	return model;
no_memory:
	jf_error_set(err, JF_ENOMEM, "out of memory for the model");
	jf_model_unref(model);
	return NULL;
}

enum jf_err jf_model_pack(struct jf_model *model, struct jf_error *err) {
	for (size_t i = 0; i < model->graph->n_params_floats; i++)
		if (!isfinite(model->params[i]))
			return jf_error_set(err, JF_ENUMERIC, "a parameter of the model is not a finite number");
	jf_exec_pack(model->graph, model->packed, model->params);
	return JF_OK;
}

void jf_model_only_answer(struct jf_model *model) {
	free(model->params);
	model->params = NULL;
}

struct jf_model *jf_model_ref(struct jf_model *model) {
	__atomic_add_fetch(&model->references, 1, __ATOMIC_RELAXED);
	return model;
}

void jf_model_unref(struct jf_model *model) {
	if (!model || __atomic_sub_fetch(&model->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (int k = 0; model->class_names && k < model->config.classes; k++)
		free(model->class_names[k]);
	for (size_t i = 0; i < model->n_facts; i++) {
		free(model->facts[i].key);
		free(model->facts[i].value);
	}
	free(model->class_names);
	free(model->facts);
	free(model->name);
	free(model->params);
	free(model->packed);
	free(model->label_bias);
	jf_familiarity_destroy(model->familiarity);
	jf_graph_destroy(model->graph);
	free(model);
}

static enum jf_err replace_string(char **string, const char *value) {
	char *copy = strdup(value);

	if (!copy)
		return JF_ENOMEM;
	free(*string);
	*string = copy;
	return JF_OK;
}

enum jf_err jf_model_set_name(struct jf_model *model, const char *name) {
	return replace_string(&model->name, name);
}

enum jf_err jf_model_set_class_names(struct jf_model *model, const char *const *names) {
	for (int k = 0; k < model->config.classes; k++)
		if (replace_string(&model->class_names[k], names[k]) != JF_OK)
			return JF_ENOMEM;
	return JF_OK;
}

enum jf_err jf_model_set_fact(struct jf_model *model, const char *key, const char *value) {
	struct jf_fact *more, fact;

	for (size_t i = 0; i < model->n_facts; i++)
		if (strcmp(model->facts[i].key, key) == 0)
			return replace_string(&model->facts[i].value, value);
	more = realloc(model->facts, (model->n_facts + 1) * sizeof(*more));
	if (!more)
		return JF_ENOMEM;
	model->facts = more;
	fact = (struct jf_fact){strdup(key), strdup(value)};
	if (!fact.key || !fact.value) {
		free(fact.key);
		free(fact.value);
		return JF_ENOMEM;
	}
	model->facts[model->n_facts++] = fact;
	return JF_OK;
}

size_t jf_model_parameter_count(const struct jf_model *model) {
	return model->graph->n_params_floats;
}
