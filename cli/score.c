/* score: how likely each picture is, and under which class. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "cli/setup.h"
#include "core/questions/answer.h"
#include "core/questions/score.h"

struct scoring {
	struct jf_model *model; /* referenced */
	struct jf_scorer *scorer;
	struct jf_json_writer json;
	float *image;           /* [H][W][C] */
	float *probabilities;   /* [K] by Bayes' rule */
	float *posterior;       /* [K] */
	float familiarity;      /* -1: the model cannot tell */
	double *log_p, *errors; /* [K + 1] */
	int draws;
};

static void scoring_deinit(struct scoring *s) {
	jf_scorer_destroy(s->scorer);
	free(s->image);
	free(s->probabilities);
	free(s->posterior);
	free(s->log_p);
	free(s->errors);
	jf_json_writer_deinit(&s->json);
	jf_model_unref(s->model);
}

static enum jf_err scoring_init(struct scoring *s, const struct cli_args *args, struct jf_error *err) {
	size_t classes;

	jf_json_writer_init(&s->json);
	s->draws = args->draws ? args->draws : JF_DEFAULT_SCORE_DRAWS;
	s->model = cli_model_load(args, NULL, 0, err);
	if (!s->model)
		return err->code;
	classes = (size_t)s->model->config.classes;
	s->image = cli_floats(jf_network_image_floats(&s->model->config), err);
	s->probabilities = cli_floats(classes, err);
	s->posterior = cli_floats(classes, err);
	s->log_p = calloc(classes + 1, sizeof(*s->log_p));
	s->errors = calloc(classes + 1, sizeof(*s->errors));
	if (!s->image || !s->probabilities || !s->posterior)
		return JF_ENOMEM;
	if (!s->log_p || !s->errors)
		return jf_error_set(err, JF_ENOMEM, "no memory to score pictures");
	s->scorer = jf_scorer_create(s->model, err);
	return s->scorer ? JF_OK : err->code;
}

static bool goes_on(void *unused) {
	(void)unused;
	return !atomic_load(cli_cancel_flag());
}

static void print_text(const struct scoring *s, const char *file, bool all) {
	const int classes = s->model->config.classes, best = jf_argmax(s->probabilities, classes);

	printf("%s: %.4f +- %.4f bits per dimension, ln P(image) %.1f +- %.1f; %s %.1f %%\n", file,
	    jf_score_bits(s->log_p[classes], &s->model->config), jf_score_bits(-s->errors[classes], &s->model->config),
	    s->log_p[classes], s->errors[classes], s->model->class_names[best], 100.0 * (double)s->probabilities[best]);
	for (int k = 0; all && k < classes; k++)
		printf("  %s: ln P(image | %s) %.1f +- %.1f, P(%s | image) %.1f %%\n", s->model->class_names[k],
		    s->model->class_names[k], s->log_p[k], s->errors[k], s->model->class_names[k],
		    100.0 * (double)s->probabilities[k]);
}

static void put_answer(struct scoring *s, const char *file, const struct jf_framing_report *framing) {
	struct jf_json_writer *json = &s->json;

	jf_json_begin_object(json, NULL);
	jf_json_put_string(json, "file", file);
	jf_answer_put_score(json, s->model, s->log_p, s->errors, s->probabilities, s->posterior);
	jf_answer_put_familiarity(json, s->familiarity, JF_UNFAMILIAR_BELOW);
	jf_json_begin_object(json, "preprocess");
	jf_answer_put_framing(json, framing);
	jf_json_end_object(json);
	jf_json_end_object(json);
}

/* The posterior of the same picture beside what Bayes' rule gives. */
static enum jf_err score_one(struct scoring *s, const char *file, const struct cli_args *args, struct jf_error *err) {
	struct jf_framing_report framing;
	const struct jf_score_args how = {.draws = s->draws, .seed = args->seed, .between = goes_on};
	struct jf_task_options options;

	cli_task_options(&options, args, JF_TASK_CLASSIFY);
	options.familiarity = &s->familiarity;
	if (cli_picture_read(s->image, &framing, file, s->model, args, err) ||
	    jf_scorer_score(s->scorer, s->log_p, s->errors, s->image, &how, err) ||
	    jf_classify_posterior(s->model, s->posterior, s->image, 1, 1, &options, err))
		return err->code;
	jf_score_bayes(s->probabilities, s->log_p, s->model->config.classes);
	if (args->json)
		put_answer(s, file, &framing);
	else
		print_text(s, file, args->all);
	return JF_OK;
}

/* A picture that cannot be used does not stop the others; any other failure does. */
static int score_all(struct scoring *s, const struct cli_args *args) {
	int status = CLI_EXIT_OK;

	for (int i = 0; i < args->n_operands; i++) {
		struct jf_error err = {0};
		enum jf_err rc = score_one(s, args->operands[i], args, &err);

		if (rc == JF_ECANCELED || rc == JF_ENOMEM)
			return cli_fail(&err);
		if (rc == JF_OK)
			continue;
		status = CLI_EXIT_FAILURE;
		if (args->json) {
			jf_json_begin_object(&s->json, NULL);
			jf_json_put_string(&s->json, "file", args->operands[i]);
			jf_json_put_string(&s->json, "error", err.message);
			jf_json_end_object(&s->json);
		} else {
			cli_error("%s", err.message);
		}
	}
	return status;
}

int cli_score(const struct cli_args *args) {
	struct jf_error err = {0};
	struct scoring s = {0};
	int status;

	if (args->n_operands == 0)
		return cli_usage("missing picture");
	if (args->draws % 2)
		return cli_usage(
		    "--draws must be even, not %d: the standard error comes from pairs of draws", args->draws);
	if (scoring_init(&s, args, &err)) {
		status = cli_fail(&err);
		goto out;
	}
	jf_json_begin_object(&s.json, NULL);
	jf_answer_put_model(&s.json, s.model);
	jf_json_put_unsigned(&s.json, "seed", args->seed);
	jf_json_put_integer(&s.json, "draws", s.draws);
	jf_json_begin_array(&s.json, "results");
	status = score_all(&s, args);
	jf_json_end_array(&s.json);
	jf_json_end_object(&s.json);
	if (args->json && cli_json_print(&s.json, &err))
		status = cli_fail(&err);
out:
	scoring_deinit(&s);
	return status;
}
