#include "daemon/work/dispatch.h"
#include "core/base/clock.h"
#include "daemon/service/later.h"

#include <stdint.h>

/* --- ending --- */

/* Lock held: nothing of the job is left to do, so it leaves the list of what is outstanding. */
static void complete(struct jf_scheduler *s, struct jf_job *job) {
	job->q.complete = true;
	if (job->q.all_previous)
		job->q.all_previous->q.all_next = job->q.all_next;
	else
		s->all = job->q.all_next;
	if (job->q.all_next)
		job->q.all_next->q.all_previous = job->q.all_previous;
}

bool jf_dispatch_begin_end(struct jf_scheduler *s, struct jf_job *job, enum jf_job_end end) {
	if (job->q.complete || atomic_load(&job->q.ending) != 0)
		return false;
	atomic_store(&job->q.ending, 1 + (int)end);
	if (job->q.queued)
		jf_queue_remove(&s->queue, job);
	s->cost_outstanding[jf_job_is_classification(job)] -= job->q.item_cost * (job->n - job->q.taken);
	job->q.taken = job->n;
	if (job->q.running > 0)
		return false;
	complete(s, job);
	return true;
}

/* Lock held. */
void jf_dispatch_push_to_end(struct jf_scheduler *s, struct jf_job *job) {
	job->q.done_next = s->to_end;
	s->to_end = job;
	s->handing_back++;
	pthread_cond_signal(&s->tick);
}

static void count_end(struct jf_scheduler *s, const struct jf_job *job) {
	struct jf_metrics *metrics = s->options.metrics;
	const char *task = jf_job_kind_name(job->kind), *end = jf_job_end_name(job->end);
	jf_metric_add(metrics, JF_METRIC_JOBS, 1, JF_LABELS(task, end));
	jf_metric_observe(
	    metrics, JF_METRIC_JOB_SECONDS, (double)(job->finished_ns - job->submitted_ns) * 1e-9, JF_LABELS(task));
	if (job->started_ns)
		jf_metric_observe(metrics, JF_METRIC_QUEUE_WAIT, (double)(job->started_ns - job->submitted_ns) * 1e-9,
		    JF_LABELS(task));
	if (job->end != JF_JOB_DONE && job->end != JF_JOB_FAILED)
		jf_metric_add(
		    metrics, JF_METRIC_CANCELLATIONS, 1, JF_LABELS(job->started_ns ? "running" : "queued", end));
}

/* Without the lock: a complete job goes back to its submitter. */
static void hand_back(struct jf_scheduler *s, struct jf_job *job) {
	int ending = atomic_load(&job->q.ending);
	job->finished_ns = jf_clock_ns();
	job->end = ending ? (enum jf_job_end)(ending - 1) : JF_JOB_DONE;
	if (job->end == JF_JOB_CANCELED)
		jf_error_set(&job->error, JF_ECANCELED, "canceled");
	else if (job->end == JF_JOB_DEADLINE)
		jf_error_set(&job->error, JF_ECANCELED, "the deadline passed after %d steps", job->steps_done);
	else if (job->end == JF_JOB_SHUTDOWN)
		jf_error_set(&job->error, JF_ECANCELED, "the service is stopping");
	count_end(s, job);

	if (job->done)
		job->done(job->context, job);
	jf_job_unref(job);
}

static void hand_back_list(struct jf_scheduler *s, struct jf_job *list) {
	int n = 0;
	if (!list)
		return;
	jf_later_begin();
	for (struct jf_job *next; list; list = next, n++) {
		next = list->q.done_next;
		hand_back(s, list);
	}
	jf_later_end();
	pthread_mutex_lock(&s->lock);
	s->outstanding -= n;
	s->handing_back -= n;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* Without the lock: the items released so far are done; more may be taken now, unless the job has ended meanwhile. */
static void release_more(struct jf_scheduler *s, struct jf_job *job) {
	int released = job->release(job->context, job);
	struct jf_job *ended = NULL;
	pthread_mutex_lock(&s->lock);
	job->q.running--; /* it was held, so that it could not be handed back under the callback */
	if (atomic_load(&job->q.ending) == 0) {
		job->released = released;
		jf_queue_push(&s->queue, job, jf_clock_ns());
		pthread_cond_broadcast(&s->work);
	} else if (job->q.running == 0) {
		complete(s, job);
		job->q.done_next = NULL;
		s->handing_back++;
		ended = job;
	}
	pthread_mutex_unlock(&s->lock);
	hand_back_list(s, ended);
}

void jf_dispatch_fail(struct jf_scheduler *s, const struct jf_batch_item *items, int n, const struct jf_error *error) {
	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < n; i++) {
		struct jf_job *job = items[i].job;
		if (atomic_load(&job->q.ending) != 0)
			continue;
		job->error = *error;
		jf_dispatch_begin_end(s, job, JF_JOB_FAILED); /* its items are running, so it does not complete here */
	}
	pthread_mutex_unlock(&s->lock);
}

void jf_dispatch_give_back(
    struct jf_scheduler *s, const struct jf_batch_item *items, int n, bool completed, int batch_size, int steps) {
	struct jf_job *list = NULL, *waiting = NULL;
	pthread_mutex_lock(&s->lock);
	for (int i = n - 1; i >= 0; i--) { /* backwards, so that the list goes forwards */
		struct jf_job *job = items[i].job;
		job->q.running--;
		job->q.finished += completed;
		s->cost_outstanding[jf_job_is_classification(job)] -= job->q.item_cost;
		if (batch_size > job->max_batch_seen)
			job->max_batch_seen = batch_size;
		if (steps > job->steps_done)
			job->steps_done = steps;
		if (job->q.running == 0 && job->q.taken == job->n) {
			complete(s, job);
			job->q.done_next = list;
			list = job;
			s->handing_back++; /* whoever gets the answer sees it gone from the queue */
		} else if (job->q.running == 0 && job->q.taken == job->released && !job->q.queued) {
			job->q.running++;
			job->q.done_next = waiting;
			waiting = job;
		}
	}
	pthread_mutex_unlock(&s->lock);
	hand_back_list(s, list);
	for (struct jf_job *next; waiting; waiting = next) {
		next = waiting->q.done_next;
		release_more(s, waiting);
	}
}

/* --- the timer: deadlines, and jobs that end without a worker --- */

/* Lock held: ends what is past its deadline and finds the next one. */
static void expire(struct jf_scheduler *s) {
	int64_t now = jf_clock_ns();
	s->next_deadline_ns = INT64_MAX;
	for (struct jf_job *job = s->all, *next; job; job = next) {
		next = job->q.all_next; /* ending it takes it off the list */
		if (!job->deadline_ns || job->q.complete || atomic_load(&job->q.ending) != 0)
			continue;
		if (job->deadline_ns > now) {
			if (job->deadline_ns < s->next_deadline_ns)
				s->next_deadline_ns = job->deadline_ns;
		} else if (jf_dispatch_begin_end(s, job, JF_JOB_DEADLINE)) {
			jf_dispatch_push_to_end(s, job);
		}
	}
}

void *jf_dispatch_timer_main(void *argument) {
	struct jf_scheduler *s = argument;
	pthread_setname_np(pthread_self(), "jf-timer");
	pthread_mutex_lock(&s->lock);
	while (!s->stopping || s->outstanding > 0) {
		jf_beat_answer(&s->timer_beat);
		if (s->next_deadline_ns <= jf_clock_ns())
			expire(s);
		if (s->to_end) {
			struct jf_job *list = s->to_end;
			s->to_end = NULL;
			pthread_mutex_unlock(&s->lock);
			hand_back_list(s, list);
			pthread_mutex_lock(&s->lock);
			continue;
		}
		if (s->stopping && s->outstanding == 0)
			break;
		/* While stopping, outstanding falls without a tick: look every 50 ms. */
		int64_t until = s->stopping ? jf_clock_ns() + 50000000 : s->next_deadline_ns;
		if (until == INT64_MAX) {
			pthread_cond_wait(&s->tick, &s->lock);
		} else {
			struct timespec when = jf_to_timespec(until);
			pthread_cond_timedwait(&s->tick, &s->lock, &when);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* --- what workers ask for --- */

/* Lock held. Marks the start of the items' jobs, and whether classifications are still waiting. */
static void note_taken(struct jf_scheduler *s, const struct jf_batch *batch) {
	int64_t now = jf_clock_ns();
	for (int i = 0; i < batch->n; i++)
		if (batch->items[i].job->started_ns == 0)
			batch->items[i].job->started_ns = now;
	bool urgent = false;
	for (const struct jf_job *job = s->queue.head; job && !urgent; job = job->q.next)
		urgent = jf_job_is_classification(job);
	atomic_store(&s->urgent, urgent);
}

bool jf_dispatch_wait(struct jf_worker *worker, struct jf_batch *batch) {
	struct jf_scheduler *s = worker->scheduler;
	bool taken = false;
	batch->n = 0;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		if (worker->stages_seen != atomic_load(&s->stages))
			break;
		if (s->queue.head) {
			int64_t until = s->queue.head->submitted_ns + (int64_t)s->options.max_queue_delay_us * 1000;
			if (s->options.max_queue_delay_us == 0 || s->draining || jf_clock_ns() >= until ||
			    jf_queue_compatible(&s->queue, s->options.max_batch) >= s->options.max_batch) {
				taken = jf_queue_take(
				    &s->queue, batch, JF_QUEUE_ANY, s->options.max_batch, s->options.workers);
				note_taken(s, batch);
				break;
			}
			struct timespec when = jf_to_timespec(until);
			pthread_cond_timedwait(&s->work, &s->lock, &when);
			continue;
		}
		if (s->stopping) {
			batch->n = -1;
			break;
		}
		pthread_cond_wait(&s->work, &s->lock);
	}
	if (taken) {
		atomic_store(&worker->beat_ns, jf_clock_ns());
		atomic_store(&worker->busy, true);
		if (s->queue.head) /* a signal may have been spent on us while more than we took came in */
			pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
	return taken;
}

bool jf_dispatch_take_urgent(struct jf_scheduler *s, struct jf_batch *batch) {
	if (!atomic_load_explicit(&s->urgent, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&s->lock);
	/* A posterior is the shorter one. */
	bool taken =
	    jf_queue_take(&s->queue, batch, JF_QUEUE_POSTERIOR, s->options.max_batch, s->options.workers) ||
	    jf_queue_take(&s->queue, batch, JF_QUEUE_CLASSIFICATIONS, s->options.max_batch, s->options.workers);
	if (taken)
		note_taken(s, batch);
	pthread_mutex_unlock(&s->lock);
	return taken;
}

void jf_dispatch_note_speed(struct jf_scheduler *s, const struct jf_job *job, double cost, int64_t elapsed_ns) {
	struct jf_speed *speed = &s->speed[jf_job_is_classification(job)];
	if (elapsed_ns <= 0)
		return;
	/* Cost and time are smoothed apart: under a CPU quota most steps are quick and a few take all the time. */
	pthread_mutex_lock(&s->lock);
	speed->cost = 0.95 * speed->cost + cost;
	speed->seconds = 0.95 * speed->seconds + (double)elapsed_ns * 1e-9;
	speed->measured_ns = jf_clock_ns();
	pthread_mutex_unlock(&s->lock);
}

/* --- a change of the model --- */

enum jf_stage jf_dispatch_stage(struct jf_worker *worker, struct jf_model **model) {
	struct jf_scheduler *s = worker->scheduler;
	if (worker->stages_seen == atomic_load(&s->stages))
		return JF_STAGE_NONE;
	pthread_mutex_lock(&s->lock);
	worker->stages_seen = atomic_load(&s->stages);
	enum jf_stage stage = s->stage;
	if (stage == JF_STAGE_PREPARE)
		*model = jf_model_ref(s->next_model);
	pthread_mutex_unlock(&s->lock);
	return stage;
}

void jf_dispatch_stage_done(struct jf_worker *worker, const struct jf_error *error) {
	struct jf_scheduler *s = worker->scheduler;
	pthread_mutex_lock(&s->lock);
	s->answers_left--;
	if (error->code != JF_OK)
		s->stage_error = *error;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}
