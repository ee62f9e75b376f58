/* The data of a run, and the files it will write: all that can be found out before the first step. */
#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/files/checkpoint.h"
#include "core/pictures/framing.h"
#include "trainer/run_internal.h"

#define FRAMED_OF 200 /* images that are looked at for their framing */
#define RARE 20       /* images of a class below which it is hardly learnt ... */
#define RARE_SHARE 5  /* ... or so many times fewer than the mean of the classes */

static void tell(void *context, const char *line) {
	const struct run *run = context;

	if (run->mpi->rank == 0)
		fprintf(stderr, "jointflow-train: %s\n", line);
}

static struct jf_dataset_form form_of(struct run *run) {
	const struct jf_train_options *o = run->options;
	bool loaded = run->dataset.n > 0; /* validation and test data become what the training data is */

	return (struct jf_dataset_form){
	    .height = loaded ? run->dataset.height : o->size[0],
	    .width = loaded ? run->dataset.width : o->size[1],
	    .channels = loaded      ? run->dataset.channels
			: o->grey   ? 1
			: o->colour ? 3
				    : 0,
	    .tell = tell,
	    .tell_context = run,
	};
}

/* Data beside the training data, with the same classes. */
static enum jf_err load_beside(
    struct jf_dataset *out, struct run *run, const char *path, enum jf_dataset_part part, struct jf_error *err) {
	struct jf_dataset_form form = form_of(run);
	enum jf_err rc;

	/* Pictures of other sizes are brought to the network's only where the user asked for a size. */
	if (!run->options->size[0])
		form.height = form.width = 0;
	if (!run->options->grey && !run->options->colour)
		form.channels = 0;
	rc = jf_dataset_load(out, path, part, &form, err);
	if (rc != JF_OK)
		return rc;
	if (out->height != run->dataset.height || out->width != run->dataset.width ||
	    out->channels != run->dataset.channels)
		rc = jf_error_set(err, JF_EINVAL,
		    "%s: other image sizes than the training data: %d x %d x %d, not %d x %d x %d (--size, and --grey "
		    "or --colour, make them alike)",
		    path, out->width, out->height, out->channels, run->dataset.width, run->dataset.height,
		    run->dataset.channels);
	if (rc == JF_OK)
		rc = jf_dataset_match(out, run->dataset.class_names, run->dataset.classes, path, err);
	if (rc != JF_OK)
		jf_dataset_deinit(out);
	return rc;
}

static enum jf_err load_training(struct run *run, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	struct jf_dataset_form form = form_of(run);
	enum jf_err rc = o->labels ? jf_dataset_load_pair(&run->dataset, o->data, o->labels, &form, err)
				   : jf_dataset_load(&run->dataset, o->data, JF_DATASET_TRAIN, &form, err);

	if (rc == JF_OK)
		rc = jf_dataset_check_labels(&run->dataset, o->labels ? o->labels : o->data, err);
	return rc;
}

/* *n: images of the validation set, which then are the last of run->dataset. */
static enum jf_err load_validation(struct run *run, size_t *n, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	const char *path = o->validation;
	struct jf_dataset validation;
	enum jf_err rc;

	*n = 0;
	if (!path && o->holdout < 0 && jf_dataset_has_validation(o->data))
		path = o->data;
	if (!path)
		return JF_OK;
	rc = load_beside(&validation, run, path, JF_DATASET_VALIDATION, err);
	if (rc != JF_OK)
		return rc;
	rc = jf_dataset_append(&run->dataset, &validation, path, err);
	*n = validation.n;
	jf_dataset_deinit(&validation);
	return rc;
}

static enum jf_err peek_init(struct run *run, bool *augments, struct jf_error *err) {
	struct jf_model *model = jf_checkpoint_load(run->options->init, err);

	if (!model)
		return err->code;
	*augments = model->config.augment > 0;
	jf_model_unref(model);
	return JF_OK;
}

/* Whether the training images are framed as MNIST's are: its framing leaves such images as they are. */
static bool framed(const struct run *run) {
	const struct jf_framing_options mnist = {JF_PREPROCESS_MNIST, JF_INVERT_AUTO};
	const struct jf_dataset *d = &run->dataset;
	size_t size = jf_dataset_image_size(d), n = run->n_train < FRAMED_OF ? run->n_train : FRAMED_OF, same = 0;
	float *out = malloc(size * sizeof(*out));
	uint8_t *bytes = malloc(size);

	for (size_t i = 0; out && bytes && i < n; i++) {
		uint8_t *pixels = d->pixels + run->order[i] * size;
		struct jf_image image = {d->height, d->width, d->channels, pixels};

		if (jf_frame(out, NULL, &image, d->height, d->width, d->channels, &mnist, NULL) != JF_OK)
			continue;
		jf_floats_to_bytes(bytes, out, size);
		same += memcmp(bytes, pixels, size) == 0;
	}
	free(out);
	free(bytes);
	return same * 10 >= n * 9;
}

/* Whether the training images are light on dark, so that a picture with a light border is likely the wrong way round.
 */
static enum jf_paper paper(const struct run *run) {
	const struct jf_framing_options none = {JF_PREPROCESS_NONE, JF_INVERT_AUTO};
	const struct jf_dataset *d = &run->dataset;
	size_t size = jf_dataset_image_size(d), n = run->n_train < FRAMED_OF ? run->n_train : FRAMED_OF, light = 0;
	float *out = malloc(size * sizeof(*out));

	for (size_t i = 0; out && i < n; i++) {
		struct jf_image image = {d->height, d->width, d->channels, d->pixels + run->order[i] * size};
		struct jf_framing_report report;

		if (jf_frame(out, &report, &image, d->height, d->width, d->channels, &none, NULL) == JF_OK)
			light += report.inverted;
	}
	free(out);
	return light * 10 > n ? JF_PAPER_ANY : JF_PAPER_DARK;
}

enum jf_err jf_run_load_data(struct run *run, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	bool augments = false;
	size_t validation = 0;
	enum jf_err rc = load_training(run, err);

	if (rc == JF_OK)
		rc = load_validation(run, &validation, err);
	if (rc == JF_OK && !jf_mpi_same(run->dataset.digest, sizeof(run->dataset.digest)))
		rc = jf_error_set(err, JF_EINVAL, "%s: the processes have different data", o->data);
	if (rc == JF_OK && o->init)
		rc = peek_init(run, &augments, err);
	if (rc == JF_OK)
		rc = jf_options_settle(
		    &run->settled, run->dataset.n - validation, validation > 0, o->init ? &augments : NULL, err);
	if (rc != JF_OK)
		return rc;
	run->n_holdout = validation ? validation : (size_t)o->holdout;
	run->n_train = run->dataset.n - run->n_holdout;
	run->order = malloc(run->dataset.n * sizeof(*run->order));
	if (!run->order)
		return jf_error_set(err, JF_ENOMEM, "out of memory for the order of %zu images", run->dataset.n);
	for (size_t i = 0; i < run->dataset.n; i++)
		run->order[i] = (uint32_t)i;
	if (!validation)
		rc = jf_dataset_split(run->order, &run->dataset, run->n_holdout, err);
	run->preprocess = o->preprocess ? o->preprocess - 1 : framed(run) ? JF_PREPROCESS_MNIST : JF_PREPROCESS_NONE;
	run->paper = run->preprocess == JF_PREPROCESS_NONE ? (int)paper(run) : JF_PAPER_DARK;
	if (rc == JF_OK && o->test && run->mpi->rank == 0)
		rc = load_beside(&run->test, run, o->test, JF_DATASET_TEST, err);
	memcpy(run->state.digest, run->dataset.digest, sizeof(run->state.digest));
	return rc;
}

void jf_run_tell_classes(struct run *run) {
	const struct jf_dataset *d = &run->dataset;
	size_t counts[JF_DATASET_MAX_CLASSES] = {0};
	char line[1024];
	size_t used = 0;

	for (size_t i = 0; i < run->n_train; i++)
		counts[d->labels[run->order[i]]]++;
	for (int k = 0; k < d->classes && used + 64 < sizeof(line); k++)
		used += (size_t)snprintf(
		    line + used, sizeof(line) - used, "%s%.40s %zu", k ? ", " : "", d->class_names[k], counts[k]);
	jf_log_say(run->log, false, "images to train on by class: %s%s", line,
	    used + 64 < sizeof(line) ? "" : " ... (the log file has all)");
	jf_log_say(run->log, false, "pictures will be %s when the model is used (--preprocess=%s)",
	    run->preprocess == JF_PREPROCESS_MNIST ? "framed as MNIST's are" : "only scaled",
	    jf_preprocess_name((enum jf_preprocess)run->preprocess));
	jf_json_begin_object(jf_log_json_begin(run->log, "classes"), "images");
	for (int k = 0; k < d->classes; k++)
		jf_json_put_unsigned(jf_log_json(run->log), d->class_names[k], counts[k]);
	jf_json_end_object(jf_log_json(run->log));
	jf_log_json_end(run->log);
	for (int k = 0; k < d->classes; k++)
		if (counts[k] < RARE || counts[k] * RARE_SHARE * (size_t)d->classes < run->n_train)
			jf_log_warn(run->log,
			    "class '%s' has %zu image%s to train on (the mean is %zu): it will hardly be learnt; add "
			    "pictures of it, or leave it out",
			    d->class_names[k], counts[k], counts[k] == 1 ? "" : "s", run->n_train / (size_t)d->classes);
}

/* --- files --- */

static enum jf_err check_writable(const char *path, const char *option, double bytes, struct jf_error *err) {
	char *copy = strdup(path);
	const char *folder = copy ? dirname(copy) : NULL;
	struct statvfs room;
	struct stat status;
	enum jf_err rc = JF_OK;

	if (!copy)
		return jf_error_set(err, JF_ENOMEM, "out of memory for a path");
	if (access(folder, W_OK) != 0)
		rc = jf_error_set(err, JF_EIO, "%s: its folder cannot be written: %s", path, strerror(errno));
	else if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		rc = jf_error_set(err, JF_EINVAL, "%s: is a folder; --%s needs the name of a file", path, option);
	else if (statvfs(folder, &room) == 0 && (double)room.f_bavail * (double)room.f_frsize < bytes)
		rc = jf_error_set(err, JF_EIO, "%s: the disk has room for %.1f MB, and %.1f are needed", path,
		    (double)room.f_bavail * (double)room.f_frsize / 1e6, bytes / 1e6);
	free(copy);
	return rc;
}

static bool same_file(const char *a, const char *b) {
	struct stat x, y;

	return strcmp(a, b) == 0 ||
	       (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

enum jf_err jf_run_check_files(const struct run *run, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	double size = (double)run->model->graph->n_params_floats * sizeof(float);
	/* While a file is replaced the old one stays: the state's moments, means and best weights twice. */
	const struct {
		const char *option, *path;
		double bytes;
	} files[] = {{"output", o->output, 2 * size}, {"state", o->state, 2 * (4 + o->n_ema) * size},
	    {"sheet", o->sheet, 1e6}, {"log", o->log, 0}};
	const char *inputs[] = {o->data, o->test, o->validation, o->labels};
	enum jf_err rc;

	if (run->mpi->rank != 0)
		return JF_OK;
	for (size_t i = 0; i < 4; i++) {
		if (!files[i].path)
			continue;
		for (size_t j = 0; j < i; j++)
			if (files[j].path && same_file(files[i].path, files[j].path) && i != 3)
				return jf_error_set(err, JF_EINVAL, "--%s and --%s are the same file: %s",
				    files[j].option, files[i].option, files[i].path);
		for (size_t j = 0; j < 4; j++)
			if (inputs[j] && same_file(files[i].path, inputs[j]))
				return jf_error_set(err, JF_EINVAL, "--%s=%s would write over the data",
				    files[i].option, files[i].path);
		if (i == 3)
			break; /* opening it says the rest, and it may be a device */
		rc = check_writable(files[i].path, files[i].option, files[i].bytes, err);
		if (rc != JF_OK)
			return rc;
	}
	return JF_OK;
}
