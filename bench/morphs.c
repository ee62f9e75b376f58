/* How evenly a morph changes: the share of the way that its three largest steps take, for each spacing.
 *
 * bench-morphs MODEL [COLUMNS [SEEDS]]    default: 21 columns, 6 seeds of each of five pairs, the default sampler
 *
 * The way of a step is the root mean square of what its two pictures differ by. Even steps would take 3 / (columns -
 * 1). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/files/checkpoint.h"
#include "core/questions/spacing.h"

#define N_LARGEST 3
#define MAX_COLUMNS 1000

static struct jf_error err;

static void check(bool ok) {
	if (!ok) {
		fprintf(stderr, "bench-morphs: %s\n", err.message);
		exit(1);
	}
}

static int descending(const void *a, const void *b) {
	const double left = *(const double *)a, right = *(const double *)b;

	return (left < right) - (left > right);
}

/* images [columns][size] */
static double share_of_largest(const float *images, int columns, size_t size) {
	double steps[MAX_COLUMNS], way = 0.0, largest = 0.0;

	for (int c = 1; c < columns; c++) {
		const float *a = images + (size_t)(c - 1) * size, *b = a + size;
		double sum = 0.0;

		for (size_t i = 0; i < size; i++)
			sum += ((double)b[i] - (double)a[i]) * ((double)b[i] - (double)a[i]);
		steps[c - 1] = sqrt(sum / (double)size);
		way += steps[c - 1];
	}
	qsort(steps, (size_t)(columns - 1), sizeof(*steps), descending);
	for (int i = 0; i < N_LARGEST && i < columns - 1; i++)
		largest += steps[i];
	return way > 0.0 ? largest / way : 0.0;
}

static void measure(struct jf_model *model, enum jf_spacing spacing, int columns, int seeds) {
	static const int pairs[][2] = {{6, 7}, {3, 8}, {1, 4}, {0, 9}, {2, 5}};
	const int n_pairs = (int)(sizeof(pairs) / sizeof(pairs[0]));
	const size_t size = jf_network_image_floats(&model->config), classes = (size_t)model->config.classes;
	struct jf_task_options options = jf_task_options_default();
	float *labels = calloc((size_t)columns * classes, sizeof(*labels));
	float *images = calloc((size_t)columns * size, sizeof(*images));
	uint64_t *noise = calloc((size_t)columns, sizeof(*noise));
	double mean = 0.0, worst = 0.0;
	const int64_t start = jf_clock_ns();

	check(labels && images && noise);
	options.sampler = jf_sampler_args_default(JF_TASK_GENERATE);
	for (int i = 0; i < n_pairs * seeds; i++) {
		const struct jf_blend blend = {.from = pairs[i / seeds][0] % (int)classes,
		    .to = pairs[i / seeds][1] % (int)classes,
		    .rows = 1,
		    .columns = columns,
		    .spacing = spacing};
		double share;

		options.seed = (uint64_t)(1 + i % seeds);
		check(jf_spacing_fill(labels, noise, model, &blend, &options, &err) == JF_OK);
		check(jf_generate(model, images, labels, noise, columns, &options, &err) == JF_OK);
		share = share_of_largest(images, columns, size);
		mean += share / (n_pairs * seeds);
		worst = fmax(worst, share);
	}
	printf(
	    "%-6s %3d morphs of %d columns: the %d largest steps take %.1f %% of the way, at worst %.1f %%; %.1f s\n",
	    jf_spacing_names[spacing], n_pairs * seeds, columns, N_LARGEST, 100.0 * mean, 100.0 * worst,
	    (double)(jf_clock_ns() - start) * 1e-9);
	free(labels);
	free(images);
	free(noise);
}

int main(int argc, char **argv) {
	const int columns = argc > 2 ? atoi(argv[2]) : 21, seeds = argc > 3 ? atoi(argv[3]) : 6;
	struct jf_model *model;

	if (argc < 2 || columns < 3 || columns > MAX_COLUMNS || seeds < 1) {
		fprintf(stderr, "usage: bench-morphs MODEL [COLUMNS [SEEDS]]\n");
		return 2;
	}
	model = jf_checkpoint_load(argv[1], &err);
	check(model);
	for (int spacing = 0; spacing < JF_N_SPACINGS; spacing++)
		measure(model, (enum jf_spacing)spacing, columns, seeds);
	jf_model_unref(model);
	return 0;
}
