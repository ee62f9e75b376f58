#include "daemon/work/job.h"

#include <limits.h>
#include <stdlib.h>

#include "core/engine/graph.h"
#include "core/questions/question.h"

const char *jf_job_kind_name(enum jf_job_kind kind) {
	static const char *const names[] = {
	    "posterior", "classify", "generate", "sample", "edit", "score", "likelihood"};
	return (unsigned)kind < JF_N_JOB_KINDS ? names[kind] : "unknown";
}

const char *jf_job_end_name(enum jf_job_end end) {
	static const char *const names[] = {"done", "canceled", "deadline", "shutdown", "failed"};
	return (unsigned)end < JF_N_JOB_ENDS ? names[end] : "unknown";
}

static enum jf_err alloc_results(struct jf_job *job, struct jf_error *err) {
	bool edit = job->kind == JF_JOB_EDIT, score = job->kind == JF_JOB_SCORE;
	bool familiarity = jf_job_is_classification(job) || jf_job_is_scoring(job);
	bool images = job->kind == JF_JOB_GENERATE || job->kind == JF_JOB_SAMPLE || edit;
	bool labels = job->kind == JF_JOB_CLASSIFY || job->kind == JF_JOB_SAMPLE || edit;
	bool probabilities = job->kind != JF_JOB_GENERATE;
	size_t n = (size_t)job->n, classes = (size_t)job->model->config.classes;
	if (images)
		job->out_images = calloc(n * jf_network_image_floats(&job->model->config), sizeof(float));
	if (labels)
		job->out_labels = calloc(n * classes, sizeof(float));
	if (probabilities)
		job->out_probabilities = calloc(n * classes, sizeof(float));
	if (familiarity)
		job->out_familiarity = calloc(n, sizeof(float));
	if (edit || score)
		job->out_originals = calloc(n * classes, sizeof(float));
	if (edit)
		job->out_strengths = calloc(n, sizeof(float));
	if (score)
		job->out_log_p = calloc(n * 2 * (classes + 1), sizeof(double));
	if ((familiarity && !job->out_familiarity) || (images && !job->out_images) || (labels && !job->out_labels) ||
	    (probabilities && !job->out_probabilities) || ((edit || score) && !job->out_originals) ||
	    (edit && !job->out_strengths) || (score && !job->out_log_p))
		return jf_error_set(err, JF_ENOMEM, "no memory for the results of %d items", job->n);
	return JF_OK;
}

struct jf_job *jf_job_create(struct jf_model *model, enum jf_job_kind kind, int n, struct jf_error *err) {
	if (n < 1 || n > 1 << 20 || (unsigned)kind >= JF_N_JOB_KINDS) {
		jf_error_set(err, JF_EINVAL, "a job of %d items, kind %d", n, (int)kind);
		return NULL;
	}
	struct jf_job *job = calloc(1, sizeof(*job));
	if (!job) {
		jf_error_set(err, JF_ENOMEM, "no memory for a job");
		return NULL;
	}
	atomic_init(&job->references, 1);
	atomic_init(&job->q.ending, 0);
	job->model = jf_model_ref(model);
	job->kind = kind;
	job->n = job->released = n;
	job->args = jf_sampler_args_default(JF_TASK_CLASSIFY);
	job->draws = 1;
	job->items = calloc((size_t)n, sizeof(*job->items));
	if (!job->items) {
		jf_error_set(err, JF_ENOMEM, "no memory for %d items", n);
		goto failed;
	}
	if (alloc_results(job, err) != JF_OK)
		goto failed;
	return job;
failed:
	jf_job_unref(job);
	return NULL;
}

static enum jf_err alloc_input(float **out, int count, size_t floats, const char *what, struct jf_error *err) {
	free(*out);
	*out = NULL;
	if (count < 1 || count > 1 << 20)
		return jf_error_set(err, JF_EINVAL, "%d %s", count, what);
	*out = calloc((size_t)count * floats, sizeof(float));
	return *out ? JF_OK : jf_error_set(err, JF_ENOMEM, "no memory for %d %s", count, what);
}

enum jf_err jf_job_alloc_images(struct jf_job *job, int count, struct jf_error *err) {
	return alloc_input(&job->images, count, jf_network_image_floats(&job->model->config), "input images", err);
}

enum jf_err jf_job_alloc_labels(struct jf_job *job, int count, struct jf_error *err) {
	return alloc_input(&job->labels, count, (size_t)job->model->config.classes, "input labels", err);
}

struct jf_job *jf_job_ref(struct jf_job *job) {
	atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
	return job;
}

void jf_job_unref(struct jf_job *job) {
	if (!job || atomic_fetch_sub_explicit(&job->references, 1, memory_order_acq_rel) != 1)
		return;
	free(job->out_images);
	free(job->out_labels);
	free(job->out_probabilities);
	free(job->out_originals);
	free(job->out_strengths);
	free(job->redraw);
	free(job->out_familiarity);
	free(job->out_log_p);
	free(job->images);
	free(job->labels);
	free(job->items);
	jf_model_unref(job->model);
	free(job);
}

/* How often an item goes through all steps. */
static int rounds(const struct jf_job *job) {
	return job->kind == JF_JOB_EDIT && job->counterfactual ? JF_EDIT_GRID : 1;
}

static int repeats(const struct jf_job *job) {
	return job->args.repeats > 1 ? job->args.repeats : 1;
}

int jf_job_steps(const struct jf_job *job) {
	if (jf_job_is_scoring(job))
		return job->draws;
	return job->kind == JF_JOB_POSTERIOR ? 1 : job->args.steps * repeats(job) * rounds(job);
}

/* Evaluations in all rounds together, without those of posteriors. */
static long integration(const struct jf_job *job) {
	bool draws = job->kind == JF_JOB_GENERATE || job->kind == JF_JOB_EDIT;

	return rounds(job) * jf_sampler_evaluations(draws                          ? JF_TASK_GENERATE
						    : job->kind == JF_JOB_CLASSIFY ? JF_TASK_CLASSIFY
										   : JF_TASK_SAMPLE,
				 &job->args);
}

/* Evaluations of one draw of a score or likelihood. */
static int draw_cost(const struct jf_job *job) {
	return job->model->config.classes + (job->kind == JF_JOB_SCORE);
}

double jf_job_step_cost(const struct jf_job *job) {
	if (jf_job_is_scoring(job))
		return draw_cost(job);
	if (job->kind == JF_JOB_POSTERIOR)
		return job->draws;
	return (double)integration(job) / jf_job_steps(job);
}

long jf_job_cost(const struct jf_job *job) {
	long evaluations;
	if (job->kind == JF_JOB_POSTERIOR)
		evaluations = job->draws;
	else if (jf_job_is_scoring(job))
		evaluations = (long)job->draws * draw_cost(job) + 1;
	else
		evaluations = integration(job) + (job->kind == JF_JOB_EDIT ? 1 + rounds(job) : 0);
	return evaluations * job->n;
}
