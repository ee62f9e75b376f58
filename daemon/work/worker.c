#include "config.h"

#include "daemon/work/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/engine/exec.h"
#include "core/questions/question.h"
#include "core/questions/score.h"
#include "daemon/work/dispatch.h"
#include "daemon/work/worker_internal.h"

void jf_worker_beat(struct jf_worker *worker) {
	atomic_store_explicit(&worker->beat_ns, jf_clock_ns(), memory_order_relaxed);
}

/* --- samplers --- */

static void clear_set(struct jf_sampler_set *set) {
	for (int task = 0; task < JF_N_TASKS; task++) {
		jf_sampler_destroy(set->samplers[task]);
		set->samplers[task] = NULL;
	}
	jf_scorer_destroy(set->scorer);
	set->scorer = NULL;
	free(set->probabilities);
	set->probabilities = NULL;
	jf_model_unref(set->model);
	set->model = NULL;
}

/* The set of that model; NULL when the worker has none. */
static struct jf_sampler_set *set_of(struct jf_worker *worker, const struct jf_model *model) {
	struct jf_sampler_set *sets[] = {&worker->current, &worker->next, &worker->leaving};
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		if (sets[i]->model == model)
			return sets[i];
	return NULL;
}

static struct jf_sampler *sampler_for(
    struct jf_worker *worker, struct jf_sampler_set *set, enum jf_task task, struct jf_error *err) {
	int max_batch = worker->scheduler->options.max_batch;
	size_t classes = (size_t)set->model->config.classes;
	if (!set->probabilities)
		set->probabilities = jf_alloc_floats((size_t)max_batch * classes);
	if (!worker->workspace)
		worker->workspace = jf_workspace_create();
	if (!set->probabilities || !worker->workspace) {
		jf_error_set(err, JF_ENOMEM, "no memory for a worker's probabilities");
		return NULL;
	}
	if (!set->samplers[task])
		set->samplers[task] = jf_sampler_create_in(worker->workspace, set->model, task, max_batch, err);
	return set->samplers[task];
}

static enum jf_task task_of(enum jf_job_kind kind) {
	if (kind == JF_JOB_GENERATE || kind == JF_JOB_EDIT)
		return JF_TASK_GENERATE;
	return kind == JF_JOB_SAMPLE ? JF_TASK_SAMPLE : JF_TASK_CLASSIFY;
}

static enum jf_err prepare(struct jf_worker *worker, struct jf_error *err) {
	for (int task = 0; task < JF_N_TASKS; task++)
		if (!sampler_for(worker, &worker->next, (enum jf_task)task, err))
			return err->code;
	return JF_OK;
}

static void commit(struct jf_worker *worker) {
	if (worker->pinned == &worker->current) {
		worker->leaving = worker->current;
		worker->pinned = &worker->leaving;
	} else {
		clear_set(&worker->current);
	}
	worker->current = worker->next;
	worker->next = (struct jf_sampler_set){.model = NULL};
}

static void answer_stage(struct jf_worker *worker) {
	struct jf_error error = {.code = JF_OK};
	switch (jf_dispatch_stage(worker, &worker->next.model)) {
	case JF_STAGE_NONE:
		return;
	case JF_STAGE_PREPARE:
		if (prepare(worker, &error) != JF_OK)
			clear_set(&worker->next);
		break;
	case JF_STAGE_COMMIT:
		commit(worker);
		break;
	case JF_STAGE_ABORT:
		clear_set(&worker->next);
		break;
	}
	jf_dispatch_stage_done(worker, &error);
	jf_worker_beat(worker);
}

/* --- a batch --- */

int jf_worker_drop_ending(struct jf_worker *worker, struct jf_batch *batch, struct jf_sampler *sampler, int steps) {
	struct jf_batch_item dropped[JF_MAX_BATCH];
	bool keep[JF_MAX_BATCH];
	int n_dropped = 0, n_kept = 0;
	for (int i = 0; i < batch->n; i++) {
		keep[i] = atomic_load_explicit(&batch->items[i].job->q.ending, memory_order_relaxed) == 0;
		if (keep[i])
			batch->items[n_kept++] = batch->items[i];
		else
			dropped[n_dropped++] = batch->items[i];
	}
	if (n_dropped == 0)
		return batch->n;
	if (sampler)
		jf_sampler_keep(sampler, keep);
	batch->n = n_kept;
	jf_dispatch_give_back(worker->scheduler, dropped, n_dropped, false, 0, steps);
	return n_kept;
}

static void report_step(struct jf_batch *batch, const struct jf_sampler *sampler, int step, int steps) {
	for (int i = 0; i < batch->n; i++) {
		struct jf_batch_item *entry = &batch->items[i];
		struct jf_job *job = entry->job;
		if (!job->step || entry->reported >= step)
			continue;
		entry->reported = step;
		struct jf_job_step state = {.item = entry->item,
		    .step = step,
		    .steps = steps,
		    .time = jf_sampler_time(sampler),
		    .image = jf_sampler_image(sampler, i),
		    .label = jf_sampler_label(sampler, i),
		    .probabilities = jf_sampler_probabilities(sampler, i)};
		job->step(job->context, job, &state);
	}
}

static void copy_row(float *out, const float *row, int item, size_t size) {
	if (out && row)
		memcpy(out + (size_t)item * size, row, size * sizeof(*row));
}

static void copy_results(const struct jf_batch *batch, struct jf_sampler *sampler) {
	const struct jf_network_config *config = &batch->items[0].job->model->config;
	size_t classes = (size_t)config->classes;
	size_t pixels = jf_network_image_floats(config);
	for (int i = 0; i < batch->n; i++) {
		const struct jf_job *job = batch->items[i].job;
		int item = batch->items[i].item;
		copy_row(job->out_images, jf_sampler_image(sampler, i), item, pixels);
		copy_row(job->out_labels, jf_sampler_label(sampler, i), item, classes);
		copy_row(job->out_probabilities, jf_sampler_probabilities(sampler, i), item, classes);
		if (job->out_familiarity)
			job->out_familiarity[item] = jf_sampler_familiarity(sampler, i);
	}
}

/* Between two draws of a posterior: it is alive, and goes on while anybody waits for it. */
struct draws {
	struct jf_worker *worker;
	const struct jf_batch *batch;
};

static bool goes_on(void *context) {
	const struct draws *draws = context;
	jf_worker_beat(draws->worker);
	for (int i = 0; i < draws->batch->n; i++)
		if (atomic_load_explicit(&draws->batch->items[i].job->q.ending, memory_order_relaxed) == 0)
			return true;
	return false;
}

static enum jf_err run_posterior(struct jf_worker *worker, const struct jf_sampler_set *set, struct jf_batch *batch,
    struct jf_sampler *sampler, struct jf_error *err) {
	const struct jf_job *first = batch->items[0].job;
	size_t classes = (size_t)first->model->config.classes;
	const float *images[JF_MAX_BATCH];
	struct draws draws = {worker, batch};
	for (int i = 0; i < batch->n; i++)
		images[i] = batch->items[i].job->items[batch->items[i].item].image;
	enum jf_err rc =
	    jf_sampler_posterior(sampler, set->probabilities, images, batch->n, first->draws, goes_on, &draws, err);
	if (rc == JF_ECANCELED)
		return jf_worker_drop_ending(worker, batch, NULL, 0) == 0 ? JF_OK : rc;
	if (rc != JF_OK)
		return rc;
	for (int i = 0; i < batch->n; i++) {
		const struct jf_job *job = batch->items[i].job;

		copy_row(
		    job->out_probabilities, set->probabilities + (size_t)i * classes, batch->items[i].item, classes);
		job->out_familiarity[batch->items[i].item] = jf_sampler_familiarity(sampler, i);
	}
	return JF_OK;
}

static void run_batch(struct jf_worker *worker, struct jf_batch *batch);

void jf_worker_serve_in_between(struct jf_worker *worker) {
	struct jf_batch urgent;
	answer_stage(worker);
	if (jf_dispatch_take_urgent(worker->scheduler, &urgent))
		run_batch(worker, &urgent);
}

static enum jf_err begin(const struct jf_batch *batch, const struct jf_sampler_args *args, struct jf_sampler *sampler,
    struct jf_error *err) {
	struct jf_trajectory trajectories[JF_MAX_BATCH];
	for (int i = 0; i < batch->n; i++) {
		const struct jf_job *job = batch->items[i].job;
		int item = batch->items[i].item;
		trajectories[i] = job->items[item];
		if (job->kind == JF_JOB_EDIT)
			trajectories[i].label = job->out_labels + (size_t)item * (size_t)job->model->config.classes;
	}
	return jf_sampler_begin(sampler, args, trajectories, batch->n, err);
}

/* Runs a batch of trajectories step by step; batch->n falls as jobs end. *steps goes up by how many were done. outer:
 * not itself between the steps of another batch. */
static enum jf_err run_trajectories(struct jf_worker *worker, struct jf_batch *batch,
    const struct jf_sampler_args *args, struct jf_sampler *sampler, bool outer, int *steps, struct jf_error *err) {
	struct jf_scheduler *scheduler = worker->scheduler;
	const struct jf_job *first = batch->items[0].job;
	const char *task = jf_job_kind_name(first->kind);
	int repeats = args->repeats > 1 ? args->repeats : 1, total = jf_job_steps(first) / repeats;
	double step_cost = jf_job_step_cost(first); /* of one item */
	int64_t start = jf_clock_ns();
	enum jf_err rc = begin(batch, args, sampler, err);
	while (rc == JF_OK && jf_sampler_steps_left(sampler) > 0) {
		rc = jf_sampler_step(sampler, err);
		if (rc != JF_OK)
			break;
		++*steps;
		jf_worker_beat(worker);
		jf_metric_add(scheduler->options.metrics, JF_METRIC_STEPS, batch->n, JF_LABELS(task));
		if (*steps % repeats == 0)
			report_step(batch, sampler, *steps / repeats, total);
		jf_dispatch_note_speed(scheduler, batch->items[0].job, step_cost * batch->n, jf_clock_ns() - start);
		if (jf_worker_drop_ending(worker, batch, sampler, *steps) == 0)
			return JF_OK;
		if (outer && jf_sampler_steps_left(sampler) > 0)
			jf_worker_serve_in_between(worker);
		start = jf_clock_ns();
	}
	if (rc == JF_OK)
		copy_results(batch, sampler);
	return rc;
}

/* --- edits --- */

/* The posterior of each image into the items' rows of out_originals or out_probabilities. */
static enum jf_err look_at(struct jf_worker *worker, struct jf_sampler_set *set, const struct jf_batch *batch,
    const float *const *images, bool originals, struct jf_error *err) {
	size_t classes = (size_t)set->model->config.classes;
	/* Free now: classifications that run between an edit's steps are through by then. */
	struct jf_sampler *sampler = sampler_for(worker, set, JF_TASK_CLASSIFY, err);
	if (!sampler)
		return err->code;
	enum jf_err rc = jf_sampler_posterior(sampler, set->probabilities, images, batch->n, 1, NULL, NULL, err);
	for (int i = 0; i < batch->n && rc == JF_OK; i++) {
		const struct jf_job *job = batch->items[i].job;
		copy_row(originals ? job->out_originals : job->out_probabilities,
		    set->probabilities + (size_t)i * classes, batch->items[i].item, classes);
	}
	return rc;
}

/* What the pictures show before, and with it the label that each is drawn under. */
static enum jf_err look_before(
    struct jf_worker *worker, struct jf_sampler_set *set, const struct jf_batch *batch, struct jf_error *err) {
	int classes = set->model->config.classes;
	const float *images[JF_MAX_BATCH];
	for (int i = 0; i < batch->n; i++)
		images[i] = batch->items[i].job->items[batch->items[i].item].image;
	enum jf_err rc = look_at(worker, set, batch, images, true, err);
	for (int i = 0; i < batch->n && rc == JF_OK; i++) {
		const struct jf_job *job = batch->items[i].job;
		int item = batch->items[i].item;
		size_t at = (size_t)item * (size_t)classes;
		if (job->items[item].label)
			copy_row(job->out_labels, job->items[item].label, item, (size_t)classes);
		else
			jf_label_one_hot(job->out_labels + at, jf_argmax(job->out_originals + at, classes), classes);
	}
	return rc;
}

static enum jf_err look_after(struct jf_worker *worker, struct jf_sampler_set *set, const struct jf_batch *batch,
    float strength, struct jf_error *err) {
	size_t pixels = jf_network_image_floats(&set->model->config);
	const float *images[JF_MAX_BATCH];
	for (int i = 0; i < batch->n; i++) {
		const struct jf_job *job = batch->items[i].job;
		images[i] = job->out_images + (size_t)batch->items[i].item * pixels;
		job->out_strengths[batch->items[i].item] = strength;
	}
	return look_at(worker, set, batch, images, false, err);
}

/* Counterfactuals: gives back the items that are seen as what was asked for, and keeps the rest. before: by what the
 * pictures show themselves, which are the answer then. */
static void give_back_found(struct jf_worker *worker, struct jf_batch *batch, bool before, int steps) {
	struct jf_batch_item found[JF_MAX_BATCH];
	int n_found = 0, n_left = 0, size = batch->n;
	for (int i = 0; i < size; i++) {
		const struct jf_job *job = batch->items[i].job;
		int item = batch->items[i].item, classes = job->model->config.classes;
		size_t at = (size_t)item * (size_t)classes;
		const float *seen = (before ? job->out_originals : job->out_probabilities) + at;
		if (jf_argmax(seen, classes) != jf_draw_class(job->out_labels + at, classes)) {
			batch->items[n_left++] = batch->items[i];
			continue;
		}
		if (before) {
			copy_row(job->out_images, job->items[item].image, item,
			    jf_network_image_floats(&job->model->config));
			copy_row(job->out_probabilities, seen, item, (size_t)classes);
			job->out_strengths[item] = 0.0f;
		}
		found[n_found++] = batch->items[i];
	}
	batch->n = n_left;
	jf_dispatch_give_back(worker->scheduler, found, n_found, true, size, steps);
}

/* The same answers as jf_edit gives (core/questions/tasks.h). */
static enum jf_err run_edit(struct jf_worker *worker, struct jf_sampler_set *set, struct jf_batch *batch,
    struct jf_sampler *sampler, bool outer, int *steps, struct jf_error *err) {
	struct jf_sampler_args args = batch->items[0].job->args;
	bool search = batch->items[0].job->counterfactual;
	int rounds = search ? JF_EDIT_GRID : 1;
	enum jf_err rc = look_before(worker, set, batch, err);
	if (rc == JF_OK && search)
		give_back_found(worker, batch, true, 0);
	for (int round = 0; round < rounds && batch->n > 0 && rc == JF_OK; round++) {
		if (search)
			args.start = jf_edit_strength(round);
		rc = run_trajectories(worker, batch, &args, sampler, outer, steps, err);
		if (rc != JF_OK || batch->n == 0)
			break;
		rc = look_after(worker, set, batch, args.start > 0.0f ? args.start : 1.0f, err);
		if (rc == JF_OK && round + 1 < rounds)
			give_back_found(worker, batch, false, *steps);
	}
	return rc;
}

/* Runs the batch on a sampler that nobody else is using: an outer batch may be using another of the same set, never the
 * same one, since only classifications run in between and only generations let them. */
static enum jf_err run_on(struct jf_worker *worker, struct jf_sampler_set *set, struct jf_sampler *sampler,
    struct jf_batch *batch, int *steps, struct jf_error *err) {
	const struct jf_job *first = batch->items[0].job;
	if (first->kind == JF_JOB_POSTERIOR) {
		int64_t start = jf_clock_ns();
		enum jf_err rc = run_posterior(worker, set, batch, sampler, err);
		*steps = rc == JF_OK;
		if (batch->n == 0)
			return rc;
		jf_dispatch_note_speed(
		    worker->scheduler, first, (double)(first->q.item_cost * batch->n), jf_clock_ns() - start);
		jf_metric_add(worker->scheduler->options.metrics, JF_METRIC_STEPS, batch->n, JF_LABELS("posterior"));
		return rc;
	}
	bool outer = !worker->pinned;
	if (outer)
		worker->pinned = set;
	bool lets_pass = outer && first->kind != JF_JOB_CLASSIFY;
	enum jf_err rc;
	if (jf_job_is_scoring(first))
		rc = jf_worker_score(worker, set, batch, sampler, steps, err);
	else if (first->kind == JF_JOB_EDIT)
		rc = run_edit(worker, set, batch, sampler, lets_pass, steps, err);
	else
		rc = run_trajectories(worker, batch, &first->args, sampler, lets_pass, steps, err);
	if (outer) {
		worker->pinned = NULL;
		clear_set(&worker->leaving);
	}
	return rc;
}

static enum jf_err run_once(struct jf_worker *worker, struct jf_batch *batch, int *steps, struct jf_error *err) {
	struct jf_model *model = batch->items[0].job->model;
	struct jf_sampler_set own = {.model = NULL}; /* for a job that a change of the model has overtaken */
	struct jf_sampler_set *set = set_of(worker, model);
	enum jf_err rc = JF_ENOMEM;
	*steps = 0;
	if (!set) {
		set = &own;
		own.model = jf_model_ref(model);
	}
	struct jf_sampler *sampler = sampler_for(worker, set, task_of(batch->items[0].job->kind), err);
	if (sampler)
		rc = run_on(worker, set, sampler, batch, steps, err);
	clear_set(&own);
	return rc;
}

/* One item's numbers went out of range, or memory was short: each job runs again by itself, so that only the one at
 * fault fails. The others get the same bytes as ever. */
static void run_one_by_one(struct jf_worker *worker, const struct jf_batch *batch) {
	struct jf_batch alone;
	for (int i = 0; i < batch->n;) {
		struct jf_error error = {.code = JF_OK};
		int steps = 0;
		alone.n = 0;
		const struct jf_job *job = batch->items[i].job;
		while (i < batch->n && batch->items[i].job == job)
			alone.items[alone.n++] = batch->items[i++];
		if (jf_worker_drop_ending(worker, &alone, NULL, 0) == 0)
			continue;
		enum jf_err rc = run_once(worker, &alone, &steps, &error);
		if (rc != JF_OK)
			jf_dispatch_fail(worker->scheduler, alone.items, alone.n, &error);
		jf_dispatch_give_back(worker->scheduler, alone.items, alone.n, rc == JF_OK, alone.n, steps);
	}
}

static bool has_many_jobs(const struct jf_batch *batch) {
	for (int i = 1; i < batch->n; i++)
		if (batch->items[i].job != batch->items[0].job)
			return true;
	return false;
}

static void run_batch(struct jf_worker *worker, struct jf_batch *batch) {
	struct jf_scheduler *scheduler = worker->scheduler;
	struct jf_error error = {.code = JF_OK};
	int steps = 0;
	if (jf_worker_drop_ending(worker, batch, NULL, 0) == 0)
		return;
	int size = batch->n;
	jf_metric_observe(scheduler->options.metrics, JF_METRIC_BATCH_SIZE, size,
	    JF_LABELS(jf_job_kind_name(batch->items[0].job->kind)));
	enum jf_err rc = run_once(worker, batch, &steps, &error);
	if (rc != JF_OK && has_many_jobs(batch)) {
		run_one_by_one(worker, batch);
	} else if (batch->n > 0) {
		if (rc != JF_OK)
			jf_dispatch_fail(scheduler, batch->items, batch->n, &error);
		jf_dispatch_give_back(scheduler, batch->items, batch->n, rc == JF_OK, size, steps);
	}
	jf_worker_beat(worker);
}

void *jf_worker_main(void *argument) {
	struct jf_worker *worker = argument;
	struct jf_scheduler *scheduler = worker->scheduler;
	struct jf_batch batch;
	char name[16];
	snprintf(name, sizeof(name), "jf-worker-%d", worker->index % 1000);
	pthread_setname_np(pthread_self(), name);
	for (;;) {
		bool taken = jf_dispatch_wait(worker, &batch);
		if (batch.n < 0)
			break;
		if (!taken) {
			answer_stage(worker);
			continue;
		}
		int64_t start = jf_clock_ns();
		atomic_fetch_add(&scheduler->in_batch, 1);
		run_batch(worker, &batch);
		atomic_fetch_sub(&scheduler->in_batch, 1);
		jf_metric_add(
		    scheduler->options.metrics, JF_METRIC_WORKER_SECONDS, (double)(jf_clock_ns() - start) * 1e-9, NULL);
		atomic_store(&worker->busy, false);
	}
	clear_set(&worker->current);
	clear_set(&worker->next);
	jf_workspace_destroy(worker->workspace);
	worker->workspace = NULL;
	return NULL;
}
