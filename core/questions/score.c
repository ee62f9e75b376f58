#include "core/questions/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/engine/exec.h"
#include "core/questions/question.h"

#define MICRO_BATCH 4
#define T_MIN 0.0008   /* s is a tenth of the space between levels */
#define T_BLACK 0.1f   /* below it x^ becomes black where it is nearly so */
#define T_LEVEL 0.004f /* below it the levels stand apart in z */
#define T_CLASS 0.2    /* below it the errors tell classes apart less than they vary */
#define LEVELS 256
#define SPACE (2.0f / (LEVELS - 1))

struct jf_scorer {
	struct jf_model *model;
	struct jf_plan *plan;
	struct jf_exec *exec;
	float *noise;         /* [H][W][C] */
	double *last, *error; /* [K + 1] the draw before, and this one */
};

/* Slot k holds class k, the last one no label: noise, with the label's clock at 1. They stay for all images. */
static void hold_labels(struct jf_scorer *s) {
	const int k = s->model->config.classes;
	float *a = jf_exec_input(s->exec, JF_INPUT_AUGMENT, 0);

	for (int i = 0; i <= k; i++) {
		if (i < k)
			jf_label_one_hot(jf_exec_input(s->exec, JF_INPUT_LABEL, i), i, k);
		else
			jf_rng_normal(jf_exec_input(s->exec, JF_INPUT_LABEL, i), (size_t)k, 0, JF_STREAM_UNLABEL, 0);
		*jf_exec_input(s->exec, JF_INPUT_TIME_LAB, i) = i < k ? 0.0f : 1.0f;
	}
	if (a)
		memset(a, 0, (size_t)s->model->config.augment * sizeof(float));
	jf_exec_once(s->exec, k + 1);
}

struct jf_scorer *jf_scorer_create(struct jf_model *model, struct jf_error *err) {
	return jf_scorer_create_in(NULL, model, err);
}

struct jf_scorer *jf_scorer_create_in(struct jf_workspace *workspace, struct jf_model *model, struct jf_error *err) {
	const size_t k = (size_t)model->config.classes;
	const struct jf_plan_spec spec = {.outputs = 1u << JF_OUTPUT_IMAGE,
	    .fixed = 1u << JF_INPUT_LABEL | 1u << JF_INPUT_TIME_LAB | 1u << JF_INPUT_AUGMENT,
	    .shared = 1u << JF_INPUT_IMAGE | 1u << JF_INPUT_TIME_IMG | 1u << JF_INPUT_AUGMENT,
	    .batch = (int)k + 1,
	    .micro_batch = k + 1 < MICRO_BATCH ? (int)k + 1 : MICRO_BATCH};
	struct jf_scorer *s = calloc(1, sizeof(*s));

	if (!s)
		goto no_memory;
	s->model = jf_model_ref(model);
	s->noise = jf_alloc_floats(jf_network_image_floats(&model->config));
	s->last = calloc(k + 1, sizeof(*s->last));
	s->error = calloc(k + 1, sizeof(*s->error));
	if (!s->noise || !s->last || !s->error)
		goto no_memory;
	s->plan = jf_plan_create(model->graph, &spec, err);
	if (s->plan)
		s->exec = jf_exec_create_in(workspace, s->plan, model->packed, err);
	if (!s->exec) {
		jf_scorer_destroy(s);
		return NULL;
	}
	hold_labels(s);
	return s;
no_memory:
	jf_error_set(err, JF_ENOMEM, "no memory to score images");
	jf_scorer_destroy(s);
	return NULL;
}

void jf_scorer_destroy(struct jf_scorer *s) {
	if (!s)
		return;
	jf_exec_destroy(s->exec);
	jf_plan_destroy(s->plan);
	jf_model_unref(s->model);
	free(s->noise);
	free(s->last);
	free(s->error);
	free(s);
}

/* For a likelihood half of the times are even in t, half in ln t, where an image's own weight lies: the share of them
 * below t, and their density, from `low` on. */
static double share_of_all(double t, double low) {
	return 0.5 * (t - low) / (1.0 - low) + 0.5 * log(t / low) / log(1.0 / low);
}

static double density_of_all(double t, double low) {
	return 0.5 / (1.0 - low) + 0.5 / (t * log(1.0 / low));
}

/* For a decision between classes they are where these differ most, for what the differences vary: as t (1 - t). */
static double share_of_class(double t, double low) {
	const double before = low * low * (3.0 - 2.0 * low);

	return (t * t * (3.0 - 2.0 * t) - before) / (1.0 - before);
}

static double density_of_class(double t, double low) {
	return 6.0 * t * (1.0 - t) / (1.0 - low * low * (3.0 - 2.0 * low));
}

/* The time below which the share u of them is, by bisection. */
static double time_of(double u, double (*share)(double t, double low), double first) {
	double low = first, high = 1.0;

	for (int i = 0; i < 60; i++) {
		const double t = 0.5 * (low + high);

		if (share(t, first) < u)
			low = t;
		else
			high = t;
	}
	return 0.5 * (low + high);
}

/* The mean of the levels near y, each weighed by how likely noise of deviation s makes y of it. */
static float round_softly(float y, float s) {
	const float place = (y + 1.0f) / SPACE;
	float sum = 0.0f, mean = 0.0f;

	for (int i = -3; i <= 3; i++) {
		const float level = floorf(place + 0.5f) + (float)i, d = (place - level) * SPACE / s;

		if (level < 0.0f || level > LEVELS - 1)
			continue;
		const float weight = expf(-0.5f * d * d);
		sum += weight;
		mean += weight * level;
	}
	if (!(sum > 0.0f)) /* far beyond black or white */
		return place < 0.0f ? -1.0f : 1.0f;
	return mean / sum * SPACE - 1.0f;
}

/* The network's x^, or what is nearer to the truth where the noise is small; see score.h. */
static float denoise(float z, float v, float t) {
	const float deviation = t / (1.0f - t), x = z - t * v;

	if (t < T_BLACK && x < -1.0f + 0.5f * deviation + 0.25f * SPACE)
		return -1.0f;
	return t < T_LEVEL ? round_softly(z / (1.0f - t), deviation) : x;
}

/* Squared errors of the velocity, summed over the pixels. */
static double error_of(const struct jf_scorer *s, int slot, const float *image, float t) {
	const float *z = jf_exec_input(s->exec, JF_INPUT_IMAGE, 0);
	const float *v = jf_exec_output(s->exec, JF_OUTPUT_IMAGE, slot);
	const size_t n = jf_network_image_floats(&s->model->config);
	double sum = 0.0;

	for (size_t j = 0; j < n; j++) {
		const float d = t < T_BLACK ? (denoise(z[j], v[j], t) - image[j]) / t : v[j] - (s->noise[j] - image[j]);

		sum += (double)d * (double)d;
	}
	return sum;
}

/* Where the d-th of n lies in (0, 1), one in each of n equal parts, by draw d's noise. */
static double place_of(int d, int n, uint64_t index, const struct jf_score_args *args) {
	float u;

	jf_rng_uniform(&u, 1, args->seed, JF_STREAM_CLOCK, index);
	return ((double)d + (double)u) / n;
}

/* error[slots], of the noise number `index` at that time, times weight. sign: 1 or -1, what the noise is taken by. */
static enum jf_err draw(struct jf_scorer *s, const float *image, uint64_t index, float sign, double time, double weight,
    int slots, const struct jf_score_args *args, struct jf_error *err) {
	const size_t n = jf_network_image_floats(&s->model->config);
	const float t = (float)time;
	float *z = jf_exec_input(s->exec, JF_INPUT_IMAGE, 0); /* one for all labels */

	jf_rng_normal(s->noise, n, args->seed, JF_STREAM_IMAGE, index);
	for (size_t j = 0; j < n; j++)
		s->noise[j] *= sign;
	*jf_exec_input(s->exec, JF_INPUT_TIME_IMG, 0) = t;
	for (size_t j = 0; j < n; j++)
		z[j] = (1.0f - t) * image[j] + t * s->noise[j];
	jf_exec_step(s->exec, slots);
	for (int i = 0; i < slots; i++) {
		s->error[i] = weight * error_of(s, i, image, t);
		if (!isfinite(s->error[i]))
			return jf_error_set(err, JF_ENUMERIC, "the score is not a finite number");
	}
	return JF_OK;
}

static enum jf_err check(
    const struct jf_scorer *s, const float *image, const struct jf_score_args *args, struct jf_error *err) {
	const size_t n = jf_network_image_floats(&s->model->config);

	if (args->draws < 2 || args->draws > JF_MAX_SCORE_DRAWS || args->draws % 2)
		return jf_error_set(err, JF_EINVAL, "draws is %d; it must be an even number from 2 to %d", args->draws,
		    JF_MAX_SCORE_DRAWS);
	if (!(args->from >= 0.0 && args->from < 1.0))
		return jf_error_set(err, JF_EINVAL, "from is %g; it must be from 0 up to 1", args->from);
	for (size_t j = 0; j < n; j++)
		if (!isfinite(image[j]))
			return jf_error_set(err, JF_ENUMERIC, "image: element %zu is not a finite number", j);
	return JF_OK;
}

/* Whether to go on after draw d. */
static enum jf_err go_on(const struct jf_score_args *args, int d, struct jf_error *err) {
	if (!args->between || d + 1 == args->draws || args->between(args->context))
		return JF_OK;
	return jf_error_set(err, JF_ECANCELED, "cancelled after %d of %d draws", d + 1, args->draws);
}

enum jf_err jf_scorer_score(struct jf_scorer *s, double *log_p, double *errors, const float *image,
    const struct jf_score_args *args, struct jf_error *err) {
	const int k = s->model->config.classes;
	const double low = args->from > T_MIN ? args->from : T_MIN;
	enum jf_err rc = check(s, image, args, err);

	for (int i = 0; i <= k; i++)
		log_p[i] = errors[i] = 0.0;
	for (int d = 0; d < args->draws && rc == JF_OK; d++) {
		const uint64_t index = args->index + (uint64_t)d;
		const double t = time_of(place_of(d, args->draws, index, args), share_of_all, low);

		rc = draw(s, image, index, 1.0f, t, (1.0 - t) / t / density_of_all(t, low), k + 1, args, err);
		for (int i = 0; i <= k && rc == JF_OK; i++) {
			const double apart = s->error[i] - s->last[i];

			log_p[i] -= s->error[i] / args->draws;
			errors[i] += d % 2 ? apart * apart : 0.0;
			s->last[i] = s->error[i];
		}
		if (rc == JF_OK)
			rc = go_on(args, d, err);
	}
	for (int i = 0; i <= k; i++)
		errors[i] = sqrt(errors[i]) / args->draws;
	return rc;
}

enum jf_err jf_scorer_classify(struct jf_scorer *s, float *probabilities, const float *image,
    const struct jf_score_args *args, struct jf_error *err) {
	const int k = s->model->config.classes;
	enum jf_err rc = check(s, image, args, err);

	memset(s->last, 0, (size_t)k * sizeof(*s->last));
	for (int d = 0; d < args->draws && rc == JF_OK; d++) {
		const uint64_t index = args->index + (uint64_t)(d / 2 * 2); /* a pair's: the same noise either way */
		const double t = time_of(place_of(d / 2, args->draws / 2, index, args), share_of_class, T_CLASS);

		rc = draw(s, image, index, d % 2 ? -1.0f : 1.0f, t,
		    (1.0 - t) / t / density_of_class(t, T_CLASS) / args->draws, k, args, err);
		for (int i = 0; i < k && rc == JF_OK; i++)
			s->last[i] -= s->error[i];
		if (rc == JF_OK)
			rc = go_on(args, d, err);
	}
	if (rc == JF_OK)
		jf_score_bayes(probabilities, s->last, k);
	return rc;
}

double jf_score_bits(double log_p, const struct jf_network_config *config) {
	return -log_p / log(2.0) / (double)jf_network_image_floats(config);
}

void jf_score_bayes(float *probabilities, const double *log_p, int classes) {
	double most = log_p[0], sum = 0.0;

	for (int k = 1; k < classes; k++)
		most = log_p[k] > most ? log_p[k] : most;
	for (int k = 0; k < classes; k++)
		sum += exp(log_p[k] - most);
	for (int k = 0; k < classes; k++)
		probabilities[k] = (float)(exp(log_p[k] - most) / sum);
}
