/* classify: which class each picture shows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "cli/setup.h"
#include "core/questions/answer.h"
#include "core/questions/question.h"

/* One picture on the command line. */
struct picture {
	const char *file;
	bool usable;
	struct jf_error error; /* why not */
	struct jf_framing_report framing;
};

struct classification {
	struct jf_model *model; /* referenced */
	struct picture *pictures;
	int n; /* pictures; the usable ones are packed at the front of the arrays below */
	int n_usable;
	float *images;        /* [n][H][W][C] */
	float *probabilities; /* [n][K] */
	int *votes;           /* [n][K]; method sample only */
	float *familiarity;   /* [n]; -1: the model cannot tell */
};

static void classification_deinit(struct classification *c) {
	free(c->pictures);
	free(c->images);
	free(c->probabilities);
	free(c->votes);
	free(c->familiarity);
	jf_model_unref(c->model);
}

static enum jf_err classification_init(struct classification *c, const struct cli_args *args, struct jf_error *err) {
	size_t cells;

	*c = (struct classification){.n = args->n_operands};
	c->model = cli_model_load(args, NULL, 0, err);
	if (!c->model)
		return err->code;
	cells = (size_t)c->n * (size_t)c->model->config.classes;
	c->images = cli_floats((size_t)c->n * jf_network_image_floats(&c->model->config), err);
	c->probabilities = cli_floats(cells, err);
	c->pictures = calloc((size_t)c->n, sizeof(*c->pictures));
	c->votes = calloc(cells, sizeof(*c->votes));
	c->familiarity = cli_floats((size_t)c->n, err);
	if (!c->images || !c->probabilities || !c->familiarity)
		return JF_ENOMEM;
	if (!c->pictures || !c->votes)
		return jf_error_set(err, JF_ENOMEM, "no memory for %d pictures", c->n);
	return JF_OK;
}

/* Reads and frames one picture into `out`. */
static enum jf_err read_picture(
    struct picture *picture, float *out, const struct jf_model *model, const struct cli_args *args) {
	picture->usable =
	    cli_picture_read(out, &picture->framing, picture->file, model, args, &picture->error) == JF_OK;
	return picture->error.code;
}

static void read_pictures(struct classification *c, const struct cli_args *args) {
	size_t size = jf_network_image_floats(&c->model->config);

	for (int i = 0; i < c->n; i++) {
		c->pictures[i].file = args->operands[i];
		if (read_picture(&c->pictures[i], c->images + (size_t)c->n_usable * size, c->model, args) == JF_OK)
			c->n_usable++;
		else if (!args->json && !args->csv)
			cli_error("%s", c->pictures[i].error.message);
	}
}

static enum jf_err run(struct classification *c, const struct cli_args *args, int samples, struct jf_error *err) {
	struct jf_task_options options;
	struct cli_progress progress;
	enum jf_err status;

	if (c->n_usable == 0)
		return JF_OK;
	cli_task_options(&options, args, JF_TASK_CLASSIFY);
	options.familiarity = c->familiarity;
	cli_progress_begin(&progress, &options, "classify", args->quiet);
	status = jf_classify(c->model, (enum jf_method)args->method, c->votes, c->probabilities, c->images, c->n_usable,
	    samples, &options, err);
	cli_progress_end(&progress);
	return status;
}

/* The class on place `place` (0: the best) of the order. */
static int on_place(const struct classification *c, int row, int place, bool votes) {
	int classes = c->model->config.classes;
	size_t at = (size_t)row * (size_t)classes;

	return jf_votes_place(votes ? c->votes + at : NULL, c->probabilities + at, place, classes);
}

static void print_text(const struct classification *c, const struct cli_args *args, int samples) {
	bool votes = args->method == JF_METHOD_SAMPLE;
	int classes = c->model->config.classes;
	int top = args->top ? args->top : 1;

	for (int i = 0, row = 0; i < c->n; i++) {
		if (!c->pictures[i].usable)
			continue;
		printf("%s:", c->pictures[i].file);
		for (int place = 0; place < top && place < classes; place++) {
			int k = on_place(c, row, place, votes);
			size_t at = (size_t)row * (size_t)classes + (size_t)k;

			printf("%s %s ", place ? "," : "", c->model->class_names[k]);
			if (votes)
				printf("(%d of %d votes)", c->votes[at], samples);
			else
				printf("(%.2f %%)", 100.0 * (double)c->probabilities[at]);
		}
		if (c->familiarity[row] >= 0 && (double)c->familiarity[row] < JF_UNFAMILIAR_BELOW)
			printf(
			    ", but unlike anything it was trained on (familiarity %.3g)", (double)c->familiarity[row]);
		putchar('\n');
		row++;
	}
}

static void put_picture(
    struct jf_json_writer *json, const struct classification *c, const struct picture *picture, int row, bool votes) {
	int classes = c->model->config.classes;
	size_t at = (size_t)row * (size_t)classes;
	int label;

	jf_json_begin_object(json, NULL);
	jf_json_put_string(json, "file", picture->file);
	if (!picture->usable) {
		jf_json_put_string(json, "error", picture->error.message);
		jf_json_end_object(json);
		return;
	}
	label = on_place(c, row, 0, votes);
	jf_answer_put_label(json, c->model, label, c->probabilities + at);
	jf_answer_put_familiarity(json, c->familiarity[row], JF_UNFAMILIAR_BELOW);
	if (votes)
		jf_answer_put_votes(json, c->votes + at, classes);
	jf_json_begin_object(json, "preprocess");
	jf_answer_put_framing(json, &picture->framing);
	jf_json_end_object(json);
	jf_json_end_object(json);
}

static enum jf_err print_json(
    const struct classification *c, const struct cli_args *args, int samples, struct jf_error *err) {
	bool votes = args->method == JF_METHOD_SAMPLE;
	struct jf_json_writer json;
	enum jf_err status;

	jf_json_writer_init(&json);
	jf_json_begin_object(&json, NULL);
	jf_answer_put_model(&json, c->model);
	jf_json_put_string(&json, "method", jf_method_names[args->method]);
	jf_json_put_unsigned(&json, "seed", args->seed);
	jf_json_put_integer(&json, "samples", samples);
	jf_json_begin_array(&json, "results");
	for (int i = 0, row = 0; i < c->n; i++) {
		put_picture(&json, c, &c->pictures[i], row, votes);
		row += c->pictures[i].usable;
	}
	jf_json_end_array(&json);
	jf_json_end_object(&json);
	status = cli_json_print(&json, err);
	jf_json_writer_deinit(&json);
	return status;
}

/* A field of RFC 4180: quoted where it must be. */
static void print_field(const char *text, const char *end) {
	if (!strpbrk(text, ",\"\r\n")) {
		printf("%s%s", text, end);
		return;
	}
	putchar('"');
	for (; *text; text++)
		printf(*text == '"' ? "\"\"" : "%c", *text);
	printf("\"%s", end);
}

/* One line a picture, in the order given; what could not be read has its error in the last column. */
static void print_csv(const struct classification *c, bool votes) {
	int classes = c->model->config.classes;
	char head[JF_ERROR_SIZE];

	printf("file,label,name,confidence,");
	for (int k = 0; k < classes; k++) {
		snprintf(head, sizeof(head), "p_%.255s", c->model->class_names[k]);
		print_field(head, ",");
	}
	printf("error\n");
	for (int i = 0, row = 0; i < c->n; i++) {
		const float *probabilities = c->probabilities + (size_t)row * (size_t)classes;
		int label;

		print_field(c->pictures[i].file, ",");
		if (!c->pictures[i].usable) {
			for (int k = 0; k < classes + 3; k++)
				putchar(',');
			print_field(c->pictures[i].error.message, "\n");
			continue;
		}
		label = on_place(c, row, 0, votes);
		printf("%d,", label);
		print_field(c->model->class_names[label], ",");
		printf("%.6g,", (double)probabilities[label]);
		for (int k = 0; k < classes; k++)
			printf("%.6g,", (double)probabilities[k]);
		putchar('\n');
		row++;
	}
}

int cli_classify(const struct cli_args *args) {
	int samples = cli_samples(args);
	struct jf_error err = {0};
	struct classification c;
	int status = CLI_EXIT_OK;

	if (args->n_operands == 0)
		return cli_usage("missing picture");
	if (args->json && args->csv)
		return cli_usage("--json and --csv are mutually exclusive");
	if (classification_init(&c, args, &err)) {
		status = cli_fail(&err);
		goto out;
	}
	read_pictures(&c, args);
	if (run(&c, args, samples, &err) || (args->json && print_json(&c, args, samples, &err))) {
		status = cli_fail(&err);
		goto out;
	}
	if (args->csv)
		print_csv(&c, args->method == JF_METHOD_SAMPLE);
	else if (!args->json)
		print_text(&c, args, samples);
	if (c.n_usable < c.n)
		status = CLI_EXIT_FAILURE;
out:
	classification_deinit(&c);
	return status;
}
