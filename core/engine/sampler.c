#include "core/engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/engine/sampler_internal.h"

#define MICRO_BATCH 4

const char *jf_task_name(enum jf_task task) {
	static const char *const names[JF_N_TASKS] = {"classify", "generate", "sample"};
	return (unsigned)task < JF_N_TASKS ? names[task] : "unknown";
}

const char *const jf_solver_names[JF_N_SOLVERS + 1] = {"euler", "midpoint", "heun", "ancestral", NULL};

const char *jf_solver_name(enum jf_solver solver) {
	return (unsigned)solver < JF_N_SOLVERS ? jf_solver_names[solver] : "unknown";
}

enum jf_solver jf_solver_default(enum jf_task task) {
	return task == JF_TASK_CLASSIFY ? JF_SOLVER_EULER : JF_SOLVER_ANCESTRAL;
}

bool jf_sampler_guides(const struct jf_sampler_args *args, float t) {
	const float high = args->guidance_high > 0.0f ? args->guidance_high : 1.0f;

	return (args->guidance < 1.0f || args->guidance > 1.0f) && t >= args->guidance_low && t <= high;
}

bool jf_sampler_same_guidance(const struct jf_sampler_args *a, const struct jf_sampler_args *b) {
	return memcmp(&a->guidance, &b->guidance, sizeof(a->guidance)) == 0 &&
	       memcmp(&a->guidance_low, &b->guidance_low, sizeof(a->guidance_low)) == 0 &&
	       memcmp(&a->guidance_high, &b->guidance_high, sizeof(a->guidance_high)) == 0;
}

/* Network evaluations of one step from t to next, guidance counted. */
static int step_evaluations(const struct jf_sampler_args *args, float t, float next) {
	const bool at_next = args->solver == JF_SOLVER_HEUN && next > 0.0f;

	if (args->solver == JF_SOLVER_MIDPOINT)
		return 2 + jf_sampler_guides(args, t) + jf_sampler_guides(args, t - 0.5f * (t - next));
	return 1 + jf_sampler_guides(args, t) + (at_next ? 1 + jf_sampler_guides(args, next) : 0);
}

long jf_sampler_evaluations(enum jf_task task, const struct jf_sampler_args *args) {
	struct jf_sampler_args a = *args;
	long n = 0;

	if (task != JF_TASK_GENERATE) { /* neither means anything there */
		a.guidance = 1.0f;
		a.repeats = 1;
	}
	for (int step = 0; step < a.steps; step++)
		n += step_evaluations(&a, jf_image_time_at(&a, step), jf_image_time_at(&a, step + 1));
	return n * (a.repeats > 1 ? a.repeats : 1) + (task == JF_TASK_SAMPLE ? JF_SAMPLE_EXTRA_EVALUATIONS : 0);
}

struct jf_plan_spec jf_sampler_plan_spec(enum jf_task task, int max_batch) {
	const unsigned image = 1u << JF_INPUT_IMAGE, label = 1u << JF_INPUT_LABEL, t_img = 1u << JF_INPUT_TIME_IMG,
		       t_lab = 1u << JF_INPUT_TIME_LAB, augment = 1u << JF_INPUT_AUGMENT;
	struct jf_plan_spec spec = {.batch = max_batch, .micro_batch = MICRO_BATCH};

	switch (task) {
	case JF_TASK_CLASSIFY:
		spec.outputs = 1u << JF_OUTPUT_LABEL | 1u << JF_OUTPUT_FEATURES;
		spec.fixed = image | t_img | augment;
		spec.shared = t_img | t_lab | augment;
		break;
	case JF_TASK_GENERATE: /* t_lab differs within the batch: guidance evaluates half of the slots without label */
		spec.outputs = 1u << JF_OUTPUT_IMAGE;
		spec.fixed = label | t_lab | augment;
		spec.shared = t_img | augment;
		spec.batch = 2 * max_batch;
		break;
	default:
		spec.outputs = 1u << JF_OUTPUT_IMAGE | 1u << JF_OUTPUT_LABEL;
		spec.fixed = augment;
		spec.shared = t_img | t_lab | augment;
	}
	if (spec.micro_batch > spec.batch)
		spec.micro_batch = spec.batch;
	return spec;
}

static size_t pixels_of(const struct jf_sampler *s) {
	return (size_t)s->model->config.height * (size_t)s->model->config.width;
}

static bool make_room_to_keep(struct jf_sampler *s) {
	s->kept = jf_alloc_floats((size_t)s->max_batch * s->image_size);
	s->redraw = calloc((size_t)s->max_batch * pixels_of(s), sizeof(*s->redraw));
	s->keeps = calloc((size_t)s->max_batch, sizeof(*s->keeps));
	return s->kept && s->redraw && s->keeps;
}

struct jf_sampler *jf_sampler_create(struct jf_model *model, enum jf_task task, int max_batch, struct jf_error *err) {
	return jf_sampler_create_in(NULL, model, task, max_batch, err);
}

struct jf_sampler *jf_sampler_create_in(
    struct jf_workspace *workspace, struct jf_model *model, enum jf_task task, int max_batch, struct jf_error *err) {
	const struct jf_network_config *c = &model->config;
	struct jf_plan_spec spec = jf_sampler_plan_spec(task, max_batch);
	struct jf_sampler *s;

	if ((unsigned)task >= JF_N_TASKS || max_batch < 1 || max_batch > JF_MAX_BATCH) {
		jf_error_set(err, JF_EINVAL, "sampler: batch of %d for task %d; it must be 1 to %d", max_batch,
		    (int)task, JF_MAX_BATCH);
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		goto no_memory;
	s->model = jf_model_ref(model);
	s->task = task;
	s->max_batch = max_batch;
	s->image_size = task == JF_TASK_CLASSIFY ? 0 : jf_network_image_floats(c);
	s->label_size = task == JF_TASK_CLASSIFY ? (size_t)c->classes : 0;
	s->state_size = s->image_size + s->label_size;
	s->start = jf_alloc_floats((size_t)max_batch * s->state_size);
	s->velocity = jf_alloc_floats((size_t)max_batch * s->state_size);
	s->probabilities = jf_alloc_floats((size_t)max_batch * (size_t)c->classes);
	s->familiarity = jf_alloc_floats((size_t)max_batch);
	s->seeds = calloc((size_t)max_batch, sizeof(*s->seeds));
	s->indices = calloc((size_t)max_batch, sizeof(*s->indices));
	if (!s->start || !s->velocity || !s->probabilities || !s->familiarity || !s->seeds || !s->indices)
		goto no_memory;
	if (task == JF_TASK_GENERATE && !make_room_to_keep(s))
		goto no_memory;
	s->plan = jf_plan_create(model->graph, &spec, err);
	if (s->plan)
		s->exec = jf_exec_create_in(workspace, s->plan, model->packed, err);
	if (!s->exec) {
		jf_sampler_destroy(s);
		return NULL;
	}
	return s;
no_memory:
	jf_error_set(err, JF_ENOMEM, "out of memory for a batch of %d", max_batch);
	jf_sampler_destroy(s);
	return NULL;
}

void jf_sampler_destroy(struct jf_sampler *s) {
	if (!s)
		return;
	jf_exec_destroy(s->exec);
	jf_plan_destroy(s->plan);
	jf_model_unref(s->model);
	free(s->start);
	free(s->velocity);
	free(s->probabilities);
	free(s->familiarity);
	free(s->seeds);
	free(s->indices);
	free(s->kept);
	free(s->redraw);
	free(s->keeps);
	free(s);
}

/* What only an edit sets. */
static enum jf_err check_edit(const struct jf_sampler *s, const struct jf_sampler_args *args, struct jf_error *err) {
	if (!(args->start >= 0.0f && args->start <= 1.0f))
		return jf_error_set(
		    err, JF_EINVAL, "the start is at t = %g; it must be above 0, up to 1", (double)args->start);
	if (args->repeats < 0 || args->repeats > JF_MAX_REPEATS)
		return jf_error_set(err, JF_EINVAL, "repeats is %d; it must be 1 to %d", args->repeats, JF_MAX_REPEATS);
	if (s->task != JF_TASK_GENERATE && ((args->start > 0.0f && args->start < 1.0f) || args->repeats > 1))
		return jf_error_set(
		    err, JF_EINVAL, "the task %s always starts at t = 1, without repeats", jf_task_name(s->task));
	return JF_OK;
}

/* Whether a trajectory has what its task holds or starts from, and nothing else. */
static bool is_complete(const struct jf_sampler *s, const struct jf_sampler_args *args, const struct jf_trajectory *t) {
	if (t->redraw && !(s->task == JF_TASK_GENERATE && t->image))
		return false;
	if (s->task == JF_TASK_GENERATE)
		return t->label && (t->image || args->start <= 0.0f || args->start >= 1.0f);
	return !t->label && (s->task == JF_TASK_CLASSIFY) == (t->image != NULL);
}

static enum jf_err check_begin(const struct jf_sampler *s, const struct jf_sampler_args *args,
    const struct jf_trajectory *t, int n, struct jf_error *err) {
	const struct jf_network_config *c = &s->model->config;
	size_t image = jf_network_image_floats(c);

	if (n < 1 || n > s->max_batch)
		return jf_error_set(err, JF_EINVAL, "batch of %d; this sampler takes 1 to %d", n, s->max_batch);
	if ((unsigned)args->solver >= JF_N_SOLVERS)
		return jf_error_set(err, JF_EINVAL, "there is no solver number %d", (int)args->solver);
	if (args->steps < 1 || args->steps > JF_MAX_STEPS)
		return jf_error_set(err, JF_EINVAL, "steps is %d; it must be 1 to %d", args->steps, JF_MAX_STEPS);
	if (!(args->guidance >= 0.0f && args->guidance <= JF_MAX_GUIDANCE))
		return jf_error_set(
		    err, JF_EINVAL, "guidance is %g; it must be 0 to %d", (double)args->guidance, JF_MAX_GUIDANCE);
	if (!(args->guidance_low >= 0.0f && args->guidance_low <= 1.0f && args->guidance_high >= 0.0f &&
		args->guidance_high <= 1.0f))
		return jf_error_set(err, JF_EINVAL, "guidance acts from t = %g to %g; both must be 0 to 1",
		    (double)args->guidance_low, (double)args->guidance_high);
	if (check_edit(s, args, err) != JF_OK)
		return err ? err->code : JF_EINVAL;
	for (int i = 0; i < n; i++) {
		if (!is_complete(s, args, &t[i]))
			return jf_error_set(err, JF_EINVAL, "sample %d: the task %s holds %s", i, jf_task_name(s->task),
			    s->task == JF_TASK_CLASSIFY  ? "an image"
			    : s->task == JF_TASK_SAMPLE  ? "nothing"
			    : t[i].label && !t[i].redraw ? "a label; below t = 1 it starts from an image"
			    : t[i].label                 ? "a label; a mask goes with an image"
							 : "a label");
		if (t[i].image && jf_sampler_check_finite(t[i].image, image, "image", i, err) != JF_OK)
			return JF_ENUMERIC;
		if (t[i].label && jf_sampler_check_finite(t[i].label, (size_t)c->classes, "label", i, err) != JF_OK)
			return JF_ENUMERIC;
	}
	return JF_OK;
}

/* generate: the noise at t = 1, or the image with noise on it further down. */
static void set_start_image(struct jf_sampler *s, int i, const struct jf_trajectory *t) {
	const float start = s->args.start;
	float *z = sampler_image(s, i);

	jf_rng_normal(z, s->image_size, t->seed, JF_STREAM_IMAGE, t->index);
	for (size_t j = 0; j < s->image_size && start < 1.0f; j++)
		z[j] = (1.0f - start) * t->image[j] + start * z[j];
	if (s->task != JF_TASK_GENERATE)
		return;
	s->keeps[i] = t->redraw != NULL;
	if (t->redraw) {
		memcpy(s->kept + (size_t)i * s->image_size, t->image, s->image_size * sizeof(float));
		memcpy(s->redraw + (size_t)i * pixels_of(s), t->redraw, pixels_of(s) * sizeof(*s->redraw));
	}
}

/* What the task holds, and the noise of the rest. */
static void set_start(struct jf_sampler *s, int i, const struct jf_trajectory *t) {
	const struct jf_network_config *c = &s->model->config;
	size_t image = jf_network_image_floats(c), k = (size_t)c->classes;

	s->seeds[i] = t->seed;
	s->indices[i] = t->index;
	if (s->task == JF_TASK_CLASSIFY)
		memcpy(sampler_image(s, i), t->image, image * sizeof(float));
	else
		set_start_image(s, i, t);
	if (t->label) {
		memcpy(sampler_label(s, i), t->label, k * sizeof(float));
		sampler_set_input(s, JF_INPUT_TIME_LAB, i, 0.0f);
	} else {
		jf_rng_normal(sampler_label(s, i), k, t->seed, JF_STREAM_LABEL, t->index);
	}
	if (s->guided) {
		jf_rng_normal(sampler_label(s, s->n + i), k, t->seed, JF_STREAM_UNLABEL, t->index);
		sampler_set_input(s, JF_INPUT_TIME_LAB, s->n + i, 1.0f);
	}
}

static void clear_augmentation(struct jf_sampler *s) {
	float *a = jf_exec_input(s->exec, JF_INPUT_AUGMENT, 0);

	if (a)
		memset(a, 0, (size_t)s->model->config.augment * sizeof(float));
}

/* How familiar the images are, from the evaluation just done at t_lab = 1. */
static void judge_familiarity(struct jf_sampler *s) {
	/* An output's samples lie one behind the other. */
	jf_familiarity_of_all(s->model->familiarity, s->familiarity, jf_sampler_features(s, 0), s->n);
	s->judged = true;
}

/* At the start of a classification. Draws of one image, the usual case, are looked at once. */
static void look_first(struct jf_sampler *s, const struct jf_trajectory *trajectories) {
	const int n = s->n;
	bool one = true;

	for (int i = 1; i < n; i++)
		one = one && trajectories[i].image == trajectories[0].image;
	if (one)
		s->n = 1;
	/* The posterior's first noise, whatever the trajectory's own, so that both methods say the same. */
	for (int i = 0; i < s->n; i++)
		jf_rng_normal(sampler_label(s, i), s->label_size, 0, JF_STREAM_LABEL, 0);
	jf_sampler_evaluate(s, 1.0f, s->velocity);
	judge_familiarity(s);
	for (int i = 0; i < s->n; i++)
		jf_rng_normal(
		    sampler_label(s, i), s->label_size, trajectories[i].seed, JF_STREAM_LABEL, trajectories[i].index);
	for (int i = s->n; i < n; i++)
		s->familiarity[i] = s->familiarity[0];
	s->n = n;
}

static enum jf_err begin(struct jf_sampler *s, const struct jf_sampler_args *args,
    const struct jf_trajectory *trajectories, int n, struct jf_error *err) {
	enum jf_err rc = check_begin(s, args, trajectories, n, err);

	if (rc != JF_OK)
		return rc;
	s->args = *args;
	if (!(args->start > 0.0f))
		s->args.start = 1.0f;
	if (args->repeats < 1)
		s->args.repeats = 1;
	if (!(args->guidance_high > 0.0f))
		s->args.guidance_high = 1.0f;
	s->n = n;
	s->step = s->repeat = 0;
	s->guided = s->task == JF_TASK_GENERATE && args->guidance != 1.0f;
	clear_augmentation(s);
	for (int i = 0; i < n; i++)
		set_start(s, i, &trajectories[i]);
	if (s->task == JF_TASK_CLASSIFY)
		sampler_set_input(s, JF_INPUT_TIME_IMG, 0, 0.0f);
	jf_exec_once(s->exec, s->guided ? 2 * n : n);
	return JF_OK;
}

enum jf_err jf_sampler_begin(struct jf_sampler *s, const struct jf_sampler_args *args,
    const struct jf_trajectory *trajectories, int n, struct jf_error *err) {
	enum jf_err rc = begin(s, args, trajectories, n, err);

	if (rc != JF_OK || s->task != JF_TASK_CLASSIFY || !s->model->familiarity)
		return rc;
	look_first(s, trajectories);
	return JF_OK;
}

enum jf_err jf_sampler_restart(struct jf_sampler *s, const uint64_t *index, struct jf_error *err) {
	if (s->task != JF_TASK_CLASSIFY || s->n < 1)
		return jf_error_set(err, JF_EINVAL, "only a classification that has begun can be restarted");
	s->step = s->repeat = 0;
	for (int i = 0; i < s->n; i++) {
		s->indices[i] = index[i];
		jf_rng_normal(sampler_label(s, i), s->label_size, s->seeds[i], JF_STREAM_LABEL, index[i]);
	}
	return JF_OK;
}

int jf_sampler_steps_left(const struct jf_sampler *s) {
	return (s->args.steps - s->step) * s->args.repeats - s->repeat;
}

float jf_sampler_time(const struct jf_sampler *s) {
	return jf_sampler_time_at(s, s->step);
}

static void move_kept(struct jf_sampler *s, int to, int from) {
	const size_t size = s->image_size, pixels = pixels_of(s);

	s->keeps[to] = s->keeps[from];
	memmove(s->kept + (size_t)to * size, s->kept + (size_t)from * size, size * sizeof(*s->kept));
	memmove(s->redraw + (size_t)to * pixels, s->redraw + (size_t)from * pixels, pixels * sizeof(*s->redraw));
}

int jf_sampler_keep(struct jf_sampler *s, const bool *keep) {
	size_t k = (size_t)s->model->config.classes;
	int kept = 0, unlabelled;

	for (int i = 0; i < s->n; i++) {
		if (!keep[i])
			continue;
		jf_exec_move(s->exec, kept, i);
		s->seeds[kept] = s->seeds[i];
		s->indices[kept] = s->indices[i];
		s->familiarity[kept] = s->familiarity[i];
		memmove(s->probabilities + (size_t)kept * k, s->probabilities + (size_t)i * k, k * sizeof(float));
		if (s->keeps)
			move_kept(s, kept, i);
		kept++;
	}
	unlabelled = kept; /* after those that are left, whose slots they may take only now */
	for (int i = 0; i < s->n && s->guided; i++)
		if (keep[i])
			jf_exec_move(s->exec, unlabelled++, s->n + i);
	s->n = kept;
	return kept;
}

const float *jf_sampler_image(const struct jf_sampler *s, int i) {
	return s->image_size ? sampler_image(s, i) : NULL;
}

const float *jf_sampler_label(const struct jf_sampler *s, int i) {
	return s->task == JF_TASK_GENERATE ? NULL : sampler_label(s, i);
}

const float *jf_sampler_probabilities(const struct jf_sampler *s, int i) {
	return s->task == JF_TASK_GENERATE ? NULL : s->probabilities + (size_t)i * (size_t)s->model->config.classes;
}

float jf_sampler_familiarity(struct jf_sampler *s, int i) {
	if (s->task != JF_TASK_CLASSIFY || !s->model->familiarity)
		return -1.0f;
	if (!s->judged)
		judge_familiarity(s);
	return s->familiarity[i];
}

const float *jf_sampler_features(const struct jf_sampler *s, int i) {
	return jf_exec_output(s->exec, JF_OUTPUT_FEATURES, i);
}

enum jf_err jf_sampler_posterior(struct jf_sampler *s, float *probabilities, const float *const *images, int n,
    int draws, bool (*between)(void *context), void *context, struct jf_error *err) {
	const struct jf_sampler_args args = {.solver = JF_SOLVER_EULER, .steps = 1, .guidance = 1.0f};
	struct jf_trajectory trajectories[JF_MAX_BATCH];
	size_t k = s->label_size;

	if (s->task != JF_TASK_CLASSIFY || draws < 1 || draws > JF_MAX_DRAWS || n < 1 || n > s->max_batch)
		return jf_error_set(err, JF_EINVAL, "posterior of %d images with %d draws", n, draws);
	for (int i = 0; i < n; i++)
		trajectories[i] = (struct jf_trajectory){.seed = 0, .index = 0, .image = images[i]};
	enum jf_err rc = begin(s, &args, trajectories, n, err);
	if (rc != JF_OK)
		return rc;
	memset(probabilities, 0, (size_t)n * k * sizeof(float));
	for (int d = 0; d < draws; d++) {
		uint64_t index[JF_MAX_BATCH];

		for (int i = 0; i < n; i++)
			index[i] = (uint64_t)d;
		jf_sampler_restart(s, index, err);
		jf_sampler_evaluate(s, 1.0f, s->velocity);
		if (d == 0)
			s->judged = false;
		if (d == 0 && draws > 1 && s->model->familiarity) /* the next draw overwrites the features */
			judge_familiarity(s);
		for (size_t j = 0; j < (size_t)n * k; j++)
			probabilities[j] += s->probabilities[j] / (float)draws;
		if (between && d + 1 < draws && !between(context))
			return jf_error_set(err, JF_ECANCELED, "cancelled after %d of %d draws", d + 1, draws);
	}
	s->step = s->args.steps;
	return jf_sampler_check_finite(probabilities, (size_t)n * k, "posterior", 0, err);
}
