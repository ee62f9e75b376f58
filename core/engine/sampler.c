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

int jf_solver_evaluations(enum jf_solver solver, int steps) {
	if (solver == JF_SOLVER_MIDPOINT)
		return 2 * steps;
	return solver == JF_SOLVER_HEUN ? 2 * steps - 1 : steps;
}

struct jf_plan_spec jf_sampler_plan_spec(enum jf_task task, int max_batch) {
	const unsigned image = 1u << JF_INPUT_IMAGE, label = 1u << JF_INPUT_LABEL, t_img = 1u << JF_INPUT_TIME_IMG,
		       t_lab = 1u << JF_INPUT_TIME_LAB, augment = 1u << JF_INPUT_AUGMENT;
	struct jf_plan_spec spec = {.batch = max_batch, .micro_batch = MICRO_BATCH};

	switch (task) {
	case JF_TASK_CLASSIFY:
		spec.outputs = 1u << JF_OUTPUT_LABEL;
		spec.fixed = image | t_img | augment;
		spec.shared = t_img | t_lab | augment;
		break;
	case JF_TASK_GENERATE: /* t_lab differs within the batch: guidance evaluates every other slot without label */
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

struct jf_sampler *jf_sampler_create(struct jf_model *model, enum jf_task task, int max_batch, struct jf_error *err) {
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
	s->seeds = calloc((size_t)max_batch, sizeof(*s->seeds));
	s->indices = calloc((size_t)max_batch, sizeof(*s->indices));
	if (!s->start || !s->velocity || !s->probabilities || !s->seeds || !s->indices)
		goto no_memory;
	s->plan = jf_plan_create(model->graph, &spec, err);
	if (s->plan)
		s->exec = jf_exec_create(s->plan, model->params, model->packed, NULL, NULL, err);
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
	free(s->seeds);
	free(s->indices);
	free(s);
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
	for (int i = 0; i < n; i++) {
		if ((s->task == JF_TASK_CLASSIFY) != (t[i].image != NULL) ||
		    (s->task == JF_TASK_GENERATE) != (t[i].label != NULL))
			return jf_error_set(err, JF_EINVAL, "sample %d: the task %s holds %s", i, jf_task_name(s->task),
			    s->task == JF_TASK_CLASSIFY   ? "an image"
			    : s->task == JF_TASK_GENERATE ? "a label"
							  : "nothing");
		if (t[i].image && jf_sampler_check_finite(t[i].image, image, "image", i, err) != JF_OK)
			return JF_ENUMERIC;
		if (t[i].label && jf_sampler_check_finite(t[i].label, (size_t)c->classes, "label", i, err) != JF_OK)
			return JF_ENUMERIC;
	}
	return JF_OK;
}

/* What the task holds, and the noise of the rest. */
static void set_start(struct jf_sampler *s, int i, const struct jf_trajectory *t) {
	const struct jf_network_config *c = &s->model->config;
	size_t image = jf_network_image_floats(c), k = (size_t)c->classes;

	s->seeds[i] = t->seed;
	s->indices[i] = t->index;
	if (t->image)
		memcpy(sampler_image(s, i), t->image, image * sizeof(float));
	else
		jf_rng_normal(sampler_image(s, i), image, t->seed, JF_STREAM_IMAGE, t->index);
	if (t->label) {
		memcpy(sampler_label(s, i), t->label, k * sizeof(float));
		sampler_set_input(s, JF_INPUT_TIME_LAB, sampler_slot(s, i), 0.0f);
	} else {
		jf_rng_normal(sampler_label(s, i), k, t->seed, JF_STREAM_LABEL, t->index);
	}
	if (s->guided) {
		jf_rng_normal(sampler_label(s, i) + k, k, t->seed, JF_STREAM_UNLABEL, t->index);
		sampler_set_input(s, JF_INPUT_TIME_LAB, sampler_slot(s, i) + 1, 1.0f);
	}
}

static void clear_augmentation(struct jf_sampler *s) {
	float *a = jf_exec_input(s->exec, JF_INPUT_AUGMENT, 0);

	if (a)
		memset(a, 0, (size_t)s->model->config.augment * sizeof(float));
}

enum jf_err jf_sampler_begin(struct jf_sampler *s, const struct jf_sampler_args *args,
    const struct jf_trajectory *trajectories, int n, struct jf_error *err) {
	enum jf_err rc = check_begin(s, args, trajectories, n, err);

	if (rc != JF_OK)
		return rc;
	s->args = *args;
	s->n = n;
	s->step = 0;
	s->guided = s->task == JF_TASK_GENERATE && args->guidance != 1.0f;
	clear_augmentation(s);
	for (int i = 0; i < n; i++)
		set_start(s, i, &trajectories[i]);
	if (s->task == JF_TASK_CLASSIFY)
		sampler_set_input(s, JF_INPUT_TIME_IMG, 0, 0.0f);
	jf_exec_once(s->exec, s->guided ? 2 * n : n);
	return JF_OK;
}

enum jf_err jf_sampler_restart(struct jf_sampler *s, const uint64_t *index, struct jf_error *err) {
	if (s->task != JF_TASK_CLASSIFY || s->n < 1)
		return jf_error_set(err, JF_EINVAL, "only a classification that has begun can be restarted");
	s->step = 0;
	for (int i = 0; i < s->n; i++) {
		s->indices[i] = index[i];
		jf_rng_normal(sampler_label(s, i), s->label_size, s->seeds[i], JF_STREAM_LABEL, index[i]);
	}
	return JF_OK;
}

int jf_sampler_steps_left(const struct jf_sampler *s) {
	return s->args.steps - s->step;
}

float jf_sampler_time(const struct jf_sampler *s) {
	return jf_sampler_time_at(s, s->step);
}

int jf_sampler_keep(struct jf_sampler *s, const bool *keep) {
	size_t k = (size_t)s->model->config.classes;
	int kept = 0;

	for (int i = 0; i < s->n; i++) {
		if (!keep[i])
			continue;
		for (int half = 0; half < (s->guided ? 2 : 1); half++)
			jf_exec_move(s->exec, sampler_slot(s, kept) + half, sampler_slot(s, i) + half);
		s->seeds[kept] = s->seeds[i];
		s->indices[kept] = s->indices[i];
		memmove(s->probabilities + (size_t)kept * k, s->probabilities + (size_t)i * k, k * sizeof(float));
		kept++;
	}
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

enum jf_err jf_sampler_posterior(struct jf_sampler *s, float *probabilities, const float *const *images, int n,
    int draws, bool (*between)(void *context), void *context, struct jf_error *err) {
	const struct jf_sampler_args args = {JF_SOLVER_EULER, 1, 1.0f};
	struct jf_trajectory trajectories[JF_MAX_BATCH];
	size_t k = s->label_size;

	if (s->task != JF_TASK_CLASSIFY || draws < 1 || draws > JF_MAX_DRAWS || n < 1 || n > s->max_batch)
		return jf_error_set(err, JF_EINVAL, "posterior of %d images with %d draws", n, draws);
	for (int i = 0; i < n; i++)
		trajectories[i] = (struct jf_trajectory){.seed = 0, .index = 0, .image = images[i]};
	enum jf_err rc = jf_sampler_begin(s, &args, trajectories, n, err);
	if (rc != JF_OK)
		return rc;
	memset(probabilities, 0, (size_t)n * k * sizeof(float));
	for (int d = 0; d < draws; d++) {
		uint64_t index[JF_MAX_BATCH];

		for (int i = 0; i < n; i++)
			index[i] = (uint64_t)d;
		jf_sampler_restart(s, index, err);
		jf_sampler_evaluate(s, 1.0f, s->velocity);
		for (size_t j = 0; j < (size_t)n * k; j++)
			probabilities[j] += s->probabilities[j] / (float)draws;
		if (between && d + 1 < draws && !between(context))
			return jf_error_set(err, JF_ECANCELED, "cancelled after %d of %d draws", d + 1, draws);
	}
	s->step = s->args.steps;
	return jf_sampler_check_finite(probabilities, (size_t)n * k, "posterior", 0, err);
}
