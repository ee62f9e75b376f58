/* Evaluation during a run, and the checkpoint that comes out of it. */
#include "config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/files/checkpoint.h"
#include "trainer/run_internal.h"

/* Sticky setter of facts: the first failure stays. */
struct facts {
	struct jf_model *model;
	enum jf_err rc;
};

static void fact(struct facts *facts, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fact(struct facts *facts, const char *key, const char *format, ...) {
	char *text = NULL;
	va_list args;

	if (facts->rc != JF_OK)
		return;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	facts->rc = text ? jf_model_set_fact(facts->model, key, text) : JF_ENOMEM;
	free(text);
}

static void measured(struct facts *facts, const char *prefix, const struct jf_evaluation *e) {
	char key[64];

	if (e->posterior.n > 0) {
		snprintf(key, sizeof(key), "%s_images", prefix);
		fact(facts, key, "%zu", e->posterior.n);
		snprintf(key, sizeof(key), "%s_accuracy", prefix);
		fact(facts, key, "%.6f", e->posterior.accuracy);
		snprintf(key, sizeof(key), "%s_nll", prefix);
		fact(facts, key, "%.6f", e->posterior.nll);
		snprintf(key, sizeof(key), "%s_ece", prefix);
		fact(facts, key, "%.6f", e->posterior.ece);
	}
	if (!isnan(e->ode_accuracy)) {
		snprintf(key, sizeof(key), "%s_ode_accuracy", prefix);
		fact(facts, key, "%.6f", e->ode_accuracy);
	}
	if (!isnan(e->drawn_agreement)) {
		snprintf(key, sizeof(key), "%s_drawn_agreement", prefix);
		fact(facts, key, "%.6f", e->drawn_agreement);
	}
}

static enum jf_err set_facts(struct run *run, int ema, const struct jf_evaluation *best, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	struct facts facts = {run->exported, JF_OK};
	struct jf_options_facts recipe;

	fact(&facts, "program", "jointflow-train %s", PACKAGE_VERSION);
	fact(&facts, "command_line", "%s", run->command_line);
	fact(&facts, "epochs", "%.4g", jf_run_epochs(run));
	fact(&facts, "epochs_planned", "%.4g", (double)run->schedule.end * o->batch / (double)run->n_train);
	fact(&facts, "steps", "%llu", (unsigned long long)run->state.step);
	fact(&facts, "training_images", "%zu", run->n_train);
	fact(&facts, "data_digest", "%s", run->dataset.digest);
	fact(&facts, "wall_time_s", "%.0f", run->wall_before_s + jf_clock_s() - run->begun);
	fact(&facts, "ema", "%.9g", (double)o->ema[ema]);
	if (!isnan(run->loss_image)) {
		fact(&facts, "loss_image", "%.6g", run->loss_image);
		fact(&facts, "loss_label", "%.6g", run->loss_label);
	}
	jf_options_facts(o, &recipe);
	for (size_t i = 0; i < recipe.n; i++)
		fact(&facts, recipe.key[i], "%s", recipe.value[i]);
	measured(&facts, "holdout", best);
	return facts.rc == JF_OK ? JF_OK
				 : jf_error_set(err, facts.rc, "the model's facts: %s", jf_err_phrase(facts.rc));
}

static void tell(struct run *run, const char *event, const char *what, double decay, const struct jf_evaluation *e) {
	char line[256];
	int used = snprintf(line, sizeof(line), "epoch %.2f  %s %.6g ", jf_run_epochs(run), what, decay);
	struct jf_json_writer *w = jf_log_json_begin(run->log, event);

	jf_json_put_unsigned(w, "step", run->state.step);
	jf_json_put_double(w, "epoch", jf_run_epochs(run));
	jf_json_put_float(w, "ema", (float)decay);
	if (e->posterior.n > 0) {
		used += snprintf(line + used, sizeof(line) - (size_t)used, " posterior %.2f %%  NLL %.4f  ECE %.2f %%",
		    100 * e->posterior.accuracy, e->posterior.nll, 100 * e->posterior.ece);
		jf_json_put_double(w, "accuracy", e->posterior.accuracy);
		jf_json_put_double(w, "nll", e->posterior.nll);
		jf_json_put_double(w, "ece", e->posterior.ece);
		jf_json_put_float(w, "temperature", e->temperature);
	}
	if (!isnan(e->ode_accuracy)) {
		used +=
		    snprintf(line + used, sizeof(line) - (size_t)used, "  label ODE %.2f %%", 100 * e->ode_accuracy);
		jf_json_put_double(w, "ode_accuracy", e->ode_accuracy);
	}
	if (!isnan(e->drawn_agreement)) {
		used += snprintf(line + used, sizeof(line) - (size_t)used, "  drawn %.1f %%", 100 * e->drawn_agreement);
		jf_json_put_double(w, "drawn_agreement", e->drawn_agreement);
	}
	snprintf(line + used, sizeof(line) - (size_t)used, "  (%.0f s)", e->seconds);
	jf_json_put_double(w, "seconds", e->seconds);
	jf_log_json_end(run->log);
	jf_log_say(run->log, false, "%s", line);
}

static struct jf_evaluate_options evaluate_options(const struct run *run) {
	return (struct jf_evaluate_options){
	    .threads = run->threads,
	    .steps = run->options->eval_steps,
	    .drawn = run->options->eval_drawn,
	    .ode = run->options->eval_ode,
	    .cancel = run->stop,
	};
}

/* Early in a run all EMAs are the same, since each is shortened at the start: one is enough then. */
static bool same_as_before(const struct run *run, int which) {
	size_t size = run->model->graph->n_params_floats * sizeof(float);

	return which > 0 &&
	       memcmp(jf_trainer_ema(run->trainer, which), jf_trainer_ema(run->trainer, which - 1), size) == 0;
}

/* Measures each EMA; the least NLL wins. *drawn: the best one's images, new, or NULL. */
static enum jf_err choose(
    struct run *run, int *best, struct jf_evaluation *best_result, float **best_drawn, struct jf_error *err) {
	struct jf_evaluate_options options = evaluate_options(run);
	enum jf_err rc = JF_OK;

	*best = -1;
	*best_drawn = NULL;
	for (int i = 0; i < run->options->n_ema; i++) {
		struct jf_evaluation result;
		float *drawn = NULL;

		if (same_as_before(run, i))
			continue;
		run->exported->temperature = 1;
		rc = jf_trainer_export(run->trainer, i, run->exported, err);
		if (rc == JF_OK)
			rc = jf_evaluate(&result, &drawn, run->exported, &run->dataset, run->order + run->n_train,
			    run->n_holdout, &options, err);
		if (rc != JF_OK)
			break;
		tell(run, "evaluation", "EMA", (double)run->options->ema[i], &result);
		if (*best < 0 || result.posterior.nll < best_result->posterior.nll) {
			float *kept = *best_drawn;

			*best = i;
			*best_result = result;
			*best_drawn = drawn;
			drawn = kept;
		}
		free(drawn);
	}
	return rc;
}

/* The finished model on data that nothing was chosen on. */
static enum jf_err measure_test(struct run *run, struct jf_error *err) {
	struct jf_evaluate_options options = evaluate_options(run);
	struct jf_evaluation result;
	struct jf_dataset test;
	struct facts facts = {run->exported, JF_OK};
	enum jf_err rc = jf_dataset_load(&test, run->options->test, JF_DATASET_TEST, err);

	if (rc != JF_OK)
		return rc;
	options.drawn = 0;
	if (test.height != run->dataset.height || test.width != run->dataset.width ||
	    test.channels != run->dataset.channels || test.classes > run->dataset.classes)
		rc = jf_error_set(
		    err, JF_EINVAL, "%s: other image sizes or classes than the training data", run->options->test);
	if (rc == JF_OK)
		rc = jf_evaluate(&result, NULL, run->exported, &test, NULL, test.n, &options, err);
	if (rc == JF_OK) {
		tell(run, "test", "test, temperature", (double)run->exported->temperature, &result);
		measured(&facts, "test", &result);
		rc = facts.rc;
	}
	jf_dataset_deinit(&test);
	return rc;
}

enum jf_err jf_run_evaluate(struct run *run, bool final, struct jf_error *err) {
	struct jf_evaluation result;
	float *drawn = NULL;
	int best;
	enum jf_err rc = choose(run, &best, &result, &drawn, err);

	if (rc != JF_OK)
		goto out;
	rc = jf_trainer_export(run->trainer, best, run->exported, err);
	if (rc != JF_OK)
		goto out;
	run->exported->temperature = result.temperature;
	rc = set_facts(run, best, &result, err);
	if (rc == JF_OK && final && run->options->test)
		rc = measure_test(run, err);
	if (rc == JF_OK)
		rc = jf_checkpoint_save(run->exported, run->options->output, err);
	if (rc == JF_OK && run->options->sheet && drawn)
		rc = jf_evaluate_sheet(run->options->sheet, drawn, &run->dataset, run->options->eval_drawn, err);
	if (rc == JF_OK && final)
		jf_log_say(
		    run->log, false, "%s: saved, EMA %.6g", run->options->output, (double)run->options->ema[best]);
out:
	free(drawn);
	return rc;
}
