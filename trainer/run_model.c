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
#include "core/questions/calibrate.h"
#include "trainer/run_internal.h"

#define LEAST_LEARNT 0.2 /* of the way from chance to always right: less is told as not learnt */

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
	fact(&facts, "best_step", "%llu",
	    (unsigned long long)(run->state.best && isfinite(run->state.best_loss) ? run->state.best_step
										   : run->state.step));
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

/* ema NAN: not one of the means, but the model. */
static void tell(struct run *run, const char *event, const char *what, double ema, const struct jf_evaluation *e) {
	char line[256];
	int used = snprintf(line, sizeof(line), "epoch %.2f  %s ", jf_run_epochs(run), what);
	struct jf_json_writer *w = jf_log_json_begin(run->log, event);

	jf_json_put_unsigned(w, "step", run->state.step);
	jf_json_put_double(w, "epoch", jf_run_epochs(run));
	if (!isnan(ema)) {
		used += snprintf(line + used, sizeof(line) - (size_t)used, "%.6g ", ema);
		jf_json_put_float(w, "ema", (float)ema);
	}
	if (e->posterior.n > 0) {
		used += snprintf(line + used, sizeof(line) - (size_t)used, " posterior %.2f %%  NLL %.4f  ECE %.2f %%",
		    100 * e->posterior.accuracy, e->posterior.nll, 100 * e->posterior.ece);
		jf_json_put_double(w, "accuracy", e->posterior.accuracy);
		jf_json_put_double(w, "nll", e->posterior.nll);
		jf_json_put_double(w, "ece", e->posterior.ece);
		jf_json_put_float(w, "temperature", isnan(ema) ? run->exported->temperature : e->temperature);
		if (!isnan(ema))
			jf_json_put_double(w, "loss", e->loss);
	}
	if (!isnan(e->ode_accuracy)) {
		used += snprintf(line + used, sizeof(line) - (size_t)used, "  label ODE %.2f %% (a draw: %.2f)",
		    100 * e->ode_accuracy, 100 * e->draw_accuracy);
		jf_json_put_double(w, "ode_accuracy", e->ode_accuracy);
		jf_json_put_double(w, "draw_accuracy", e->draw_accuracy);
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

/* Keeps the weights of `exported` if they are the best of the run so far; of one step's means the one with the least
 * loss, of different steps the later one within the slack. state.best_loss: the least of all. */
static void consider(struct run *run, int ema, const struct jf_evaluation *e) {
	double least = run->state.best_loss, limit = least;

	if (!run->state.best || run->options->ship || e->posterior.n == 0)
		return;
	if (run->state.best_step == run->state.step)
		limit = run->loss_of_best;
	else if (isfinite(least))
		limit += jf_evaluate_slack(least, run->dataset.classes);
	if (!(e->loss < limit))
		return;
	memcpy(run->state.best, run->exported->params, run->model->graph->n_params_floats * sizeof(float));
	run->state.best_loss = fmin(least, e->loss);
	run->state.best_step = run->state.step;
	run->state.best_ema = ema;
	run->loss_of_best = e->loss;
}

static enum jf_err measure(
    struct run *run, struct jf_evaluation *result, float **drawn, bool all, struct jf_error *err) {
	struct jf_evaluate_options options = evaluate_options(run);

	if (!all)
		options.drawn = options.ode = 0;
	run->exported->temperature = 1;
	return jf_evaluate(
	    result, drawn, run->exported, &run->dataset, run->order + run->n_train, run->n_holdout, &options, err);
}

enum jf_err jf_run_check(struct run *run, struct jf_error *err) {
	enum jf_err rc = JF_OK;

	for (int i = 0; rc == JF_OK && i < run->options->n_ema; i++) {
		struct jf_evaluation result;

		if (same_as_before(run, i))
			continue;
		rc = jf_trainer_export(run->trainer, i, run->exported, err);
		if (rc == JF_OK)
			rc = measure(run, &result, NULL, false, err);
		if (rc != JF_OK)
			break;
		tell(run, "check", "EMA", (double)run->options->ema[i], &result);
		consider(run, i, &result);
	}
	return rc;
}

/* Measures each EMA as it is now; *now: the one with the least loss, which `exported` does not hold then. */
static enum jf_err measure_all(
    struct run *run, int *now, struct jf_evaluation *best, float **best_drawn, struct jf_error *err) {
	enum jf_err rc = JF_OK;

	*now = -1;
	for (int i = 0; rc == JF_OK && i < run->options->n_ema; i++) {
		struct jf_evaluation result;
		float *drawn = NULL;

		if (same_as_before(run, i))
			continue;
		rc = jf_trainer_export(run->trainer, i, run->exported, err);
		if (rc == JF_OK)
			rc = measure(run, &result, &drawn, true, err);
		if (rc != JF_OK)
			break;
		tell(run, "evaluation", "EMA", (double)run->options->ema[i], &result);
		consider(run, i, &result);
		if (*now < 0 || result.loss < best->loss) {
			float *kept = *best_drawn;

			*now = i;
			*best = result;
			*best_drawn = drawn;
			drawn = kept;
		}
		free(drawn);
	}
	return rc;
}

/* `exported` becomes what ships: the best state of the run, measured. */
static enum jf_err choose(
    struct run *run, int *ema, struct jf_evaluation *result, float **drawn, struct jf_error *err) {
	bool earlier;
	enum jf_err rc = measure_all(run, ema, result, drawn, err);

	if (rc != JF_OK)
		return rc;
	if (!run->state.best || !isfinite(run->state.best_loss)) /* nothing to choose by, or no wish to */
		return jf_trainer_export(run->trainer, *ema, run->exported, err);
	earlier = run->state.best_step != run->state.step;
	*ema = run->state.best_ema;
	memcpy(run->exported->params, run->state.best, run->model->graph->n_params_floats * sizeof(float));
	rc = jf_model_pack(run->exported, err);
	if (rc != JF_OK || !earlier)
		return rc;
	free(*drawn);
	*drawn = NULL;
	rc = measure(run, result, drawn, true, err);
	if (rc == JF_OK)
		tell(run, "best", "the best state, of an earlier step, EMA", (double)run->options->ema[*ema], result);
	return rc;
}

/* --- what it did not learn --- */

/* How far an accuracy has come from chance (0) to always right (1). */
static double learnt(double accuracy, double chance) {
	return (accuracy - chance) / (1 - chance);
}

static void warn_unlearnt(struct run *run, const struct jf_evaluation *e) {
	const struct jf_train_options *o = run->options;
	double chance = 1.0 / run->dataset.classes;
	unsigned long long more = 4 * (unsigned long long)run->schedule.end;

	if (e->posterior.n > 0 && learnt(e->posterior.accuracy, e->commonest) < LEAST_LEARNT)
		jf_log_warn(run->log,
		    "the classes are not told apart: %.1f %% of the images kept back are right, and always answering "
		    "the commonest class would give %.1f %%. Either the run is too short (--steps=%llu), or --lr=%g "
		    "does not suit it, or the labels do not belong to the images",
		    100 * e->posterior.accuracy, 100 * e->commonest, more, o->lr);
	else if (!isnan(e->drawn_agreement) && learnt(e->drawn_agreement, chance) < LEAST_LEARNT)
		jf_log_warn(run->log,
		    "drawing does not follow the label: %.1f %% of the drawn images are what was asked for, and chance "
		    "would give %.1f %%. Either the run is too short (--steps=%llu), or%s",
		    100 * e->drawn_agreement, 100 * chance, more,
		    o->times == JF_TIMES_MIXTURE
			? " there are too few images of each class"
			: " its clocks seldom ask for an image given its label (--times=mixture does)");
}

/* How many of each class of the test data are right; classes that it has not are left out. */
static void tell_by_class(struct run *run, const uint64_t *confusion) {
	size_t classes = (size_t)run->dataset.classes, used = 0;
	struct jf_json_writer *w = jf_log_json_begin(run->log, "test_classes");
	char line[1024] = "";

	jf_json_begin_object(w, "accuracy");
	for (size_t k = 0; k < classes; k++) {
		const char *name = run->dataset.class_names[k];
		uint64_t n = 0, right = confusion[k * classes + k];

		for (size_t j = 0; j < classes; j++)
			n += confusion[k * classes + j];
		if (n == 0)
			continue;
		jf_json_put_double(w, name, (double)right / (double)n);
		if (used + 80 < sizeof(line))
			used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%.40s %.1f %% of %llu",
			    used ? ", " : "", name, 100 * (double)right / (double)n, (unsigned long long)n);
	}
	jf_json_end_object(w);
	jf_log_json_end(run->log);
	jf_log_say(run->log, false, "test by class: %s%s", line,
	    used + 80 < sizeof(line) ? "" : " ... (the log file has all)");
}

/* The finished model, as it was saved, on data that nothing was chosen on; its facts then hold that too. */
static enum jf_err measure_test(struct run *run, struct jf_error *err) {
	struct jf_evaluate_options options = evaluate_options(run);
	struct jf_evaluation result;
	struct facts facts = {run->exported, JF_OK};
	size_t classes = (size_t)run->dataset.classes;
	enum jf_err rc;

	options.drawn = 0;
	options.confusion = calloc(classes * classes, sizeof(*options.confusion));
	if (!options.confusion)
		return jf_error_set(err, JF_ENOMEM, "out of memory for the test by class");
	rc = jf_evaluate(&result, NULL, run->exported, &run->test, NULL, run->test.n, &options, err);
	if (rc == JF_OK) {
		tell(run, "test", "test", NAN, &result);
		tell_by_class(run, options.confusion);
	}
	free(options.confusion);
	if (rc != JF_OK)
		return rc;
	measured(&facts, "test", &result);
	return facts.rc == JF_OK ? jf_checkpoint_save(run->exported, run->options->output, err)
				 : jf_error_set(err, facts.rc, "the model's facts: %s", jf_err_phrase(facts.rc));
}

/* The images kept back are what the quantiles are of. Too few images: the model is saved without. */
static enum jf_err calibrate(struct run *run, struct jf_error *err) {
	struct jf_task_options options = jf_task_options_default();
	enum jf_err rc;

	options.threads = run->threads;
	options.cancel = run->stop;
	rc = jf_calibrate_labels(run->exported, &run->dataset, run->order, run->n_train, &options, err);
	if (rc != JF_OK)
		return rc;
	if (run->n_train >= JF_FAMILIARITY_MIN && run->n_holdout >= JF_FAMILIARITY_MIN)
		return jf_calibrate(
		    run->exported, &run->dataset, run->order, run->n_train, run->n_holdout, &options, err);
	jf_log_say(run->log, false,
	    "the model will not say how familiar a picture is: that takes %d images to train on and %d kept "
	    "back",
	    JF_FAMILIARITY_MIN, JF_FAMILIARITY_MIN);
	return JF_OK;
}

enum jf_err jf_run_evaluate(struct run *run, bool final, struct jf_error *err) {
	struct jf_evaluation result;
	float *drawn = NULL;
	int ema;
	enum jf_err rc = choose(run, &ema, &result, &drawn, err);

	if (rc != JF_OK)
		goto out;
	run->exported->temperature = result.temperature;
	rc = set_facts(run, ema, &result, err);
	if (rc == JF_OK && final)
		rc = calibrate(run, err);
	if (rc == JF_OK)
		rc = jf_checkpoint_save(run->exported, run->options->output, err);
	if (rc == JF_OK && run->options->sheet && drawn)
		rc = jf_evaluate_sheet(run->options->sheet, drawn, &run->dataset, run->options->eval_drawn, err);
	if (rc == JF_OK && final) {
		jf_log_say(run->log, false, "%s: saved, EMA %.6g, of step %llu", run->options->output,
		    (double)run->options->ema[ema],
		    (unsigned long long)(run->state.best && isfinite(run->state.best_loss) ? run->state.best_step
											   : run->state.step));
		warn_unlearnt(run, &result);
		if (run->test.n > 0)
			rc = measure_test(run, err);
	}
out:
	free(drawn);
	return rc;
}
