/* What the scheduler, dispatch and the workers share; for scheduler.c, dispatch.c and worker.c only. */
#ifndef JF_DAEMON_WORK_SCHEDULER_PRIVATE_H
#define JF_DAEMON_WORK_SCHEDULER_PRIVATE_H

#include <pthread.h>
#include <time.h>

#include "daemon/service/beat.h"
#include "daemon/work/queue.h"
#include "daemon/work/scheduler.h"

/* What a change of the model asks of every worker, in this order: prepare, then commit or abort. */
enum jf_stage {
	JF_STAGE_NONE,
	JF_STAGE_PREPARE, /* build `next` */
	JF_STAGE_COMMIT,  /* `next` becomes `current` */
	JF_STAGE_ABORT,   /* `next` goes */
};

struct jf_scorer;

/* Samplers of one model. */
struct jf_sampler_set {
	struct jf_model *model; /* referenced; NULL = free */
	struct jf_sampler *samplers[JF_N_TASKS];
	struct jf_scorer *scorer; /* made when the first likelihood is asked for; few ask, and its classes take room */
	float *probabilities;     /* [max_batch][K], where a posterior writes before the rows go to their jobs */
};

struct jf_worker {
	struct jf_scheduler *scheduler;
	pthread_t thread;
	int index;
	/* Read by jf_scheduler_alive without the lock. */
	atomic_llong beat_ns; /* when it last finished a step, a batch, or went to work */
	atomic_bool busy;
	/* The worker's own from here on; no other thread looks. */
	struct jf_sampler_set current;       /* of the model in force */
	struct jf_sampler_set next;          /* between preparation and commit or abort; otherwise empty */
	struct jf_sampler_set leaving;       /* was `current` when the batch under way began; goes with that batch */
	const struct jf_sampler_set *pinned; /* the set of the batch under way */
	int stages_seen;                     /* the scheduler's `stages` that it has answered */
	struct jf_workspace *workspace;      /* temporary memory of the samplers of all sets; made with the first */
};

struct jf_scheduler {
	struct jf_scheduler_options options;
	struct jf_worker *workers;
	int n_started;
	pthread_t timer;
	bool timer_started;
	struct jf_beat timer_beat;
	atomic_int in_batch; /* workers that run a batch */
	atomic_bool urgent;  /* a posterior or classification waits: look between steps */
	atomic_int stages;   /* counts what was asked of all workers; they compare with theirs between steps */

	/* Guards everything below and the q part of every admitted job. Never held while a sampler runs, a callback is
	 * called, memory is allocated or a metric is counted. No other lock is taken under it. */
	pthread_mutex_t lock;
	pthread_cond_t work;    /* the queue got something, a stage began, or stopping; CLOCK_MONOTONIC */
	pthread_cond_t tick;    /* the timer: a nearer deadline, a job to hand back, or stopping; CLOCK_MONOTONIC */
	pthread_cond_t changed; /* outstanding fell, or a worker answered a stage; CLOCK_MONOTONIC */
	struct jf_queue queue;
	struct jf_job *all;    /* everything outstanding */
	struct jf_job *to_end; /* complete, for the timer to hand back */
	int outstanding;
	int handing_back; /* of these: complete, `done` is being called or has been */
	/* Two classes of work: [0] generations, [1] classifications. */
	long cost_outstanding[2];
	struct jf_speed {
		double cost, seconds; /* smoothed sums over the last batches and steps; seconds 0: none yet */
		int64_t measured_ns;
	} speed[2];               /* of one worker */
	int64_t next_deadline_ns; /* INT64_MAX = none */
	bool draining, stopping, joined;
	enum jf_stage stage;         /* the last one that was asked for */
	struct jf_model *next_model; /* borrowed from jf_scheduler_prepare's caller while he waits */
	int answers_left;            /* workers that have not done it yet */
	struct jf_error stage_error; /* of one that could not */
};

static inline struct timespec jf_to_timespec(int64_t ns) {
	return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

#endif
