#include "daemon/api/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/pictures/sheet.h"
#include "daemon/api/ask_image.h"
#include "daemon/api/ask_parts.h"
#include "daemon/api/call.h"
#include "daemon/api/morph.h"

/* 32 bits, so that a person can copy it. */
static int64_t random_seed(const struct jf_call *call) {
	uint32_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uint32_t)(uint64_t)call->handled_ns;
	return seed;
}

/* --- what several questions take --- */

void jf_ask_defaults(struct jf_ask *ask, enum jf_question question, const struct jf_conf *conf) {
	*ask = (struct jf_ask){.question = question,
	    .method = JF_METHOD_POSTERIOR,
	    .sampler = jf_sampler_args_default(jf_question_task(question)),
	    .framing = {JF_PREPROCESS_MNIST, JF_INVERT_AUTO}, /* read_framing asks the model */
	    .count = JF_DEFAULT_COUNT,
	    .strength = (float)JF_DEFAULT_STRENGTH,
	    .blend = {.rows = JF_DEFAULT_ROWS, .columns = JF_DEFAULT_COLUMNS},
	    .gap = jf_sheet_options_default().gap};
	ask->sampler.repeats = JF_DEFAULT_REPEATS;
	ask->sampler.steps = conf->default_steps < conf->max_steps ? conf->default_steps : conf->max_steps;
}

int jf_ask_max_samples(const struct jf_conf *conf, enum jf_method method) {
	int unit = jf_samples_unit(method), max = jf_samples_max(method);

	if (conf->max_samples < max)
		max = conf->max_samples - conf->max_samples % unit;
	return max < unit ? unit : max; /* so much takes any of it */
}

int jf_ask_default_samples(const struct jf_conf *conf, enum jf_method method) {
	int samples = jf_samples_default(method), max = jf_ask_max_samples(conf, method);

	return samples < max ? samples : max;
}

/* A choice into *out, an enum as int. */
static void read_choice(struct jf_call *call, const char *name, int *out, const char *const *names) {
	int n = 0;

	while (names[n])
		n++;
	jf_params_choice(&call->params, name, out, names, n);
}

static void read_guidance(struct jf_call *call, struct jf_sampler_args *sampler) {
	jf_params_float(&call->params, "guidance", &sampler->guidance, 0, JF_MAX_GUIDANCE);
	jf_params_float(&call->params, "guidance_low", &sampler->guidance_low, 0, 1);
	jf_params_float(&call->params, "guidance_high", &sampler->guidance_high, 0, 1);
	if (sampler->guidance_low > sampler->guidance_high)
		jf_problem_field(&call->problem, "/guidance_low", "%g is above guidance_high, %g",
		    (double)sampler->guidance_low, (double)sampler->guidance_high);
}

void jf_ask_read_sampler(struct jf_call *call) {
	struct jf_sampler_args *sampler = &call->ask.sampler;
	int solver = (int)sampler->solver;

	jf_params_int(&call->params, "steps", &sampler->steps, 1, call->http->parts.conf->max_steps);
	read_choice(call, "solver", &solver, jf_solver_names);
	sampler->solver = (enum jf_solver)solver;
	if (jf_question_task(call->ask.question) == JF_TASK_GENERATE)
		read_guidance(call, sampler);
}

void jf_ask_read_seed(struct jf_call *call) {
	struct jf_ask *ask = &call->ask;

	ask->seed_given = jf_params_integer(&call->params, "seed", &ask->seed, 0, JF_MAX_SEED);
	if (!ask->seed_given && jf_question_task(ask->question) != JF_TASK_CLASSIFY)
		ask->seed = random_seed(call); /* but the same picture gets the same answer */
	jf_params_integer(&call->params, "index", &ask->index, 0, JF_MAX_SEED);
}

void jf_ask_read_picture(struct jf_call *call) {
	struct jf_ask *ask = &call->ask;

	ask->scale = call->as == JF_AS_PNG ? JF_DEFAULT_SCALE : 1;
	jf_params_int(&call->params, "scale", &ask->scale, 1, JF_MAX_SCALE);
	jf_params_int(&call->params, "gap", &ask->gap, 0, JF_MAX_GAP);
}

/* The images of an answer, gaps aside: what encoding them costs, which no step of the sampler interrupts. */
static void check_pixels(struct jf_call *call, const struct jf_model *model, int n) {
	long width = model->config.width * (long)call->ask.scale, height = model->config.height * (long)call->ask.scale;

	if (n * width * height > JF_MAX_PIXELS)
		jf_problem_field(&call->problem, "/scale",
		    "%d makes %ld pixels of %d images, %ld are allowed; ask for fewer images or a smaller scale",
		    call->ask.scale, n * width * height, n, JF_MAX_PIXELS);
}

/* A job for n items with room for that many input images and labels; NULL after noting a problem. */
struct jf_job *jf_ask_new_job(
    struct jf_call *call, struct jf_model *model, enum jf_job_kind kind, int n, int images, int labels) {
	struct jf_error err = {0};
	struct jf_job *job;

	if (call->ask.index > JF_MAX_SEED - n + 1) /* made all the same: its caller reads the other fields into it */
		jf_problem_field(&call->problem, "/index", "%lld leaves no room for %d images: indices end at %lld",
		    (long long)call->ask.index, n, (long long)JF_MAX_SEED);
	if (jf_question_task(call->ask.question) != JF_TASK_CLASSIFY)
		check_pixels(call, model, n);
	job = jf_job_create(model, kind, n, &err);

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

/* The job, or NULL when anything was wrong, or when its picture is not for this thread. */
struct jf_job *jf_ask_checked(struct jf_call *call, struct jf_job *job) {
	if (job && !call->problem.set && !call->heavy)
		return job;
	jf_job_unref(job);
	return NULL;
}

/* --- the questions, but for edits --- */

void jf_ask_read_framing(struct jf_call *call, const struct jf_model *model) {
	struct jf_framing_options *framing = &call->ask.framing;
	int preprocess = model->preprocess, invert = (int)framing->invert;

	read_choice(call, "preprocess", &preprocess, jf_preprocess_names);
	read_choice(call, "invert", &invert, jf_invert_names);
	framing->preprocess = (enum jf_preprocess)preprocess;
	framing->invert = jf_invert_settle((enum jf_invert)invert, framing->preprocess, (enum jf_paper)model->paper);
}

/* How many draws, of which neighbours tell the error. */
static void read_samples(struct jf_call *call, const char *name, int max) {
	struct jf_ask *ask = &call->ask;
	int unit = jf_samples_unit(ask->method);
	char pointer[16];

	snprintf(pointer, sizeof(pointer), "/%s", name);
	if (jf_params_int(&call->params, name, &ask->samples, unit, max) && ask->samples % unit)
		jf_problem_field(&call->problem, pointer, "must be even, not %d", ask->samples);
}

static void read_method(struct jf_call *call) {
	const struct jf_conf *conf = call->http->parts.conf;
	struct jf_ask *ask = &call->ask;
	int method = (int)ask->method;

	read_choice(call, "method", &method, jf_method_names);
	ask->method = (enum jf_method)method;
	ask->samples = jf_ask_default_samples(conf, ask->method);
	read_samples(call, "samples", jf_ask_max_samples(conf, ask->method));
}

static void read_familiarity(struct jf_call *call, const struct jf_model *model) {
	if (jf_params_float(&call->params, "min_familiarity", &call->ask.min_familiarity, 0, 1) && !model->familiarity)
		jf_problem_field(&call->problem, "/min_familiarity",
		    "needs a calibrated model; this one is not calibrated (jointflow calibrate does "
		    "it)");
}

static struct jf_job *ask_classify(struct jf_call *call, struct jf_model *model) {
	struct jf_ask_images images = {0};
	struct jf_ask *ask = &call->ask;
	struct jf_job *job = NULL;

	if (!jf_ask_image_find(call, &images))
		goto out;
	read_method(call);
	jf_ask_read_seed(call);
	jf_ask_read_sampler(call);
	jf_ask_read_framing(call, model);
	read_familiarity(call, model);
	jf_params_bool(&call->params, "trace", &ask->trace);
	if (images.many && ask->trace)
		jf_problem_field(&call->problem, "/trace", "cannot be given together with several pictures");
	if (images.many && call->as == JF_AS_STREAM)
		jf_problem_field(&call->problem, "/images", "are answered in JSON; a stream follows one picture");
	if (jf_params_finish(&call->params))
		job = jf_ask_list(call, model, &images);
out:
	jf_ask_image_deinit(&images);
	return jf_ask_checked(call, job);
}

/* The number of draws has no limit of its own: admission knows what fits. */
static struct jf_job *ask_score(struct jf_call *call, struct jf_model *model) {
	struct jf_ask_images images = {0};
	struct jf_ask *ask = &call->ask;
	struct jf_job *job = NULL;

	ask->method = JF_METHOD_LIKELIHOOD;
	ask->samples = jf_samples_default(ask->method);
	if (!jf_ask_image_find(call, &images))
		goto out;
	read_samples(call, "draws", jf_samples_max(ask->method));
	jf_ask_read_seed(call);
	jf_ask_read_framing(call, model);
	if (jf_params_finish(&call->params))
		job = jf_ask_list(call, model, &images);
out:
	jf_ask_image_deinit(&images);
	return jf_ask_checked(call, job);
}

void jf_ask_read_label(struct jf_call *call, const struct jf_model *model, float *label) {
	const char *const *names = (const char *const *)model->class_names;
	struct jf_params *params = &call->params;
	int classes = model->config.classes, class;
	const char *word = jf_class_word(names, classes);
	int given = jf_params_has(params, "class") + jf_params_has(params, "digit") + jf_params_has(params, "label") +
		    jf_params_has(params, "weights");

	if (given > 1)
		jf_problem_field(&call->problem, "/label", "exactly one of %s, label and weights may be given", word);
	if (given == 0)
		jf_problem_field(&call->problem, strcmp(word, "digit") == 0 ? "/digit" : "/class",
		    "is missing: one of %s, label and weights is needed", word);
	if (jf_params_class(params, "class", &class, classes, names) ||
	    jf_params_class(params, "digit", &class, classes, names))
		jf_label_one_hot(label, class, classes);
	jf_params_label(params, "label", label, classes);
	if (jf_params_weights(params, "weights", label, classes, names))
		jf_label_from_weights(label, label, classes);
}

static struct jf_job *ask_generate(struct jf_call *call, struct jf_model *model) {
	int max = call->http->parts.conf->max_count;
	struct jf_job *job;

	jf_params_int(&call->params, "count", &call->ask.count, 1, max);
	jf_params_int(&call->params, "columns", &call->ask.columns, 1, max);
	jf_ask_read_seed(call);
	jf_ask_read_sampler(call);
	jf_ask_read_picture(call);
	job = jf_ask_new_job(call, model, JF_JOB_GENERATE, call->ask.count, 0, 1);
	if (job)
		jf_ask_read_label(call, model, job->labels);
	jf_params_finish(&call->params);
	return jf_ask_checked(call, job);
}

/* Says of each of these fields that it may not stand beside `chosen`. */
static void exclude(struct jf_call *call, const char *chosen, const char *const *names, int n) {
	char pointer[32];

	for (int i = 0; i < n; i++) {
		if (!jf_params_has(&call->params, names[i]))
			continue;
		jf_params_touch(&call->params, names[i]);
		snprintf(pointer, sizeof(pointer), "/%s", names[i]);
		jf_problem_field(&call->problem, pointer, "cannot be given together with %s", chosen);
	}
}

static void read_morph(struct jf_call *call, const struct jf_model *model) {
	const char *const *names = (const char *const *)model->class_names;
	struct jf_blend *blend = &call->ask.blend;
	struct jf_params *params = &call->params;
	int spacing = (int)blend->spacing;

	if (!jf_params_has(params, "from"))
		jf_problem_field(&call->problem, "/from", "is missing: from and to, or matrix, or labels are needed");
	if (!jf_params_has(params, "to"))
		jf_problem_field(&call->problem, "/to", "is missing");
	jf_params_int(params, "columns", &blend->columns, 2, call->http->parts.conf->max_count);
	read_choice(call, "spacing", &spacing, jf_spacing_names);
	blend->spacing = (enum jf_spacing)spacing;
	jf_params_class(params, "from", &blend->from, model->config.classes, names);
	jf_params_class(params, "to", &blend->to, model->config.classes, names);
}

/* What a blend runs over: from and to, or matrix, or labels. */
static void read_blend(struct jf_call *call, const struct jf_model *model) {
	static const char *const beside[] = {"from", "to", "columns", "spacing", "labels", "rows"};
	int max = call->http->parts.conf->max_count;
	struct jf_params *params = &call->params;
	struct jf_blend *blend = &call->ask.blend;

	jf_params_bool(params, "matrix", &blend->matrix);
	if (blend->matrix) {
		exclude(call, "matrix", beside, 6);
		blend->rows = blend->columns = model->config.classes;
	} else {
		jf_params_int(params, "rows", &blend->rows, 1, max);
		if (jf_params_has(params, "labels")) {
			exclude(call, "labels", beside, 4);
			blend->columns = 1;
		} else {
			read_morph(call, model);
		}
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
	jf_ask_read_seed(call);
	jf_ask_read_sampler(call);
	jf_ask_read_picture(call);
	mixture = !call->ask.blend.matrix && jf_params_has(&call->params, "labels");
	n = call->ask.blend.rows * call->ask.blend.columns;
	call->ask.columns = call->ask.blend.columns;
	if (!call->problem.set && !mixture && jf_spacing_is_measured(&call->ask.blend)) {
		call->ask.morph = jf_morph_create(call, model, &call->ask.probes);
		if (!call->ask.morph)
			jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
	}
	n += call->ask.probes;
	if (!call->problem.set)
		job = jf_ask_new_job(call, model, JF_JOB_GENERATE, n, 0, mixture ? 1 : n);
	if (job && call->ask.morph)
		jf_morph_fill(call, job);
	else if (job && !mixture)
		fill_blend(call, job);
	if (job && mixture && jf_params_weights(&call->params, "labels", job->labels, classes, names))
		jf_label_from_weights(job->labels, job->labels, classes);
	if (!job)
		jf_params_touch(&call->params, "labels"); /* known, although something else is wrong */
	jf_params_finish(&call->params);
	return jf_ask_checked(call, job);
}

static struct jf_job *ask_sample(struct jf_call *call, struct jf_model *model) {
	int max = call->http->parts.conf->max_count;

	jf_params_int(&call->params, "count", &call->ask.count, 1, max);
	jf_params_int(&call->params, "columns", &call->ask.columns, 1, max);
	jf_ask_read_seed(call);
	jf_ask_read_sampler(call);
	jf_ask_read_picture(call);
	if (!jf_params_finish(&call->params))
		return NULL;
	return jf_ask_checked(call, jf_ask_new_job(call, model, JF_JOB_SAMPLE, call->ask.count, 0, 0));
}

struct jf_job *jf_ask_parse(struct jf_call *call, enum jf_question question, struct jf_model *model) {
	const char *body;
	size_t size;

	jf_ask_defaults(&call->ask, question, call->http->parts.conf);
	if (!jf_params_add_query(&call->params, jf_request_query(call->request)) &&
	    call->problem.type != JF_PROBLEM_INVALID)
		return NULL;
	if (question == JF_QUESTION_CLASSIFY)
		return ask_classify(call, model);
	if (question == JF_QUESTION_SCORE)
		return ask_score(call, model);
	if (question == JF_QUESTION_EDIT)
		return jf_ask_edit(call, model);
	body = jf_request_body(call->request, &size);
	if (size && strcmp(jf_call_method(call), "POST") == 0 && !jf_params_add_json(&call->params, body, size) &&
	    !call->params.root)
		return NULL;
	if (question == JF_QUESTION_GENERATE)
		return ask_generate(call, model);
	return question == JF_QUESTION_BLEND ? ask_blend(call, model) : ask_sample(call, model);
}
