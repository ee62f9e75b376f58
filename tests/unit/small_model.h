/* A small model with random weights, none of them zero, so that every answer depends on every part of the network. */
#ifndef JF_TESTS_UNIT_SMALL_MODEL_H
#define JF_TESTS_UNIT_SMALL_MODEL_H

#include <stdlib.h>

#include "core/base/rng.h"
#include "core/engine/model.h"

static inline struct jf_model *small_model(uint64_t seed) {
	struct jf_network_config config = jf_network_config_default();
	struct jf_error error;
	config.height = config.width = 8;
	config.channels = 8;
	config.layers = 1;
	config.heads = 2;
	config.label_tokens = 2;
	config.classes = 5;
	struct jf_model *model = jf_model_create(&config, seed, &error);
	if (!model)
		return NULL;
	size_t n = model->graph->n_params_floats;
	float *noise = malloc(n * sizeof(*noise));
	if (noise) {
		jf_rng_normal(noise, n, seed, JF_STREAM_INIT, 1);
		for (size_t i = 0; i < n; i++)
			model->params[i] += 0.1f * noise[i];
		free(noise);
	}
	if (!noise || jf_model_pack(model, &error) != JF_OK) {
		jf_model_unref(model);
		return NULL;
	}
	return model;
}

#endif
