/* Error answers: RFC 9457 problem documents, and the one table of what can go wrong. */
#ifndef JF_DAEMON_HTTP_PROBLEM_H
#define JF_DAEMON_HTTP_PROBLEM_H

#include <stdbool.h>

#include "core/base/error.h"
#include "daemon/http/response.h"

/* X(enum suffix, status, slug of `type`, title). The type's URI is "urn:jointflow:problem:" slug. */
#define JF_PROBLEM_TABLE(X)                                                      \
	X(MALFORMED, 400, "malformed-request", "Malformed request")              \
	X(UNAUTHORIZED, 401, "unauthorized", "A valid key is needed")            \
	X(CROSS_SITE, 403, "cross-site", "Cross-site request refused")           \
	X(NOT_FOUND, 404, "not-found", "Not found")                              \
	X(METHOD, 405, "method-not-allowed", "Method not allowed")               \
	X(NOT_ACCEPTABLE, 406, "not-acceptable", "No acceptable representation") \
	X(TIMEOUT, 408, "request-timeout", "The request did not arrive in time") \
	X(TOO_LARGE, 413, "content-too-large", "Content too large")              \
	X(MEDIA_TYPE, 415, "unsupported-media-type", "Unsupported media type")   \
	X(MISDIRECTED, 421, "misdirected-request", "Host not served here")       \
	X(INVALID, 422, "invalid-parameters", "Invalid parameters")              \
	X(IMAGE, 422, "unusable-image", "Unusable image")                        \
	X(RATE, 429, "too-many-requests", "Too many requests")                   \
	X(HEAD, 431, "head-too-large", "Request header fields too large")        \
	X(INTERNAL, 500, "internal-error", "Internal error")                     \
	X(FULL, 503, "queue-full", "The queue is full")                          \
	X(LOADING, 503, "loading", "The model is loading")                       \
	X(DRAINING, 503, "draining", "The server is shutting down")              \
	X(DEADLINE, 503, "deadline-exceeded", "Not finished before the deadline")

enum jf_problem_type {
#define JF_PROBLEM_ENUM(id, status, slug, title) JF_PROBLEM_##id,
	JF_PROBLEM_TABLE(JF_PROBLEM_ENUM)
#undef JF_PROBLEM_ENUM
	    JF_N_PROBLEMS
};

#define JF_PROBLEM_ERRORS 16

struct jf_problem {
	bool set; /* something is wrong; the first type stays */
	enum jf_problem_type type;
	char detail[320];
	int n_errors; /* further ones are left out */
	struct {
		char pointer[112]; /* JSON pointer (RFC 6901) of the field; the query's fields have the same names */
		char detail[208];
	} errors[JF_PROBLEM_ERRORS];
	int retry_after_s; /* 0: no Retry-After, or the caller's choice; -1: none, whatever the status */
	const char *allow; /* the Allow field of a 405; NULL: none */
};

/* Sets type and detail unless something was set before. Always returns false, so that callers write
 * `return jf_problem_set(...)`. */
bool jf_problem_set(struct jf_problem *problem, enum jf_problem_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One more wrong field: the problem becomes INVALID unless something was set before. pointer: "/steps". Returns
 * false. */
bool jf_problem_field(struct jf_problem *problem, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int jf_problem_status(enum jf_problem_type type);

/* The document. instance: the request's path, any bytes; request_id as is. *length out. malloc'd; NULL when
 * memory is short. */
char *jf_problem_text(const struct jf_problem *problem, const char *instance, const char *request_id, size_t *length);

/* A whole response: status, document, Retry-After, Allow, WWW-Authenticate. */
void jf_problem_respond(
    struct jf_response *response, const struct jf_problem *problem, const char *instance, const char *request_id);

#endif
