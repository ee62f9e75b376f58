/* From parameters to what the workers shall do. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/questions/tasks.h"
#include "daemon/api/call.h"
#include "daemon/http/text.h"

#define MAX_SCALE 16
#define MAX_GAP 64
#define MAX_LABEL 10.0 /* of a label vector's entries; -1 and +1 are the usual ones */
#define MAX_GUIDANCE 20.0

void jf_ask_inputs_free(struct jf_ask_inputs *inputs) {
	free(inputs->image);
	free(inputs->labels);
	memset(inputs, 0, sizeof(*inputs));
}

/* 32 bits, so that a person can copy it. */
static int64_t random_seed(const struct jf_call *call) {
	uint32_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uint32_t)(uint64_t)call->handled_ns;
	return seed;
}

static void read_sampler(struct jf_call *call, enum jf_task task) {
	const struct jf_conf *conf = call->http->parts.conf;
	struct jf_api_request *ask = &call->ask;
	const char *solvers[JF_N_SOLVERS];
	int i;

	for (i = 0; i < JF_N_SOLVERS; i++)
		solvers[i] = jf_solver_name((enum jf_solver)i);
	ask->steps = conf->default_steps < conf->max_steps ? conf->default_steps : conf->max_steps;
	ask->solver = (int)jf_solver_default(task);
	ask->guidance = 1.0f;
	jf_params_int(&call->params, "steps", &ask->steps, 1, conf->max_steps);
	jf_params_choice(&call->params, "solver", &ask->solver, solvers, JF_N_SOLVERS);
}

static void read_seed(struct jf_call *call) {
	struct jf_api_request *ask = &call->ask;

	ask->seed_given = jf_params_integer(&call->params, "seed", &ask->seed, 0, JF_MAX_SEED);
	if (!ask->seed_given)
		ask->seed = random_seed(call);
	jf_params_integer(&call->params, "index", &ask->index, 0, JF_MAX_SEED);
}

static void read_picture(struct jf_call *call) {
	struct jf_api_request *ask = &call->ask;

	ask->scale = call->as == JF_AS_PNG ? 4 : 1;
	ask->gap = 2;
	jf_params_int(&call->params, "scale", &ask->scale, 1, MAX_SCALE);
	jf_params_int(&call->params, "gap", &ask->gap, 0, MAX_GAP);
}

static bool new_labels(struct jf_call *call, struct jf_ask_inputs *inputs, int n, int classes) {
	inputs->labels = calloc((size_t)n * (size_t)classes, sizeof(float));
	inputs->n_labels = n;
	return inputs->labels || jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
}

/* --- classify
 * ---------------------------------------------------------------------------------------------------------- */

static bool ask_classify(struct jf_call *call, const struct jf_model *model, struct jf_ask_inputs *inputs) {
	static const char *const methods[] = {"posterior", "sample"};
	struct jf_params *params = &call->params;
	struct jf_api_request *ask = &call->ask;
	const char *names[3];
	int method = 0, preprocess = JF_PREPROCESS_MNIST, invert = JF_INVERT_AUTO, i;

	if (!jf_ask_image_begin(call))
		return false;
	jf_params_choice(params, "method", &method, methods, 2);
	ask->posterior = method == 0;
	read_seed(call);
	if (!ask->seed_given)
		ask->seed = 0; /* the same picture gets the same answer unless another seed is asked for */
	read_sampler(call, JF_TASK_CLASSIFY);
	ask->samples = ask->posterior ? 1 : 8;
	if (ask->samples > call->http->parts.conf->max_samples)
		ask->samples = call->http->parts.conf->max_samples;
	jf_params_int(params, "samples", &ask->samples, 1, call->http->parts.conf->max_samples);
	for (i = 0; i < JF_N_PREPROCESS; i++)
		names[i] = jf_preprocess_name((enum jf_preprocess)i);
	jf_params_choice(params, "preprocess", &preprocess, names, JF_N_PREPROCESS);
	for (i = 0; i < JF_N_INVERT; i++)
		names[i] = jf_invert_name((enum jf_invert)i);
	jf_params_choice(params, "invert", &invert, names, JF_N_INVERT);
	ask->framing = (struct jf_framing_options){(enum jf_preprocess)preprocess, (enum jf_invert)invert};
	jf_params_bool(params, "trace", &ask->trace);
	inputs->n = ask->posterior ? 1 : ask->samples;
	return jf_params_finish(params) && jf_ask_image_end(call, model, inputs);
}

/* --- generate
 * ---------------------------------------------------------------------------------------------------------- */

static bool ask_generate(struct jf_call *call, const struct jf_model *model, struct jf_ask_inputs *inputs) {
	struct jf_params *params = &call->params;
	struct jf_api_request *ask = &call->ask;
	const char *const *names = (const char *const *)model->class_names;
	int classes = model->config.classes, given, class;
	float *label;

	if (!new_labels(call, inputs, 1, classes))
		return false;
	label = inputs->labels;
	given = jf_params_has(params, "digit") + jf_params_has(params, "label") + jf_params_has(params, "weights");
	if (given != 1)
		jf_problem_field(&call->problem, given ? "/label" : "/digit",
		    given ? "exactly one of digit, label and weights may be given"
			  : "is missing: one of digit, label and weights is needed");
	if (jf_params_class(params, "digit", &class, classes, names))
		jf_label_one_hot(label, class, classes);
	jf_params_floats(params, "label", label, classes, -MAX_LABEL, MAX_LABEL);
	if (jf_params_weights(params, "weights", label, classes, names, 1.0))
		jf_label_from_weights(label, label, classes);
	ask->count = 1;
	jf_params_int(params, "count", &ask->count, 1, call->http->parts.conf->max_count);
	jf_params_int(params, "columns", &ask->columns, 1, call->http->parts.conf->max_count);
	read_seed(call);
	read_sampler(call, JF_TASK_GENERATE);
	jf_params_float(params, "guidance", &ask->guidance, 0, MAX_GUIDANCE);
	read_picture(call);
	inputs->n = ask->count;
	return jf_params_finish(params);
}

/* --- blend
 * ------------------------------------------------------------------------------------------------------------- */

static bool blend_matrix(struct jf_call *call, struct jf_ask_inputs *inputs, int classes) {
	int i, j;

	if ((long)classes * classes > call->http->parts.conf->max_count)
		return jf_problem_field(&call->problem, "/matrix", "would make %d images, %d are allowed",
		    classes * classes, call->http->parts.conf->max_count);
	call->ask.rows = call->ask.columns = classes;
	if (!new_labels(call, inputs, classes * classes, classes))
		return false;
	for (i = 0; i < classes; i++)
		for (j = 0; j < classes; j++)
			jf_label_blend(
			    inputs->labels + (size_t)(i * classes + j) * (size_t)classes, i, j, 0.5f, classes);
	return true;
}

static bool blend_morph(struct jf_call *call, const struct jf_model *model, struct jf_ask_inputs *inputs) {
	struct jf_api_request *ask = &call->ask;
	const char *const *names = (const char *const *)model->class_names;
	int classes = model->config.classes, i;
	bool good;

	if (!jf_params_has(&call->params, "from"))
		jf_problem_field(&call->problem, "/from", "is missing: from and to, or matrix, or labels are needed");
	if (!jf_params_has(&call->params, "to"))
		jf_problem_field(&call->problem, "/to", "is missing");
	ask->columns = 9;
	jf_params_int(&call->params, "columns", &ask->columns, 2, call->http->parts.conf->max_count);
	good = jf_params_class(&call->params, "from", &ask->from, classes, names);
	good = jf_params_class(&call->params, "to", &ask->to, classes, names) && good;
	if (!good || !new_labels(call, inputs, ask->columns, classes))
		return false;
	for (i = 0; i < ask->columns; i++)
		jf_label_blend(inputs->labels + (size_t)i * (size_t)classes, ask->from, ask->to,
		    (float)i / (float)(ask->columns - 1), classes);
	return true;
}

static bool ask_blend(struct jf_call *call, const struct jf_model *model, struct jf_ask_inputs *inputs) {
	struct jf_params *params = &call->params;
	struct jf_api_request *ask = &call->ask;
	int classes = model->config.classes, max = call->http->parts.conf->max_count;

	ask->from = ask->to = -1;
	ask->rows = 1;
	jf_params_int(params, "rows", &ask->rows, 1, max);
	jf_params_bool(params, "matrix", &ask->matrix);
	if (ask->matrix) {
		blend_matrix(call, inputs, classes);
	} else if (jf_params_has(params, "labels")) {
		ask->columns = 1;
		if (!new_labels(call, inputs, 1, classes))
			return false;
		if (jf_params_weights(
			params, "labels", inputs->labels, classes, (const char *const *)model->class_names, 1.0))
			jf_label_from_weights(inputs->labels, inputs->labels, classes);
	} else {
		blend_morph(call, model, inputs);
	}
	if (ask->rows * (long)ask->columns > max)
		jf_problem_field(&call->problem, "/rows", "times columns is %ld images, %d are allowed",
		    ask->rows * (long)ask->columns, max);
	read_seed(call);
	read_sampler(call, JF_TASK_GENERATE);
	jf_params_float(params, "guidance", &ask->guidance, 0, MAX_GUIDANCE);
	read_picture(call);
	inputs->n = ask->count = ask->rows * ask->columns;
	return jf_params_finish(params);
}

/* --- sample
 * ------------------------------------------------------------------------------------------------------------ */

static bool ask_sample(struct jf_call *call, struct jf_ask_inputs *inputs) {
	struct jf_api_request *ask = &call->ask;

	ask->count = 1;
	jf_params_int(&call->params, "count", &ask->count, 1, call->http->parts.conf->max_count);
	jf_params_int(&call->params, "columns", &ask->columns, 1, call->http->parts.conf->max_count);
	read_seed(call);
	read_sampler(call, JF_TASK_SAMPLE);
	read_picture(call);
	inputs->n = ask->count;
	return jf_params_finish(&call->params);
}

bool jf_ask_parse(
    struct jf_call *call, enum jf_api_task task, const struct jf_model *model, struct jf_ask_inputs *inputs) {
	const char *body;
	size_t size;

	memset(inputs, 0, sizeof(*inputs));
	call->ask.task = task;
	if (!jf_params_add_query(&call->params, jf_request_query(call->request)) &&
	    call->problem.type != JF_PROBLEM_INVALID)
		return false;
	if (task == JF_API_CLASSIFY)
		return ask_classify(call, model, inputs);
	body = jf_request_body(call->request, &size);
	if (size && strcmp(jf_call_method(call), "POST") == 0 && !jf_params_add_json(&call->params, body, size) &&
	    !call->params.root)
		return false;
	if (task == JF_API_GENERATE)
		return ask_generate(call, model, inputs);
	return task == JF_API_BLEND ? ask_blend(call, model, inputs) : ask_sample(call, inputs);
}
