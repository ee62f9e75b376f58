#include "core/questions/calibrate.h"

#include <stdlib.h>

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
