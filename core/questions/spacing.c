#include "core/questions/spacing.h"

#include <math.h>
#include <stdlib.h>

/* Seven to begin with, so that no change between two of them is overlooked, then four at a time where it is. */
static const int stage_probes[JF_SPACING_STAGES] = {7, 4, 4, 4};

bool jf_spacing_is_measured(const struct jf_blend *blend) {
	return blend->spacing == JF_SPACING_EVEN && !blend->matrix && blend->columns > 2 && blend->from != blend->to;
}

int jf_spacing_stage_probes(int stage) {
	return stage_probes[stage];
}

int jf_spacing_stage_first(int stage) {
	int first = 0;

	for (int i = 0; i < stage; i++)
		first += stage_probes[i];
	return first;
}

void jf_spacing_begin(struct jf_spacing_row *row) {
	*row = (struct jf_spacing_row){.n = stage_probes[0]};
	for (int i = 0; i < row->n; i++)
		row->weight[i] = (float)i / (float)(row->n - 1);
}

/* How far apart two pictures are. Clamped and rounded to grey levels, so that only what can be seen counts. */
static float distance(const float *a, const float *b, size_t size) {
	double sum = 0.0;

	for (size_t i = 0; i < size; i++) {
		double left = fmin(fmax((double)a[i], -1.0), 1.0), right = fmin(fmax((double)b[i], -1.0), 1.0);
		double levels = nearbyint(127.5 * left) - nearbyint(127.5 * right);

		sum += levels * levels;
	}
	return (float)sqrt(sum / (double)size);
}

/* order out [n]: indices of rising weights. */
static void sort(int *order, const struct jf_spacing_row *row) {
	for (int i = 0; i < row->n; i++) {
		int at = i;

		for (; at > 0 && row->weight[order[at - 1]] > row->weight[i]; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

/* Halves the widest gap, `count` times; a half is taken for half as wide until it has been measured. between
 * [n - 1]: how far apart the neighbours in `order` are. */
static void add_weights(struct jf_spacing_row *row, const int *order, const float *between, int count) {
	float at[JF_SPACING_PROBES], gap[JF_SPACING_PROBES], end[JF_SPACING_PROBES];
	int n = row->n - 1;

	for (int i = 0; i < n; i++) {
		at[i] = row->weight[order[i]];
		end[i] = row->weight[order[i + 1]];
		gap[i] = between[i];
	}
	for (int i = 0; i < count; i++) {
		int widest = jf_argmax(gap, n);
		float middle = 0.5f * (at[widest] + end[widest]);

		gap[widest] *= 0.5f;
		at[n] = middle;
		end[n] = end[widest];
		gap[n++] = gap[widest];
		end[widest] = middle;
		row->weight[row->n++] = middle;
	}
}

static void finish(struct jf_spacing_row *row, const int *order, const float *between) {
	struct jf_spacing_row sorted = {.n = row->n, .complete = true};
	double all = 0.0, far = 0.0;

	for (int i = 0; i < row->n - 1; i++)
		all += (double)between[i];
	for (int i = 0; i < row->n; i++) {
		sorted.weight[i] = row->weight[order[i]];
		sorted.far[i] = all > 0.0 ? (float)(far / all) : 0.0f;
		far += i < row->n - 1 ? (double)between[i] : 0.0;
	}
	*row = sorted;
}

void jf_spacing_measure(struct jf_spacing_row *row, const float *const *images, size_t size) {
	float between[JF_SPACING_PROBES];
	int order[JF_SPACING_PROBES], stage = 0;

	sort(order, row);
	for (int i = 0; i < row->n - 1; i++)
		between[i] = distance(images[order[i]], images[order[i + 1]], size);
	while (stage < JF_SPACING_STAGES && jf_spacing_stage_first(stage) < row->n)
		stage++;
	if (stage < JF_SPACING_STAGES)
		add_weights(row, order, between, stage_probes[stage]);
	else
		finish(row, order, between);
}

/* The weight at which the picture has gone `goal` of the way. */
static float weight_at(const struct jf_spacing_row *row, float goal) {
	const int last = row->n - 1;
	int i = 0;
	float gap;

	if (!(row->far[last] > 0.0f))
		return goal; /* no change to go by */
	while (i < last - 1 && row->far[i + 1] <= goal)
		i++;
	gap = row->far[i + 1] - row->far[i];
	if (!(gap > 0.0f))
		return row->weight[i];
	return row->weight[i] + (row->weight[i + 1] - row->weight[i]) * fminf((goal - row->far[i]) / gap, 1.0f);
}

void jf_spacing_place(float *labels, const struct jf_spacing_row *row, const struct jf_blend *blend, int classes) {
	const int last = blend->columns - 1;

	for (int c = 0; c <= last; c++) {
		/* the ends are the classes themselves, also where the picture stands still beside them */
		float weight = c == 0 ? 0.0f : c == last ? 1.0f : weight_at(row, (float)c / (float)last);

		jf_label_mix(labels + (size_t)c * (size_t)classes, blend->from, blend->to, weight, classes);
	}
}

/* --- for programs without a scheduler --- */

/* Draws what all rows ask for in this stage, and measures. images [rows][JF_SPACING_PROBES][size]. */
static enum jf_err run_stage(struct jf_spacing_row *rows, float *images, float *labels, uint64_t *noise,
    struct jf_model *model, const struct jf_blend *blend, int stage, const struct jf_task_options *options,
    struct jf_error *err) {
	const size_t size = jf_network_image_floats(&model->config);
	const int first = jf_spacing_stage_first(stage), n = jf_spacing_stage_probes(stage);
	const int classes = model->config.classes;
	enum jf_err rc = JF_OK;

	for (int r = 0; r < blend->rows && rc == JF_OK; r++) {
		const float *all[JF_SPACING_PROBES];
		float *of_row = images + (size_t)r * JF_SPACING_PROBES * size;

		for (int i = 0; i < n; i++) {
			jf_label_mix(labels + (size_t)i * (size_t)classes, blend->from, blend->to,
			    rows[r].weight[first + i], classes);
			noise[i] = (uint64_t)r;
		}
		rc = jf_generate(model, of_row + (size_t)first * size, labels, noise, n, options, err);
		for (int i = 0; i < first + n; i++)
			all[i] = of_row + (size_t)i * size;
		if (rc == JF_OK)
			jf_spacing_measure(&rows[r], all, size);
	}
	return rc;
}

enum jf_err jf_spacing_fill(float *labels, uint64_t *noise, struct jf_model *model, const struct jf_blend *blend,
    const struct jf_task_options *options, struct jf_error *err) {
	const size_t rows = (size_t)blend->rows, classes = (size_t)model->config.classes;
	const size_t size = jf_network_image_floats(&model->config);
	struct jf_task_options quiet = *options;
	struct jf_spacing_row *measured = calloc(rows, sizeof(*measured));
	float *images = calloc(rows * JF_SPACING_PROBES * size, sizeof(*images));
	float *probes = calloc(JF_SPACING_PROBES * classes, sizeof(*probes));
	uint64_t same[JF_SPACING_PROBES];
	enum jf_err rc = JF_OK;

	jf_blend_fill(labels, noise, blend, (int)classes);
	if (!jf_spacing_is_measured(blend))
		goto out;
	if (!measured || !images || !probes) {
		rc = jf_error_set(err, JF_ENOMEM, "no memory to measure %d rows", blend->rows);
		goto out;
	}
	quiet.progress = NULL; /* it counts the pictures that were asked for */
	for (size_t r = 0; r < rows; r++)
		jf_spacing_begin(&measured[r]);
	for (int stage = 0; stage < JF_SPACING_STAGES && rc == JF_OK; stage++)
		rc = run_stage(measured, images, probes, same, model, blend, stage, &quiet, err);
	for (size_t r = 0; r < rows && rc == JF_OK; r++)
		jf_spacing_place(labels + r * (size_t)blend->columns * classes, &measured[r], blend, (int)classes);
out:
	free(measured);
	free(images);
	free(probes);
	return rc;
}
