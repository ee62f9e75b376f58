#include "config.h"

#include "daemon/api/submit.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/api/reply.h"
#include "daemon/api/stream.h"

/* --- what the scheduler calls --- */

static void on_step(void *context, struct jf_job *job, const struct jf_job_step *step) {
	struct jf_call *call = context;
	struct jf_json_writer writer;
	const char *text;

	struct jf_job_step shown = *step;

	if (step->item < call->ask.probes)
		return; /* nobody asked for these */
	shown.item -= call->ask.probes;
	/* steps of one item come in order, so the trace of the first one needs no lock */
	if (call->ask.trace && shown.item == 0)
		jf_reply_step(call, &call->trace, job, &shown, true);
	if (call->as != JF_AS_STREAM)
		return;
	jf_json_writer_init(&writer);
	jf_reply_step(call, &writer, job, &shown, false);
	text = jf_json_writer_text(&writer);
	if (text)
		jf_stream_send(call, "step", text, true);
	jf_json_writer_deinit(&writer);
}

/* Says so when no other time is better: what takes too long with nothing ahead of it. */
static bool is_too_much(struct jf_call *call, const struct jf_job *job, struct jf_problem *problem) {
	double seconds = jf_scheduler_seconds_alone(call->http->parts.scheduler, job);
	int most_ms = call->http->parts.conf->request_timeout_ms;
	char more[64] = "raise request_timeout_ms";

	if (seconds * 1000 <= call->timeout_ms)
		return false;
	if (call->timeout_ms < most_ms)
		snprintf(more, sizeof(more), "allow more time (Request-Timeout-Ms, at most %d)", most_ms);
	jf_problem_set(problem, JF_PROBLEM_DEADLINE,
	    "By itself this takes about %.*f s at the speed measured last, and %d ms are allowed. Ask for fewer "
	    "images, draws or steps, or %s.",
	    seconds < 10 ? 1 : 0, seconds, call->timeout_ms, more);
	problem->retry_after_s = -1;
	return true;
}

static void end_badly(struct jf_call *call, const struct jf_job *job) {
	struct jf_problem problem = {0};
	struct jf_response response;
	size_t length;
	char *text;

	if (job->end == JF_JOB_DEADLINE) {
		if (!is_too_much(call, job, &problem))
			jf_call_late(call, &problem);
	} else if (job->end == JF_JOB_SHUTDOWN)
		jf_problem_set(&problem, JF_PROBLEM_DRAINING, "The server is shutting down; ask another instance.");
	else
		jf_problem_set(&problem, JF_PROBLEM_INTERNAL, "%.300s", job->error.message);
	if (jf_problem_status(problem.type) == 503 && problem.retry_after_s == 0)
		problem.retry_after_s = jf_scheduler_retry_after_s(call->http->parts.scheduler);
	if (call->as == JF_AS_STREAM) {
		text = jf_problem_text(&problem, jf_request_path(call->request), call->id, &length);
		jf_stream_end(call, "error", text ? text : "{}", jf_problem_status(problem.type));
		free(text);
		return;
	}
	jf_problem_respond(&response, &problem, jf_request_path(call->request), call->id);
	jf_call_reply(call, &response);
}

static void on_done(void *context, struct jf_job *job) {
	struct jf_call *call = context;
	struct jf_request *request = call->request;

	if (job->end == JF_JOB_DONE)
		call->answer(call, job);
	else
		end_badly(call, job);
	jf_request_unref(request); /* the call and the job may be gone now */
}

/* --- submitting --- */

static void refuse(struct jf_call *call, const struct jf_job *job, enum jf_admission admission, int retry_after_s,
    const struct jf_error *err) {
	call->problem.retry_after_s = retry_after_s;
	if (admission == JF_REFUSED_FULL)
		jf_call_fail_with(
		    call, JF_PROBLEM_FULL, "The queue is full: as much work as this server admits is waiting already.");
	else if (admission == JF_REFUSED_DRAINING)
		jf_call_fail_with(call, JF_PROBLEM_DRAINING, "The server is shutting down; ask another instance.");
	else if (admission == JF_REFUSED_DEADLINE && is_too_much(call, job, &call->problem))
		jf_call_fail(call);
	else if (admission == JF_REFUSED_DEADLINE)
		jf_call_fail_with(call, JF_PROBLEM_DEADLINE,
		    "With the work that is already waiting, this would not finish within %d ms.", call->timeout_ms);
	else if (admission == JF_REFUSED_LARGE)
		jf_call_fail_with(call, JF_PROBLEM_INVALID,
		    "This is more than one request may ask for: %.200s. Ask for fewer images, draws or steps.",
		    err->message);
	else
		jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "%.300s", err->message);
}

void jf_submit_job(
    struct jf_call *call, struct jf_job *job, void (*answer)(struct jf_call *call, const struct jf_job *job)) {
	struct jf_http *http = call->http;
	struct jf_error err = {0};
	enum jf_admission admission;
	int retry_after_s = 0;

	/* Everything has been read: while the job waits and runs, the request takes no more than it needs. */
	jf_params_forget_json(&call->params);
	jf_request_drop_body(call->request);
	call->answer = answer;
	job->deadline_ns = call->handled_ns + (int64_t)call->timeout_ms * 1000000;
	job->context = call;
	job->done = on_done;
	job->step = call->as == JF_AS_STREAM || call->ask.trace ? on_step : NULL;
	snprintf(job->request_id, sizeof(job->request_id), "%.39s", call->id);
	if (call->ask.trace)
		jf_json_begin_array(&call->trace, NULL);
	/* `done` may come before submit returns, so everything it needs stands before */
	jf_request_defer(call->request);
	atomic_store(&call->job, job);
	admission = jf_scheduler_submit(http->parts.scheduler, job, &retry_after_s, &err);
	if (admission != JF_ADMITTED) {
		refuse(call, job, admission, retry_after_s, &err);
		jf_request_unref(call->request);
		return;
	}
	if (atomic_load(&call->left)) /* meanwhile, and found no job to cancel */
		jf_scheduler_cancel(http->parts.scheduler, job);
	if (call->as == JF_AS_STREAM)
		jf_stream_start(call);
	else
		jf_request_deadline(call->request, call->timeout_ms + 500);
}
