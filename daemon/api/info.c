#include "config.h"

#include "daemon/api/info.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/kernels/kernels.h"
#include "core/pictures/framing.h"
#include "core/pictures/sheet.h"
#include "core/questions/score.h"
#include "daemon/api/ask.h"
#include "daemon/api/call.h"
#include "daemon/http/assets_data.h"

static void put_network(struct jf_json_writer *writer, const struct jf_network_config *config) {
	jf_json_begin_object(writer, "network");
	jf_json_put_integer(writer, "channels", config->channels);
	jf_json_put_integer(writer, "blocks", config->blocks);
	jf_json_put_integer(writer, "layers", config->layers);
	jf_json_put_integer(writer, "heads", config->heads);
	jf_json_put_integer(writer, "label_tokens", config->label_tokens);
	jf_json_put_string(writer, "label_head", config->head == JF_HEAD_ENDPOINT ? "endpoint" : "velocity");
	jf_json_end_object(writer);
}

static void put_limits(struct jf_json_writer *writer, const struct jf_conf *conf) {
	jf_json_begin_object(writer, "limits");
	jf_json_put_integer(writer, "body_bytes", conf->max_body_bytes);
	jf_json_put_integer(writer, "image_side", conf->max_image_side);
	jf_json_put_integer(writer, "count", conf->max_count);
	jf_json_put_integer(writer, "steps", conf->max_steps);
	jf_json_put_integer(writer, "samples", jf_ask_max_samples(conf, JF_METHOD_SAMPLE));
	jf_json_put_integer(writer, "posterior_samples", jf_ask_max_samples(conf, JF_METHOD_POSTERIOR));
	jf_json_put_integer(writer, "likelihood_samples", jf_ask_max_samples(conf, JF_METHOD_LIKELIHOOD));
	jf_json_put_integer(writer, "draws", JF_MAX_SCORE_DRAWS);
	jf_json_put_integer(writer, "guidance", JF_MAX_GUIDANCE);
	jf_json_put_integer(writer, "repeats", JF_MAX_REPEATS);
	jf_json_put_integer(writer, "label", JF_MAX_LABEL);
	jf_json_put_integer(writer, "weight", JF_MAX_WEIGHT);
	jf_json_put_integer(writer, "scale", JF_MAX_SCALE);
	jf_json_put_integer(writer, "gap", JF_MAX_GAP);
	jf_json_put_integer(writer, "seed", JF_MAX_SEED);
	jf_json_put_integer(writer, "timeout_ms", conf->request_timeout_ms);
	jf_json_end_object(writer);
}

/* What holds in one of the questions when a request says nothing. */
static void put_question_defaults(struct jf_json_writer *writer, enum jf_question question,
    const struct jf_model *model, const struct jf_conf *conf) {
	struct jf_ask ask;

	jf_ask_defaults(&ask, question, conf);
	jf_json_begin_object(writer, jf_question_name(question));
	if (question == JF_QUESTION_SCORE) {
		jf_json_put_integer(writer, "draws", JF_DEFAULT_SCORE_DRAWS);
	} else {
		jf_json_put_integer(writer, "steps", ask.sampler.steps);
		jf_json_put_string(writer, "solver", jf_solver_name(ask.sampler.solver));
	}
	if (jf_question_task(question) == JF_TASK_GENERATE)
		jf_json_put_float(writer, "guidance", ask.sampler.guidance);
	if (question == JF_QUESTION_CLASSIFY) {
		jf_json_put_string(writer, "method", jf_method_names[ask.method]);
		jf_json_put_integer(writer, "samples", jf_ask_default_samples(conf, JF_METHOD_SAMPLE));
		jf_json_put_integer(writer, "posterior_samples", jf_ask_default_samples(conf, JF_METHOD_POSTERIOR));
		jf_json_put_integer(writer, "likelihood_samples", jf_ask_default_samples(conf, JF_METHOD_LIKELIHOOD));
	} else if (question != JF_QUESTION_SCORE) {
		jf_json_put_integer(writer, "scale", JF_DEFAULT_SCALE);
		jf_json_put_integer(writer, "gap", ask.gap);
	}
	if (question == JF_QUESTION_GENERATE || question == JF_QUESTION_SAMPLE || question == JF_QUESTION_EDIT)
		jf_json_put_integer(writer, "count", ask.count);
	if (question == JF_QUESTION_EDIT) {
		jf_json_put_float(writer, "strength", ask.strength);
		jf_json_put_integer(writer, "repeats", ask.sampler.repeats);
	}
	if (question == JF_QUESTION_CLASSIFY || question == JF_QUESTION_EDIT || question == JF_QUESTION_SCORE) {
		jf_json_put_string(writer, "preprocess", jf_preprocess_name((enum jf_preprocess)model->preprocess));
		jf_json_put_string(writer, "invert", jf_invert_name(ask.framing.invert));
	}
	if (question == JF_QUESTION_BLEND) {
		jf_json_put_integer(writer, "rows", ask.blend.rows);
		jf_json_put_integer(writer, "columns", ask.blend.columns);
		jf_json_put_string(writer, "spacing", jf_spacing_names[ask.blend.spacing]);
	}
	jf_json_end_object(writer);
}

static void put_defaults(struct jf_json_writer *writer, const struct jf_model *model, const struct jf_conf *conf) {
	struct jf_ask ask;

	jf_ask_defaults(&ask, JF_QUESTION_GENERATE, conf);
	jf_json_begin_object(writer, "defaults");
	jf_json_put_integer(writer, "steps", ask.sampler.steps);
	jf_json_put_string(writer, "solver", jf_solver_name(ask.sampler.solver));
	jf_json_put_float(writer, "guidance", ask.sampler.guidance);
	for (int question = 0; question < JF_N_QUESTIONS; question++)
		put_question_defaults(writer, (enum jf_question)question, model, conf);
	jf_json_end_object(writer);
}

static void put_choices(struct jf_json_writer *writer) {
	static const struct {
		const char *key;
		const char *const *names;
	} choices[] = {{"method", jf_method_names}, {"solver", jf_solver_names}, {"preprocess", jf_preprocess_names},
	    {"invert", jf_invert_names}, {"spacing", jf_spacing_names}};

	jf_json_begin_object(writer, "choices");
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		jf_json_begin_array(writer, choices[i].key);
		for (const char *const *name = choices[i].names; *name; name++)
			jf_json_put_string(writer, NULL, *name);
		jf_json_end_array(writer);
	}
	jf_json_end_object(writer);
}

void jf_info_model(struct jf_call *call) {
	struct jf_model *model = jf_call_model(call);
	struct jf_json_writer writer;
	size_t i;

	if (!model)
		return;
	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "name", model->name);
	jf_json_put_string(&writer, "checksum", model->checksum);
	jf_json_put_unsigned(&writer, "parameters", jf_model_parameter_count(model));
	jf_json_begin_array(&writer, "classes");
	for (i = 0; i < (size_t)model->config.classes; i++)
		jf_json_put_string(&writer, NULL, model->class_names[i]);
	jf_json_end_array(&writer);
	jf_json_begin_array(&writer, "image");
	jf_json_put_integer(&writer, NULL, model->config.height);
	jf_json_put_integer(&writer, NULL, model->config.width);
	jf_json_put_integer(&writer, NULL, model->config.image_channels);
	jf_json_end_array(&writer);
	put_network(&writer, &model->config);
	jf_json_begin_object(&writer, "training");
	for (i = 0; i < model->n_facts; i++)
		jf_json_put_string(&writer, model->facts[i].key, model->facts[i].value);
	jf_json_end_object(&writer);
	jf_json_put_integer(&writer, "loaded_at", jf_model_holder_loaded_at(call->http->parts.holder));
	put_limits(&writer, call->http->parts.conf);
	put_defaults(&writer, model, call->http->parts.conf);
	put_choices(&writer);
	jf_json_end_object(&writer);
	jf_model_unref(model);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

void jf_info_version(struct jf_call *call) {
	struct jf_json_writer writer;

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "name", "jointflow");
	jf_json_put_string(&writer, "version", PACKAGE_VERSION);
	jf_json_put_string(&writer, "api", "v1");
	jf_json_put_string(&writer, "isa", jf_kernels()->name);
	jf_json_end_object(&writer);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

void jf_info_openapi(struct jf_call *call) {
	struct jf_response response;
	int i;

	for (i = 0; i < jf_n_embedded; i++) {
		if (strcmp(jf_embedded[i].path, "doc/openapi.json") != 0)
			continue;
		jf_response_init(&response, 200);
		jf_response_borrow(
		    &response, "application/json", (const char *)jf_embedded[i].data, jf_embedded[i].size);
		jf_call_reply(call, &response);
		return;
	}
	jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "The description of the API is missing from this build.");
}

static void reply_status(struct jf_call *call, const char *status) {
	struct jf_json_writer writer;

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "status", status);
	jf_json_end_object(&writer);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

void jf_info_livez(struct jf_call *call) {
	reply_status(call, "alive");
}

void jf_info_readyz(struct jf_call *call) {
	if (atomic_load(&call->http->draining))
		jf_call_fail_with(call, JF_PROBLEM_DRAINING, "The server is shutting down.");
	else if (!atomic_load(&call->http->ready))
		jf_call_fail_with(call, JF_PROBLEM_LOADING, "The model is being loaded.");
	else
		reply_status(call, "ready");
}

void jf_info_health(struct jf_call *call) {
	struct jf_http *http = call->http;
	struct jf_scheduler_stats stats;
	struct jf_json_writer writer;
	struct jf_model *model = jf_model_holder_get(http->parts.holder);
	bool draining = atomic_load(&http->draining), ready = atomic_load(&http->ready) && !draining && model;

	jf_scheduler_stats(http->parts.scheduler, &stats);
	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	jf_json_put_string(&writer, "status", draining ? "draining" : ready ? "ready" : "loading");
	jf_json_put_string(&writer, "version", PACKAGE_VERSION);
	jf_json_put_string(&writer, "model", model ? model->name : NULL);
	jf_json_put_integer(&writer, "uptime_s", (int64_t)time(NULL) - http->started_s);
	jf_json_begin_object(&writer, "workers");
	jf_json_put_integer(&writer, "total", stats.workers);
	jf_json_put_integer(&writer, "busy", stats.workers_busy);
	jf_json_end_object(&writer);
	jf_json_begin_object(&writer, "queue");
	jf_json_put_integer(&writer, "jobs", stats.jobs_queued);
	jf_json_put_integer(&writer, "cost", stats.cost_outstanding);
	jf_json_put_integer(&writer, "capacity", stats.capacity);
	jf_json_end_object(&writer);
	jf_json_put_integer(&writer, "requests_in_flight", jf_server_in_flight(http->server));
	jf_json_put_integer(&writer, "connections", jf_server_connections(http->server));
	jf_json_end_object(&writer);
	jf_model_unref(model);
	jf_call_reply_json(call, 200, &writer);
	jf_json_writer_deinit(&writer);
}

void jf_info_metrics(struct jf_call *call) {
	struct jf_response response;
	size_t size;
	char *text;

	if (jf_metrics_render(call->http->parts.metrics, &text, &size) != JF_OK) {
		jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "Out of memory.");
		return;
	}
	jf_response_init(&response, 200);
	jf_response_own(&response, JF_METRICS_CONTENT_TYPE, text, size);
	jf_call_reply(call, &response);
}
