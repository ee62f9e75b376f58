/* A loaded model: network configuration, graph, parameters, facts about it.
 * Immutable once it is shared; threads may share one. Reference counted. */
#ifndef JF_CORE_ENGINE_MODEL_H
#define JF_CORE_ENGINE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/engine/familiarity.h"
#include "core/engine/network.h"

/* Free-form facts that travel in a checkpoint's __metadata__ (training recipe, results, licence...). */
struct jf_fact {
	char *key;
	char *value;
};

struct jf_model {
	struct jf_network_config config;
	struct jf_graph *graph; /* owned */
	float *params; /* owned, [graph->n_params_floats], all parameters flat, in the graph's order; NULL in a model
			  that only answers */
	float *packed; /* owned, all that a forward pass reads; see jf_model_pack */
	char **class_names;    /* owned, [classes]; "0".."9" unless the data set had names */
	char *name;            /* owned, e.g. "mnist" */
	struct jf_fact *facts; /* owned, [n_facts] */
	size_t n_facts;
	char checksum[65]; /* SHA-256 of the checkpoint file in hex; "" when it was not loaded from one */
	float temperature; /* logits are divided by it before softmax in answers; 1 unless calibrated */
	float *label_bias; /* owned, [classes], added to the logits of P(label) where a joint sample draws its label, so
			      that labels come as often as in the training set; NULL unless calibrated */
	int preprocess;    /* how pictures become inputs: enum jf_preprocess of core/pictures/framing.h */
	int paper;         /* of the pictures it learnt from: enum jf_paper, there too */
	struct jf_familiarity *familiarity; /* owned; NULL unless calibrated */
	int references;                     /* atomic */
};

/* A model with initialised parameters (jf_rng stream INIT under `seed`), names "0".."K-1". NULL: *err says why. */
struct jf_model *jf_model_create(const struct jf_network_config *config, uint64_t seed, struct jf_error *err);

/* Packs the current parameters for inference; call after every change of params, before jf_sampler_create. */
enum jf_err jf_model_pack(struct jf_model *model, struct jf_error *err);

/* Frees the parameters, a third of a model's memory: from then on it answers questions, and cannot be saved, packed,
 * trained or exported. */
void jf_model_only_answer(struct jf_model *model);

struct jf_model *jf_model_ref(struct jf_model *model);
void jf_model_unref(struct jf_model *model); /* NULL allowed; frees at the last reference */

enum jf_err jf_model_set_name(struct jf_model *model, const char *name);
enum jf_err jf_model_set_class_names(struct jf_model *model, const char *const *names);    /* [classes], copied */
enum jf_err jf_model_set_fact(struct jf_model *model, const char *key, const char *value); /* replaces */
size_t jf_model_parameter_count(const struct jf_model *model);

#endif
