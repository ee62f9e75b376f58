#include "config.h"

#include "daemon/work/errands.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "daemon/service/beat.h"

#define MAX_THREADS 16
#define NICE 5 /* steps of the workers go first where processors are short */

#define SAFETY 1.5 /* what is ahead may take so many times as long as expected */

struct errand {
	struct jf_errand what;
	char client[64];
	int64_t rank_ns; /* smaller ones go first */
	struct errand *next;
};

struct jf_errands {
	int threads, n_started;
	pthread_t thread[MAX_THREADS];

	pthread_mutex_t lock; /* guards what follows; never held while an errand runs */
	pthread_cond_t work;  /* something waits, or stop; CLOCK_MONOTONIC */
	struct errand *first;
	struct errand *running[MAX_THREADS];                  /* or resting from it; NULL: none */
	int64_t began_ns[MAX_THREADS], until_ns[MAX_THREADS]; /* when that began, and ends at the rate */
	int64_t moved_ns[MAX_THREADS];                        /* the errand that runs began or beat; 0: none runs */
	struct jf_beat beat[MAX_THREADS];                     /* while none runs */
	int n_named;
	bool stop;
};

static _Thread_local int me = -1; /* which thread of its errands this is; -1: none of them */

static int64_t time_for(long weight) {
	return (int64_t)((double)weight * 1e9 / JF_ERRAND_RATE);
}

/* With the lock held: until `until_ns`, or until it all ends. */
static void rest(struct jf_errands *errands, int64_t until_ns) {
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};

	while (!errands->stop && jf_clock_ns() < until_ns) {
		pthread_cond_timedwait(&errands->work, &errands->lock, &until);
		jf_beat_answer(&errands->beat[me]);
	}
}

static void *run(void *argument) {
	struct jf_errands *errands = argument;
	struct errand *errand;
	char name[16];

	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone; a refusal does no harm */
	pthread_mutex_lock(&errands->lock);
	me = errands->n_named++;
	snprintf(name, sizeof(name), "jf-errands-%d", me % 100);
	pthread_setname_np(pthread_self(), name);
	jf_beat_answer(&errands->beat[me]);
	for (;;) {
		while (!errands->first && !errands->stop) {
			pthread_cond_wait(&errands->work, &errands->lock);
			jf_beat_answer(&errands->beat[me]);
		}
		errand = errands->first;
		if (!errand)
			break;
		errands->first = errand->next;
		errands->running[me] = errand;
		errands->began_ns[me] = errands->moved_ns[me] = jf_clock_ns();
		errands->until_ns[me] = errands->began_ns[me] + time_for(errand->what.weight);
		pthread_mutex_unlock(&errands->lock);
		errand->what.run(errand->what.context);
		pthread_mutex_lock(&errands->lock);
		errands->moved_ns[me] = 0;
		jf_beat_answer(&errands->beat[me]);
		rest(errands, errands->until_ns[me]);
		errands->running[me] = NULL;
		free(errand);
	}
	pthread_mutex_unlock(&errands->lock);
	return NULL;
}

struct jf_errands *jf_errands_create(int threads, struct jf_error *err) {
	struct jf_errands *errands = calloc(1, sizeof(*errands));
	pthread_condattr_t attributes;
	int code = 0;

	if (!errands) {
		jf_error_set(err, JF_ENOMEM, "no memory for the threads that decode");
		return NULL;
	}
	errands->threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
	pthread_mutex_init(&errands->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&errands->work, &attributes);
	pthread_condattr_destroy(&attributes);
	while (errands->n_started < errands->threads && code == 0) {
		code = pthread_create(&errands->thread[errands->n_started], NULL, run, errands);
		errands->n_started += code == 0;
	}
	if (code) {
		jf_error_set(err, JF_ENOMEM, "cannot start the threads that decode: %s", strerror(code));
		jf_errands_destroy(errands);
		return NULL;
	}
	return errands;
}

/* With the lock held: behind everything of the same client's; a piece that follows another only behind such pieces,
 * since it was let in before whatever else the client has sent in the meantime. */
static int64_t rank_of(const struct jf_errands *errands, const struct errand *errand, int64_t now) {
	const struct errand *other;
	int64_t last = now;
	int i;

	for (other = errands->first; other; other = other->next)
		if (other->rank_ns > last && (other->what.goes_on || !errand->what.goes_on) &&
		    strcmp(other->client, errand->client) == 0)
			last = other->rank_ns;
	for (i = 0; i < errands->threads; i++) {
		other = errands->running[i];
		if (other && other->rank_ns > last && strcmp(other->client, errand->client) == 0)
			last = other->rank_ns;
	}
	return last + time_for(errand->what.weight);
}

/* How much of what follows `other` has its turns between those of what follows `errand`. */
static int64_t time_between(const struct errand *other, const struct errand *errand) {
	return time_for(other->what.rest < errand->what.rest ? other->what.rest : errand->what.rest);
}

/* With the lock held: when it would be done. */
static int64_t expected_ns(const struct jf_errands *errands, const struct errand *errand, int64_t now) {
	const struct errand *other;
	int64_t ahead = 0;
	int i;

	for (other = errands->first; other; other = other->next)
		ahead += (other->rank_ns <= errand->rank_ns ? time_for(other->what.weight) : 0) +
			 time_between(other, errand);
	for (i = 0; i < errands->threads; i++) {
		if (!errands->running[i])
			continue;
		ahead += time_between(errands->running[i], errand);
		if (errands->until_ns[i] > now)
			ahead += errands->until_ns[i] - now;
	}
	return now + (int64_t)(SAFETY * (double)ahead / errands->threads) +
	       time_for(errand->what.weight + errand->what.rest);
}

bool jf_errands_submit(struct jf_errands *errands, const struct jf_errand *what, int *retry_after_s) {
	struct errand *errand = calloc(1, sizeof(*errand)), **at;
	int64_t now, late = 0;
	bool fits;

	*retry_after_s = 1;
	if (!errand)
		return false;
	errand->what = *what;
	errand->what.client = NULL;
	snprintf(errand->client, sizeof(errand->client), "%s", what->client);
	pthread_mutex_lock(&errands->lock);
	now = jf_clock_ns();
	errand->rank_ns = rank_of(errands, errand, now);
	if (errands->first && !what->goes_on)
		late = expected_ns(errands, errand, now) - what->deadline_ns;
	fits = !errands->stop && late <= 0;
	if (fits) {
		for (at = &errands->first; *at && (*at)->rank_ns <= errand->rank_ns; at = &(*at)->next)
			;
		errand->next = *at;
		*at = errand;
		errand = NULL;
		pthread_cond_broadcast(&errands->work);
	}
	pthread_mutex_unlock(&errands->lock);
	free(errand);
	if (late > 0)
		*retry_after_s = late / 1000000000 < 60 ? 1 + (int)(late / 1000000000) : 60;
	return fits;
}

void jf_errands_weigh(struct jf_errands *errands, long weight) {
	int64_t until_ns;

	if (me < 0)
		return;
	pthread_mutex_lock(&errands->lock);
	until_ns = errands->began_ns[me] + time_for(weight);
	if (until_ns > errands->until_ns[me])
		errands->until_ns[me] = until_ns;
	pthread_mutex_unlock(&errands->lock);
}

void jf_errands_beat(struct jf_errands *errands) {
	if (me < 0)
		return;
	pthread_mutex_lock(&errands->lock);
	errands->moved_ns[me] = jf_clock_ns();
	pthread_mutex_unlock(&errands->lock);
}

bool jf_errands_alive(struct jf_errands *errands, int stall_ms) {
	int64_t oldest = jf_clock_ns() - (int64_t)stall_ms * 1000000;
	bool alive = true, wake = false;
	int i;

	pthread_mutex_lock(&errands->lock);
	for (i = 0; i < errands->threads; i++) {
		if (errands->moved_ns[i]) {
			alive = alive && errands->moved_ns[i] >= oldest;
			continue;
		}
		wake = jf_beat_ask(&errands->beat[i], stall_ms) || wake;
		alive = alive && jf_beat_is_alive(&errands->beat[i], stall_ms);
	}
	if (wake)
		pthread_cond_broadcast(&errands->work);
	pthread_mutex_unlock(&errands->lock);
	return alive;
}

void jf_errands_destroy(struct jf_errands *errands) {
	int i;

	if (!errands)
		return;
	pthread_mutex_lock(&errands->lock);
	errands->stop = true;
	pthread_cond_broadcast(&errands->work);
	pthread_mutex_unlock(&errands->lock);
	for (i = 0; i < errands->n_started; i++)
		pthread_join(errands->thread[i], NULL);
	pthread_cond_destroy(&errands->work);
	pthread_mutex_destroy(&errands->lock);
	free(errands);
}
