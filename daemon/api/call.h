/* A call: one request on its way through the API, and what all of the API shares. */
#ifndef JF_DAEMON_API_CALL_H
#define JF_DAEMON_API_CALL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/pictures/framing.h"
#include "daemon/api/api.h"
#include "daemon/http/access.h"
#include "daemon/http/assets.h"
#include "daemon/http/keys.h"
#include "daemon/http/limit.h"
#include "daemon/http/params.h"
#include "daemon/http/problem.h"
#include "daemon/http/server.h"
#include "daemon/work/job.h"

struct jf_route;

struct jf_http {
	struct jf_http_parts parts;
	struct jf_server *server;
	struct jf_limit *limit;
	struct jf_assets *assets;
	pthread_rwlock_t keys_lock; /* guards the pointer; a reload swaps it */
	struct jf_keys *keys;
	atomic_bool ready, draining;
	atomic_ulong next_id;
	uint64_t id_key;         /* drawn at start, so that ids of two runs differ */
	int64_t started_s;       /* seconds since the epoch */
	char *certificate, *key; /* PEM text or NULL */
};

enum jf_representation { JF_AS_JSON, JF_AS_PNG, JF_AS_STREAM, JF_AS_TEXT, JF_AS_HTML, JF_N_REPRESENTATIONS };
const char *jf_representation_type(enum jf_representation representation); /* "application/json" ... */

enum jf_api_task { JF_API_CLASSIFY, JF_API_GENERATE, JF_API_BLEND, JF_API_SAMPLE, JF_API_INFER, JF_N_API_TASKS };

/* What one of the four questions asks, after parsing. */
struct jf_api_request {
	enum jf_api_task task;
	bool posterior; /* classify: method=posterior */
	bool trace, matrix;
	bool seed_given;
	int64_t seed, index;
	int steps, solver, samples, count, rows, columns, scale, gap;
	int from, to; /* blend: classes; -1 when labels were given */
	int outputs;  /* infer: bit 0 probabilities, bit 1 label */
	float guidance;
	struct jf_framing_options framing;
	const char *image; /* classify: the PNG as it came; borrowed from the body, or owned_image */
	size_t image_size;
	unsigned char *owned_image;
	struct jf_framing_report framed;
	double decode_ms;
};

struct jf_call {
	struct jf_http *http;
	struct jf_request *request; /* borrowed: the call is its user and dies with it */
	const struct jf_route *route;
	char id[65];
	char client[64];
	char tail[128];   /* what stands behind a route that ends with a star, or for {model}; decoded */
	char origin[256]; /* the origin that CORS answers; "" none */
	int timeout_ms;
	enum jf_representation as;
	struct jf_problem problem;
	struct jf_params params;
	struct jf_api_request ask;
	struct jf_job *job;          /* owned reference; NULL before submit */
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
/* Answers 200 (or `status`) with what the writer holds; the writer is empty afterwards. */
void jf_call_reply_json(struct jf_call *call, int status, struct jf_json_writer *writer);
/* The model in force with a reference, or NULL after answering 503. */
struct jf_model *jf_call_model(struct jf_call *call);
/* Whether If-None-Match names the etag; then 304 has been answered. */
bool jf_call_not_modified(struct jf_call *call, const char *etag, const char *cache_control);
const char *jf_call_method(const struct jf_call *call);

/* --- routes.c --------------------------------------------------------------------------------------------------------
 */

enum {
	JF_GET = 1, /* and HEAD */
	JF_POST = 2,
};
enum {
	JF_ROUTE_OPEN = 1,     /* no key needed */
	JF_ROUTE_PROBE = 2,    /* no key, no Host check, no rate limit */
	JF_ROUTE_METRICS = 4,  /* open when metrics_public */
	JF_ROUTE_PNG_BODY = 8, /* takes image/png and multipart/form-data beside JSON */
	JF_ROUTE_ANY_ACCEPT = 16,
};

struct jf_route {
	const char *pattern; /* "/v1/classify"; "*" at the end: any rest; "{}": one segment */
	const char *label;   /* the route in metrics and problems */
	int methods, flags;
	enum jf_representation get_offers[3], post_offers[3]; /* best first */
	int n_get, n_post;
	void (*handle)(struct jf_call *call);
};

/* The route for a decoded path; tail is filled. NULL: none. */
const struct jf_route *jf_route_find(const char *path, char *tail, size_t size);

/* --- handlers --------------------------------------------------------------------------------------------------------
 */
void jf_api_classify(struct jf_call *call);
void jf_api_generate(struct jf_call *call);
void jf_api_blend(struct jf_call *call);
void jf_api_sample(struct jf_call *call);
void jf_api_model(struct jf_call *call);
void jf_api_version(struct jf_call *call);
void jf_api_openapi(struct jf_call *call);
void jf_api_livez(struct jf_call *call);
void jf_api_readyz(struct jf_call *call);
void jf_api_health(struct jf_call *call);
void jf_api_metrics(struct jf_call *call);
void jf_api_page(struct jf_call *call);
void jf_v2_server(struct jf_call *call);
void jf_v2_live(struct jf_call *call);
void jf_v2_ready(struct jf_call *call);
void jf_v2_model(struct jf_call *call);
void jf_v2_model_ready(struct jf_call *call);
void jf_v2_infer(struct jf_call *call);
void jf_v2_reply(struct jf_call *call, const struct jf_job *job);

/* --- the four questions ----------------------------------------------------------------------------------------------
 */

/* What a job is made from. */
struct jf_ask_inputs {
	float *image;  /* classify: [H][W][C], malloc'd */
	float *labels; /* generate, blend: [n_labels][K], -1/+1 coded, malloc'd */
	int n_labels;
	int n; /* items of the job */
};
void jf_ask_inputs_free(struct jf_ask_inputs *inputs);

/* ask.c: reads parameters and body into call->ask and *inputs. False after noting a problem. */
bool jf_ask_parse(
    struct jf_call *call, enum jf_api_task task, const struct jf_model *model, struct jf_ask_inputs *inputs);
/* ask_image.c: the classification's image and the parameters that came with it. */
bool jf_ask_image_begin(struct jf_call *call);
bool jf_ask_image_end(struct jf_call *call, const struct jf_model *model, struct jf_ask_inputs *inputs);

/* tasks.c: parses, makes the job, submits it; answers now or when it is done. */
void jf_tasks_run(struct jf_call *call, enum jf_api_task task);
/* Completes the job (deadline, callbacks, id), takes it over and submits it; answers a refusal. */
void jf_tasks_submit(struct jf_call *call, struct jf_job *job);
/* Ends a stream with this event. */
void jf_tasks_stream_end(struct jf_call *call, const char *event, const char *data);

/* reply.c: what a finished job answers. */
void jf_reply_done(struct jf_call *call, const struct jf_job *job);
/* One step of one item as a JSON object for the event stream, or for the trace (without picture and item). */
void jf_reply_step(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job,
    const struct jf_job_step *step, bool for_trace);

#endif
