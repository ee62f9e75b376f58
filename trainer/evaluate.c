#include "trainer/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/pictures/png.h"
#include "core/pictures/sheet.h"
#include "core/questions/tasks.h"
#include "trainer/log.h"

#define SEED 2       /* of evaluations: always the same noise, so that their results compare */
#define PIECE 2048   /* images held as floats at a time */
#define FEW_ERRORS 5 /* wrong answers that count as much as the belief that no temperature is needed */
#define SLACK 0.1    /* of a loss, see jf_evaluate_slack */
#define MAX_ROWS 20
#define MAX_COLUMNS 20

static struct jf_task_options task_options(const struct jf_evaluate_options *options) {
	struct jf_task_options task = jf_task_options_default();

	task.threads = options->threads;
	task.sampler.steps = options->steps;
	task.seed = SEED;
	task.cancel = options->cancel;
	return task;
}

static double commonest(const uint16_t *labels, size_t n, int classes) {
	size_t most = 0;

	for (int k = 0; k < classes; k++) {
		size_t count = 0;

		for (size_t i = 0; i < n; i++)
			count += labels[i] == k;
		most = count > most ? count : most;
	}
	return (double)most / (double)n;
}

/* A temperature is known as well as there are wrong answers to know it by: where all are right, the colder the better,
 * which is true of these images and of no others. So few errors pull it towards 1; and the loss by which states are
 * compared takes from a temperature what it mends in a network that is too sure, nothing else. */
static enum jf_err fit(struct jf_evaluation *out, const float *probabilities, const uint16_t *labels, size_t n,
    int classes, struct jf_error *err) {
	double wrong = (1 - out->posterior.accuracy) * (double)n;
	float best;
	enum jf_err rc = jf_metrics_fit_temperature(&best, &out->loss, probabilities, labels, n, classes, err);

	if (rc != JF_OK)
		return rc;
	out->temperature = powf(best, (float)(wrong / (wrong + FEW_ERRORS)));
	if (best <= 1)
		out->loss = out->posterior.nll;
	return JF_OK;
}

/* Posterior of all, label ODE of the first options->ode; piece by piece. */
static enum jf_err classify(struct jf_evaluation *out, struct jf_model *model, const struct jf_dataset *dataset,
    const uint32_t *order, size_t n, const struct jf_evaluate_options *options, struct jf_error *err) {
	size_t classes = (size_t)model->config.classes, size = jf_dataset_image_size(dataset);
	size_t piece = n < PIECE ? n : PIECE, ode = 0, right = 0;
	double drawn = 0;
	float *probabilities = malloc(n * classes * sizeof(*probabilities));
	float *images = malloc(piece * size * sizeof(*images));
	int *votes = malloc(piece * classes * sizeof(*votes));
	uint16_t *labels = malloc(n * sizeof(*labels));
	struct jf_task_options task = task_options(options);
	enum jf_err rc = JF_OK;

	if (!probabilities || !images || !votes || !labels)
		rc = jf_error_set(err, JF_ENOMEM, "out of memory for an evaluation of %zu images", n);
	for (size_t at = 0; rc == JF_OK && at < n; at += piece) {
		size_t count = n - at < piece ? n - at : piece;
		size_t integrate = (size_t)options->ode > at ? (size_t)options->ode - at : 0;

		integrate = integrate < count ? integrate : count;
		for (size_t i = 0; i < count; i++) {
			size_t index = order ? order[at + i] : at + i;

			jf_dataset_image(dataset, index, images + i * size);
			labels[at + i] = dataset->labels[index];
		}
		task.first_index = at;
		rc = jf_classify_posterior(model, probabilities + at * classes, images, (int)count, 1, &task, err);
		if (rc == JF_OK && integrate)
			rc = jf_classify_sample(model, votes, NULL, NULL, images, (int)integrate, 1, &task, err);
		for (size_t i = 0; rc == JF_OK && i < integrate; i++) {
			right += votes[i * classes + labels[at + i]] == 1;
			drawn += (double)probabilities[(at + i) * classes + labels[at + i]];
		}
		ode += integrate;
	}
	if (rc == JF_OK) {
		jf_metrics_compute(&out->posterior, options->confusion, probabilities, labels, n, (int)classes);
		out->ode_accuracy = ode ? (double)right / (double)ode : NAN;
		out->draw_accuracy = ode ? drawn / (double)ode : NAN;
		out->commonest = commonest(labels, n, dataset->classes);
		rc = fit(out, probabilities, labels, n, (int)classes, err);
	}
	free(labels);
	free(votes);
	free(images);
	free(probabilities);
	return rc;
}

static enum jf_err draw(struct jf_evaluation *out, float **drawn, struct jf_model *model,
    const struct jf_dataset *dataset, const struct jf_evaluate_options *options, struct jf_error *err) {
	size_t classes = (size_t)model->config.classes, n = classes * (size_t)options->drawn;
	float *images = malloc(n * jf_dataset_image_size(dataset) * sizeof(*images));
	float *labels = malloc(n * classes * sizeof(*labels));
	struct jf_task_options task = task_options(options);
	size_t agree = 0;
	enum jf_err rc = JF_OK;

	task.sampler.solver = jf_solver_default(JF_TASK_GENERATE);
	if (!images || !labels)
		rc = jf_error_set(err, JF_ENOMEM, "out of memory for %zu drawn images", n);
	for (size_t i = 0; rc == JF_OK && i < n; i++)
		jf_label_one_hot(labels + i * classes, (int)(i / (size_t)options->drawn), (int)classes);
	if (rc == JF_OK)
		rc = jf_generate(model, images, labels, NULL, (int)n, &task, err);
	if (rc == JF_OK) /* the labels' memory takes the probabilities */
		rc = jf_classify_posterior(model, labels, images, (int)n, 1, &task, err);
	for (size_t i = 0; rc == JF_OK && i < n; i++)
		agree += jf_argmax(labels + i * classes, (int)classes) == (int)(i / (size_t)options->drawn);
	if (rc == JF_OK)
		out->drawn_agreement = (double)agree / (double)n;
	free(labels);
	if (rc == JF_OK && drawn)
		*drawn = images;
	else
		free(images);
	return rc;
}

enum jf_err jf_evaluate(struct jf_evaluation *out, float **drawn, struct jf_model *model,
    const struct jf_dataset *dataset, const uint32_t *order, size_t n, const struct jf_evaluate_options *options,
    struct jf_error *err) {
	double begin = jf_clock_s();
	enum jf_err rc = JF_OK;

	memset(out, 0, sizeof(*out));
	out->temperature = 1;
	out->ode_accuracy = out->draw_accuracy = out->drawn_agreement = NAN;
	if (drawn)
		*drawn = NULL;
	if (n > 0)
		rc = classify(out, model, dataset, order, n, options, err);
	if (rc == JF_OK && options->drawn > 0)
		rc = draw(out, drawn, model, dataset, options, err);
	out->seconds = jf_clock_s() - begin;
	return rc;
}

double jf_evaluate_slack(double least, int classes) {
	double learnt = 1 - least / log(classes);

	return learnt > 0 ? SLACK * least * learnt : 0;
}

enum jf_err jf_evaluate_sheet(
    const char *path, const float *drawn, const struct jf_dataset *dataset, int per_class, struct jf_error *err) {
	int rows = dataset->classes < MAX_ROWS ? dataset->classes : MAX_ROWS;
	int columns = per_class < MAX_COLUMNS ? per_class : MAX_COLUMNS;
	size_t size = jf_dataset_image_size(dataset);
	struct jf_sheet_options options = jf_sheet_options_default();
	float *images = malloc((size_t)rows * (size_t)columns * size * sizeof(*images));
	struct jf_image sheet;
	enum jf_err rc;

	if (!images)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
	for (int i = 0; i < rows * columns; i++)
		memcpy(images + (size_t)i * size, drawn + (size_t)(i / columns * per_class + i % columns) * size,
		    size * sizeof(*images));
	options.columns = columns;
	options.scale = 2;
	rc =
	    jf_sheet(&sheet, images, rows * columns, dataset->height, dataset->width, dataset->channels, &options, err);
	if (rc == JF_OK) {
		rc = jf_png_write(&sheet, path, err);
		jf_image_deinit(&sheet);
	}
	free(images);
	return rc;
}
