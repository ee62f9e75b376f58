/* The questions as plain calls for programs without a scheduler (cli, trainer, tests).
 *
 * They split the work into batches, run it on `threads` threads and report progress. The daemon drives
 * core/engine/sampler.h itself, step by step; both give the same bytes for the same (seed, index). */
#ifndef JF_CORE_QUESTIONS_TASKS_H
#define JF_CORE_QUESTIONS_TASKS_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/engine/model.h"
#include "core/engine/sampler.h"
#include "core/questions/question.h"

struct jf_task_options {
	struct jf_sampler_args sampler; /* solver, steps, guidance */
	uint64_t seed;
	uint64_t first_index;      /* noise index of sample 0; sample i uses first_index + i */
	int threads;               /* 1 to 256 */
	int batch;                 /* trajectories a thread takes at a time, 1 to JF_MAX_BATCH */
	const atomic_bool *cancel; /* NULL, or set to true by anyone: the call returns JF_ECANCELED at the next step */
	/* NULL, or called now and then, from any thread but never from two at a time; done of total, in samples. */
	void (*progress)(void *context, int done, int total);
	void *progress_context;
	float *familiarity; /* NULL, or out [n]: of what is classified, as jf_sampler_familiarity says it */
	float *features;    /* NULL, or out [n][jf_network_features()]: of a posterior's last draw */
};

/* euler for labels, JF_DEFAULT_STEPS steps, guidance 1, seed 0, threads = online CPUs (at most 16), batch 16. */
struct jf_task_options jf_task_options_default(void);

/* P(label | images): probabilities out [n][K]; images [n][H][W][C]; `draws` label noises averaged (1 is fine). */
enum jf_err jf_classify_posterior(struct jf_model *model, float *probabilities, const float *images, int n, int draws,
    const struct jf_task_options *options, struct jf_error *err);

/* Labels by integrating the label ODE `samples` times per image: votes out [n][K] (counts), final_label out
 * [n][samples][K] or NULL, probabilities out [n][K] (mean of the final softmax) or NULL. Noise of sample s of image i:
 * index first_index + i * samples + s. */
enum jf_err jf_classify_sample(struct jf_model *model, int *votes, float *final_label, float *probabilities,
    const float *images, int n, int samples, const struct jf_task_options *options, struct jf_error *err);

/* Any of the three ways: probabilities out [n][K], and votes out [n][K] by JF_METHOD_SAMPLE, which nothing else writes.
 * By JF_METHOD_LIKELIHOOD `samples` draws of time and noise, each under every label (jf_scorer_classify); image i uses
 * the noises from first_index + i * samples on, and options->familiarity is that of a posterior with one draw. */
enum jf_err jf_classify(struct jf_model *model, enum jf_method method, int *votes, float *probabilities,
    const float *images, int n, int samples, const struct jf_task_options *options, struct jf_error *err);

/* images out [n][H][W][C]; labels [n][K], -1/+1 coded. Noise of image i: index first_index + noise_index[i], or
 * first_index + i when noise_index is NULL (a blend gives a row of images the same noise). */
enum jf_err jf_generate(struct jf_model *model, float *images, const float *labels, const uint64_t *noise_index, int n,
    const struct jf_task_options *options, struct jf_error *err);

/* What an edit starts from; borrowed. */
struct jf_edit {
	const float *picture; /* [H][W][C] */
	const bool *redraw;   /* [H][W]: pixels that are drawn anew; NULL: all */
	const float *label;   /* [K]; NULL: that of the class that the posterior sees in the picture */
	bool counterfactual;  /* look for the least strength; otherwise options->sampler.start says it */
};

/* What became of n edits; all owned by the caller. */
struct jf_edited {
	float *images;        /* out [n][H][W][C] */
	float *label;         /* out [K]: the label they were drawn under */
	float *original;      /* out [K]: P(label | picture) */
	float *probabilities; /* out [n][K]: P(label | image) of each, one draw */
	float *strengths;     /* out [n]; of a counterfactual 0 when the picture is seen as that label already, and 1
				 when even that did not do */
};

/* Edit i uses noise first_index + i. */
enum jf_err jf_edit(struct jf_model *model, const struct jf_edited *out, const struct jf_edit *edit, int n,
    const struct jf_task_options *options, struct jf_error *err);

/* images out [n][H][W][C], labels out [n][K] (final z_lab), probabilities out [n][K] or NULL. */
enum jf_err jf_sample(struct jf_model *model, float *images, float *labels, float *probabilities, int n,
    const struct jf_task_options *options, struct jf_error *err);

#endif
