/* The sampler: integrates a batch of trajectories of one task, one solver step at a time.
 *
 * A sampler belongs to one thread and one model and never allocates after creation. Trajectories of
 * a batch share task, solver, steps and guidance; nothing else. The result of a trajectory does not depend on what else
 * is in its batch: same seed and index, same bytes.
 * Sources: Lipman et al., arXiv:2210.02747, optimal-transport path, clock reversed: dz/dt = v, from t = 1 to 0; the
 * ancestral solver begins with the stochastic chain of the same marginals, Song et al., arXiv:2010.02502. An edit is a
 * generation that starts on the way, from a picture with noise on it: Meng et al., arXiv:2108.01073. */
#ifndef JF_CORE_ENGINE_SAMPLER_H
#define JF_CORE_ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/engine/model.h"
#include "core/engine/plan.h"

enum jf_task {
	JF_TASK_CLASSIFY, /* image held at t = 0, label integrated */
	JF_TASK_GENERATE, /* label held at t = 0, image integrated */
	JF_TASK_SAMPLE,   /* the label drawn first, then the image integrated */
	JF_N_TASKS
};
const char *jf_task_name(enum jf_task task); /* "classify", "generate", "sample" */

enum jf_solver {
	JF_SOLVER_EULER,     /* 1 network evaluation a step, order 1 */
	JF_SOLVER_MIDPOINT,  /* 2 evaluations a step, order 2 */
	JF_SOLVER_HEUN,      /* 2 evaluations a step (the last one: 1), order 2 */
	JF_SOLVER_ANCESTRAL, /* 1 evaluation a step; fresh noise, keyed by (seed, index, step), as long as t > the end
				below */
	JF_N_SOLVERS
};
/* Where the ancestral solver of an image goes over to Euler's steps; measured in bench/model.md. A label's never does.
 */
#define JF_ANCESTRAL_END 0.5f
extern const char *const jf_solver_names[JF_N_SOLVERS + 1]; /* "euler", ..., NULL */
const char *jf_solver_name(enum jf_solver solver);
/* What the programs use by default: euler for labels, ancestral where an image is drawn. */
enum jf_solver jf_solver_default(enum jf_task task);

/* A joint sample evaluates the network twice besides integrating its image: for the label at the start, about the image
 * at the end.
 */
#define JF_SAMPLE_EXTRA_EVALUATIONS 2

#define JF_MAX_STEPS 1000
#define JF_MAX_DRAWS 1000 /* of a posterior */
#define JF_MAX_GUIDANCE 20
#define JF_MAX_REPEATS 10
#define JF_MAX_BATCH 256 /* trajectories that one sampler integrates at a time */

struct jf_sampler_args {
	enum jf_solver solver;
	int steps;      /* 1 to JF_MAX_STEPS */
	float guidance; /* generate only; 1 = plain conditional; v = v_uncond + g (v_cond - v_uncond); 0 to
			   JF_MAX_GUIDANCE */
	/* generate only: the time it starts at, above 0 up to 1; 0 counts as 1. Below 1 every trajectory has an image
	 * to start from; the steps divide the time from there to 0. */
	float start;
	/* generate only: how often each step is gone through, 1 to JF_MAX_REPEATS; 0 counts as 1. Between two of them
	 * the noise that the step took away is put on again, so that what is drawn anew can adapt to what is kept
	 * (RePaint, Lugmayr et al., arXiv:2201.09865). Each counts as a step in jf_sampler_steps_left. */
	int repeats;
	/* generate only: guidance acts while low <= t <= high, each 0 to 1; high: 0 counts as 1. Elsewhere it is plain
	 * and costs nothing (Kynkaanniemi et al., arXiv:2404.07724). */
	float guidance_low, guidance_high;
};

/* One sample to integrate. Pointers are borrowed during jf_sampler_begin only (contents are copied). */
struct jf_trajectory {
	uint64_t seed;  /* noise key */
	uint64_t index; /* which sample of that seed: noise of (seed, index) */
	/* [H][W][C] in [-1, 1]. classify: what is held. generate: NULL, or what it starts from: (1 - t) image + t noise
	 * at t = args.start. sample: NULL. */
	const float *image;
	/* generate with an image: [H][W], true where pixels are drawn anew. The others follow the image, with noise of
	 * the right level after every step and none at the end. NULL: all are drawn anew. */
	const bool *redraw;
	const float *label; /* generate: [K], -1/+1 coded, any real value; otherwise NULL */
};

/* The plan of a task for batches of up to max_batch trajectories, as the sampler uses it; `jointflow info` shows it. */
struct jf_plan_spec jf_sampler_plan_spec(enum jf_task task, int max_batch);

struct jf_sampler;
struct jf_workspace;

/* max_batch: 1 to JF_MAX_BATCH trajectories. The model is referenced. NULL on failure, *err says why. */
struct jf_sampler *jf_sampler_create(struct jf_model *model, enum jf_task task, int max_batch, struct jf_error *err);
/* The same with the temporary memory of a workspace (core/engine/exec.h), borrowed, which all samplers of a thread may
 * share: one may begin and step while another is between two of its steps. */
struct jf_sampler *jf_sampler_create_in(
    struct jf_workspace *workspace, struct jf_model *model, enum jf_task task, int max_batch, struct jf_error *err);
void jf_sampler_destroy(struct jf_sampler *sampler); /* NULL allowed */

/* Evaluations of the network for one trajectory of `task` with these settings, all repeats together: twice as many
 * where guidance acts, JF_SAMPLE_EXTRA_EVALUATIONS more for a joint sample. */
long jf_sampler_evaluations(enum jf_task task, const struct jf_sampler_args *args);

/* Whether both are guided alike, bit for bit. */
bool jf_sampler_same_guidance(const struct jf_sampler_args *a, const struct jf_sampler_args *b);

/* Starts n trajectories (1 to max_batch) at t = 1; runs what is hoisted. Replaces whatever ran before.
 * JF_EINVAL on bad arguments, JF_ENUMERIC when an image or label is not finite. */
enum jf_err jf_sampler_begin(struct jf_sampler *sampler, const struct jf_sampler_args *args,
    const struct jf_trajectory *trajectories, int n, struct jf_error *err);

/* Starts the same images' labels again from other noise (classify only), keeping what was hoisted: trajectory i now
 * uses noise (seed_i, index[i]). For the votes of several samples of one image. */
enum jf_err jf_sampler_restart(struct jf_sampler *sampler, const uint64_t *index, struct jf_error *err);

/* One solver step of every trajectory. The first step of a joint sample draws the label too, whole: at t_img = t_lab =
 * 1 the network sees noise alone, so its P(label) is that of the data, and a draw from it ends where the label's flow
 * would. From there the label is held and the image follows as in `generate`, to the same bytes. Every path from (1, 1)
 * to (0, 0) ends at the same joint distribution (UniCon, arXiv:2410.11439); this one suits the network best
 * (doc/architecture.md has the figures). JF_EINVAL when no step is left; JF_ENUMERIC when a state became not finite. */
enum jf_err jf_sampler_step(struct jf_sampler *sampler, struct jf_error *err);
/* out [n][K]: P(label) at t_img = t_lab = 1 from the noise that each joint sample starts with, before its first step,
 * and before what model->label_bias adds. JF_EINVAL for another task or later. */
enum jf_err jf_sampler_prior(struct jf_sampler *sampler, float *out, struct jf_error *err);
int jf_sampler_steps_left(const struct jf_sampler *sampler);
float jf_sampler_time(const struct jf_sampler *sampler); /* current t: args.start at first, exactly 0 at the end */

/* Drops trajectories: those with keep[i] false leave, the rest close up in order and go on unchanged.
 * Returns how many are left. */
int jf_sampler_keep(struct jf_sampler *sampler, const bool *keep);

/* State of trajectory i, borrowed until the next call: z_img [H][W][C] (generate, sample), z_lab [K] (classify,
 * sample); NULL where the task has none. */
const float *jf_sampler_image(const struct jf_sampler *sampler, int i);
const float *jf_sampler_label(const struct jf_sampler *sampler, int i);
/* [K]. classify: P(label) as the latest evaluation saw it, softmax of the logits (or clipped endpoint). sample: the
 * label that was drawn, until the last step; then P(label | image) of the finished image, as jf_sampler_posterior says
 * with one draw. */
const float *jf_sampler_probabilities(const struct jf_sampler *sampler, int i);

/* How familiar image i is, 0 to 1 (core/engine/familiarity.h), of a classification that has begun or a posterior; -1
 * when the model is not calibrated. It depends on image and model alone: the label noise is that of the first draw.
 * Worked out for all images when it is first asked for. */
float jf_sampler_familiarity(struct jf_sampler *sampler, int i);
/* [jf_network_features()], borrowed: what the latest evaluation saw in image i; classify only. */
const float *jf_sampler_features(const struct jf_sampler *sampler, int i);

/* P(label | image): one evaluation at t_lab = 1 for each of `draws` fixed label noises, averaged.
 * draws: 1 to JF_MAX_DRAWS.
 * probabilities out [n][K]; images [n] pointers to [H][W][C]; n up to max_batch; a JF_TASK_CLASSIFY sampler.
 * The answer does not depend on the batch. between: NULL, or asked after each draw but the last whether to go on; false
 * ends it with JF_ECANCELED. JF_ENUMERIC when an image is not finite; JF_EINVAL when draws is not 1 to JF_MAX_DRAWS. */
enum jf_err jf_sampler_posterior(struct jf_sampler *sampler, float *probabilities, const float *const *images, int n,
    int draws, bool (*between)(void *context), void *context, struct jf_error *err);

#endif
