#include "daemon/work/job.h"

#include <limits.h>
#include <stdlib.h>

#include "core/engine/graph.h"
#include "core/questions/question.h"

const char *jf_job_kind_name(enum jf_job_kind kind) {
	static const char *const names[] = {"posterior", "classify", "generate", "sample"};
	return (unsigned)kind < JF_N_JOB_KINDS ? names[kind] : "unknown";
}

const char *jf_job_end_name(enum jf_job_end end) {
	static const char *const names[] = {"done", "canceled", "deadline", "shutdown", "failed"};
	return (unsigned)end < JF_N_JOB_ENDS ? names[end] : "unknown";
}

/* Three flags, one for each kind of result. */
static enum jf_err alloc_results(struct jf_job *job, struct jf_error *err) {
	bool images = job->kind == JF_JOB_GENERATE || job->kind == JF_JOB_SAMPLE;
	bool labels = job->kind == JF_JOB_CLASSIFY || job->kind == JF_JOB_SAMPLE;
	bool probabilities = job->kind != JF_JOB_GENERATE;
	size_t n = (size_t)job->n, classes = (size_t)job->model->config.classes;
	if (images)
		job->out_images = calloc(n * jf_network_image_floats(&job->model->config), sizeof(float));
	if (labels)
		job->out_labels = calloc(n * classes, sizeof(float));
	if (probabilities)
		job->out_probabilities = calloc(n * classes, sizeof(float));
	if ((images && !job->out_images) || (labels && !job->out_labels) || (probabilities && !job->out_probabilities))
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
	job->n = n;
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
	free(job->images);
	free(job->labels);
	free(job->items);
	jf_model_unref(job->model);
	free(job);
}

long jf_job_cost(const struct jf_job *job) {
	long evaluations;
	if (job->kind == JF_JOB_POSTERIOR) {
		evaluations = job->draws;
	} else {
		bool guided = job->kind == JF_JOB_GENERATE && (job->args.guidance < 1.0f || job->args.guidance > 1.0f);
		evaluations = jf_solver_evaluations(job->args.solver, job->args.steps) * (guided ? 2L : 1L);
		evaluations += job->kind == JF_JOB_SAMPLE ? JF_SAMPLE_EXTRA_EVALUATIONS : 0;
	}
	return evaluations * job->n;
}
