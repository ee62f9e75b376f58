/* Data sets of class folders with pictures. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/files/dataset_read.h"
#include "core/pictures/framing.h"
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

/* What machines leave beside pictures. */
static bool is_litter(const char *name) {
	return name[0] == '.' || strcmp(name, "__MACOSX") == 0 || strcasecmp(name, "thumbs.db") == 0 ||
	       strcasecmp(name, "desktop.ini") == 0;
}

static bool wanted(const char *path, const char *name, bool folders) {
	char full[4096];
	struct stat status;

	if (is_litter(name))
		return false;
	if (snprintf(full, sizeof(full), "%s/%s", path, name) >= (int)sizeof(full) || stat(full, &status) != 0)
		return false;
	return folders ? S_ISDIR(status.st_mode) : !S_ISDIR(status.st_mode);
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

bool jf_dataset_has_class_folders(const char *path, size_t least) {
	struct names names;
	bool enough;

	if (list(&names, path, true, NULL) != JF_OK)
		return false;
	enough = names.n >= least;
	names_free(&names);
	return enough;
}

enum jf_err jf_dataset_find_part(char **folder, const char *path, enum jf_dataset_part part, struct jf_error *err) {
	static const char *const parts[] = {"train", "test", "val", "valid", "validation"};
	static const int part_of[] = {
	    JF_DATASET_TRAIN, JF_DATASET_TEST, JF_DATASET_VALIDATION, JF_DATASET_VALIDATION, JF_DATASET_VALIDATION};
	const size_t n_parts = sizeof(parts) / sizeof(*parts);
	const char *found = NULL;
	bool all = true, train = false;
	struct names names;
	enum jf_err rc = list(&names, path, true, err);

	*folder = NULL;
	if (rc != JF_OK)
		return rc;
	for (size_t i = 0; i < names.n; i++) {
		size_t j = 0;

		while (j < n_parts && strcmp(names.name[i], parts[j]) != 0)
			j++;
		all = all && j < n_parts;
		train = train || j == 0;
		if (j < n_parts && part_of[j] == (int)part)
			found = parts[j];
	}
	if (!all || !train) {
		*folder = strdup(path);
	} else if (!found) {
		rc = jf_error_set(err, JF_EEMPTY, "%s: has no folder %s beside train", path,
		    part == JF_DATASET_TEST ? "test" : "val, valid or validation");
	} else if (asprintf(folder, "%s/%s", path, found) < 0) {
		*folder = NULL;
	}
	names_free(&names);
	return rc != JF_OK || *folder ? rc : jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
}

bool jf_dataset_has_validation(const char *path) {
	char *folder = NULL;
	bool has =
	    jf_dataset_find_part(&folder, path, JF_DATASET_VALIDATION, NULL) == JF_OK && strcmp(folder, path) != 0;

	free(folder);
	return has;
}

enum jf_err jf_dataset_fit(
    uint8_t *out, const struct jf_image *image, const struct jf_dataset_form *form, struct jf_error *err) {
	const struct jf_framing_options none = {JF_PREPROCESS_NONE, JF_INVERT_NO};
	size_t size = (size_t)form->height * (size_t)form->width * (size_t)form->channels;
	float *values;
	enum jf_err rc;

	if (image->height == form->height && image->width == form->width && image->channels == form->channels) {
		memcpy(out, image->pixels, size);
		return JF_OK;
	}
	values = malloc(size * sizeof(*values));
	if (!values)
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	rc = jf_frame(values, NULL, image, form->height, form->width, form->channels, &none, err);
	if (rc == JF_OK)
		jf_floats_to_bytes(out, values, size);
	free(values);
	return rc;
}

/* What is read so far. */
struct reader {
	struct jf_dataset *out;
	struct jf_dataset_form form; /* what was not asked for is the first picture's */
	size_t room, unusable;
	char *first;            /* owned: the picture that said what all must be */
	struct jf_error reason; /* of the first one that cannot be used */
};

static void tell(const struct reader *r, const char *line) {
	if (r->form.tell)
		r->form.tell(r->form.tell_context, line);
}

static enum jf_err set_form(struct reader *r, const struct jf_image *image, const char *path, struct jf_error *err) {
	enum jf_err rc;

	if (r->first)
		return JF_OK;
	r->out->height = r->form.height ? r->form.height : image->height;
	r->out->width = r->form.width ? r->form.width : image->width;
	r->out->channels = r->form.channels ? r->form.channels : image->channels;
	rc = jf_dataset_check_shape(r->out->height, r->out->width, r->out->channels, path, err);
	if (rc != JF_OK)
		return rc;
	r->first = strdup(path);
	return r->first ? JF_OK : jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
}

static enum jf_err check_agrees(
    const struct reader *r, const struct jf_image *image, const char *path, struct jf_error *err) {
	const struct jf_dataset *d = r->out;
	bool size = r->form.height || (image->height == d->height && image->width == d->width);
	bool colour = r->form.channels || image->channels == d->channels;

	if (size && colour)
		return JF_OK;
	return jf_error_set(err, JF_EFORMAT,
	    "%s: is %d x %d with %d channel(s); %s is %d x %d with %d (%s%s%s makes them alike)", path, image->width,
	    image->height, image->channels, r->first, d->width, d->height, d->channels, size ? "" : "--size=WxH",
	    size || colour ? "" : " with ", colour ? "" : "--grey or --colour");
}

static enum jf_err reserve(struct reader *r, const char *path, struct jf_error *err) {
	struct jf_dataset *out = r->out;
	size_t more = r->room ? r->room * 2 : 1024;
	uint8_t *pixels;
	uint16_t *labels;

	if (out->n < r->room)
		return JF_OK;
	pixels = realloc(out->pixels, more * jf_dataset_image_size(out));
	labels = pixels ? realloc(out->labels, more * sizeof(*labels)) : NULL;
	out->pixels = pixels ? pixels : out->pixels;
	out->labels = labels ? labels : out->labels;
	if (!pixels || !labels || more > JF_DATASET_MAX_IMAGES)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory after %zu images", path, out->n);
	r->room = more;
	return JF_OK;
}

/* JF_EIO, JF_EFORMAT, JF_ELIMIT are this picture's fault alone. */
static enum jf_err read_picture(struct reader *r, const char *path, int label, struct jf_error *err) {
	struct jf_dataset *out = r->out;
	struct jf_dataset_form form;
	struct jf_image image;
	enum jf_err rc = jf_picture_read(&image, path, err);

	if (rc != JF_OK)
		return rc;
	rc = set_form(r, &image, path, err);
	if (rc == JF_OK)
		rc = check_agrees(r, &image, path, err);
	if (rc == JF_OK)
		rc = reserve(r, path, err);
	if (rc == JF_OK) {
		form = (struct jf_dataset_form){out->height, out->width, out->channels, NULL, NULL};
		rc = jf_dataset_fit(out->pixels + out->n * jf_dataset_image_size(out), &image, &form, err);
	}
	if (rc == JF_OK)
		out->labels[out->n++] = (uint16_t)label;
	jf_image_deinit(&image);
	return rc;
}

/* Goes on after a picture that cannot be used: all of them are named before anybody is asked to mend one. */
static enum jf_err take_picture(struct reader *r, const char *path, int label, struct jf_error *err) {
	struct jf_error reason = {0};
	enum jf_err rc = read_picture(r, path, label, &reason);

	if (rc == JF_EIO || rc == JF_EFORMAT || rc == JF_ELIMIT) {
		if (r->unusable++ == 0)
			r->reason = reason;
		tell(r, reason.message);
		return JF_OK;
	}
	return rc == JF_OK ? rc : jf_error_set(err, rc, "%s", reason.message);
}

static void tell_passed_over(const struct reader *r, const char *folder, const struct names *files, size_t others) {
	char line[512];
	size_t used, named = 0;

	if (others == 0)
		return;
	used = (size_t)snprintf(line, sizeof(line), "%s: %zu file%s neither PNG nor JPEG, skipped: ", folder, others,
	    others == 1 ? " is" : "s are");
	for (size_t i = 0; i < files->n && named < 3 && used < sizeof(line); i++)
		if (!jf_picture_is_named(files->name[i]))
			used += (size_t)snprintf(
			    line + used, sizeof(line) - used, "%s%s", named++ ? ", " : "", files->name[i]);
	if (others > named && used < sizeof(line))
		snprintf(line + used, sizeof(line) - used, " ...");
	tell(r, line);
}

static enum jf_err read_class(struct reader *r, const char *folder, int label, struct jf_error *err) {
	struct names files;
	char *path = NULL;
	size_t others = 0;
	enum jf_err rc = list(&files, folder, false, err);

	if (rc != JF_OK)
		return rc;
	for (size_t i = 0; rc == JF_OK && i < files.n; i++) {
		if (!jf_picture_is_named(files.name[i])) {
			others++;
			continue;
		}
		if (asprintf(&path, "%s/%s", folder, files.name[i]) < 0) {
			rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", folder);
			break;
		}
		rc = take_picture(r, path, label, err);
		free(path);
	}
	tell_passed_over(r, folder, &files, others);
	if (rc == JF_OK && others == files.n)
		rc = jf_error_set(err, JF_EEMPTY, "%s: no PNG files and no JPEGs in this class", folder);
	names_free(&files);
	return rc;
}

static enum jf_err complain(const struct reader *r, const char *path, struct jf_error *err) {
	if (r->unusable == 1)
		return jf_error_set(err, r->reason.code, "%s", r->reason.message);
	return jf_error_set(err, r->reason.code, "%s: %zu pictures cannot be used; the first: %s", path, r->unusable,
	    r->reason.message);
}

enum jf_err jf_dataset_read_folder(
    struct jf_dataset *out, const char *path, const struct jf_dataset_form *form, struct jf_error *err) {
	struct reader reader = {.out = out};
	struct names folders;
	char *folder = NULL;
	enum jf_err rc = list(&folders, path, true, err);

	if (rc != JF_OK)
		return rc;
	if (form)
		reader.form = *form;
	if (folders.n > JF_DATASET_MAX_CLASSES)
		rc = jf_error_set(err, JF_EINVAL, "%s: %zu sub-folders; a data set has at most %d classes", path,
		    folders.n, JF_DATASET_MAX_CLASSES);
	for (size_t i = 0; rc == JF_OK && i < folders.n; i++) {
		if (asprintf(&folder, "%s/%s", path, folders.name[i]) < 0) {
			rc = jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
			break;
		}
		rc = read_class(&reader, folder, (int)i, err);
		free(folder);
	}
	if (rc == JF_OK && reader.unusable > 0)
		rc = complain(&reader, path, err);
	free(reader.first);
	if (rc != JF_OK) {
		names_free(&folders);
		return rc;
	}
	out->classes = (int)folders.n;
	out->class_names = folders.name; /* taken over */
	return JF_OK;
}
