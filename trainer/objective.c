#include "trainer/objective.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/kernels/kernels.h"

/* u in (0, 1) to a time of the wanted density. */
static float warp(enum jf_time_density density, float u, float normal) {
	float s;

	switch (density) {
	case JF_DENSITY_ARCSINE:
		s = sinf(1.57079633f * u);
		return s * s;
	case JF_DENSITY_LOGIT_NORMAL:
		return 1.0f / (1.0f + expf(-normal));
	default:
		return u;
	}
}

static void flexible_times(float times[2], float a, float b, float choice) {
	if (choice < 0.25f) { /* joint */
		times[0] = times[1] = a;
	} else if (choice < 0.5f) { /* label given image */
		times[0] = 0.0f;
		times[1] = b;
	} else if (choice < 0.75f) { /* image given label */
		times[0] = a;
		times[1] = 0.0f;
	} else { /* unconditional image */
		times[0] = a;
		times[1] = 1.0f;
	}
}

static void mixture_times(float times[2], const float shares[JF_N_SHARES], float a, float b, float choice) {
	times[0] = a;
	times[1] = b;
	if ((choice -= shares[JF_SHARE_IMAGE_GIVEN_LABEL]) < 0.0f) {
		times[1] = 0.0f;
	} else if ((choice -= shares[JF_SHARE_JOINT]) < 0.0f) {
		times[1] = a;
	} else if ((choice -= shares[JF_SHARE_LABEL_GIVEN_IMAGE]) < 0.0f) {
		times[0] = 0.0f;
		if (choice < -0.5f * shares[JF_SHARE_LABEL_GIVEN_IMAGE])
			times[1] = 1.0f;
	}
}

void jf_objective_times(float times[2], const struct jf_objective_options *options, uint64_t seed, uint64_t sample) {
	float u[3], normal[2] = {0.0f, 0.0f}, a, b;

	jf_rng_uniform(u, 3, seed, JF_STREAM_CLOCK, 2 * sample);
	if (options->density == JF_DENSITY_LOGIT_NORMAL)
		jf_rng_normal(normal, 2, seed, JF_STREAM_CLOCK, 2 * sample + 1);
	a = warp(options->density, u[0], normal[0]);
	b = warp(options->density, u[1], normal[1]);
	switch (options->times) {
	case JF_TIMES_SHARED:
		times[0] = times[1] = a;
		break;
	case JF_TIMES_FLEXIBLE:
		flexible_times(times, a, b, u[2]);
		break;
	case JF_TIMES_MIXTURE:
		mixture_times(times, options->shares, a, b, u[2]);
		break;
	default:
		times[0] = a;
		times[1] = b;
	}
	times[0] = options->image_shift * times[0] / (1.0f + (options->image_shift - 1.0f) * times[0]);
}

static float coded(int k, int label) {
	return k == label ? 1.0f : -1.0f;
}

void jf_objective_set_inputs(const struct jf_exec *exec, int i, const struct jf_example *example,
    const struct jf_network_config *config, const struct jf_objective_options *options, uint64_t seed) {
	float *x = jf_exec_input(exec, JF_INPUT_IMAGE, i), *y = jf_exec_input(exec, JF_INPUT_LABEL, i);
	float *augment = jf_exec_input(exec, JF_INPUT_AUGMENT, i);
	size_t pixels = jf_network_image_floats(config);
	float t[2];

	jf_objective_times(t, options, seed, example->sample);
	*jf_exec_input(exec, JF_INPUT_TIME_IMG, i) = t[0];
	*jf_exec_input(exec, JF_INPUT_TIME_LAB, i) = t[1];
	jf_rng_normal(x, pixels, seed, JF_STREAM_IMAGE, example->sample);
	for (size_t j = 0; j < pixels; j++)
		x[j] = (1.0f - t[0]) * example->image[j] + t[0] * x[j];
	jf_rng_normal(y, (size_t)config->classes, seed, JF_STREAM_LABEL, example->sample);
	for (int k = 0; k < config->classes; k++)
		y[k] = (1.0f - t[1]) * coded(k, example->label) + t[1] * y[k];
	for (int a = 0; augment && a < config->augment; a++)
		augment[a] = example->augment ? example->augment[a] : 0.0f;
}

bool jf_objective_is_guided(const struct jf_objective_options *options, const float times[2]) {
	return options->guidance > 0.0f && times[0] > 0.0f && times[1] <= 0.0f;
}

void jf_objective_set_unlabelled(const struct jf_exec *exec, int i, const struct jf_example *example,
    const struct jf_network_config *config, const struct jf_objective_options *options, uint64_t seed) {
	jf_objective_set_inputs(exec, i, example, config, options, seed);
	*jf_exec_input(exec, JF_INPUT_TIME_LAB, i) = 1.0f;
	jf_rng_normal(
	    jf_exec_input(exec, JF_INPUT_LABEL, i), (size_t)config->classes, seed, JF_STREAM_UNLABEL, example->sample);
}

/* Mean of (v - target)^2 over n, and its gradient times scale; the target is e - z0. */
static double velocity_loss(float *grad, const float *v, const float *target, size_t n, float scale) {
	double sum = 0.0;

	for (size_t j = 0; j < n; j++) {
		float d = v[j] - target[j];
		sum += (double)(d * d);
		grad[j] = scale * 2.0f * d / (float)n;
	}
	return sum / (double)n;
}

/* The target e - z0, and with guidance w the step w (v - v without the label) on, which no gradient goes through. The
 * noise e could be had from z_t as (z_t - (1 - t) z0) / t, but drawing it again is exact. */
static void image_target(float *target, const struct jf_example *example, size_t pixels, uint64_t seed, const float *v,
    const float *unlabelled, float guidance) {
	jf_rng_normal(target, pixels, seed, JF_STREAM_IMAGE, example->sample);
	for (size_t j = 0; j < pixels; j++)
		target[j] -= example->image[j];
	for (size_t j = 0; unlabelled && j < pixels; j++)
		target[j] += guidance * (v[j] - unlabelled[j]);
}

static void image_loss(
    const struct jf_exec *exec, int i, const float *target, float scale, size_t pixels, struct jf_loss *loss) {
	loss->image += velocity_loss(jf_exec_output_grad(exec, JF_OUTPUT_IMAGE, i),
	    jf_exec_output(exec, JF_OUTPUT_IMAGE, i), target, pixels, scale);
	loss->image_count += 1.0;
}

static void label_loss(const struct jf_exec *exec, int i, const struct jf_example *example, float scale,
    const struct jf_network_config *config, uint64_t seed, float *target, struct jf_loss *loss) {
	const float *head = jf_exec_output(exec, JF_OUTPUT_LABEL, i);
	float *grad = jf_exec_output_grad(exec, JF_OUTPUT_LABEL, i);
	int k = config->classes;

	loss->label_count += 1.0;
	if (config->head == JF_HEAD_VELOCITY) {
		jf_rng_normal(target, (size_t)k, seed, JF_STREAM_LABEL, example->sample);
		for (int j = 0; j < k; j++)
			target[j] -= coded(j, example->label);
		loss->label += velocity_loss(grad, head, target, (size_t)k, scale);
		return;
	}
	exec->kernels->softmax(target, head, 1, k);
	loss->label -= log(fmax((double)target[example->label], 1e-30));
	for (int j = 0; j < k; j++)
		grad[j] = scale * (target[j] - (j == example->label ? 1.0f : 0.0f));
}

void jf_objective_loss(const struct jf_exec *exec, int i, const struct jf_example *example, float scale,
    const struct jf_network_config *config, const struct jf_objective_options *options, uint64_t seed,
    const float *unlabelled, float *target, struct jf_loss *loss) {
	float t_img = *jf_exec_input(exec, JF_INPUT_TIME_IMG, i), t_lab = *jf_exec_input(exec, JF_INPUT_TIME_LAB, i);
	size_t pixels = jf_network_image_floats(config);

	if (t_img > 0.0f) {
		image_target(target, example, pixels, seed, jf_exec_output(exec, JF_OUTPUT_IMAGE, i), unlabelled,
		    options->guidance);
		image_loss(exec, i, target, scale, pixels, loss);
	} else if (jf_exec_output_grad(exec, JF_OUTPUT_IMAGE, i)) { /* NULL: the plan leaves the decoder out */
		memset(jf_exec_output_grad(exec, JF_OUTPUT_IMAGE, i), 0, pixels * sizeof(float));
	}
	if (t_lab > 0.0f)
		label_loss(exec, i, example, scale * options->label_weight, config, seed, target, loss);
	else
		memset(jf_exec_output_grad(exec, JF_OUTPUT_LABEL, i), 0, (size_t)config->classes * sizeof(float));
}
