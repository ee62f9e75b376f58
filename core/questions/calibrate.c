#include "core/questions/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 1000 /* images in memory as numbers at a time */

/* What the network sees in n images, every `step`-th of `order`: features out [n][jf_network_features()], labels out
 * [n] or NULL. */
static enum jf_err look(struct jf_model *model, float *features, uint16_t *labels, const struct jf_dataset *dataset,
    const uint32_t *order, size_t n, double step, const struct jf_task_options *options, struct jf_error *err) {
	size_t d = (size_t)jf_network_features(&model->config), size = jf_dataset_image_size(dataset);
	float *images = malloc(PIECE * size * sizeof(*images));
	float *probabilities = malloc(PIECE * (size_t)model->config.classes * sizeof(*probabilities));
	struct jf_task_options task = *options;
	enum jf_err rc = JF_OK;

	if (!images || !probabilities)
		rc = jf_error_set(err, JF_ENOMEM, "no memory for %d images", PIECE);
	for (size_t at = 0; rc == JF_OK && at < n; at += PIECE) {
		size_t count = n - at < PIECE ? n - at : PIECE;

		for (size_t i = 0; i < count; i++) {
			size_t index = order[(size_t)((double)(at + i) * step)];

			jf_dataset_image(dataset, index, images + i * size);
			if (labels)
				labels[at + i] = dataset->labels[index];
		}
		task.features = features + at * d;
		rc = jf_classify_posterior(model, probabilities, images, (int)count, 1, &task, err);
	}
	free(images);
	free(probabilities);
	return rc;
}

enum jf_err jf_calibrate(struct jf_model *model, const struct jf_dataset *dataset, const uint32_t *order,
    size_t n_train, size_t n_holdout, const struct jf_task_options *options, struct jf_error *err) {
	size_t n = n_train < JF_CALIBRATE_IMAGES ? n_train : JF_CALIBRATE_IMAGES;
	size_t most = n > n_holdout ? n : n_holdout;
	int d = jf_network_features(&model->config);
	struct jf_familiarity *familiarity = jf_familiarity_create(d, model->config.classes);
	float *features = malloc(most * (size_t)d * sizeof(*features) + 1);
	uint16_t *labels = malloc(n * sizeof(*labels) + 1);
	struct jf_task_options task = *options;
	enum jf_err rc = JF_OK;

	task.familiarity = NULL;
	if (!familiarity || !features || !labels)
		rc = jf_error_set(err, JF_ENOMEM, "no memory for what the network sees in %zu images", most);
	if (rc == JF_OK)
		rc = look(model, features, labels, dataset, order, n, n ? (double)n_train / (double)n : 1, &task, err);
	if (rc == JF_OK)
		rc = jf_familiarity_fit(familiarity, features, labels, n, err);
	if (rc == JF_OK)
		rc = look(model, features, NULL, dataset, order + n_train, n_holdout, 1, &task, err);
	if (rc == JF_OK)
		rc = jf_familiarity_calibrate(familiarity, features, n_holdout, err);
	if (rc == JF_OK) {
		jf_familiarity_destroy(model->familiarity);
		model->familiarity = familiarity;
		familiarity = NULL;
	}
	jf_familiarity_destroy(familiarity);
	free(features);
	free(labels);
	return rc;
}

/* P(label) of `n` joint samples, from their noises: out [n][K]. */
static enum jf_err read_prior(
    struct jf_model *model, float *out, int n, const struct jf_task_options *options, struct jf_error *err) {
	const struct jf_sampler_args args = {.solver = JF_SOLVER_EULER, .steps = 1, .guidance = 1.0f};
	struct jf_sampler *sampler = jf_sampler_create(model, JF_TASK_SAMPLE, options->batch, err);
	enum jf_err rc = sampler ? JF_OK : err->code;

	for (int at = 0; rc == JF_OK && at < n; at += options->batch) {
		struct jf_trajectory noise[JF_MAX_BATCH] = {0};
		int count = n - at < options->batch ? n - at : options->batch;

		for (int i = 0; i < count; i++)
			noise[i].index = (uint64_t)(at + i);
		if (options->cancel && *options->cancel)
			rc = jf_error_set(err, JF_ECANCELED, "cancelled after %d of %d noises", at, n);
		if (rc == JF_OK)
			rc = jf_sampler_begin(sampler, &args, noise, count, err);
		if (rc == JF_OK)
			rc = jf_sampler_prior(sampler, out + (size_t)at * (size_t)model->config.classes, err);
	}
	jf_sampler_destroy(sampler);
	return rc;
}

/* Iterative proportional fitting: bias_k += ln(share_k / mean over noises of softmax(ln p + bias)_k), which converges
 * since the likelihood of the shares is concave in the bias. weights: scratch [K]. */
static void fit_bias(float *bias, double *means, double *weights, const float *p, int n, const double *shares, int k) {
	for (int round = 0; round < 50; round++) {
		memset(means, 0, (size_t)k * sizeof(*means));
		for (int i = 0; i < n; i++) {
			double sum = 0;

			for (int j = 0; j < k; j++)
				sum += weights[j] = (double)p[(size_t)i * (size_t)k + (size_t)j] * exp((double)bias[j]);
			for (int j = 0; j < k; j++)
				means[j] += weights[j] / sum / n;
		}
		for (int j = 0; j < k; j++)
			bias[j] += (float)log(shares[j] / fmax(means[j], 1e-12));
	}
}

enum jf_err jf_calibrate_labels(struct jf_model *model, const struct jf_dataset *dataset, const uint32_t *order,
    size_t n_train, const struct jf_task_options *options, struct jf_error *err) {
	int n = n_train < JF_CALIBRATE_NOISES ? (int)n_train : JF_CALIBRATE_NOISES, k = model->config.classes;
	double *shares = calloc(3 * (size_t)k, sizeof(*shares));
	float *p = malloc((size_t)n * (size_t)k * sizeof(*p) + 1), *bias = calloc((size_t)k, sizeof(*bias));
	enum jf_err rc = JF_OK;

	if (n == 0)
		rc = jf_error_set(err, JF_EINVAL, "no images to count labels in");
	else if (!shares || !p || !bias)
		rc = jf_error_set(err, JF_ENOMEM, "no memory for the labels of %d noises", n);
	if (rc == JF_OK)
		rc = read_prior(model, p, n, options, err);
	if (rc == JF_OK) {
		double total = (double)n_train + 0.5 * k;

		for (int j = 0; j < k; j++)
			shares[j] = 0.5 / total;
		for (size_t i = 0; i < n_train; i++)
			shares[dataset->labels[order[i]]] += 1 / total;
		fit_bias(bias, shares + k, shares + 2 * k, p, n, shares, k);
		free(model->label_bias);
		model->label_bias = bias;
		bias = NULL;
	}
	free(shares);
	free(p);
	free(bias);
	return rc;
}
