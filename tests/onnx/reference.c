/* reference posterior MODEL DATA FILE, or reference field MODEL COUNT FILE: what the engine answers, for compare.mjs.
 * DATA: test data, or a number: so many images of noise.
 *
 * FILE holds little-endian floats, sample after sample. posterior: image [H][W][C], probabilities [K], of every test
 * image of DATA. field: image, label [K], t_img, t_lab, image velocity [H][W][C], label head [K], of random inputs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/engine/exec.h"
#include "core/files/checkpoint.h"
#include "core/files/dataset.h"
#include "core/questions/tasks.h"

static bool put(FILE *file, const float *values, size_t n) {
	return fwrite(values, sizeof(*values), n, file) == n;
}

/* out, caller frees: [*n][size] */
static float *read_images(size_t *n, const char *data, size_t size, struct jf_error *err) {
	struct jf_dataset set = {0};
	float *images;

	*n = (size_t)atoi(data);
	if (!*n && jf_dataset_load(&set, data, JF_DATASET_TEST, NULL, err))
		return NULL;
	*n = *n ? *n : set.n;
	images = malloc(*n * size * sizeof(*images));
	for (size_t i = 0; images && i < *n; i++) {
		if (set.n)
			jf_dataset_image(&set, i, images + i * size);
		else
			jf_rng_normal(images + i * size, size, 2, JF_STREAM_IMAGE, i);
	}
	jf_dataset_deinit(&set);
	return images;
}

static int posterior(struct jf_model *model, const char *data, FILE *file, struct jf_error *err) {
	const size_t size = jf_shape_count(model->graph->nodes[model->graph->inputs[JF_INPUT_IMAGE]].shape);
	const size_t k = (size_t)model->config.classes;
	struct jf_task_options options = jf_task_options_default();
	size_t n;
	float *images = read_images(&n, data, size, err);
	float *probabilities = images ? malloc(n * k * sizeof(*probabilities)) : NULL;
	int failed = 1;

	if (probabilities && !jf_classify_posterior(model, probabilities, images, (int)n, 1, &options, err)) {
		failed = 0;
		for (size_t i = 0; i < n; i++)
			if (!put(file, images + i * size, size) || !put(file, probabilities + i * k, k))
				failed = 1;
	}
	free(images);
	free(probabilities);
	return failed;
}

static int field(struct jf_model *model, int count, FILE *file, struct jf_error *err) {
	const struct jf_plan_spec spec = {
	    .outputs = 1u << JF_OUTPUT_IMAGE | 1u << JF_OUTPUT_LABEL, .batch = 1, .micro_batch = 1};
	const size_t k = (size_t)model->config.classes;
	const struct jf_shape shape = model->graph->nodes[model->graph->inputs[JF_INPUT_IMAGE]].shape;
	struct jf_plan *plan = jf_plan_create(model->graph, &spec, err);
	struct jf_exec *exec = plan ? jf_exec_create(plan, model->params, model->packed, NULL, NULL, err) : NULL;
	int failed = !exec;

	for (int i = 0; i < count && !failed; i++) {
		float *x = jf_exec_input(exec, JF_INPUT_IMAGE, 0), *y = jf_exec_input(exec, JF_INPUT_LABEL, 0);
		float *a = jf_exec_input(exec, JF_INPUT_AUGMENT, 0), times[2];

		jf_rng_normal(x, jf_shape_count(shape), 1, JF_STREAM_IMAGE, (uint64_t)i);
		jf_rng_normal(y, k, 1, JF_STREAM_LABEL, (uint64_t)i);
		jf_rng_uniform(times, 2, 1, JF_STREAM_CLOCK, (uint64_t)i);
		*jf_exec_input(exec, JF_INPUT_TIME_IMG, 0) = times[0];
		*jf_exec_input(exec, JF_INPUT_TIME_LAB, 0) = times[1];
		if (a)
			memset(a, 0, (size_t)model->config.augment * sizeof(*a));
		failed = !put(file, x, jf_shape_count(shape)) || !put(file, y, k) || !put(file, times, 2);
		jf_exec_once(exec, 1);
		jf_exec_step(exec, 1);
		failed = failed || !put(file, jf_exec_output(exec, JF_OUTPUT_IMAGE, 0), jf_shape_count(shape)) ||
			 !put(file, jf_exec_output(exec, JF_OUTPUT_LABEL, 0), k);
	}
	jf_exec_destroy(exec);
	jf_plan_destroy(plan);
	return failed;
}

int main(int argc, char **argv) {
	struct jf_error err = {0};
	struct jf_model *model;
	FILE *file;
	int failed = 1;

	if (argc != 5) {
		fprintf(stderr, "usage: reference posterior MODEL DATA FILE | reference field MODEL COUNT FILE\n");
		return 2;
	}
	model = jf_checkpoint_load(argv[2], &err);
	file = model ? fopen(argv[4], "wb") : NULL;
	if (file) {
		failed = strcmp(argv[1], "field") ? posterior(model, argv[3], file, &err)
						  : field(model, atoi(argv[3]), file, &err);
		if (fclose(file))
			failed = 1;
	}
	if (failed)
		fprintf(stderr, "reference: %s\n", err.message);
	jf_model_unref(model);
	return failed;
}
