#include "trainer/run.h"

#include <math.h>
#include <string.h>

#include "core/base/clock.h"
#include "trainer/run_internal.h"

#define LOSS_SMOOTHING 0.99
#define CHECKS 16 /* of the images kept back, over a run */
/* A network that predicts nothing at all owes 1 to 2 for an image and ln K for a label. A smoothed loss beyond twice
 * that has gone astray. */
#define ASTRAY 2.0

double jf_run_epochs(const struct run *run) {
	return (double)run->state.step * run->options->batch / (double)run->n_train;
}

/* A failure to save is told and survived (the file from before stays, and the next attempt may work), but for the
 * last. */
static enum jf_err save(struct run *run, bool last, struct jf_error *err) {
	enum jf_err rc;

	if (run->mpi->rank != 0)
		return JF_OK;
	jf_log_pause(run->log);
	rc = jf_run_save_state(run, err);
	jf_log_continue(run->log);
	run->last_saved = jf_clock_s();
	if (rc == JF_OK || last)
		return rc;
	jf_log_say(run->log, true, "jointflow-train: the training state is not saved: %s", err->message);
	return JF_OK;
}

enum evaluation { CHECK, PERIODIC, FINAL };

static bool evaluation_due(const struct run *run) {
	double every = run->options->eval_every, now = jf_run_epochs(run);
	double before = now - (double)run->options->batch / (double)run->n_train;

	return every > 0 && run->state.step < run->schedule.end && floor(now / every) > floor(before / every);
}

static bool check_due(const struct run *run) {
	uint64_t every = (run->schedule.end - run->schedule.start) / CHECKS;

	return run->n_holdout > 0 && every > 0 && run->state.step < run->schedule.end && run->state.step % every == 0;
}

static bool astray(const struct run *run, double factor) {
	return run->loss_image > factor * 2 || run->loss_label > factor * fmax(log(run->dataset.classes), 2);
}

static enum jf_err diverged(const struct run *run, struct jf_error *err) {
	return jf_error_set(err, JF_ENUMERIC,
	    "the training has diverged: loss %.3g of an image, %.3g of a label. --lr=%g is likely too high; %s holds "
	    "the last good state: --resume --extend --lr=%.1g goes on from it, or remove it and begin anew",
	    run->loss_image, run->loss_label, run->options->lr, run->options->state, run->options->lr / 10);
}

static enum jf_err step(struct run *run, struct jf_error *err) {
	float rate = jf_schedule_rate(&run->schedule, run->state.step);
	const struct jf_batch *batch = jf_loader_next(run->loader);
	double keep = isnan(run->loss_image) ? 0 : LOSS_SMOOTHING;
	struct jf_step_result result;
	enum jf_err rc = jf_trainer_step(run->trainer, &result, batch, run->options->batch, rate, err);

	if (rc == JF_ENUMERIC || (rc == JF_OK && !(isfinite(result.loss_image) && isfinite(result.loss_label))))
		rc = diverged(run, err);
	if (rc != JF_OK) {
		jf_error_prefix(err, "step %llu", (unsigned long long)run->state.step + 1);
		return rc;
	}
	run->state.step++;
	run->loss_image = (keep > 0 ? keep * run->loss_image : 0) + (1 - keep) * result.loss_image;
	run->loss_label = (keep > 0 ? keep * run->loss_label : 0) + (1 - keep) * result.loss_label;
	run->diverging = astray(run, 1);
	if (astray(run, ASTRAY)) {
		diverged(run, err);
		jf_error_prefix(err, "step %llu", (unsigned long long)run->state.step);
		return JF_ENUMERIC;
	}
	if (run->mpi->rank == 0)
		jf_log_step(run->log, &(struct jf_log_step){run->state.step, result.loss_image, result.loss_label,
					  (double)result.grad_norm, (double)rate});
	return JF_OK;
}

static enum jf_err evaluate(struct run *run, enum evaluation what, struct jf_error *err) {
	enum jf_err rc;

	if (run->mpi->rank != 0)
		return JF_OK;
	jf_log_pause(run->log);
	rc = what == CHECK ? jf_run_check(run, err) : jf_run_evaluate(run, what == FINAL, err);
	jf_log_continue(run->log);
	return rc;
}

/* *stopped: whether the loop ended before the schedule did. */
static enum jf_err loop(struct run *run, bool *stopped, struct jf_error *err) {
	double limit = run->options->limit_s;
	enum jf_err rc;

	*stopped = false;
	while (run->state.step < run->schedule.end) {
		bool mine = atomic_load(run->stop) || (limit > 0 && jf_clock_s() - run->begun >= limit);

		if (jf_mpi_any(mine)) {
			*stopped = true;
			return JF_OK;
		}
		/* Due after a step, but told by the state: one that a kill or a stop has cut short is made up for. */
		if (run->state.evaluated < run->state.step && (evaluation_due(run) || check_due(run))) {
			rc = evaluate(run, evaluation_due(run) ? PERIODIC : CHECK, err);
			if (rc == JF_ECANCELED)
				continue;
			if (rc != JF_OK) /* the run is worth more than its evaluation */
				jf_log_say(run->log, true, "jointflow-train: evaluation: %s", err->message);
			run->state.evaluated = run->state.step;
			continue;
		}
		rc = step(run, err);
		if (rc != JF_OK)
			return rc;
		if (!run->diverging && jf_clock_s() - run->last_saved >= 60 * run->options->save_every_min) {
			rc = save(run, false, err);
			if (rc != JF_OK)
				return rc;
		}
	}
	return JF_OK;
}

static enum jf_err finish(struct run *run, bool *stopped, struct jf_error *err) {
	enum jf_err rc = save(run, true, err);

	if (rc == JF_OK && !*stopped) {
		rc = evaluate(run, FINAL, err);
		if (rc == JF_ECANCELED) {
			*stopped = true;
			rc = JF_OK;
		}
	}
	return rc;
}

enum jf_run_outcome jf_run(const struct jf_train_options *options, const struct jf_mpi *mpi, const atomic_bool *stop,
    const char *command_line, struct jf_error *err) {
	struct run run = {.options = &run.settled,
	    .settled = *options,
	    .mpi = mpi,
	    .stop = stop,
	    .command_line = command_line,
	    .begun = jf_clock_s(),
	    .loss_of_best = INFINITY,
	    .loss_image = NAN,
	    .loss_label = NAN};
	bool stopped = false;
	enum jf_err rc = jf_run_setup(&run, err);

	if (rc == JF_OK)
		rc = loop(&run, &stopped, err);
	if (rc == JF_OK)
		rc = finish(&run, &stopped, err);
	if (rc == JF_OK && stopped && mpi->rank == 0)
		jf_log_say(run.log, true, "stopped after epoch %.2f; %s holds the state, --resume goes on",
		    jf_run_epochs(&run), options->state);
	jf_run_deinit(&run);
	return rc != JF_OK ? JF_RUN_FAILED : stopped ? JF_RUN_STOPPED : JF_RUN_FINISHED;
}
