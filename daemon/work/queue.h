/* The order of waiting jobs, and what may share a batch. No lock, no thread: the scheduler has those. */
#ifndef JF_DAEMON_WORK_QUEUE_H
#define JF_DAEMON_WORK_QUEUE_H

#include "daemon/work/job.h"

/* Jobs with untaken items, by rank: the time of submission plus a handicap. A classification has none; a generation's
 * is one millisecond for each unit of cost, at most ageing_ms. So short work goes first, and nothing waits for more
 * than ageing_ms behind work that came later: that is the ageing. */
struct jf_queue {
	struct jf_job *head, *tail;
	int n;
	int64_t ageing_ns;
};

struct jf_batch_item {
	struct jf_job *job;
	int item;
	int reported; /* steps that job->step has been called for */
};

/* Items that run together: one model, kind, solver, steps, guidance, start, repeats, number of draws. */
struct jf_batch {
	struct jf_batch_item items[JF_MAX_BATCH];
	int n;
};

enum jf_queue_filter {
	JF_QUEUE_ANY,
	JF_QUEUE_POSTERIOR,       /* one evaluation: always short */
	JF_QUEUE_CLASSIFICATIONS, /* posteriors and label integrations */
};

void jf_queue_push(struct jf_queue *queue, struct jf_job *job, int64_t now_ns);
void jf_queue_remove(struct jf_queue *queue, struct jf_job *job); /* must be queued */

/* Takes the first job that passes the filter and fills up with what is compatible, in order. A job gives at most its
 * share, ceil(n / workers), so that the other workers find some of it; a score or likelihood gives one item. Jobs with
 * nothing left leave the queue. false: nothing suits. */
bool jf_queue_take(
    struct jf_queue *queue, struct jf_batch *batch, enum jf_queue_filter filter, int max_batch, int workers);

/* Items that a take would find now, at most `enough`. */
int jf_queue_compatible(const struct jf_queue *queue, int enough);

#endif
