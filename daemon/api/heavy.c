#include "daemon/api/heavy.h"

#include <malloc.h>

#include "core/base/clock.h"
#include "daemon/api/routes.h"

#define LIGHT_PIXELS ((size_t)65536)
#define MAX_WEIGHT ((size_t)16 << 20) /* of a picture; what claims more is a JPEG and read reduced, or not at all */
#define LIGHT_BYTES ((size_t)65536)   /* a body up to this is read on the network thread */

static bool in_time(const struct jf_call *call) {
	return jf_clock_ns() < call->handled_ns + (int64_t)call->timeout_ms * 1000000;
}

static void run(void *context) {
	struct jf_call *call = context;
	struct jf_request *request = call->request;

	if (in_time(call))
		call->route->handle(call);
	else
		jf_call_fail_with(call, JF_PROBLEM_DEADLINE, "Not finished within %d ms.", call->timeout_ms);
	jf_request_unref(request); /* the call may be gone now */
	/* Gives back what lies between blocks that are in use: a tree of JSON is a million small ones. */
	malloc_trim(0);
}

static void move(struct jf_call *call, size_t weight) {
	int retry_after_s;

	call->moved = true;
	jf_request_defer(call->request);
	if (jf_errands_submit(call->http->errands, (long)weight, run, call, &retry_after_s))
		return;
	jf_metric_add(call->http->parts.metrics, JF_METRIC_REJECTIONS, 1, JF_LABELS("pictures"));
	call->problem.retry_after_s = retry_after_s;
	jf_call_fail_with(call, JF_PROBLEM_FULL, "Too many large pictures and bodies are waiting already.");
	jf_request_unref(call->request);
}

void jf_heavy_handle(struct jf_call *call) {
	size_t size;

	jf_request_body(call->request, &size);
	if (size > LIGHT_BYTES)
		move(call, size);
	else
		call->route->handle(call);
}

bool jf_heavy_is(const struct jf_call *call, size_t pixels) {
	return !call->moved && pixels > LIGHT_PIXELS;
}

void jf_heavy_move(struct jf_call *call, size_t pixels) {
	jf_params_deinit(&call->params);
	call->ask = (struct jf_ask){0};
	move(call, pixels < MAX_WEIGHT ? pixels : MAX_WEIGHT);
}
