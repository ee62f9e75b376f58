#include "daemon/work/queue.h"

#include <string.h>

static int64_t handicap_ns(const struct jf_queue *queue, const struct jf_job *job) {
	if (jf_job_is_classification(job))
		return 0;
	int64_t by_cost = (int64_t)jf_job_cost(job) * 1000000;
	return by_cost < queue->ageing_ns ? by_cost : queue->ageing_ns;
}

void jf_queue_push(struct jf_queue *queue, struct jf_job *job, int64_t now_ns) {
	job->q.queued_ns = now_ns;
	if (job->q.rank_ns == 0) /* a job that comes back keeps its place */
		job->q.rank_ns = now_ns + handicap_ns(queue, job);
	struct jf_job *after = queue->tail;
	while (after && after->q.rank_ns > job->q.rank_ns)
		after = after->q.previous;
	job->q.previous = after;
	job->q.next = after ? after->q.next : queue->head;
	if (job->q.next)
		job->q.next->q.previous = job;
	else
		queue->tail = job;
	if (after)
		after->q.next = job;
	else
		queue->head = job;
	job->q.queued = true;
	queue->n++;
}

void jf_queue_remove(struct jf_queue *queue, struct jf_job *job) {
	if (job->q.previous)
		job->q.previous->q.next = job->q.next;
	else
		queue->head = job->q.next;
	if (job->q.next)
		job->q.next->q.previous = job->q.previous;
	else
		queue->tail = job->q.previous;
	job->q.previous = job->q.next = NULL;
	job->q.queued = false;
	queue->n--;
}

static bool compatible(const struct jf_job *a, const struct jf_job *b) {
	if (a->kind != b->kind || a->model != b->model)
		return false;
	if (a->kind == JF_JOB_POSTERIOR)
		return a->draws == b->draws;
	if (jf_job_is_scoring(a)) /* its classes are a batch already */
		return a == b;
	if (a->args.solver != b->args.solver || a->args.steps != b->args.steps)
		return false;
	if (a->kind != JF_JOB_GENERATE && a->kind != JF_JOB_EDIT)
		return true;
	if (a->args.repeats != b->args.repeats || a->counterfactual != b->counterfactual)
		return false;
	return jf_sampler_same_guidance(&a->args, &b->args) &&
	       memcmp(&a->args.start, &b->args.start, sizeof(a->args.start)) == 0;
}

static bool passes(const struct jf_job *job, enum jf_queue_filter filter) {
	if (filter == JF_QUEUE_POSTERIOR)
		return job->kind == JF_JOB_POSTERIOR;
	return filter == JF_QUEUE_ANY || jf_job_is_classification(job);
}

bool jf_queue_take(
    struct jf_queue *queue, struct jf_batch *batch, enum jf_queue_filter filter, int max_batch, int workers) {
	batch->n = 0;
	struct jf_job *first = queue->head;
	while (first && !passes(first, filter))
		first = first->q.next;
	if (!first)
		return false;
	for (struct jf_job *job = first, *next; job && batch->n < max_batch; job = next) {
		next = job->q.next;
		if (!compatible(first, job))
			continue;
		int share = jf_job_is_scoring(job) ? 1 : (job->n + workers - 1) / workers;
		for (int i = 0; i < share && job->q.taken < job->released && batch->n < max_batch; i++) {
			batch->items[batch->n++] = (struct jf_batch_item){.job = job, .item = job->q.taken++};
			job->q.running++;
		}
		if (job->q.taken == job->released) {
			/* `first` stays readable: its items are in the batch, so it is not complete */
			jf_queue_remove(queue, job);
		}
	}
	return true;
}

int jf_queue_compatible(const struct jf_queue *queue, int enough) {
	int n = queue->head && jf_job_is_scoring(queue->head) ? enough : 0; /* waiting fills no batch of it */
	for (const struct jf_job *job = queue->head; job && n < enough; job = job->q.next)
		if (compatible(queue->head, job))
			n += job->released - job->q.taken;
	return n < enough ? n : enough;
}
