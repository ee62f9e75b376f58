/* The API's front: what every request must pass before a route sees it, and what is told about it afterwards. */
#include "config.h"

#include "daemon/api/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/rng.h"
#include "daemon/api/call.h"
#include "daemon/api/gate.h"
#include "daemon/api/heavy.h"
#include "daemon/api/routes.h"
#include "daemon/http/watch.h"
#include "daemon/service/log.h"

#define HEARD_ABOVE_LIMIT 8 /* connections of an address that get 429; more are closed */
#define BODIES_OF_ADDRESS 8
#define BODIES_AT_A_TIME 32 /* of the largest size; many more small ones */

/* --- what the server calls --- */

/* Whether a peer speaks for many clients, each of whom has limits of its own. */
static bool is_shared(const struct jf_http *http, const struct jf_peer *peer) {
	return peer->is_unix || jf_conf_list_covers(http->parts.conf->trusted_proxies, peer->text);
}

static enum jf_welcome on_connected(void *context, const struct jf_peer *peer, bool may_be_refused) {
	static const enum jf_welcome welcomes[] = {
	    [JF_LIMIT_WITHIN] = JF_WELCOME, [JF_LIMIT_ABOVE] = JF_UNWELCOME, [JF_LIMIT_BEYOND] = JF_CLOSED};
	struct jf_http *http = context;
	enum jf_welcome welcome = JF_WELCOME_SHARED;

	if (!is_shared(http, peer))
		welcome = welcomes[jf_limit_connect(
		    http->limit, peer->address, may_be_refused ? HEARD_ABOVE_LIMIT : 0, jf_clock_ms())];
	if (welcome == JF_CLOSED)
		jf_metric_reject(http->parts.metrics, JF_REJECTION_CONNECTIONS);
	else
		jf_metric_add(http->parts.metrics, JF_METRIC_HTTP_CONNECTIONS, 1, NULL);
	return welcome;
}

static void on_disconnected(void *context, const struct jf_peer *peer) {
	struct jf_http *http = context;

	jf_metric_add(http->parts.metrics, JF_METRIC_HTTP_CONNECTIONS, -1, NULL);
	if (!is_shared(http, peer))
		jf_limit_disconnect(http->limit, peer->address);
}

static void new_id(struct jf_http *http, char *id, size_t size) {
	uint64_t bits = jf_rng_bits(http->id_key, JF_STREAM_REQUEST, atomic_fetch_add(&http->next_id, 1));

	snprintf(id, size, "%016" PRIx64, bits);
}

/* The client's own id when it is harmless in logs and headers, otherwise one of ours. */
static void name_call(struct jf_call *call) {
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:";
	const char *given = jf_request_header(call->request, "X-Request-Id");
	struct jf_http *http = call->http;
	size_t length = given ? strlen(given) : 0;

	if (length >= 1 && length < 40 && strspn(given, allowed) == length)
		memcpy(call->id, given, length + 1);
	else
		new_id(http, call->id, sizeof(call->id));
	given = jf_request_header(call->request, "traceparent");
	if (jf_access_traceparent(given))
		snprintf(call->traceparent, sizeof(call->traceparent), "%s", given);
}

static void on_begin(void *context, struct jf_request *request, enum jf_framing_fault fault) {
	struct jf_http *http = context;
	struct jf_call *call = calloc(1, sizeof(*call));
	struct jf_response bare;

	jf_metric_add(http->parts.metrics, JF_METRIC_HTTP_IN_FLIGHT, 1, NULL);
	if (!call) {
		jf_response_init(&bare, 503);
		jf_request_reply(request, &bare);
		return;
	}
	call->http = http;
	call->request = request;
	jf_params_init(&call->params, &call->problem);
	jf_json_writer_init(&call->trace);
	jf_request_set_user(request, call);
	name_call(call);
	jf_gate_client(call);
	jf_gate_pass(call, fault);
}

static void refuse_crowded(struct jf_call *call) {
	jf_metric_reject(call->http->parts.metrics, JF_REJECTION_BODIES);
	jf_call_fail_with(call, JF_PROBLEM_FULL, "Too many bodies are being received.");
}

static void on_handle(void *context, struct jf_request *request) {
	struct jf_call *call = jf_request_user(request);
	struct jf_http *http = context;
	size_t size;

	if (!call)
		return;
	jf_request_body(request, &size);
	if (size)
		jf_metric_add(http->parts.metrics, JF_METRIC_HTTP_RECEIVED, (double)size, NULL);
	call->handled_ns = jf_clock_ns();
	if (jf_request_too_large(request))
		jf_call_fail_with(
		    call, JF_PROBLEM_TOO_LARGE, "The body is longer than %zu bytes.", jf_request_body_limit(request));
	else if (jf_request_crowded(request))
		refuse_crowded(call);
	else
		jf_heavy_handle(call);
}

static void on_trouble(void *context, struct jf_request *request, enum jf_request_trouble trouble) {
	struct jf_call *call = jf_request_user(request);
	struct jf_http *http = context;
	struct jf_problem problem = {0};
	struct jf_response response;

	struct jf_job *job;

	atomic_store(&call->left, true);
	job = atomic_load(&call->job);
	if (job)
		jf_scheduler_cancel(http->parts.scheduler, job);
	if (trouble != JF_TROUBLE_DEADLINE)
		return;
	/* the job ends by itself at its deadline; this is for one that is stuck */
	problem.retry_after_s = jf_scheduler_retry_after_s(http->parts.scheduler);
	jf_heavy_late(call, &problem);
	jf_problem_respond(&response, &problem, jf_request_path(request), call->id);
	jf_call_reply(call, &response);
}

static void on_finished(void *context, struct jf_request *request) {
	struct jf_call *call = jf_request_user(request);
	struct jf_http *http = context;
	const char *label = call && call->route ? call->route->label : "unmatched";
	const char *method = jf_request_method(request);
	struct jf_log_access access = {
	    .request_id = call ? call->id : NULL,
	    .client = call ? call->client : jf_request_peer(request)->text,
	    .method = method,
	    .path = jf_request_path(request),
	    .traceparent = call ? call->traceparent : NULL,
	    .status = jf_request_status(request),
	    .cause = jf_request_why_unsent(request),
	    .response_bytes = jf_request_sent_bytes(request),
	    .duration_ms = jf_request_age_ms(request),
	};
	char code[16];

	snprintf(code, sizeof(code), "%d", access.status);
	if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0 && strcmp(method, "HEAD") != 0 &&
	    strcmp(method, "OPTIONS") != 0)
		method = "other"; /* a client must not be able to make series */
	jf_metric_add(http->parts.metrics, JF_METRIC_HTTP_REQUESTS, 1, JF_LABELS(label, method, code));
	jf_metric_observe(
	    http->parts.metrics, JF_METRIC_HTTP_SECONDS, access.duration_ms * 1e-3, JF_LABELS(label, method));
	jf_metric_add(http->parts.metrics, JF_METRIC_HTTP_SENT, (double)access.response_bytes, NULL);
	jf_metric_add(http->parts.metrics, JF_METRIC_HTTP_IN_FLIGHT, -1, NULL);
	jf_log_request(&access);
}

static void on_release(void *context, void *user) {
	struct jf_call *call = user;

	(void)context;
	jf_params_deinit(&call->params);
	jf_job_unref(call->job);
	jf_json_writer_deinit(&call->trace);
	free(call->client_id);
	free(call->ask.pictures);
	jf_ask_reading_deinit(&call->reading);
	jf_morph_destroy(call->ask.morph);
	free(call);
}

static void on_unread(void *context, struct jf_request *request, int status, struct jf_response *response) {
	struct jf_call *call = request ? jf_request_user(request) : NULL;
	struct jf_http *http = context;
	struct jf_problem problem = {0};
	char id[24];

	new_id(http, id, sizeof(id));
	if (status == 408)
		jf_problem_set(&problem, JF_PROBLEM_TIMEOUT, "The request was not complete after %d ms.",
		    http->parts.conf->upload_timeout_ms);
	else if (status == 413)
		jf_problem_set(&problem, JF_PROBLEM_TOO_LARGE, "%s",
		    request ? "A chunk's head is too long; send chunks without extensions."
			    : "Content-Length is beyond all limits.");
	else if (status == 431)
		jf_problem_set(&problem, JF_PROBLEM_HEAD,
		    "The request's first line and header fields have more than %d bytes or are more than %d.",
		    JF_MAX_HEAD_BYTES, JF_MAX_HEAD_FIELDS);
	else
		jf_problem_set(
		    &problem, JF_PROBLEM_MALFORMED, "The request's head is malformed: Content-Length is not a number.");
	jf_problem_respond(response, &problem, request ? jf_request_path(request) : "", call ? call->id : id);
}

static void on_log(void *context, const char *message) {
	(void)context;
	jf_log(JF_LOG_DEBUG, NULL, "libmicrohttpd: %s", message);
}

/* --- life --- */

static enum jf_err prepare(struct jf_http *http, struct jf_error *err) {
	const struct jf_conf *conf = http->parts.conf;

	http->started_s = (int64_t)time(NULL);
	if (getrandom(&http->id_key, sizeof(http->id_key), 0) != (ssize_t)sizeof(http->id_key))
		http->id_key = (uint64_t)jf_clock_ns();
	http->assets = jf_assets_load(conf->web_root, err);
	if (!http->assets)
		return JF_EIO;
	http->limit =
	    jf_limit_create(conf->max_rate_per_client, conf->max_burst_per_client, conf->max_connections_per_client);
	if (!http->limit)
		return jf_error_set(err, JF_ENOMEM, "no memory for the table of clients");
	http->ways = jf_ways_create();
	if (!http->ways)
		return jf_error_set(err, JF_ENOMEM, "no memory for the measured morphs");
	return JF_OK;
}

struct jf_http *jf_http_start(const struct jf_http_parts *parts, struct jf_secrets *secrets, struct jf_error *err) {
	struct jf_http *http = calloc(1, sizeof(*http));
	struct jf_server_handlers handlers = {http, on_connected, on_disconnected, on_begin, on_handle, on_trouble,
	    on_finished, on_release, on_unread, on_log};
	struct jf_server_options options;

	if (!http) {
		jf_error_set(err, JF_ENOMEM, "no memory for the HTTP server");
		jf_secrets_deinit(secrets);
		return NULL;
	}
	http->parts = *parts;
	pthread_rwlock_init(&http->keys_lock, NULL);
	http->tls = secrets->tls != NULL;
	atomic_store(&http->ready, parts->ready);
	jf_http_use_secrets(http, secrets);
	jf_routes_announce(parts->metrics);
	if (prepare(http, err) != JF_OK)
		goto fail;
	options = (struct jf_server_options){
	    .threads = parts->conf->http_threads,
	    .max_connections = parts->conf->max_connections,
	    .idle_timeout_ms = parts->conf->idle_timeout_ms,
	    .upload_timeout_ms = parts->conf->upload_timeout_ms,
	    .max_body_bytes = (size_t)parts->conf->max_body_bytes,
	    .address_bodies_bytes = BODIES_OF_ADDRESS * (size_t)parts->conf->max_body_bytes,
	    .all_bodies_bytes = BODIES_AT_A_TIME * (size_t)parts->conf->max_body_bytes,
	    .tls = http->tls,
	    .listeners = parts->listeners,
	};
	http->errands = jf_errands_create((parts->conf->http_threads + 1) / 2, err);
	if (!http->errands)
		goto fail;
	http->server = jf_server_start(&options, &handlers, err);
	if (!http->server)
		goto fail;
	return http;
fail:
	jf_http_stop(http);
	return NULL;
}

void jf_http_set_ready(struct jf_http *http, bool ready) {
	atomic_store(&http->ready, ready);
}

void jf_http_use_secrets(struct jf_http *http, struct jf_secrets *secrets) {
	struct jf_keys *old;

	pthread_rwlock_wrlock(&http->keys_lock);
	old = http->keys;
	http->keys = secrets->keys;
	pthread_rwlock_unlock(&http->keys_lock);
	jf_keys_destroy(old);
	if (secrets->tls)
		jf_tls_use(secrets->tls);
	*secrets = (struct jf_secrets){.keys = NULL};
}

void jf_http_drain(struct jf_http *http) {
	atomic_store(&http->draining, true);
	jf_server_drain(http->server);
}

bool jf_http_alive(struct jf_http *http, int stall_ms) {
	bool serves = jf_server_alive(http->server, stall_ms), decodes = jf_errands_alive(http->errands, stall_ms);

	return serves && decodes; /* both are asked, whatever one of them says */
}

void jf_http_close(struct jf_http *http) {
	jf_server_close(http->server);
}

bool jf_http_busy(struct jf_http *http) {
	return jf_server_busy(http->server);
}

void jf_http_stop(struct jf_http *http) {
	if (!http)
		return;
	jf_errands_destroy(http->errands);
	jf_server_stop(http->server);
	jf_assets_destroy(http->assets);
	jf_ways_destroy(http->ways);
	jf_limit_destroy(http->limit);
	jf_keys_destroy(http->keys);
	if (http->tls)
		jf_tls_use(NULL);
	pthread_rwlock_destroy(&http->keys_lock);
	free(http);
}
