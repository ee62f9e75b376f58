/* What an edit asks: a picture, how much noise goes on it, the label it comes off under, what stays as it is. */
#include <stdlib.h>

#include "daemon/api/ask_image.h"
#include "daemon/api/ask_parts.h"
#include "daemon/api/heavy.h"

/* How far the picture is taken back, or that this is to be found out. */
static void read_strength(struct jf_call *call) {
	struct jf_params *params = &call->params;
	struct jf_ask *ask = &call->ask;

	jf_params_bool(params, "counterfactual", &ask->counterfactual);
	if (ask->counterfactual && jf_params_has(params, "strength"))
		jf_problem_field(
		    &call->problem, "/strength", "cannot be given together with counterfactual, which looks for it");
	jf_params_float(params, "strength", &ask->strength, JF_MIN_STRENGTH, 1);
	jf_params_int(params, "repeats", &ask->sampler.repeats, 1, JF_MAX_REPEATS);
	ask->sampler.start = ask->strength;
}

static bool names_label(const struct jf_call *call) {
	return jf_params_has(&call->params, "class") || jf_params_has(&call->params, "digit") ||
	       jf_params_has(&call->params, "label") || jf_params_has(&call->params, "weights");
}

static void read_fields(struct jf_call *call, const struct jf_model *model) {
	int max = call->http->parts.conf->max_count;

	jf_params_int(&call->params, "count", &call->ask.count, 1, max);
	jf_params_int(&call->params, "columns", &call->ask.columns, 1, max);
	read_strength(call);
	jf_ask_read_seed(call);
	jf_ask_read_sampler(call);
	jf_ask_read_picture(call);
	jf_ask_read_framing(call, model);
}

/* The mask into job->redraw, and what it keeps. */
static bool take_mask(struct jf_call *call, struct jf_job *job, const struct jf_ask_image *mask) {
	const struct jf_network_config *config = &job->model->config;
	struct jf_error err = {0};

	job->redraw = calloc((size_t)config->height * (size_t)config->width, sizeof(*job->redraw));
	if (!job->redraw)
		return jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
	if (jf_ask_image_mask(job->redraw, mask, config, &err) != JF_OK)
		return jf_problem_field(&call->problem, "/mask", "%.180s", err.message);
	for (int i = 0; i < job->n; i++)
		job->items[i].redraw = job->redraw;
	return true;
}

static bool take_picture(struct jf_call *call, struct jf_job *job, const struct jf_ask_images *images) {
	struct jf_ask *ask = &call->ask;
	struct jf_error err = {0};
	enum jf_err rc;

	ask->pictures = calloc(1, sizeof(*ask->pictures));
	if (!ask->pictures)
		return jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
	ask->n_pictures = 1;
	rc = jf_ask_image_frame(call, job->images, &ask->pictures->framed, &images->item[0], &job->model->config, &err);
	if (rc == JF_ENOMEM)
		return jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
	return rc == JF_OK || jf_ask_image_refuse(call, images, 0, err.message);
}

struct jf_job *jf_ask_edit(struct jf_call *call, struct jf_model *model) {
	struct jf_ask_images images = {0};
	struct jf_job *job = NULL;
	bool labelled;

	if (!jf_ask_image_find(call, &images))
		goto out;
	read_fields(call, model);
	labelled = names_label(call) || call->ask.counterfactual; /* which does not go without */
	call->heavy = images.n ? jf_ask_image_weight(call, &images.item[0]) : 0;
	if (jf_heavy_is(call, call->heavy))
		goto out; /* this handler runs again elsewhere */
	call->heavy = 0;
	job = jf_ask_new_job(call, model, JF_JOB_EDIT, call->ask.count, 1, labelled);
	if (job && labelled)
		jf_ask_read_label(call, model, job->labels);
	if (job)
		job->counterfactual = call->ask.counterfactual;
	if (jf_params_finish(&call->params) && job && images.masked)
		take_mask(call, job, &images.mask);
	if (!call->problem.set && job)
		take_picture(call, job, &images);
out:
	jf_ask_image_deinit(&images);
	return jf_ask_checked(call, job);
}
