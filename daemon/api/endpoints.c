#include "config.h"

#include "daemon/api/endpoints.h"

#include <stdio.h>
#include <string.h>

#include "core/base/digest.h"
#include "daemon/api/ask.h"
#include "daemon/api/call.h"
#include "daemon/api/heavy.h"
#include "daemon/api/reply.h"
#include "daemon/api/submit.h"

#define CACHE_CONTROL "no-cache" /* may be kept, must be asked about: another model gives other pictures */

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
	snprintf(text, sizeof(text), "%s %d %d %d ", PACKAGE_VERSION, (int)call->ask.question, (int)call->as,
	    call->ask.sampler.steps);
	jf_digest_update(digest, text, strlen(text));
	jf_digest_update(digest, model->checksum, strlen(model->checksum));
	jf_digest_update(digest, jf_request_query(call->request), strlen(jf_request_query(call->request)));
	jf_digest_hex(digest, hex);
	jf_digest_destroy(digest);
	/* JSON carries timings and a request id, so it is never the same byte for byte */
	snprintf(call->etag, sizeof(call->etag), "%s\"%.32s\"", call->as == JF_AS_PNG ? "" : "W/", hex);
	return jf_call_not_modified(call, call->etag, CACHE_CONTROL);
}

static void handle(struct jf_call *call, enum jf_question question) {
	/* of a list that has been begun, that with which it was */
	struct jf_model *model = call->reading.model ? jf_model_ref(call->reading.model) : jf_call_model(call);
	struct jf_job *job;

	if (!model)
		return;
	job = jf_ask_parse(call, question, model);
	if (!job && call->heavy)
		jf_heavy_move(call, call->heavy);
	else if (!job)
		jf_call_fail(call);
	else if (answered_by_tag(call, model))
		jf_job_unref(job);
	else
		jf_submit_job(call, job, jf_reply_done);
	jf_model_unref(model);
}

void jf_endpoint_classify(struct jf_call *call) {
	handle(call, JF_QUESTION_CLASSIFY);
}

void jf_endpoint_generate(struct jf_call *call) {
	handle(call, JF_QUESTION_GENERATE);
}

void jf_endpoint_blend(struct jf_call *call) {
	handle(call, JF_QUESTION_BLEND);
}

void jf_endpoint_sample(struct jf_call *call) {
	handle(call, JF_QUESTION_SAMPLE);
}

void jf_endpoint_edit(struct jf_call *call) {
	handle(call, JF_QUESTION_EDIT);
}

void jf_endpoint_score(struct jf_call *call) {
	handle(call, JF_QUESTION_SCORE);
}
