/* NumPy arrays as data sets: images uint8 [N][H][W] or [N][H][W][C], labels integers [N].
 *
 * A .npz holds them under the names that people use: images and labels, x and y, X and y, data and target, arr_0 and
 * arr_1, or with a part's name in front or behind: train_images (MedMNIST), x_train (Keras), val_labels ... A .npy of
 * images has its labels beside it: "images" in its name becomes "labels", an x at its beginning becomes a y. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/file.h"
#include "core/files/dataset_read.h"
#include "core/files/npy_read.h"

#define MAX_BYTES ((size_t)8 << 30)
#define MAX_SIDE 65535

static const char *const pairs[][2] = {
    {"images", "labels"}, {"x", "y"}, {"data", "target"}, {"data", "labels"}, {"arr_0", "arr_1"}};

static bool ends_in(const char *path, const char *ending) {
	size_t length = strlen(path), n = strlen(ending);

	return length > n && strcasecmp(path + length - n, ending) == 0;
}

bool jf_dataset_is_npy(const char *path) {
	return ends_in(path, ".npy") || ends_in(path, ".npz");
}

static enum jf_err take_images(
    struct jf_dataset *out, const uint8_t *bytes, size_t size, const char *name, struct jf_error *err) {
	struct jf_npy a;
	enum jf_err rc = jf_npy_parse(&a, bytes, size, name, err);

	if (rc != JF_OK)
		return rc;
	if (a.kind != 'u' || a.size != 1)
		return jf_error_set(err, JF_EFORMAT,
		    "%s: images of type %c%d; uint8 from 0 to 255 are read (of floats from 0 to 1: (x * "
		    "255).round().astype('uint8'))",
		    name, a.kind, a.size);
	if (a.rank != 3 && a.rank != 4)
		return jf_error_set(err, JF_EFORMAT,
		    "%s: %d dimensions; images are [N][H][W], or [N][H][W][C] with the channels last", name, a.rank);
	if (a.n == 0)
		return jf_error_set(err, JF_EEMPTY, "%s: no images", name);
	if (a.shape[0] > JF_DATASET_MAX_IMAGES || a.shape[1] > MAX_SIDE || a.shape[2] > MAX_SIDE ||
	    (a.rank == 4 && a.shape[3] != 1 && a.shape[3] != 3))
		return jf_error_set(err, JF_ELIMIT,
		    "%s: images [%zu][%zu][%zu][%zu]; at most %zu of %d a side, with 1 or 3 channels last", name,
		    a.shape[0], a.shape[1], a.shape[2], a.rank == 4 ? a.shape[3] : 1, JF_DATASET_MAX_IMAGES, MAX_SIDE);
	out->n = a.shape[0];
	out->height = (int)a.shape[1];
	out->width = (int)a.shape[2];
	out->channels = a.rank == 4 ? (int)a.shape[3] : 1;
	out->pixels = malloc(a.n);
	if (!out->pixels)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory for %zu images", name, out->n);
	memcpy(out->pixels, a.values, a.n);
	return JF_OK;
}

static enum jf_err take_labels(
    struct jf_dataset *out, const uint8_t *bytes, size_t size, const char *name, struct jf_error *err) {
	struct jf_npy a;
	int64_t most = 0;
	enum jf_err rc = jf_npy_parse(&a, bytes, size, name, err);

	if (rc != JF_OK)
		return rc;
	if ((a.kind != 'u' && a.kind != 'i') || a.rank < 1 || a.n != a.shape[0])
		return jf_error_set(err, JF_EFORMAT, "%s: type %c%d in %d dimensions; labels are whole numbers [N]",
		    name, a.kind, a.size, a.rank);
	if (a.n != out->n)
		return jf_error_set(err, JF_EFORMAT, "%s: %zu labels for %zu images", name, a.n, out->n);
	out->labels = malloc(a.n * sizeof(*out->labels));
	if (!out->labels)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory", name);
	for (size_t i = 0; i < a.n; i++) {
		int64_t label;

		if (!jf_npy_integer(&a, i, &label) || label < 0 || label >= JF_DATASET_MAX_CLASSES)
			return jf_error_set(err, JF_EFORMAT, "%s: the label of image %zu is outside 0 to %d", name, i,
			    JF_DATASET_MAX_CLASSES - 1);
		out->labels[i] = (uint16_t)label;
		most = label > most ? label : most;
	}
	out->classes = (int)most + 1;
	return JF_OK;
}

/* The member called `what`, alone or with the part's name in front or behind. */
static const struct jf_npz_member *find_member(
    const struct jf_npz_member *members, size_t n, enum jf_dataset_part part, const char *what) {
	static const char *const words[] = {"train", "test", "val"};
	char front[32], behind[32];

	snprintf(front, sizeof(front), "%s_%s", words[part], what);
	snprintf(behind, sizeof(behind), "%s_%s", what, words[part]);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < n; i++)
			if (round == 0
				? strcasecmp(members[i].name, front) == 0 || strcasecmp(members[i].name, behind) == 0
				: strcasecmp(members[i].name, what) == 0)
				return &members[i];
	return NULL;
}

static enum jf_err read_npz(struct jf_dataset *out, const uint8_t *bytes, size_t size, const char *path,
    enum jf_dataset_part part, struct jf_error *err) {
	struct jf_npz_member members[JF_NPY_MAX_MEMBERS];
	const struct jf_npz_member *images = NULL, *labels = NULL;
	uint8_t *unpacked = NULL;
	size_t n;
	enum jf_err rc = jf_npz_list(members, &n, bytes, size, path, err);

	if (rc != JF_OK)
		return rc;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs) && !(images && labels); i++) {
		images = find_member(members, n, part, pairs[i][0]);
		labels = find_member(members, n, part, pairs[i][1]);
	}
	if (!images || !labels)
		return jf_error_set(
		    err, JF_EEMPTY, "%s: no arrays 'images' and 'labels' (or 'x' and 'y', 'data' and 'target')", path);
	rc = jf_npz_read(&unpacked, images, bytes, size, path, err);
	if (rc == JF_OK)
		rc = take_images(out, unpacked, images->unpacked, path, err);
	free(unpacked);
	unpacked = NULL;
	if (rc == JF_OK)
		rc = jf_npz_read(&unpacked, labels, bytes, size, path, err);
	if (rc == JF_OK)
		rc = take_labels(out, unpacked, labels->unpacked, path, err);
	free(unpacked);
	return rc;
}

/* "x_train.npy" -> "y_train.npy", "my-images.npy" -> "my-labels.npy". */
static enum jf_err labels_beside(char **labels, const char *path, struct jf_error *err) {
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *at = strstr(base, "images");

	*labels = NULL;
	if (at && asprintf(labels, "%.*slabels%s", (int)(at - path), path, at + 6) < 0)
		*labels = NULL;
	else if (!at && (*base == 'x' || *base == 'X') && (*labels = strdup(path)))
		(*labels)[base - path] = 'y';
	else if (!at)
		return jf_error_set(err, JF_EINVAL,
		    "%s: cannot tell the name of the labels from it (no \"images\" inside, no x at its beginning); "
		    "name them too",
		    path);
	return *labels ? JF_OK : jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
}

static enum jf_err read_pair(struct jf_dataset *out, const uint8_t *images, size_t size, const char *path,
    const char *labels_path, struct jf_error *err) {
	char *derived = NULL;
	uint8_t *labels = NULL;
	size_t labels_size;
	enum jf_err rc = take_images(out, images, size, path, err);

	if (rc == JF_OK && !labels_path)
		rc = labels_beside(&derived, path, err);
	if (rc == JF_OK)
		rc = jf_file_read(&labels, &labels_size, labels_path ? labels_path : derived, MAX_BYTES, err);
	if (rc == JF_OK)
		rc = take_labels(out, labels, labels_size, labels_path ? labels_path : derived, err);
	free(labels);
	free(derived);
	return rc;
}

enum jf_err jf_dataset_parse_npy(struct jf_dataset *out, const uint8_t *bytes, size_t size, const char *path,
    const char *labels_path, enum jf_dataset_part part, struct jf_error *err) {
	enum jf_err rc;

	memset(out, 0, sizeof(*out));
	rc = size >= 4 && memcmp(bytes, "PK", 2) == 0 ? read_npz(out, bytes, size, path, part, err)
						      : read_pair(out, bytes, size, path, labels_path, err);
	if (rc == JF_OK)
		rc = jf_dataset_default_names(out, err);
	if (rc != JF_OK)
		jf_dataset_deinit(out);
	return rc;
}

enum jf_err jf_dataset_read_npy(struct jf_dataset *out, const char *path, const char *labels_path,
    enum jf_dataset_part part, struct jf_error *err) {
	uint8_t *bytes;
	size_t size;
	enum jf_err rc = jf_file_read(&bytes, &size, path, MAX_BYTES, err);

	if (rc != JF_OK)
		return rc;
	rc = jf_dataset_parse_npy(out, bytes, size, path, labels_path, part, err);
	free(bytes);
	return rc;
}
