/* eval: how good a model is, on test data and by its own judgement of what it draws. */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "cli/setup.h"
#include "core/base/clock.h"
#include "core/files/dataset.h"
#include "core/questions/answer.h"
#include "core/questions/quality.h"
#include "core/questions/question.h"

struct evaluation {
	const struct cli_args *args;
	struct jf_model *model;
	struct jf_task_options options;
	struct jf_json_writer json;
	/* with --against */
	struct jf_dataset other;
	float *familiarity; /* [n] of the data, as it was classified */
	size_t n;
};

/* --- on labelled images ------------------------------------------------------ */

struct scores {
	struct jf_metrics metrics;
	uint64_t *confusion; /* [K][K] */
	float *images, *probabilities;
	int *votes;
	double seconds;
};

static void scores_deinit(struct scores *s) {
	free(s->confusion);
	free(s->images);
	free(s->probabilities);
	free(s->votes);
}

static void tell(void *context, const char *line) {
	(void)context;
	cli_error("%s", line);
}

static enum jf_err classify(struct evaluation *e, struct scores *s, int n, struct jf_error *err) {
	const struct cli_args *args = e->args;
	struct cli_progress progress;
	enum jf_err status;

	s->seconds = jf_clock_s();
	e->options.familiarity = e->familiarity;
	cli_progress_begin(&progress, &e->options, "classify", args->quiet);
	status = jf_classify(e->model, (enum jf_method)args->method, s->votes, s->probabilities, s->images, n,
	    cli_samples(args), &e->options, err);
	cli_progress_end(&progress);
	e->options.familiarity = NULL;
	s->seconds = jf_clock_s() - s->seconds;
	return status;
}

/* NLL and ECE are the probabilities'; of a vote, accuracy and confusion are the majority's, of equal numbers of votes
 * the likelier class. */
static void score(struct evaluation *e, struct scores *s, const uint16_t *labels, size_t n) {
	int classes = e->model->config.classes;
	struct jf_metrics voted;

	jf_metrics_compute(&s->metrics, s->confusion, s->probabilities, labels, n, classes);
	if (e->args->method != JF_METHOD_SAMPLE)
		return;
	for (size_t i = 0; i < n; i++) {
		float *p = s->probabilities + i * (size_t)classes;
		int winner = jf_votes_winner(s->votes + i * (size_t)classes, p, classes);

		for (int k = 0; k < classes; k++)
			p[k] = k == winner ? 1.0f : 0.0f;
	}
	jf_metrics_compute(&voted, s->confusion, s->probabilities, labels, n, classes);
	s->metrics.accuracy = voted.accuracy;
}

static void print_confusion(const struct evaluation *e, const struct scores *s) {
	int classes = e->model->config.classes;

	if (classes > 40) {
		printf("confusion matrix: %d x %d, see --json\n", classes, classes);
		return;
	}
	printf("confusion matrix (a row: what it is; a column: what was answered)\n%12s", "");
	for (int k = 0; k < classes; k++)
		printf(" %6.6s", e->model->class_names[k]);
	putchar('\n');
	for (int row = 0; row < classes; row++) {
		printf("%12.12s", e->model->class_names[row]);
		for (int k = 0; k < classes; k++)
			printf(" %6llu", (unsigned long long)s->confusion[row * classes + k]);
		putchar('\n');
	}
}

static uint64_t of_class(const struct evaluation *e, const struct scores *s, int k) {
	uint64_t n = 0;

	for (int j = 0; j < e->model->config.classes; j++)
		n += s->confusion[k * e->model->config.classes + j];
	return n;
}

static void print_classes(const struct evaluation *e, const struct scores *s) {
	int classes = e->model->config.classes;

	printf("by class\n");
	for (int k = 0; k < classes; k++) {
		uint64_t n = of_class(e, s, k), right = s->confusion[k * classes + k];

		if (n > 0)
			printf("%12.12s  %6.2f %% of %llu\n", e->model->class_names[k],
			    100.0 * (double)right / (double)n, (unsigned long long)n);
		else
			printf("%12.12s  none in the data\n", e->model->class_names[k]);
	}
}

static void print_scores(struct evaluation *e, const struct scores *s) {
	const struct jf_metrics *m = &s->metrics;

	printf("images     %zu\n", m->n);
	printf("method     %s", jf_method_names[e->args->method]);
	if (e->args->method == JF_METHOD_SAMPLE)
		printf(", %d %s step%s, %d sample%s", e->options.sampler.steps,
		    jf_solver_name(e->options.sampler.solver), e->options.sampler.steps == 1 ? "" : "s",
		    cli_samples(e->args), cli_samples(e->args) == 1 ? "" : "s");
	else if (cli_samples(e->args) > 1)
		printf(", %d draws", cli_samples(e->args));
	printf("\naccuracy   %.2f %%\n", 100.0 * m->accuracy);
	printf("NLL        %.4f\n", m->nll);
	printf("ECE        %.2f %%\n", 100.0 * m->ece);
	printf("speed      %.0f images/s (%.2f s, %d thread%s)\n", (double)m->n / s->seconds, s->seconds,
	    e->options.threads, e->options.threads == 1 ? "" : "s");
	print_classes(e, s);
	print_confusion(e, s);
}

static void put_scores(struct evaluation *e, const struct scores *s) {
	struct jf_json_writer *json = &e->json;
	int classes = e->model->config.classes;

	jf_json_begin_object(json, "classification");
	jf_json_put_string(json, "method", jf_method_names[e->args->method]);
	if (e->args->method == JF_METHOD_SAMPLE) {
		jf_json_put_integer(json, "steps", e->options.sampler.steps);
		jf_json_put_string(json, "solver", jf_solver_name(e->options.sampler.solver));
	}
	jf_json_put_integer(json, "samples", cli_samples(e->args));
	jf_json_put_unsigned(json, "images", s->metrics.n);
	jf_json_put_double(json, "accuracy", s->metrics.accuracy);
	jf_json_put_double(json, "nll", s->metrics.nll);
	jf_json_put_double(json, "ece", s->metrics.ece);
	jf_json_put_double(json, "seconds", s->seconds);
	jf_json_put_double(json, "images_per_second", (double)s->metrics.n / s->seconds);
	jf_json_begin_array(json, "classes");
	for (int k = 0; k < classes; k++) {
		jf_json_begin_object(json, NULL);
		jf_json_put_string(json, "name", e->model->class_names[k]);
		jf_json_put_unsigned(json, "images", of_class(e, s, k));
		jf_json_put_unsigned(json, "right", s->confusion[k * classes + k]);
		jf_json_end_object(json);
	}
	jf_json_end_array(json);
	jf_json_begin_array(json, "confusion");
	for (int row = 0; row < classes; row++) {
		jf_json_begin_array(json, NULL);
		for (int k = 0; k < classes; k++)
			jf_json_put_unsigned(json, NULL, s->confusion[row * classes + k]);
		jf_json_end_array(json);
	}
	jf_json_end_array(json);
	jf_json_end_object(json);
}

static enum jf_err scores_init(struct evaluation *e, struct scores *s, size_t n, struct jf_error *err) {
	size_t classes = (size_t)e->model->config.classes;

	*s = (struct scores){0};
	s->images = cli_floats(n * jf_network_image_floats(&e->model->config), err);
	s->probabilities = cli_floats(n * classes, err);
	s->votes = calloc(n * classes, sizeof(*s->votes));
	s->confusion = calloc(classes * classes, sizeof(*s->confusion));
	if (!s->images || !s->probabilities)
		return JF_ENOMEM;
	if (!s->votes || !s->confusion)
		return jf_error_set(err, JF_ENOMEM, "no memory for %zu images", n);
	return JF_OK;
}

static size_t at_most(const struct evaluation *e, const struct jf_dataset *data) {
	size_t limit = (size_t)e->args->limit;

	return limit && limit < data->n ? limit : data->n;
}

static enum jf_err load(struct evaluation *e, struct jf_dataset *data, const char *path, struct jf_error *err) {
	const struct jf_network_config *c = &e->model->config;
	const struct jf_dataset_form form = {c->height, c->width, c->image_channels, tell, NULL};

	return jf_dataset_load(data, path, JF_DATASET_TEST, &form, err);
}

static enum jf_err eval_data(struct evaluation *e, struct jf_error *err) {
	struct jf_dataset data = {0};
	struct scores s = {0};
	size_t n;

	if (load(e, &data, e->args->data, err) ||
	    jf_dataset_match(&data, e->model->class_names, e->model->config.classes, e->args->data, err))
		goto out;
	e->n = n = at_most(e, &data);
	if (scores_init(e, &s, n, err))
		goto out;
	if (e->args->against && !(e->familiarity = cli_floats(n, err)))
		goto out;
	for (size_t i = 0; i < n; i++)
		jf_dataset_image(&data, i, s.images + i * jf_network_image_floats(&e->model->config));
	if (classify(e, &s, (int)n, err))
		goto out;
	score(e, &s, data.labels, n);
	if (e->args->json)
		put_scores(e, &s);
	else
		print_scores(e, &s);
out:
	scores_deinit(&s);
	jf_dataset_deinit(&data);
	return err->code;
}

/* --- beside other data ------------------------------------------------------------ */

/* How familiar the images of the other set look: owned by the caller, *n of them; NULL on failure. Labels do not
 * matter.
 */
static float *familiarity_of_other(struct evaluation *e, size_t *n, struct jf_error *err) {
	size_t size = jf_network_image_floats(&e->model->config);
	float *images, *probabilities, *out;

	*n = at_most(e, &e->other);
	images = cli_floats(*n * size, err);
	probabilities = cli_floats(*n * (size_t)e->model->config.classes, err);
	out = cli_floats(*n, err);
	if (images && probabilities && out) {
		for (size_t i = 0; i < *n; i++)
			jf_dataset_image(&e->other, i, images + i * size);
		e->options.progress = NULL;
		e->options.familiarity = out;
		jf_classify_posterior(e->model, probabilities, images, (int)*n, 1, &e->options, err);
		e->options.familiarity = NULL;
	}
	free(images);
	free(probabilities);
	if (!err->code)
		return out;
	free(out);
	return NULL;
}

static double share_below(const float *values, size_t n, double bound) {
	size_t below = 0;

	for (size_t i = 0; i < n; i++)
		below += (double)values[i] < bound;
	return n ? (double)below / (double)n : 0;
}

static void put_against(struct evaluation *e, double auroc, double error, double alarms, double found) {
	if (e->args->json) {
		jf_json_begin_object(&e->json, "familiarity");
		jf_json_put_double(&e->json, "auroc", auroc);
		jf_json_put_double(&e->json, "auroc_error", error);
		jf_json_put_double(&e->json, "unfamiliar_below", JF_UNFAMILIAR_BELOW);
		jf_json_put_double(&e->json, "false_alarms", alarms);
		jf_json_put_double(&e->json, "found", found);
		jf_json_end_object(&e->json);
		return;
	}
	printf("told apart from %s by familiarity: AUROC %.4f, standard error %.4f\n", e->args->against, auroc, error);
	printf("unfamiliar (below %g): %.2f %% of the data, which are false alarms, %.2f %% of the other\n",
	    JF_UNFAMILIAR_BELOW, 100 * alarms, 100 * found);
}

/* What is to be compared with, of which it is known before minutes of evaluation are printed that it is there. */
static enum jf_err load_other(struct evaluation *e, struct jf_error *err) {
	if (!e->model->familiarity)
		return jf_error_set(err, JF_EINVAL,
		    "--against needs a calibrated model; this one is not calibrated (jointflow "
		    "calibrate does it)");
	return load(e, &e->other, e->args->against, err);
}

static enum jf_err eval_against(struct evaluation *e, struct jf_error *err) {
	size_t m;
	float *others = familiarity_of_other(e, &m, err);
	double auroc, error;

	if (!others)
		return err->code;
	auroc = jf_auroc(e->familiarity, e->n, others, m, &error);
	put_against(e, auroc, error, share_below(e->familiarity, e->n, JF_UNFAMILIAR_BELOW),
	    share_below(others, m, JF_UNFAMILIAR_BELOW));
	free(others);
	return JF_OK;
}

/* --- on what the model draws ---------------------------------------------------- */

/* For each class: how many were drawn with that label, and in how many the posterior sees it. */
struct agreement {
	int *drawn, *seen; /* [K] each */
	int total, agreed;
	double seconds; /* of drawing */
};

static enum jf_err agreement_init(struct agreement *a, int classes, struct jf_error *err) {
	*a = (struct agreement){0};
	a->drawn = calloc((size_t)classes, sizeof(*a->drawn));
	a->seen = calloc((size_t)classes, sizeof(*a->seen));
	return a->drawn && a->seen ? JF_OK : jf_error_set(err, JF_ENOMEM, "no memory for %d classes", classes);
}

static void agreement_deinit(struct agreement *a) {
	free(a->drawn);
	free(a->seen);
}

/* Draws n images, from labels when `joint` is false and jointly with them otherwise, and classifies them. */
static enum jf_err measure(struct evaluation *e, struct agreement *a, int n, bool joint, struct jf_error *err) {
	int classes = e->model->config.classes;
	size_t cells = (size_t)n * (size_t)classes;
	float *images = cli_floats((size_t)n * jf_network_image_floats(&e->model->config), err);
	float *labels = cli_floats(cells, err), *probabilities = cli_floats(cells, err);
	struct cli_progress progress;

	if (!images || !labels || !probabilities)
		goto out;
	for (int i = 0; i < n && !joint; i++)
		jf_label_one_hot(labels + (size_t)i * (size_t)classes, i % classes, classes);
	a->seconds = jf_clock_s();
	cli_progress_begin(&progress, &e->options, joint ? "sample" : "generate", e->args->quiet);
	if (joint)
		jf_sample(e->model, images, labels, NULL, n, &e->options, err);
	else
		jf_generate(e->model, images, labels, NULL, n, &e->options, err);
	cli_progress_end(&progress);
	a->seconds = jf_clock_s() - a->seconds;
	e->options.progress = NULL;
	if (err->code || jf_classify_posterior(e->model, probabilities, images, n, 1, &e->options, err))
		goto out;
	for (int i = 0; i < n; i++) {
		int label = jf_draw_class(labels + (size_t)i * (size_t)classes, classes);
		int agrees = jf_argmax(probabilities + (size_t)i * (size_t)classes, classes) == label;

		a->drawn[label]++;
		a->seen[label] += agrees;
		a->agreed += agrees;
	}
	a->total = n;
out:
	free(images);
	free(labels);
	free(probabilities);
	return err->code;
}

static double percent(int part, int whole) {
	return whole ? 100.0 * part / whole : 0.0;
}

static void print_agreement(const struct evaluation *e, const struct agreement *a, const char *what) {
	printf("%s: %.2f %% of %d (%.0f images/s, %d %s steps)\n", what, percent(a->agreed, a->total), a->total,
	    a->total / a->seconds, e->options.sampler.steps, jf_solver_name(e->options.sampler.solver));
	for (int k = 0; k < e->model->config.classes; k++) {
		if (a->drawn[k])
			printf("%12.12s  %6.2f %% of %d\n", e->model->class_names[k], percent(a->seen[k], a->drawn[k]),
			    a->drawn[k]);
		else
			printf("%12.12s  none drawn\n", e->model->class_names[k]);
	}
}

static void put_agreement(struct evaluation *e, const struct agreement *a, const char *key) {
	struct jf_json_writer *json = &e->json;

	jf_json_begin_object(json, key);
	jf_json_put_integer(json, "images", a->total);
	jf_json_put_integer(json, "agree", a->agreed);
	jf_json_put_double(json, "agreement", percent(a->agreed, a->total) / 100.0);
	jf_json_put_integer(json, "steps", e->options.sampler.steps);
	jf_json_put_string(json, "solver", jf_solver_name(e->options.sampler.solver));
	jf_answer_put_guidance(json, &e->options.sampler);
	jf_json_put_string(json, "judged_by", "own posterior");
	jf_json_put_double(json, "seconds", a->seconds);
	jf_json_begin_array(json, "classes");
	for (int k = 0; k < e->model->config.classes; k++) {
		jf_json_begin_object(json, NULL);
		jf_json_put_string(json, "name", e->model->class_names[k]);
		jf_json_put_integer(json, "images", a->drawn[k]);
		jf_json_put_integer(json, "agree", a->seen[k]);
		jf_json_end_object(json);
	}
	jf_json_end_array(json);
	jf_json_end_object(json);
}

static enum jf_err eval_drawn(struct evaluation *e, bool joint, struct jf_error *err) {
	int classes = e->model->config.classes;
	int64_t n = (int64_t)(e->args->count ? e->args->count : 100) * classes;
	struct agreement a;

	if (n > CLI_MAX_IMAGES)
		return jf_error_set(err, JF_ELIMIT, "%lld images are too many: at most %d can be drawn at a time",
		    (long long)n, CLI_MAX_IMAGES);
	if (agreement_init(&a, classes, err) == JF_OK && measure(e, &a, (int)n, joint, err) == JF_OK) {
		if (e->args->json)
			put_agreement(e, &a, joint ? "sample" : "generate");
		else
			print_agreement(e, &a, joint ? "joint samples" : "images drawn from a label");
	}
	agreement_deinit(&a);
	return err->code;
}

int cli_eval(const struct cli_args *args) {
	struct evaluation e = {.args = args};
	struct jf_error err = {0};

	if (args->n_operands)
		return cli_usage("extra operand '%s'", args->operands[0]);
	if (!args->data && !args->generate)
		return cli_usage("eval needs --data PATH, --generate or both");
	if (args->against && !args->data)
		return cli_usage("--against needs --data, the data that should look familiar");
	e.model = cli_model_load(args, NULL, 0, &err);
	if (!e.model)
		return cli_fail(&err);
	cli_task_options(&e.options, args, JF_TASK_CLASSIFY);
	jf_json_writer_init(&e.json);
	jf_json_begin_object(&e.json, NULL);
	jf_answer_put_model(&e.json, e.model);
	if (args->against)
		load_other(&e, &err);
	if (args->data && !err.code)
		eval_data(&e, &err);
	if (args->against && !err.code)
		eval_against(&e, &err);
	cli_task_options(&e.options, args, JF_TASK_GENERATE);
	if (args->generate && !args->json && !err.code)
		printf("judged by %s's own posterior, which shares the model's mistakes:\n", e.model->name);
	if (args->generate && !err.code)
		eval_drawn(&e, false, &err);
	if (args->generate && !err.code) {
		e.options.sampler.guidance = 1.0f; /* guidance has no meaning for a joint sample */
		eval_drawn(&e, true, &err);
	}
	jf_json_end_object(&e.json);
	if (args->json && !err.code)
		cli_json_print(&e.json, &err);
	jf_json_writer_deinit(&e.json);
	jf_dataset_deinit(&e.other);
	free(e.familiarity);
	jf_model_unref(e.model);
	return err.code ? cli_fail(&err) : CLI_EXIT_OK;
}
