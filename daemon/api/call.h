/* A call: one request on its way through the API, and what all of the API shares. */
#ifndef JF_DAEMON_API_CALL_H
#define JF_DAEMON_API_CALL_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/api/api.h"
#include "daemon/api/ask.h"
#include "daemon/api/morph.h"
#include "daemon/api/v2_infer.h"
#include "daemon/http/access.h"
#include "daemon/http/assets.h"
#include "daemon/http/keys.h"
#include "daemon/http/limit.h"
#include "daemon/http/params.h"
#include "daemon/http/problem.h"
#include "daemon/http/server.h"
#include "daemon/work/errands.h"
#include "daemon/work/job.h"

struct jf_route;

struct jf_http {
	struct jf_http_parts parts;
	struct jf_server *server;
	struct jf_errands *errands;
	struct jf_limit *limit;
	struct jf_ways *ways; /* of morphs, measured */
	struct jf_assets *assets;
	pthread_rwlock_t keys_lock; /* guards the pointer; a reload swaps it */
	struct jf_keys *keys;
	atomic_bool ready, draining;
	atomic_ulong next_id;
	uint64_t id_key;   /* drawn at start, so that ids of two runs differ */
	int64_t started_s; /* seconds since the epoch */
	bool tls;
};

enum jf_representation { JF_AS_JSON, JF_AS_PNG, JF_AS_STREAM, JF_AS_TEXT, JF_AS_HTML, JF_N_REPRESENTATIONS };
const char *jf_representation_type(enum jf_representation representation); /* "application/json" ... */

struct jf_call {
	struct jf_http *http;
	struct jf_request *request; /* borrowed: the call is its user and dies with it */
	const struct jf_route *route;
	char id[65];
	char client[64];
	char traceparent[56]; /* the client's, when it is one; "" none */
	char tail[128];       /* what stands behind a route that ends with a star, or for {model}; decoded */
	char origin[256];     /* the origin that CORS answers; "" none */
	int timeout_ms;
	enum jf_representation as;
	struct jf_problem problem;
	struct jf_params params;
	struct jf_ask ask;
	struct jf_v2_outputs outputs;
	char *client_id; /* v2: the client's name for it; NULL none */
	/* see daemon/api/heavy.h */
	atomic_size_t charged; /* the weight with which it was moved away from the network thread; 0: it was not */
	size_t heavy;          /* weight of pictures that shall not be decoded here and now; 0 none */
	struct jf_ask_reading reading;
	/* Owned reference; NULL before submit. Whoever sets one of the two looks at the other afterwards. */
	_Atomic(struct jf_job *) job;
	atomic_bool left;                                               /* the client has hung up */
	void (*answer)(struct jf_call *call, const struct jf_job *job); /* when the job is done */
	struct jf_json_writer trace; /* steps of the first item, as the inside of a JSON array */
	char etag[72];
	int64_t handled_ns;
};

/* Answers, with the header fields that every answer has. Takes over the response. */
void jf_call_reply(struct jf_call *call, struct jf_response *response);
/* Answers with call->problem. */
void jf_call_fail(struct jf_call *call);
/* Sets the problem and answers with it. */
void jf_call_fail_with(struct jf_call *call, enum jf_problem_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Notes that its time is over. Any thread. */
void jf_call_late(const struct jf_call *call, struct jf_problem *problem);
/* Answers 200 (or `status`) with what the writer holds; the writer is empty afterwards. */
void jf_call_reply_json(struct jf_call *call, int status, struct jf_json_writer *writer);
/* The model in force with a reference, or NULL after answering 503. */
struct jf_model *jf_call_model(struct jf_call *call);
/* Whether If-None-Match names the etag; then 304 has been answered. */
bool jf_call_not_modified(struct jf_call *call, const char *etag, const char *cache_control);
const char *jf_call_method(const struct jf_call *call);

#endif
