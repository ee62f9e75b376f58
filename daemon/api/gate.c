#include "daemon/api/gate.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/clock.h"
#include "daemon/api/page.h"
#include "daemon/api/routes.h"
#include "daemon/http/text.h"
#include "daemon/http/watch.h"

#define MAX_SMALL_BODY (1 << 20) /* of a route that takes neither picture nor tensor */

static void count_rejection(struct jf_call *call, enum jf_rejection reason) {
	jf_metric_reject(call->http->parts.metrics, reason);
}

void jf_gate_client(struct jf_call *call) {
	const struct jf_peer *peer = jf_request_peer(call->request);
	const char *trusted = call->http->parts.conf->trusted_proxies;
	char field[2048];

	snprintf(call->client, sizeof(call->client), "%s", peer->text);
	if (peer->is_unix ? *trusted == '\0' : !jf_conf_list_covers(trusted, peer->text))
		return;
	/* A proxy may add a field of its own below the one that its client sent: all of them count, the last most. */
	if (jf_request_header_all(call->request, "X-Forwarded-For", field, sizeof(field)))
		jf_access_forwarded_for(call->client, sizeof(call->client), field, trusted);
	else if (jf_request_header_all(call->request, "Forwarded", field, sizeof(field)))
		jf_access_forwarded(call->client, sizeof(call->client), field, trusted);
}

static bool check_framing(struct jf_call *call, enum jf_framing_fault fault) {
	static const char *const why[] = {
	    [JF_FRAMING_NUL] = "A header field has a NUL in its value.",
	    [JF_FRAMING_LENGTHS] =
		"The length of the body is ambiguous: Content-Length or Transfer-Encoding more than once.",
	    [JF_FRAMING_ENCODING] = "The only Transfer-Encoding understood here is chunked.",
	    [JF_FRAMING_HEADER] = "A header field is malformed, or given twice where that is not allowed.",
	    [JF_FRAMING_HOST] = "The Host header field is missing or given twice.",
	    [JF_FRAMING_TARGET] = "The request target is not a path.",
	};

	if (fault == JF_FRAMING_FINE)
		return true;
	if (fault == JF_FRAMING_SIZE)
		return jf_problem_set(&call->problem, JF_PROBLEM_HEAD,
		    "The request's first line and header fields have more than %d bytes; is a cookie or the query too "
		    "long?",
		    JF_MAX_HEAD_BYTES);
	if (fault == JF_FRAMING_FIELDS)
		return jf_problem_set(
		    &call->problem, JF_PROBLEM_HEAD, "The request has more than %d header fields.", JF_MAX_HEAD_FIELDS);
	return jf_problem_set(&call->problem, JF_PROBLEM_MALFORMED, "%s", why[fault]);
}

static bool check_host(struct jf_call *call) {
	const struct jf_listeners *listeners = call->http->parts.listeners;
	const char *host = jf_request_header(call->request, "Host");
	char address[128];
	size_t length;
	int i;

	if (!host || jf_request_peer(call->request)->is_unix)
		return true; /* HTTP/1.0, or a socket that no web page can reach */
	for (i = 0; i < listeners->n; i++) {
		if (listeners->item[i].is_unix)
			continue;
		snprintf(address, sizeof(address), "%s", listeners->item[i].name + (listeners->item[i].name[0] == '['));
		length = strcspn(address, "]");
		if (address[length] == '\0' && strrchr(address, ':'))
			length = (size_t)(strrchr(address, ':') - address);
		address[length] = '\0';
		if (jf_access_host_allowed(host, call->http->parts.conf->allowed_hosts, address))
			return true;
	}
	count_rejection(call, JF_REJECTION_HOST);
	return jf_problem_set(&call->problem, JF_PROBLEM_MISDIRECTED,
	    "This server does not answer to the host name \"%.100s\"; see allowed_hosts.", host);
}

/* call->route stays NULL when there is none. False when the path is malformed. */
static bool find_route(struct jf_call *call) {
	const char *raw = jf_request_path(call->request);
	char *path = jf_percent_decode(raw, strlen(raw), false);

	if (!path)
		return false;
	call->route = jf_route_find(path, call->tail, sizeof(call->tail));
	free(path);
	if (call->route && call->route->handle == jf_page_serve && !jf_assets_find(call->http->assets, call->tail))
		call->route = NULL;
	return true;
}

static bool check_method(struct jf_call *call) {
	static const char *const allow[] = {
	    "OPTIONS", "GET, HEAD, OPTIONS", "POST, OPTIONS", "GET, HEAD, POST, OPTIONS"};
	const char *method = jf_call_method(call);
	int verb = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ? JF_GET
		   : strcmp(method, "POST") == 0                             ? JF_POST
									     : 0;

	if ((call->route->methods & verb) || strcmp(method, "OPTIONS") == 0)
		return true;
	call->problem.allow = allow[call->route->methods];
	return jf_problem_set(&call->problem, JF_PROBLEM_METHOD, "This path accepts %s.", call->problem.allow);
}

static bool check_site(struct jf_call *call) {
	struct jf_request *request = call->request;
	const char *origins = call->http->parts.conf->cors_origins;
	const char *origin = jf_request_header(request, "Origin");

	if (jf_access_origin_allowed(origin, origins))
		snprintf(call->origin, sizeof(call->origin), "%s", jf_conf_list_has(origins, "*") ? "*" : origin);
	if (!jf_access_cross_site(jf_call_method(call), jf_request_header(request, "Sec-Fetch-Site"),
		jf_request_header(request, "Sec-Fetch-Mode"), origin, jf_request_header(request, "Host"), origins))
		return true;
	count_rejection(call, JF_REJECTION_CROSS_SITE);
	return jf_problem_set(&call->problem, JF_PROBLEM_CROSS_SITE,
	    "A page of another site sent this request; see cors_origins to let it in.");
}

static bool check_key(struct jf_call *call) {
	struct jf_http *http = call->http;
	bool allowed;

	if (call->route->flags & (JF_ROUTE_OPEN | JF_ROUTE_PROBE))
		return true;
	if ((call->route->flags & JF_ROUTE_METRICS) && http->parts.conf->metrics_public)
		return true;
	pthread_rwlock_rdlock(&http->keys_lock);
	allowed = jf_keys_allow(http->keys, jf_request_header(call->request, "Authorization"),
	    jf_request_header(call->request, "X-API-Key"));
	pthread_rwlock_unlock(&http->keys_lock);
	if (allowed)
		return true;
	count_rejection(call, JF_REJECTION_UNAUTHORIZED);
	return jf_problem_set(&call->problem, JF_PROBLEM_UNAUTHORIZED,
	    "Send a key as \"Authorization: Bearer KEY\" or \"X-API-Key: KEY\".");
}

static bool check_rate(struct jf_call *call) {
	const struct jf_peer *peer = jf_request_peer(call->request);
	uint8_t address[16];
	int wait;

	if (call->route && (call->route->flags & JF_ROUTE_PROBE))
		return true;
	if (jf_request_unwelcome(call->request) || jf_request_overflow(call->request)) {
		call->problem.retry_after_s = 1;
		count_rejection(call, JF_REJECTION_CONNECTIONS);
		if (jf_request_overflow(call->request))
			return jf_problem_set(
			    &call->problem, JF_PROBLEM_FULL, "The server has as many open connections as it allows.");
		return jf_problem_set(
		    &call->problem, JF_PROBLEM_RATE, "Too many connections are open from one address.");
	}
	if (peer->is_unix && strcmp(call->client, peer->text) == 0)
		return true; /* a program of this machine that speaks for nobody else */
	memcpy(address, peer->address, sizeof(address));
	if (strcmp(call->client, peer->text) != 0) { /* the client behind a proxy */
		memset(address, 0, sizeof(address));
		if (inet_pton(AF_INET6, call->client, address) != 1) {
			memset(address + 10, 0xff, 2);
			inet_pton(AF_INET, call->client, address + 12);
		}
	}
	wait = jf_limit_request(call->http->limit, address, jf_clock_ms());
	if (wait == 0)
		return true;
	call->problem.retry_after_s = wait;
	count_rejection(call, JF_REJECTION_RATE);
	return jf_problem_set(&call->problem, JF_PROBLEM_RATE, "Each client is limited to %d requests per second.",
	    call->http->parts.conf->max_rate_per_client);
}

static bool check_body(struct jf_call *call) {
	struct jf_request *request = call->request;
	const char *type = jf_request_header(request, "Content-Type");
	const char *encoding = jf_request_header(request, "Content-Encoding");
	bool pictures = call->route->flags & JF_ROUTE_PICTURE_BODY;

	int max = call->http->parts.conf->max_body_bytes;

	if (!(call->route->flags & JF_ROUTE_LARGE_BODY) && max > MAX_SMALL_BODY)
		max = MAX_SMALL_BODY;
	jf_request_limit_body(request, (size_t)max);
	if (jf_request_declared(request) > max)
		return jf_problem_set(&call->problem, JF_PROBLEM_TOO_LARGE,
		    "The body has %lld bytes; at most %d are allowed.", (long long)jf_request_declared(request), max);
	if (strcmp(jf_call_method(call), "POST") != 0 || (jf_request_declared(request) == 0 && !type))
		return true;
	if (encoding && strcasecmp(encoding, "identity") != 0)
		return jf_problem_set(&call->problem, JF_PROBLEM_MEDIA_TYPE,
		    "The body's Content-Encoding is %.40s; send it uncompressed.", encoding);
	if ((call->route->flags & JF_ROUTE_BINARY_BODY) &&
	    (!type || jf_media_type_is(type, "application/octet-stream")))
		return true; /* as Triton's clients send it, JSON or not */
	if (jf_media_type_is(type, "application/json") ||
	    (pictures && (jf_media_type_is(type, "image/png") || jf_media_type_is(type, "image/jpeg") ||
			     jf_media_type_is(type, "multipart/form-data"))))
		return true;
	return jf_problem_set(&call->problem, JF_PROBLEM_MEDIA_TYPE, "The Content-Type must be %s; %s%.80s.",
	    pictures ? "image/png, image/jpeg, multipart/form-data or application/json" : "application/json",
	    type ? "it is " : "it is missing", type ? type : "");
}

static bool check_accept(struct jf_call *call) {
	const struct jf_route *route = call->route;
	bool post = strcmp(jf_call_method(call), "POST") == 0;
	const enum jf_representation *offers = post ? route->post_offers : route->get_offers;
	const char *types[3];
	char list[128] = "";
	int n = post ? route->n_post : route->n_get, i, choice;

	call->as = offers[0];
	if (route->flags & JF_ROUTE_ANY_ACCEPT)
		return true;
	for (i = 0; i < n; i++) {
		types[i] = jf_representation_type(offers[i]);
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", types[i]);
	}
	choice = jf_negotiate(jf_request_header(call->request, "Accept"), types, n);
	if (choice < 0)
		return jf_problem_set(&call->problem, JF_PROBLEM_NOT_ACCEPTABLE, "This path can answer with %s.", list);
	call->as = offers[choice];
	return true;
}

static bool check_timeout(struct jf_call *call) {
	const char *text = jf_request_header(call->request, "Request-Timeout-Ms");
	char *end;
	long value;

	call->timeout_ms = call->http->parts.conf->request_timeout_ms;
	if (!text)
		return true;
	value = strtol(text, &end, 10);
	if (!*text || *end || strspn(text, "0123456789") != strlen(text) || value < 1)
		return jf_problem_set(
		    &call->problem, JF_PROBLEM_MALFORMED, "Request-Timeout-Ms must be a whole number of at least 1.");
	if (value < call->timeout_ms)
		call->timeout_ms = (int)value;
	return true;
}

/* OPTIONS: what may be asked, and the answer to a CORS preflight. */
static void answer_options(struct jf_call *call) {
	static const char *const allow[] = {
	    "OPTIONS", "GET, HEAD, OPTIONS", "POST, OPTIONS", "GET, HEAD, POST, OPTIONS"};
	struct jf_response response;

	jf_response_init(&response, 204);
	jf_response_header(&response, "Allow", "%s", allow[call->route->methods]);
	if (*call->origin) {
		jf_response_header(&response, "Access-Control-Allow-Methods", "%s", allow[call->route->methods]);
		jf_response_header(&response, "Access-Control-Allow-Headers",
		    "Authorization, X-API-Key, Content-Type, Accept, Request-Timeout-Ms, X-Request-Id, traceparent, "
		    "tracestate, baggage, Inference-Header-Content-Length");
		jf_response_header(&response, "Access-Control-Max-Age", "600");
	}
	jf_call_reply(call, &response);
}

void jf_gate_pass(struct jf_call *call, enum jf_framing_fault fault) {
	bool has_path = fault == JF_FRAMING_FINE && find_route(call);
	bool probe = call->route && (call->route->flags & JF_ROUTE_PROBE), good;

	/* the rate counts bad requests too, so that they cannot be had for nothing */
	good = check_rate(call) && check_framing(call, fault);
	if (good && !has_path)
		good = jf_problem_set(&call->problem, JF_PROBLEM_MALFORMED,
		    "The path has a malformed percent-encoding, a NUL or text that is not UTF-8.");
	good = good && (probe || check_host(call));
	if (good && !call->route)
		good = jf_problem_set(&call->problem, JF_PROBLEM_NOT_FOUND, "There is nothing at this path.");
	if (!good || !check_method(call) || !check_site(call)) {
		jf_call_fail(call);
		return;
	}
	if (strcmp(jf_call_method(call), "OPTIONS") == 0) {
		answer_options(call);
		return;
	}
	if (!check_key(call) || !check_body(call) || !check_accept(call) || !check_timeout(call))
		jf_call_fail(call);
}
