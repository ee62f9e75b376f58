#include "trainer/run.h"

#include <math.h>
#include <string.h>

#include "core/base/clock.h"
#include "trainer/run_internal.h"

#define LOSS_SMOOTHING 0.99

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

static bool evaluation_due(const struct run *run) {
	double every = run->options->eval_every, now = jf_run_epochs(run);
	double before = now - (double)run->options->batch / (double)run->n_train;

	return every > 0 && run->state.step < run->schedule.end && floor(now / every) > floor(before / every);
}

static enum jf_err step(struct run *run, struct jf_error *err) {
	float rate = jf_schedule_rate(&run->schedule, run->state.step);
	const struct jf_batch *batch = jf_loader_next(run->loader);
	double keep = isnan(run->loss_image) ? 0 : LOSS_SMOOTHING;
	struct jf_step_result result;
	enum jf_err rc = jf_trainer_step(run->trainer, &result, batch, run->options->batch, rate, err);

	if (rc == JF_OK && !(isfinite(result.loss_image) && isfinite(result.loss_label)))
		rc = jf_error_set(err, JF_ENUMERIC, "the loss is not a finite number any more");
	if (rc != JF_OK) {
		jf_error_prefix(err, "step %llu", (unsigned long long)run->state.step + 1);
		return rc;
	}
	run->state.step++;
	run->loss_image = (keep > 0 ? keep * run->loss_image : 0) + (1 - keep) * result.loss_image;
	run->loss_label = (keep > 0 ? keep * run->loss_label : 0) + (1 - keep) * result.loss_label;
	if (run->mpi->rank == 0)
		jf_log_step(run->log, &(struct jf_log_step){run->state.step, result.loss_image, result.loss_label,
					  (double)result.grad_norm, (double)rate});
	return JF_OK;
}

static enum jf_err evaluate(struct run *run, bool final, struct jf_error *err) {
	enum jf_err rc;

	if (run->mpi->rank != 0)
		return JF_OK;
	jf_log_pause(run->log);
	rc = jf_run_evaluate(run, final, err);
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
		rc = step(run, err);
		if (rc != JF_OK)
			return rc;
		if (jf_clock_s() - run->last_saved >= 60 * run->options->save_every_min) {
			rc = save(run, false, err);
			if (rc != JF_OK)
				return rc;
		}
		if (evaluation_due(run)) {
			rc = evaluate(run, false, err);
			if (rc == JF_ECANCELED)
				continue;
			if (rc != JF_OK) /* the run is worth more than its evaluation */
				jf_log_say(run->log, true, "jointflow-train: evaluation: %s", err->message);
		}
	}
	return JF_OK;
}

static enum jf_err finish(struct run *run, bool *stopped, struct jf_error *err) {
	enum jf_err rc = save(run, true, err);

	if (rc == JF_OK && !*stopped) {
		rc = evaluate(run, true, err);
		if (rc == JF_ECANCELED) {
			*stopped = true;
			rc = JF_OK;
		}
	}
	return rc;
}

enum jf_run_outcome jf_run(const struct jf_train_options *options, const struct jf_mpi *mpi, const atomic_bool *stop,
    const char *command_line, struct jf_error *err) {
	struct run run = {.options = options,
	    .mpi = mpi,
	    .stop = stop,
	    .command_line = command_line,
	    .begun = jf_clock_s(),
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
