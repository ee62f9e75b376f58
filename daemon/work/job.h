/* A job: one admitted request as the workers see it. Plain structs only: no HTTP, no JSON.
 *
 * Life: the submitter creates it (one reference), fills the inputs, submits. jf_scheduler_submit takes a second
 * reference when it admits. From then on inputs are read-only and results belong to the workers until `done` has been
 * called, which happens exactly once for every admitted job, and never for a refused one. After `done` everything in
 * the job is the submitter's again. A job is submitted once. */
#ifndef JF_DAEMON_WORK_JOB_H
#define JF_DAEMON_WORK_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/engine/model.h"
#include "core/engine/sampler.h"

enum jf_job_kind {
	JF_JOB_POSTERIOR,  /* P(label | image) by `draws` evaluations: probabilities */
	JF_JOB_CLASSIFY,   /* label ODE, one trajectory a draw: labels, probabilities */
	JF_JOB_GENERATE,   /* images (blend is a generate with mixed labels and equal (seed, index) along a row) */
	JF_JOB_SAMPLE,     /* images, labels, probabilities */
	JF_JOB_EDIT,       /* images, labels, probabilities, originals, strengths */
	JF_JOB_SCORE,      /* log_p by `draws` of time and noise, probabilities from it, originals */
	JF_JOB_LIKELIHOOD, /* P(label | image) the same way (jf_scorer_classify): probabilities */
	JF_N_JOB_KINDS
};
const char *jf_job_kind_name(enum jf_job_kind kind); /* "posterior", "classify" ...: metric label */

/* How a job ended. */
enum jf_job_end {
	JF_JOB_DONE,     /* results are complete */
	JF_JOB_CANCELED, /* jf_scheduler_cancel (client gone) */
	JF_JOB_DEADLINE, /* deadline_ns passed */
	JF_JOB_SHUTDOWN, /* the drain limit passed or the scheduler stopped */
	JF_JOB_FAILED,   /* see error: JF_ENUMERIC, JF_ENOMEM, JF_EINTERNAL */
	JF_N_JOB_ENDS
};
const char *jf_job_end_name(enum jf_job_end end); /* "done", "canceled", ... */

struct jf_job;

/* State of one item after one solver step; pointers are borrowed for the call. Parts that the task lacks are NULL. */
struct jf_job_step {
	int item;                   /* 0 to n - 1 */
	int step, steps;            /* step 1 to steps */
	float time;                 /* the clock after the step: 1 > t >= 0, exactly 0 at the end; of a
				       counterfactual at the end of each round */
	const float *image;         /* [H][W][C]; generate, sample, edit */
	const float *label;         /* [K]; classify, sample */
	const float *probabilities; /* [K]; classify, sample */
};

struct jf_job {
	/* --- set by jf_job_create; read-only ------------------------------------------------------------------- */
	struct jf_model *model; /* referenced; the job runs on this one even when a reload has swapped another in */
	enum jf_job_kind kind;
	int n; /* items: images or trajectories */

	/* --- filled by the submitter before submit
	 * ----------------------------------------------------------------- */
	/* [n], owned. seed, index: noise of the item (posterior ignores them). image: points into `images`, several
	 * items may share one (votes, edits); label: into `labels`; of an edit NULL means the class
	 * that the posterior sees in the image. All values must be finite: submit checks. */
	struct jf_trajectory *items;
	float *images; /* owned by the job, freed by it; [any][H][W][C]; see jf_job_alloc_images; NULL if not needed */
	float *labels; /* the same, [any][K] */
	struct jf_sampler_args args; /* solver, steps, guidance; posterior ignores them; at first euler, 20, 1 */
	bool *redraw;                /* edit: owned by the job, [H][W], what items' redraw points to; NULL: all */
	bool counterfactual;         /* edit: look for the least strength, upwards on jf_edit_strength's grid, at which
				      * the posterior names the label; args.start is not looked at */
	int draws;                   /* posterior: label noises averaged; score, likelihood: draws of time
				      * and noise, even; default 1 */
	int64_t deadline_ns;         /* jf_clock_ns() clock; 0 = none */

	/* Called from worker threads after each step, for each item, without any lock held; parts of one job may run on
	 * several workers, so calls for different items may come at the same time; calls for one item come in order.
	 * NULL = not wanted. Not called for posterior, score and likelihood. Must not block. */
	void (*step)(void *context, struct jf_job *job, const struct jf_job_step *step);
	/* A job whose later items depend on what the earlier ones gave: at first workers take `released` items only (n
	 * unless the submitter lowers it). When these are done a worker, without any lock held, calls release, which
	 * reads out_images, fills in inputs and returns how many items may be taken from now on: more than before, at
	 * most n. It is never called once the job is ending. Must not block. */
	int released;
	int (*release)(void *context, struct jf_job *job);
	/* Called once, from a worker or from the scheduler's timer thread, never from within submit or cancel, without
	 * any lock held. Must not block; may unref the job. May be NULL. */
	void (*done)(void *context, struct jf_job *job);
	void *context;
	char request_id[40]; /* for log lines; "" is fine */

	/* --- results, valid once done was called ----------------------------------------------------------------- */
	enum jf_job_end end;
	struct jf_error error;    /* FAILED: why; otherwise a sentence that fits the end */
	float *out_images;        /* owned; [n][H][W][C]; generate, sample, edit; else NULL */
	float *out_labels;        /* owned; [n][K], final z_lab; classify, sample; edit: the
				     label it was drawn under; else NULL */
	float *out_probabilities; /* owned; [n][K]; all but generate; else NULL. edit: the
				     posterior of what was drawn */
	float *out_originals;   /* owned; edit, score: [n][K], the posterior of the picture that was given; else NULL */
	float *out_strengths;   /* owned; edit: [n], see struct jf_edited in core/questions/tasks.h; else NULL */
	float *out_familiarity; /* owned; [n]; posterior, classify, score, likelihood; else NULL; -1: the model cannot
				   tell */
	double *out_log_p; /* owned; score: [n][2][K + 1], as jf_scorer_score gives it, then its errors; else NULL */
	int64_t submitted_ns, started_ns, finished_ns; /* started_ns 0: never ran */
	int max_batch_seen;                            /* largest batch an item of it shared */
	int steps_done;                                /* solver steps of its furthest item */

	/* --- the scheduler's own; guarded by its lock unless said otherwise --------------------------------------- */
	struct {
		struct jf_job *previous, *next;         /* the queue, while items wait */
		struct jf_job *all_previous, *all_next; /* everything outstanding */
		struct jf_job *done_next;               /* about to be handed back */
		int64_t rank_ns;                        /* queue order: smaller first */
		int64_t queued_ns;                      /* when it came into the queue last */
		int taken;                              /* items handed to workers */
		int running;                            /* of these, not yet handed back */
		int finished;                           /* items completed */
		long item_cost;
		bool queued;
		bool complete; /* on its way to `done`; nothing changes any more */
		/* 0, or 1 + the enum jf_job_end it shall end with. Set once, under the lock; workers read it between
		 * steps without. */
		atomic_int ending;
	} q;
	atomic_int references;
};

/* n items with result buffers for `kind`; all inputs zero, items' pointers NULL. NULL on failure. */
struct jf_job *jf_job_create(struct jf_model *model, enum jf_job_kind kind, int n, struct jf_error *err);
/* Input memory the job owns: `count` images of the model's size / labels of its K, zeroed. */
enum jf_err jf_job_alloc_images(struct jf_job *job, int count, struct jf_error *err);
enum jf_err jf_job_alloc_labels(struct jf_job *job, int count, struct jf_error *err);
struct jf_job *jf_job_ref(struct jf_job *job);
void jf_job_unref(struct jf_job *job); /* NULL allowed */

/* Whether it asks for a label that is quickly found: a classification goes first. */
static inline bool jf_job_is_classification(const struct jf_job *job) {
	return job->kind == JF_JOB_POSTERIOR || job->kind == JF_JOB_CLASSIFY;
}

/* Whether it asks how well noise comes off an image, under every label. */
static inline bool jf_job_is_scoring(const struct jf_job *job) {
	return job->kind == JF_JOB_SCORE || job->kind == JF_JOB_LIKELIHOOD;
}

/* Cost in the queue's units: items x network evaluations (twice where guidance acts, two more for a joint
 * sample; an edit's with all repeats, a posterior after every round and one before, a counterfactual's as if it went
 * through the whole grid; a score's each draw under every class and, but for a likelihood, none, and a posterior). */
long jf_job_cost(const struct jf_job *job);
/* Of that, what one step of one item costs. */
double jf_job_step_cost(const struct jf_job *job);
/* Steps that jf_sampler_step takes for one item: of a counterfactual at most, in all rounds together. */
int jf_job_steps(const struct jf_job *job);

static inline double jf_job_queue_ms(const struct jf_job *job) {
	int64_t end = job->started_ns ? job->started_ns : job->finished_ns;
	return (double)(end - job->submitted_ns) * 1e-6;
}
static inline double jf_job_compute_ms(const struct jf_job *job) {
	return job->started_ns ? (double)(job->finished_ns - job->started_ns) * 1e-6 : 0.0;
}

#endif
