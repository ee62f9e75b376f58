/* The four questions: from a parsed request to a job, and from its end to an answer. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "daemon/api/call.h"

#define CACHE_CONTROL "no-cache" /* may be kept, must be asked about: another model gives other pictures */

/* --- the event stream
 * -------------------------------------------------------------------------------------------------- */

static bool send_event(struct jf_call *call, const char *event, const char *data, bool droppable) {
	size_t size = strlen(event) + strlen(data) + 32;
	char *text = malloc(size);
	bool sent;
	int n;

	if (!text)
		return false;
	n = snprintf(text, size, "event: %s\ndata: %s\n\n", event, data);
	sent = jf_request_write(call->request, text, (size_t)n, droppable);
	free(text);
	return sent;
}

void jf_tasks_stream_end(struct jf_call *call, const char *event, const char *data) {
	send_event(call, event, data, false);
	jf_request_end(call->request);
}

static void start_stream(struct jf_call *call) {
	struct jf_response response;

	jf_response_init(&response, 200);
	response.stream = true;
	jf_response_header(&response, "Content-Type", "text/event-stream");
	jf_response_header(&response, "X-Accel-Buffering", "no"); /* nginx would collect events otherwise */
	jf_call_reply(call, &response);
}

/* --- what the scheduler calls
 * ------------------------------------------------------------------------------------------ */

static void on_step(void *context, struct jf_job *job, const struct jf_job_step *step) {
	struct jf_call *call = context;
	struct jf_json_writer writer;
	const char *text;

	/* steps of one item come in order, so the trace of the first one needs no lock */
	if (call->ask.trace && step->item == 0)
		jf_reply_step(call, &call->trace, job, step, true);
	if (call->as != JF_AS_STREAM)
		return;
	jf_json_writer_init(&writer);
	jf_reply_step(call, &writer, job, step, false);
	text = jf_json_writer_text(&writer);
	if (text)
		send_event(call, "step", text, true);
	jf_json_writer_deinit(&writer);
}

static void end_badly(struct jf_call *call, const struct jf_job *job) {
	struct jf_problem problem = {0};
	struct jf_response response;
	size_t length;
	char *text;

	if (job->end == JF_JOB_DEADLINE)
		jf_problem_set(&problem, JF_PROBLEM_DEADLINE, "Not finished within %d ms.", call->timeout_ms);
	else if (job->end == JF_JOB_SHUTDOWN)
		jf_problem_set(&problem, JF_PROBLEM_DRAINING, "The server is shutting down; ask another instance.");
	else
		jf_problem_set(&problem, JF_PROBLEM_INTERNAL, "%.300s", job->error.message);
	if (jf_problem_status(problem.type) == 503)
		problem.retry_after_s = 1;
	if (call->as == JF_AS_STREAM) {
		text = jf_problem_text(&problem, jf_request_path(call->request), call->id, &length);
		jf_tasks_stream_end(call, "error", text ? text : "{}");
		free(text);
		return;
	}
	jf_problem_respond(&response, &problem, jf_request_path(call->request), call->id);
	jf_call_reply(call, &response);
}

static void on_done(void *context, struct jf_job *job) {
	struct jf_call *call = context;
	struct jf_request *request = call->request;

	if (job->end == JF_JOB_DONE && call->ask.task == JF_API_INFER)
		jf_v2_reply(call, job);
	else if (job->end == JF_JOB_DONE)
		jf_reply_done(call, job);
	else
		end_badly(call, job);
	jf_request_unref(request); /* the call and the job may be gone now */
}

/* --- submitting
 * -------------------------------------------------------------------------------------------------------- */

static enum jf_job_kind kind_of(const struct jf_api_request *ask) {
	if (ask->task == JF_API_CLASSIFY)
		return ask->posterior ? JF_JOB_POSTERIOR : JF_JOB_CLASSIFY;
	return ask->task == JF_API_SAMPLE ? JF_JOB_SAMPLE : JF_JOB_GENERATE;
}

/* Noise: every image of a request has its own index under the request's seed; along a row of a blend, and all over a
 * matrix, it is the same. */
static void fill_items(const struct jf_call *call, struct jf_job *job, int columns) {
	const struct jf_api_request *ask = &call->ask;
	int classes = job->model->config.classes, i, label;
	uint64_t index;

	for (i = 0; i < job->n; i++) {
		index = (uint64_t)ask->index;
		if (ask->task == JF_API_BLEND)
			index += ask->matrix ? 0 : (uint64_t)(i / columns);
		else
			index += (uint64_t)i;
		job->items[i].seed = (uint64_t)ask->seed;
		job->items[i].index = index;
		if (job->images)
			job->items[i].image = job->images;
		if (!job->labels)
			continue;
		label = ask->task == JF_API_GENERATE ? 0 : ask->matrix ? i : i % columns;
		job->items[i].label = job->labels + (size_t)label * (size_t)classes;
	}
}

static struct jf_job *make_job(
    struct jf_call *call, struct jf_model *model, const struct jf_ask_inputs *inputs, struct jf_error *err) {
	const struct jf_network_config *config = &model->config;
	size_t pixels = jf_network_image_floats(config);
	struct jf_job *job = jf_job_create(model, kind_of(&call->ask), inputs->n, err);

	if (!job)
		return NULL;
	if ((inputs->image && jf_job_alloc_images(job, 1, err) != JF_OK) ||
	    (inputs->labels && jf_job_alloc_labels(job, inputs->n_labels, err) != JF_OK)) {
		jf_job_unref(job);
		return NULL;
	}
	if (inputs->image)
		memcpy(job->images, inputs->image, pixels * sizeof(float));
	if (inputs->labels)
		memcpy(job->labels, inputs->labels, (size_t)inputs->n_labels * (size_t)config->classes * sizeof(float));
	fill_items(call, job, call->ask.columns > 0 ? call->ask.columns : 1);
	job->args = (struct jf_sampler_args){
	    .solver = (enum jf_solver)call->ask.solver, .steps = call->ask.steps, .guidance = call->ask.guidance};
	job->draws = call->ask.posterior ? call->ask.samples : 1;
	return job;
}

static void refuse(struct jf_call *call, enum jf_admission admission, int retry_after_s, const struct jf_error *err) {
	call->problem.retry_after_s = retry_after_s;
	if (admission == JF_REFUSED_FULL)
		jf_call_fail_with(call, JF_PROBLEM_FULL, "As much work as this server admits is waiting already.");
	else if (admission == JF_REFUSED_DRAINING)
		jf_call_fail_with(call, JF_PROBLEM_DRAINING, "The server is shutting down; ask another instance.");
	else if (admission == JF_REFUSED_DEADLINE)
		jf_call_fail_with(call, JF_PROBLEM_DEADLINE, "Not finished within %d ms.", call->timeout_ms);
	else
		jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "%.300s", err->message);
}

void jf_tasks_submit(struct jf_call *call, struct jf_job *job) {
	struct jf_http *http = call->http;
	struct jf_error err = {0};
	enum jf_admission admission;
	int retry_after_s = 0;

	call->job = job;
	job->deadline_ns = call->handled_ns + (int64_t)call->timeout_ms * 1000000;
	job->context = call;
	job->done = on_done;
	job->step = call->as == JF_AS_STREAM || call->ask.trace ? on_step : NULL;
	snprintf(job->request_id, sizeof(job->request_id), "%.39s", call->id);
	if (call->ask.trace)
		jf_json_begin_array(&call->trace, NULL);
	/* `done` may come before submit returns, so everything it needs stands before */
	jf_request_defer(call->request);
	admission = jf_scheduler_submit(http->parts.scheduler, job, &retry_after_s, &err);
	if (admission != JF_ADMITTED) {
		refuse(call, admission, retry_after_s, &err);
		jf_request_unref(call->request);
		return;
	}
	if (call->as == JF_AS_STREAM)
		start_stream(call);
	else
		jf_request_deadline(call->request, call->timeout_ms + 500);
}

/* The entity tag of a picture that a URL names completely: everything its bytes depend on. True: 304 was answered. */
static bool answered_by_tag(struct jf_call *call, const struct jf_model *model) {
	struct jf_digest *digest;
	char hex[JF_SHA256_HEX];
	char text[64];

	if (strcmp(jf_call_method(call), "POST") == 0 || !call->ask.seed_given || call->as == JF_AS_STREAM)
		return false;
	digest = jf_digest_create();
	if (!digest)
		return false;
	snprintf(
	    text, sizeof(text), "%s %d %d %d ", PACKAGE_VERSION, (int)call->ask.task, (int)call->as, call->ask.steps);
	jf_digest_update(digest, text, strlen(text));
	jf_digest_update(digest, model->checksum, strlen(model->checksum));
	jf_digest_update(digest, jf_request_query(call->request), strlen(jf_request_query(call->request)));
	jf_digest_hex(digest, hex);
	jf_digest_destroy(digest);
	snprintf(call->etag, sizeof(call->etag), "\"%.32s\"", hex);
	return jf_call_not_modified(call, call->etag, CACHE_CONTROL);
}

void jf_tasks_run(struct jf_call *call, enum jf_api_task task) {
	struct jf_model *model = jf_call_model(call);
	struct jf_ask_inputs inputs;
	struct jf_error err = {0};
	struct jf_job *job;

	if (!model)
		return;
	if (!jf_ask_parse(call, task, model, &inputs)) {
		jf_call_fail(call);
	} else if (!answered_by_tag(call, model)) {
		job = make_job(call, model, &inputs, &err);
		if (job)
			jf_tasks_submit(call, job);
		else
			jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "%.300s", err.message);
	}
	jf_ask_inputs_free(&inputs);
	jf_model_unref(model);
}

void jf_api_classify(struct jf_call *call) {
	jf_tasks_run(call, JF_API_CLASSIFY);
}

void jf_api_generate(struct jf_call *call) {
	jf_tasks_run(call, JF_API_GENERATE);
}

void jf_api_blend(struct jf_call *call) {
	jf_tasks_run(call, JF_API_BLEND);
}

void jf_api_sample(struct jf_call *call) {
	jf_tasks_run(call, JF_API_SAMPLE);
}
