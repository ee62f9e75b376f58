#include "daemon/api/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/base64.h"
#include "core/base/clock.h"
#include "core/pictures/png.h"
#include "core/pictures/sheet.h"
#include "core/questions/answer.h"
#include "core/questions/question.h"
#include "daemon/api/stream.h"
#include "daemon/http/text.h"

/* n images as one PNG. malloc'd; NULL when memory is short. */
static uint8_t *encode(
    size_t *size, const float *images, int n, const struct jf_network_config *config, int columns, int scale, int gap) {
	struct jf_sheet_options options = jf_sheet_options_default();
	struct jf_image sheet;
	uint8_t *png = NULL;

	options.columns = jf_sheet_columns_of(columns, n);
	options.scale = scale;
	options.gap = gap;
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

/* --- parts that several answers have --- */

static void put_sampler(const struct jf_call *call, struct jf_json_writer *writer) {
	jf_json_put_integer(writer, "steps", call->ask.sampler.steps);
	jf_json_put_string(writer, "solver", jf_solver_name(call->ask.sampler.solver));
}

static void put_end(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job) {
	jf_json_begin_object(writer, "timings_ms");
	if (call->ask.n_pictures > 0)
		jf_json_put_float(writer, "decode", (float)call->ask.decode_ms);
	jf_json_put_float(writer, "queue", (float)jf_job_queue_ms(job));
	jf_json_put_float(writer, "compute", (float)jf_job_compute_ms(job));
	jf_json_put_float(writer, "total", (float)((double)(jf_clock_ns() - call->handled_ns) * 1e-6));
	jf_json_end_object(writer);
	jf_answer_put_model(writer, job->model);
	jf_json_put_string(writer, "request_id", call->id);
}

/* --- classify --- */

static void put_preprocess(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job,
    const struct jf_framing_report *framed) {
	jf_json_begin_object(writer, "preprocess");
	jf_answer_put_framing(writer, framed);
	if (call->ask.trace || call->ask.question == JF_QUESTION_EDIT)
		put_picture(writer, "image", job->images, &job->model->config, 1);
	jf_json_end_object(writer);
}

static void put_method(struct jf_call *call, struct jf_json_writer *writer) {
	if (call->ask.question == JF_QUESTION_SCORE) {
		jf_json_put_integer(writer, "draws", call->ask.samples);
		return;
	}
	jf_json_put_string(writer, "method", jf_method_names[call->ask.method]);
	jf_json_put_integer(writer, "samples", call->ask.samples);
	if (call->ask.method == JF_METHOD_SAMPLE)
		put_sampler(call, writer);
}

/* The likelihoods of the picture that is item `item`. */
static void put_scored(struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job, int item) {
	size_t at = (size_t)item, classes = (size_t)job->model->config.classes;
	const double *log_p = job->out_log_p + at * 2 * (classes + 1);

	jf_answer_put_score(writer, job->model, log_p, log_p + classes + 1, job->out_probabilities + at * classes,
	    job->out_originals + at * classes);
	jf_answer_put_familiarity(writer, job->out_familiarity[item], call->http->parts.conf->unfamiliar_below);
}

/* The label of the picture whose items begin at `first`; mean [classes] and votes [classes] come from its draws. */
static void put_chosen(
    struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job, int first, float *mean, int *votes) {
	int classes = job->model->config.classes, label;
	int n = call->ask.method == JF_METHOD_SAMPLE ? call->ask.samples : 1;
	float familiarity = job->out_familiarity[first]; /* the image's, so the same for each of its draws */
	char name[16];

	if (call->ask.question == JF_QUESTION_SCORE) {
		put_scored(call, writer, job, first);
		return;
	}
	memset(mean, 0, (size_t)classes * sizeof(*mean));
	memset(votes, 0, (size_t)classes * sizeof(*votes));
	for (int i = first; i < first + n; i++) {
		size_t at = (size_t)i * (size_t)classes;

		jf_votes_add(votes, mean, job->out_labels ? job->out_labels + at : NULL, job->out_probabilities + at, n,
		    classes);
	}
	label = jf_votes_winner(votes, mean, classes);
	if (familiarity >= 0 && familiarity < call->ask.min_familiarity)
		jf_answer_put_no_label(writer, job->model, label, mean);
	else
		jf_answer_put_label(writer, job->model, label, mean);
	jf_answer_put_familiarity(writer, familiarity, call->http->parts.conf->unfamiliar_below);
	if (familiarity >= 0)
		jf_metric_observe(call->http->parts.metrics, JF_METRIC_FAMILIARITY, (double)familiarity, NULL);
	snprintf(name, sizeof(name), "%d", label);
	jf_metric_add(call->http->parts.metrics, JF_METRIC_PREDICTIONS, 1, JF_LABELS(name));
	jf_metric_observe(call->http->parts.metrics, JF_METRIC_CONFIDENCE, (double)mean[label], NULL);
}

/* One picture: its answer is the document itself. */
static void put_only(
    struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job, float *mean, int *votes) {
	const char *steps = call->ask.trace ? jf_json_writer_text(&call->trace) : NULL;

	put_chosen(call, writer, job, 0, mean, votes);
	put_method(call, writer);
	if (call->ask.method == JF_METHOD_SAMPLE) {
		jf_answer_put_votes(writer, votes, job->model->config.classes);
		if (steps)
			jf_json_put_raw(writer, "trace", steps);
	}
	jf_json_put_integer(writer, "seed", call->ask.seed);
	put_preprocess(call, writer, job, &call->ask.pictures[0].framed);
}

/* Several: one answer each, in their order; one that cannot be used has an error in its place. */
static void put_list(
    struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job, float *mean, int *votes) {
	int failed = 0;

	jf_json_begin_array(writer, "results");
	for (int i = 0; i < call->ask.n_pictures; i++) {
		const struct jf_ask_picture *picture = &call->ask.pictures[i];

		jf_json_begin_object(writer, NULL);
		jf_json_put_integer(writer, "index", i);
		if (picture->first < 0) {
			jf_json_put_string(writer, "error", picture->fault);
			failed++;
		} else {
			put_chosen(call, writer, job, picture->first, mean, votes);
			if (call->ask.method == JF_METHOD_SAMPLE)
				jf_answer_put_votes(writer, votes, job->model->config.classes);
			put_preprocess(call, writer, job, &picture->framed);
		}
		jf_json_end_object(writer);
	}
	jf_json_end_array(writer);
	jf_json_put_integer(writer, "count", call->ask.n_pictures);
	jf_json_put_integer(writer, "failed", failed);
	put_method(call, writer);
	jf_json_put_integer(writer, "seed", call->ask.seed);
}

static void put_classification(struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job) {
	size_t classes = (size_t)job->model->config.classes;
	float *mean = calloc(classes, sizeof(*mean));
	int *votes = calloc(classes, sizeof(*votes));

	if (!mean || !votes)
		writer->failed = true;
	else if (call->ask.list)
		put_list(call, writer, job, mean, votes);
	else
		put_only(call, writer, job, mean, votes);
	free(mean);
	free(votes);
}

/* --- pictures --- */

/* What all edits of a picture have in common. */
static void put_edit(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job) {
	jf_json_put_integer(writer, "repeats", call->ask.sampler.repeats);
	jf_json_put_bool(writer, "counterfactual", call->ask.counterfactual);
	jf_json_put_bool(writer, "masked", job->redraw != NULL);
	jf_answer_put_original(writer, job->model, job->out_originals);
	put_preprocess(call, writer, job, &call->ask.pictures[0].framed);
}

static void put_images(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job) {
	const struct jf_network_config *config = &job->model->config;
	size_t classes = (size_t)config->classes;
	const int probes = call->ask.probes;
	const float *label;
	int i;

	jf_json_begin_array(writer, call->ask.question == JF_QUESTION_SAMPLE ? "samples" : "images");
	for (i = probes; i < job->n; i++) {
		jf_json_begin_object(writer, NULL);
		put_picture(writer, "b64_json", job->out_images + (size_t)i * jf_network_image_floats(config), config,
		    call->ask.scale);
		jf_json_put_unsigned(writer, "seed", job->items[i].seed);
		jf_json_put_unsigned(writer, "index", job->items[i].index);
		if (call->ask.question == JF_QUESTION_SAMPLE) {
			label = job->out_labels + (size_t)i * classes;
			jf_answer_put_label(writer, job->model, jf_draw_class(label, config->classes),
			    job->out_probabilities + (size_t)i * classes);
			jf_json_put_floats(writer, "label_values", label, classes);
		} else if (call->ask.question == JF_QUESTION_EDIT) {
			jf_answer_put_edited(writer, job->model, job->out_labels + (size_t)i * classes,
			    job->out_probabilities + (size_t)i * classes, job->out_strengths[i]);
		} else {
			jf_json_put_floats(writer, "label_values", job->items[i].label, classes);
		}
		if (call->ask.question == JF_QUESTION_BLEND) {
			jf_json_put_integer(writer, "row", (i - probes) / call->ask.columns);
			jf_json_put_integer(writer, "column", (i - probes) % call->ask.columns);
		}
		jf_json_end_object(writer);
	}
	jf_json_end_array(writer);
	jf_json_put_integer(writer, "count", job->n - probes);
	if (call->ask.question == JF_QUESTION_BLEND) {
		jf_json_put_integer(writer, "rows", call->ask.blend.rows);
		jf_json_put_integer(writer, "columns", call->ask.blend.columns);
		if (call->ask.blend.columns > 1 && !call->ask.blend.matrix)
			jf_json_put_string(writer, "spacing", jf_spacing_names[call->ask.blend.spacing]);
	}
	jf_json_put_integer(writer, "width", config->width * call->ask.scale);
	jf_json_put_integer(writer, "height", config->height * call->ask.scale);
	jf_json_put_integer(writer, "scale", call->ask.scale);
	jf_json_put_integer(writer, "seed", call->ask.seed);
	put_sampler(call, writer);
	if (call->ask.question != JF_QUESTION_SAMPLE)
		jf_answer_put_guidance(writer, &call->ask.sampler);
	if (call->ask.question == JF_QUESTION_EDIT)
		put_edit(call, writer, job);
}

static void reply_png(struct jf_call *call, const struct jf_job *job) {
	struct jf_response response;
	size_t size;
	const struct jf_network_config *config = &job->model->config;
	const float *images = job->out_images + (size_t)call->ask.probes * jf_network_image_floats(config);
	uint8_t *png =
	    encode(&size, images, job->n - call->ask.probes, config, call->ask.columns, call->ask.scale, call->ask.gap);

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
	if (jf_question_task(call->ask.question) == JF_TASK_CLASSIFY)
		put_classification(call, &writer, job);
	else
		put_images(call, &writer, job);
	put_end(call, &writer, job);
	jf_json_end_object(&writer);
	if (call->as == JF_AS_STREAM) {
		text = jf_json_writer_text(&writer);
		jf_stream_end(call, text ? "result" : "error", text ? text : "{}", text ? 200 : 500);
	} else {
		reply_json(call, &writer);
	}
	jf_json_writer_deinit(&writer);
}
