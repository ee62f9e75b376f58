/* What the parts of a run share (run.c: the loop; run_setup.c: its beginning; run_model.c: evaluation and
 * checkpoint). */
#ifndef JF_TRAINER_RUN_INTERNAL_H
#define JF_TRAINER_RUN_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/engine/model.h"
#include "core/files/dataset.h"
#include "trainer/evaluate.h"
#include "trainer/loader.h"
#include "trainer/log.h"
#include "trainer/mpi.h"
#include "trainer/options.h"
#include "trainer/run.h"
#include "trainer/schedule.h"
#include "trainer/state.h"
#include "trainer/step.h"

struct run {
	const struct jf_train_options *options; /* = &settled */
	struct jf_train_options settled;        /* what was asked for, and what follows from the data */
	const struct jf_mpi *mpi;
	const atomic_bool *stop;
	const char *command_line;
	int threads;
	struct jf_dataset dataset;
	struct jf_dataset test; /* n = 0: none */
	uint32_t *order;        /* [dataset.n]: n_train to train on, then n_holdout */
	size_t n_train, n_holdout;
	int preprocess;            /* enum jf_preprocess, of the model */
	int paper;                 /* enum jf_paper, of the model */
	struct jf_model *model;    /* the trainer's */
	struct jf_model *exported; /* an EMA of it, for evaluation and the checkpoint */
	struct jf_objective_options objective;
	struct jf_trainer *trainer;
	struct jf_loader *loader;
	struct jf_log *log;
	struct jf_schedule schedule;
	struct jf_train_state state;
	double begun, wall_before_s; /* of this session; of the sessions before */
	double last_saved;
	double loss_image, loss_label; /* smoothed; NAN before the first step */
	double loss_of_best;           /* of state.best; INFINITY after a resumption */
	bool diverging;                /* the losses are so high that the state is not worth saving */
};

/* run_data.c: training data, images kept back and test data, with all that can be said about them before the first
 * step; settles the options. */
enum jf_err jf_run_load_data(struct run *run, struct jf_error *err);
/* Whether every file of the run can be written, and whether there is room. */
enum jf_err jf_run_check_files(const struct run *run, struct jf_error *err);
/* The classes and how many images each has; rare ones are warned of. */
void jf_run_tell_classes(struct run *run);

/* run_setup.c: data, model, trainer, state, batches, log. The caller deinits on failure too. */
enum jf_err jf_run_setup(struct run *run, struct jf_error *err);
void jf_run_deinit(struct run *run);
double jf_run_epochs(const struct run *run); /* done so far */
/* Process 0 saves the state; the others do nothing. */
enum jf_err jf_run_save_state(struct run *run, struct jf_error *err);

/* run_model.c, process 0 only, JF_ECANCELED when stopped: */
/* Measures each EMA's posterior on the held-out images and keeps the weights if they are the best of the run so far. */
enum jf_err jf_run_check(struct run *run, struct jf_error *err);
/* Measures each EMA on the held-out images, saves the best state of the run so far as the checkpoint, and its sheet.
 * With `final` it says what the model did not learn, and the test data is measured too. */
enum jf_err jf_run_evaluate(struct run *run, bool final, struct jf_error *err);

#endif
