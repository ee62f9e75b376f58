/* edit: a picture drawn again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/setup.h"
#include "core/pictures/picture.h"
#include "core/pictures/sheet.h"
#include "core/questions/answer.h"

struct editing {
	struct jf_model *model; /* referenced */
	struct cli_output output;
	struct jf_task_options options;
	struct jf_framing_report framing;
	int n;
	bool *redraw;         /* [H][W]; NULL: all */
	float *picture;       /* [H][W][C] */
	float *wanted;        /* [K] */
	struct jf_edited out; /* owned */
};

static void editing_deinit(struct editing *e) {
	free(e->redraw);
	free(e->picture);
	free(e->wanted);
	free(e->out.images);
	free(e->out.label);
	free(e->out.original);
	free(e->out.probabilities);
	free(e->out.strengths);
	jf_model_unref(e->model);
}

static enum jf_err editing_init(struct editing *e, const struct cli_args *args, struct jf_error *err) {
	size_t pixels, classes, n;

	e->model = cli_model_load(args, NULL, 0, err);
	if (!e->model)
		return err->code;
	cli_task_options(&e->options, args, JF_TASK_GENERATE);
	e->options.sampler.start = (float)(args->strength > 0.0 ? args->strength : JF_DEFAULT_STRENGTH);
	e->options.sampler.repeats = args->repeats ? args->repeats : JF_DEFAULT_REPEATS;
	e->n = args->count ? args->count : JF_DEFAULT_COUNT;
	pixels = jf_network_image_floats(&e->model->config);
	classes = (size_t)e->model->config.classes;
	n = (size_t)e->n;
	e->picture = cli_floats(pixels, err);
	e->wanted = cli_floats(classes, err);
	e->out = (struct jf_edited){.images = cli_floats(n * pixels, err),
	    .label = cli_floats(classes, err),
	    .original = cli_floats(classes, err),
	    .probabilities = cli_floats(n * classes, err),
	    .strengths = cli_floats(n, err)};
	return e->picture && e->wanted && e->out.images && e->out.label && e->out.original && e->out.probabilities &&
		       e->out.strengths
		   ? JF_OK
		   : JF_ENOMEM;
}

static enum jf_err read_mask(struct editing *e, const char *file, struct jf_error *err) {
	const struct jf_network_config *c = &e->model->config;
	struct jf_image mask = {0};
	enum jf_err status = jf_picture_read(&mask, file, err);

	if (status)
		return status;
	e->redraw = calloc((size_t)c->height * (size_t)c->width, sizeof(*e->redraw));
	if (!e->redraw)
		status = jf_error_set(err, JF_ENOMEM, "no memory for the mask");
	else if ((status = jf_edit_mask(e->redraw, &mask, c->height, c->width, err)))
		jf_error_prefix(err, "--mask: '%s'", file);
	jf_image_deinit(&mask);
	return status;
}

static enum jf_err edit(struct editing *e, const struct cli_args *args, struct jf_error *err) {
	struct jf_edit what = {.picture = e->picture, .counterfactual = args->counterfactual};
	struct cli_progress progress;
	enum jf_err status = JF_OK;

	if (cli_labels_given(args)) {
		status = cli_label_parse(e->wanted, e->model, args, err);
		what.label = e->wanted;
	}
	if (status == JF_OK && args->mask)
		status = read_mask(e, args->mask, err);
	if (status == JF_OK)
		status = cli_picture_read(e->picture, &e->framing, args->operands[0], e->model, args, err);
	if (status)
		return status;
	what.redraw = e->redraw;
	cli_progress_begin(&progress, &e->options, "edit", args->quiet);
	status = jf_edit(e->model, &e->out, &what, e->n, &e->options, err);
	cli_progress_end(&progress);
	return status;
}

static void put_images(struct jf_json_writer *json, const struct editing *e) {
	const size_t classes = (size_t)e->model->config.classes;

	jf_json_begin_array(json, "images");
	for (int i = 0; i < e->n; i++) {
		char member[32];

		jf_json_begin_object(json, NULL);
		cli_output_member(member, sizeof(member), i, e->n);
		if (e->output.kind == CLI_OUTPUT_FOLDER)
			jf_json_put_string(json, "file", member);
		jf_json_put_integer(json, "index", i);
		jf_answer_put_edited(
		    json, e->model, e->out.label, e->out.probabilities + (size_t)i * classes, e->out.strengths[i]);
		jf_json_end_object(json);
	}
	jf_json_end_array(json);
}

static enum jf_err print_json(const struct editing *e, const struct cli_args *args, struct jf_error *err) {
	struct jf_json_writer json;
	enum jf_err status;

	jf_json_writer_init(&json);
	jf_json_begin_object(&json, NULL);
	cli_output_put_settings(&json, &e->output, e->model, &e->options, e->n);
	jf_json_put_integer(&json, "repeats", e->options.sampler.repeats);
	jf_json_put_bool(&json, "counterfactual", args->counterfactual);
	jf_json_put_bool(&json, "masked", e->redraw != NULL);
	jf_answer_put_original(&json, e->model, e->out.original);
	jf_json_begin_object(&json, "preprocess");
	jf_answer_put_framing(&json, &e->framing);
	jf_json_end_object(&json);
	put_images(&json, e);
	jf_json_end_object(&json);
	status = cli_json_print(&json, err);
	jf_json_writer_deinit(&json);
	return status;
}

/* What the model sees now, laid out as the sheet is; of a counterfactual the strength too. */
static void print_labels(const struct editing *e, const struct cli_args *args) {
	int classes = e->model->config.classes, columns = e->output.columns;

	if (args->quiet || !strcmp(e->output.name, "-"))
		return;
	for (int i = 0; i < e->n; i++) {
		int seen = jf_argmax(e->out.probabilities + (size_t)i * (size_t)classes, classes);

		printf("%s", e->model->class_names[seen]);
		if (args->counterfactual && seen == jf_draw_class(e->out.label, classes))
			printf(" at %g", (double)e->out.strengths[i]);
		printf("%s", (i + 1) % columns == 0 || i + 1 == e->n ? "\n" : args->counterfactual ? ", " : " ");
	}
}

static enum jf_err write_and_tell(struct editing *e, const struct cli_args *args, struct jf_error *err) {
	e->output.columns = jf_sheet_columns_of(e->output.columns, e->n);
	if (cli_output_write(&e->output, e->model, e->out.images, e->n, err))
		return err->code;
	if (args->json)
		return print_json(e, args, err);
	cli_output_tell(&e->output, args, e->n);
	print_labels(e, args);
	return JF_OK;
}

int cli_edit(const struct cli_args *args) {
	struct jf_error err = {0};
	struct editing e = {0};
	int status = CLI_EXIT_OK;

	if (args->n_operands == 0)
		return cli_usage("missing picture");
	if (args->n_operands > 1)
		return cli_usage("extra operand '%s': edit takes one picture", args->operands[1]);
	if (cli_output_plan(&e.output, args, "edit.png", &err))
		return cli_usage("%s", err.message);
	if (cli_labels_given(args) > 1)
		return cli_usage("--class (or --digit), --weights and --label are mutually exclusive");
	if (args->counterfactual && args->strength > 0.0)
		return cli_usage("--counterfactual finds the strength itself and cannot be combined with --strength");
	if (args->counterfactual && cli_labels_given(args) == 0)
		return cli_usage("--counterfactual needs a class: --class, --weights or --label");
	if (editing_init(&e, args, &err) || edit(&e, args, &err) || write_and_tell(&e, args, &err))
		status = cli_fail(&err);
	editing_deinit(&e);
	return status;
}
