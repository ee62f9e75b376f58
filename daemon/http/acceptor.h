/* The thread that accepts connections on every listening socket and hands them on.
 *
 * libmicrohttpd could accept by itself. But ending that while its threads run, MHD_quiesce_daemon, races with them in
 * 0.9.75: both take the socket out of the same epoll set, and the second to do so aborts the process. */
#ifndef JF_DAEMON_HTTP_ACCEPTOR_H
#define JF_DAEMON_HTTP_ACCEPTOR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/base/error.h"
#include "daemon/service/listen.h"

struct jf_acceptor;

struct jf_acceptor_events {
	void *context;
	/* Whether there is room for one connection more. While there is none, new ones wait in the kernel's queue. */
	bool (*room)(void *context);
	/* A connection (non-blocking, close-on-exec), which is the callee's from here on. */
	void (*take)(
	    void *context, const struct jf_listener *listener, int fd, const struct sockaddr *address, socklen_t size);
};

/* listeners: borrowed until stop. NULL on failure. */
struct jf_acceptor *jf_acceptor_start(
    const struct jf_listeners *listeners, const struct jf_acceptor_events *events, struct jf_error *err);

/* There is room again. Any thread. */
void jf_acceptor_wake(struct jf_acceptor *acceptor);

/* Whether its thread has turned its loop within stall_ms; wakes it now and then to see. One caller. */
bool jf_acceptor_alive(struct jf_acceptor *acceptor, int stall_ms);

/* From now on the sockets of the service manager are left to our successor. Ours keep accepting: new clients are told
 * that we are leaving. */
void jf_acceptor_drain(struct jf_acceptor *acceptor);

/* Takes the connections that have arrived on our own sockets, and ends; the sockets stay open. NULL allowed. */
void jf_acceptor_stop(struct jf_acceptor *acceptor);

#endif
