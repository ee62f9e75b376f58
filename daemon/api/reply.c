#include "daemon/api/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pictures/png.h"
#include "core/pictures/sheet.h"
#include "core/questions/question.h"
#include "daemon/api/stream.h"
#include "daemon/http/text.h"

/* n images as one PNG; a single one stands without a gap. malloc'd; NULL when memory is short. */
static uint8_t *encode(
    size_t *size, const float *images, int n, const struct jf_network_config *config, int columns, int scale, int gap) {
	struct jf_sheet_options options = jf_sheet_options_default();
	struct jf_image sheet;
	uint8_t *png = NULL;

	options.columns = columns;
	options.scale = scale;
	options.gap = n > 1 ? gap : 0;
	if (jf_sheet(&sheet, images, n, config->height, config->width, config->image_channels, &options, NULL) != JF_OK)
		return NULL;
	if (jf_png_encode(&png, size, &sheet, NULL) != JF_OK)
		png = NULL;
	jf_image_deinit(&sheet);
	return png;
}

static void put_picture(struct jf_json_writer *writer, const char *key, const float *image,
    const struct jf_network_config *config, int scale) {
	size_t size;
	uint8_t *png = encode(&size, image, 1, config, 1, scale, 0);
	char *text = png ? jf_base64_encode(png, size) : NULL;

	if (!text)
		writer->failed = true;
	else
		jf_json_put_string(writer, key, text);
	free(text);
	free(png);
}

void jf_reply_step(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job,
    const struct jf_job_step *step, bool for_trace) {
	const struct jf_network_config *config = &job->model->config;
	size_t classes = (size_t)config->classes;

	jf_json_begin_object(writer, NULL);
	if (!for_trace)
		jf_json_put_integer(writer, "item", step->item);
	jf_json_put_integer(writer, "step", step->step);
	jf_json_put_integer(writer, "steps", step->steps);
	jf_json_put_float(writer, "time", step->time);
	if (step->label)
		jf_json_put_floats(writer, "label", step->label, classes);
	if (step->probabilities)
		jf_json_put_floats(writer, "probabilities", step->probabilities, classes);
	if (step->image && !for_trace)
		put_picture(writer, "image", step->image, config, call->ask.scale);
	jf_json_end_object(writer);
}

/* --- parts that several answers have
 * ----------------------------------------------------------------------------------- */

static void put_pair(struct jf_json_writer *writer, const char *key, float x, float y) {
	jf_json_begin_object(writer, key);
	jf_json_put_float(writer, "x", x);
	jf_json_put_float(writer, "y", y);
	jf_json_end_object(writer);
}

static void put_sampler(const struct jf_call *call, struct jf_json_writer *writer) {
	jf_json_put_integer(writer, "steps", call->ask.sampler.steps);
	jf_json_put_string(writer, "solver", jf_solver_name(call->ask.sampler.solver));
}

static void put_end(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job) {
	jf_json_begin_object(writer, "timings_ms");
	if (call->ask.question == JF_QUESTION_CLASSIFY)
		jf_json_put_float(writer, "decode", (float)call->ask.decode_ms);
	jf_json_put_float(writer, "queue", (float)jf_job_queue_ms(job));
	jf_json_put_float(writer, "compute", (float)jf_job_compute_ms(job));
	jf_json_put_float(writer, "total", (float)((double)(jf_job_now_ns() - call->handled_ns) * 1e-6));
	jf_json_end_object(writer);
	jf_json_begin_object(writer, "model");
	jf_json_put_string(writer, "name", job->model->name);
	jf_json_put_string(writer, "checksum", job->model->checksum);
	jf_json_end_object(writer);
	jf_json_put_string(writer, "request_id", call->id);
}

/* label, name, confidence, probabilities: of one row of probabilities, where `label` was chosen. */
static void put_label(
    struct jf_json_writer *writer, const struct jf_model *model, int label, const float *probabilities) {
	jf_json_put_integer(writer, "label", label);
	jf_json_put_string(writer, "name", model->class_names[label]);
	jf_json_put_float(writer, "confidence", probabilities[label]);
	jf_json_put_floats(writer, "probabilities", probabilities, (size_t)model->config.classes);
}

/* --- classify
 * ---------------------------------------------------------------------------------------------------------- */

static void put_preprocess(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job) {
	const struct jf_framing_report *framed = &call->ask.framed;

	jf_json_begin_object(writer, "preprocess");
	jf_json_put_string(writer, "method", jf_preprocess_name(framed->preprocess));
	jf_json_put_bool(writer, "inverted", framed->inverted);
	jf_json_put_bool(writer, "resized", framed->resized);
	jf_json_begin_object(writer, "source");
	jf_json_put_integer(writer, "width", framed->source_width);
	jf_json_put_integer(writer, "height", framed->source_height);
	jf_json_put_integer(writer, "channels", framed->source_channels);
	jf_json_end_object(writer);
	jf_json_begin_object(writer, "box");
	jf_json_put_integer(writer, "x", framed->ink_x);
	jf_json_put_integer(writer, "y", framed->ink_y);
	jf_json_put_integer(writer, "width", framed->ink_width);
	jf_json_put_integer(writer, "height", framed->ink_height);
	jf_json_end_object(writer);
	put_pair(writer, "scale", framed->scale_x, framed->scale_y);
	put_pair(writer, "shift", framed->shift_x, framed->shift_y);
	if (call->ask.trace)
		put_picture(writer, "image", job->images, &job->model->config, 1);
	jf_json_end_object(writer);
}

static void put_classification(struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job) {
	int classes = job->model->config.classes, label, k;
	float *mean = calloc((size_t)classes, sizeof(*mean));
	int *votes = calloc((size_t)classes, sizeof(*votes));
	const char *steps = call->ask.trace ? jf_json_writer_text(&call->trace) : NULL;
	char name[16];

	if (!mean || !votes) {
		writer->failed = true;
		goto out;
	}
	jf_votes_count(votes, mean, job->out_probabilities, job->n, classes);
	label = jf_votes_winner(votes, mean, classes);
	put_label(writer, job->model, label, mean);
	jf_json_put_string(writer, "method", call->ask.method == JF_METHOD_POSTERIOR ? "posterior" : "sample");
	jf_json_put_integer(writer, "samples", call->ask.samples);
	if (call->ask.method == JF_METHOD_SAMPLE) {
		put_sampler(call, writer);
		jf_json_begin_array(writer, "votes");
		for (k = 0; k < classes; k++)
			jf_json_put_integer(writer, NULL, votes[k]);
		jf_json_end_array(writer);
		if (steps)
			jf_json_put_raw(writer, "trace", steps);
	}
	jf_json_put_integer(writer, "seed", call->ask.seed);
	put_preprocess(call, writer, job);
	snprintf(name, sizeof(name), "%d", label);
	jf_metric_add(call->http->parts.metrics, JF_METRIC_PREDICTIONS, 1, JF_LABELS(name));
	jf_metric_observe(call->http->parts.metrics, JF_METRIC_CONFIDENCE, (double)mean[label], NULL);
out:
	free(mean);
	free(votes);
}

/* --- pictures
 * ---------------------------------------------------------------------------------------------------------- */

static int sheet_columns(const struct jf_call *call, const struct jf_job *job) {
	if (call->ask.columns > 0)
		return call->ask.columns < job->n ? call->ask.columns : job->n;
	return jf_sheet_columns(job->n);
}

static void put_images(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job) {
	const struct jf_network_config *config = &job->model->config;
	size_t classes = (size_t)config->classes;
	const float *probabilities;
	int i;

	jf_json_begin_array(writer, call->ask.question == JF_QUESTION_SAMPLE ? "samples" : "images");
	for (i = 0; i < job->n; i++) {
		jf_json_begin_object(writer, NULL);
		put_picture(writer, "b64_json", job->out_images + (size_t)i * jf_network_image_floats(config), config,
		    call->ask.scale);
		jf_json_put_unsigned(writer, "seed", job->items[i].seed);
		jf_json_put_unsigned(writer, "index", job->items[i].index);
		if (call->ask.question == JF_QUESTION_SAMPLE) {
			probabilities = job->out_probabilities + (size_t)i * classes;
			put_label(writer, job->model, jf_argmax(probabilities, config->classes), probabilities);
			jf_json_put_floats(writer, "label_values", job->out_labels + (size_t)i * classes, classes);
		} else {
			jf_json_put_floats(writer, "label_values", job->items[i].label, classes);
		}
		if (call->ask.question == JF_QUESTION_BLEND) {
			jf_json_put_integer(writer, "row", i / call->ask.columns);
			jf_json_put_integer(writer, "column", i % call->ask.columns);
		}
		jf_json_end_object(writer);
	}
	jf_json_end_array(writer);
	jf_json_put_integer(writer, "count", job->n);
	if (call->ask.question == JF_QUESTION_BLEND) {
		jf_json_put_integer(writer, "rows", call->ask.blend.rows);
		jf_json_put_integer(writer, "columns", call->ask.blend.columns);
	}
	jf_json_put_integer(writer, "width", config->width * call->ask.scale);
	jf_json_put_integer(writer, "height", config->height * call->ask.scale);
	jf_json_put_integer(writer, "scale", call->ask.scale);
	jf_json_put_integer(writer, "seed", call->ask.seed);
	put_sampler(call, writer);
	if (call->ask.question != JF_QUESTION_SAMPLE)
		jf_json_put_float(writer, "guidance", call->ask.sampler.guidance);
}

static void reply_png(struct jf_call *call, const struct jf_job *job) {
	struct jf_response response;
	size_t size;
	uint8_t *png = encode(&size, job->out_images, job->n, &job->model->config, sheet_columns(call, job),
	    call->ask.scale, call->ask.gap);

	if (!png) {
		jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "The picture could not be encoded.");
		return;
	}
	jf_response_init(&response, 200);
	jf_response_own(&response, "image/png", (char *)png, size);
	jf_response_header(&response, "X-Seed", "%lld", (long long)call->ask.seed);
	if (*call->etag) {
		jf_response_header(&response, "ETag", "%s", call->etag);
		jf_response_header(&response, "Cache-Control", "no-cache");
	}
	jf_call_reply(call, &response);
}

static void reply_json(struct jf_call *call, struct jf_json_writer *writer) {
	struct jf_response response;
	size_t length;
	char *text;

	if (jf_json_writer_take(writer, &text, &length) != JF_OK) {
		jf_call_fail_with(call, JF_PROBLEM_INTERNAL, "Out of memory.");
		return;
	}
	jf_response_init(&response, 200);
	jf_response_own(&response, "application/json", text, length);
	jf_response_header(&response, "X-Seed", "%lld", (long long)call->ask.seed);
	if (*call->etag) {
		jf_response_header(&response, "ETag", "%s", call->etag);
		jf_response_header(&response, "Cache-Control", "no-cache");
	}
	jf_call_reply(call, &response);
}

void jf_reply_done(struct jf_call *call, const struct jf_job *job) {
	struct jf_json_writer writer;
	const char *text;

	if (call->as == JF_AS_PNG) {
		reply_png(call, job);
		return;
	}
	if (call->ask.trace)
		jf_json_end_array(&call->trace);
	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	if (call->ask.question == JF_QUESTION_CLASSIFY)
		put_classification(call, &writer, job);
	else
		put_images(call, &writer, job);
	put_end(call, &writer, job);
	jf_json_end_object(&writer);
	if (call->as == JF_AS_STREAM) {
		text = jf_json_writer_text(&writer);
		jf_stream_end(call, text ? "result" : "error", text ? text : "{}");
	} else {
		reply_json(call, &writer);
	}
	jf_json_writer_deinit(&writer);
}
