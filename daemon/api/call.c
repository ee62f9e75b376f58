/* Answering a call. */
#include "daemon/api/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *jf_representation_type(enum jf_representation representation) {
	static const char *const types[] = {
	    [JF_AS_JSON] = "application/json",
	    [JF_AS_PNG] = "image/png",
	    [JF_AS_STREAM] = "text/event-stream",
	    [JF_AS_TEXT] = "text/plain",
	    [JF_AS_HTML] = "text/html",
	};

	return types[representation];
}

const char *jf_call_method(const struct jf_call *call) {
	return jf_request_method(call->request);
}

static bool is_page(const struct jf_response *response) {
	const char *type = jf_response_get(response, "Content-Type");

	return type && strncmp(type, "text/html", 9) == 0;
}

/* The fields of every answer. */
static void add_headers(struct jf_call *call, struct jf_response *response) {
	const char *origins = call->http->parts.conf->cors_origins;

	jf_response_header(response, "X-Request-Id", "%s", call->id);
	jf_response_header(response, "X-Content-Type-Options", "nosniff");
	jf_response_header(response, "Referrer-Policy", "no-referrer");
	jf_response_header(response, "Cross-Origin-Resource-Policy",
	    *call->origin || jf_conf_list_has(origins, "*") ? "cross-origin" : "same-origin");
	if (*call->traceparent)
		jf_response_header(response, "traceparent", "%s", call->traceparent);
	if (is_page(response))
		jf_response_header(response, "Content-Security-Policy",
		    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src "
		    "'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
		    "frame-ancestors 'none'");
	else if (response->status != 304) /* a 304's fields replace the stored ones: the page would lose its policy */
		jf_response_header(response, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
	if (*call->origin) {
		jf_response_header(response, "Access-Control-Allow-Origin", "%s", call->origin);
		jf_response_header(response, "Access-Control-Expose-Headers",
		    "ETag, Retry-After, X-Request-Id, X-Seed, traceparent, Inference-Header-Content-Length");
	}
	if (*origins)
		jf_response_header(response, "Vary", "Origin, Accept, Accept-Encoding");
	else
		jf_response_header(response, "Vary", "Accept, Accept-Encoding");
	if (!jf_response_get(response, "Cache-Control"))
		jf_response_header(response, "Cache-Control", "no-store");
}

void jf_call_reply(struct jf_call *call, struct jf_response *response) {
	add_headers(call, response);
	if (jf_request_unwelcome(call->request) || jf_request_overflow(call->request))
		response->close = true;
	jf_request_reply(call->request, response);
}

void jf_call_fail(struct jf_call *call) {
	struct jf_response response;

	jf_request_drop_body(call->request); /* whatever it was, it is not looked at again */
	if (call->problem.retry_after_s == 0 && jf_problem_status(call->problem.type) == 503)
		call->problem.retry_after_s = 1;
	jf_problem_respond(&response, &call->problem, jf_request_path(call->request), call->id);
	jf_call_reply(call, &response);
}

void jf_call_fail_with(struct jf_call *call, enum jf_problem_type type, const char *format, ...) {
	char detail[sizeof(call->problem.detail)];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	jf_problem_set(&call->problem, type, "%s", detail);
	jf_call_fail(call);
}

void jf_call_late(const struct jf_call *call, struct jf_problem *problem) {
	jf_problem_set(problem, JF_PROBLEM_DEADLINE, "Not finished within %d ms.", call->timeout_ms);
}

void jf_call_reply_json(struct jf_call *call, int status, struct jf_json_writer *writer) {
	struct jf_response response;
	size_t length;
	char *text;

	if (jf_json_writer_take(writer, &text, &length) != JF_OK) {
		jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "Out of memory.");
		return;
	}
	jf_response_init(&response, status);
	jf_response_own(&response, "application/json", text, length);
	jf_call_reply(call, &response);
}

struct jf_model *jf_call_model(struct jf_call *call) {
	struct jf_model *model = NULL;

	if (atomic_load(&call->http->draining)) {
		jf_metric_reject(call->http->parts.metrics, JF_REJECTION_DRAINING);
		jf_call_fail_with(call, JF_PROBLEM_DRAINING, "The server is shutting down; ask another instance.");
		return NULL;
	}
	if (atomic_load(&call->http->ready))
		model = jf_model_holder_get(call->http->parts.holder);
	if (!model) {
		jf_metric_reject(call->http->parts.metrics, JF_REJECTION_LOADING);
		jf_call_fail_with(call, JF_PROBLEM_LOADING, "The model is being loaded; try again shortly.");
	}
	return model;
}

/* Whether a list of entity tags names this one; weak comparison (RFC 9110, 13.1.2). */
static bool names_tag(const char *list, const char *etag) {
	const char *p;
	size_t length;

	if (strncmp(etag, "W/", 2) == 0)
		etag += 2;
	length = strlen(etag);
	for (p = list; (p = strstr(p, etag)); p += length)
		if ((p == list || strchr(" \t,/", p[-1])) && strchr(" \t,", p[length]))
			return true;
	return list[strspn(list, " \t")] == '*';
}

bool jf_call_not_modified(struct jf_call *call, const char *etag, const char *cache_control) {
	const char *list = jf_request_header(call->request, "If-None-Match");
	struct jf_response response;

	if (!list || !names_tag(list, etag))
		return false;
	jf_response_init(&response, 304);
	jf_response_header(&response, "ETag", "%s", etag);
	jf_response_header(&response, "Cache-Control", "%s", cache_control);
	jf_call_reply(call, &response);
	return true;
}
