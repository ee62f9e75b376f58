#include "daemon/api/heavy.h"

#include <malloc.h>

#include "core/base/clock.h"
#include "daemon/api/routes.h"

#define LIGHT_PIXELS ((size_t)65536)
#define LIGHT_BYTES ((size_t)65536) /* a body up to this is read on the network thread */

static int time_left_ms(const struct jf_call *call) {
	return call->timeout_ms - (int)((jf_clock_ns() - call->handled_ns) / 1000000);
}

static void run(void *context) {
	struct jf_call *call = context;
	struct jf_request *request = call->request;

	if (jf_heavy_goes_on(call))
		call->route->handle(call);
	else
		jf_call_fail(call);
	jf_request_unref(request); /* the call may be gone now */
	/* Gives back what lies between blocks that are in use: a tree of JSON is a million small ones. */
	malloc_trim(0);
}

/* The largest weight that there is time for at all. */
static size_t most_in_time(const struct jf_call *call) {
	size_t most = (size_t)call->http->parts.conf->request_timeout_ms * (size_t)(JF_ERRAND_RATE / 1000);

	return most > JF_HEAVY_PIECE ? most : JF_HEAVY_PIECE;
}

static size_t one_piece(size_t weight) {
	return weight < JF_HEAVY_PIECE ? weight : JF_HEAVY_PIECE;
}

static void move(struct jf_call *call, size_t weight) {
	size_t piece = one_piece(weight);
	int retry_after_s, left_ms = time_left_ms(call);
	struct jf_errand errand = {.run = run,
	    .context = call,
	    .weight = (long)piece,
	    .rest = (long)(weight - piece),
	    .client = call->client,
	    .deadline_ns = call->handled_ns + (int64_t)call->timeout_ms * 1000000,
	    .goes_on = call->charged > 0};

	if (!jf_request_keep_fields(call->request)) {
		jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "Out of memory.");
		return;
	}
	if (weight > atomic_load(&call->charged))
		atomic_store(&call->charged, weight);
	jf_request_defer(call->request);
	/* it is answered in time even if no thread gets to it until then, or one is stuck in a picture */
	jf_request_deadline(call->request, (left_ms > 0 ? left_ms : 0) + 500);
	if (jf_errands_submit(call->http->errands, &errand, &retry_after_s))
		return;
	jf_metric_reject(call->http->parts.metrics, JF_REJECTION_PICTURES);
	if (weight / (size_t)(JF_ERRAND_RATE / 1000) > (size_t)call->timeout_ms) {
		jf_heavy_late(call, &call->problem); /* no later moment is better */
		jf_call_fail(call);
	} else {
		call->problem.retry_after_s = retry_after_s;
		jf_call_fail_with(call, JF_PROBLEM_FULL, "Too many large pictures and bodies are waiting already.");
	}
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

size_t jf_heavy_weight(size_t pixels) {
	return one_piece(pixels);
}

/* A large body is moved before anybody knows what is in it. That much counts for the picture which it usually is; what
 * a whole list of large ones is, becomes known now. */
bool jf_heavy_is(struct jf_call *call, size_t weight) {
	if (!call->charged)
		return weight > LIGHT_PIXELS;
	if (weight > call->charged)
		atomic_store(&call->charged, weight);
	if (weight > most_in_time(call))
		return true;
	jf_errands_weigh(call->http->errands, (long)one_piece(weight));
	return false;
}

bool jf_heavy_is_enough(const struct jf_call *call, size_t weight) {
	return call->charged && weight > JF_HEAVY_PIECE;
}

void jf_heavy_move(struct jf_call *call, size_t weight) {
	size_t most = most_in_time(call);

	jf_params_deinit(&call->params);
	call->ask = (struct jf_ask){0};
	call->heavy = 0;
	call->problem = (struct jf_problem){0}; /* the handler would note everything once more */
	if (weight > most) {
		jf_metric_reject(call->http->parts.metrics, JF_REJECTION_LARGE);
		jf_call_fail_with(call, JF_PROBLEM_INVALID,
		    "The pictures have %zu million pixels together; no more than %zu million are decoded within the %d "
		    "ms that a request may take here (request_timeout_ms). Send fewer or smaller ones.",
		    weight / 1000000, most / 1000000, call->http->parts.conf->request_timeout_ms);
	} else {
		move(call, weight);
	}
}

bool jf_heavy_goes_on(struct jf_call *call) {
	jf_errands_beat(call->http->errands);
	if (!atomic_load(&call->left) && time_left_ms(call) > 0)
		return true;
	jf_heavy_late(call, &call->problem);
	return false;
}

void jf_heavy_late(const struct jf_call *call, struct jf_problem *problem) {
	size_t weight = atomic_load(&call->charged), ms = weight / (size_t)(JF_ERRAND_RATE / 1000);

	if (ms <= (size_t)call->timeout_ms) {
		jf_call_late(call, problem);
		return;
	}
	jf_problem_set(problem, JF_PROBLEM_DEADLINE,
	    "Not finished within %d ms: decoding %.1f million pixels alone takes about %.1f s. Send fewer or smaller "
	    "pictures, or allow more time (Request-Timeout-Ms, at most %d).",
	    call->timeout_ms, (double)weight * 1e-6, (double)ms * 1e-3, call->http->parts.conf->request_timeout_ms);
	problem->retry_after_s = -1;
}
