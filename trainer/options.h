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

#define JF_AUTO (-1) /* a number that was left to the program: "auto" */

/* Strings are borrowed from argv (or from the program's constants). */
struct jf_train_options {
	/* data */
	const char *data;
	const char *labels;     /* NULL: derived from the name of the images */
	const char *test;       /* NULL: none */
	const char *validation; /* NULL: a part of the data, or its val/ */
	int size[2];            /* height, width; 0: as the pictures are */
	bool grey, colour;      /* at most one */
	int preprocess;         /* 0: jf_run chooses; else 1 + enum jf_preprocess */
	const char *name;       /* NULL: from the data's name */
	int holdout;            /* -1: jf_options_settle chooses, as for the other -1 below; batch 0 */
	/* the run */
	double epochs; /* JF_AUTO: not given */
	int steps;     /* JF_AUTO: not given */
	int batch;
	double lr; /* -1: chosen */
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
	double guidance;
	int ship;                   /* 0: the best state, 1: the last */
	double label_weight;        /* -1: 0.3 for the endpoint head, 1 for velocity */
	double augment;             /* -1: chosen */
	double augment_probability; /* -1: chosen */
	int augment_what;           /* 0: any image; 1: those that owe no image loss */
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
/* Fills in what was left to the program, by the number of images there are to train on (`images`, before any are held
 * out; `validation`: those are a set of their own). init_augments: NULL without --init, else whether that network takes
 * an augmentation vector. JF_EINVAL when what was asked for does not go with the data. */
enum jf_err jf_options_settle(
    struct jf_train_options *options, size_t images, bool validation, const bool *init_augments, struct jf_error *err);

/* Steps of a run over `n_train` images: --steps, or --epochs, or (neither) 12 passes and at least 4,000 steps. Settled
 * options only. */
double jf_options_steps(const struct jf_train_options *options, size_t n_train);
/* Of a run of that length, settled: --warmup, or a tenth of the run and at most 300. */
uint64_t jf_options_warmup(const struct jf_train_options *options, uint64_t steps);

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
