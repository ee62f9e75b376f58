#include "daemon/work/model_holder.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/engine/sampler.h"
#include "core/files/checkpoint.h"

struct jf_model_holder {
	/* Guards all below; held for a few assignments only, no other lock is taken under it. */
	pthread_mutex_t lock;
	struct jf_model *model; /* referenced; NULL = none yet */
	int64_t loaded_at_s;
};

struct jf_model_holder *jf_model_holder_create(void) {
	struct jf_model_holder *holder = calloc(1, sizeof(*holder));
	if (holder)
		pthread_mutex_init(&holder->lock, NULL);
	return holder;
}

void jf_model_holder_destroy(struct jf_model_holder *holder) {
	if (!holder)
		return;
	jf_model_unref(holder->model);
	pthread_mutex_destroy(&holder->lock);
	free(holder);
}

struct jf_model *jf_model_holder_get(struct jf_model_holder *holder) {
	pthread_mutex_lock(&holder->lock);
	struct jf_model *model = holder->model ? jf_model_ref(holder->model) : NULL;
	pthread_mutex_unlock(&holder->lock);
	return model;
}

void jf_model_holder_set(struct jf_model_holder *holder, struct jf_model *model) {
	jf_model_ref(model);
	pthread_mutex_lock(&holder->lock);
	struct jf_model *old = holder->model;
	holder->model = model;
	holder->loaded_at_s = time(NULL);
	pthread_mutex_unlock(&holder->lock);
	jf_model_unref(old);
}

int64_t jf_model_holder_loaded_at(struct jf_model_holder *holder) {
	pthread_mutex_lock(&holder->lock);
	int64_t at = holder->loaded_at_s;
	pthread_mutex_unlock(&holder->lock);
	return at;
}

enum jf_err jf_model_open(struct jf_model **out, const char *path, struct jf_error *err) {
	*out = jf_checkpoint_load(path, err);
	if (!*out)
		return err->code;
	jf_model_only_answer(*out);
	enum jf_err rc = jf_model_self_test(*out, err);
	if (rc != JF_OK) {
		jf_error_prefix(err, "%s", path);
		jf_model_unref(*out);
		*out = NULL;
	}
	return rc;
}

/* --- self-test --- */

#define TEST_BATCH 3
#define TEST_STEPS 1 /* every evaluation runs the whole network: more would only make the start longer */

/* Inputs and answers of one task: three items together, and the middle one by itself. */
struct self_test {
	struct jf_model *model;
	size_t pixels, classes;
	float *image, *label;    /* inputs, [TEST_BATCH][...] */
	float *together, *alone; /* [TEST_BATCH][pixels + 2 classes] and one such row */
};

static enum jf_err check_finite(const float *values, size_t n, const char *task, struct jf_error *err) {
	for (size_t i = 0; i < n; i++)
		if (!isfinite(values[i]))
			return jf_error_set(err, JF_ENUMERIC, "self-test of %s: a result is not finite", task);
	return JF_OK;
}

/* Writes a row for each item: image, label, probabilities, zeros where the task has none. */
static enum jf_err run_task(
    const struct self_test *test, float *rows, enum jf_task task, int first, int n, struct jf_error *err) {
	struct jf_sampler_args args = {.solver = JF_SOLVER_EULER, .steps = TEST_STEPS, .guidance = 2.0f};
	struct jf_trajectory items[TEST_BATCH];
	struct jf_sampler *sampler = jf_sampler_create(test->model, task, n, err);
	if (!sampler)
		return err ? err->code : JF_ENOMEM;
	if (task != JF_TASK_GENERATE)
		args.guidance = 1.0f;
	for (int i = 0; i < n; i++)
		items[i] = (struct jf_trajectory){.seed = 67,
		    .index = (uint64_t)(first + i),
		    .image = task == JF_TASK_CLASSIFY ? test->image + (size_t)(first + i) * test->pixels : NULL,
		    .label = task == JF_TASK_GENERATE ? test->label + (size_t)(first + i) * test->classes : NULL};
	enum jf_err rc = jf_sampler_begin(sampler, &args, items, n, err);
	while (rc == JF_OK && jf_sampler_steps_left(sampler) > 0)
		rc = jf_sampler_step(sampler, err);
	for (int i = 0; i < n && rc == JF_OK; i++) {
		float *row = rows + (size_t)i * (test->pixels + 2 * test->classes);
		const float *image = jf_sampler_image(sampler, i), *label = jf_sampler_label(sampler, i);
		if (image)
			memcpy(row, image, test->pixels * sizeof(*row));
		if (label)
			memcpy(row + test->pixels, label, test->classes * sizeof(*row));
		if (task != JF_TASK_GENERATE)
			memcpy(row + test->pixels + test->classes, jf_sampler_probabilities(sampler, i),
			    test->classes * sizeof(*row));
	}
	jf_sampler_destroy(sampler);
	return rc;
}

static enum jf_err test_task(const struct self_test *test, enum jf_task task, struct jf_error *err) {
	size_t row = test->pixels + 2 * test->classes;
	const char *name = jf_task_name(task);
	memset(test->together, 0, TEST_BATCH * row * sizeof(float));
	memset(test->alone, 0, row * sizeof(float));
	enum jf_err rc = run_task(test, test->together, task, 0, TEST_BATCH, err);
	if (rc == JF_OK)
		rc = run_task(test, test->alone, task, 1, 1, err);
	if (rc == JF_OK)
		rc = check_finite(test->together, TEST_BATCH * row, name, err);
	if (rc != JF_OK)
		return rc;
	if (memcmp(test->alone, test->together + row, row * sizeof(float)) != 0)
		return jf_error_set(err, JF_EINTERNAL, "self-test of %s: a result depends on its batch", name);
	return JF_OK;
}

static enum jf_err test_posterior(const struct self_test *test, struct jf_error *err) {
	const float *images[1] = {test->image};
	double sum = 0.0;
	struct jf_sampler *sampler = jf_sampler_create(test->model, JF_TASK_CLASSIFY, 1, err);
	if (!sampler)
		return err ? err->code : JF_ENOMEM;
	enum jf_err rc = jf_sampler_posterior(sampler, test->alone, images, 1, 1, NULL, NULL, err);
	jf_sampler_destroy(sampler);
	for (size_t k = 0; k < test->classes; k++)
		sum += (double)test->alone[k];
	if (rc == JF_OK && !(fabs(sum - 1.0) < 1e-4))
		rc = jf_error_set(err, JF_ENUMERIC, "self-test of the posterior: probabilities sum to %g", sum);
	return rc;
}

enum jf_err jf_model_self_test(struct jf_model *model, struct jf_error *err) {
	const struct jf_network_config *config = &model->config;
	struct self_test test = {
	    .model = model, .classes = (size_t)config->classes, .pixels = jf_network_image_floats(config)};
	enum jf_err rc = JF_ENOMEM;
	test.image = calloc(TEST_BATCH * test.pixels, sizeof(float));
	test.label = calloc(TEST_BATCH * test.classes, sizeof(float));
	test.together = calloc(TEST_BATCH * (test.pixels + 2 * test.classes), sizeof(float));
	test.alone = calloc(test.pixels + 2 * test.classes, sizeof(float));
	if (!test.image || !test.label || !test.together || !test.alone) {
		jf_error_set(err, JF_ENOMEM, "no memory for the self-test");
		goto out;
	}
	jf_rng_uniform(test.image, TEST_BATCH * test.pixels, 67, JF_STREAM_IMAGE, 0);
	for (size_t i = 0; i < TEST_BATCH * test.classes; i++)
		test.label[i] = i % test.classes == i / test.classes ? 1.0f : -1.0f;
	rc = test_posterior(&test, err);
	for (int task = 0; task < JF_N_TASKS && rc == JF_OK; task++)
		rc = test_task(&test, (enum jf_task)task, err);
out:
	free(test.image);
	free(test.label);
	free(test.together);
	free(test.alone);
	return rc;
}
