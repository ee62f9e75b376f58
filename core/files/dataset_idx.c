/* IDX data sets: finding the files, pairing images with labels, EMNIST's peculiarities. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/files/dataset_read.h"
#include "core/files/idx.h"

static const char *base_name(const char *path) {
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Whether a file name is one under which images are published for `part`:
 * "[emnist-SPLIT-]train-images-idx3-ubyte[.gz]", also "images.idx3" (as some unpackers write it); "t10k" and "test"
 * both mean the test set. */
static bool is_images(const char *name, enum jf_dataset_part part) {
	const char *at = strstr(name, "images");
	size_t length;

	if (!at || (strncmp(at + 6, "-idx", 4) != 0 && strncmp(at + 6, ".idx", 4) != 0) || name[0] == '.')
		return false;
	length = (size_t)(at - name);
	if (part == JF_DATASET_TRAIN)
		return length >= 6 && strncmp(at - 6, "train-", 6) == 0;
	return length >= 5 && (strncmp(at - 5, "t10k-", 5) == 0 || strncmp(at - 5, "test-", 5) == 0);
}

/* Length of a name without ".gz": a file and its packed twin are one data set. */
static size_t stem(const char *name) {
	size_t length = strlen(name);

	return length > 3 && strcmp(name + length - 3, ".gz") == 0 ? length - 3 : length;
}

enum jf_err jf_dataset_find_idx(char **found, const char *path, enum jf_dataset_part part, struct jf_error *err) {
	char *best = NULL;
	enum jf_err rc = JF_OK;
	struct dirent *entry;
	DIR *folder = opendir(path);

	*found = NULL;
	if (!folder)
		return jf_error_set(err, JF_EIO, "%s: %s", path, strerror(errno));
	while (rc == JF_OK && (entry = readdir(folder))) {
		if (!is_images(entry->d_name, part))
			continue;
		if (best && (stem(best) != stem(entry->d_name) || strncmp(best, entry->d_name, stem(best)) != 0)) {
			rc = jf_error_set(err, JF_EINVAL,
			    "%s: holds several data sets (%s, %s); name the file of images", path, best, entry->d_name);
		} else if (!best || strlen(entry->d_name) < strlen(best)) { /* unpacked goes first */
			free(best);
			if (!(best = strdup(entry->d_name)))
				rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
		}
	}
	closedir(folder);
	if (rc == JF_OK && best && asprintf(found, "%s/%s", path, best) < 0) {
		*found = NULL;
		rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
	}
	free(best);
	return rc;
}

static bool readable(const char *path) {
	FILE *file = fopen(path, "re");

	if (file)
		fclose(file);
	return file != NULL;
}

/* ".../train-images-idx3-ubyte.gz" -> ".../train-labels-idx1-ubyte.gz"; packed images may have unpacked labels and the
 * other way round. */
static enum jf_err labels_path_of(char **labels, const char *images, struct jf_error *err) {
	const char *at = strstr(base_name(images), "images");
	size_t length = stem(images);
	bool packed = length < strlen(images);
	char *path = NULL;

	if (!at || (strncmp(at + 7, "idx3", 4) != 0 && strncmp(at + 7, "idx4", 4) != 0))
		return jf_error_set(err, JF_EINVAL,
		    "%s: cannot tell the name of the labels from it (no \"images-idx3\" inside); name both files",
		    images);
	if (asprintf(&path, "%.*slabels%cidx1%.*s.gz", (int)(at - images), images, at[6],
		(int)(images + length - at) - 11, at + 11) < 0)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory", images);
	length = stem(path);
	if (!packed)
		path[length] = '\0';
	if (!readable(path)) {
		path[length] = packed ? '\0' : '.';
		if (!readable(path)) /* neither: the message shall name the likelier one */
			path[length] = packed ? '.' : '\0';
	}
	*labels = path;
	return JF_OK;
}

/* Row-major -> upright: EMNIST stores every image transposed. */
static void transpose(unsigned char *image, size_t side) {
	for (size_t i = 0; i < side; i++)
		for (size_t j = i + 1; j < side; j++) {
			unsigned char kept = image[i * side + j];

			image[i * side + j] = image[j * side + i];
			image[j * side + i] = kept;
		}
}

static enum jf_err take_images(struct jf_dataset *out, const char *path, bool emnist, struct jf_error *err) {
	struct jf_idx idx;
	enum jf_err rc = jf_idx_read(&idx, path, err);
	size_t size;

	if (rc != JF_OK)
		return rc;
	if (idx.rank != 3 && idx.rank != 4) {
		rc = jf_error_set(
		    err, JF_EFORMAT, "%s: IDX rank %d; images have rank 3, or 4 with channels", path, idx.rank);
		goto out;
	}
	if (idx.shape[0] > JF_DATASET_MAX_IMAGES || idx.shape[1] > 65535 || idx.shape[2] > 65535 ||
	    (idx.rank == 4 && idx.shape[3] > 65535)) {
		rc = jf_error_set(err, JF_ELIMIT, "%s: too many images, or too large", path);
		goto out;
	}
	out->n = idx.shape[0];
	out->height = (int)idx.shape[1];
	out->width = (int)idx.shape[2];
	out->channels = idx.rank == 4 ? (int)idx.shape[3] : 1;
	if (out->channels != 1 && out->channels != 3) {
		rc = jf_dataset_check_shape(8, 8, out->channels, path, err);
		goto out;
	}
	size = jf_dataset_image_size(out);
	out->pixels = idx.memory; /* taken over; the header at its front is moved away */
	memmove(out->pixels, idx.values, out->n * size);
	idx.memory = NULL;
	if (emnist && out->height == out->width && out->channels == 1)
		for (size_t i = 0; i < out->n; i++)
			transpose(out->pixels + i * size, (size_t)out->height);
out:
	jf_idx_deinit(&idx);
	return rc;
}

static enum jf_err take_labels(struct jf_dataset *out, const char *path, int first, struct jf_error *err) {
	struct jf_idx idx;
	enum jf_err rc = jf_idx_read(&idx, path, err);
	int most = 0;

	if (rc != JF_OK)
		return rc;
	if (idx.rank != 1) {
		rc = jf_error_set(err, JF_EFORMAT, "%s: IDX rank %d; labels have rank 1", path, idx.rank);
		goto out;
	}
	if (idx.shape[0] != out->n) {
		rc = jf_error_set(err, JF_EFORMAT, "%s: %zu labels for %zu images", path, idx.shape[0], out->n);
		goto out;
	}
	out->labels = malloc(out->n * sizeof(*out->labels));
	if (!out->labels) {
		rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
		goto out;
	}
	for (size_t i = 0; i < out->n; i++) {
		int label = idx.values[i] - first;

		if (label < 0) {
			rc = jf_error_set(err, JF_EFORMAT, "%s: label %d of image %zu is below the first class, %d",
			    path, idx.values[i], i, first);
			goto out;
		}
		out->labels[i] = (uint16_t)label;
		most = label > most ? label : most;
	}
	out->classes = most + 1;
out:
	jf_idx_deinit(&idx);
	return rc;
}

/* EMNIST's "emnist-SPLIT-mapping.txt": lines "label code [code]"; the first code is the class's character. It sets the
 * class count too, so that labels above it are an error. */
static enum jf_err read_mapping(struct jf_dataset *out, const char *images, int first, struct jf_error *err) {
	const char *at = strstr(base_name(images), "-train-");
	enum jf_err rc = JF_OK;
	int label, code, lines = 0, classes = out->classes;
	char *path = NULL, line[128];
	FILE *file;

	if (!at)
		at = strstr(base_name(images), "-test-");
	if (!at || asprintf(&path, "%.*s-mapping.txt", (int)(at - images), images) < 0)
		return JF_OK;
	file = fopen(path, "re");
	if (!file)
		goto out;
	out->class_names = calloc(JF_DATASET_MAX_CLASSES, sizeof(*out->class_names));
	if (!out->class_names)
		rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
	out->classes = JF_DATASET_MAX_CLASSES; /* so that all names are freed on failure */
	while (rc == JF_OK && fgets(line, sizeof(line), file)) {
		lines++;
		if (sscanf(line, "%d %d", &label, &code) != 2 || label - first != lines - 1 ||
		    lines > JF_DATASET_MAX_CLASSES || code < 33 || code > 126)
			rc = jf_error_set(
			    err, JF_EFORMAT, "%s:%d: expected \"%d CODE\"", path, lines, lines - 1 + first);
		else if (asprintf(&out->class_names[lines - 1], "%c", code) < 0)
			rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
	}
	fclose(file);
	if (rc == JF_OK && classes > lines)
		rc = jf_error_set(
		    err, JF_EFORMAT, "%s: names %d classes, a label says %d", path, lines, classes - 1 + first);
	if (rc == JF_OK)
		out->classes = lines;
out:
	free(path);
	return rc;
}

enum jf_err jf_dataset_read_idx(
    struct jf_dataset *out, const char *images_path, const char *labels_path, struct jf_error *err) {
	bool emnist = strncmp(base_name(images_path), "emnist-", 7) == 0;
	int first = emnist && strstr(base_name(images_path), "-letters-") ? 1 : 0; /* letters are counted from 1 */
	char *derived = NULL;
	enum jf_err rc = JF_OK;

	if (!labels_path) {
		rc = labels_path_of(&derived, images_path, err);
		labels_path = derived;
	}
	if (rc == JF_OK)
		rc = take_images(out, images_path, emnist, err);
	if (rc == JF_OK)
		rc = take_labels(out, labels_path, first, err);
	if (rc == JF_OK && emnist)
		rc = read_mapping(out, images_path, first, err);
	if (rc == JF_OK)
		rc = jf_dataset_default_names(out, err);
	free(derived);
	return rc;
}
