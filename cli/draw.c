/* generate, blend and sample: what ends in pictures. */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/setup.h"
#include "core/pictures/sheet.h"
#include "core/questions/answer.h"
#include "core/questions/spacing.h"

/* What is to be drawn, and what was. */
struct drawing {
	struct jf_model *model; /* referenced */
	struct cli_output output;
	struct jf_task_options options;
	int n;
	float *images;         /* [n][H][W][C] */
	float *labels;         /* [n][K] */
	float *probabilities;  /* [n][K]; sample only */
	uint64_t *noise_index; /* [n]; NULL: 0, 1, 2 ... */
};

static void drawing_deinit(struct drawing *d) {
	free(d->images);
	free(d->labels);
	free(d->probabilities);
	free(d->noise_index);
	jf_model_unref(d->model);
}

static enum jf_err drawing_init(
    struct drawing *d, const struct cli_args *args, enum jf_task task, struct jf_error *err) {
	d->model = cli_model_load(args, NULL, 0, err);
	if (!d->model)
		return err->code;
	cli_task_options(&d->options, args, task);
	return JF_OK;
}

static enum jf_err drawing_allocate(struct drawing *d, int64_t n, struct jf_error *err) {
	if (n > CLI_MAX_IMAGES) {
		cli_blame_usage();
		return jf_error_set(err, JF_ELIMIT, "%lld images are too many: at most %d can be drawn at a time",
		    (long long)n, CLI_MAX_IMAGES);
	}
	d->n = (int)n;
	d->images = cli_floats((size_t)n * jf_network_image_floats(&d->model->config), err);
	d->labels = cli_floats((size_t)n * (size_t)d->model->config.classes, err);
	d->noise_index = calloc((size_t)n, sizeof(*d->noise_index));
	if (!d->images || !d->labels)
		return JF_ENOMEM;
	if (!d->noise_index)
		return jf_error_set(err, JF_ENOMEM, "no memory for %d images", d->n);
	return JF_OK;
}

static float *label_at(struct drawing *d, int i) {
	return d->labels + (size_t)i * (size_t)d->model->config.classes;
}

/* labels -> images */
static enum jf_err draw(struct drawing *d, const struct cli_args *args, const char *what, struct jf_error *err) {
	struct cli_progress progress;
	enum jf_err status;

	cli_progress_begin(&progress, &d->options, what, args->quiet);
	status = jf_generate(d->model, d->images, d->labels, d->noise_index, d->n, &d->options, err);
	cli_progress_end(&progress);
	return status;
}

static enum jf_err print_json(struct drawing *d, struct jf_error *err) {
	struct jf_json_writer json;
	size_t classes = (size_t)d->model->config.classes;
	enum jf_err status;

	jf_json_writer_init(&json);
	jf_json_begin_object(&json, NULL);
	cli_output_put_settings(&json, &d->output, d->model, &d->options, d->n);
	jf_json_begin_array(&json, "images");
	for (int i = 0; i < d->n; i++) {
		char member[32];

		jf_json_begin_object(&json, NULL);
		cli_output_member(member, sizeof(member), i, d->n);
		if (d->output.kind == CLI_OUTPUT_FOLDER)
			jf_json_put_string(&json, "file", member);
		jf_json_put_unsigned(&json, "index", d->probabilities ? (uint64_t)i : d->noise_index[i]);
		if (d->probabilities)
			jf_answer_put_label(&json, d->model, jf_draw_class(label_at(d, i), (int)classes),
			    d->probabilities + (size_t)i * classes);
		jf_json_put_floats(&json, "label_values", label_at(d, i), classes);
		jf_json_end_object(&json);
	}
	jf_json_end_array(&json);
	jf_json_end_object(&json);
	status = cli_json_print(&json, err);
	jf_json_writer_deinit(&json);
	return status;
}

static enum jf_err write_and_tell(struct drawing *d, const struct cli_args *args, struct jf_error *err) {
	if (cli_output_write(&d->output, d->model, d->images, d->n, err))
		return err->code;
	if (args->json)
		return print_json(d, err);
	cli_output_tell(&d->output, args, d->n);
	return JF_OK;
}

/* --- generate ------------------------------------------------------------- */

/* The label vectors that were asked for: rows of `count` images each, same noise down a column. */
static enum jf_err plan_generate(struct drawing *d, const struct cli_args *args, struct jf_error *err) {
	int classes = d->model->config.classes;
	bool all = cli_labels_given(args) == 0;
	int count = args->count ? args->count : JF_DEFAULT_COUNT;
	int rows = all ? classes : 1;
	enum jf_err status = drawing_allocate(d, (int64_t)rows * count, err);

	if (status)
		return status;
	for (int i = 0; i < d->n; i++)
		d->noise_index[i] = (uint64_t)(i % count);
	if (all) {
		if (!d->output.columns && count > 1)
			d->output.columns = count; /* a row for each class */
		for (int i = 0; i < d->n; i++)
			jf_label_one_hot(label_at(d, i), i / count, classes);
		return JF_OK;
	}
	status = cli_label_parse(d->labels, d->model, args, err);
	for (int i = 1; i < d->n && status == JF_OK; i++)
		memcpy(label_at(d, i), d->labels, sizeof(float) * (size_t)classes);
	return status;
}

int cli_generate(const struct cli_args *args) {
	struct jf_error err = {0};
	struct drawing d = {0};
	int status = CLI_EXIT_OK;

	if (args->n_operands)
		return cli_usage("extra operand '%s'", args->operands[0]);
	if (cli_output_plan(&d.output, args, "generate.png", &err))
		return cli_usage("%s", err.message);
	if (cli_labels_given(args) > 1)
		return cli_usage("--class (or --digit), --weights and --label are mutually exclusive");
	if (drawing_init(&d, args, JF_TASK_GENERATE, &err) || plan_generate(&d, args, &err) ||
	    draw(&d, args, "generate", &err) || write_and_tell(&d, args, &err))
		status = cli_fail(&err);
	drawing_deinit(&d);
	return status;
}

/* --- blend ---------------------------------------------------------------- */

/* Row r has noise r and runs from one class to the other. */
static enum jf_err plan_morph(struct drawing *d, const struct cli_args *args, struct jf_error *err) {
	int rows = args->rows ? args->rows : JF_DEFAULT_ROWS;
	int columns = args->columns ? args->columns : JF_DEFAULT_COLUMNS;
	int from, to;

	if (cli_class_parse(&from, d->model, "from", args->from, err) ||
	    cli_class_parse(&to, d->model, "to", args->to, err) || drawing_allocate(d, (int64_t)rows * columns, err))
		return err->code;
	d->output.columns = columns;
	return jf_spacing_fill(d->labels, d->noise_index, d->model,
	    &(struct jf_blend){
		.from = from, .to = to, .rows = rows, .columns = columns, .spacing = (enum jf_spacing)args->spacing},
	    &d->options, err);
}

/* Row a, column b: half a, half b, all from the same noise. */
static enum jf_err plan_matrix(struct drawing *d, struct jf_error *err) {
	int classes = d->model->config.classes;

	if (drawing_allocate(d, (int64_t)classes * classes, err))
		return err->code;
	d->output.columns = classes;
	jf_blend_fill(d->labels, d->noise_index,
	    &(struct jf_blend){.matrix = true, .rows = classes, .columns = classes}, classes);
	return JF_OK;
}

int cli_blend(const struct cli_args *args) {
	struct jf_error err = {0};
	struct drawing d = {0};
	int status = CLI_EXIT_OK;

	if (args->n_operands)
		return cli_usage("extra operand '%s'", args->operands[0]);
	if (cli_output_plan(&d.output, args, "blend.png", &err))
		return cli_usage("%s", err.message);
	if (args->matrix && (args->from || args->to || args->rows || args->columns || args->spacing))
		return cli_usage("--matrix cannot be combined with --from, --to, --rows, --columns or --spacing");
	if (!args->matrix && (!args->from || !args->to))
		return cli_usage("blend needs --from CLASS --to CLASS, or --matrix");
	if (drawing_init(&d, args, JF_TASK_GENERATE, &err) ||
	    (args->matrix ? plan_matrix(&d, &err) : plan_morph(&d, args, &err)) || draw(&d, args, "blend", &err) ||
	    write_and_tell(&d, args, &err))
		status = cli_fail(&err);
	drawing_deinit(&d);
	return status;
}

/* --- sample --------------------------------------------------------------- */

static enum jf_err sample(struct drawing *d, const struct cli_args *args, struct jf_error *err) {
	struct cli_progress progress;
	enum jf_err status = drawing_allocate(d, args->count ? args->count : JF_DEFAULT_COUNT, err);

	if (status)
		return status;
	d->probabilities = cli_floats((size_t)d->n * (size_t)d->model->config.classes, err);
	if (!d->probabilities)
		return JF_ENOMEM;
	cli_progress_begin(&progress, &d->options, "sample", args->quiet);
	status = jf_sample(d->model, d->images, d->labels, d->probabilities, d->n, &d->options, err);
	cli_progress_end(&progress);
	return status;
}

/* The labels that were drawn with the images, laid out as the sheet is. */
static void print_labels(struct drawing *d, const struct cli_args *args) {
	int columns = d->output.columns;

	if (args->json || args->quiet || !strcmp(d->output.name, "-"))
		return;
	for (int i = 0; i < d->n; i++) {
		int label = jf_draw_class(label_at(d, i), d->model->config.classes);
		bool last = (i + 1) % columns == 0 || i + 1 == d->n;

		printf("%s%s", d->model->class_names[label], last ? "\n" : " ");
	}
}

int cli_sample(const struct cli_args *args) {
	struct jf_error err = {0};
	struct drawing d = {0};
	int status = CLI_EXIT_OK;

	if (args->n_operands)
		return cli_usage("extra operand '%s'", args->operands[0]);
	if (cli_output_plan(&d.output, args, "sample.png", &err))
		return cli_usage("%s", err.message);
	if (drawing_init(&d, args, JF_TASK_SAMPLE, &err) || sample(&d, args, &err)) {
		status = cli_fail(&err);
	} else {
		d.output.columns = jf_sheet_columns_of(d.output.columns, d.n);
		if (write_and_tell(&d, args, &err))
			status = cli_fail(&err);
		else
			print_labels(&d, args);
	}
	drawing_deinit(&d);
	return status;
}
