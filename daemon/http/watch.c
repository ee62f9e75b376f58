#include "config.h"

#include "daemon/http/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "daemon/service/beat.h"

#define TICK_MS 100
#define HALF_CLOSED_MS 1000 /* this long after the end of a peer's stream `half_closed` is due */
#define MAX_LINGER 256
#define EVENTS 64
#define LINGER_BIT (UINT64_C(1) << 63)
#define WAKE_TAG UINT64_MAX
#define SLOT_BITS 20

struct slot {
	int fd;
	int next_free;
	uint64_t ticket;        /* 0: free */
	int64_t deadline_ms;    /* -1: none */
	int64_t half_closed_ms; /* when half_closed is due; -1: it is not */
	bool wanted;            /* its client is waiting, so it matters whether it leaves */
	bool watched;           /* in the epoll set: since the first tick that found it wanted */
};

struct lingering {
	int fd; /* -1: free */
	int64_t deadline_ms;
};

struct jf_watch {
	struct jf_watch_events events;
	int epoll_fd, wake_fd;
	pthread_t thread;
	bool started;
	struct jf_beat beat;

	/* Guards everything below. Taken with the caller's lock held; never held while events are called. */
	pthread_mutex_t lock;
	struct slot *slots;
	int n_slots, first_free, n_used;
	uint64_t next_ticket;
	struct lingering lingers[MAX_LINGER];
	int n_lingers;
	bool asleep; /* the thread sleeps without a tick: wake it when there is something to time */
	bool stop;
};

static void wake(struct jf_watch *watch) {
	uint64_t one = 1;

	while (write(watch->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void wake_if_asleep(struct jf_watch *watch) {
	if (watch->asleep) {
		watch->asleep = false;
		wake(watch);
	}
}

static void linger_end(struct jf_watch *watch, struct lingering *linger) {
	close(linger->fd);
	linger->fd = -1;
	watch->n_lingers--;
}

/* Reads what a lingering socket has; the end of its stream ends it. */
static void linger_read(struct jf_watch *watch, struct lingering *linger) {
	char sink[16384];
	ssize_t n;
	int rounds = 0;

	do
		n = recv(linger->fd, sink, sizeof(sink), MSG_DONTWAIT);
	while (n > 0 && ++rounds < 64);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		linger_end(watch, linger);
}

static uint64_t slot_tag(const struct jf_watch *watch, int slot) {
	return (watch->slots[slot].ticket << SLOT_BITS & ~LINGER_BIT) | (uint64_t)slot;
}

/* With the lock held: the peer sends no more. That is how a client leaves, and also what one does that has said all it
 * wants to say and waits for the answer; from here on only a reset or an error is of interest. */
static void half_closed(struct jf_watch *watch, int slot) {
	struct epoll_event event = {.events = EPOLLONESHOT, .data.u64 = slot_tag(watch, slot)};

	watch->slots[slot].half_closed_ms = jf_clock_ms() + HALF_CLOSED_MS;
	epoll_ctl(watch->epoll_fd, EPOLL_CTL_MOD, watch->slots[slot].fd, &event);
}

static void on_event(struct jf_watch *watch, uint64_t tag, uint32_t events) {
	uint64_t value;
	int slot;

	if (tag == WAKE_TAG) {
		while (read(watch->wake_fd, &value, sizeof(value)) < 0 && errno == EINTR)
			;
		return;
	}
	if (tag & LINGER_BIT) {
		pthread_mutex_lock(&watch->lock);
		slot = (int)(tag & (MAX_LINGER - 1));
		if (watch->lingers[slot].fd >= 0)
			linger_read(watch, &watch->lingers[slot]);
		pthread_mutex_unlock(&watch->lock);
		return;
	}
	slot = (int)(tag & ((1u << SLOT_BITS) - 1));
	pthread_mutex_lock(&watch->lock);
	value = watch->slots[slot].ticket;
	if (value << SLOT_BITS >> SLOT_BITS != tag >> SLOT_BITS || !watch->slots[slot].watched)
		value = 0; /* an event of a socket that has left this slot */
	if (value && !(events & (EPOLLHUP | EPOLLERR))) {
		half_closed(watch, slot);
		value = 0;
	}
	pthread_mutex_unlock(&watch->lock);
	if (value)
		watch->events.hung_up(watch->events.context, slot, value);
}

/* With the lock held, which is dropped meanwhile: calls `event` for slot i when *when has come. */
static void call_when_due(struct jf_watch *watch, int i, int64_t *when, int64_t now,
    void (*event)(void *context, int slot, uint64_t ticket)) {
	uint64_t ticket = watch->slots[i].ticket;

	if (!ticket || *when < 0 || *when > now)
		return;
	*when = -1;
	pthread_mutex_unlock(&watch->lock);
	event(watch->events.context, i, ticket);
	pthread_mutex_lock(&watch->lock);
}

/* With the lock held. */
static void start_watching(struct jf_watch *watch, int slot) {
	struct slot *s = &watch->slots[slot];
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = slot_tag(watch, slot)};

	s->watched = epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, s->fd, &event) == 0;
}

static void tick(struct jf_watch *watch) {
	int64_t now = jf_clock_ms();
	int i;

	pthread_mutex_lock(&watch->lock);
	for (i = 0; i < watch->n_slots; i++) {
		if (watch->slots[i].wanted && !watch->slots[i].watched)
			start_watching(watch, i);
		call_when_due(watch, i, &watch->slots[i].half_closed_ms, now, watch->events.half_closed);
		call_when_due(watch, i, &watch->slots[i].deadline_ms, now, watch->events.expired);
	}
	for (i = 0; i < MAX_LINGER && watch->n_lingers; i++)
		if (watch->lingers[i].fd >= 0 && watch->lingers[i].deadline_ms <= now)
			linger_end(watch, &watch->lingers[i]);
	pthread_mutex_unlock(&watch->lock);
}

static void *run(void *argument) {
	struct jf_watch *watch = argument;
	struct epoll_event ready[EVENTS];
	int64_t next_check = 0, now;
	int n, i, timeout;
	bool stop;

	pthread_setname_np(pthread_self(), "jf-watch");
	for (;;) {
		jf_beat_answer(&watch->beat);
		pthread_mutex_lock(&watch->lock);
		stop = watch->stop;
		watch->asleep = watch->n_used == 0 && watch->n_lingers == 0;
		timeout = watch->asleep ? -1 : TICK_MS;
		pthread_mutex_unlock(&watch->lock);
		if (stop)
			return NULL;
		n = epoll_wait(watch->epoll_fd, ready, EVENTS, timeout);
		for (i = 0; i < n; i++)
			on_event(watch, ready[i].data.u64, ready[i].events);
		now = jf_clock_ms();
		if (now >= next_check) {
			tick(watch);
			next_check = now + TICK_MS;
		}
	}
}

static enum jf_err start(struct jf_watch *watch, struct jf_error *err) {
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE_TAG};
	sigset_t all, before;
	int code;

	watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->epoll_fd < 0 || watch->wake_fd < 0 ||
	    epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->wake_fd, &event) != 0)
		return jf_error_set(err, JF_EIO, "cannot make an epoll set: %s", strerror(errno));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&watch->thread, NULL, run, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return jf_error_set(err, JF_EIO, "cannot start the socket watch: %s", strerror(code));
	watch->started = true;
	return JF_OK;
}

struct jf_watch *jf_watch_create(int slots, const struct jf_watch_events *events, struct jf_error *err) {
	struct jf_watch *watch;
	int i;

	if (slots < 1 || slots > 1 << SLOT_BITS) {
		jf_error_set(err, JF_EINVAL, "a socket watch has 1 to %d slots, not %d", 1 << SLOT_BITS, slots);
		return NULL;
	}
	watch = calloc(1, sizeof(*watch));
	if (!watch) {
		jf_error_set(err, JF_ENOMEM, "no memory for the socket watch");
		return NULL;
	}
	watch->epoll_fd = watch->wake_fd = -1;
	watch->events = *events;
	watch->next_ticket = 1;
	pthread_mutex_init(&watch->lock, NULL);
	for (i = 0; i < MAX_LINGER; i++)
		watch->lingers[i].fd = -1;
	watch->slots = calloc((size_t)slots, sizeof(*watch->slots));
	if (!watch->slots) {
		jf_error_set(err, JF_ENOMEM, "no memory for %d slots of the socket watch", slots);
		goto fail;
	}
	watch->n_slots = slots;
	for (i = 0; i < slots; i++)
		watch->slots[i].next_free = i + 1 < slots ? i + 1 : -1;
	if (start(watch, err) != JF_OK)
		goto fail;
	return watch;
fail:
	jf_watch_destroy(watch);
	return NULL;
}

void jf_watch_destroy(struct jf_watch *watch) {
	int i;

	if (!watch)
		return;
	if (watch->started) {
		pthread_mutex_lock(&watch->lock);
		watch->stop = true;
		pthread_mutex_unlock(&watch->lock);
		wake(watch);
		pthread_join(watch->thread, NULL);
	}
	for (i = 0; i < MAX_LINGER; i++)
		if (watch->lingers[i].fd >= 0)
			close(watch->lingers[i].fd);
	if (watch->epoll_fd >= 0)
		close(watch->epoll_fd);
	if (watch->wake_fd >= 0)
		close(watch->wake_fd);
	pthread_mutex_destroy(&watch->lock);
	free(watch->slots);
	free(watch);
}

bool jf_watch_alive(struct jf_watch *watch, int stall_ms) {
	if (jf_beat_ask(&watch->beat, stall_ms))
		wake(watch);
	return jf_beat_is_alive(&watch->beat, stall_ms);
}

int jf_watch_open(struct jf_watch *watch, int fd, uint64_t *ticket) {
	int slot;

	pthread_mutex_lock(&watch->lock);
	slot = watch->first_free;
	if (slot >= 0) {
		watch->first_free = watch->slots[slot].next_free;
		watch->n_used++;
		*ticket = watch->next_ticket++;
		watch->slots[slot] =
		    (struct slot){.fd = fd, .ticket = *ticket, .deadline_ms = -1, .half_closed_ms = -1};
		wake_if_asleep(watch);
	}
	pthread_mutex_unlock(&watch->lock);
	return slot;
}

/* With the lock held. The next tick begins to watch, and sees what has happened until then: most answers are there
 * sooner, and cost no system call. */
static void hangup(struct jf_watch *watch, int slot, bool on) {
	struct slot *s = &watch->slots[slot];

	if (on == s->wanted)
		return;
	s->wanted = on;
	s->half_closed_ms = -1;
	if (s->watched)
		epoll_ctl(watch->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	s->watched = false;
}

void jf_watch_close(struct jf_watch *watch, int slot) {
	pthread_mutex_lock(&watch->lock);
	hangup(watch, slot, false);
	watch->slots[slot].ticket = 0;
	watch->slots[slot].next_free = watch->first_free;
	watch->first_free = slot;
	watch->n_used--;
	pthread_mutex_unlock(&watch->lock);
}

void jf_watch_deadline(struct jf_watch *watch, int slot, int64_t in_ms) {
	int64_t deadline = in_ms < 0 ? -1 : jf_clock_ms() + in_ms;

	pthread_mutex_lock(&watch->lock);
	watch->slots[slot].deadline_ms = deadline;
	pthread_mutex_unlock(&watch->lock);
}

void jf_watch_hangup(struct jf_watch *watch, int slot, bool on) {
	pthread_mutex_lock(&watch->lock);
	hangup(watch, slot, on);
	pthread_mutex_unlock(&watch->lock);
}

void jf_watch_linger(struct jf_watch *watch, int fd, int ms) {
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int i;

	if (copy < 0)
		return;
	pthread_mutex_lock(&watch->lock);
	for (i = 0; i < MAX_LINGER && watch->lingers[i].fd >= 0; i++)
		;
	event.data.u64 = LINGER_BIT | (uint64_t)i;
	if (i < MAX_LINGER && epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, copy, &event) == 0) {
		watch->lingers[i] = (struct lingering){.fd = copy, .deadline_ms = jf_clock_ms() + ms};
		watch->n_lingers++;
		copy = -1;
		wake_if_asleep(watch);
	}
	pthread_mutex_unlock(&watch->lock);
	if (copy >= 0)
		close(copy);
}
