#include "core/questions/question.h"

#include <stdio.h>
#include <string.h>

#include "core/base/number.h"
#include "core/questions/score.h"

const char *const jf_method_names[JF_N_METHODS + 1] = {"posterior", "sample", "likelihood", NULL};
const char *const jf_spacing_names[JF_N_SPACINGS + 1] = {"even", "label", NULL};

const char *jf_question_name(enum jf_question question) {
	static const char *const names[JF_N_QUESTIONS] = {"classify", "generate", "blend", "sample", "edit", "score"};

	return (unsigned)question < JF_N_QUESTIONS ? names[question] : "unknown";
}

enum jf_task jf_question_task(enum jf_question question) {
	static const enum jf_task tasks[JF_N_QUESTIONS] = {
	    JF_TASK_CLASSIFY, JF_TASK_GENERATE, JF_TASK_GENERATE, JF_TASK_SAMPLE, JF_TASK_GENERATE, JF_TASK_CLASSIFY};

	return tasks[question];
}

int jf_samples_max(enum jf_method method) {
	static const int max[JF_N_METHODS] = {JF_MAX_DRAWS, JF_MAX_VOTES, JF_MAX_SCORE_DRAWS};

	return max[method];
}

int jf_samples_default(enum jf_method method) {
	static const int by_default[JF_N_METHODS] = {1, JF_DEFAULT_VOTES, JF_DEFAULT_SCORE_DRAWS};

	return by_default[method];
}

int jf_samples_unit(enum jf_method method) {
	return method == JF_METHOD_LIKELIHOOD ? 2 : 1;
}

struct jf_sampler_args jf_sampler_args_default(enum jf_task task) {
	return (struct jf_sampler_args){.solver = jf_solver_default(task),
	    .steps = JF_DEFAULT_STEPS,
	    .guidance = JF_DEFAULT_GUIDANCE,
	    .guidance_high = 1.0f};
}

/* --- labels --- */

void jf_label_one_hot(float *label, int class, int classes) {
	for (int k = 0; k < classes; k++)
		label[k] = k == class ? 1.0f : -1.0f;
}

void jf_label_from_weights(float *label, const float *weights, int classes) {
	for (int k = 0; k < classes; k++)
		label[k] = 2.0f * weights[k] - 1.0f;
}

/* What the names of the classes are. */
enum naming {
	PLACES,  /* each its own number: 0, 1, 2 */
	NUMBERS, /* numbers, and not their own: 1, 2, 3. There a number can only mean a name, and 0 is no class */
	WORDS,
};

static enum naming naming_of(const char *const *names, int classes) {
	enum naming naming = PLACES;

	for (int k = 0; k < classes; k++) {
		int64_t number;

		if (!jf_number_parse_integer(&number, names[k]))
			return WORDS;
		if (number != k)
			naming = NUMBERS;
	}
	return naming;
}

const char *jf_class_word(const char *const *names, int classes) {
	return classes <= 10 && naming_of(names, classes) == PLACES ? "digit" : "class";
}

static enum jf_err no_class(const char *text, const char *const *names, int classes, struct jf_error *err) {
	enum naming naming = naming_of(names, classes);
	char list[256] = "";
	size_t used = 0;
	int k;

	for (k = 0; k < classes && used + 48 < sizeof(list); k++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%.40s", k ? ", " : "", names[k]);
	if (k < classes)
		snprintf(list + used, sizeof(list) - used, ", ...");
	if (naming == NUMBERS)
		return jf_error_set(err, JF_EINVAL, "must be one of the classes %s, not \"%.40s\"", list, text);
	return jf_error_set(err, JF_EINVAL, "must be a class from 0 to %d or its name%s%s%s, not \"%.40s\"",
	    classes - 1, naming == WORDS ? " (" : "", naming == WORDS ? list : "", naming == WORDS ? ")" : "", text);
}

enum jf_err jf_class_parse(int *class, const char *text, const char *const *names, int classes, struct jf_error *err) {
	int64_t number;

	for (int k = 0; k < classes; k++)
		if (strcmp(names[k], text) == 0) {
			*class = k;
			return JF_OK;
		}
	if (!jf_number_parse_integer(&number, text) || number < 0 || number >= classes ||
	    naming_of(names, classes) == NUMBERS)
		return no_class(text, names, classes, err);
	*class = (int)number;
	return JF_OK;
}

/* The number up to the next comma; *text moves behind it. */
static enum jf_err take_number(float *out, const char **text, double min, double max, struct jf_error *err) {
	size_t length = strcspn(*text, ",");
	char number[64];
	double value;

	snprintf(number, sizeof(number), "%.*s", length < sizeof(number) ? (int)length : 0, *text);
	if (!jf_number_parse(&value, number))
		return jf_error_set(err, JF_EFORMAT, "must have numbers from %g to %g, not \"%.*s\"", min, max,
		    length < 40 ? (int)length : 40, *text);
	if (value < min || value > max)
		return jf_error_set(err, JF_EINVAL, "must have numbers from %g to %g, not %s", min, max, number);
	*out = (float)value;
	*text += length;
	return JF_OK;
}

/* The class that a part "CLASS=WEIGHT" begins with; *text moves to the weight. */
static enum jf_err take_class(
    int *class, const char **text, const char *const *names, int classes, struct jf_error *err) {
	size_t longest = 0, part = strcspn(*text, ","), length;
	char number[16];
	int found = -1;

	for (int k = 0; k < classes; k++) {
		length = strlen(names[k]);
		if (length >= longest && strncmp(*text, names[k], length) == 0 && strchr("=:", (*text)[length]) &&
		    (*text)[length]) {
			longest = length;
			found = k;
		}
	}
	length = strcspn(*text, "=:");
	if (found < 0 && length < part) {
		snprintf(number, sizeof(number), "%.*s", length < sizeof(number) ? (int)length : 0, *text);
		if (jf_class_parse(&found, number, names, classes, NULL) == JF_OK)
			longest = length;
	}
	if (found < 0)
		return jf_error_set(err, JF_EINVAL,
		    "must look like 6=0.5,7=0.5 with classes from 0 to %d or their names, not \"%.*s\"", classes - 1,
		    part < 40 ? (int)part : 40, *text);
	*class = found;
	*text += longest + 1;
	return JF_OK;
}

enum jf_err jf_weights_parse(
    float *weights, const char *text, const char *const *names, int classes, struct jf_error *err) {
	enum jf_err code = JF_OK;
	bool more = true;
	int class = 0;

	for (int k = 0; k < classes; k++)
		weights[k] = -1.0f; /* not named */
	while (code == JF_OK && more) {
		code = take_class(&class, &text, names, classes, err);
		if (code == JF_OK && weights[class] >= 0.0f)
			code =
			    jf_error_set(err, JF_EINVAL, "must name a class once, not \"%.40s\" twice", names[class]);
		if (code == JF_OK)
			code = take_number(&weights[class], &text, 0, JF_MAX_WEIGHT, err);
		more = *text++ == ',';
	}
	for (int k = 0; k < classes; k++)
		if (weights[k] < 0.0f)
			weights[k] = 0.0f;
	return code;
}

enum jf_err jf_label_parse(float *label, const char *text, int classes, struct jf_error *err) {
	enum jf_err code = JF_OK;
	int n = 0;

	for (const char *at = text; code == JF_OK; at++, n++) {
		float ignored;

		code = take_number(n < classes ? &label[n] : &ignored, &at, -JF_MAX_LABEL, JF_MAX_LABEL, err);
		if (code == JF_OK && !*at)
			break;
	}
	if (code == JF_OK && n + 1 != classes)
		return jf_error_set(err, JF_EINVAL, "must have exactly %d numbers, not %d", classes, n + 1);
	return code;
}

int jf_argmax(const float *values, int n) {
	int best = 0;

	for (int i = 1; i < n; i++)
		if (values[i] > values[best])
			best = i;
	return best;
}

int jf_draw_class(const float *label, int classes) {
	return jf_argmax(label, classes);
}

void jf_votes_add(int *votes, float *mean, const float *label, const float *probabilities, int draws, int classes) {
	votes[label ? jf_draw_class(label, classes) : jf_argmax(probabilities, classes)]++;
	for (int k = 0; mean && k < classes; k++)
		mean[k] += probabilities[k] / (float)draws;
}

/* Whether class a is a better answer than b. */
static bool is_better(const int *votes, const float *mean, int a, int b) {
	if (votes && votes[a] != votes[b])
		return votes[a] > votes[b];
	if (mean[a] < mean[b] || mean[a] > mean[b])
		return mean[a] > mean[b];
	return a < b;
}

int jf_votes_place(const int *votes, const float *mean, int place, int classes) {
	for (int k = 0; k < classes; k++) {
		int better = 0;

		for (int other = 0; other < classes; other++)
			better += is_better(votes, mean, other, k);
		if (better == place)
			return k;
	}
	return 0;
}

int jf_votes_winner(const int *votes, const float *mean, int classes) {
	int best = 0;

	for (int k = 1; k < classes; k++)
		if (is_better(votes, mean, k, best))
			best = k;
	return best;
}

void jf_label_mix(float *label, int from, int to, float weight, int classes) {
	for (int k = 0; k < classes; k++)
		label[k] = 2.0f * ((k == from ? 1.0f - weight : 0.0f) + (k == to ? weight : 0.0f)) - 1.0f;
}

void jf_blend_fill(float *labels, uint64_t *noise, const struct jf_blend *blend, int classes) {
	for (int i = 0; i < blend->rows * blend->columns; i++) {
		float *label = labels + (size_t)i * (size_t)classes;
		int row = i / blend->columns, column = i % blend->columns;

		if (blend->matrix)
			jf_label_mix(label, row, column, 0.5f, classes);
		else
			jf_label_mix(
			    label, blend->from, blend->to, (float)column / (float)(blend->columns - 1), classes);
		noise[i] = blend->matrix ? 0 : (uint64_t)row;
	}
}

/* --- edits --- */

float jf_edit_strength(int place) {
	return (float)(place + 1) / JF_EDIT_GRID;
}

enum jf_err jf_edit_check_mask(int mask_height, int mask_width, int height, int width, struct jf_error *err) {
	if (mask_height == height && mask_width == width)
		return JF_OK;
	return jf_error_set(err, JF_EINVAL, "is %d x %d pixels; a mask has the size of the model's images, %d x %d",
	    mask_width, mask_height, width, height);
}

enum jf_err jf_edit_mask(bool *redraw, const struct jf_image *mask, int height, int width, struct jf_error *err) {
	if (jf_edit_check_mask(mask->height, mask->width, height, width, err) != JF_OK)
		return JF_EINVAL;
	for (int i = 0; i < height * width; i++) {
		const uint8_t *p = mask->pixels + (size_t)i * (size_t)mask->channels;

		redraw[i] = (mask->channels == 1 ? p[0] : jf_luma(p[0], p[1], p[2])) >= 128;
	}
	return JF_OK;
}
