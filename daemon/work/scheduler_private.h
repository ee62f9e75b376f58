/* What the scheduler and its workers share; inside daemon/work/scheduler.c and daemon/work/worker.c only. */
#ifndef JF_DAEMON_WORK_SCHEDULER_PRIVATE_H
#define JF_DAEMON_WORK_SCHEDULER_PRIVATE_H

#include <pthread.h>
#include <time.h>

#include "daemon/work/queue.h"
#include "daemon/work/scheduler.h"

/* Samplers of one model; a worker has two sets, so that it can get ready for a new model while a batch of the old one
 * is under way. */
struct jf_sampler_set {
	struct jf_model *model; /* referenced; NULL = free */
	struct jf_sampler *samplers[JF_N_TASKS];
	float *probabilities; /* [max_batch][K], where a posterior writes before the rows go to their jobs */
};

struct jf_worker {
	struct jf_scheduler *scheduler;
	pthread_t thread;
	int index;
	/* Read by jf_scheduler_alive without the lock. */
	atomic_llong beat_ns; /* when it last finished a step, a batch, or went to work */
	atomic_bool busy;
	/* The worker's own from here on; no other thread looks. */
	struct jf_sampler_set sets[2];
	const struct jf_sampler_set *pinned; /* the set of the batch under way */
	int prepared;                        /* the last preparation it answered */
};

struct jf_scheduler {
	struct jf_scheduler_options options;
	struct jf_worker *workers;
	int n_started;
	pthread_t timer;
	bool timer_started;
	atomic_int in_batch;    /* workers that run a batch */
	atomic_bool urgent;     /* a posterior or classification waits: look between steps */
	atomic_int preparation; /* counts jf_scheduler_prepare; workers compare with theirs between steps */

	/* Guards everything below and the q part of every admitted job. Never held while a sampler runs, a callback is
	 * called, memory is allocated or a metric is counted. No other lock is taken under it. */
	pthread_mutex_t lock;
	pthread_cond_t work;    /* the queue got something, a preparation began, or stopping; CLOCK_MONOTONIC */
	pthread_cond_t tick;    /* the timer: a nearer deadline, a job to hand back, or stopping; CLOCK_MONOTONIC */
	pthread_cond_t changed; /* outstanding fell, or a worker answered a preparation; CLOCK_MONOTONIC */
	struct jf_queue queue;
	struct jf_job *all;    /* everything outstanding */
	struct jf_job *to_end; /* complete, for the timer to hand back */
	int outstanding;
	long cost_outstanding;
	int64_t next_deadline_ns; /* INT64_MAX = none */
	double speed;             /* cost units a second, all workers together, smoothed */
	bool draining, stopping, joined;
	struct jf_model *preparing; /* borrowed from jf_scheduler_prepare's caller */
	int preparations_left;
	struct jf_error prepare_error;
};

static inline struct timespec jf_to_timespec(int64_t ns) {
	return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

void *jf_worker_main(void *worker);
void *jf_dispatch_timer_main(void *scheduler);

/* Both with the lock held. begin_end: the job will end as `end`, unless it is ending already; what no worker has leaves
 * the queue now. true: nothing of it is running, so it is complete and the caller pushes it to the timer, which hands
 * it back. */
bool jf_dispatch_begin_end(struct jf_scheduler *scheduler, struct jf_job *job, enum jf_job_end end);
void jf_dispatch_push_to_end(struct jf_scheduler *scheduler, struct jf_job *job);

/* Items come back from a worker: completed (results are written), or dropped because their job is ending. Hands jobs
 * that have become complete to `done`. */
void jf_scheduler_give_back(struct jf_scheduler *scheduler, const struct jf_batch_item *items, int n, bool completed,
    int batch_size, int steps);
/* The items' jobs shall end as FAILED with this error, unless they are ending already. */
void jf_scheduler_fail(
    struct jf_scheduler *scheduler, const struct jf_batch_item *items, int n, const struct jf_error *error);
/* A classification that may run between two steps of a batch of that rank; false: none. */
bool jf_scheduler_take_urgent(struct jf_scheduler *scheduler, struct jf_batch *batch, int64_t rank_ns);
/* The model that a preparation wants; NULL when this worker has answered. Referenced for the worker. */
struct jf_model *jf_scheduler_preparation(struct jf_worker *worker);
void jf_scheduler_prepared(struct jf_worker *worker, enum jf_err rc, const struct jf_error *error);
/* A batch has run: smooths the speed. */
void jf_scheduler_note_speed(struct jf_scheduler *scheduler, long cost, int64_t elapsed_ns);
/* Waits for work: true with a batch, false with a preparation to answer (batch->n == 0) or stopping (n == -1). */
bool jf_scheduler_wait(struct jf_worker *worker, struct jf_batch *batch);

#endif
