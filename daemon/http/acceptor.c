#include "config.h"

#include "daemon/http/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "daemon/service/beat.h"
#include "daemon/service/log.h"

#define AT_A_TIME 64    /* connections of one socket before the others have their turn */
#define LAST_ROUNDS 32  /* as many times when stopping: what was in the kernel's queue, and no more for ever */
#define RECOVERY_MS 100 /* after an error that only time or a freed descriptor heals */
#define COMPLAINT_S 10  /* such errors are logged once in this time */

struct jf_acceptor {
	struct jf_acceptor_events events;
	const struct jf_listeners *listeners;
	pthread_t thread;
	int wake_fd;
	atomic_bool draining, stopping;
	struct jf_beat beat;
	int64_t complained_ns; /* the thread's own */
};

static void complain(struct jf_acceptor *acceptor, const struct jf_listener *listener, int code) {
	int64_t now = jf_clock_ns();
	if (acceptor->complained_ns && now - acceptor->complained_ns < COMPLAINT_S * INT64_C(1000000000))
		return;
	acceptor->complained_ns = now;
	jf_log(JF_LOG_WARNING, NULL, "%s: cannot accept a connection: %s%s", listener->name, strerror(code),
	    code == EMFILE ? " (ulimit -n, LimitNOFILE)" : "");
}

static bool passes(int code) {
	return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

/* Whether that socket's connections are ours to take. */
static bool is_open(const struct jf_acceptor *acceptor, const struct jf_listener *listener) {
	return !(listener->passed && atomic_load(&acceptor->draining)) &&
	       acceptor->events.room(acceptor->events.context);
}

/* Accepts what has come, up to AT_A_TIME. False when it is better to wait a while. */
static bool accept_some(struct jf_acceptor *acceptor, const struct jf_listener *listener) {
	for (int i = 0; i < AT_A_TIME && is_open(acceptor, listener); i++) {
		struct sockaddr_storage address;
		socklen_t size = sizeof(address);
		memset(&address, 0, sizeof(address));
		int fd = accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			acceptor->events.take(
			    acceptor->events.context, listener, fd, (const struct sockaddr *)&address, size);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return true;
		if (errno == EINTR || errno == ECONNABORTED)
			continue; /* it has left while it was waiting */
		complain(acceptor, listener, errno);
		if (passes(errno))
			return false;
	}
	return true;
}

/* What is to be waited for; a negative descriptor is skipped by poll. */
static void choose(const struct jf_acceptor *acceptor, struct pollfd *fds) {
	for (int i = 0; i < acceptor->listeners->n; i++) {
		const struct jf_listener *listener = &acceptor->listeners->item[i];
		fds[i] = (struct pollfd){.fd = is_open(acceptor, listener) ? listener->fd : -1, .events = POLLIN};
	}
	fds[acceptor->listeners->n] = (struct pollfd){.fd = acceptor->wake_fd, .events = POLLIN};
}

static void *run(void *argument) {
	struct jf_acceptor *acceptor = argument;
	int n = acceptor->listeners->n;
	struct pollfd fds[JF_MAX_LISTEN + 1];
	pthread_setname_np(pthread_self(), "jf-accept");
	for (int last_rounds = LAST_ROUNDS; last_rounds > 0;) {
		bool stopping = atomic_load(&acceptor->stopping), well = true;
		uint64_t wakes;
		jf_beat_answer(&acceptor->beat);
		choose(acceptor, fds);
		int ready = poll(fds, (nfds_t)n + 1, stopping ? 0 : -1);
		if (ready > 0 && fds[n].revents)
			ready -= read(acceptor->wake_fd, &wakes, sizeof(wakes)) > 0;
		for (int i = 0; i < n && ready > 0; i++)
			if (fds[i].revents)
				well = accept_some(acceptor, &acceptor->listeners->item[i]) && well;
		if (stopping)
			last_rounds = ready > 0 && well ? last_rounds - 1 : 0;
		else if (!well)
			poll(&fds[n], 1, RECOVERY_MS);
	}
	return NULL;
}

struct jf_acceptor *jf_acceptor_start(
    const struct jf_listeners *listeners, const struct jf_acceptor_events *events, struct jf_error *err) {
	struct jf_acceptor *acceptor = calloc(1, sizeof(*acceptor));
	if (!acceptor) {
		jf_error_set(err, JF_ENOMEM, "no memory to accept connections");
		return NULL;
	}
	acceptor->events = *events;
	acceptor->listeners = listeners;
	acceptor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int code = acceptor->wake_fd < 0 ? errno : pthread_create(&acceptor->thread, NULL, run, acceptor);
	if (code == 0)
		return acceptor;
	jf_error_set(err, JF_EIO, "cannot start to accept connections: %s", strerror(code));
	if (acceptor->wake_fd >= 0)
		close(acceptor->wake_fd);
	free(acceptor);
	return NULL;
}

void jf_acceptor_wake(struct jf_acceptor *acceptor) {
	uint64_t one = 1;
	if (write(acceptor->wake_fd, &one, sizeof(one)) < 0) {
		/* it is awake already */
	}
}

bool jf_acceptor_alive(struct jf_acceptor *acceptor, int stall_ms) {
	if (jf_beat_ask(&acceptor->beat, stall_ms))
		jf_acceptor_wake(acceptor);
	return jf_beat_is_alive(&acceptor->beat, stall_ms);
}

void jf_acceptor_drain(struct jf_acceptor *acceptor) {
	atomic_store(&acceptor->draining, true);
	jf_acceptor_wake(acceptor);
}

void jf_acceptor_stop(struct jf_acceptor *acceptor) {
	if (!acceptor)
		return;
	atomic_store(&acceptor->draining, true);
	atomic_store(&acceptor->stopping, true);
	jf_acceptor_wake(acceptor);
	pthread_join(acceptor->thread, NULL);
	close(acceptor->wake_fd);
	free(acceptor);
}
