/* How a worker runs scores and likelihoods: one picture at a time, since its classes are a batch already. */
#include <string.h>

#include "core/questions/score.h"
#include "daemon/work/dispatch.h"
#include "daemon/work/worker_internal.h"

/* A score that is under way. */
struct scoring {
	struct jf_worker *worker;
	struct jf_batch *batch; /* one item */
	int64_t start;          /* of the draw under way */
	int draws;              /* done */
};

/* After a draw. */
static void note_draw(struct scoring *scoring) {
	const struct jf_job *job = scoring->batch->items[0].job;
	struct jf_scheduler *scheduler = scoring->worker->scheduler;
	jf_worker_beat(scoring->worker);
	scoring->draws++;
	jf_metric_add(scheduler->options.metrics, JF_METRIC_STEPS, 1, JF_LABELS(jf_job_kind_name(job->kind)));
	jf_dispatch_note_speed(scheduler, job, jf_job_step_cost(job), jf_clock_ns() - scoring->start);
}

static bool next_draw(void *context) {
	struct scoring *scoring = context;
	note_draw(scoring);
	if (atomic_load_explicit(&scoring->batch->items[0].job->q.ending, memory_order_relaxed) != 0)
		return false;
	jf_worker_serve_in_between(scoring->worker);
	scoring->start = jf_clock_ns();
	return true;
}

/* The scorer is the set's, and goes where the set goes when the model changes between two draws. */
static enum jf_err run_scorer(
    struct jf_worker *worker, struct jf_scorer *scorer, struct jf_batch *batch, int *steps, struct jf_error *err) {
	const struct jf_job *job = batch->items[0].job;
	const struct jf_trajectory *item = &job->items[batch->items[0].item];
	size_t at = (size_t)batch->items[0].item, k = (size_t)job->model->config.classes;
	struct scoring scoring = {.worker = worker, .batch = batch, .start = jf_clock_ns()};
	const struct jf_score_args args = {
	    .draws = job->draws, .seed = item->seed, .index = item->index, .between = next_draw, .context = &scoring};
	double *log_p = job->out_log_p ? job->out_log_p + at * 2 * (k + 1) : NULL;
	float *probabilities = job->out_probabilities + at * k;
	enum jf_err rc = log_p ? jf_scorer_score(scorer, log_p, log_p + k + 1, item->image, &args, err)
			       : jf_scorer_classify(scorer, probabilities, item->image, &args, err);
	if (rc == JF_OK) {
		note_draw(&scoring);
		if (log_p)
			jf_score_bayes(probabilities, log_p, (int)k);
	}
	*steps = scoring.draws;
	if (rc == JF_ECANCELED && jf_worker_drop_ending(worker, batch, NULL, *steps) == 0)
		return JF_OK;
	return rc;
}

enum jf_err jf_worker_score(struct jf_worker *worker, struct jf_sampler_set *set, struct jf_batch *batch,
    struct jf_sampler *sampler, int *steps, struct jf_error *err) {
	const struct jf_job *job = batch->items[0].job;
	int item = batch->items[0].item;
	size_t k = (size_t)job->model->config.classes;
	const float *image = job->items[item].image;
	enum jf_err rc = jf_sampler_posterior(sampler, set->probabilities, &image, 1, 1, NULL, NULL, err);
	if (rc != JF_OK)
		return rc;
	if (job->out_originals)
		memcpy(job->out_originals + (size_t)item * k, set->probabilities, k * sizeof(float));
	job->out_familiarity[item] = jf_sampler_familiarity(sampler, 0);
	if (!set->scorer)
		set->scorer = jf_scorer_create_in(worker->workspace, set->model, err);
	return set->scorer ? run_scorer(worker, set->scorer, batch, steps, err) : err->code;
}
