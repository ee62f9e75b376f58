#include "config.h"

#include "daemon/api/v2.h"

#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/submit.h"
#include "daemon/api/v2_infer.h"

void jf_v2_server(struct jf_call *call) {
	struct jf_json_writer writer;

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "name", "jointflow");
	jf_json_put_string(&writer, "version", PACKAGE_VERSION);
	jf_json_begin_array(&writer, "extensions");
	jf_json_put_string(&writer, NULL, "binary_tensor_data");
	jf_json_put_string(&writer, NULL, "classification");
	jf_json_end_array(&writer);
	jf_json_end_object(&writer);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

static void reply_flag(struct jf_call *call, const char *key, const char *name) {
	struct jf_json_writer writer;

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	if (name)
		jf_json_put_string(&writer, "name", name);
	jf_json_put_bool(&writer, key, true);
	jf_json_end_object(&writer);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

void jf_v2_live(struct jf_call *call) {
	reply_flag(call, "live", NULL);
}

void jf_v2_ready(struct jf_call *call) {
	struct jf_model *model = jf_call_model(call);

	if (!model)
		return;
	jf_model_unref(model);
	reply_flag(call, "ready", NULL);
}

/* The model if the path names it; NULL after answering. */
static struct jf_model *named_model(struct jf_call *call) {
	struct jf_model *model = jf_call_model(call);

	if (!model || strcmp(model->name, call->tail) == 0)
		return model;
	jf_call_fail_with(
	    call, JF_PROBLEM_NOT_FOUND, "The model here is \"%.80s\", not \"%.80s\".", model->name, call->tail);
	jf_model_unref(model);
	return NULL;
}

static void put_tensor(
    struct jf_json_writer *writer, const char *name, const char *datatype, const int *shape, int rank) {
	int i;

	jf_json_begin_object(writer, NULL);
	jf_json_put_string(writer, "name", name);
	jf_json_put_string(writer, "datatype", datatype);
	jf_json_begin_array(writer, "shape");
	for (i = 0; i < rank; i++)
		jf_json_put_integer(writer, NULL, shape[i]);
	jf_json_end_array(writer);
}

void jf_v2_model(struct jf_call *call) {
	struct jf_model *model = named_model(call);
	struct jf_json_writer writer;
	int shape[4];

	if (!model)
		return;
	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "name", model->name);
	jf_json_begin_array(&writer, "versions");
	jf_json_put_string(&writer, NULL, "1");
	jf_json_end_array(&writer);
	jf_json_put_string(&writer, "platform", "jointflow");
	jf_json_begin_array(&writer, "inputs");
	shape[0] = -1;
	shape[1] = model->config.height;
	shape[2] = model->config.width;
	shape[3] = model->config.image_channels;
	put_tensor(&writer, "image", "FP32", shape, 4);
	jf_json_end_object(&writer);
	jf_json_end_array(&writer);
	jf_json_begin_array(&writer, "outputs");
	shape[1] = model->config.classes;
	put_tensor(&writer, jf_v2_tensor_name(JF_V2_PROBABILITIES), "FP32", shape, 2);
	jf_json_end_object(&writer);
	put_tensor(&writer, jf_v2_tensor_name(JF_V2_LABEL), "INT64", shape, 1);
	jf_json_end_object(&writer);
	if (model->familiarity) {
		put_tensor(&writer, jf_v2_tensor_name(JF_V2_FAMILIARITY), "FP32", shape, 1);
		jf_json_end_object(&writer);
	}
	jf_json_end_array(&writer);
	jf_json_end_object(&writer);
	jf_model_unref(model);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

void jf_v2_model_ready(struct jf_call *call) {
	struct jf_model *model = named_model(call);

	if (!model)
		return;
	reply_flag(call, "ready", model->name);
	jf_model_unref(model);
}

void jf_v2_infer(struct jf_call *call) {
	struct jf_model *model = named_model(call);
	struct jf_job *job;

	if (!model)
		return;
	job = jf_v2_infer_parse(call, model);
	jf_model_unref(model);
	if (job)
		jf_submit_job(call, job, jf_v2_infer_reply);
	else
		jf_call_fail(call);
}
