/* Queue and workers with the real engine on a small model. Also runs under ThreadSanitizer. */
#include "config.h"

#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/questions/score.h"
#include "core/questions/tasks.h"
#include "daemon/work/dispatch.h"
#include "daemon/work/scheduler.h"
#include "tests/unit/small_model.h"

#define WAIT_S 60 /* far more than anything takes, sanitizers included */

static struct jf_model *model;
static struct jf_metrics *metrics;

/* What the submitter keeps for a job. */
struct ticket {
	struct jf_job *job;
	sem_t done;
	atomic_int n_done, n_steps, last_step;
	sem_t *gate;   /* a step callback waits here: holds a worker still */
	sem_t entered; /* posted when a step callback begins to wait */
	bool out_of_order;
};

static void on_done(void *context, struct jf_job *job) {
	struct ticket *ticket = context;
	assert_ptr_equal(ticket->job, job);
	atomic_fetch_add(&ticket->n_done, 1);
	sem_post(&ticket->done);
}

static void on_step(void *context, struct jf_job *job, const struct jf_job_step *step) {
	struct ticket *ticket = context;
	(void)job;
	if (job->n == 1 && step->step != atomic_load(&ticket->last_step) + 1)
		ticket->out_of_order = true;
	atomic_store(&ticket->last_step, step->step);
	atomic_fetch_add(&ticket->n_steps, 1);
	if (ticket->gate) {
		sem_post(&ticket->entered);
		sem_wait(ticket->gate);
	}
}

static bool wait_for(sem_t *semaphore, int seconds) {
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	return sem_timedwait(semaphore, &until) == 0;
}

static void wait_done(struct ticket *ticket) {
	assert_true(wait_for(&ticket->done, WAIT_S));
	assert_int_equal(atomic_load(&ticket->n_done), 1);
}

static void make_edit(struct jf_job *job, unsigned variant) {
	job->args.start = variant % 2 ? 0.7f : 0.4f;
	job->args.repeats = 1 + (int)(variant % 2);
	job->counterfactual = variant % 3 == 1;
	if (variant % 2 == 0)
		return;
	job->redraw = calloc(64, sizeof(*job->redraw));
	assert_non_null(job->redraw);
	for (int p = 0; p < 64; p += 1 + (int)variant)
		job->redraw[p] = true;
	for (int i = 0; i < job->n; i++)
		job->items[i].redraw = job->redraw;
}

/* A job whose inputs follow from `variant` alone. */
static struct ticket *make(enum jf_job_kind kind, int n, int steps, unsigned variant) {
	struct jf_error error;
	struct ticket *ticket = calloc(1, sizeof(*ticket));
	assert_non_null(ticket);
	sem_init(&ticket->done, 0, 0);
	sem_init(&ticket->entered, 0, 0);
	struct jf_job *job = ticket->job = jf_job_create(model, kind, n, &error);
	assert_non_null(job);
	size_t pixels = 64, classes = 5;
	if (jf_job_is_classification(job) || jf_job_is_scoring(job) || kind == JF_JOB_EDIT) {
		assert_int_equal(jf_job_alloc_images(job, n, &error), JF_OK);
		jf_rng_uniform(job->images, pixels * (size_t)n, variant, JF_STREAM_EVAL, 0);
	}
	if (kind == JF_JOB_GENERATE || (kind == JF_JOB_EDIT && variant % 3)) {
		assert_int_equal(jf_job_alloc_labels(job, n, &error), JF_OK);
		jf_rng_normal(job->labels, classes * (size_t)n, variant, JF_STREAM_EVAL, 0);
	}
	for (int i = 0; i < n; i++)
		job->items[i] = (struct jf_trajectory){.seed = variant,
		    .index = (uint64_t)i,
		    .image = job->images ? job->images + pixels * (size_t)i : NULL,
		    .label = job->labels ? job->labels + classes * (size_t)i : NULL};
	job->args.steps = steps;
	job->args.solver = variant % 2 ? JF_SOLVER_HEUN : JF_SOLVER_EULER;
	job->args.guidance = variant % 3 ? 1.0f : 2.0f;
	job->draws = (1 + (int)(variant % 2)) * (jf_job_is_scoring(job) ? 2 : 1);
	if (kind == JF_JOB_EDIT)
		make_edit(job, variant);
	job->done = on_done;
	job->context = ticket;
	return ticket;
}

static void discard(struct ticket *ticket) {
	jf_job_unref(ticket->job);
	sem_destroy(&ticket->done);
	sem_destroy(&ticket->entered);
	free(ticket);
}

static struct jf_scheduler *scheduler_of(int workers, int max_batch, long capacity) {
	struct jf_error error;
	struct jf_scheduler_options options = {
	    .workers = workers, .max_batch = max_batch, .capacity = capacity, .ageing_ms = 2000, .metrics = metrics};
	struct jf_scheduler *scheduler = jf_scheduler_create(&options, &error);
	assert_non_null(scheduler);
	assert_int_equal(jf_scheduler_prepare(scheduler, model, &error), JF_OK);
	jf_scheduler_commit(scheduler);
	return scheduler;
}

static enum jf_admission submit(struct jf_scheduler *scheduler, struct ticket *ticket) {
	return jf_scheduler_submit(scheduler, ticket->job, NULL, NULL);
}

/* A generation that holds a worker in its first step until sem_post(gate). */
static struct ticket *block_worker(struct jf_scheduler *scheduler, sem_t *gate, int steps) {
	struct ticket *ticket = make(JF_JOB_GENERATE, 1, steps, 0);
	ticket->gate = gate;
	ticket->job->step = on_step;
	assert_int_equal(submit(scheduler, ticket), JF_ADMITTED);
	assert_true(wait_for(&ticket->entered, WAIT_S));
	return ticket;
}

static void release(struct ticket *ticket, sem_t *gate, int steps) {
	for (int i = 0; i < steps; i++)
		sem_post(gate);
	wait_done(ticket);
	discard(ticket);
}

static void assert_same(const float *a, const float *b, size_t n) {
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_memory_equal(a, b, n * sizeof(*a));
}

/* --- bytes --- */

#define N_JOBS 48

static struct ticket *mixed(int i) {
	static const int sizes[] = {1, 1, 3, 9, 1, 20};
	return make((enum jf_job_kind)(i % JF_N_JOB_KINDS), sizes[i % 6], 3 + i % 2, (unsigned)(i % 11));
}

/* The same jobs one at a time on one worker in batches of one, and all at once on three workers in batches of eight. */
static void test_same_bytes(void **state) {
	struct ticket *alone[N_JOBS], *together[N_JOBS];
	(void)state;
	struct jf_scheduler *single = scheduler_of(1, 1, 1000000);
	for (int i = 0; i < N_JOBS; i++) {
		alone[i] = mixed(i);
		assert_int_equal(submit(single, alone[i]), JF_ADMITTED);
		wait_done(alone[i]);
	}
	jf_scheduler_destroy(single);
	struct jf_scheduler *busy = scheduler_of(3, 8, 1000000);
	int largest = 0;
	for (int i = 0; i < N_JOBS; i++) {
		together[i] = mixed(i);
		assert_int_equal(submit(busy, together[i]), JF_ADMITTED);
	}
	for (int i = 0; i < N_JOBS; i++) {
		const struct jf_job *a = alone[i]->job, *b = together[i]->job;
		size_t n = (size_t)a->n;
		wait_done(together[i]);
		assert_int_equal(a->end, JF_JOB_DONE);
		assert_int_equal(b->end, JF_JOB_DONE);
		assert_same(a->out_images, b->out_images, n * 64);
		assert_same(a->out_labels, b->out_labels, n * 5);
		assert_same(a->out_probabilities, b->out_probabilities, n * 5);
		assert_same(a->out_originals, b->out_originals, n * 5);
		assert_same(a->out_strengths, b->out_strengths, n);
		if (a->out_log_p)
			assert_memory_equal(a->out_log_p, b->out_log_p, n * 2 * 6 * sizeof(double));
		assert_int_equal(a->max_batch_seen, 1);
		assert_true(b->started_ns >= b->submitted_ns && b->finished_ns >= b->started_ns);
		if (b->max_batch_seen > largest)
			largest = b->max_batch_seen;
	}
	assert_int_equal(largest, 8);
	jf_scheduler_destroy(busy);
	/* different seeds do give different bytes */
	assert_memory_not_equal(
	    alone[2]->job->out_images, alone[2 + JF_N_JOB_KINDS]->job->out_images, 64 * sizeof(float));
	for (int i = 0; i < N_JOBS; i++) {
		discard(alone[i]);
		discard(together[i]);
	}
}

static void test_steps(void **state) {
	(void)state;
	struct jf_scheduler *scheduler = scheduler_of(1, 8, 1000);
	struct ticket *ticket = make(JF_JOB_SAMPLE, 1, 7, 1);
	ticket->job->step = on_step;
	assert_int_equal(submit(scheduler, ticket), JF_ADMITTED);
	wait_done(ticket);
	assert_int_equal(atomic_load(&ticket->n_steps), 7);
	assert_false(ticket->out_of_order);
	assert_int_equal(ticket->job->steps_done, 7);
	discard(ticket);
	ticket = make(JF_JOB_GENERATE, 5, 4, 1);
	ticket->job->step = on_step;
	assert_int_equal(submit(scheduler, ticket), JF_ADMITTED);
	wait_done(ticket);
	assert_int_equal(atomic_load(&ticket->n_steps), 20);
	discard(ticket);
	ticket = make(JF_JOB_EDIT, 1, 4, 5); /* each step twice, and told of once */
	ticket->job->step = on_step;
	assert_int_equal(submit(scheduler, ticket), JF_ADMITTED);
	wait_done(ticket);
	assert_int_equal(ticket->job->args.repeats, 2);
	assert_int_equal(atomic_load(&ticket->n_steps), 4);
	assert_false(ticket->out_of_order);
	assert_int_equal(ticket->job->steps_done, 8);
	discard(ticket);
	jf_scheduler_destroy(scheduler);
}

/* The workers' edits are those of jf_edit, a counterfactual's least strength included. */
static void test_edit_is_the_plain_call(void **state) {
	(void)state;
	struct jf_scheduler *scheduler = scheduler_of(2, 8, 100000);
	for (unsigned variant = 3; variant < 6; variant++) {
		struct ticket *ticket = make(JF_JOB_EDIT, 5, 3, variant);
		struct jf_job *job = ticket->job;
		struct jf_task_options o = jf_task_options_default();
		float images[5 * 64], probabilities[5 * 5], strengths[5], label[5], original[5];
		struct jf_error error;
		for (int i = 0; i < 5; i++) { /* of one picture, under one label */
			job->items[i].image = job->images;
			job->items[i].label = job->labels;
		}
		assert_int_equal(submit(scheduler, ticket), JF_ADMITTED);
		wait_done(ticket);
		o.sampler = job->args;
		o.seed = variant;
		assert_int_equal(
		    jf_edit(model, &(struct jf_edited){images, label, original, probabilities, strengths},
			&(struct jf_edit){job->images, job->redraw, job->labels, job->counterfactual}, 5, &o, &error),
		    JF_OK);
		assert_same(job->out_images, images, 5 * 64);
		assert_same(job->out_probabilities, probabilities, 5 * 5);
		assert_same(job->out_strengths, strengths, 5);
		assert_same(job->out_labels, label, 5);
		assert_same(job->out_originals, original, 5);
		discard(ticket);
	}
	jf_scheduler_destroy(scheduler);
}

/* The workers' likelihoods are those of the plain calls, also while classifications pass between the draws. */
static void test_score_is_the_plain_call(void **state) {
	(void)state;
	struct jf_scheduler *scheduler = scheduler_of(1, 8, 100000);
	struct ticket *score = make(JF_JOB_SCORE, 2, 1, 3), *likelihood = make(JF_JOB_LIKELIHOOD, 2, 1, 4);
	struct ticket *passing[20];
	struct jf_error error;
	struct jf_scorer *scorer = jf_scorer_create(model, &error);
	assert_non_null(scorer);
	score->job->draws = likelihood->job->draws = 40;
	assert_int_equal(submit(scheduler, score), JF_ADMITTED);
	assert_int_equal(submit(scheduler, likelihood), JF_ADMITTED);
	for (int i = 0; i < 20; i++) {
		passing[i] = make(i % 2 ? JF_JOB_CLASSIFY : JF_JOB_POSTERIOR, 1, 3, (unsigned)i);
		assert_int_equal(submit(scheduler, passing[i]), JF_ADMITTED);
	}
	wait_done(score);
	wait_done(likelihood);
	for (int i = 0; i < 2; i++) {
		struct jf_task_options o = jf_task_options_default();
		struct jf_score_args args = {.draws = 40, .seed = 3, .index = (uint64_t)i};
		double log_p[12];
		float p[5];
		assert_int_equal(
		    jf_scorer_score(scorer, log_p, log_p + 6, score->job->items[i].image, &args, &error), JF_OK);
		assert_memory_equal(score->job->out_log_p + i * 12, log_p, sizeof(log_p));
		jf_score_bayes(p, log_p, 5);
		assert_same(score->job->out_probabilities + i * 5, p, 5);
		assert_int_equal(jf_classify_posterior(model, p, score->job->items[i].image, 1, 1, &o, &error), JF_OK);
		assert_same(score->job->out_originals + i * 5, p, 5);
		args.seed = 4;
		assert_int_equal(jf_scorer_classify(scorer, p, likelihood->job->items[i].image, &args, &error), JF_OK);
		assert_same(likelihood->job->out_probabilities + i * 5, p, 5);
		assert_true(likelihood->job->out_familiarity[i] < 0); /* this model is not calibrated */
	}
	assert_int_equal(score->job->steps_done, 40);
	for (int i = 0; i < 20; i++) {
		wait_done(passing[i]);
		assert_int_equal(passing[i]->job->end, JF_JOB_DONE);
		discard(passing[i]);
	}
	jf_scorer_destroy(scorer);
	discard(score);
	discard(likelihood);
	/* what nobody waits for any more ends between two draws */
	score = make(JF_JOB_SCORE, 1, 1, 3);
	score->job->draws = JF_MAX_SCORE_DRAWS;
	assert_int_equal(submit(scheduler, score), JF_ADMITTED);
	jf_scheduler_cancel(scheduler, score->job);
	wait_done(score);
	assert_int_equal(score->job->end, JF_JOB_CANCELED);
	assert_true(score->job->steps_done < JF_MAX_SCORE_DRAWS);
	discard(score);
	score = make(JF_JOB_SCORE, 1, 1, 3);
	score->job->draws = 3;
	assert_int_equal(submit(scheduler, score), JF_REFUSED_INVALID);
	discard(score);
	jf_scheduler_destroy(scheduler);
}

/* --- batching, splitting, order --- */

static void test_batching(void **state) {
	struct ticket *tickets[5];
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 1000);
	struct ticket *blocker = block_worker(scheduler, &gate, 1);
	for (int i = 0; i < 5; i++) {
		tickets[i] = make(JF_JOB_POSTERIOR, 1, 1, 2);
		assert_int_equal(submit(scheduler, tickets[i]), JF_ADMITTED);
	}
	release(blocker, &gate, 1);
	for (int i = 0; i < 5; i++) {
		wait_done(tickets[i]);
		assert_int_equal(tickets[i]->job->max_batch_seen, i < 4 ? 4 : 1);
		discard(tickets[i]);
	}
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

/* With a delay a lone free worker waits for company; a full batch does not wait. */
static void test_queue_delay(void **state) {
	struct jf_error error;
	struct ticket *tickets[4];
	(void)state;
	struct jf_scheduler_options options = {.workers = 1,
	    .max_batch = 4,
	    .capacity = 1000,
	    .ageing_ms = 2000,
	    .max_queue_delay_us = 900000,
	    .metrics = metrics};
	struct jf_scheduler *scheduler = jf_scheduler_create(&options, &error);
	assert_non_null(scheduler);
	int64_t start = jf_clock_ns();
	for (int i = 0; i < 4; i++) {
		tickets[i] = make(JF_JOB_POSTERIOR, 1, 1, 2);
		assert_int_equal(submit(scheduler, tickets[i]), JF_ADMITTED);
	}
	for (int i = 0; i < 4; i++) {
		wait_done(tickets[i]);
		assert_int_equal(tickets[i]->job->max_batch_seen, 4);
		discard(tickets[i]);
	}
	assert_true(jf_clock_ns() - start < INT64_C(900000000));
	tickets[0] = make(JF_JOB_POSTERIOR, 1, 1, 2);
	assert_int_equal(submit(scheduler, tickets[0]), JF_ADMITTED);
	wait_done(tickets[0]);
	assert_true(tickets[0]->job->started_ns - tickets[0]->job->submitted_ns >= INT64_C(900000000));
	discard(tickets[0]);
	jf_scheduler_destroy(scheduler);
}

/* Two items of one job are on two workers at the same time: both step callbacks wait, each on its own thread. */
static void test_splitting(void **state) {
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(2, 16, 1000);
	struct ticket *ticket = make(JF_JOB_GENERATE, 8, 2, 1);
	ticket->gate = &gate;
	ticket->job->step = on_step;
	assert_int_equal(submit(scheduler, ticket), JF_ADMITTED);
	assert_true(wait_for(&ticket->entered, WAIT_S));
	assert_true(wait_for(&ticket->entered, WAIT_S));
	for (int i = 0; i < 16; i++)
		sem_post(&gate);
	wait_done(ticket);
	assert_int_equal(ticket->job->max_batch_seen, 4);
	discard(ticket);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

/* One worker inside a long generation: a classification passes between two of its steps. */
static void test_classification_passes(void **state) {
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 100000);
	struct ticket *blocker = block_worker(scheduler, &gate, 50);
	struct ticket *waiting = make(JF_JOB_GENERATE, 1, 5, 1);
	struct ticket *posterior = make(JF_JOB_POSTERIOR, 1, 1, 1);
	struct ticket *classify = make(JF_JOB_CLASSIFY, 2, 5, 1);
	assert_int_equal(submit(scheduler, waiting), JF_ADMITTED);
	assert_int_equal(submit(scheduler, posterior), JF_ADMITTED);
	sem_post(&gate);
	wait_done(posterior);
	/* the label integration came later than the generation, whose rank is 100 ms behind its arrival: still
	 * earlier */
	assert_int_equal(submit(scheduler, classify), JF_ADMITTED);
	assert_true(wait_for(&blocker->entered, WAIT_S));
	sem_post(&gate);
	int passed = sem_trywait(&classify->done) == 0;
	assert_true(wait_for(&blocker->entered, WAIT_S));
	assert_int_equal(atomic_load(&blocker->n_done), 0);
	assert_int_equal(atomic_load(&waiting->n_done), 0);
	release(blocker, &gate, 50);
	if (!passed)
		wait_done(classify);
	wait_done(waiting);
	discard(waiting);
	discard(posterior);
	discard(classify);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

/* However long ago the generation began, each batch of a label integration waits for one of its steps only. */
static void test_label_integration_passes(void **state) {
	sem_t gate;
	struct jf_error error;
	struct jf_scheduler_options options = {
	    .workers = 1, .max_batch = 4, .capacity = 100000, .ageing_ms = 0, .metrics = metrics};
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = jf_scheduler_create(&options, &error);
	assert_non_null(scheduler);
	struct ticket *blocker = block_worker(scheduler, &gate, 5);
	struct ticket *classify = make(JF_JOB_CLASSIFY, 9, 5, 1); /* three batches */
	assert_int_equal(submit(scheduler, classify), JF_ADMITTED);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sem_trywait(&classify->done), -1);
		sem_post(&gate);
		assert_true(wait_for(&blocker->entered, WAIT_S)); /* its next step */
	}
	assert_int_equal(sem_trywait(&classify->done), 0);
	release(blocker, &gate, 2);
	discard(classify);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

/* --- admission --- */

static void test_admission(void **state) {
	sem_t gate;
	int retry = 0;
	struct jf_error error;
	struct jf_scheduler_stats stats;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 100);
	double refused = jf_metric_value(metrics, JF_METRIC_REJECTIONS, JF_LABELS("full"));
	struct ticket *blocker = block_worker(scheduler, &gate, 10); /* guided: cost 20 */
	struct ticket *fits = make(JF_JOB_GENERATE, 4, 20, 2);       /* 80 */
	struct ticket *theirs = make(JF_JOB_POSTERIOR, 12, 1, 0);    /* the eighth that only classifications get */
	struct ticket *one = make(JF_JOB_POSTERIOR, 1, 1, 0);        /* 1 */
	struct ticket *more = make(JF_JOB_GENERATE, 1, 1, 0);
	struct ticket *late = make(JF_JOB_POSTERIOR, 1, 1, 0);
	assert_int_equal(submit(scheduler, fits), JF_ADMITTED);
	assert_int_equal(submit(scheduler, more), JF_REFUSED_FULL);
	assert_int_equal(submit(scheduler, theirs), JF_ADMITTED);
	int64_t before = jf_clock_ns();
	assert_int_equal(jf_scheduler_submit(scheduler, one->job, &retry, &error), JF_REFUSED_FULL);
	assert_true(jf_clock_ns() - before < INT64_C(1000000000)); /* at once, though the worker stands still */
	assert_true(retry >= 1 && retry <= 60);
	assert_int_equal(error.code, JF_ELIMIT);
	assert_true(jf_metric_value(metrics, JF_METRIC_REJECTIONS, JF_LABELS("full")) > refused + 0.5);
	jf_scheduler_stats(scheduler, &stats);
	assert_int_equal(stats.cost_outstanding, 112);
	assert_int_equal(stats.jobs_outstanding, 3);
	assert_int_equal(stats.jobs_queued, 2);
	assert_int_equal(stats.workers_busy, 1);
	jf_scheduler_publish(scheduler);
	assert_int_equal((int)jf_metric_value(metrics, JF_METRIC_QUEUE_COST, NULL), 112);

	jf_scheduler_cancel(scheduler, fits->job); /* its cost is free at once */
	wait_done(fits);
	assert_int_equal(submit(scheduler, one), JF_ADMITTED);
	late->job->deadline_ns = jf_clock_ns() - 1;
	assert_int_equal(submit(scheduler, late), JF_REFUSED_DEADLINE);
	release(blocker, &gate, 10);
	wait_done(one);
	wait_done(theirs);
	assert_true(jf_scheduler_wait_idle(scheduler, 1000 * WAIT_S));
	jf_scheduler_stats(scheduler, &stats);
	assert_int_equal(stats.cost_outstanding, 0);

	/* a job above the whole capacity never fits, not even alone; one that fills it does */
	struct ticket *huge = make(JF_JOB_GENERATE, 26, 2, 0); /* guided: 104 */
	struct ticket *whole = make(JF_JOB_GENERATE, 50, 2, 2);
	assert_int_equal(jf_scheduler_submit(scheduler, huge->job, &retry, &error), JF_REFUSED_LARGE);
	assert_non_null(strstr(error.message, "104 network evaluations, at most 100"));
	assert_int_equal(submit(scheduler, whole), JF_ADMITTED);
	wait_done(whole);
	jf_scheduler_drain(scheduler);
	struct ticket *after = make(JF_JOB_POSTERIOR, 1, 1, 0);
	assert_int_equal(submit(scheduler, after), JF_REFUSED_DRAINING);
	assert_int_equal(atomic_load(&after->n_done), 0);
	discard(after);
	discard(huge);
	discard(whole);
	discard(more);
	discard(theirs);
	discard(fits);
	discard(one);
	discard(late);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

static void test_invalid(void **state) {
	struct jf_error error;
	(void)state;
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 100);
	for (int i = 0; i < 8; i++) {
		struct ticket *ticket = make(i < 4 ? JF_JOB_GENERATE : JF_JOB_POSTERIOR, 3, 5, 1);
		struct jf_job *job = ticket->job;
		switch (i) {
		case 0:
			job->args.steps = 0;
			break;
		case 1:
			job->args.guidance = (float)NAN;
			break;
		case 2:
			job->labels[7] = (float)INFINITY;
			break;
		case 3:
			job->items[1].label = NULL;
			break;
		case 4:
			job->draws = 0;
			break;
		case 5:
			job->images[191] = (float)NAN;
			break;
		case 6:
			job->items[2].image = NULL;
			break;
		default:
			job->kind = JF_JOB_CLASSIFY;
			job->args.solver = JF_N_SOLVERS;
			break;
		}
		assert_int_equal(jf_scheduler_submit(scheduler, job, NULL, &error), JF_REFUSED_INVALID);
		assert_int_equal(error.code, JF_EINVAL);
		discard(ticket);
	}
	jf_scheduler_destroy(scheduler);
}

/* --- ending early --- */

static void test_cancel(void **state) {
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 10000);
	double queued = jf_metric_value(metrics, JF_METRIC_CANCELLATIONS, JF_LABELS("queued", "canceled"));
	double running = jf_metric_value(metrics, JF_METRIC_CANCELLATIONS, JF_LABELS("running", "canceled"));
	struct ticket *blocker = block_worker(scheduler, &gate, 1000);
	struct ticket *waiting = make(JF_JOB_GENERATE, 3, 5, 1);
	assert_int_equal(submit(scheduler, waiting), JF_ADMITTED);
	jf_scheduler_cancel(scheduler, waiting->job);
	jf_scheduler_cancel(scheduler, waiting->job); /* once more does no harm */
	wait_done(waiting);                           /* though the only worker stands still */
	assert_int_equal(waiting->job->end, JF_JOB_CANCELED);
	assert_int_equal(waiting->job->started_ns, 0);
	assert_int_equal(atomic_load(&blocker->n_done), 0);

	jf_scheduler_cancel(scheduler, blocker->job);
	sem_post(&gate);
	wait_done(blocker); /* 999 steps were left */
	assert_int_equal(blocker->job->end, JF_JOB_CANCELED);
	assert_int_equal(blocker->job->steps_done, 1);
	jf_scheduler_cancel(scheduler, blocker->job); /* after the end: nothing */
	assert_true(jf_metric_value(metrics, JF_METRIC_CANCELLATIONS, JF_LABELS("queued", "canceled")) > queued + 0.5);
	assert_true(
	    jf_metric_value(metrics, JF_METRIC_CANCELLATIONS, JF_LABELS("running", "canceled")) > running + 0.5);

	struct ticket *never = make(JF_JOB_GENERATE, 1, 5, 1);
	jf_scheduler_cancel(scheduler, never->job); /* never admitted */
	discard(never);
	discard(waiting);
	discard(blocker);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

/* One of a batch is cancelled between steps: the others go on to the same bytes. */
static void test_cancel_in_batch(void **state) {
	struct ticket *tickets[3], *reference;
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 8, 10000);
	reference = make(JF_JOB_SAMPLE, 1, 6, 3);
	assert_int_equal(submit(scheduler, reference), JF_ADMITTED);
	wait_done(reference);
	struct ticket *blocker = block_worker(scheduler, &gate, 1);
	for (int i = 0; i < 3; i++) {
		tickets[i] = make(JF_JOB_SAMPLE, 1, 6, i == 1 ? 5 : 3);
		tickets[i]->job->step = on_step;
		assert_int_equal(submit(scheduler, tickets[i]), JF_ADMITTED);
	}
	sem_t second;
	sem_init(&second, 0, 0);
	tickets[1]->gate = &second;
	release(blocker, &gate, 1);
	assert_true(wait_for(&tickets[1]->entered, WAIT_S));
	jf_scheduler_cancel(scheduler, tickets[1]->job);
	sem_post(&second);
	for (int i = 0; i < 3; i++) {
		wait_done(tickets[i]);
		assert_int_equal(tickets[i]->job->end, i == 1 ? JF_JOB_CANCELED : JF_JOB_DONE);
	}
	assert_same(tickets[0]->job->out_images, reference->job->out_images, 64);
	assert_same(tickets[2]->job->out_images, reference->job->out_images, 64);
	assert_int_equal(tickets[1]->job->steps_done, 1);
	assert_int_equal(tickets[0]->job->max_batch_seen, 3);
	for (int i = 0; i < 3; i++)
		discard(tickets[i]);
	discard(reference);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
	sem_destroy(&second);
}

static void test_deadline(void **state) {
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 100000);
	struct ticket *blocker = block_worker(scheduler, &gate, 1);
	struct ticket *waiting = make(JF_JOB_POSTERIOR, 1, 1, 1);
	waiting->job->deadline_ns = jf_clock_ns() + 50000000;
	assert_int_equal(submit(scheduler, waiting), JF_ADMITTED);
	wait_done(waiting);
	assert_int_equal(waiting->job->end, JF_JOB_DEADLINE);
	assert_true(waiting->job->finished_ns >= waiting->job->deadline_ns);
	assert_int_equal(waiting->job->started_ns, 0);
	release(blocker, &gate, 1);

	/* in a scheduler that has not seen yet how fast it is */
	jf_scheduler_destroy(scheduler);
	scheduler = scheduler_of(1, 4, 100000);
	struct ticket *running = make(JF_JOB_GENERATE, 16, 1000, 1); /* seconds of work */
	running->job->deadline_ns = jf_clock_ns() + 100000000;
	assert_true(jf_scheduler_seconds_alone(scheduler, running->job) == 0);
	assert_int_equal(submit(scheduler, running), JF_ADMITTED);
	wait_done(running);
	assert_int_equal(running->job->end, JF_JOB_DEADLINE);
	assert_true(running->job->steps_done < 1000);
	assert_true(strstr(running->job->error.message, "deadline") != NULL);

	/* now it has: what it could not finish is turned away at once, and told when to come again */
	struct ticket *hopeless = make(JF_JOB_GENERATE, 16, 1000, 2);
	struct jf_error error;
	int retry = 0;
	hopeless->job->deadline_ns = jf_clock_ns() + 100000000;
	assert_int_equal(jf_scheduler_submit(scheduler, hopeless->job, &retry, &error), JF_REFUSED_DEADLINE);
	assert_true(retry >= 1 && retry <= 60);
	assert_int_equal(atomic_load(&hopeless->n_done), 0);
	/* and that another time would be no better, as it would for what another job's work keeps from its deadline */
	assert_true(jf_scheduler_seconds_alone(scheduler, hopeless->job) > 0.1);
	struct ticket *quick = make(JF_JOB_GENERATE, 1, 1, 2);
	quick->job->deadline_ns = jf_clock_ns() + INT64_C(1000000000) * WAIT_S;
	assert_int_equal(submit(scheduler, quick), JF_ADMITTED);
	wait_done(quick);
	assert_int_equal(quick->job->end, JF_JOB_DONE);
	discard(quick);
	discard(hopeless);
	discard(waiting);
	discard(running);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

/* What would be done just before its deadline, if all that is ahead went as fast as before, is not admitted: half of
 * such work would be too late. */
static void test_deadline_with_time_to_spare(void **state) {
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 100000);
	struct ticket *ahead = block_worker(scheduler, &gate, 20);
	struct ticket *tight = make(JF_JOB_GENERATE, 1, 1, 1), *ample = make(JF_JOB_GENERATE, 1, 1, 1);
	int retry = 0;
	/* as if what is ahead took ten seconds */
	jf_dispatch_note_speed(scheduler, ahead->job, (double)jf_job_cost(ahead->job), INT64_C(10000000000));
	tight->job->deadline_ns = jf_clock_ns() + INT64_C(14000000000);
	assert_int_equal(jf_scheduler_submit(scheduler, tight->job, &retry, NULL), JF_REFUSED_DEADLINE);
	assert_in_range(retry, 1, 60);
	assert_true(jf_scheduler_seconds_alone(scheduler, tight->job) < 14);
	ample->job->deadline_ns = jf_clock_ns() + INT64_C(1000000000) * WAIT_S;
	assert_int_equal(submit(scheduler, ample), JF_ADMITTED);
	release(ahead, &gate, 20);
	wait_done(ample);
	assert_int_equal(ample->job->end, JF_JOB_DONE);
	discard(tight);
	discard(ample);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

/* An item whose numbers overflow takes nobody with it. */
static void test_numeric(void **state) {
	struct ticket *good[2], *bad, *reference;
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 8, 100000);
	reference = make(JF_JOB_GENERATE, 1, 4, 3);
	assert_int_equal(submit(scheduler, reference), JF_ADMITTED);
	wait_done(reference);
	struct ticket *blocker = block_worker(scheduler, &gate, 1);
	good[0] = make(JF_JOB_GENERATE, 1, 4, 3);
	bad = make(JF_JOB_GENERATE, 1, 4, 3);
	good[1] = make(JF_JOB_GENERATE, 1, 4, 3);
	for (int k = 0; k < 5; k++)
		bad->job->labels[k] = 3e38f;
	good[0]->job->step = on_step;
	assert_int_equal(submit(scheduler, good[0]), JF_ADMITTED);
	assert_int_equal(submit(scheduler, bad), JF_ADMITTED);
	assert_int_equal(submit(scheduler, good[1]), JF_ADMITTED);
	release(blocker, &gate, 1);
	wait_done(bad);
	assert_int_equal(bad->job->end, JF_JOB_FAILED);
	assert_int_equal(bad->job->error.code, JF_ENUMERIC);
	for (int i = 0; i < 2; i++) {
		wait_done(good[i]);
		assert_int_equal(good[i]->job->end, JF_JOB_DONE);
		assert_same(good[i]->job->out_images, reference->job->out_images, 64);
	}
	assert_int_equal(atomic_load(&good[0]->n_steps), 4);
	assert_false(good[0]->out_of_order);
	discard(good[0]);
	discard(good[1]);
	discard(bad);
	discard(reference);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

struct held {
	struct ticket *queued;
	sem_t *gate;
};

/* Lets the worker go on once a job that only a stop can end has ended: not before, or it would wait at its next step.
 */
static void *release_when_stopping(void *context) {
	const struct held *held = context;

	if (wait_for(&held->queued->done, WAIT_S))
		sem_post(held->gate);
	return NULL;
}

static void test_stop(void **state) {
	struct ticket *tickets[6];
	struct held held;
	pthread_t thread;
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 100000);
	struct ticket *blocker = block_worker(scheduler, &gate, 1000);
	for (int i = 0; i < 6; i++) {
		tickets[i] = make((enum jf_job_kind)(i % JF_N_JOB_KINDS), 2, 1000, (unsigned)i);
		assert_int_equal(submit(scheduler, tickets[i]), JF_ADMITTED);
	}
	assert_false(jf_scheduler_wait_idle(scheduler, 10));
	held = (struct held){tickets[0], &gate};
	assert_int_equal(pthread_create(&thread, NULL, release_when_stopping, &held), 0);
	jf_scheduler_stop(scheduler);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&blocker->n_done), 1);
	assert_int_equal(blocker->job->end, JF_JOB_SHUTDOWN);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(atomic_load(&tickets[i]->n_done), 1);
		assert_int_equal(tickets[i]->job->end, JF_JOB_SHUTDOWN);
		discard(tickets[i]);
	}
	discard(blocker);
	jf_scheduler_stop(scheduler);
	jf_scheduler_destroy(scheduler);
	jf_scheduler_destroy(NULL);
	sem_destroy(&gate);
}

/* --- models, watchdog --- */

static int references(const struct jf_model *of) {
	return __atomic_load_n(&of->references, __ATOMIC_ACQUIRE);
}

static void test_prepare(void **state) {
	struct jf_error error;
	struct jf_model *first = model;
	(void)state;
	int ours = references(first); /* without any scheduler */
	struct jf_scheduler *scheduler = scheduler_of(2, 4, 100000);
	struct ticket *before = make(JF_JOB_GENERATE, 2, 3, 2);
	struct ticket *slow = make(JF_JOB_GENERATE, 8, 300, 2);
	struct ticket *queued = make(JF_JOB_GENERATE, 2, 3, 2);
	assert_int_equal(submit(scheduler, before), JF_ADMITTED);
	wait_done(before);
	assert_int_equal(submit(scheduler, slow), JF_ADMITTED);
	assert_int_equal(submit(scheduler, queued), JF_ADMITTED);
	model = small_model(99);
	assert_int_equal(jf_scheduler_prepare(scheduler, model, &error), JF_OK); /* between steps of the slow one */
	jf_scheduler_commit(scheduler);
	struct ticket *after = make(JF_JOB_GENERATE, 2, 3, 2);
	assert_int_equal(submit(scheduler, after), JF_ADMITTED);
	wait_done(after);
	wait_done(queued);
	wait_done(slow);
	assert_int_equal(slow->job->end, JF_JOB_DONE);
	assert_same(queued->job->out_images, before->job->out_images, 128); /* on the model it was made with */
	assert_memory_not_equal(after->job->out_images, before->job->out_images, 128 * sizeof(float));
	discard(before);
	discard(slow);
	discard(queued);
	discard(after);
	assert_true(jf_scheduler_wait_idle(scheduler, 1000 * WAIT_S));
	assert_int_equal(jf_scheduler_prepare(scheduler, model, &error), JF_OK); /* the workers have come to rest */
	assert_int_equal(references(first), ours);                               /* nobody keeps what has left */
	jf_scheduler_destroy(scheduler);
	assert_int_equal(references(model), 1);
	jf_model_unref(model);
	model = first;
}

/* Lets the generation that waits at the gate go on, a step a millisecond. */
static void *step_on(void *gate) {
	for (int i = 0; i < 1000; i++) {
		sem_post(gate);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return NULL;
}

/* While a generation runs the model changes twice, and jobs of all three models are answered by theirs. */
static void test_models_of_three_reloads(void **state) {
	struct jf_error error;
	struct jf_model *first = model, *models[3] = {first, small_model(50), small_model(51)};
	struct ticket *alone[3], *between[3];
	pthread_t stepper;
	sem_t gate;
	(void)state;
	sem_init(&gate, 0, 0);
	int ours = references(first);
	for (int i = 0; i < 3; i++) {
		model = models[i];
		struct jf_scheduler *quiet = scheduler_of(1, 4, 100000);
		alone[i] = make(JF_JOB_CLASSIFY, 2, 3, 7);
		assert_int_equal(submit(quiet, alone[i]), JF_ADMITTED);
		wait_done(alone[i]);
		jf_scheduler_destroy(quiet);
	}
	model = first;
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 100000);
	struct ticket *blocker = block_worker(scheduler, &gate, 1000);
	for (int i = 0; i < 3; i++) {
		model = models[i];
		between[i] = make(JF_JOB_CLASSIFY, 2, 3, 7); /* waits behind the generation's step */
		assert_int_equal(submit(scheduler, between[i]), JF_ADMITTED);
	}
	assert_int_equal(pthread_create(&stepper, NULL, step_on, &gate), 0);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(jf_scheduler_prepare(scheduler, models[i], &error), JF_OK);
		jf_scheduler_commit(scheduler);
	}
	for (int i = 0; i < 3; i++) {
		wait_done(between[i]);
		assert_int_equal(between[i]->job->end, JF_JOB_DONE);
		assert_same(between[i]->job->out_probabilities, alone[i]->job->out_probabilities, 10);
		discard(between[i]);
		discard(alone[i]);
	}
	jf_scheduler_cancel(scheduler, blocker->job);
	wait_done(blocker);
	pthread_join(stepper, NULL);
	discard(blocker);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
	model = first;
	assert_int_equal(references(first), ours);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(references(models[i]), 1);
		jf_model_unref(models[i]);
	}
}

/* Memory ends while the second worker prepares: the reload is refused, and neither worker keeps the new model. */
static void test_prepare_refused(void **state) {
	struct jf_error error;
	(void)state;
	struct jf_scheduler *scheduler = scheduler_of(2, 4, 100000);
	struct jf_model *fresh = small_model(98);
	struct jf_network_config good = fresh->config;
	fresh->config.classes = -1; /* its probabilities have no size that memory could hold */
	assert_int_equal(jf_scheduler_prepare(scheduler, fresh, &error), JF_ENOMEM);
	fresh->config = good;
	assert_int_equal(references(fresh), 1);
	struct ticket *after = make(JF_JOB_GENERATE, 2, 3, 2);
	assert_int_equal(submit(scheduler, after), JF_ADMITTED);
	wait_done(after);
	assert_int_equal(after->job->end, JF_JOB_DONE);
	discard(after);
	assert_int_equal(jf_scheduler_prepare(scheduler, fresh, &error), JF_OK);
	jf_scheduler_commit(scheduler);
	jf_scheduler_destroy(scheduler);
	assert_int_equal(references(fresh), 1);
	jf_model_unref(fresh);
}

static void test_alive(void **state) {
	sem_t gate;
	struct timespec pause = {.tv_nsec = 300000000};
	(void)state;
	sem_init(&gate, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(2, 4, 100000);
	nanosleep(&pause, NULL);
	assert_true(jf_scheduler_alive(scheduler, 200)); /* idle is alive */
	struct ticket *blocker = block_worker(scheduler, &gate, 3);
	assert_true(jf_scheduler_alive(scheduler, 100000));
	nanosleep(&pause, NULL);
	assert_false(jf_scheduler_alive(scheduler, 200)); /* one worker hangs, though the other is free */
	assert_true(jf_scheduler_alive(scheduler, 100000));
	release(blocker, &gate, 3);
	assert_true(jf_scheduler_wait_idle(scheduler, 1000 * WAIT_S));
	assert_true(jf_scheduler_alive(scheduler, 200));
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
}

static void on_done_at_gate(void *context, struct jf_job *job) {
	struct ticket *ticket = context;
	sem_wait(ticket->gate);
	on_done(context, job);
}

/* Nothing is queued and no worker is busy, but nobody looks after deadlines. */
static void test_alive_timer(void **state) {
	struct timespec pause = {.tv_nsec = 1000000};
	sem_t gate, held;
	(void)state;
	sem_init(&gate, 0, 0);
	sem_init(&held, 0, 0);
	struct jf_scheduler *scheduler = scheduler_of(1, 4, 100000);
	struct ticket *blocker = block_worker(scheduler, &gate, 3), *canceled = make(JF_JOB_GENERATE, 1, 3, 0);
	canceled->gate = &held;
	canceled->job->done = on_done_at_gate;
	assert_int_equal(submit(scheduler, canceled), JF_ADMITTED);
	jf_scheduler_cancel(scheduler, canceled->job); /* no worker has it, so the timer hands it back */
	release(blocker, &gate, 3);
	while (jf_scheduler_alive(scheduler, 20))
		nanosleep(&pause, NULL);
	assert_true(jf_scheduler_alive(scheduler, 100000));
	sem_post(&held);
	wait_done(canceled);
	while (!jf_scheduler_alive(scheduler, 20))
		nanosleep(&pause, NULL);
	discard(canceled);
	jf_scheduler_destroy(scheduler);
	sem_destroy(&gate);
	sem_destroy(&held);
}

/* --- everything at once --- */

struct client {
	struct jf_scheduler *scheduler;
	unsigned number;
	int ended[JF_N_JOB_ENDS], refused;
};

static void *client_main(void *argument) {
	struct client *client = argument;
	for (unsigned i = 0; i < 40; i++) {
		unsigned what = client->number * 40 + i;
		struct ticket *ticket =
		    make((enum jf_job_kind)(what % JF_N_JOB_KINDS), 1 + (int)(what % 5), 4, what % 9);
		if (what % 5 == 0)
			ticket->job->deadline_ns = jf_clock_ns() + 2000000;
		ticket->job->step = what % 3 ? NULL : on_step;
		if (submit(client->scheduler, ticket) != JF_ADMITTED) {
			client->refused++;
		} else {
			if (what % 7 == 0)
				jf_scheduler_cancel(client->scheduler, ticket->job);
			wait_done(ticket);
			client->ended[ticket->job->end]++;
		}
		discard(ticket);
	}
	return NULL;
}

static void test_many_clients(void **state) {
	struct client clients[6];
	pthread_t threads[6];
	int done = 0, failed = 0, all = 0;
	(void)state;
	memset(clients, 0, sizeof(clients));
	struct jf_scheduler *scheduler = scheduler_of(2, 6, 60);
	for (unsigned i = 0; i < 6; i++) {
		clients[i] = (struct client){.scheduler = scheduler, .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, client_main, &clients[i]), 0);
	}
	for (int i = 0; i < 6; i++) {
		pthread_join(threads[i], NULL);
		for (int k = 0; k < JF_N_JOB_ENDS; k++)
			all += clients[i].ended[k];
		all += clients[i].refused;
		done += clients[i].ended[JF_JOB_DONE];
		failed += clients[i].ended[JF_JOB_FAILED];
	}
	assert_int_equal(all, 240);
	assert_true(done > 0);
	assert_int_equal(failed, 0);
	struct jf_scheduler_stats stats;
	assert_true(jf_scheduler_wait_idle(scheduler, 1000 * WAIT_S));
	jf_scheduler_stats(scheduler, &stats);
	assert_int_equal(stats.cost_outstanding, 0);
	assert_int_equal(stats.jobs_queued, 0);
	jf_scheduler_destroy(scheduler);
}

static int start(void **state) {
	(void)state;
	model = small_model(7);
	metrics = jf_metrics_create();
	return model && metrics ? 0 : -1;
}

static int end(void **state) {
	(void)state;
	/* every sampler and job has given its reference back */
	int left = model->references - 1;
	jf_model_unref(model);
	jf_metrics_destroy(metrics);
	return left;
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same_bytes),
	    cmocka_unit_test(test_steps),
	    cmocka_unit_test(test_edit_is_the_plain_call),
	    cmocka_unit_test(test_score_is_the_plain_call),
	    cmocka_unit_test(test_batching),
	    cmocka_unit_test(test_queue_delay),
	    cmocka_unit_test(test_splitting),
	    cmocka_unit_test(test_classification_passes),
	    cmocka_unit_test(test_label_integration_passes),
	    cmocka_unit_test(test_admission),
	    cmocka_unit_test(test_invalid),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_cancel_in_batch),
	    cmocka_unit_test(test_deadline),
	    cmocka_unit_test(test_deadline_with_time_to_spare),
	    cmocka_unit_test(test_numeric),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_prepare),
	    cmocka_unit_test(test_models_of_three_reloads),
	    cmocka_unit_test(test_prepare_refused),
	    cmocka_unit_test(test_alive),
	    cmocka_unit_test(test_alive_timer),
	    cmocka_unit_test(test_many_clients),
	};
	return cmocka_run_group_tests(tests, start, end);
}
