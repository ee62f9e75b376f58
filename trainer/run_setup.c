/* The beginning of a run: data, network, state of an earlier session. */
#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/files/checkpoint.h"
#include "core/kernels/kernels.h"
#include "trainer/run_internal.h"

/* The last part of the data's path that is a name: "data/mnist/" and, there, "." -> "mnist". */
static enum jf_err set_names(struct run *run, struct jf_model *model, struct jf_error *err) {
	char *copy = realpath(run->options->data, NULL);
	enum jf_err rc;

	if (!copy)
		return jf_error_set(err, JF_EIO, "%s: %s", run->options->data, strerror(errno));
	rc = jf_model_set_name(model, run->options->name ? run->options->name : basename(copy));
	if (rc == JF_OK)
		rc = jf_model_set_class_names(model, (const char *const *)run->dataset.class_names);
	free(copy);
	if (rc != JF_OK)
		return jf_error_set(err, rc, "the model's name or class names: %s", jf_err_phrase(rc));
	return jf_checkpoint_check_names(model, err);
}

/* Every parameter of `from` into the one of the same name. What a deeper network has beside them keeps its initial
 * values, and with those adds nothing: the last matrix of each layer and block begins at zero. */
static void take_params(struct jf_model *model, const struct jf_model *from) {
	for (int i = 0; i < from->graph->n_params; i++) {
		const struct jf_param *theirs = &from->graph->params[i];

		for (int j = 0; j < model->graph->n_params; j++) {
			const struct jf_param *ours = &model->graph->params[j];

			if (strcmp(ours->name, theirs->name) == 0)
				memcpy(model->params + ours->offset, from->params + theirs->offset,
				    theirs->size * sizeof(float));
		}
	}
}

/* --init: a finished model's weights instead of random ones; the network may have more layers and blocks. */
static enum jf_err start_from(const char *path, struct jf_model *model, struct jf_error *err) {
	struct jf_model *from = jf_checkpoint_load(path, err);
	struct jf_network_config common;
	const char *field;
	enum jf_err rc;
	int theirs, ours;

	if (!from)
		return err->code;
	common = from->config;
	if (common.layers < model->config.layers)
		common.layers = model->config.layers;
	if (common.blocks < model->config.blocks)
		common.blocks = model->config.blocks;
	field = jf_checkpoint_difference(&common, &model->config, &theirs, &ours);
	if (field) {
		rc = jf_error_set(
		    err, JF_EINVAL, "%s: another network: %s is %d there, %d here", path, field, theirs, ours);
	} else {
		take_params(model, from);
		rc = jf_model_pack(model, err);
	}
	jf_model_unref(from);
	return rc;
}

static enum jf_err make_models(struct run *run, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	struct jf_network_config config = {
	    .height = run->dataset.height,
	    .width = run->dataset.width,
	    .image_channels = run->dataset.channels,
	    .classes = run->dataset.classes,
	    .channels = o->channels,
	    .blocks = o->blocks,
	    .layers = o->layers,
	    .heads = o->heads,
	    .label_tokens = o->label_tokens,
	    .augment = o->augment > 0 ? JF_AUGMENT_SIZE : 0,
	    .head = o->head == 0 ? JF_HEAD_ENDPOINT : JF_HEAD_VELOCITY,
	};

	run->model = jf_model_create(&config, o->seed, err);
	run->exported = run->model ? jf_model_create(&config, o->seed, err) : NULL;
	if (!run->exported)
		return err->code;
	if (o->init) {
		enum jf_err rc = start_from(o->init, run->model, err);

		if (rc != JF_OK)
			return rc;
	}
	run->exported->preprocess = run->preprocess;
	run->exported->paper = run->paper;
	return set_names(run, run->exported, err);
}

static enum jf_err make_trainer(struct run *run, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	struct jf_optimiser_options optimiser = jf_optimiser_options_default();

	optimiser.weight_decay = (float)o->weight_decay;
	optimiser.clip = (float)o->clip;
	optimiser.n_ema = o->n_ema;
	memcpy(optimiser.ema_decay, o->ema, sizeof(optimiser.ema_decay));
	if (run->n_holdout > 0 && run->mpi->rank == 0) {
		run->state.best = malloc(run->model->graph->n_params_floats * sizeof(float));
		if (!run->state.best)
			return jf_error_set(err, JF_ENOMEM, "out of memory for the best weights");
	}
	run->state.best_loss = INFINITY;
	run->trainer = jf_trainer_create(run->model, &run->objective, &optimiser, o->seed, run->threads, err);
	if (!run->trainer)
		return err->code;
	if (run->mpi->size > 1)
		jf_trainer_set_allreduce(run->trainer, jf_mpi_sum, NULL);
	return JF_OK;
}

/* Process 0 has read the state; the others get it from there. */
static void share_state(struct run *run) {
	float *best = run->state.best; /* process 0's alone */
	size_t bytes = run->model->graph->n_params_floats * sizeof(float);

	jf_mpi_broadcast(&run->state, sizeof(run->state));
	run->state.best = best;
	jf_mpi_broadcast(jf_trainer_params(run->trainer), bytes);
	jf_mpi_broadcast(jf_trainer_moment1(run->trainer), bytes);
	jf_mpi_broadcast(jf_trainer_moment2(run->trainer), bytes);
	for (int i = 0; i < run->options->n_ema; i++)
		jf_mpi_broadcast(jf_trainer_ema(run->trainer, i), bytes);
	*jf_trainer_step_count(run->trainer) = run->state.step;
}

static enum jf_err resume(struct run *run, uint64_t end, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	enum jf_err rc = JF_OK;

	if (run->mpi->rank == 0)
		rc = jf_state_load(o->state, &run->state, run->trainer, run->model->graph->n_params_floats, o, err);
	if (jf_mpi_any(rc != JF_OK))
		return rc != JF_OK ? rc : jf_error_set(err, JF_EIO, "process 0 could not load the training state");
	share_state(run);
	jf_trainer_restored(run->trainer);
	run->wall_before_s = run->state.wall_time_s;
	/* Another end, later or earlier: a schedule of its own from here on. One that has passed ends the run at
	 * once. */
	if (o->extend && end != run->state.schedule_end) {
		run->state.schedule_start = run->state.step;
		run->state.schedule_end = end > run->state.step ? end : run->state.step;
	}
	return JF_OK;
}

/* Fresh, or from the state file; sets run->schedule. */
static enum jf_err begin(struct run *run, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	double steps = jf_options_steps(o, run->n_train);
	bool exists = run->mpi->rank == 0 && access(o->state, F_OK) == 0;
	uint64_t end;
	enum jf_err rc = JF_OK;

	if (steps > 1e12)
		return jf_error_set(err, JF_EINVAL, "--epochs: %g steps are too many", steps);
	end = (uint64_t)steps;
	run->state.schedule_end = end;
	exists = jf_mpi_any(exists);
	if (exists && !o->resume)
		return jf_error_set(
		    err, JF_EINVAL, "%s: holds a training state; --resume goes on from it, or remove it", o->state);
	if (exists)
		rc = resume(run, end, err);
	run->schedule = (struct jf_schedule){.start = run->state.schedule_start,
	    .end = run->state.schedule_end,
	    .warmup = jf_options_warmup(o, run->state.schedule_end - run->state.schedule_start),
	    .peak = o->lr};
	return rc;
}

static enum jf_err open_log(struct run *run, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	struct jf_log_options options = {
	    .file = run->mpi->rank == 0 ? o->log : NULL,
	    .quiet = o->quiet || run->mpi->rank != 0,
	    .start = run->state.step,
	    .end = run->schedule.end,
	    .steps_per_epoch = (double)run->n_train / o->batch,
	    .batch = o->batch,
	};
	char text[128];

	run->log = jf_log_open(&options, err);
	if (!run->log)
		return err->code;
	jf_log_say(run->log, false,
	    "%llu steps of %d images (%.4g epochs), warm-up %llu, weight decay %g, augmentation %g",
	    (unsigned long long)run->schedule.end, o->batch, (double)run->schedule.end / options.steps_per_epoch,
	    (unsigned long long)run->schedule.warmup, o->weight_decay, o->augment);
	jf_log_say(run->log, false,
	    "%zu images of %d x %d x %d in %d classes, %zu more kept back; %zu parameters; %d thread(s)%s, %s kernels",
	    run->n_train, run->dataset.width, run->dataset.height, run->dataset.channels, run->dataset.classes,
	    run->n_holdout, run->model->graph->n_params_floats, run->threads,
	    run->mpi->size > 1 ? " in each of several processes" : "", jf_kernels()->name);
	if (jf_kernels_complaint(text, sizeof(text)))
		jf_log_warn(run->log, "%s", text);
	if (run->state.step > 0)
		jf_log_say(run->log, false, "resuming after epoch %.2f of %g (step %llu of %llu)", jf_run_epochs(run),
		    (double)run->schedule.end / options.steps_per_epoch, (unsigned long long)run->state.step,
		    (unsigned long long)run->schedule.end);
	return JF_OK;
}

static enum jf_err open_loader(struct run *run, struct jf_error *err) {
	const struct jf_train_options *o = run->options;
	int first = (int)((long)o->batch * run->mpi->rank / run->mpi->size);
	int end = (int)((long)o->batch * (run->mpi->rank + 1) / run->mpi->size);
	struct jf_loader_options options = {
	    .seed = o->seed,
	    .batch = o->batch,
	    .first = first,
	    .count = end - first,
	    .start = run->state.step,
	    .augment = {.strength = (float)o->augment, .probability = (float)o->augment_probability},
	    .augment_held = o->augment_what == 1 ? &run->objective : NULL,
	};

	if (end == first)
		return jf_error_set(
		    err, JF_EINVAL, "--batch=%d is too small for %d processes", o->batch, run->mpi->size);
	run->loader = jf_loader_create(&run->dataset, run->order, run->n_train, &options, err);
	return run->loader ? JF_OK : err->code;
}

static void set_objective(struct run *run) {
	const struct jf_train_options *o = run->options;

	run->objective = (struct jf_objective_options){.times = (enum jf_times)o->times,
	    .density = (enum jf_time_density)o->density,
	    .label_weight = (float)o->label_weight,
	    .image_shift = (float)o->image_shift,
	    .guidance = (float)o->guidance};
	memcpy(run->objective.shares, o->shares, sizeof(run->objective.shares));
}

enum jf_err jf_run_setup(struct run *run, struct jf_error *err) {
	long cpus = sysconf(_SC_NPROCESSORS_ONLN) / run->mpi->size;
	enum jf_err rc;

	set_objective(run);
	run->threads = run->options->threads ? run->options->threads : cpus < 1 ? 1 : cpus > 256 ? 256 : (int)cpus;
	if ((rc = jf_run_load_data(run, err)) != JF_OK || (rc = make_models(run, err)) != JF_OK ||
	    (rc = make_trainer(run, err)) != JF_OK || (rc = jf_run_check_files(run, err)) != JF_OK ||
	    (rc = begin(run, err)) != JF_OK || (rc = open_log(run, err)) != JF_OK ||
	    (rc = open_loader(run, err)) != JF_OK)
		return rc;
	jf_run_tell_classes(run);
	run->last_saved = jf_clock_s();
	return run->state.step == 0 ? jf_run_save_state(run, err) : JF_OK; /* finds out whether it can be saved */
}

enum jf_err jf_run_save_state(struct run *run, struct jf_error *err) {
	if (run->mpi->rank != 0)
		return JF_OK;
	run->state.wall_time_s = run->wall_before_s + jf_clock_s() - run->begun;
	return jf_state_save(
	    run->options->state, &run->state, run->trainer, run->model->graph->n_params_floats, run->options, err);
}

void jf_run_deinit(struct run *run) {
	jf_loader_destroy(run->loader);
	jf_log_close(run->log);
	if (run->trainer)
		jf_trainer_destroy(run->trainer);
	jf_model_unref(run->exported);
	jf_model_unref(run->model);
	free(run->order);
	jf_dataset_deinit(&run->test);
	jf_dataset_deinit(&run->dataset);
	free(run->state.best);
}
