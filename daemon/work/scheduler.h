/* The queue and its workers.
 *
 * One bounded queue counted in cost (items x network evaluations, admitted and not finished). Full means refuse at
 * once. Order: classifications first, generations after them by cost, and ageing: a generation that has waited
 * conf.ageing_ms goes before fresh classifications. A worker takes a batch of compatible items (same model, kind,
 * solver, steps, guidance, draws), runs it step by step, and between steps drops what was cancelled or is past its
 * deadline, and lets waiting classifications run in between. A job's items may run on several workers and in several
 * batches; its bytes depend on none of this. */
#ifndef JF_DAEMON_WORK_SCHEDULER_H
#define JF_DAEMON_WORK_SCHEDULER_H

#include "daemon/service/metrics.h"
#include "daemon/work/job.h"

struct jf_scheduler;

struct jf_scheduler_options {
	int workers;   /* 1 to 256 */
	int max_batch; /* 1 to JF_MAX_BATCH */
	long capacity; /* cost units; classifications may take an eighth more, which is theirs alone */
	int max_queue_delay_us;
	int ageing_ms;
	struct jf_metrics *metrics; /* borrowed, must outlive the scheduler */
};

enum jf_admission {
	JF_ADMITTED,
	JF_REFUSED_FULL,     /* 503 + Retry-After */
	JF_REFUSED_DRAINING, /* 503 + Retry-After */
	JF_REFUSED_DEADLINE, /* at the speed measured last it might not be done by its deadline: 503 + Retry-After */
	JF_REFUSED_LARGE,    /* its cost alone is above the capacity, whatever else is going on: 422 */
	JF_REFUSED_INVALID,  /* an item lacks its image or label, a value is not finite, args out of range: *err; a bug
				above */
	JF_N_ADMISSIONS
};

/* Starts the workers. NULL on failure. */
struct jf_scheduler *jf_scheduler_create(const struct jf_scheduler_options *options, struct jf_error *err);

/* Each worker builds its samplers for this model now, between batches or steps, so that no request waits for that.
 * Blocks until all have; JF_ENOMEM when one could not, and then none keeps any. Call before the model is handed out. */
enum jf_err jf_scheduler_prepare(struct jf_scheduler *scheduler, struct jf_model *model, struct jf_error *err);
/* The prepared model is in force: what was before leaves each worker now, or with the batch that it is running. Jobs
 * that still name an older model are answered by samplers made for them alone. Waits for one step at most; cannot fail.
 */
void jf_scheduler_commit(struct jf_scheduler *scheduler);

/* Admits or refuses at once; never blocks for longer than the queue's lock. On refusal the job is untouched but for
 * error, nothing will be called, and the refusal is counted. Any thread. *retry_after_s (may be NULL): 1 to
 * 60, when there will be room, or time enough, at the speed measured last. *err says in JF_REFUSED_LARGE's case what
 * the job would cost. */
enum jf_admission jf_scheduler_submit(
    struct jf_scheduler *scheduler, struct jf_job *job, int *retry_after_s, struct jf_error *err);

/* How long the job takes with nothing ahead of it, at the speed measured last; 0: none has been measured. What takes
 * longer than it may is not worth another try. */
double jf_scheduler_seconds_alone(struct jf_scheduler *scheduler, const struct jf_job *job);

/* When what is outstanding now will be done, at the speed measured last: 1 to 60 seconds. */
int jf_scheduler_retry_after_s(struct jf_scheduler *scheduler);

/* The client is gone: `done` follows soon with JF_JOB_CANCELED (or with whatever end came first). Any thread, any time
 * while the caller holds a reference; harmless when the job has ended or was never admitted. Does not call `done`. */
void jf_scheduler_cancel(struct jf_scheduler *scheduler, struct jf_job *job);

/* From now on submit refuses with DRAINING. Irreversible. */
void jf_scheduler_drain(struct jf_scheduler *scheduler);
/* Waits until nothing is outstanding; false after timeout_ms. */
bool jf_scheduler_wait_idle(struct jf_scheduler *scheduler, int timeout_ms);
/* Drains, ends whatever is left with JF_JOB_SHUTDOWN at the next step, joins all threads. Every `done` has returned
 * when this returns. Idempotent. */
void jf_scheduler_stop(struct jf_scheduler *scheduler);
void jf_scheduler_destroy(struct jf_scheduler *scheduler); /* stops first; NULL allowed */

struct jf_scheduler_stats {
	int workers, workers_busy;
	int jobs_queued, jobs_outstanding; /* queued: no item has been taken yet; outstanding: admitted and not done */
	long cost_outstanding, capacity;
	bool draining;
};
void jf_scheduler_stats(struct jf_scheduler *scheduler, struct jf_scheduler_stats *stats);

/* Writes the gauges of queue and workers; for the metrics' hook. */
void jf_scheduler_publish(struct jf_scheduler *scheduler);

/* Whether every worker makes progress: none has been inside one batch step for longer than stall_ms, and no runnable
 * job has waited that long with a worker idle; and the timer has turned its loop when it was asked to. Asks anew now
 * and then; one caller. Feeds the watchdog. */
bool jf_scheduler_alive(struct jf_scheduler *scheduler, int stall_ms);

#endif
