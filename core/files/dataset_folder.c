/* Data sets of class folders with PNGs. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/files/dataset_read.h"
#include "core/pictures/picture.h"

struct names {
	char **name;
	size_t n, room;
};

static void names_free(struct names *names) {
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
	memset(names, 0, sizeof(*names));
}

/* "2" before "10"; the same on every machine, whatever order the folder has. */
static int by_version(const void *a, const void *b) {
	const char *const *x = a, *const *y = b;

	return strverscmp(*x, *y);
}

static bool is_png(const char *name) {
	size_t length = strlen(name);

	return length > 4 && strcasecmp(name + length - 4, ".png") == 0;
}

static bool wanted(const char *path, const char *name, bool folders) {
	char full[4096];
	struct stat status;

	if (name[0] == '.' || (!folders && !is_png(name)))
		return false;
	if (snprintf(full, sizeof(full), "%s/%s", path, name) >= (int)sizeof(full) || stat(full, &status) != 0)
		return false;
	return folders ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode);
}

static enum jf_err list(struct names *names, const char *path, bool folders, struct jf_error *err) {
	enum jf_err rc = JF_OK;
	struct dirent *entry;
	DIR *folder = opendir(path);

	memset(names, 0, sizeof(*names));
	if (!folder)
		return jf_error_set(err, JF_EIO, "%s: %s", path, strerror(errno));
	while (rc == JF_OK && (entry = readdir(folder))) {
		if (!wanted(path, entry->d_name, folders))
			continue;
		if (names->n == names->room) {
			size_t room = names->room ? names->room * 2 : 64;
			char **more = realloc(names->name, room * sizeof(*more));

			if (!more) {
				rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
				break;
			}
			names->name = more;
			names->room = room;
		}
		if (!(names->name[names->n] = strdup(entry->d_name)))
			rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
		else
			names->n++;
	}
	closedir(folder);
	if (rc != JF_OK)
		names_free(names);
	if (names->n > 0)
		qsort(names->name, names->n, sizeof(*names->name), by_version);
	return rc;
}

bool jf_dataset_has_class_folders(const char *path) {
	struct names names;
	bool enough;

	if (list(&names, path, true, NULL) != JF_OK)
		return false;
	enough = names.n >= 2;
	names_free(&names);
	return enough;
}

/* Makes room for one image more and sets the data set's sizes by the first. */
static enum jf_err reserve(struct jf_dataset *out, size_t *room, const struct jf_image *image, const char *path,
    char **first, struct jf_error *err) {
	if (!*first) {
		enum jf_err rc = jf_dataset_check_shape(image->height, image->width, image->channels, path, err);

		if (rc != JF_OK)
			return rc;
		out->height = image->height;
		out->width = image->width;
		out->channels = image->channels;
		if (!(*first = strdup(path)))
			return jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
	}
	if (image->height != out->height || image->width != out->width || image->channels != out->channels)
		return jf_error_set(err, JF_EFORMAT, "%s: is %d x %d with %d channel(s); %s is %d x %d with %d", path,
		    image->width, image->height, image->channels, *first, out->width, out->height, out->channels);
	if (out->n == *room) {
		size_t more = *room ? *room * 2 : 1024;
		uint8_t *pixels = realloc(out->pixels, more * jf_dataset_image_size(out));
		uint16_t *labels = pixels ? realloc(out->labels, more * sizeof(*labels)) : NULL;

		out->pixels = pixels ? pixels : out->pixels;
		out->labels = labels ? labels : out->labels;
		if (!pixels || !labels || more > JF_DATASET_MAX_IMAGES)
			return jf_error_set(err, JF_ENOMEM, "%s: out of memory after %zu images", path, out->n);
		*room = more;
	}
	return JF_OK;
}

static enum jf_err read_class(
    struct jf_dataset *out, size_t *room, char **first, const char *folder, int label, struct jf_error *err) {
	struct names files;
	struct jf_image image;
	char *path = NULL;
	enum jf_err rc = list(&files, folder, false, err);

	if (rc != JF_OK)
		return rc;
	if (files.n == 0)
		rc = jf_error_set(err, JF_EEMPTY, "%s: no PNG files in this class", folder);
	for (size_t i = 0; rc == JF_OK && i < files.n; i++) {
		if (asprintf(&path, "%s/%s", folder, files.name[i]) < 0) {
			rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", folder);
			break;
		}
		rc = jf_picture_read(&image, path, err);
		if (rc == JF_OK) {
			rc = reserve(out, room, &image, path, first, err);
			if (rc == JF_OK) {
				memcpy(out->pixels + out->n * jf_dataset_image_size(out), image.pixels,
				    jf_image_size(&image));
				out->labels[out->n++] = (uint16_t)label;
			}
			jf_image_deinit(&image);
		}
		free(path);
	}
	names_free(&files);
	return rc;
}

enum jf_err jf_dataset_read_folder(struct jf_dataset *out, const char *path, struct jf_error *err) {
	struct names folders;
	char *folder = NULL, *first = NULL;
	size_t room = 0;
	enum jf_err rc = list(&folders, path, true, err);

	if (rc != JF_OK)
		return rc;
	if (folders.n < 2 || folders.n > JF_DATASET_MAX_CLASSES)
		rc = jf_error_set(err, JF_EINVAL, "%s: %zu sub-folders; a data set has 2 to %d classes", path,
		    folders.n, JF_DATASET_MAX_CLASSES);
	for (size_t i = 0; rc == JF_OK && i < folders.n; i++) {
		if (asprintf(&folder, "%s/%s", path, folders.name[i]) < 0) {
			rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
			break;
		}
		rc = read_class(out, &room, &first, folder, (int)i, err);
		free(folder);
	}
	free(first);
	if (rc != JF_OK) {
		names_free(&folders);
		return rc;
	}
	out->classes = (int)folders.n;
	out->class_names = folders.name; /* taken over */
	return JF_OK;
}
