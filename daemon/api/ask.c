#include "daemon/api/ask.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/api/ask_image.h"
#include "daemon/api/call.h"

#define MAX_SCALE 16
#define MAX_GAP 64
#define MAX_LABEL 10.0 /* of a label vector's entries; -1 and +1 are the usual ones */
#define MAX_GUIDANCE 20.0

/* 32 bits, so that a person can copy it. */
static int64_t random_seed(const struct jf_call *call) {
	uint32_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uint32_t)(uint64_t)call->handled_ns;
	return seed;
}

/* --- what several questions take --- */

static void read_sampler(struct jf_call *call) {
	const struct jf_conf *conf = call->http->parts.conf;
	enum jf_task task = jf_question_task(call->ask.question);
	struct jf_sampler_args *sampler = &call->ask.sampler;
	const char *solvers[JF_N_SOLVERS];
	int solver = (int)jf_solver_default(task);

	for (int i = 0; i < JF_N_SOLVERS; i++)
		solvers[i] = jf_solver_name((enum jf_solver)i);
	sampler->steps = conf->default_steps < conf->max_steps ? conf->default_steps : conf->max_steps;
	sampler->guidance = 1.0f;
	jf_params_int(&call->params, "steps", &sampler->steps, 1, conf->max_steps);
	jf_params_choice(&call->params, "solver", &solver, solvers, JF_N_SOLVERS);
	sampler->solver = (enum jf_solver)solver;
	if (task == JF_TASK_GENERATE)
		jf_params_float(&call->params, "guidance", &sampler->guidance, 0, MAX_GUIDANCE);
}

static void read_seed(struct jf_call *call) {
	struct jf_ask *ask = &call->ask;

	ask->seed_given = jf_params_integer(&call->params, "seed", &ask->seed, 0, JF_MAX_SEED);
	if (!ask->seed_given && ask->question != JF_QUESTION_CLASSIFY)
		ask->seed = random_seed(call); /* but the same picture gets the same answer */
	jf_params_integer(&call->params, "index", &ask->index, 0, JF_MAX_SEED);
}

static void read_picture(struct jf_call *call) {
	struct jf_ask *ask = &call->ask;

	ask->scale = call->as == JF_AS_PNG ? 4 : 1;
	ask->gap = 2;
	jf_params_int(&call->params, "scale", &ask->scale, 1, MAX_SCALE);
	jf_params_int(&call->params, "gap", &ask->gap, 0, MAX_GAP);
}

/* A job for n items with room for that many input images and labels; NULL after noting a problem. */
static struct jf_job *new_job(
    struct jf_call *call, struct jf_model *model, enum jf_job_kind kind, int n, int images, int labels) {
	struct jf_error err = {0};
	struct jf_job *job = jf_job_create(model, kind, n, &err);

	if (job && (images == 0 || jf_job_alloc_images(job, images, &err) == JF_OK) &&
	    (labels == 0 || jf_job_alloc_labels(job, labels, &err) == JF_OK)) {
		job->args = call->ask.sampler;
		for (int i = 0; i < n; i++)
			job->items[i] = (struct jf_trajectory){.seed = (uint64_t)call->ask.seed,
			    .index = (uint64_t)call->ask.index + (uint64_t)i,
			    .image = job->images,
			    .label = job->labels};
		return job;
	}
	jf_job_unref(job);
	jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "%.300s", err.message);
	return NULL;
}

/* The job, or NULL when anything has turned out wrong. */
static struct jf_job *checked(struct jf_call *call, struct jf_job *job) {
	if (job && !call->problem.set)
		return job;
	jf_job_unref(job);
	return NULL;
}

/* --- the four questions --- */

static void read_framing(struct jf_call *call) {
	int preprocess = JF_PREPROCESS_MNIST, invert = JF_INVERT_AUTO;
	const char *preprocesses[JF_N_PREPROCESS], *inversions[JF_N_INVERT];

	for (int i = 0; i < JF_N_PREPROCESS; i++)
		preprocesses[i] = jf_preprocess_name((enum jf_preprocess)i);
	for (int i = 0; i < JF_N_INVERT; i++)
		inversions[i] = jf_invert_name((enum jf_invert)i);
	jf_params_choice(&call->params, "preprocess", &preprocess, preprocesses, JF_N_PREPROCESS);
	jf_params_choice(&call->params, "invert", &invert, inversions, JF_N_INVERT);
	call->ask.framing = (struct jf_framing_options){(enum jf_preprocess)preprocess, (enum jf_invert)invert};
}

static void read_method(struct jf_call *call) {
	static const char *const methods[JF_N_METHODS] = {"posterior", "sample"};
	int max = call->http->parts.conf->max_samples, method = JF_METHOD_POSTERIOR;
	struct jf_ask *ask = &call->ask;

	jf_params_choice(&call->params, "method", &method, methods, JF_N_METHODS);
	ask->method = (enum jf_method)method;
	ask->samples = ask->method == JF_METHOD_POSTERIOR ? 1 : 8;
	if (ask->samples > max)
		ask->samples = max;
	jf_params_int(&call->params, "samples", &ask->samples, 1, max);
}

static struct jf_job *ask_classify(struct jf_call *call, struct jf_model *model) {
	struct jf_ask_image image = {0};
	struct jf_ask *ask = &call->ask;
	struct jf_job *job = NULL;

	if (!jf_ask_image_find(call, &image))
		goto out;
	read_method(call);
	read_seed(call);
	read_sampler(call);
	read_framing(call);
	jf_params_bool(&call->params, "trace", &ask->trace);
	if (!jf_params_finish(&call->params))
		goto out;
	if (ask->method == JF_METHOD_POSTERIOR)
		job = new_job(call, model, JF_JOB_POSTERIOR, 1, 1, 0);
	else
		job = new_job(call, model, JF_JOB_CLASSIFY, ask->samples, 1, 0);
	if (job) {
		job->draws = ask->method == JF_METHOD_POSTERIOR ? ask->samples : 1;
		jf_ask_image_frame(call, job->images, &image, &model->config);
	}
out:
	jf_ask_image_deinit(&image);
	return checked(call, job);
}

static void read_label(struct jf_call *call, const struct jf_model *model, float *label) {
	const char *const *names = (const char *const *)model->class_names;
	struct jf_params *params = &call->params;
	int classes = model->config.classes, class;
	int given = jf_params_has(params, "digit") + jf_params_has(params, "label") + jf_params_has(params, "weights");

	if (given != 1)
		jf_problem_field(&call->problem, given ? "/label" : "/digit",
		    given ? "exactly one of digit, label and weights may be given"
			  : "is missing: one of digit, label and weights is needed");
	if (jf_params_class(params, "digit", &class, classes, names))
		jf_label_one_hot(label, class, classes);
	jf_params_floats(params, "label", label, classes, -MAX_LABEL, MAX_LABEL);
	if (jf_params_weights(params, "weights", label, classes, names, 1.0))
		jf_label_from_weights(label, label, classes);
}

static struct jf_job *ask_generate(struct jf_call *call, struct jf_model *model) {
	int count = 1, max = call->http->parts.conf->max_count;
	struct jf_job *job;

	jf_params_int(&call->params, "count", &count, 1, max);
	jf_params_int(&call->params, "columns", &call->ask.columns, 1, max);
	read_seed(call);
	read_sampler(call);
	read_picture(call);
	job = new_job(call, model, JF_JOB_GENERATE, count, 0, 1);
	if (job)
		read_label(call, model, job->labels);
	jf_params_finish(&call->params);
	return checked(call, job);
}

/* What a blend runs over: from and to, or matrix, or labels. */
static void read_blend(struct jf_call *call, const struct jf_model *model) {
	int classes = model->config.classes, max = call->http->parts.conf->max_count;
	const char *const *names = (const char *const *)model->class_names;
	struct jf_params *params = &call->params;
	struct jf_blend *blend = &call->ask.blend;

	blend->rows = 1;
	jf_params_int(params, "rows", &blend->rows, 1, max);
	jf_params_bool(params, "matrix", &blend->matrix);
	if (blend->matrix) {
		blend->rows = blend->columns = classes;
	} else if (jf_params_has(params, "labels")) {
		blend->columns = 1;
	} else {
		if (!jf_params_has(params, "from"))
			jf_problem_field(
			    &call->problem, "/from", "is missing: from and to, or matrix, or labels are needed");
		if (!jf_params_has(params, "to"))
			jf_problem_field(&call->problem, "/to", "is missing");
		blend->columns = 9;
		jf_params_int(params, "columns", &blend->columns, 2, max);
		jf_params_class(params, "from", &blend->from, classes, names);
		jf_params_class(params, "to", &blend->to, classes, names);
	}
	if (blend->rows * (long)blend->columns > max)
		jf_problem_field(&call->problem, blend->matrix ? "/matrix" : "/rows",
		    blend->matrix ? "would make %ld images, %d are allowed"
				  : "times columns is %ld images, %d are allowed",
		    blend->rows * (long)blend->columns, max);
}

static bool fill_blend(struct jf_call *call, struct jf_job *job) {
	const struct jf_blend *blend = &call->ask.blend;
	int classes = job->model->config.classes;
	uint64_t *noise = calloc((size_t)job->n, sizeof(*noise));

	if (!noise)
		return jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
	jf_blend_fill(job->labels, noise, blend, classes);
	for (int i = 0; i < job->n; i++) {
		job->items[i].index = (uint64_t)call->ask.index + noise[i];
		job->items[i].label = job->labels + (size_t)i * (size_t)classes;
	}
	free(noise);
	return true;
}

static struct jf_job *ask_blend(struct jf_call *call, struct jf_model *model) {
	const char *const *names = (const char *const *)model->class_names;
	int classes = model->config.classes, n;
	bool mixture;
	struct jf_job *job = NULL;

	read_blend(call, model);
	read_seed(call);
	read_sampler(call);
	read_picture(call);
	mixture = !call->ask.blend.matrix && jf_params_has(&call->params, "labels");
	n = call->ask.blend.rows * call->ask.blend.columns;
	call->ask.columns = call->ask.blend.columns;
	if (!call->problem.set)
		job = new_job(call, model, JF_JOB_GENERATE, n, 0, mixture ? 1 : n);
	if (job && !mixture)
		fill_blend(call, job);
	if (job && mixture && jf_params_weights(&call->params, "labels", job->labels, classes, names, 1.0))
		jf_label_from_weights(job->labels, job->labels, classes);
	jf_params_finish(&call->params);
	return checked(call, job);
}

static struct jf_job *ask_sample(struct jf_call *call, struct jf_model *model) {
	int count = 1, max = call->http->parts.conf->max_count;

	jf_params_int(&call->params, "count", &count, 1, max);
	jf_params_int(&call->params, "columns", &call->ask.columns, 1, max);
	read_seed(call);
	read_sampler(call);
	read_picture(call);
	return jf_params_finish(&call->params) ? new_job(call, model, JF_JOB_SAMPLE, count, 0, 0) : NULL;
}

struct jf_job *jf_ask_parse(struct jf_call *call, enum jf_question question, struct jf_model *model) {
	const char *body;
	size_t size;

	call->ask.question = question;
	if (!jf_params_add_query(&call->params, jf_request_query(call->request)) &&
	    call->problem.type != JF_PROBLEM_INVALID)
		return NULL;
	if (question == JF_QUESTION_CLASSIFY)
		return ask_classify(call, model);
	body = jf_request_body(call->request, &size);
	if (size && strcmp(jf_call_method(call), "POST") == 0 && !jf_params_add_json(&call->params, body, size) &&
	    !call->params.root)
		return NULL;
	if (question == JF_QUESTION_GENERATE)
		return ask_generate(call, model);
	return question == JF_QUESTION_BLEND ? ask_blend(call, model) : ask_sample(call, model);
}
