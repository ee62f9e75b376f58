/* A training run from data to checkpoint. */
#ifndef JF_TRAINER_RUN_H
#define JF_TRAINER_RUN_H

#include <stdatomic.h>

#include "core/base/error.h"
#include "trainer/mpi.h"
#include "trainer/options.h"

enum jf_run_outcome {
	JF_RUN_FINISHED,
	JF_RUN_FAILED,  /* *err says why */
	JF_RUN_STOPPED, /* *stop became true, or the time limit came; the state is saved */
};

/* stop: set by a signal handler. command_line: goes into the checkpoint. */
enum jf_run_outcome jf_run(const struct jf_train_options *options, const struct jf_mpi *mpi, const atomic_bool *stop,
    const char *command_line, struct jf_error *err);

#endif
