/* Listeners, connections and their deadlines. */
#include "daemon/http/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "daemon/http/internal.h"
#include "daemon/http/tls.h"

/* A head of JF_MAX_HEAD_BYTES, the library's copy of a Cookie field that is nearly all of it, and the answer's head. */
#define CONNECTION_MEMORY (2 * JF_MAX_HEAD_BYTES + 12288)
#define STOP_GRACE_MS 1000
#define CLOSED_LATER 256     /* connections that the library counts a moment longer than we do */
#define FIRST_REQUEST_MS 250 /* the first request of a connection taken this short a time ago may be on its way */

/* --- what the watch tells --- */

/* With the lock held: the connection that the watch means, if it is still that one. */
static struct jf_connection *find(struct jf_server *server, int slot, uint64_t ticket) {
	struct jf_connection *connection = server->connections[slot];

	return connection && connection->ticket == ticket ? connection : NULL;
}

/* With the lock held, which is dropped meanwhile: the client of a waiting request is gone. */
static void hang_up(struct jf_server *server, struct jf_request *request) {
	jf_request_ref(request);
	request->hung_up = true;
	if (request->queued)
		jf_resume(request); /* a stream: its reader sees hung_up and ends it */
	pthread_mutex_unlock(&server->lock);
	server->handlers.trouble(server->handlers.context, request, JF_TROUBLE_HUNG_UP);
	jf_request_unref(request);
	pthread_mutex_lock(&server->lock);
}

static void on_hung_up(void *context, int slot, uint64_t ticket) {
	struct jf_server *server = context;
	struct jf_connection *connection;

	pthread_mutex_lock(&server->lock);
	connection = find(server, slot, ticket);
	if (connection && connection->request && connection->request->suspended)
		hang_up(server, connection->request);
	pthread_mutex_unlock(&server->lock);
}

/* A client that has left and one that has only said all it wanted to say look the same until something is sent: the
 * first one's kernel then resets the connection. An interim answer is the one thing that may be sent before the answer
 * (RFC 9110, 15.2), and 100 is the one that every client skips. A stream finds out by its next event. Over TLS nothing
 * can be sent beside the library, and no client half-closes: there it is gone. */
static void on_half_closed(void *context, int slot, uint64_t ticket) {
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct jf_server *server = context;
	struct jf_connection *connection;
	struct jf_request *request;

	pthread_mutex_lock(&server->lock);
	connection = find(server, slot, ticket);
	request = connection ? connection->request : NULL;
	if (request && request->suspended &&
	    (request->tls || (!request->queued && request->takes_interim &&
				 send(connection->fd, interim, sizeof(interim) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)))
		hang_up(server, request);
	pthread_mutex_unlock(&server->lock);
}

/* With the lock held: the request is not there yet, or the linger of its answer, during which the library reads on, is
 * over. */
static void request_is_late(struct jf_connection *connection) {
	struct jf_request *request = connection->request;
	bool waiting = request && !request->replied && !request->aborted;

	if (waiting)
		request->aborted = true;
	if (waiting && !request->tls) {
		jf_refusal_answer(connection, 408);
		jf_watch_deadline(connection->server->watch, connection->slot, JF_LINGER_MS);
	} else {
		shutdown(connection->fd, SHUT_RDWR); /* the library reads the end of the stream and closes */
	}
}

static void on_expired(void *context, int slot, uint64_t ticket) {
	struct jf_server *server = context;
	struct jf_connection *connection;
	struct jf_request *request = NULL;

	pthread_mutex_lock(&server->lock);
	connection = find(server, slot, ticket);
	if (!connection) {
		/* closed in the meantime */
	} else if (connection->phase == JF_PHASE_WORK) {
		if (!connection->request->replied && connection->request->suspended)
			request = jf_request_ref(connection->request);
		else if (!connection->request->replied)
			jf_watch_deadline(server->watch, slot, 100); /* its handler is still running */
	} else if (connection->phase == JF_PHASE_SENDING) {
		connection->request->cut = true;
		shutdown(connection->fd, SHUT_RDWR); /* the library cannot write and gives up */
	} else {
		request_is_late(connection);
	}
	pthread_mutex_unlock(&server->lock);
	if (request) {
		server->handlers.trouble(server->handlers.context, request, JF_TROUBLE_DEADLINE);
		jf_request_unref(request);
	}
}

/* --- life --- */

/* The library's part, which never sees a listening socket: [0] plain, [1] TLS. */
static enum jf_err start_daemon(struct jf_server *server, bool tls, struct jf_error *err) {
	const struct jf_server_options *options = &server->options;
	unsigned flags =
	    MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET;
	struct MHD_OptionItem extra[4];
	union { /* the library's array has room for pointers to data alone */
		gnutls_certificate_retrieve_function3 *function;
		void *memory;
	} choose;
	/* each thread has its part of them, and may have all connections to serve */
	unsigned limit = (unsigned)(server->n_slots + CLOSED_LATER) * (unsigned)options->threads;
	int n = 0;

	if (options->threads > 1)
		extra[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, options->threads, NULL};
	if (tls) {
		flags |= MHD_USE_TLS;
		choose.function = jf_tls_choose;
		extra[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, choose.memory};
	}
	extra[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	/* the logger comes first: options after it can already complain */
	server->daemons[tls] = MHD_start_daemon(flags, 0, NULL, NULL, jf_exchange_handler, server,
	    MHD_OPTION_EXTERNAL_LOGGER, jf_refusal_log, server, MHD_OPTION_CONNECTION_LIMIT, limit,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
	    (unsigned)((options->idle_timeout_ms + 999) / 1000), MHD_OPTION_NOTIFY_CONNECTION, jf_connection_notified,
	    server, MHD_OPTION_NOTIFY_COMPLETED, jf_exchange_completed, server, MHD_OPTION_URI_LOG_CALLBACK,
	    jf_exchange_uri, server, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, extra, MHD_OPTION_END);
	if (!server->daemons[tls])
		return jf_error_set(err, JF_EIO, "cannot start %d network threads", options->threads);
	return JF_OK;
}

/* All threads of the server: signals belong to main's. */
static enum jf_err start_threads(struct jf_server *server, struct jf_error *err) {
	struct jf_acceptor_events events = {server, jf_connection_room, jf_connection_take};
	const struct jf_listeners *listeners = server->options.listeners;
	enum jf_err code = JF_OK;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (int i = 0; i < listeners->n && code == JF_OK; i++) {
		bool tls = server->options.tls && !listeners->item[i].is_unix;
		if (!server->daemons[tls])
			code = start_daemon(server, tls, err);
	}
	if (code == JF_OK && !(server->acceptor = jf_acceptor_start(listeners, &events, err)))
		code = JF_EIO;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
}

struct jf_server *jf_server_start(
    const struct jf_server_options *options, const struct jf_server_handlers *handlers, struct jf_error *err) {
	struct jf_server *server = calloc(1, sizeof(*server));
	struct jf_watch_events events = {on_hung_up, on_half_closed, on_expired, server};

	if (!server) {
		jf_error_set(err, JF_ENOMEM, "no memory for the HTTP server");
		return NULL;
	}
	server->options = *options;
	server->handlers = *handlers;
	pthread_mutex_init(&server->lock, NULL);
	server->n_slots = options->max_connections + JF_SPARE_CONNECTIONS;
	server->connections = calloc((size_t)server->n_slots, sizeof(struct jf_connection *));
	if (!server->connections) {
		jf_error_set(err, JF_ENOMEM, "no memory for %d connections", server->n_slots);
		goto fail;
	}
	server->watch = jf_watch_create(server->n_slots, &events, err);
	if (!server->watch)
		goto fail;
	if (jf_pulse_create(server, err) != JF_OK || start_threads(server, err) != JF_OK)
		goto fail;
	return server;
fail:
	jf_server_stop(server);
	return NULL;
}

void jf_server_drain(struct jf_server *server) {
	pthread_mutex_lock(&server->lock);
	server->draining = true;
	pthread_mutex_unlock(&server->lock);
	if (server->acceptor)
		jf_acceptor_drain(server->acceptor);
}

void jf_server_close(struct jf_server *server) {
	struct jf_acceptor *acceptor;

	pthread_mutex_lock(&server->lock);
	acceptor = server->acceptor;
	server->acceptor = NULL;
	pthread_mutex_unlock(&server->lock);
	jf_acceptor_stop(acceptor);
}

void jf_server_stop(struct jf_server *server) {
	struct jf_request *request;
	int i;

	if (!server)
		return;
	jf_server_drain(server);
	jf_server_close(server);
	/* The library must not be stopped while a connection is suspended; from here on none is again. */
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	for (i = 0; i < server->n_slots && server->connections; i++) {
		request = server->connections[i] ? server->connections[i]->request : NULL;
		if (!request || !request->suspended)
			continue;
		if (!request->replied) {
			jf_response_init(&request->response, 503);
			request->replied = true;
		}
		jf_resume(request);
	}
	pthread_mutex_unlock(&server->lock);
	/* what was answered a moment ago gets its chance to leave */
	for (i = 0; i < STOP_GRACE_MS && jf_server_busy(server); i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	for (i = 0; i < 2; i++)
		if (server->daemons[i])
			MHD_stop_daemon(server->daemons[i]);
	jf_connection_forget_all(server);
	jf_pulse_destroy(server);
	jf_watch_destroy(server->watch);
	pthread_mutex_destroy(&server->lock);
	free(server->connections);
	free(server);
}

/* Whether no handler has been running for so long. */
static bool handlers_return(struct jf_server *server, int stall_ms) {
	int64_t oldest = jf_clock_ns() - (int64_t)stall_ms * 1000000;
	int i;

	for (i = 0; i < JF_MAX_INSIDE; i++) {
		int64_t since = atomic_load(&server->inside_ns[i]);

		if (since && since < oldest)
			return false;
	}
	return true;
}

/* All are asked, whatever one of them says: an answer takes until the next call. */
bool jf_server_alive(struct jf_server *server, int stall_ms) {
	bool accepts = !server->acceptor || jf_acceptor_alive(server->acceptor, stall_ms);
	bool watches = jf_watch_alive(server->watch, stall_ms);
	bool serves = jf_pulse_alive(server, stall_ms);
	return accepts && watches && serves && handlers_return(server, stall_ms);
}

int jf_server_in_flight(struct jf_server *server) {
	int n;

	pthread_mutex_lock(&server->lock);
	n = server->in_flight;
	pthread_mutex_unlock(&server->lock);
	return n;
}

bool jf_server_busy(struct jf_server *server) {
	bool recent = jf_clock_ns() - atomic_load(&server->taken_ns) < FIRST_REQUEST_MS * INT64_C(1000000);

	pthread_mutex_lock(&server->lock);
	bool busy = server->in_flight > 0 || (recent && server->n_silent > 0);
	pthread_mutex_unlock(&server->lock);
	return busy;
}
