/* HTTP/1.1: connections, requests, responses. The one wrapper of libmicrohttpd (0.9.75 and later).
 *
 * A request is taken in on a network thread: `begin` when its head is complete, `handle` when its body is. A request
 * that neither answers is suspended and answered later from any thread. This wrapper adds what the library lacks:
 * deadlines for suspended connections, hang-ups noticed while one waits, an upload deadline, refusal of ambiguous
 * framing (duplicate Content-Length, Content-Length beside Transfer-Encoding), and answers that survive an unread
 * body. */
#ifndef JF_DAEMON_HTTP_SERVER_H
#define JF_DAEMON_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "daemon/http/response.h"
#include "daemon/service/listen.h"

struct jf_server;
struct jf_request;

/* The peer of a connection. */
struct jf_peer {
	uint8_t address[16]; /* IPv6, or IPv4 mapped into it; zero for a Unix socket */
	bool is_unix;
	char text[64]; /* "127.0.0.1", "unix" */
};

enum jf_request_trouble {
	JF_TROUBLE_HUNG_UP,  /* the client is gone; an answer would reach nobody */
	JF_TROUBLE_DEADLINE, /* jf_request_deadline has passed */
};

#define JF_SPARE_CONNECTIONS 32

/* Of a request's head: its first line and all its fields. */
#define JF_MAX_HEAD_BYTES 16384
#define JF_MAX_HEAD_FIELDS 100

/* What was wrong with a request's framing; `begin` gets it and should answer 400, 413, 431 or 501. */
enum jf_framing_fault {
	JF_FRAMING_FINE,
	JF_FRAMING_LENGTHS,  /* several Content-Length fields, or Content-Length beside Transfer-Encoding */
	JF_FRAMING_ENCODING, /* a Transfer-Encoding other than chunked */
	JF_FRAMING_HEADER,   /* a field name that is not a token, or a field that must be single and is not */
	JF_FRAMING_HOST,     /* HTTP/1.1 without Host */
	JF_FRAMING_TARGET,   /* the target is neither origin-form nor absolute-form */
	JF_FRAMING_NUL,      /* a NUL in a field's value: the library would take what stands before it for the whole */
	JF_FRAMING_SIZE,     /* the head is longer than JF_MAX_HEAD_BYTES */
	JF_FRAMING_FIELDS,   /* it has more than JF_MAX_HEAD_FIELDS fields */
};

/* What a connection may expect. */
enum jf_welcome {
	JF_WELCOME,
	JF_WELCOME_SHARED, /* it speaks for many clients (a proxy): its bodies have no share of their own */
	JF_UNWELCOME,      /* its requests are marked jf_request_unwelcome */
	JF_CLOSED,         /* nothing: it is closed before anything is read */
};

struct jf_server_handlers {
	void *context;
	/* A connection was accepted. disconnected follows for each that is not JF_CLOSED. Never two at a time.
	 * may_be_refused: there is room for one that is JF_UNWELCOME. */
	enum jf_welcome (*connected)(void *context, const struct jf_peer *peer, bool may_be_refused);
	void (*disconnected)(void *context, const struct jf_peer *peer);
	/* The head is there. May answer; then the body is not kept. Must not keep the request. */
	void (*begin)(void *context, struct jf_request *request, enum jf_framing_fault fault);
	/* The body is there. Answers, or calls jf_request_defer and answers later. */
	void (*handle)(void *context, struct jf_request *request);
	/* Called for a deferred request, at most once for each kind of trouble, from any thread, while it is unanswered
	 * or streaming. */
	void (*trouble)(void *context, struct jf_request *request, enum jf_request_trouble trouble);
	/* The response is sent or the connection broke: for the log and the metrics. The last call on a network
	 * thread. */
	void (*finished)(void *context, struct jf_request *request);
	/* Frees what jf_request_set_user put there; after the last reference is gone. */
	void (*release)(void *context, void *user);
	/* Fills the answer to a request that never got through: 408 when it did not arrive in time, else what is wrong
	 * with its head. request is NULL when that is not complete or not read. Formats only: a lock is held. */
	void (*unread)(void *context, struct jf_request *request, int status, struct jf_response *response);
	void (*log)(void *context, const char *message); /* the library's own messages, for debugging */
};

struct jf_server_options {
	int threads; /* network threads; as many again for TLS beside a Unix socket */
	/* Of all listeners together, without those of an address over its limit. JF_SPARE_CONNECTIONS more are heard,
	 * for probes and refusals; the others wait in the kernel's queue. */
	int max_connections;
	int idle_timeout_ms, upload_timeout_ms;
	size_t address_bodies_bytes; /* the same for the requests of one address; small bodies always pass */
	size_t all_bodies_bytes;     /* bodies of all requests at a time; one beyond is cut off: jf_request_crowded */
	size_t max_body_bytes;       /* a larger body is cut off and jf_request_too_large says so */
	bool tls;                    /* internet sockets speak TLS, with the certificate of daemon/http/tls.h */
	const struct jf_listeners *listeners; /* borrowed; stay open */
};

struct jf_server *jf_server_start(
    const struct jf_server_options *options, const struct jf_server_handlers *handlers, struct jf_error *err);
/* Every response says Connection: close. Sockets of the service manager are left to our successor; our own go on. */
void jf_server_drain(struct jf_server *server);
/* Accepts no more connections than have arrived on our own sockets by now. The sockets stay open: the caller closes
 * them. */
void jf_server_close(struct jf_server *server);
/* Ends every connection; unanswered requests get a bare 503. All worker threads must be done. NULL allowed. */
void jf_server_stop(struct jf_server *server);
/* Whether every thread of the server turns its loop: the one that accepts and the one that watches connections, and
 * each network thread, which is handed a connection of our own now and then. False when one has shown nothing for
 * longer than stall_ms, or has been in a handler for so long. Asks anew with each call, so it must be called regularly,
 * by one thread, and not after jf_server_stop has begun. */
bool jf_server_alive(struct jf_server *server, int stall_ms);
int jf_server_in_flight(struct jf_server *server); /* requests begun and not finished */
/* Requests are in flight, or a connection is so new that its first request may still be on its way. */
bool jf_server_busy(struct jf_server *server);
int jf_server_connections(struct jf_server *server);

/* --- a request; strings are borrowed and live as long as it does, header fields only until `handle` returns --- */
const char *jf_request_method(const struct jf_request *request);
const char *jf_request_path(const struct jf_request *request);  /* raw, percent-encoded, starts with '/' */
const char *jf_request_query(const struct jf_request *request); /* raw, without '?'; "" when absent */
const char *jf_request_header(const struct jf_request *request, const char *name); /* the first; NULL when absent */
/* Within `handle`: the fields live as long as the request from now on, for who reads them in another thread, where the
 * connection may be gone already. False without memory. */
bool jf_request_keep_fields(struct jf_request *request);
/* All fields of that name in one, ", " between them (RFC 9110, 5.3); what does not fit is left out at the front. False
 * when there is none. */
bool jf_request_header_all(const struct jf_request *request, const char *name, char *out, size_t size);
const struct jf_peer *jf_request_peer(const struct jf_request *request);
bool jf_request_unwelcome(const struct jf_request *request); /* its address has too many connections */
bool jf_request_overflow(const struct jf_request *request);  /* all addresses together have */
/* Declared length of the body; -1 when it is chunked. */
int64_t jf_request_declared(const struct jf_request *request);
const char *jf_request_body(const struct jf_request *request, size_t *size); /* NUL follows it; "" when empty */
/* Within `handle`, or by the answerer of a deferred request before it answers: the body is needed no more. */
void jf_request_drop_body(struct jf_request *request);
bool jf_request_crowded(const struct jf_request *request); /* too many bodies were on their way */
/* Within `begin`: lowers max_body_bytes for this request. */
void jf_request_limit_body(struct jf_request *request, size_t bytes);
size_t jf_request_body_limit(const struct jf_request *request);
bool jf_request_too_large(const struct jf_request *request); /* the body was longer than its limit */

void jf_request_set_user(struct jf_request *request, void *user);
void *jf_request_user(const struct jf_request *request);

struct jf_request *jf_request_ref(struct jf_request *request);
void jf_request_unref(struct jf_request *request);

/* Within `handle`: the answer comes later. Takes a reference for the answerer, who drops it after answering. */
void jf_request_defer(struct jf_request *request);
/* `trouble` is due this many milliseconds from now; negative: never. */
void jf_request_deadline(struct jf_request *request, int in_ms);

/* The answer: the first one counts, later ones are thrown away. Takes over an owned body. Any thread. False when it was
 * not the first or the connection is gone. */
bool jf_request_reply(struct jf_request *request, struct jf_response *response);

/* Body of a `stream` response, any thread. A droppable piece is left out when the client lags more than 1 MiB behind.
 * False when it was left out or the connection is gone. */
bool jf_request_write(struct jf_request *request, const void *data, size_t size, bool droppable);
/* status: of the whole, for the log: 200, or what a stream that ended with an error would have answered otherwise. A
 * slow reader has idle_timeout_ms and a second for each 16 KiB to take what is left. */
void jf_request_end(struct jf_request *request, int status);

/* For `finished`. */
int jf_request_status(const struct jf_request *request); /* 0: none was sent; 499: not all of it, see below */
const char *jf_request_why_unsent(const struct jf_request *request); /* of a 499, in words; else NULL */
size_t jf_request_sent_bytes(const struct jf_request *request);      /* of the body; 0 for HEAD */
double jf_request_age_ms(const struct jf_request *request);          /* since its first line arrived */

#endif
