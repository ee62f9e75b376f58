#include "config.h"

#include "core/files/dataset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/rng.h"
#include "core/files/dataset_read.h"
#include "core/pictures/image.h"

size_t jf_dataset_image_size(const struct jf_dataset *dataset) {
	return (size_t)dataset->height * (size_t)dataset->width * (size_t)dataset->channels;
}

void jf_dataset_image(const struct jf_dataset *dataset, size_t index, float *out) {
	size_t size = jf_dataset_image_size(dataset);

	jf_bytes_to_floats(out, dataset->pixels + index * size, size);
}

void jf_dataset_deinit(struct jf_dataset *dataset) {
	if (dataset->class_names)
		for (int i = 0; i < dataset->classes; i++)
			free(dataset->class_names[i]);
	free(dataset->class_names);
	free(dataset->labels);
	free(dataset->pixels);
	memset(dataset, 0, sizeof(*dataset));
}

enum jf_err jf_dataset_check_shape(int height, int width, int channels, const char *name, struct jf_error *err) {
	if (height < 8 || height > 256 || width < 8 || width > 256 || height % 4 || width % 4)
		return jf_error_set(err, JF_EINVAL,
		    "%s: images of %d x %d pixels; each side must be a multiple of 4 from 8 to 256", name, width,
		    height);
	if (channels != 1 && channels != 3)
		return jf_error_set(
		    err, JF_EINVAL, "%s: %d channels; there must be 1 (grey) or 3 (RGB)", name, channels);
	return JF_OK;
}

enum jf_err jf_dataset_default_names(struct jf_dataset *out, struct jf_error *err) {
	char number[16];

	out->numbered = !out->class_names;
	if (!out->class_names)
		out->class_names = calloc((size_t)out->classes, sizeof(*out->class_names));
	if (!out->class_names)
		return jf_error_set(err, JF_ENOMEM, "out of memory for class names");
	for (int i = 0; i < out->classes; i++) {
		snprintf(number, sizeof(number), "%d", i);
		if (!out->class_names[i] && !(out->class_names[i] = strdup(number)))
			return jf_error_set(err, JF_ENOMEM, "out of memory for class names");
	}
	return JF_OK;
}

/* The name of class i, from a file; a line more than the labels have classes is one more class. */
static enum jf_err set_class_name(
    struct jf_dataset *out, int i, const char *name, const char *path, struct jf_error *err) {
	if (i >= JF_DATASET_MAX_CLASSES)
		return jf_error_set(err, JF_ELIMIT, "%s: more than %d names", path, JF_DATASET_MAX_CLASSES);
	if (i >= out->classes) {
		char **more = realloc(out->class_names, (size_t)(i + 1) * sizeof(*more));

		if (!more)
			return jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
		out->class_names = more;
		more[i] = NULL;
		out->classes = i + 1;
	}
	free(out->class_names[i]);
	out->class_names[i] = strdup(name);
	return out->class_names[i] ? JF_OK : jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
}

static enum jf_err read_class_names(struct jf_dataset *out, const char *path, struct jf_error *err) {
	char line[256];
	enum jf_err rc = JF_OK;
	int i = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		return errno == ENOENT ? JF_OK : jf_error_set(err, JF_EIO, "%s: %s", path, strerror(errno));
	out->numbered = false;
	while (rc == JF_OK && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0])
			rc = set_class_name(out, i++, line, path, err);
	}
	if (rc == JF_OK && ferror(file))
		rc = jf_error_set(err, JF_EIO, "%s: %s", path, strerror(errno));
	fclose(file);
	if (rc == JF_OK && i < out->classes)
		rc = jf_error_set(
		    err, JF_EFORMAT, "%s: %d names, but the labels have %d classes", path, i, out->classes);
	return rc;
}

enum jf_err jf_dataset_finish(struct jf_dataset *out, struct jf_error *err) {
	uint32_t sizes[5] = {(uint32_t)out->height, (uint32_t)out->width, (uint32_t)out->channels,
	    (uint32_t)out->classes, (uint32_t)out->n};
	struct jf_digest *digest = jf_digest_create();

	if (!digest)
		return jf_error_set(err, JF_ENOMEM, "out of memory for a digest");
	jf_digest_update(digest, sizes, sizeof(sizes));
	for (int i = 0; i < out->classes; i++)
		jf_digest_update(digest, out->class_names[i], strlen(out->class_names[i]) + 1);
	jf_digest_update(digest, out->labels, out->n * sizeof(*out->labels));
	jf_digest_update(digest, out->pixels, out->n * jf_dataset_image_size(out));
	jf_digest_hex(digest, out->digest);
	jf_digest_destroy(digest);
	return JF_OK;
}

/* Brings all images into the form. */
static enum jf_err reshape(struct jf_dataset *dataset, const struct jf_dataset_form *form, struct jf_error *err) {
	struct jf_dataset_form whole = form ? *form : (struct jf_dataset_form){0};
	size_t from = jf_dataset_image_size(dataset), to;
	uint8_t *pixels;
	enum jf_err rc = JF_OK;

	whole.height = whole.height ? whole.height : dataset->height;
	whole.width = whole.width ? whole.width : dataset->width;
	whole.channels = whole.channels ? whole.channels : dataset->channels;
	if (whole.height == dataset->height && whole.width == dataset->width && whole.channels == dataset->channels)
		return JF_OK;
	to = (size_t)whole.height * (size_t)whole.width * (size_t)whole.channels;
	pixels = malloc(dataset->n * to);
	if (!pixels)
		return jf_error_set(err, JF_ENOMEM, "out of memory for %zu images of another size", dataset->n);
	for (size_t i = 0; rc == JF_OK && i < dataset->n; i++) {
		struct jf_image image = {
		    dataset->height, dataset->width, dataset->channels, dataset->pixels + i * from};

		rc = jf_dataset_fit(pixels + i * to, &image, &whole, err);
	}
	free(dataset->pixels);
	dataset->pixels = pixels;
	dataset->height = whole.height;
	dataset->width = whole.width;
	dataset->channels = whole.channels;
	return rc;
}

/* The images as the file has them are in *out: into the form, and whether the network can take that. */
static enum jf_err take_form(
    struct jf_dataset *out, const struct jf_dataset_form *form, const char *name, struct jf_error *err) {
	enum jf_err rc = reshape(out, form, err);

	if (rc == JF_OK)
		rc = jf_dataset_check_shape(out->height, out->width, out->channels, name, err);
	if (rc == JF_OK)
		rc = jf_dataset_finish(out, err);
	return rc;
}

static enum jf_err load_files(struct jf_dataset *out, const char *images_path, const char *labels_path,
    enum jf_dataset_part part, const struct jf_dataset_form *form, struct jf_error *err) {
	const char *slash = strrchr(images_path, '/');
	char *names = NULL;
	bool single;
	enum jf_err rc;

	memset(out, 0, sizeof(*out));
	rc = jf_dataset_is_npy(images_path) ? jf_dataset_read_npy(out, images_path, labels_path, part, err)
					    : jf_dataset_read_idx(out, images_path, labels_path, err);
	/* whatever is named beside them; what is only measured may be of one class */
	single = out->classes < 2 && part == JF_DATASET_TRAIN;
	if (rc == JF_OK && asprintf(&names, "%.*s%s", slash ? (int)(slash + 1 - images_path) : 0, images_path,
			       JF_DATASET_CLASS_NAMES) < 0) {
		names = NULL;
		rc = jf_error_set(err, JF_ENOMEM, "out of memory for a path");
	}
	if (rc == JF_OK)
		rc = read_class_names(out, names, err);
	if (rc == JF_OK)
		rc = take_form(out, form, images_path, err);
	if (rc == JF_OK && single)
		rc = jf_error_set(
		    err, JF_EINVAL, "%s: all labels are the same; at least 2 classes are needed", images_path);
	free(names);
	if (rc != JF_OK)
		jf_dataset_deinit(out);
	return rc;
}

enum jf_err jf_dataset_load_pair(struct jf_dataset *out, const char *images_path, const char *labels_path,
    const struct jf_dataset_form *form, struct jf_error *err) {
	return load_files(out, images_path, labels_path, JF_DATASET_TRAIN, form, err);
}

static enum jf_err load_folder(struct jf_dataset *out, const char *path, enum jf_dataset_part part,
    const struct jf_dataset_form *form, struct jf_error *err) {
	char *folder = NULL;
	enum jf_err rc = jf_dataset_find_part(&folder, path, part, err);

	if (rc == JF_OK && !jf_dataset_has_class_folders(folder, part == JF_DATASET_TRAIN ? 2 : 1))
		rc = jf_error_set(err, JF_EEMPTY,
		    "%s: neither IDX files (%s-images-idx3-ubyte, plain or .gz) nor sub-folders of pictures", folder,
		    part == JF_DATASET_TRAIN ? "train" : "t10k");
	if (rc == JF_OK)
		rc = jf_dataset_read_folder(out, folder, form, err);
	if (rc == JF_OK)
		rc = jf_dataset_finish(out, err);
	free(folder);
	if (rc != JF_OK)
		jf_dataset_deinit(out);
	return rc;
}

enum jf_err jf_dataset_load(struct jf_dataset *out, const char *path, enum jf_dataset_part part,
    const struct jf_dataset_form *form, struct jf_error *err) {
	struct stat status;
	char *images = NULL;
	enum jf_err rc;

	memset(out, 0, sizeof(*out));
	if (stat(path, &status) != 0)
		return jf_error_set(err, JF_EIO, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(status.st_mode))
		return load_files(out, path, NULL, part, form, err);
	rc = jf_dataset_find_idx(&images, path, part, err);
	if (rc != JF_OK)
		return rc;
	if (!images)
		return load_folder(out, path, part, form, err);
	rc = load_files(out, images, NULL, part, form, err);
	free(images);
	return rc;
}

void jf_dataset_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t round) {
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		uint64_t bits = jf_rng_bits(seed, JF_STREAM_ORDER, (uint64_t)round << 32 | (uint64_t)i);
		size_t j = (size_t)((unsigned __int128)bits * i >> 64); /* uniform in 0 .. i - 1 */
		uint32_t kept = order[i - 1];

		order[i - 1] = order[j];
		order[j] = kept;
	}
}
