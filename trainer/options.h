/* The command line of jointflow-train: one table from which parsing, --help and the check of a resumed run come. */
#ifndef JF_TRAINER_OPTIONS_H
#define JF_TRAINER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/error.h"
#include "core/engine/network.h"
#include "core/files/safetensors.h"
#include "trainer/step.h"

/* Strings are borrowed from argv (or from the program's constants). */
struct jf_train_options {
	/* data */
	const char *data;
	const char *labels; /* NULL: derived from the name of the images */
	const char *test;   /* NULL: none */
	const char *name;   /* NULL: from the data's name */
	int holdout;
	/* the run */
	double epochs;
	int batch;
	double lr;
	int warmup;
	double weight_decay;
	double clip;
	float ema[JF_MAX_EMA];
	int n_ema;
	uint64_t seed;
	int threads;    /* 0: one for each CPU */
	double limit_s; /* 0: none */
	/* the network */
	int channels, blocks, layers, heads, label_tokens;
	int head; /* enum jf_label_head */
	/* the objective */
	int times;   /* enum jf_times */
	int density; /* enum jf_time_density */
	float shares[JF_N_SHARES];
	double image_shift;
	double label_weight; /* -1: 0.3 for the endpoint head, 1 for velocity */
	double augment;
	double augment_probability;
	int augment_what; /* 0: any image; 1: those that owe no image loss */
	/* files */
	const char *init; /* a checkpoint to start from; NULL: random weights */
	const char *output;
	char *state; /* owned */
	const char *log;
	const char *sheet;
	double save_every_min;
	bool resume;
	bool extend;
	/* evaluation */
	int eval_every; /* epochs; 0: at the end only */
	int eval_drawn; /* images a class */
	int eval_steps; /* of image ODEs */
	int eval_ode;   /* held-out images whose label ODE is run */
	bool quiet;
};

enum jf_options_outcome {
	JF_OPTIONS_RUN,
	JF_OPTIONS_DONE,  /* --help or --version was answered */
	JF_OPTIONS_WRONG, /* *err says why; "Try --help" is the caller's */
};

/* Fills *out from the defaults and argv. */
enum jf_options_outcome jf_options_parse(struct jf_train_options *out, int argc, char **argv, struct jf_error *err);
void jf_options_deinit(struct jf_train_options *options);

/* What decides the result of a run, as text: metadata "option.NAME" = value for a training state. keys and values go
 * into storage of the caller; returns how many (at most JF_OPTIONS_MAX_FACTS). */
#define JF_OPTIONS_MAX_FACTS 32
struct jf_options_facts {
	char key[JF_OPTIONS_MAX_FACTS][40];
	char value[JF_OPTIONS_MAX_FACTS][96];
	struct jf_metadata metadata[JF_OPTIONS_MAX_FACTS];
	size_t n;
};
void jf_options_facts(const struct jf_train_options *options, struct jf_options_facts *facts);

/* Whether a run with these options may go on from a state saved with `stored`; JF_EINVAL names the option that differs.
 * With `extend` the recipe (length, learning rate ...) may differ, the network and the order of the data may not. */
enum jf_err jf_options_match(
    const struct jf_train_options *options, const struct jf_safetensors *stored, struct jf_error *err);

#endif
