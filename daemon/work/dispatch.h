/* The scheduler's inner half: how jobs end, the timer, and what workers ask for. */
#ifndef JF_DAEMON_WORK_DISPATCH_H
#define JF_DAEMON_WORK_DISPATCH_H

#include "daemon/work/scheduler_private.h"

/* The timer thread: ends what is past its deadline, hands back what ends without a worker. */
void *jf_dispatch_timer_main(void *scheduler);

/* Both with the lock held. begin_end: the job will end as `end`, unless it is ending already; what no worker has leaves
 * the queue now. true: nothing of it is running, so it is complete and the caller pushes it to the timer, which hands
 * it back. */
bool jf_dispatch_begin_end(struct jf_scheduler *scheduler, struct jf_job *job, enum jf_job_end end);
void jf_dispatch_push_to_end(struct jf_scheduler *scheduler, struct jf_job *job);

/* Items come back from a worker: completed (results are written), or dropped because their job is ending. Hands jobs
 * that have become complete to `done`. */
void jf_dispatch_give_back(struct jf_scheduler *scheduler, const struct jf_batch_item *items, int n, bool completed,
    int batch_size, int steps);
/* The items' jobs shall end as FAILED with this error, unless they are ending already. */
void jf_dispatch_fail(
    struct jf_scheduler *scheduler, const struct jf_batch_item *items, int n, const struct jf_error *error);
/* Classifications that shall run between two steps of a generation; false: none wait. */
bool jf_dispatch_take_urgent(struct jf_scheduler *scheduler, struct jf_batch *batch);
/* What is asked of this worker, which then answers by jf_dispatch_stage_done; NONE when it has answered. PREPARE:
 * *model is the new model, referenced for the worker. */
enum jf_stage jf_dispatch_stage(struct jf_worker *worker, struct jf_model **model);
void jf_dispatch_stage_done(struct jf_worker *worker, const struct jf_error *error); /* code JF_OK: it could */
/* A step, or a posterior's batch, took one worker this long: admission expects the same of the next ones. */
void jf_dispatch_note_speed(struct jf_scheduler *scheduler, const struct jf_job *job, double cost, int64_t elapsed_ns);
/* Waits for work: true with a batch, false with a stage to answer (batch->n == 0) or stopping (n == -1). */
bool jf_dispatch_wait(struct jf_worker *worker, struct jf_batch *batch);

#endif
