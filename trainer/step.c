#include "trainer/step.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine/exec.h"

#define MICRO_BATCH 4

/* An example whose image is held owes a label alone: it goes through a plan that leaves the decoder out. */
enum owed { OWES_IMAGE, OWES_LABEL_ALONE, N_OWED };

struct worker {
	struct jf_trainer *trainer;
	int index;
	pthread_t thread;
	bool started;
	struct jf_exec *exec[N_OWED];
	float *grads;      /* [n_params_floats] + 4 floats for the losses of the shard */
	float *target;     /* scratch of the objective */
	float *unlabelled; /* [MICRO_BATCH][H][W][C] velocities without the label; NULL without guidance */
	struct jf_loss loss;
	double squares; /* of this worker's slice of the gradient */
};

struct jf_trainer {
	struct jf_model *model;
	struct jf_objective_options objective;
	struct jf_optimiser_options optimiser;
	uint64_t seed, steps;
	int n_workers;
	struct worker *workers;
	struct jf_plan *plans[N_OWED];
	float *packed_transposed;
	float *moment1, *moment2, *ema[JF_MAX_EMA];
	float *decay; /* [n_params_floats] the weight decay of each parameter */
	void (*allreduce)(void *, float *, size_t);
	void *allreduce_context;
	pthread_mutex_t lock; /* guards arrived, rounds, stop; never held while computing */
	pthread_cond_t met;
	int arrived;
	unsigned rounds;
	bool stop;
	/* The step under way; written by the caller before the first barrier, read by the workers after it. */
	const struct jf_batch *batch;
	int global_batch;
	float learning_rate, gradient_scale;
	bool bad;
};

struct jf_optimiser_options jf_optimiser_options_default(void) {
	return (struct jf_optimiser_options){.beta1 = 0.9f,
	    .beta2 = 0.99f,
	    .epsilon = 1e-8f,
	    .weight_decay = 0.01f,
	    .clip = 1.0f,
	    .ema_decay = {0.999f},
	    .n_ema = 1};
}

static size_t param_count(const struct jf_trainer *t) {
	return t->model->graph->n_params_floats;
}

static struct jf_example example_of(const struct jf_trainer *t, int i) {
	const struct jf_network_config *c = &t->model->config;
	size_t pixels = jf_network_image_floats(c);
	const struct jf_batch *b = t->batch;

	return (struct jf_example){b->images + (size_t)i * pixels, b->labels[i],
	    b->augment ? b->augment + (size_t)i * (size_t)c->augment : NULL, b->sample[i]};
}

static enum owed owed(const struct jf_trainer *t, int i) {
	float times[2];

	jf_objective_times(times, &t->objective, t->seed, t->batch->sample[i]);
	return times[0] > 0.0f ? OWES_IMAGE : OWES_LABEL_ALONE;
}

/* The velocities that guidance compares with, for those of the n chosen examples that are guided. They take the first
 * slots of one evaluation; out: where each example's is, NULL for the others. */
static void evaluate_unlabelled(
    struct worker *w, struct jf_exec *exec, const int chosen[], int n, const float *out[MICRO_BATCH]) {
	struct jf_trainer *t = w->trainer;
	const struct jf_network_config *c = &t->model->config;
	size_t pixels = jf_network_image_floats(c);
	int used = 0;

	for (int i = 0; i < n; i++) {
		struct jf_example example = example_of(t, chosen[i]);
		float times[2];

		out[i] = NULL;
		jf_objective_times(times, &t->objective, t->seed, example.sample);
		if (!jf_objective_is_guided(&t->objective, times))
			continue;
		out[i] = w->unlabelled + (size_t)used * pixels;
		jf_objective_set_unlabelled(exec, used++, &example, c, &t->objective, t->seed);
	}
	if (used)
		jf_exec_step(exec, used);
	for (int slot = 0; slot < used; slot++)
		memcpy(w->unlabelled + (size_t)slot * pixels, jf_exec_output(exec, JF_OUTPUT_IMAGE, slot),
		    pixels * sizeof(float));
}

/* Forward and backward of up to MICRO_BATCH examples of the batch that owe the same. */
static void learn(struct worker *w, enum owed what, const int chosen[], int n) {
	struct jf_trainer *t = w->trainer;
	const struct jf_network_config *c = &t->model->config;
	struct jf_exec *exec = w->exec[what];
	const float *unlabelled[MICRO_BATCH];

	evaluate_unlabelled(w, exec, chosen, n, unlabelled);
	for (int i = 0; i < n; i++) {
		struct jf_example example = example_of(t, chosen[i]);
		jf_objective_set_inputs(exec, i, &example, c, &t->objective, t->seed);
	}
	jf_exec_step(exec, n);
	for (int i = 0; i < n; i++) {
		struct jf_example example = example_of(t, chosen[i]);
		jf_objective_loss(exec, i, &example, 1.0f / (float)t->global_batch, c, &t->objective, t->seed,
		    unlabelled[i], w->target, &w->loss);
	}
	jf_exec_backward(exec, n);
}

/* Over this worker's share of the batch. */
static void compute_gradient(struct worker *w) {
	struct jf_trainer *t = w->trainer;
	int first = (int)((long)t->batch->n * w->index / t->n_workers);
	int end = (int)((long)t->batch->n * (w->index + 1) / t->n_workers);
	int chosen[N_OWED][MICRO_BATCH], n[N_OWED] = {0};

	memset(w->grads, 0, (param_count(t) + 4) * sizeof(float));
	w->loss = (struct jf_loss){0};
	for (int i = first; i < end; i++) {
		enum owed what = owed(t, i);

		chosen[what][n[what]++] = i;
		if (n[what] == MICRO_BATCH) {
			learn(w, what, chosen[what], MICRO_BATCH);
			n[what] = 0;
		}
	}
	for (int what = 0; what < N_OWED; what++)
		if (n[what] > 0)
			learn(w, (enum owed)what, chosen[what], n[what]);
	w->grads[param_count(t) + 0] = (float)w->loss.image;
	w->grads[param_count(t) + 1] = (float)w->loss.image_count;
	w->grads[param_count(t) + 2] = (float)w->loss.label;
	w->grads[param_count(t) + 3] = (float)w->loss.label_count;
}

static void slice(const struct worker *w, size_t total, size_t *first, size_t *end) {
	size_t n = (size_t)w->trainer->n_workers, i = (size_t)w->index;

	*first = total * i / n;
	*end = total * (i + 1) / n;
}

/* This worker's slice of all gradients into the first worker's, in worker order. */
static void reduce_slice(struct worker *w) {
	struct jf_trainer *t = w->trainer;
	size_t first, end;

	slice(w, param_count(t) + 4, &first, &end);
	for (int other = 1; other < t->n_workers; other++)
		for (size_t i = first; i < end; i++)
			t->workers[0].grads[i] += t->workers[other].grads[i];
}

static void square_slice(struct worker *w) {
	const float *g = w->trainer->workers[0].grads;
	size_t first, end;

	slice(w, param_count(w->trainer), &first, &end);
	w->squares = 0.0;
	for (size_t i = first; i < end; i++)
		w->squares += (double)g[i] * (double)g[i];
}

/* AdamW's numbers in a step. */
struct adam {
	float beta1, beta2, correct1, correct2, epsilon, learning_rate, scale;
};

/* AdamW on n parameters. Nothing overlaps and the numbers are copies, so that the compiler can use vectors. */
static void adam(struct adam o, size_t n, float *restrict p, float *restrict moment1, float *restrict moment2,
    const float *restrict g, const float *restrict decay) {
	for (size_t i = 0; i < n; i++) {
		const float gradient = g[i] * o.scale;

		moment1[i] = o.beta1 * moment1[i] + (1.0f - o.beta1) * gradient;
		moment2[i] = o.beta2 * moment2[i] + (1.0f - o.beta2) * gradient * gradient;
		p[i] -= o.learning_rate *
			(moment1[i] * o.correct1 / (sqrtf(moment2[i] * o.correct2) + o.epsilon) + decay[i] * p[i]);
	}
}

/* AdamW and the moving averages on this worker's slice. */
static void update_slice(struct worker *w) {
	struct jf_trainer *t = w->trainer;
	const struct jf_optimiser_options *o = &t->optimiser;
	float *p = t->model->params;
	double count = (double)t->steps + 1.0;
	float warm = (float)((1.0 + count) / (10.0 + count));
	size_t first, end;
	const struct adam numbers = {
	    .beta1 = o->beta1,
	    .beta2 = o->beta2,
	    .correct1 = (float)(1.0 / (1.0 - pow((double)o->beta1, count))),
	    .correct2 = (float)(1.0 / (1.0 - pow((double)o->beta2, count))),
	    .epsilon = o->epsilon,
	    .learning_rate = t->learning_rate,
	    .scale = t->gradient_scale,
	};

	slice(w, param_count(t), &first, &end);
	adam(numbers, end - first, p + first, t->moment1 + first, t->moment2 + first, t->workers[0].grads + first,
	    t->decay + first);
	for (int e = 0; e < o->n_ema; e++) {
		float decay = o->ema_decay[e] < warm ? o->ema_decay[e] : warm;
		for (size_t i = first; i < end; i++)
			t->ema[e][i] = decay * t->ema[e][i] + (1.0f - decay) * p[i];
	}
}

static void repack(struct jf_trainer *t, int worker) {
	if (worker == 0)
		jf_exec_pack(t->model->graph, t->model->packed, t->model->params);
	if (worker == t->n_workers - 1)
		jf_exec_pack_transposed(t->model->graph, t->packed_transposed, t->model->params);
}

/* By one thread between two barriers: the gradient's norm, and whether the step is taken. */
static void judge(struct jf_trainer *t, double *norm) {
	double squares = 0.0;

	for (int i = 0; i < t->n_workers; i++)
		squares += t->workers[i].squares;
	*norm = sqrt(squares);
	t->bad = !isfinite(squares) || !isfinite(t->workers[0].grads[param_count(t)]) ||
		 !isfinite(t->workers[0].grads[param_count(t) + 2]);
	t->gradient_scale = 1.0f;
	if (t->optimiser.clip > 0.0f && *norm > (double)t->optimiser.clip)
		t->gradient_scale = (float)((double)t->optimiser.clip / *norm);
}

/* Waits until all workers are here; false when the trainer ends instead. */
static bool meet(struct jf_trainer *t) {
	bool go_on;

	pthread_mutex_lock(&t->lock);
	if (++t->arrived == t->n_workers) {
		t->arrived = 0;
		t->rounds++;
		pthread_cond_broadcast(&t->met);
	} else {
		for (unsigned round = t->rounds; round == t->rounds && !t->stop;)
			pthread_cond_wait(&t->met, &t->lock);
	}
	go_on = !t->stop;
	pthread_mutex_unlock(&t->lock);
	return go_on;
}

/* The phases of a step; everybody runs them, worker 0 is the caller's thread. */
static void run_step(struct worker *w, double *norm) {
	struct jf_trainer *t = w->trainer;

	compute_gradient(w);
	meet(t);
	reduce_slice(w);
	meet(t);
	if (w->index == 0 && t->allreduce)
		t->allreduce(t->allreduce_context, w->grads, param_count(t) + 4);
	meet(t);
	square_slice(w);
	meet(t);
	if (w->index == 0)
		judge(t, norm);
	meet(t);
	if (t->bad)
		return;
	update_slice(w);
	meet(t);
	repack(t, w->index);
}

static void *worker_main(void *argument) {
	struct worker *w = argument;

	for (;;) {
		if (!meet(w->trainer)) /* a step begins, or the end */
			return NULL;
		run_step(w, NULL);
		meet(w->trainer); /* the step is over */
	}
}

enum jf_err jf_trainer_step(struct jf_trainer *t, struct jf_step_result *result, const struct jf_batch *batch,
    int global_batch, float learning_rate, struct jf_error *err) {
	const float *sums = t->workers[0].grads + param_count(t);
	double norm = 0.0;

	if (batch->n < 0 || global_batch < 1)
		return jf_error_set(err, JF_EINVAL, "batch of %d of %d examples", batch->n, global_batch);
	t->batch = batch;
	t->global_batch = global_batch;
	t->learning_rate = learning_rate;
	meet(t);
	run_step(&t->workers[0], &norm);
	meet(t);
	if (t->bad)
		return jf_error_set(err, JF_ENUMERIC, "step %llu: loss or gradient is not a finite number",
		    (unsigned long long)t->steps);
	t->steps++;
	result->loss_image = sums[1] > 0.0f ? (double)(sums[0] / sums[1]) : 0.0;
	result->loss_label = sums[3] > 0.0f ? (double)(sums[2] / sums[3]) : 0.0;
	result->grad_norm = (float)norm;
	return JF_OK;
}

static enum jf_err create_arrays(struct jf_trainer *t, struct jf_error *err) {
	const struct jf_graph *g = t->model->graph;
	size_t n = g->n_params_floats;

	t->packed_transposed = jf_alloc_floats(g->packed_transposed_floats);
	t->moment1 = jf_alloc_floats(n);
	t->moment2 = jf_alloc_floats(n);
	t->decay = jf_alloc_floats(n);
	t->workers = calloc((size_t)t->n_workers, sizeof(*t->workers));
	if (!t->packed_transposed || !t->moment1 || !t->moment2 || !t->decay || !t->workers)
		return jf_error_set(err, JF_ENOMEM, "out of memory for the optimiser's state");
	for (int e = 0; e < t->optimiser.n_ema; e++) {
		t->ema[e] = jf_alloc_floats(n);
		if (!t->ema[e])
			return jf_error_set(err, JF_ENOMEM, "out of memory for the moving averages");
		memcpy(t->ema[e], t->model->params, n * sizeof(float));
	}
	for (int i = 0; i < g->n_params; i++)
		for (size_t j = 0; j < g->params[i].size; j++)
			t->decay[g->params[i].offset + j] = g->params[i].decay ? t->optimiser.weight_decay : 0.0f;
	return JF_OK;
}

static enum jf_err create_plans(struct jf_trainer *t, struct jf_error *err) {
	struct jf_plan_spec spec = {.train = true, .batch = MICRO_BATCH, .micro_batch = MICRO_BATCH};

	for (int what = 0; what < N_OWED; what++) {
		spec.outputs = 1u << JF_OUTPUT_LABEL | (what == OWES_IMAGE ? 1u << JF_OUTPUT_IMAGE : 0);
		t->plans[what] = jf_plan_create(t->model->graph, &spec, err);
		if (!t->plans[what])
			return JF_ENOMEM;
	}
	return JF_OK;
}

static enum jf_err create_workers(struct jf_trainer *t, struct jf_error *err) {
	const struct jf_network_config *c = &t->model->config;
	size_t target = jf_network_image_floats(c) + (size_t)c->classes;

	for (int i = 0; i < t->n_workers; i++) {
		struct worker *w = &t->workers[i];

		w->trainer = t;
		w->index = i;
		w->grads = jf_alloc_floats(param_count(t) + 4);
		w->target = jf_alloc_floats(target);
		if (t->objective.guidance > 0.0f)
			w->unlabelled = jf_alloc_floats(MICRO_BATCH * jf_network_image_floats(c));
		if (!w->grads || !w->target || (t->objective.guidance > 0.0f && !w->unlabelled))
			return jf_error_set(err, JF_ENOMEM, "out of memory for the gradients");
		for (int what = 0; what < N_OWED; what++) {
			w->exec[what] = jf_exec_create(
			    t->plans[what], t->model->params, t->model->packed, t->packed_transposed, w->grads, err);
			if (!w->exec[what])
				return JF_ENOMEM;
		}
	}
	return JF_OK;
}

static enum jf_err start_threads(struct jf_trainer *t, struct jf_error *err) {
	for (int i = 1; i < t->n_workers; i++) {
		if (pthread_create(&t->workers[i].thread, NULL, worker_main, &t->workers[i]) != 0)
			return jf_error_set(
			    err, JF_ENOMEM, "thread %d of %d could not be started", i + 1, t->n_workers);
		t->workers[i].started = true;
	}
	return JF_OK;
}

struct jf_trainer *jf_trainer_create(struct jf_model *model, const struct jf_objective_options *objective,
    const struct jf_optimiser_options *optimiser, uint64_t seed, int threads, struct jf_error *err) {
	struct jf_trainer *t;

	if (threads < 1 || threads > JF_MAX_THREADS || optimiser->n_ema < 1 || optimiser->n_ema > JF_MAX_EMA) {
		jf_error_set(err, JF_EINVAL, "%d threads, %d moving averages: 1 to %d and 1 to %d", threads,
		    optimiser->n_ema, JF_MAX_THREADS, JF_MAX_EMA);
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		jf_error_set(err, JF_ENOMEM, "out of memory for the trainer");
		return NULL;
	}
	t->model = model;
	t->objective = *objective;
	t->optimiser = *optimiser;
	t->seed = seed;
	t->n_workers = threads;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->met, NULL);
	if (create_arrays(t, err) != JF_OK || create_plans(t, err) != JF_OK || create_workers(t, err) != JF_OK ||
	    start_threads(t, err) != JF_OK) {
		jf_trainer_destroy(t);
		return NULL;
	}
	jf_trainer_restored(t);
	return t;
}

void jf_trainer_destroy(struct jf_trainer *t) {
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->met);
	pthread_mutex_unlock(&t->lock);
	for (int i = 0; t->workers && i < t->n_workers; i++) {
		struct worker *w = &t->workers[i];

		if (w->started)
			pthread_join(w->thread, NULL);
		for (int what = 0; what < N_OWED; what++)
			jf_exec_destroy(w->exec[what]);
		free(w->grads);
		free(w->target);
		free(w->unlabelled);
	}
	pthread_cond_destroy(&t->met);
	pthread_mutex_destroy(&t->lock);
	for (int what = 0; what < N_OWED; what++)
		jf_plan_destroy(t->plans[what]);
	for (int e = 0; e < JF_MAX_EMA; e++)
		free(t->ema[e]);
	free(t->workers);
	free(t->packed_transposed);
	free(t->moment1);
	free(t->moment2);
	free(t->decay);
	free(t);
}

void jf_trainer_set_allreduce(struct jf_trainer *t, void (*sum)(void *, float *, size_t), void *context) {
	t->allreduce = sum;
	t->allreduce_context = context;
}

float *jf_trainer_params(struct jf_trainer *t) {
	return t->model->params;
}

float *jf_trainer_moment1(struct jf_trainer *t) {
	return t->moment1;
}

float *jf_trainer_moment2(struct jf_trainer *t) {
	return t->moment2;
}

float *jf_trainer_ema(struct jf_trainer *t, int which) {
	return t->ema[which];
}

uint64_t *jf_trainer_step_count(struct jf_trainer *t) {
	return &t->steps;
}

void jf_trainer_restored(struct jf_trainer *t) {
	jf_exec_pack(t->model->graph, t->model->packed, t->model->params);
	jf_exec_pack_transposed(t->model->graph, t->packed_transposed, t->model->params);
}

enum jf_err jf_trainer_export(struct jf_trainer *t, int which, struct jf_model *out, struct jf_error *err) {
	const float *from = which < 0 ? t->model->params : t->ema[which];

	if (out->graph->n_params_floats != param_count(t) || which >= t->optimiser.n_ema)
		return jf_error_set(
		    err, JF_EINVAL, "average %d into a model of %zu parameters", which, out->graph->n_params_floats);
	memcpy(out->params, from, param_count(t) * sizeof(float));
	return jf_model_pack(out, err);
}
