#include "daemon/work/scheduler.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/questions/score.h"
#include "daemon/work/dispatch.h"
#include "daemon/work/worker.h"

#define GUESSED_SPEED 500.0           /* cost units a second of one worker, until one has been measured */
#define SAFETY 1.5                    /* what is ahead may take so many times as long as expected */
#define STALE_NS INT64_C(10000000000) /* a measured speed older than this turns nothing away from an idle daemon */
#define RESERVE 8                     /* classifications get an eighth of the capacity on top */

static const enum jf_rejection reasons[JF_N_ADMISSIONS] = {
    [JF_REFUSED_FULL] = JF_REJECTION_FULL,
    [JF_REFUSED_DRAINING] = JF_REJECTION_DRAINING,
    [JF_REFUSED_DEADLINE] = JF_REJECTION_DEADLINE,
    [JF_REFUSED_LARGE] = JF_REJECTION_LARGE,
    [JF_REFUSED_INVALID] = JF_REJECTION_INVALID,
};

/* --- admission --- */

static bool all_finite(const float *values, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (!isfinite(values[i]))
			return false;
	return true;
}

static enum jf_err check_items(const struct jf_job *job, struct jf_error *err) {
	const struct jf_network_config *config = &job->model->config;
	size_t pixels = jf_network_image_floats(config);
	bool image = jf_job_is_classification(job) || jf_job_is_scoring(job) || job->kind == JF_JOB_EDIT;
	bool label = job->kind == JF_JOB_GENERATE;
	for (int i = 0; i < job->n; i++) {
		const struct jf_trajectory *item = &job->items[i];
		if ((image && !item->image) || (label && !item->label))
			return jf_error_set(err, JF_EINVAL, "item %d has no %s", i, image ? "image" : "label");
		/* one image that many items share is looked at once */
		bool same = i > 0 && item->image == item[-1].image && item->label == item[-1].label;
		if (!same && ((image && !all_finite(item->image, pixels)) ||
				 (item->label && !all_finite(item->label, (size_t)config->classes))))
			return jf_error_set(err, JF_EINVAL, "item %d: a value is not finite", i);
	}
	return JF_OK;
}

static enum jf_err check_job(const struct jf_job *job, struct jf_error *err) {
	const struct jf_sampler_args *args = &job->args;
	int most = jf_job_is_scoring(job) ? JF_MAX_SCORE_DRAWS : JF_MAX_DRAWS;
	if (job->draws < 1 || job->draws > most || (jf_job_is_scoring(job) && job->draws % 2))
		return jf_error_set(err, JF_EINVAL, "draws: 1 to %d expected, got %d", most, job->draws);
	if (job->kind != JF_JOB_POSTERIOR && !jf_job_is_scoring(job) &&
	    ((unsigned)args->solver >= JF_N_SOLVERS || args->steps < 1 || args->steps > JF_MAX_STEPS))
		return jf_error_set(err, JF_EINVAL, "steps: 1 to %d expected, got %d", JF_MAX_STEPS, args->steps);
	bool draws = job->kind == JF_JOB_GENERATE || job->kind == JF_JOB_EDIT;
	if (draws && !(args->guidance >= 0.0f && args->guidance <= JF_MAX_GUIDANCE))
		return jf_error_set(err, JF_EINVAL, "guidance: 0 to %d expected", JF_MAX_GUIDANCE);
	if (draws && !(args->guidance_low >= 0.0f && args->guidance_low <= 1.0f && args->guidance_high >= 0.0f &&
			 args->guidance_high <= 1.0f))
		return jf_error_set(err, JF_EINVAL, "guidance_low, guidance_high: 0 to 1 expected");
	if (job->kind == JF_JOB_EDIT &&
	    (!(args->start >= 0.0f && args->start <= 1.0f) || args->repeats < 0 || args->repeats > JF_MAX_REPEATS))
		return jf_error_set(
		    err, JF_EINVAL, "start: above 0, up to 1 expected; repeats: 1 to %d", JF_MAX_REPEATS);
	return check_items(job, err);
}

static int whole_seconds(double seconds) {
	return seconds < 1 ? 1 : seconds > 60 ? 60 : (int)ceil(seconds);
}

/* Lock held: how long all workers together, or `workers` of them, take for work of that class. */
static double seconds_for(const struct jf_scheduler *s, bool classification, double cost, int workers) {
	const struct jf_speed *speed = &s->speed[classification];
	double per_second = speed->seconds > 0 ? speed->cost / speed->seconds : GUESSED_SPEED;
	return cost / (per_second * workers);
}

/* Lock held: the same for one job. */
static double seconds_alone(const struct jf_scheduler *s, const struct jf_job *job, double cost) {
	int workers = s->options.workers;
	return seconds_for(s, jf_job_is_classification(job), cost, job->n < workers ? job->n : workers);
}

/* Lock held: until the job would be done, if it were admitted now. A classification passes all generations. Without
 * time to spare a full queue would be one in which every job is due at its deadline, and half of them would be late. */
static double seconds_until_done(const struct jf_scheduler *s, const struct jf_job *job, double cost) {
	bool classification = jf_job_is_classification(job);
	int workers = s->options.workers;
	double ahead = seconds_for(s, true, (double)s->cost_outstanding[1], workers);
	if (!classification)
		ahead += seconds_for(s, false, (double)s->cost_outstanding[0], workers);
	return SAFETY * ahead + seconds_alone(s, job, cost);
}

/* Lock held: whether the speed measured last says that the job cannot be done in time. With nothing under way and no
 * measurement of late it is let in, so that a slow spell does not turn everything away for ever. */
static bool too_slow(const struct jf_scheduler *s, const struct jf_job *job, double seconds, int64_t now) {
	const struct jf_speed *speed = &s->speed[jf_job_is_classification(job)];
	if (!job->deadline_ns || speed->seconds <= 0 || seconds <= (double)(job->deadline_ns - now) * 1e-9)
		return false;
	return s->outstanding > s->handing_back || now - speed->measured_ns < STALE_NS;
}

/* Lock held. */
static enum jf_admission decide(
    const struct jf_scheduler *s, const struct jf_job *job, long cost, int64_t now, int *retry_after_s) {
	long outstanding = s->cost_outstanding[0] + s->cost_outstanding[1];
	long room = s->options.capacity + (jf_job_is_classification(job) ? s->options.capacity / RESERVE : 0);
	double seconds = seconds_until_done(s, job, (double)cost);
	*retry_after_s = 1;
	if (s->draining)
		return JF_REFUSED_DRAINING;
	if (cost > s->options.capacity)
		return JF_REFUSED_LARGE;
	if (outstanding + cost > room) {
		*retry_after_s = whole_seconds(seconds_for(
		    s, s->cost_outstanding[0] == 0, (double)(outstanding + cost - room), s->options.workers));
		return JF_REFUSED_FULL;
	}
	if (job->deadline_ns && (job->deadline_ns <= now || too_slow(s, job, seconds, now))) {
		*retry_after_s = whole_seconds(seconds - (double)(job->deadline_ns - now) * 1e-9);
		return JF_REFUSED_DEADLINE;
	}
	return JF_ADMITTED;
}

/* Lock held. */
static void enqueue(struct jf_scheduler *s, struct jf_job *job, int64_t now) {
	jf_job_ref(job);
	job->submitted_ns = now;
	job->q.all_previous = NULL;
	job->q.all_next = s->all;
	if (s->all)
		s->all->q.all_previous = job;
	s->all = job;
	s->outstanding++;
	s->cost_outstanding[jf_job_is_classification(job)] += job->q.item_cost * job->n;
	jf_queue_push(&s->queue, job, now);
	if (jf_job_is_classification(job))
		atomic_store(&s->urgent, true);
	if (job->deadline_ns && job->deadline_ns < s->next_deadline_ns) {
		s->next_deadline_ns = job->deadline_ns;
		pthread_cond_signal(&s->tick);
	}
	if (job->n > 1)
		pthread_cond_broadcast(&s->work);
	else
		pthread_cond_signal(&s->work);
}

enum jf_admission jf_scheduler_submit(
    struct jf_scheduler *s, struct jf_job *job, int *retry_after_s, struct jf_error *err) {
	enum jf_admission answer = JF_ADMITTED;
	int retry = 1;
	if (check_job(job, err) != JF_OK) {
		answer = JF_REFUSED_INVALID;
		goto out;
	}
	long cost = jf_job_cost(job);
	job->q.item_cost = cost / job->n;
	int64_t now = jf_clock_ns();

	pthread_mutex_lock(&s->lock);
	answer = decide(s, job, cost, now, &retry);
	if (answer == JF_ADMITTED)
		enqueue(s, job, now);
	pthread_mutex_unlock(&s->lock);
	if (answer == JF_REFUSED_LARGE)
		jf_error_set(err, JF_ELIMIT,
		    "it takes %ld network evaluations, at most %ld are admitted (queue_capacity)", cost,
		    s->options.capacity);
	else if (answer != JF_ADMITTED)
		jf_error_set(err, JF_ELIMIT, "refused: %s", jf_rejection_name(reasons[answer]));
out:
	if (retry_after_s)
		*retry_after_s = retry;
	if (answer != JF_ADMITTED)
		jf_metric_reject(s->options.metrics, reasons[answer]);
	return answer;
}

double jf_scheduler_seconds_alone(struct jf_scheduler *s, const struct jf_job *job) {
	pthread_mutex_lock(&s->lock);
	bool measured = s->speed[jf_job_is_classification(job)].seconds > 0;
	double seconds = measured ? seconds_alone(s, job, (double)jf_job_cost(job)) : 0;
	pthread_mutex_unlock(&s->lock);
	return seconds;
}

int jf_scheduler_retry_after_s(struct jf_scheduler *s) {
	pthread_mutex_lock(&s->lock);
	double seconds = seconds_for(s, false, (double)s->cost_outstanding[0], s->options.workers) +
			 seconds_for(s, true, (double)s->cost_outstanding[1], s->options.workers);
	pthread_mutex_unlock(&s->lock);
	return whole_seconds(seconds);
}

void jf_scheduler_cancel(struct jf_scheduler *s, struct jf_job *job) {
	pthread_mutex_lock(&s->lock);
	/* a job that was never admitted has no time of submission */
	if (job->submitted_ns && jf_dispatch_begin_end(s, job, JF_JOB_CANCELED))
		jf_dispatch_push_to_end(s, job);
	pthread_mutex_unlock(&s->lock);
}

/* Asks every worker for this and waits until all have done it, which none does later than after its step. */
static enum jf_err run_stage(
    struct jf_scheduler *s, enum jf_stage stage, struct jf_model *model, struct jf_error *err) {
	pthread_mutex_lock(&s->lock);
	if (s->stopping) {
		pthread_mutex_unlock(&s->lock);
		return jf_error_set(err, JF_ECANCELED, "the workers are stopping");
	}
	s->stage = stage;
	s->next_model = model;
	s->answers_left = s->n_started;
	s->stage_error.code = JF_OK;
	atomic_fetch_add(&s->stages, 1);
	pthread_cond_broadcast(&s->work);
	while (s->answers_left > 0)
		pthread_cond_wait(&s->changed, &s->lock);
	s->next_model = NULL;
	enum jf_err rc = s->stage_error.code;
	if (rc != JF_OK && err)
		*err = s->stage_error;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

enum jf_err jf_scheduler_prepare(struct jf_scheduler *s, struct jf_model *model, struct jf_error *err) {
	enum jf_err rc = run_stage(s, JF_STAGE_PREPARE, model, err);
	if (rc != JF_OK)
		run_stage(s, JF_STAGE_ABORT, NULL, NULL);
	return rc;
}

void jf_scheduler_commit(struct jf_scheduler *s) {
	run_stage(s, JF_STAGE_COMMIT, NULL, NULL);
}

/* --- life --- */

static void init_condition(pthread_cond_t *condition) {
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* A rate over a counter sees its first increment only if it was there before, at zero. */
static void announce_counters(struct jf_metrics *metrics) {
	for (int i = 0; i < JF_N_JOB_KINDS; i++) {
		const char *task = jf_job_kind_name((enum jf_job_kind)i);
		jf_metric_add(metrics, JF_METRIC_STEPS, 0, JF_LABELS(task));
		for (int end = 0; end < JF_N_JOB_ENDS; end++)
			jf_metric_add(
			    metrics, JF_METRIC_JOBS, 0, JF_LABELS(task, jf_job_end_name((enum jf_job_end)end)));
	}
	for (int end = JF_JOB_CANCELED; end <= JF_JOB_SHUTDOWN; end++)
		for (int running = 0; running < 2; running++)
			jf_metric_add(metrics, JF_METRIC_CANCELLATIONS, 0,
			    JF_LABELS(running ? "running" : "queued", jf_job_end_name((enum jf_job_end)end)));
}

struct jf_scheduler *jf_scheduler_create(const struct jf_scheduler_options *options, struct jf_error *err) {
	if (options->workers < 1 || options->workers > 256 || options->max_batch < 1 ||
	    options->max_batch > JF_MAX_BATCH || options->capacity < 1) {
		jf_error_set(err, JF_EINVAL, "scheduler: %d workers, batches of %d, capacity %ld", options->workers,
		    options->max_batch, options->capacity);
		return NULL;
	}
	struct jf_scheduler *s = calloc(1, sizeof(*s));
	if (!s) {
		jf_error_set(err, JF_ENOMEM, "no memory for the scheduler");
		return NULL;
	}
	s->options = *options;
	announce_counters(options->metrics);
	s->queue.ageing_ns = (int64_t)options->ageing_ms * 1000000;
	s->next_deadline_ns = INT64_MAX;
	pthread_mutex_init(&s->lock, NULL);
	init_condition(&s->work);
	init_condition(&s->tick);
	init_condition(&s->changed);
	s->workers = calloc((size_t)options->workers, sizeof(*s->workers));
	int failed = !s->workers ? ENOMEM : pthread_create(&s->timer, NULL, jf_dispatch_timer_main, s);
	s->timer_started = !failed;
	for (int i = 0; i < options->workers && !failed; i++) {
		s->workers[i].scheduler = s;
		s->workers[i].index = i;
		atomic_init(&s->workers[i].beat_ns, jf_clock_ns());
		failed = pthread_create(&s->workers[i].thread, NULL, jf_worker_main, &s->workers[i]);
		s->n_started += !failed;
	}
	if (failed) {
		jf_error_set(err, JF_ENOMEM, "cannot start %d worker threads: %s", options->workers, strerror(failed));
		jf_scheduler_destroy(s);
		return NULL;
	}
	return s;
}

void jf_scheduler_drain(struct jf_scheduler *s) {
	pthread_mutex_lock(&s->lock);
	s->draining = true;
	pthread_cond_broadcast(&s->work); /* nobody waits for a batch to fill any more */
	pthread_mutex_unlock(&s->lock);
}

bool jf_scheduler_wait_idle(struct jf_scheduler *s, int timeout_ms) {
	struct timespec until = jf_to_timespec(jf_clock_ns() + (int64_t)timeout_ms * 1000000);
	int rc = 0;
	pthread_mutex_lock(&s->lock);
	while (s->outstanding > 0 && rc == 0)
		rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
	bool idle = s->outstanding == 0;
	pthread_mutex_unlock(&s->lock);
	return idle;
}

void jf_scheduler_stop(struct jf_scheduler *s) {
	pthread_mutex_lock(&s->lock);
	if (s->joined) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	s->draining = s->stopping = s->joined = true;
	for (struct jf_job *job = s->all, *next; job; job = next) {
		next = job->q.all_next; /* ending it takes it off the list */
		if (jf_dispatch_begin_end(s, job, JF_JOB_SHUTDOWN))
			jf_dispatch_push_to_end(s, job);
	}
	pthread_cond_broadcast(&s->work);
	pthread_cond_broadcast(&s->tick);
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < s->n_started; i++)
		pthread_join(s->workers[i].thread, NULL);
	if (s->timer_started)
		pthread_join(s->timer, NULL);
}

void jf_scheduler_destroy(struct jf_scheduler *s) {
	if (!s)
		return;
	jf_scheduler_stop(s);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->tick);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s->workers);
	free(s);
}

/* --- what others may know --- */

void jf_scheduler_stats(struct jf_scheduler *s, struct jf_scheduler_stats *stats) {
	pthread_mutex_lock(&s->lock);
	int queued = 0;
	for (const struct jf_job *job = s->queue.head; job; job = job->q.next)
		queued += job->q.taken == 0;
	*stats = (struct jf_scheduler_stats){.workers = s->options.workers,
	    .workers_busy = atomic_load(&s->in_batch),
	    .jobs_queued = queued,
	    .jobs_outstanding = s->outstanding - s->handing_back,
	    .cost_outstanding = s->cost_outstanding[0] + s->cost_outstanding[1],
	    .capacity = s->options.capacity,
	    .draining = s->draining};
	pthread_mutex_unlock(&s->lock);
}

void jf_scheduler_publish(struct jf_scheduler *s) {
	struct jf_scheduler_stats stats;
	struct jf_metrics *metrics = s->options.metrics;
	jf_scheduler_stats(s, &stats);
	jf_metric_set(metrics, JF_METRIC_QUEUE_COST, (double)stats.cost_outstanding, NULL);
	jf_metric_set(metrics, JF_METRIC_QUEUE_CAPACITY, (double)stats.capacity, NULL);
	jf_metric_set(metrics, JF_METRIC_QUEUE_JOBS, stats.jobs_queued, NULL);
	jf_metric_set(metrics, JF_METRIC_WORKERS, stats.workers, NULL);
	jf_metric_set(metrics, JF_METRIC_WORKERS_BUSY, stats.workers_busy, NULL);
}

/* The timer sleeps until a deadline comes near, and only what nobody is answered would tell that it hangs. */
static bool timer_alive(struct jf_scheduler *s, int stall_ms) {
	if (jf_beat_ask(&s->timer_beat, stall_ms)) {
		pthread_mutex_lock(&s->lock); /* it is not between its answer and its sleep */
		pthread_cond_signal(&s->tick);
		pthread_mutex_unlock(&s->lock);
	}
	return jf_beat_is_alive(&s->timer_beat, stall_ms);
}

bool jf_scheduler_alive(struct jf_scheduler *s, int stall_ms) {
	int64_t now = jf_clock_ns(), stall_ns = (int64_t)stall_ms * 1000000;
	bool idle = false; /* for longer than stall_ms */
	if (!timer_alive(s, stall_ms))
		return false;
	for (int i = 0; i < s->n_started; i++) {
		bool still = now - atomic_load(&s->workers[i].beat_ns) > stall_ns;
		if (still && atomic_load(&s->workers[i].busy))
			return false;
		idle = idle || still;
	}
	if (!idle)
		return true;
	/* A worker has been free for long, so nothing may have been waiting for long. */
	pthread_mutex_lock(&s->lock);
	int64_t oldest = INT64_MAX;
	for (const struct jf_job *job = s->queue.head; job; job = job->q.next)
		if (job->q.queued_ns < oldest)
			oldest = job->q.queued_ns;
	pthread_mutex_unlock(&s->lock);
	return oldest == INT64_MAX || now - oldest <= stall_ns + (int64_t)s->options.max_queue_delay_us * 1000;
}
