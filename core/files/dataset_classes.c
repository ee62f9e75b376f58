/* Data sets: which images are held out, and how classes match. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files/dataset_read.h"

#define SPLIT_SEED 5000
#define MOST_HELD_OUT 5000
#define SPLIT_ROUND UINT32_MAX

/* counts[classes]: images of each class. */
static void count(const struct jf_dataset *dataset, size_t *counts) {
	memset(counts, 0, (size_t)dataset->classes * sizeof(*counts));
	for (size_t i = 0; i < dataset->n; i++)
		counts[dataset->labels[i]]++;
}

/* quota[k]: how many of class k are held out. The parts that rounding leaves go to the largest remainders. */
static void share_out(size_t *quota, const size_t *counts, int classes, size_t holdout, size_t n) {
	size_t given = 0;

	for (int k = 0; k < classes; k++) {
		quota[k] = (size_t)((unsigned __int128)counts[k] * holdout / n);
		given += quota[k];
	}
	for (; given < holdout; given++) {
		double most = -2;
		int best = 0;

		for (int k = 0; k < classes; k++) {
			double left = (double)counts[k] * (double)holdout / (double)n - (double)quota[k];

			if (quota[k] < counts[k] && left > most) {
				most = left;
				best = k;
			}
		}
		quota[best]++;
	}
}

size_t jf_dataset_holdout(size_t n) {
	return n / 10 < MOST_HELD_OUT ? n / 10 : MOST_HELD_OUT;
}

enum jf_err jf_dataset_split(uint32_t *order, const struct jf_dataset *dataset, size_t holdout, struct jf_error *err) {
	size_t n = dataset->n, classes = (size_t)dataset->classes, trained = 0, kept = n;
	size_t *counts = calloc(2 * classes, sizeof(*counts)), *quota = counts + classes;
	uint32_t *shuffled = malloc(n * sizeof(*shuffled));
	enum jf_err rc = JF_OK;

	if (!counts || !shuffled) {
		rc = jf_error_set(err, JF_ENOMEM, "out of memory for the order of %zu images", n);
		goto out;
	}
	count(dataset, counts);
	share_out(quota, counts, dataset->classes, holdout, n);
	jf_dataset_shuffle(shuffled, n, SPLIT_SEED, SPLIT_ROUND);
	for (size_t i = n; i-- > 0;) {
		uint16_t label = dataset->labels[shuffled[i]];

		if (quota[label] > 0) {
			quota[label]--;
			order[--kept] = shuffled[i];
			shuffled[i] = UINT32_MAX;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (shuffled[i] != UINT32_MAX)
			order[trained++] = shuffled[i];
out:
	free(counts);
	free(shuffled);
	return rc;
}

enum jf_err jf_dataset_check_labels(const struct jf_dataset *dataset, const char *name, struct jf_error *err) {
	size_t counts[JF_DATASET_MAX_CLASSES];
	int last = dataset->classes - 1, gap = 0;

	if (!dataset->numbered)
		return JF_OK;
	count(dataset, counts);
	while (gap < dataset->classes && counts[gap] > 0)
		gap++;
	if (gap == dataset->classes)
		return JF_OK;
	if (gap == 0)
		return jf_error_set(err, JF_EINVAL,
		    "%s: no image has label 0, the largest is %d: labels must count from 0. Subtract the first, or "
		    "name all %d classes in %s beside it, one a line",
		    name, last, dataset->classes, JF_DATASET_CLASS_NAMES);
	return jf_error_set(err, JF_EINVAL,
	    "%s: %zu image%s the label %d, and no image has label %d: labels must count from 0 without gaps. Mend or "
	    "leave out those images, or name all %d classes in %s beside it, one a line",
	    name, counts[last], counts[last] == 1 ? " has" : "s have", last, gap, dataset->classes,
	    JF_DATASET_CLASS_NAMES);
}

static void list_names(char *out, size_t size, char *const *names, int n) {
	size_t used = 0;

	*out = '\0';
	for (int i = 0; i < n && i < 12 && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", names[i]);
	if (n > 12 && used < size)
		snprintf(out + used, size - used, " ... %d in all", n);
}

/* which[k]: the model's class of the data set's class k. */
static enum jf_err find_classes(int *which, const struct jf_dataset *dataset, char *const *class_names, int classes,
    const char *name, struct jf_error *err) {
	char known[256];

	for (int k = 0; k < dataset->classes; k++) {
		which[k] = dataset->numbered && k < classes ? k : -1;
		for (int j = 0; j < classes && which[k] < 0; j++)
			if (strcmp(class_names[j], dataset->class_names[k]) == 0)
				which[k] = j;
		if (which[k] < 0) {
			list_names(known, sizeof(known), class_names, classes);
			return jf_error_set(err, JF_EINVAL,
			    "%s: class '%s' is not one of the model's (%s); rename it or leave it out", name,
			    dataset->class_names[k], known);
		}
	}
	return JF_OK;
}

enum jf_err jf_dataset_match(
    struct jf_dataset *dataset, char *const *class_names, int classes, const char *name, struct jf_error *err) {
	int which[JF_DATASET_MAX_CLASSES];
	char **names;
	enum jf_err rc = find_classes(which, dataset, class_names, classes, name, err);

	if (rc != JF_OK)
		return rc;
	names = calloc((size_t)classes, sizeof(*names));
	for (int k = 0; names && k < classes; k++)
		if (!(names[k] = strdup(class_names[k]))) {
			while (k-- > 0)
				free(names[k]);
			free(names);
			names = NULL;
			break;
		}
	if (!names)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory for class names", name);
	for (size_t i = 0; i < dataset->n; i++)
		dataset->labels[i] = (uint16_t)which[dataset->labels[i]];
	for (int k = 0; k < dataset->classes; k++)
		free(dataset->class_names[k]);
	free(dataset->class_names);
	dataset->class_names = names;
	dataset->classes = classes;
	dataset->numbered = false;
	return JF_OK;
}

enum jf_err jf_dataset_append(
    struct jf_dataset *dataset, const struct jf_dataset *more, const char *name, struct jf_error *err) {
	size_t size = jf_dataset_image_size(dataset), n = dataset->n + more->n;
	uint8_t *pixels;
	uint16_t *labels;

	if (more->height != dataset->height || more->width != dataset->width || more->channels != dataset->channels)
		return jf_error_set(err, JF_EINVAL,
		    "%s: pictures of %d x %d with %d channel(s), where training has %d x %d with %d", name, more->width,
		    more->height, more->channels, dataset->width, dataset->height, dataset->channels);
	if (n > JF_DATASET_MAX_IMAGES)
		return jf_error_set(err, JF_ELIMIT, "%s: more than %zu images", name, JF_DATASET_MAX_IMAGES);
	pixels = realloc(dataset->pixels, n * size);
	dataset->pixels = pixels ? pixels : dataset->pixels;
	labels = pixels ? realloc(dataset->labels, n * sizeof(*labels)) : NULL;
	dataset->labels = labels ? labels : dataset->labels;
	if (!labels)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory for %zu images", name, n);
	memcpy(pixels + dataset->n * size, more->pixels, more->n * size);
	memcpy(labels + dataset->n, more->labels, more->n * sizeof(*labels));
	dataset->n = n;
	return jf_dataset_finish(dataset, err);
}
