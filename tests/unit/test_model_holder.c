/* The model in force: loaded aside, self-tested, swapped, kept on any failure. */
#include "config.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/engine/sampler.h"
#include "core/files/checkpoint.h"
#include "daemon/work/model_holder.h"
#include "tests/unit/small_model.h"

static char folder[] = "/tmp/jf_holder_XXXXXX";
static char paths[2][64];

static void test_self_test(void **state) {
	struct jf_error error;
	struct jf_model *model = small_model(3);
	(void)state;
	assert_non_null(model);
	assert_int_equal(jf_model_self_test(model, &error), JF_OK);
	for (size_t i = 0; i < model->graph->n_params_floats; i++)
		model->params[i] *= 1e30f; /* finite, but nothing that can be computed with */
	assert_int_equal(jf_model_pack(model, &error), JF_OK);
	assert_int_equal(jf_model_self_test(model, &error), JF_ENUMERIC);
	jf_model_unref(model);
}

/* As a reload does it: what does not open changes nothing. */
static enum jf_err load(struct jf_model_holder *holder, const char *path, struct jf_error *err) {
	struct jf_model *model = NULL;
	enum jf_err rc = jf_model_open(&model, path, err);
	if (rc == JF_OK)
		jf_model_holder_set(holder, model);
	else
		assert_null(model);
	jf_model_unref(model);
	return rc;
}

/* What the daemon serves has let go of its parameters, and answers as before. */
static void test_only_answers(void **state) {
	struct jf_error error;
	struct jf_model *whole = jf_checkpoint_load(paths[0], &error), *model = NULL;
	float want[8], got[8], image[256] = {0.5f};
	const float *images[1] = {image};
	struct jf_sampler *sampler;
	(void)state;
	assert_non_null(whole);
	assert_true(whole->config.classes <= 8 && jf_network_image_floats(&whole->config) <= 256);
	assert_int_equal(jf_model_open(&model, paths[0], &error), JF_OK);
	assert_null(model->params);
	for (int i = 0; i < 2; i++) {
		sampler = jf_sampler_create(i ? model : whole, JF_TASK_CLASSIFY, 1, &error);
		assert_non_null(sampler);
		assert_int_equal(
		    jf_sampler_posterior(sampler, i ? got : want, images, 1, 1, NULL, NULL, &error), JF_OK);
		jf_sampler_destroy(sampler);
	}
	assert_memory_equal(got, want, sizeof(float) * (size_t)whole->config.classes);
	assert_int_equal(jf_checkpoint_save(model, paths[1], &error), JF_EINVAL);
	assert_non_null(strstr(error.message, "parameters"));
	jf_model_unref(model);
	jf_model_unref(whole);
}

static void test_load(void **state) {
	struct jf_error error;
	(void)state;
	struct jf_model_holder *holder = jf_model_holder_create();
	assert_null(jf_model_holder_get(holder));
	assert_int_equal(load(holder, paths[0], &error), JF_OK);
	struct jf_model *first = jf_model_holder_get(holder);
	assert_non_null(first);
	assert_int_equal(strlen(first->checksum), 64);
	assert_true(jf_model_holder_loaded_at(holder) > 0);

	/* whatever goes wrong, the old one stays */
	assert_int_not_equal(load(holder, "/nonexistent/model", &error), JF_OK);
	assert_non_null(strstr(error.message, "/nonexistent/model"));
	struct jf_model *still = jf_model_holder_get(holder);
	assert_ptr_equal(still, first);
	jf_model_unref(still);

	assert_int_equal(load(holder, paths[1], &error), JF_OK);
	struct jf_model *second = jf_model_holder_get(holder);
	assert_ptr_not_equal(second, first);
	assert_string_not_equal(second->checksum, first->checksum);
	assert_int_equal(first->references, 1); /* ours is the last: the holder has let go */
	jf_model_unref(first);
	jf_model_unref(second);
	jf_model_holder_destroy(holder);
	jf_model_holder_destroy(NULL);
}

static void *take_and_give(void *argument) {
	for (int i = 0; i < 3000; i++) {
		struct jf_model *model = jf_model_holder_get(argument);
		if (model->config.classes != 5)
			abort();
		jf_model_unref(model);
	}
	return NULL;
}

static void test_threads(void **state) {
	pthread_t threads[3];
	struct jf_model *models[2] = {small_model(1), small_model(2)};
	(void)state;
	struct jf_model_holder *holder = jf_model_holder_create();
	jf_model_holder_set(holder, models[0]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, holder), 0);
	for (int i = 0; i < 500; i++)
		jf_model_holder_set(holder, models[i % 2]);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	jf_model_holder_destroy(holder);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(models[i]->references, 1);
		jf_model_unref(models[i]);
	}
}

static int make_files(void **state) {
	struct jf_error error;
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	for (int i = 0; i < 2; i++) {
		struct jf_model *model = small_model((uint64_t)i + 10);
		snprintf(paths[i], sizeof(paths[i]), "%s/%d", folder, i);
		if (!model || jf_checkpoint_save(model, paths[i], &error) != JF_OK)
			return -1;
		jf_model_unref(model);
	}
	return 0;
}

static int remove_files(void **state) {
	(void)state;
	unlink(paths[0]);
	unlink(paths[1]);
	return rmdir(folder);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_self_test),
	    cmocka_unit_test(test_only_answers),
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
