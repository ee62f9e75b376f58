/* A list of pictures, or one, that a classification or a score looks at: decoded in pieces where it is large. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/ask_image.h"
#include "daemon/api/ask_parts.h"
#include "daemon/api/heavy.h"

void jf_ask_reading_deinit(struct jf_ask_reading *reading) {
	jf_model_unref(reading->model);
	free(reading->pictures);
	free(reading->pixels);
	*reading = (struct jf_ask_reading){0};
}

static bool begin_reading(struct jf_ask_reading *reading, struct jf_model *model, int n) {
	size_t floats = jf_network_image_floats(&model->config);

	reading->pictures = calloc((size_t)n, sizeof(*reading->pictures));
	reading->pixels = malloc((size_t)n * floats * sizeof(*reading->pixels));
	if (!reading->pictures || !reading->pixels)
		return false;
	reading->model = jf_model_ref(model);
	return true;
}

static size_t weigh(const struct jf_call *call, const struct jf_ask_images *images, int first) {
	size_t weight = 0;

	for (int i = first; i < images->n; i++)
		weight += jf_ask_image_weight(call, &images->item[i]);
	return weight;
}

/* Frames what can be used of the list, close together, and notes what cannot. False after noting a problem, or with the
 * weight of what is left in call->heavy. */
static bool frame_all(struct jf_call *call, const struct jf_ask_images *images, int items_each) {
	struct jf_ask_reading *reading = &call->reading;
	const struct jf_network_config *config = &reading->model->config;
	size_t floats = jf_network_image_floats(config), weight = 0;

	for (int first = reading->done; reading->done < images->n; reading->done++) {
		const struct jf_ask_image *image = &images->item[reading->done];
		struct jf_ask_picture *picture = &reading->pictures[reading->done];
		struct jf_error err = {0};
		enum jf_err rc;

		if (!jf_heavy_goes_on(call))
			return false;
		weight += jf_ask_image_weight(call, image);
		if (reading->done > first && jf_heavy_is_enough(call, weight)) {
			call->heavy = weigh(call, images, reading->done);
			return false;
		}
		rc = jf_ask_image_frame(
		    call, reading->pixels + (size_t)reading->used * floats, &picture->framed, image, config, &err);
		if (rc == JF_ENOMEM)
			return jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
		picture->first = rc == JF_OK ? reading->used++ * items_each : -1;
		snprintf(picture->fault, sizeof(picture->fault), "%.200s", rc == JF_OK ? "" : err.message);
	}
	for (int i = 0; i < images->n && reading->used == 0; i++)
		jf_ask_image_refuse(call, images, i, reading->pictures[i].fault);
	return reading->used > 0;
}

static enum jf_job_kind kind_of(const struct jf_ask *ask) {
	static const enum jf_job_kind kinds[JF_N_METHODS] = {JF_JOB_POSTERIOR, JF_JOB_CLASSIFY, JF_JOB_LIKELIHOOD};

	return ask->question == JF_QUESTION_SCORE ? JF_JOB_SCORE : kinds[ask->method];
}

/* A picture's draws have the same noise at any position in the list. */
struct jf_job *jf_ask_list(struct jf_call *call, struct jf_model *model, const struct jf_ask_images *images) {
	struct jf_ask *ask = &call->ask;
	struct jf_ask_reading *reading = &call->reading;
	bool votes = ask->method == JF_METHOD_SAMPLE;
	size_t floats = jf_network_image_floats(&model->config);
	int each = votes ? ask->samples : 1, used;
	struct jf_job *job;

	call->heavy = reading->model ? 0 : weigh(call, images, 0);
	if (jf_heavy_is(call, call->heavy))
		return NULL; /* this handler runs again elsewhere */
	call->heavy = 0;
	if (!reading->model && !begin_reading(reading, model, images->n)) {
		jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
		return NULL;
	}
	ask->decode_ms = reading->decode_ms;
	if (!frame_all(call, images, each)) {
		reading->decode_ms = ask->decode_ms;
		return NULL;
	}
	ask->n_pictures = images->n;
	ask->list = images->many;
	ask->pictures = reading->pictures;
	reading->pictures = NULL;
	used = reading->used;
	job = jf_ask_new_job(call, model, kind_of(ask), used * each, used, 0);
	if (!job)
		return NULL;
	job->draws = votes ? 1 : ask->samples;
	memcpy(job->images, reading->pixels, (size_t)used * floats * sizeof(*job->images));
	jf_ask_reading_deinit(reading);
	for (int i = 0; i < used * each; i++) {
		job->items[i].image = job->images + (size_t)(i / each) * floats;
		job->items[i].index = (uint64_t)ask->index + (uint64_t)(i % each);
	}
	return job;
}
