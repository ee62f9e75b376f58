#include "cli/output.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/setup.h"
#include "core/files/npy.h"
#include "core/pictures/png.h"
#include "core/pictures/sheet.h"
#include "core/questions/answer.h"

static bool ends_with(const char *text, const char *end) {
	size_t n = strlen(text), m = strlen(end);

	return n > m && !strcmp(text + n - m, end);
}

enum jf_err cli_output_plan(
    struct cli_output *output, const struct cli_args *args, const char *fallback, struct jf_error *err) {
	const char *name = args->output ? args->output : fallback;
	struct stat status;

	*output = (struct cli_output){.name = name, .columns = args->columns, .kind = CLI_OUTPUT_SHEET};
	if (!strcmp(name, "-")) {
		if (args->json)
			return jf_error_set(err, JF_EINVAL, "-o - and --json would both write to standard output");
		if (isatty(STDOUT_FILENO))
			return jf_error_set(err, JF_EINVAL,
			    "-o - would write a PNG to the terminal: redirect standard output, or name a file");
	} else if ((*name && name[strlen(name) - 1] == '/') || (!stat(name, &status) && S_ISDIR(status.st_mode)))
		output->kind = CLI_OUTPUT_FOLDER;
	else if (ends_with(name, ".npy"))
		output->kind = CLI_OUTPUT_NPY;
	else if (!ends_with(name, ".png"))
		return jf_error_set(
		    err, JF_EINVAL, "unsupported output format '%s': use NAME.png, FOLDER/, NAME.npy or -", name);
	output->scale = args->scale ? args->scale : output->kind == CLI_OUTPUT_SHEET ? JF_DEFAULT_SCALE : 1;
	return JF_OK;
}

void cli_output_member(char *name, size_t size, int i, int n) {
	int digits = 3;

	for (int most = 1000; digits < 9 && most <= n - 1; most *= 10)
		digits++;
	snprintf(name, size, "%0*d.png", digits, i);
}

/* cli_finish says when the bytes do not get out. */
static enum jf_err write_stdout(const struct jf_image *image, struct jf_error *err) {
	uint8_t *data;
	size_t size;
	enum jf_err status = jf_png_encode(&data, &size, image, err);

	if (status == JF_OK)
		fwrite(data, 1, size, stdout);
	free(data);
	return status;
}

/* path NULL: to standard output */
static enum jf_err write_sheet(const struct jf_model *model, const float *images, int n, const char *path,
    const struct jf_sheet_options *options, struct jf_error *err) {
	const struct jf_network_config *c = &model->config;
	struct jf_image sheet;
	enum jf_err status = jf_sheet(&sheet, images, n, c->height, c->width, c->image_channels, options, err);

	if (status == JF_OK)
		status = path ? jf_png_write(&sheet, path, err) : write_stdout(&sheet, err);
	jf_image_deinit(&sheet);
	return status;
}

enum jf_err cli_output_make_folder(const char *folder, struct jf_error *err) {
	if (mkdir(folder, 0777) && errno != EEXIST)
		return jf_error_set(err, JF_EIO, "cannot make the folder '%s': %s", folder, strerror(errno));
	return JF_OK;
}

enum jf_err cli_output_path(char *path, size_t size, const char *folder, const char *member, struct jf_error *err) {
	size_t length = strlen(folder);
	const char *slash = length && folder[length - 1] == '/' ? "" : "/";

	if (snprintf(path, size, "%s%s%s", folder, slash, member) >= (int)size)
		return jf_error_set(err, JF_EINVAL, "the folder's name is too long");
	return JF_OK;
}

static enum jf_err write_folder(
    const struct cli_output *output, const struct jf_model *model, const float *images, int n, struct jf_error *err) {
	struct jf_sheet_options options = jf_sheet_options_default();
	size_t size = jf_network_image_floats(&model->config);
	enum jf_err status = JF_OK;

	options.columns = 1;
	options.gap = 0;
	options.scale = output->scale;
	if (cli_output_make_folder(output->name, err) != JF_OK)
		return err->code;
	for (int i = 0; i < n && status == JF_OK; i++) {
		char path[PATH_MAX], member[32];

		cli_output_member(member, sizeof(member), i, n);
		status = cli_output_path(path, sizeof(path), output->name, member, err);
		if (status == JF_OK)
			status = write_sheet(model, images + (size_t)i * size, 1, path, &options, err);
	}
	return status;
}

enum jf_err cli_output_write(
    const struct cli_output *output, const struct jf_model *model, const float *images, int n, struct jf_error *err) {
	const struct jf_network_config *c = &model->config;
	struct jf_sheet_options options = jf_sheet_options_default();

	options.columns = jf_sheet_columns_of(output->columns, n);
	options.scale = output->scale;
	switch (output->kind) {
	case CLI_OUTPUT_FOLDER:
		return write_folder(output, model, images, n, err);
	case CLI_OUTPUT_NPY:
		return jf_npy_write(output->name, images, n, c->height, c->width, c->image_channels, err);
	case CLI_OUTPUT_SHEET:
		break;
	}
	return write_sheet(model, images, n, strcmp(output->name, "-") ? output->name : NULL, &options, err);
}

void cli_output_tell(const struct cli_output *output, const struct cli_args *args, int n) {
	if (args->quiet || args->json || !strcmp(output->name, "-"))
		return;
	printf("%s: %d image%s, seed %llu\n", output->name, n, n == 1 ? "" : "s", (unsigned long long)args->seed);
}

void cli_output_put_settings(struct jf_json_writer *json, const struct cli_output *output, const struct jf_model *model,
    const struct jf_task_options *options, int n) {
	jf_answer_put_model(json, model);
	jf_json_put_unsigned(json, "seed", options->seed);
	jf_json_put_string(json, "solver", jf_solver_name(options->sampler.solver));
	jf_json_put_integer(json, "steps", options->sampler.steps);
	jf_answer_put_guidance(json, &options->sampler);
	jf_json_put_string(json, "output", output->name);
	jf_json_put_integer(json, "count", n);
	jf_json_put_integer(json, "height", model->config.height);
	jf_json_put_integer(json, "width", model->config.width);
	jf_json_put_integer(json, "channels", model->config.image_channels);
}
