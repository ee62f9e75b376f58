#include "core/questions/tasks.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_THREADS 256

/* One question, cut into chunks of `batch` samples that the threads take one after the other. */
struct work {
	struct jf_model *model;
	const struct jf_task_options *options;
	enum jf_task task;
	int n;
	/* What each sample holds and where its answers go; NULL where the task has none. */
	const float *in_images, *in_labels;
	const uint64_t *noise_index;
	float *out_images, *out_labels, *out_probabilities;
	int draws;   /* posterior; 0 otherwise */
	int samples; /* votes of each image; 0 otherwise */
	int *votes;
	pthread_mutex_t lock; /* guards what follows; held for bookkeeping and the progress call only */
	int next, done;
	enum jf_err status;
	struct jf_error error;
};

struct jf_task_options jf_task_options_default(void) {
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return (struct jf_task_options){.sampler = jf_sampler_args_default(JF_TASK_CLASSIFY),
	    .threads = cpus < 1    ? 1
		       : cpus > 16 ? 16
				   : (int)cpus,
	    .batch = 16};
}

static size_t image_floats(const struct work *w) {
	return jf_network_image_floats(&w->model->config);
}

static size_t classes(const struct work *w) {
	return (size_t)w->model->config.classes;
}

static bool cancelled(const struct work *w) {
	return w->options->cancel && atomic_load(w->options->cancel);
}

static enum jf_err run_steps(const struct work *w, struct jf_sampler *sampler, struct jf_error *err) {
	while (jf_sampler_steps_left(sampler) > 0) {
		enum jf_err rc =
		    cancelled(w) ? jf_error_set(err, JF_ECANCELED, "cancelled") : jf_sampler_step(sampler, err);
		if (rc != JF_OK)
			return rc;
	}
	return JF_OK;
}

static uint64_t noise_of(const struct work *w, int i) {
	return w->options->first_index + (w->noise_index ? w->noise_index[i] : (uint64_t)i);
}

static void begin_arguments(const struct work *w, struct jf_trajectory *t, int first, int n) {
	for (int i = 0; i < n; i++)
		t[i] = (struct jf_trajectory){.seed = w->options->seed,
		    .index = noise_of(w, first + i),
		    .image = w->in_images ? w->in_images + (size_t)(first + i) * image_floats(w) : NULL,
		    .label = w->in_labels ? w->in_labels + (size_t)(first + i) * classes(w) : NULL};
}

static void collect(const struct work *w, const struct jf_sampler *sampler, int first, int n) {
	size_t pixels = image_floats(w), k = classes(w);

	for (int i = 0; i < n; i++) {
		size_t at = (size_t)(first + i);
		if (w->out_images)
			memcpy(w->out_images + at * pixels, jf_sampler_image(sampler, i), pixels * sizeof(float));
		if (w->out_labels)
			memcpy(w->out_labels + at * k, jf_sampler_label(sampler, i), k * sizeof(float));
		if (w->out_probabilities)
			memcpy(w->out_probabilities + at * k, jf_sampler_probabilities(sampler, i), k * sizeof(float));
	}
}

/* Generation and joint samples. */
static enum jf_err run_integration(struct work *w, struct jf_sampler *sampler, int first, int n, struct jf_error *err) {
	struct jf_trajectory t[JF_MAX_BATCH];
	enum jf_err rc;

	begin_arguments(w, t, first, n);
	rc = jf_sampler_begin(sampler, &w->options->sampler, t, n, err);
	if (rc == JF_OK)
		rc = run_steps(w, sampler, err);
	if (rc == JF_OK)
		collect(w, sampler, first, n);
	return rc;
}

static void count_votes(const struct work *w, const struct jf_sampler *sampler, int first, int n, int sample) {
	size_t k = classes(w);

	for (int i = 0; i < n; i++) {
		size_t at = (size_t)(first + i);

		jf_votes_add(w->votes + at * k, w->out_probabilities ? w->out_probabilities + at * k : NULL,
		    jf_sampler_label(sampler, i), jf_sampler_probabilities(sampler, i), w->samples, (int)k);
		if (w->out_labels)
			memcpy(w->out_labels + (at * (size_t)w->samples + (size_t)sample) * k,
			    jf_sampler_label(sampler, i), k * sizeof(float));
	}
}

static enum jf_err run_votes(struct work *w, struct jf_sampler *sampler, int first, int n, struct jf_error *err) {
	struct jf_trajectory t[JF_MAX_BATCH];
	uint64_t index[JF_MAX_BATCH];
	enum jf_err rc;

	begin_arguments(w, t, first, n);
	rc = jf_sampler_begin(sampler, &w->options->sampler, t, n, err);
	for (int s = 0; s < w->samples && rc == JF_OK; s++) {
		for (int i = 0; i < n; i++)
			index[i] = w->options->first_index + (uint64_t)(first + i) * (uint64_t)w->samples + (uint64_t)s;
		rc = jf_sampler_restart(sampler, index, err);
		if (rc == JF_OK)
			rc = run_steps(w, sampler, err);
		if (rc == JF_OK)
			count_votes(w, sampler, first, n, s);
	}
	return rc;
}

static bool between(void *context) {
	return !cancelled(context);
}

static enum jf_err run_posterior(struct work *w, struct jf_sampler *sampler, int first, int n, struct jf_error *err) {
	const float *images[JF_MAX_BATCH];

	if (cancelled(w))
		return jf_error_set(err, JF_ECANCELED, "cancelled");
	for (int i = 0; i < n; i++)
		images[i] = w->in_images + (size_t)(first + i) * image_floats(w);
	return jf_sampler_posterior(
	    sampler, w->out_probabilities + (size_t)first * classes(w), images, n, w->draws, between, w, err);
}

static enum jf_err run_chunk(struct work *w, struct jf_sampler *sampler, int first, int n, struct jf_error *err) {
	if (w->draws)
		return run_posterior(w, sampler, first, n, err);
	if (w->samples)
		return run_votes(w, sampler, first, n, err);
	return run_integration(w, sampler, first, n, err);
}

/* Takes the next chunk, or reports what became of the last one; false when there is nothing left to do. */
static bool take(struct work *w, int finished, enum jf_err rc, const struct jf_error *err, int *first, int *n) {
	bool go_on;

	pthread_mutex_lock(&w->lock);
	if (rc != JF_OK && w->status == JF_OK) {
		w->status = rc;
		w->error = *err;
	}
	w->done += finished;
	if (finished && w->options->progress)
		w->options->progress(w->options->progress_context, w->done, w->n);
	go_on = w->status == JF_OK && w->next < w->n;
	*first = w->next;
	*n = w->n - w->next < w->options->batch ? w->n - w->next : w->options->batch;
	w->next += go_on ? *n : 0;
	pthread_mutex_unlock(&w->lock);
	return go_on;
}

static void *run_thread(void *argument) {
	struct work *w = argument;
	struct jf_error err = {JF_OK, ""};
	struct jf_sampler *sampler = jf_sampler_create(w->model, w->task, w->options->batch, &err);
	enum jf_err rc = sampler ? JF_OK : err.code;
	int first, n = 0;

	while (take(w, rc == JF_OK ? n : 0, rc, &err, &first, &n))
		rc = run_chunk(w, sampler, first, n, &err);
	jf_sampler_destroy(sampler);
	return NULL;
}

static enum jf_err check_options(const struct work *w, struct jf_error *err) {
	const struct jf_task_options *o = w->options;

	if (w->n < 0 || w->draws < 0 || w->samples < 0)
		return jf_error_set(err, JF_EINVAL, "%d samples asked for", w->n);
	if (o->threads < 1 || o->threads > MAX_THREADS)
		return jf_error_set(err, JF_EINVAL, "threads is %d; it must be 1 to %d", o->threads, MAX_THREADS);
	if (o->batch < 1 || o->batch > JF_MAX_BATCH)
		return jf_error_set(err, JF_EINVAL, "batch is %d; it must be 1 to %d", o->batch, JF_MAX_BATCH);
	return JF_OK;
}

static enum jf_err run(struct work *w, struct jf_error *err) {
	pthread_t threads[MAX_THREADS];
	int started = 0, wanted = w->options->threads;

	if (check_options(w, err) != JF_OK)
		return JF_EINVAL;
	if (wanted > (w->n + w->options->batch - 1) / w->options->batch)
		wanted = (w->n + w->options->batch - 1) / w->options->batch;
	if (w->n == 0)
		return JF_OK;
	pthread_mutex_init(&w->lock, NULL);
	/* The caller's thread works too; with fewer threads than wanted it only takes longer. */
	while (started < wanted - 1 && pthread_create(&threads[started], NULL, run_thread, w) == 0)
		started++;
	run_thread(w);
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&w->lock);
	if (w->status != JF_OK)
		return jf_error_set(err, w->status, "%s", w->error.message);
	return JF_OK;
}

enum jf_err jf_classify_posterior(struct jf_model *model, float *probabilities, const float *images, int n, int draws,
    const struct jf_task_options *options, struct jf_error *err) {
	struct work w = {.model = model,
	    .options = options,
	    .task = JF_TASK_CLASSIFY,
	    .n = n,
	    .in_images = images,
	    .out_probabilities = probabilities,
	    .draws = draws};

	if (draws < 1)
		return jf_error_set(err, JF_EINVAL, "draws is %d; it must be at least 1", draws);
	return run(&w, err);
}

enum jf_err jf_classify_sample(struct jf_model *model, int *votes, float *final_label, float *probabilities,
    const float *images, int n, int samples, const struct jf_task_options *options, struct jf_error *err) {
	size_t k = (size_t)model->config.classes;
	struct work w = {.model = model,
	    .options = options,
	    .task = JF_TASK_CLASSIFY,
	    .n = n,
	    .in_images = images,
	    .out_labels = final_label,
	    .out_probabilities = probabilities,
	    .samples = samples,
	    .votes = votes};

	if (samples < 1 || n < 0)
		return jf_error_set(err, JF_EINVAL, "samples is %d; it must be at least 1", samples);
	memset(votes, 0, (size_t)n * k * sizeof(*votes));
	if (probabilities)
		memset(probabilities, 0, (size_t)n * k * sizeof(*probabilities));
	return run(&w, err);
}

enum jf_err jf_generate(struct jf_model *model, float *images, const float *labels, const uint64_t *noise_index, int n,
    const struct jf_task_options *options, struct jf_error *err) {
	struct work w = {.model = model,
	    .options = options,
	    .task = JF_TASK_GENERATE,
	    .n = n,
	    .in_labels = labels,
	    .noise_index = noise_index,
	    .out_images = images};

	return run(&w, err);
}

enum jf_err jf_sample(struct jf_model *model, float *images, float *labels, float *probabilities, int n,
    const struct jf_task_options *options, struct jf_error *err) {
	struct work w = {.model = model,
	    .options = options,
	    .task = JF_TASK_SAMPLE,
	    .n = n,
	    .out_images = images,
	    .out_labels = labels,
	    .out_probabilities = probabilities};

	return run(&w, err);
}
