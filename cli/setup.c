#include "cli/setup.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "core/base/file.h"
#include "core/files/checkpoint.h"
#include "core/pictures/picture.h"

#define TREE_MODEL "models/mnist.safetensors"
#define INSTALLED_MODEL JF_PKGDATADIR "/models/mnist.safetensors"

struct jf_model *cli_model_load(const struct cli_args *args, char *path, size_t size, struct jf_error *err) {
	const char *name = args->model;
	char found[PATH_MAX];

	if (!name)
		name = getenv("JOINTFLOW_MODEL");
	if (!name || !*name)
		name = jf_file_in_tree(found, sizeof(found), TREE_MODEL) ? found : INSTALLED_MODEL;
	if (path)
		snprintf(path, size, "%s", name);
	return jf_checkpoint_load(name, err);
}

void cli_task_options(struct jf_task_options *options, const struct cli_args *args, enum jf_task task) {
	*options = jf_task_options_default();
	options->seed = args->seed;
	options->sampler = jf_sampler_args_default(task);
	if (args->solver >= 0)
		options->sampler.solver = (enum jf_solver)args->solver;
	options->sampler.guidance = (float)args->guidance;
	options->sampler.guidance_low = (float)args->guidance_low;
	options->sampler.guidance_high = (float)args->guidance_high;
	if (args->steps)
		options->sampler.steps = args->steps;
	if (args->threads)
		options->threads = args->threads;
	if (args->batch)
		options->batch = args->batch;
	options->cancel = cli_cancel_flag();
}

enum jf_err cli_class_parse(
    int *out, const struct jf_model *model, const char *option, const char *text, struct jf_error *err) {
	if (jf_class_parse(out, text, (const char *const *)model->class_names, model->config.classes, err)) {
		jf_error_prefix(err, "--%s", option);
		cli_blame_usage();
	}
	return err->code;
}

int cli_labels_given(const struct cli_args *args) {
	return !!args->class + !!args->digit + !!args->label + !!args->weights;
}

enum jf_err cli_label_parse(
    float *label, const struct jf_model *model, const struct cli_args *args, struct jf_error *err) {
	const char *const *names = (const char *const *)model->class_names;
	int classes = model->config.classes, class;

	if (args->class || args->digit) {
		if (cli_class_parse(&class, model, args->class ? "class" : "digit",
			args->class ? args->class : args->digit, err) == JF_OK)
			jf_label_one_hot(label, class, classes);
	} else if (args->label) {
		if (jf_label_parse(label, args->label, classes, err))
			jf_error_prefix(err, "--label");
	} else if (jf_weights_parse(label, args->weights, names, classes, err)) {
		jf_error_prefix(err, "--weights");
	} else {
		jf_label_from_weights(label, label, classes);
	}
	if (err->code)
		cli_blame_usage();
	return err->code;
}

enum jf_err cli_picture_read(float *out, struct jf_framing_report *report, const char *file,
    const struct jf_model *model, const struct cli_args *args, struct jf_error *err) {
	enum jf_preprocess preprocess =
	    (enum jf_preprocess)(args->preprocess < 0 ? model->preprocess : args->preprocess);
	enum jf_invert invert = jf_invert_settle((enum jf_invert)args->invert, preprocess, (enum jf_paper)model->paper);
	struct jf_framing_options options = {preprocess, invert};
	const struct jf_network_config *config = &model->config;
	uint8_t *data;
	size_t size;
	enum jf_err status = jf_file_read(&data, &size, file, JF_PICTURE_MAX_BYTES, err);

	if (status)
		return status;
	status = jf_frame_picture(
	    out, report, data, size, 0, config->height, config->width, config->image_channels, &options, err);
	if (status)
		jf_error_prefix(err, "%s", file);
	free(data);
	return status;
}

int cli_samples(const struct cli_args *args) {
	return args->samples ? args->samples : jf_samples_default((enum jf_method)args->method);
}

float *cli_floats(size_t n, struct jf_error *err) {
	float *floats = calloc(n ? n : 1, sizeof(*floats));

	if (!floats)
		jf_error_set(err, JF_ENOMEM, "no memory for %zu numbers", n);
	return floats;
}

enum jf_err cli_json_print(struct jf_json_writer *json, struct jf_error *err) {
	const char *text = jf_json_writer_text(json);

	if (!text)
		return jf_error_set(err, JF_ENOMEM, "no memory for the answer's text");
	puts(text);
	jf_json_writer_reset(json);
	return JF_OK;
}
