#include "core/questions/answer.h"

#include <math.h>

#include "core/questions/question.h"
#include "core/questions/score.h"

static void put_certainty(
    struct jf_json_writer *writer, const struct jf_model *model, int label, const float *probabilities) {
	jf_json_put_float(writer, "confidence", probabilities[label]);
	jf_json_put_floats(writer, "probabilities", probabilities, (size_t)model->config.classes);
}

void jf_answer_put_label(
    struct jf_json_writer *writer, const struct jf_model *model, int label, const float *probabilities) {
	jf_json_put_integer(writer, "label", label);
	jf_json_put_string(writer, "name", model->class_names[label]);
	put_certainty(writer, model, label, probabilities);
}

void jf_answer_put_no_label(
    struct jf_json_writer *writer, const struct jf_model *model, int label, const float *probabilities) {
	jf_json_put_string(writer, "label", NULL);
	jf_json_put_string(writer, "name", NULL);
	put_certainty(writer, model, label, probabilities);
}

void jf_answer_put_familiarity(struct jf_json_writer *writer, float familiarity, double unfamiliar_below) {
	if (familiarity < 0)
		return;
	jf_json_put_float(writer, "familiarity", familiarity);
	jf_json_put_bool(writer, "unfamiliar", (double)familiarity < unfamiliar_below);
}

void jf_answer_put_votes(struct jf_json_writer *writer, const int *votes, int classes) {
	jf_json_begin_array(writer, "votes");
	for (int k = 0; k < classes; k++)
		jf_json_put_integer(writer, NULL, votes[k]);
	jf_json_end_array(writer);
}

static void put_pair(struct jf_json_writer *writer, const char *key, float x, float y) {
	jf_json_begin_object(writer, key);
	jf_json_put_float(writer, "x", x);
	jf_json_put_float(writer, "y", y);
	jf_json_end_object(writer);
}

void jf_answer_put_framing(struct jf_json_writer *writer, const struct jf_framing_report *report) {
	jf_json_put_string(writer, "method", jf_preprocess_name(report->preprocess));
	jf_json_put_bool(writer, "inverted", report->inverted);
	jf_json_put_bool(writer, "resized", report->resized);
	jf_json_begin_object(writer, "source");
	jf_json_put_integer(writer, "width", report->source_width);
	jf_json_put_integer(writer, "height", report->source_height);
	jf_json_put_integer(writer, "channels", report->source_channels);
	jf_json_end_object(writer);
	jf_json_begin_object(writer, "box");
	jf_json_put_integer(writer, "x", report->ink_x);
	jf_json_put_integer(writer, "y", report->ink_y);
	jf_json_put_integer(writer, "width", report->ink_width);
	jf_json_put_integer(writer, "height", report->ink_height);
	jf_json_end_object(writer);
	put_pair(writer, "scale", report->scale_x, report->scale_y);
	put_pair(writer, "shift", report->shift_x, report->shift_y);
}

void jf_answer_put_model(struct jf_json_writer *writer, const struct jf_model *model) {
	jf_json_begin_object(writer, "model");
	jf_json_put_string(writer, "name", model->name);
	jf_json_put_string(writer, "checksum", model->checksum);
	jf_json_end_object(writer);
}

void jf_answer_put_edited(struct jf_json_writer *writer, const struct jf_model *model, const float *label,
    const float *probabilities, float strength) {
	int classes = model->config.classes, seen = jf_argmax(probabilities, classes);

	jf_answer_put_label(writer, model, seen, probabilities);
	jf_json_put_floats(writer, "label_values", label, (size_t)classes);
	jf_json_put_bool(writer, "reached", seen == jf_draw_class(label, classes));
	jf_json_put_float(writer, "strength", strength);
}

void jf_answer_put_original(struct jf_json_writer *writer, const struct jf_model *model, const float *probabilities) {
	jf_json_begin_object(writer, "original");
	jf_answer_put_label(writer, model, jf_argmax(probabilities, model->config.classes), probabilities);
	jf_json_end_object(writer);
}

static void put_doubles(struct jf_json_writer *writer, const char *key, const double *values, int n) {
	jf_json_begin_array(writer, key);
	for (int i = 0; i < n; i++)
		jf_json_put_float(writer, NULL, (float)values[i]);
	jf_json_end_array(writer);
}

void jf_answer_put_score(struct jf_json_writer *writer, const struct jf_model *model, const double *log_p,
    const double *errors, const float *probabilities, const float *posterior) {
	const int classes = model->config.classes;
	float apart = 0.0f;

	for (int k = 0; k < classes; k++)
		apart = fmaxf(apart, fabsf(probabilities[k] - posterior[k]));
	jf_answer_put_label(writer, model, jf_argmax(probabilities, classes), probabilities);
	jf_json_put_float(writer, "log_p", (float)log_p[classes]);
	jf_json_put_float(writer, "log_p_error", (float)errors[classes]);
	jf_json_put_float(writer, "bits_per_dimension", (float)jf_score_bits(log_p[classes], &model->config));
	jf_json_put_float(writer, "bits_per_dimension_error", (float)jf_score_bits(-errors[classes], &model->config));
	put_doubles(writer, "log_p_given_label", log_p, classes);
	put_doubles(writer, "log_p_given_label_errors", errors, classes);
	jf_json_put_floats(writer, "posterior", posterior, (size_t)classes);
	jf_json_put_float(writer, "difference", apart);
}

void jf_answer_put_guidance(struct jf_json_writer *writer, const struct jf_sampler_args *sampler) {
	jf_json_put_float(writer, "guidance", sampler->guidance);
	if (!(sampler->guidance < 1.0f || sampler->guidance > 1.0f))
		return;
	jf_json_put_float(writer, "guidance_low", sampler->guidance_low);
	jf_json_put_float(writer, "guidance_high", sampler->guidance_high);
}
