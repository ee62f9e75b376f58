/* Classifies by likelihood, as diffusion classifiers do (Li et al., arXiv:2303.16203): the class under which the noise
 * that was put on an image is predicted best. What is common to the classes is common here too, times and noises.
 *
 * bench-likelihood MODEL DATA [IMAGES [DRAWS]]    default: 1000 test images, 16 draws of time and noise, one thread
 *
 * Prints a line for 1, 2, 4 ... draws: accuracy so far, network evaluations, multiply-adds and time an image. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/engine/exec.h"
#include "core/engine/model.h"
#include "core/files/checkpoint.h"
#include "core/files/dataset.h"
#include "core/questions/question.h"

#define SEED 1
#define MICRO_BATCH 4

static struct jf_error err;

static void check(bool ok) {
	if (!ok) {
		fprintf(stderr, "bench-likelihood: %s\n", err.message);
		exit(1);
	}
}

/* Time d: the middles of equal parts of (0.5, 1) in an order that fills it evenly (van der Corput's), so that few draws
 * see the whole range too. Below 0.5 the image shows what it is, and the label hardly matters to the prediction: with
 * the model that ships times 0.5 and 0.25 got 37 of 100 images right, 0.75 and 0.125 beside them 92. */
static float time_of(int d) {
	float t = 0.5f, part = 0.25f;

	for (int i = d + 1; i; i /= 2, part *= 0.5f)
		t += part * (float)(i % 2);
	return t;
}

/* Adds to error[K] the mean squared velocity error of each class; noise and velocity have `size` floats. */
static void add_errors(struct jf_exec *exec, double *error, const float *image, const float *noise, float t,
    const struct jf_network_config *c) {
	size_t size = jf_network_image_floats(c);

	*jf_exec_input(exec, JF_INPUT_TIME_IMG, 0) = t;
	*jf_exec_input(exec, JF_INPUT_TIME_LAB, 0) = 0.0f;
	for (int k = 0; k < c->classes; k++) {
		float *x = jf_exec_input(exec, JF_INPUT_IMAGE, k);

		for (size_t j = 0; j < size; j++)
			x[j] = (1.0f - t) * image[j] + t * noise[j];
		jf_label_one_hot(jf_exec_input(exec, JF_INPUT_LABEL, k), k, c->classes);
	}
	jf_exec_step(exec, c->classes);
	for (int k = 0; k < c->classes; k++) {
		const float *v = jf_exec_output(exec, JF_OUTPUT_IMAGE, k);
		double sum = 0.0;

		for (size_t j = 0; j < size; j++) {
			const float d = v[j] - (noise[j] - image[j]);
			sum += (double)(d * d);
		}
		error[k] += sum / (double)size;
	}
}

static int least(const double *values, int n) {
	int best = 0;

	for (int k = 1; k < n; k++)
		if (values[k] < values[best])
			best = k;
	return best;
}

static void measure(struct jf_exec *exec, const struct jf_dataset *data, const struct jf_network_config *c, int images,
    int draws, long long multiply_adds) {
	float *image = jf_alloc_floats(jf_network_image_floats(c)),
	      *noise = jf_alloc_floats(jf_network_image_floats(c));
	double *errors = calloc((size_t)images * (size_t)c->classes, sizeof(*errors)), begun = jf_clock_s();

	if (!image || !noise || !errors)
		abort();
	for (int d = 0; d < draws; d++) {
		int right = 0;

		jf_rng_normal(noise, jf_network_image_floats(c), SEED, JF_STREAM_IMAGE, (uint64_t)d);
		for (int i = 0; i < images; i++) {
			double *error = errors + (size_t)i * (size_t)c->classes;

			jf_dataset_image(data, (size_t)i, image);
			add_errors(exec, error, image, noise, time_of(d), c);
			right += least(error, c->classes) == data->labels[i];
		}
		if (d & (d + 1))
			continue;
		printf("%4d draws: %.2f %% of %d, %d evaluations and %.0f M multiply-adds an image, %.1f ms\n", d + 1,
		    100.0 * right / images, images, (d + 1) * c->classes,
		    1e-6 * (double)(multiply_adds * (d + 1) * c->classes), 1e3 * (jf_clock_s() - begun) / images);
		fflush(stdout);
	}
	free(image);
	free(noise);
	free(errors);
}

int main(int argc, char **argv) {
	int images = argc > 3 ? atoi(argv[3]) : 1000, draws = argc > 4 ? atoi(argv[4]) : 16;
	struct jf_plan_spec spec = {.outputs = 1u << JF_OUTPUT_IMAGE,
	    .shared = 1u << JF_INPUT_TIME_IMG | 1u << JF_INPUT_TIME_LAB | 1u << JF_INPUT_AUGMENT,
	    .fixed = 1u << JF_INPUT_AUGMENT,
	    .micro_batch = MICRO_BATCH};
	struct jf_dataset data;
	struct jf_model *model;
	struct jf_plan *plan;
	struct jf_exec *exec;

	if (argc < 3 || images < 1 || draws < 1) {
		fprintf(stderr, "usage: bench-likelihood MODEL DATA [IMAGES [DRAWS]]\n");
		return 2;
	}
	model = jf_checkpoint_load(argv[1], &err);
	check(model);
	check(jf_dataset_load(&data, argv[2], JF_DATASET_TEST, NULL, &err) == JF_OK);
	images = (size_t)images < data.n ? images : (int)data.n;
	spec.batch = model->config.classes;
	plan = jf_plan_create(model->graph, &spec, &err);
	check(plan);
	exec = jf_exec_create(plan, model->params, model->packed, NULL, NULL, &err);
	check(exec);
	jf_exec_once(exec, spec.batch); /* no augmentation: a new plan's inputs are zeros */
	measure(exec, &data, &model->config, images, draws, jf_plan_multiply_adds(plan, JF_STEP));
	jf_exec_destroy(exec);
	jf_plan_destroy(plan);
	jf_dataset_deinit(&data);
	jf_model_unref(model);
	return 0;
}
