/* The training state: everything a run needs to go on as if it had never stopped.
 *
 * One safetensors file: "params", "moment1", "moment2", "ema.0" ..., and "best", the weights with the least held-out
 * loss, once there are some (F32, flat, in the graph's order); metadata: format = "jointflow-training-state",
 * format_version, step, schedule.start, schedule.end, evaluated, best.step, best.ema, best.loss, wall_time_s, the
 * data's digest, every option that decides the result ("option.lr" ...), and sha256, over all other metadata (each key
 * and value with its NUL, in the file's order) and the tensors above, so that damage is found before it is trained on.
 * The order of the data and all noise follow from seed and step. Saving is atomic: on any failure the file from before
 * stays. */
#ifndef JF_TRAINER_STATE_H
#define JF_TRAINER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "trainer/options.h"
#include "trainer/step.h"

struct jf_train_state {
	uint64_t step;           /* steps done */
	uint64_t schedule_start; /* see trainer/schedule.h */
	uint64_t schedule_end;
	uint64_t evaluated; /* the last step after which an evaluation was due and done */
	double wall_time_s; /* of all sessions of the run */
	char digest[65];    /* of the data */
	/* The best state so far by the loss on the images kept back. */
	float *best;      /* borrowed, [n_params]; NULL: none are kept */
	double best_loss; /* the least so far; `best` may exceed it by jf_evaluate_slack. INFINITY: none yet */
	uint64_t best_step;
	int best_ema;
};

enum jf_err jf_state_save(const char *path, const struct jf_train_state *state, struct jf_trainer *trainer,
    size_t n_params, const struct jf_train_options *options, struct jf_error *err);

/* Fills *state and the trainer's arrays. state->digest says which data the caller has: other data is JF_EINVAL, as are
 * other options (jf_options_match). JF_EIO, JF_EFORMAT, JF_ENUMERIC for a bad file; *state is then untouched, the
 * trainer's arrays and state->best may not be. */
enum jf_err jf_state_load(const char *path, struct jf_train_state *state, struct jf_trainer *trainer, size_t n_params,
    const struct jf_train_options *options, struct jf_error *err);

#endif
