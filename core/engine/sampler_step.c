/* Evaluations of the network and the solvers' steps. */
#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/engine/sampler_internal.h"
#include "core/kernels/kernels.h"

enum jf_err jf_sampler_check_finite(const float *values, size_t n, const char *what, int i, struct jf_error *err) {
	for (size_t j = 0; j < n; j++)
		if (!isfinite(values[j]))
			return jf_error_set(
			    err, JF_ENUMERIC, "%s of sample %d: element %zu is not a finite number", what, i, j);
	return JF_OK;
}

/* P(label) from the head's output at time t: softmax(logits / T), or the clipped endpoint of a velocity. */
static void read_head(
    const struct jf_sampler *s, float *p, const float *head, const float *y, float t, float temperature) {
	int k = s->model->config.classes;
	float sum = 0.0f;

	if (s->model->config.head == JF_HEAD_ENDPOINT) {
		for (int j = 0; j < k; j++)
			p[j] = head[j] / temperature;
		jf_kernels()->softmax(p, p, 1, k);
		return;
	}
	for (int j = 0; j < k; j++) {
		float weight = 0.5f * (y[j] - t * head[j] + 1.0f);
		p[j] = weight < 0.0f ? 0.0f : weight;
		sum += p[j];
	}
	for (int j = 0; j < k; j++)
		p[j] = sum > 0.0f ? p[j] / sum : 1.0f / (float)k;
}

static void label_velocity(struct jf_sampler *s, int i, float t, float *v) {
	const float *head = jf_exec_output(s->exec, JF_OUTPUT_LABEL, i), *y = sampler_label(s, i);
	float *p = s->probabilities + (size_t)i * s->label_size;
	size_t k = s->label_size;

	if (s->model->config.head == JF_HEAD_VELOCITY) {
		memcpy(v, head, k * sizeof(float));
	} else {
		read_head(s, p, head, y, t, 1.0f);
		for (size_t j = 0; j < k; j++)
			v[j] = (y[j] - (2.0f * p[j] - 1.0f)) / t;
	}
	read_head(s, p, head, y, t, s->model->temperature);
}

static void image_velocity(struct jf_sampler *s, int i, bool guided, float *v) {
	const float *with = jf_exec_output(s->exec, JF_OUTPUT_IMAGE, i);
	const float *without = guided ? jf_exec_output(s->exec, JF_OUTPUT_IMAGE, s->n + i) : with;

	for (size_t j = 0; j < s->image_size; j++)
		v[j] = without[j] + (guided ? s->args.guidance * (with[j] - without[j]) : 0.0f);
}

void jf_sampler_evaluate(struct jf_sampler *s, float t, float *velocity) {
	const bool guided = s->guided && jf_sampler_guides(&s->args, t);

	if (s->image_size)
		sampler_set_input(s, JF_INPUT_TIME_IMG, 0, t);
	if (s->label_size)
		sampler_set_input(s, JF_INPUT_TIME_LAB, 0, t);
	for (int i = 0; i < s->n && guided; i++)
		memcpy(sampler_image(s, s->n + i), sampler_image(s, i), s->image_size * sizeof(float));
	jf_exec_step(s->exec, guided ? 2 * s->n : s->n);
	for (int i = 0; i < s->n; i++) {
		float *v = velocity + (size_t)i * s->state_size;
		if (s->image_size)
			image_velocity(s, i, guided, v);
		if (s->label_size)
			label_velocity(s, i, t, v);
	}
}

/* What is integrated of trajectory i: its image, or the label of a classification. */
static float *state_of(struct jf_sampler *s, int i) {
	return s->image_size ? sampler_image(s, i) : sampler_label(s, i);
}

/* z = from - dt v for the state of trajectory i; from == NULL: z itself. */
static void advance(struct jf_sampler *s, int i, const float *from, float dt, const float *v) {
	float *z = state_of(s, i);

	for (size_t j = 0; j < s->state_size; j++)
		z[j] = (from ? from[j] : z[j]) - dt * v[j];
}

static void save_start(struct jf_sampler *s) {
	for (int i = 0; i < s->n; i++)
		memcpy(s->start + (size_t)i * s->state_size, state_of(s, i), s->state_size * sizeof(float));
}

static void advance_all(struct jf_sampler *s, bool from_start, float dt) {
	for (int i = 0; i < s->n; i++) {
		size_t at = (size_t)i * s->state_size;
		advance(s, i, from_start ? s->start + at : NULL, dt, s->velocity + at);
	}
}

/* `steps` equal steps of u from `start` to 0, t = shift u / (1 + (shift - 1) u). */
static float time_at(float shift, float start, int steps, int step) {
	const float first = start / (shift - (shift - 1.0f) * start);
	const float u = first * (1.0f - (float)step / (float)steps);

	if (step == 0)
		return start;
	return step >= steps ? 0.0f : shift * u / (1.0f + (shift - 1.0f) * u);
}

/* A label's steps are equal. An image's are shorter the more noise it has, t = s u / (1 + (s - 1) u) with u in equal
 * steps, because that is where it is decided what it becomes. Source: Esser et al., arXiv:2403.03206, eq. 23; s = 2 and
 * other values measured in bench/model.md. */
float jf_image_time_at(const struct jf_sampler_args *args, int step) {
	return time_at(JF_IMAGE_STEP_SHIFT, args->start > 0.0f ? args->start : 1.0f, args->steps, step);
}

float jf_sampler_time_at(const struct jf_sampler *s, int step) {
	return s->image_size ? jf_image_time_at(&s->args, step) : time_at(1.0f, s->args.start, s->args.steps, step);
}

static void midpoint_step(struct jf_sampler *s, float t, float next) {
	const float middle = t - 0.5f * (t - next);

	save_start(s);
	jf_sampler_evaluate(s, t, s->velocity);
	advance_all(s, true, t - middle);
	jf_sampler_evaluate(s, middle, s->velocity);
	advance_all(s, true, t - next);
}

/* Heun: the mean of the velocities at both ends; the last step has no second one, since the label's is 0 / 0 at t = 0.
 * With z' = z - dt v1: z - dt (v1 + v2) / 2 = (z + z') / 2 - dt v2 / 2. */
static void heun_step(struct jf_sampler *s, float t, float next) {
	const float dt = t - next;

	save_start(s);
	jf_sampler_evaluate(s, t, s->velocity);
	advance_all(s, true, dt);
	if (next <= 0.0f)
		return;
	for (int i = 0; i < s->n; i++) { /* start := (z + z') / 2 */
		float *start = s->start + (size_t)i * s->state_size;
		const float *z = state_of(s, i);
		for (size_t j = 0; j < s->state_size; j++)
			start[j] = 0.5f * (start[j] + z[j]);
	}
	jf_sampler_evaluate(s, next, s->velocity);
	advance_all(s, true, 0.5f * dt);
}

/* The step of DDPM's reverse chain in the clock of this flow, where z_t = (1 - t) z0 + t e. The endpoint that the
 * network predicts, z0 = z - t v, is kept; the noise e = z + (1 - t) v only as far as z_t knows more of it than z_t'
 * must: z_t' = (1 - t') z0 + t' (r e + sqrt(1 - r^2) n),  r = (1 - t) t' / ((1 - t') t),  n ~ N(0, I) fresh. So errors
 * of earlier steps fade, while the ODE carries them to the end. Source: Song et al., arXiv:2010.02502, eq. 12 with the
 * variance of eq. 16 for eta = 1. */
static void ancestral_part(float *z, const float *v, const float *noise, size_t n, float t, float next) {
	const float r = next > 0.0f ? (1.0f - t) * next / ((1.0f - next) * t) : 0.0f;
	const float old = next * r, fresh = next * sqrtf(1.0f - r * r);

	for (size_t j = 0; j < n; j++) {
		const float z0 = z[j] - t * v[j], e = z[j] + (1.0f - t) * v[j];

		z[j] = (1.0f - next) * z0 + old * e + fresh * noise[j];
	}
}

/* Which noise of its own a step has; every repeat has another. At most JF_MAX_STEPS x JF_MAX_REPEATS, which fits. */
static unsigned noise_step(const struct jf_sampler *s) {
	return (unsigned)(s->repeat * s->args.steps + s->step);
}

static void euler_step(struct jf_sampler *s, float t, float next) {
	jf_sampler_evaluate(s, t, s->velocity);
	advance_all(s, false, t - next);
}

/* Whether a step from t has fresh noise. An image's later steps, from JF_ANCESTRAL_END on, have eta = 0, which is the
 * ODE: by then it is decided what it becomes, and fresh noise only leaves a grain that the few steps to come do not
 * take away. */
static bool is_stochastic(const struct jf_sampler *s, float t) {
	return s->args.solver == JF_SOLVER_ANCESTRAL && (!s->image_size || t > JF_ANCESTRAL_END);
}

static void ancestral_step(struct jf_sampler *s, float t, float next) {
	const enum jf_stream stream = s->image_size ? JF_STREAM_IMAGE_STEP : JF_STREAM_LABEL_STEP;

	jf_sampler_evaluate(s, t, s->velocity);
	for (int i = 0; i < s->n; i++) {
		const size_t at = (size_t)i * s->state_size;
		float *noise = s->start + at;

		jf_rng_normal_step(noise, s->state_size, s->seeds[i], stream, s->indices[i], noise_step(s));
		ancestral_part(state_of(s, i), s->velocity + at, noise, s->state_size, t, next);
	}
}

/* After a step from t to `next`: pixels that are kept become (1 - next) image + next noise. The noise is the start's,
 * which makes their path the straight line of the flow; where steps have fresh noise, the step's own. */
static void put_back_kept(struct jf_sampler *s, float t, float next) {
	const size_t channels = (size_t)s->model->config.image_channels;
	float *noise = s->start;

	for (int i = 0; i < s->n; i++) {
		const float *image = s->kept + (size_t)i * s->image_size;
		const bool *redraw = s->redraw + (size_t)i * (s->image_size / channels);
		float *z = sampler_image(s, i);

		if (!s->keeps[i])
			continue;
		if (is_stochastic(s, t))
			jf_rng_normal_step(
			    noise, s->image_size, s->seeds[i], JF_STREAM_IMAGE_STEP, s->indices[i], noise_step(s));
		else
			jf_rng_normal(noise, s->image_size, s->seeds[i], JF_STREAM_IMAGE, s->indices[i]);
		for (size_t j = 0; j < s->image_size; j++)
			if (!redraw[j / channels])
				z[j] = (1.0f - next) * image[j] + next * noise[j];
	}
}

/* From `next` back to t by the flow's own noising: z_t = a z_next + sqrt(t^2 - (a next)^2) n, a = (1 - t) / (1 - next),
 * which has the right mean and variance given z0. */
static void go_back(struct jf_sampler *s, float t, float next) {
	const float a = (1.0f - t) / (1.0f - next), fresh = sqrtf(t * t - a * next * a * next);
	float *noise = s->start;

	for (int i = 0; i < s->n; i++) {
		float *z = sampler_image(s, i);

		jf_rng_normal_step(
		    noise, s->image_size, s->seeds[i], JF_STREAM_IMAGE_BACK, s->indices[i], noise_step(s));
		for (size_t j = 0; j < s->image_size; j++)
			z[j] = a * z[j] + fresh * noise[j];
	}
}

/* P(label) of each trajectory under the given clocks, the label input being noise; the joint sampler's. */
static void ask_label(struct jf_sampler *s, float t_img, float temperature) {
	const size_t k = (size_t)s->model->config.classes;

	sampler_set_input(s, JF_INPUT_TIME_IMG, 0, t_img);
	sampler_set_input(s, JF_INPUT_TIME_LAB, 0, 1.0f);
	jf_exec_step(s->exec, s->n);
	for (int i = 0; i < s->n; i++)
		read_head(s, s->probabilities + (size_t)i * k, jf_exec_output(s->exec, JF_OUTPUT_LABEL, i),
		    sampler_label(s, i), 1.0f, temperature);
	sampler_set_input(s, JF_INPUT_TIME_LAB, 0, 0.0f);
}

/* p := p e^bias, brought to sum 1: as if bias had been added to the logits. */
static void add_bias(float *p, const float *bias, int k) {
	float sum = 0.0f;

	for (int j = 0; j < k; j++)
		sum += p[j] *= expf(bias[j]);
	for (int j = 0; j < k; j++)
		p[j] /= sum;
}

static void hold_label(struct jf_sampler *s, int i, int drawn) {
	float *label = sampler_label(s, i);

	for (int j = 0; j < s->model->config.classes; j++)
		label[j] = j == drawn ? 1.0f : -1.0f;
}

/* The temperature is for what is read; the flow goes without. */
static void ask_prior(struct jf_sampler *s) {
	ask_label(s, 1.0f, 1.0f);
}

enum jf_err jf_sampler_prior(struct jf_sampler *s, float *out, struct jf_error *err) {
	if (s->task != JF_TASK_SAMPLE || s->n < 1 || s->step > 0)
		return jf_error_set(err, JF_EINVAL, "only a joint sample that has just begun has its prior");
	ask_prior(s);
	memcpy(out, s->probabilities, (size_t)s->n * (size_t)s->model->config.classes * sizeof(*out));
	sampler_set_input(s, JF_INPUT_TIME_LAB, 0, 1.0f);
	return JF_OK;
}

/* sample: a label for each trajectory, from P(label) at (t_img, t_lab) = (1, 1); held at t_lab = 0 from here on. */
static void draw_labels(struct jf_sampler *s) {
	const int k = s->model->config.classes;

	ask_prior(s);
	for (int i = 0; i < s->n; i++) {
		float *p = s->probabilities + (size_t)i * (size_t)k, u, sum;
		int drawn = 0;

		if (s->model->label_bias)
			add_bias(p, s->model->label_bias, k);
		jf_rng_uniform(&u, 1, s->seeds[i], JF_STREAM_LABEL_STEP, s->indices[i]);
		for (sum = p[0]; drawn < k - 1 && u >= sum; sum += p[drawn])
			drawn++;
		hold_label(s, i, drawn);
		for (int j = 0; j < k; j++)
			p[j] = j == drawn ? 1.0f : 0.0f;
	}
}

/* sample: probabilities := P(label | image) of the finished images; their states stay. The label's input takes noise
 * for the question, that of a posterior's first draw, and the label again after it. */
static void look_again(struct jf_sampler *s) {
	const size_t k = (size_t)s->model->config.classes;
	int drawn[JF_MAX_BATCH];

	for (int i = 0; i < s->n; i++) {
		const float *p = s->probabilities + (size_t)i * k;

		for (drawn[i] = 0; p[drawn[i]] < 1.0f;)
			drawn[i]++;
		jf_rng_normal(sampler_label(s, i), k, 0, JF_STREAM_LABEL, 0);
	}
	ask_label(s, 0.0f, s->model->temperature);
	for (int i = 0; i < s->n; i++)
		hold_label(s, i, drawn[i]);
}

enum jf_err jf_sampler_step(struct jf_sampler *s, struct jf_error *err) {
	float t = jf_sampler_time_at(s, s->step), next = jf_sampler_time_at(s, s->step + 1);

	if (s->n < 1 || s->step >= s->args.steps)
		return jf_error_set(err, JF_EINVAL, "no step is left");
	if (s->task == JF_TASK_SAMPLE && s->step == 0)
		draw_labels(s);
	if (s->args.solver == JF_SOLVER_MIDPOINT) {
		midpoint_step(s, t, next);
	} else if (s->args.solver == JF_SOLVER_HEUN) {
		heun_step(s, t, next);
	} else if (is_stochastic(s, t)) {
		ancestral_step(s, t, next);
	} else {
		euler_step(s, t, next);
	}
	if (s->keeps)
		put_back_kept(s, t, next);
	if (++s->repeat < s->args.repeats) {
		go_back(s, t, next);
	} else {
		s->repeat = 0;
		s->step++;
	}
	if (s->task == JF_TASK_SAMPLE && s->step == s->args.steps)
		look_again(s);
	for (int i = 0; i < s->n; i++)
		if ((s->image_size &&
			jf_sampler_check_finite(sampler_image(s, i), s->image_size, "image", i, err) != JF_OK) ||
		    (s->label_size &&
			jf_sampler_check_finite(sampler_label(s, i), s->label_size, "label", i, err) != JF_OK))
			return JF_ENUMERIC;
	return JF_OK;
}
