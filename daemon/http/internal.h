/* What the two halves of the libmicrohttpd wrapper share. */
#ifndef JF_DAEMON_HTTP_INTERNAL_H
#define JF_DAEMON_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "daemon/http/acceptor.h"
#include "daemon/http/server.h"
#include "daemon/http/watch.h"
#include "daemon/service/beat.h"

#define JF_DISCARD_LIMIT 65536 /* a refused body up to this size is read and forgotten, so that keep-alive goes on */
#define JF_MAX_INSIDE 64       /* network threads that jf_server_alive can tell apart; more are not looked at */
#define JF_LINGER_MS 2000 /* a refused upload is read on for that long, else closing destroys the answer on its way */
#define JF_STREAM_LAG ((size_t)1 << 20)

enum jf_phase {
	JF_PHASE_IDLE,    /* between requests */
	JF_PHASE_HEAD,    /* request line seen, head incomplete or `begin` running */
	JF_PHASE_BODY,    /* head done, body arriving */
	JF_PHASE_WORK,    /* body done, no answer yet; perhaps suspended */
	JF_PHASE_SENDING, /* answer queued */
};

struct jf_connection {
	struct jf_server *server;
	int slot, fd;
	uint64_t ticket;
	struct jf_peer peer;
	enum jf_welcome welcome;
	bool overflow; /* beyond max_connections */
	/* guarded by server->lock */
	enum jf_phase phase;
	bool asked;                 /* its first request has begun */
	struct jf_request *request; /* the current one, borrowed from libmicrohttpd's side; NULL when idle */
};

struct jf_request {
	atomic_int references;
	struct jf_server *server;
	struct MHD_Connection *mhd; /* valid while connection is */
	/* Answered, and not resumed yet: the next one of the list that it is in, and those that its network thread
	 * resumes as soon as the library has gone on with this one. */
	struct jf_request *next, *behind;
	struct jf_peer peer;
	pthread_t thread; /* the network thread that serves it */
	bool tls, unwelcome, overflow, is_head;
	bool takes_interim; /* HTTP/1.1: answers may be preceded by 1xx ones */
	int64_t started_ns;
	char *target; /* as it came; path and query point into it */
	const char *path, *query, *authority;
	char *fields; /* NULL or, one after the other, each field's name and value, and an empty name */
	char method[16];
	void *user;

	/* the network thread's own */
	bool begun, deferred;
	bool discard; /* answered in `begin`: the body is read and forgotten */
	int64_t declared;
	int64_t read_before; /* of the connection when something of a body in chunks was last passed on; 0: unknown */
	char *body;
	size_t size, capacity, max_body;
	bool too_large, crowded;

	/* guarded by server->lock */
	struct jf_connection *connection; /* NULL when libmicrohttpd is done with the request */
	bool handled, replied, suspended, queued, aborted, hung_up;
	struct jf_response response;
	char *stream;
	size_t stream_start, stream_size, stream_capacity, sent;
	bool stream_ended;
	int outcome;    /* of a stream, for the log */
	bool cut;       /* its reader was too slow */
	size_t counted; /* of the body, against the shares */
};

/* What one network thread is asked; main's own. */
struct jf_pulse {
	struct jf_beat beat;
	int fd; /* our end of the connection that it is to answer; -1: none */
};

struct jf_server {
	struct jf_server_options options;
	struct jf_server_handlers handlers;
	struct jf_watch *watch;
	struct MHD_Daemon *daemons[2]; /* plain, TLS; NULL where no socket needs it */
	atomic_llong taken_ns;         /* when the last connection was accepted */

	/* Guards the state of connections and requests. Held while libmicrohttpd's suspend and resume and the watch's
	 * calls run; never while handlers run, but for `late`. */
	pthread_mutex_t lock;
	struct jf_connection **connections; /* [n_slots] by slot */
	/* [n_handed] by descriptor: those that the library has been given and not begun with */
	struct jf_connection **handed;
	int n_slots, n_handed, in_flight;
	/* of both kinds together; refused: heard for that, and for probes */
	int n_welcome, n_refused;
	int n_silent; /* of them: those that have not asked yet */
	bool draining, stopping;
	struct jf_acceptor *acceptor; /* NULL: nothing is accepted any more */

	size_t body_bytes; /* counted of all requests together */

	/* Network threads that are inside one of the library's calls to us, by the moment they came in; 0: a free
	 * place. */
	atomic_llong inside_ns[JF_MAX_INSIDE];
	struct jf_pulse *pulses; /* of the threads of daemons[0], then of daemons[1] */
};

/* connection.c: what the acceptor calls, and the library when it begins and ends with a connection */
int jf_server_head_ms(const struct jf_connection *connection);
bool jf_connection_room(void *context);
void jf_connection_take(
    void *context, const struct jf_listener *listener, int fd, const struct sockaddr *address, socklen_t size);
void jf_connection_notified(
    void *context, struct MHD_Connection *mhd, void **state, enum MHD_ConnectionNotificationCode code);
/* What was handed over under this descriptor, which is in nobody's use by now. */
void jf_connection_forget(struct jf_server *server, int fd);
/* When the library has stopped. */
void jf_connection_forget_all(struct jf_server *server);
/* refusal.c. Within the handler: something of the body has been passed on, or it begins. */
void jf_refusal_mark(struct jf_request *request);
/* With the lock held: sends an answer past the library. */
void jf_refusal_answer(struct jf_connection *connection, int status);
__attribute__((format(printf, 2, 0))) void jf_refusal_log(void *context, const char *format, va_list args);
/* exchange.c: one request from its first line to its last byte */
void *jf_exchange_uri(void *context, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result jf_exchange_handler(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **state);
void jf_exchange_completed(
    void *context, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode code);
/* pulse.c: whether each network thread has answered what it was asked within stall_ms. One caller. */
enum jf_err jf_pulse_create(struct jf_server *server, struct jf_error *err);
void jf_pulse_destroy(struct jf_server *server); /* when the library has stopped */
bool jf_pulse_alive(struct jf_server *server, int stall_ms);
/* Within the handler, for a request that nothing is known of. */
enum MHD_Result jf_pulse_answer(struct MHD_Connection *mhd);
/* request.c. Splits an origin-form or absolute-form target; false when it is neither. */
bool jf_exchange_split_target(struct jf_request *request);
/* Sets `declared` and tells what is wrong with the framing. method: as the library passed it. */
enum jf_framing_fault jf_exchange_read_head(struct jf_request *request, const char *method, const char *version);

/* resume.c. With the lock held: lets the network thread continue a suspended request, at once or, within a row of
 * answers (daemon/service/later.h), at its end. Whoever answers in a row has ended it before the server is stopped. */
void jf_resume(struct jf_request *request);
/* On the network thread, without the lock: the library has gone on with this request, so those behind it follow. */
void jf_resume_behind(struct jf_request *request);

#endif
