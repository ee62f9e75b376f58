#include "core/questions/tasks.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/questions/score.h"

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
	const struct jf_edit *edit; /* what all start from; NULL: noise */
	float *out_images, *out_labels, *out_probabilities;
	int draws;   /* posterior, also of one for the familiarity beside a likelihood; 0 otherwise */
	int scoring; /* draws of a likelihood; 0 otherwise */
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
		    .image = w->in_images ? w->in_images + (size_t)(first + i) * image_floats(w)
			     : w->edit    ? w->edit->picture
					  : NULL,
		    .redraw = w->edit ? w->edit->redraw : NULL,
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

static void collect_familiarity(const struct work *w, struct jf_sampler *sampler, int first, int n) {
	size_t features = (size_t)jf_network_features(&w->model->config);

	for (int i = 0; i < n; i++) {
		if (w->options->familiarity)
			w->options->familiarity[first + i] = jf_sampler_familiarity(sampler, i);
		if (w->options->features)
			memcpy(w->options->features + (size_t)(first + i) * features, jf_sampler_features(sampler, i),
			    features * sizeof(float));
	}
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
	if (rc == JF_OK)
		collect_familiarity(w, sampler, first, n);
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
	enum jf_err rc = jf_sampler_posterior(
	    sampler, w->out_probabilities + (size_t)first * classes(w), images, n, w->draws, between, w, err);
	if (rc == JF_OK)
		collect_familiarity(w, sampler, first, n);
	return rc;
}

/* Over the posteriors, which gave the familiarity. */
static enum jf_err run_likelihood(struct work *w, struct jf_scorer *scorer, int first, int n, struct jf_error *err) {
	enum jf_err rc = JF_OK;

	for (int i = first; i < first + n && rc == JF_OK; i++) {
		const struct jf_score_args args = {.draws = w->scoring,
		    .seed = w->options->seed,
		    .index = w->options->first_index + (uint64_t)i * (uint64_t)w->scoring,
		    .between = between,
		    .context = w};

		rc = jf_scorer_classify(scorer, w->out_probabilities + (size_t)i * classes(w),
		    w->in_images + (size_t)i * image_floats(w), &args, err);
	}
	return rc;
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
	struct jf_scorer *scorer = sampler && w->scoring ? jf_scorer_create(w->model, &err) : NULL;
	enum jf_err rc = sampler && (scorer || !w->scoring) ? JF_OK : err.code;
	int first, n = 0;

	while (take(w, rc == JF_OK ? n : 0, rc, &err, &first, &n)) {
		rc = run_chunk(w, sampler, first, n, &err);
		if (rc == JF_OK && scorer)
			rc = run_likelihood(w, scorer, first, n, &err);
	}
	jf_scorer_destroy(scorer);
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

/* Averages of `draws` evaluations, or, where `scoring` is above 0, by so many draws of the likelihood. */
static enum jf_err classify_at_once(struct jf_model *model, float *probabilities, const float *images, int n, int draws,
    int scoring, const struct jf_task_options *options, struct jf_error *err) {
	struct work w = {.model = model,
	    .options = options,
	    .task = JF_TASK_CLASSIFY,
	    .n = n,
	    .in_images = images,
	    .out_probabilities = probabilities,
	    .draws = draws,
	    .scoring = scoring};

	return run(&w, err);
}

enum jf_err jf_classify_posterior(struct jf_model *model, float *probabilities, const float *images, int n, int draws,
    const struct jf_task_options *options, struct jf_error *err) {
	if (draws < 1)
		return jf_error_set(err, JF_EINVAL, "draws is %d; it must be at least 1", draws);
	return classify_at_once(model, probabilities, images, n, draws, 0, options, err);
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

static enum jf_err classify_likelihood(struct jf_model *model, float *probabilities, const float *images, int n,
    int draws, const struct jf_task_options *options, struct jf_error *err) {
	if (draws < 1)
		return jf_error_set(err, JF_EINVAL, "draws is %d; it must be at least 2", draws);
	return classify_at_once(model, probabilities, images, n, 1, draws, options, err);
}

enum jf_err jf_classify(struct jf_model *model, enum jf_method method, int *votes, float *probabilities,
    const float *images, int n, int samples, const struct jf_task_options *options, struct jf_error *err) {
	if (method == JF_METHOD_SAMPLE)
		return jf_classify_sample(model, votes, NULL, probabilities, images, n, samples, options, err);
	return (method == JF_METHOD_LIKELIHOOD ? classify_likelihood : jf_classify_posterior)(
	    model, probabilities, images, n, samples, options, err);
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

/* Edits of one strength, of the noises noise_index[n]. */
static enum jf_err edit_once(struct jf_model *model, float *images, float *probabilities, const struct jf_edit *edit,
    const float *labels, const uint64_t *noise_index, int n, const struct jf_task_options *options,
    struct jf_error *err) {
	struct work w = {.model = model,
	    .options = options,
	    .task = JF_TASK_GENERATE,
	    .n = n,
	    .in_labels = labels,
	    .noise_index = noise_index,
	    .edit = edit,
	    .out_images = images};
	enum jf_err rc = run(&w, err);

	if (rc == JF_OK)
		rc = jf_classify_posterior(model, probabilities, images, n, 1, options, err);
	return rc;
}

/* The edits that are still looked for: their numbers, and what one round makes of them. */
struct search {
	uint64_t *left;       /* [n] */
	float *images;        /* [n][H][W][C] */
	float *probabilities; /* [n][K] */
	int n;
};

/* Hands out what the last round found, or everything that is left when it was the last one. */
static void take_found(struct search *search, const struct jf_model *model, const struct jf_edited *out, int class,
    float strength, bool last) {
	const size_t pixels = jf_network_image_floats(&model->config), k = (size_t)model->config.classes;
	int left = 0;

	for (int i = 0; i < search->n; i++) {
		const float *p = search->probabilities + (size_t)i * k;
		const size_t at = (size_t)search->left[i];

		if (!last && jf_argmax(p, (int)k) != class) {
			search->left[left++] = search->left[i];
			continue;
		}
		memcpy(out->images + at * pixels, search->images + (size_t)i * pixels, pixels * sizeof(float));
		memcpy(out->probabilities + at * k, p, k * sizeof(float));
		out->strengths[at] = strength;
	}
	search->n = left;
}

/* The picture itself is the answer when it is seen as that class already. */
static void start_search(struct search *search, const struct jf_model *model, const struct jf_edited *out,
    const struct jf_edit *edit, int class, int n) {
	const size_t pixels = jf_network_image_floats(&model->config), k = (size_t)model->config.classes;

	search->n = n;
	for (int i = 0; i < n; i++) {
		search->left[i] = (uint64_t)i;
		memcpy(search->images + (size_t)i * pixels, edit->picture, pixels * sizeof(float));
		memcpy(search->probabilities + (size_t)i * k, out->original, k * sizeof(float));
	}
	take_found(search, model, out, class, 0.0f, false);
}

static enum jf_err find_counterfactuals(struct jf_model *model, const struct jf_edited *out, const struct jf_edit *edit,
    const float *labels, int n, const struct jf_task_options *options, struct jf_error *err) {
	const size_t pixels = jf_network_image_floats(&model->config), k = (size_t)model->config.classes;
	const int class = jf_draw_class(out->label, (int)k);
	struct jf_task_options one = *options;
	struct search search = {.left = calloc((size_t)n, sizeof(*search.left)),
	    .images = calloc((size_t)n * pixels, sizeof(float)),
	    .probabilities = calloc((size_t)n * k, sizeof(float))};
	enum jf_err rc = JF_OK;

	if (!search.left || !search.images || !search.probabilities) {
		rc = jf_error_set(err, JF_ENOMEM, "no memory for %d edits", n);
		goto out;
	}
	start_search(&search, model, out, edit, class, n);
	for (int place = 0; place < JF_EDIT_GRID && search.n > 0 && rc == JF_OK; place++) {
		one.sampler.start = jf_edit_strength(place);
		rc = edit_once(
		    model, search.images, search.probabilities, edit, labels, search.left, search.n, &one, err);
		if (rc == JF_OK)
			take_found(&search, model, out, class, one.sampler.start, place + 1 == JF_EDIT_GRID);
	}
out:
	free(search.left);
	free(search.images);
	free(search.probabilities);
	return rc;
}

enum jf_err jf_edit(struct jf_model *model, const struct jf_edited *out, const struct jf_edit *edit, int n,
    const struct jf_task_options *options, struct jf_error *err) {
	const size_t k = (size_t)model->config.classes;
	float *labels = calloc((size_t)(n > 0 ? n : 1) * k, sizeof(*labels));
	enum jf_err rc = JF_OK;

	if (!labels)
		return jf_error_set(err, JF_ENOMEM, "no memory for %d labels", n);
	rc = jf_classify_posterior(model, out->original, edit->picture, 1, 1, options, err);
	if (edit->label)
		memcpy(out->label, edit->label, k * sizeof(float));
	else if (rc == JF_OK)
		jf_label_one_hot(out->label, jf_argmax(out->original, (int)k), (int)k);
	for (int i = 0; i < n; i++) {
		memcpy(labels + (size_t)i * k, out->label, k * sizeof(float));
		out->strengths[i] = options->sampler.start > 0.0f ? options->sampler.start : 1.0f;
	}
	if (rc == JF_OK && edit->counterfactual)
		rc = find_counterfactuals(model, out, edit, labels, n, options, err);
	else if (rc == JF_OK)
		rc = edit_once(model, out->images, out->probabilities, edit, labels, NULL, n, options, err);
	free(labels);
	return rc;
}
