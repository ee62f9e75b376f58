/* One optimiser step over a batch on several threads: gradients, deterministic reduction, AdamW, EMA.
 *
 * Each thread works a fixed share of the batch in micro-batches and sums into its own gradient; the sums are added in
 * thread order, so the same seed and thread count give the same bits.
 * Sources: AdamW, arXiv:1711.05101; EMA as in arXiv:2312.02696. */
#ifndef JF_TRAINER_STEP_H
#define JF_TRAINER_STEP_H

#include <stdint.h>

#include "core/base/error.h"
#include "core/engine/model.h"
#include "trainer/objective.h"

#define JF_MAX_EMA 4
#define JF_MAX_THREADS 256

struct jf_optimiser_options {
	float beta1, beta2, epsilon; /* 0.9, 0.99, 1e-8 */
	float weight_decay;          /* on matrices and kernels only */
	float clip;                  /* largest gradient norm; 0: no clipping */
	float ema_decay[JF_MAX_EMA]; /* per step; shortened at the start: min(decay, (1 + step) / (10 + step)) */
	int n_ema;                   /* 1 to JF_MAX_EMA */
};
struct jf_optimiser_options jf_optimiser_options_default(void);

/* Caller's memory, borrowed for the call. */
struct jf_batch {
	const float *images;  /* [n][H][W][C] in [-1, 1] */
	const int *labels;    /* [n] class index */
	const float *augment; /* [n][A], or NULL for zeros */
	const uint64_t
	    *sample; /* [n] noise index of each example: unique over the run, whatever the threads or ranks */
	int n;
};

struct jf_step_result {
	double loss_image; /* mean over the examples of the global batch that owe an image */
	double loss_label; /* mean over those that owe a label; unweighted */
	float grad_norm;   /* before clipping */
};

struct jf_trainer;

/* The model is borrowed and trained in place (params, packed); its graph and config must not change. */
struct jf_trainer *jf_trainer_create(struct jf_model *model, const struct jf_objective_options *objective,
    const struct jf_optimiser_options *optimiser, uint64_t seed, int threads, struct jf_error *err);
void jf_trainer_destroy(struct jf_trainer *trainer); /* joins the threads; NULL allowed */

/* One step. global_batch: examples over all processes (batch->n when there is one). JF_ENUMERIC when loss or gradient
 * is not finite: parameters are then unchanged. */
enum jf_err jf_trainer_step(struct jf_trainer *trainer, struct jf_step_result *result, const struct jf_batch *batch,
    int global_batch, float learning_rate, struct jf_error *err);

/* Sum over processes, in place; called by the thread that calls jf_trainer_step. */
void jf_trainer_set_allreduce(
    struct jf_trainer *trainer, void (*sum)(void *context, float *values, size_t n), void *context);

/* The optimiser's state, borrowed, [graph->n_params_floats] each, for the state file. After writing parameters call
 * jf_trainer_restored. */
float *jf_trainer_params(struct jf_trainer *trainer);
float *jf_trainer_moment1(struct jf_trainer *trainer);
float *jf_trainer_moment2(struct jf_trainer *trainer);
float *jf_trainer_ema(struct jf_trainer *trainer, int which);
uint64_t *jf_trainer_step_count(struct jf_trainer *trainer);
void jf_trainer_restored(struct jf_trainer *trainer);

/* Copies the average `which` (or, for -1, the raw parameters) into another model of the same config and packs it. */
enum jf_err jf_trainer_export(struct jf_trainer *trainer, int which, struct jf_model *out, struct jf_error *err);

#endif
