/* The order of the queue and what shares a batch: no threads, so every case is exact. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/questions/question.h"
#include "daemon/work/queue.h"
#include "tests/unit/small_model.h"

#define MS INT64_C(1000000)

static struct jf_model *model, *other;
static struct jf_queue queue;
static struct jf_batch batch;

static struct jf_job *push(enum jf_job_kind kind, int n, int steps, int64_t at_ms) {
	struct jf_error error;
	struct jf_job *job = jf_job_create(model, kind, n, &error);
	assert_non_null(job);
	job->args.steps = steps;
	jf_queue_push(&queue, job, at_ms * MS);
	return job;
}

static bool take(int max_batch, int workers) {
	return jf_queue_take(&queue, &batch, JF_QUEUE_ANY, max_batch, workers);
}

/* Checks that the batch is items 0.. of these jobs, and frees nothing. */
static void expect(const struct jf_job *const *jobs, int n) {
	assert_int_equal(batch.n, n);
	for (int i = 0; i < n; i++)
		assert_ptr_equal(batch.items[i].job, jobs[i]);
}

static int start(void **state) {
	(void)state;
	memset(&queue, 0, sizeof(queue));
	queue.ageing_ns = 2000 * MS;
	model = small_model(1);
	other = small_model(2);
	return model && other ? 0 : -1;
}

static int end(void **state) {
	(void)state;
	jf_model_unref(model);
	jf_model_unref(other);
	return queue.n;
}

static void test_order(void **state) {
	(void)state;
	struct jf_job *big = push(JF_JOB_GENERATE, 10, 100, 0); /* cost 1000: counts as 1000 ms later */
	struct jf_job *small = push(JF_JOB_GENERATE, 1, 20, 1); /* 20 ms later */
	struct jf_job *posterior = push(JF_JOB_POSTERIOR, 1, 20, 10);
	struct jf_job *second = push(JF_JOB_POSTERIOR, 1, 20, 11);
	assert_true(take(16, 1));
	expect((const struct jf_job *[]){posterior, second}, 2);
	assert_true(take(16, 1));
	expect((const struct jf_job *[]){small}, 1);
	assert_true(take(1, 1));
	expect((const struct jf_job *[]){big}, 1);
	jf_queue_remove(&queue, big);
	assert_false(take(16, 1));
	jf_job_unref(big);
	jf_job_unref(small);
	jf_job_unref(posterior);
	jf_job_unref(second);
}

/* However big, a generation goes before what arrives ageing_ms later. */
static void test_ageing(void **state) {
	(void)state;
	struct jf_job *huge = push(JF_JOB_GENERATE, 1, 1000, 0);
	huge->args.solver = JF_SOLVER_HEUN;
	struct jf_job *huger = push(JF_JOB_SAMPLE, 100, 1000, 1);
	struct jf_job *before = push(JF_JOB_POSTERIOR, 1, 1, 1999);
	struct jf_job *after = push(JF_JOB_POSTERIOR, 1, 1, 2002);
	const struct jf_job *order[4] = {NULL};
	(void)before;
	for (int i = 0; i < 4; i++) {
		assert_true(take(1, 1));
		order[i] = batch.items[0].job;
		if (order[i] == huger)
			jf_queue_remove(&queue, huger);
	}
	assert_ptr_equal(order[0], huge); /* cost 1000 when it was pushed: rank 1000 ms */
	assert_ptr_equal(order[1], before);
	assert_ptr_equal(order[2], huger); /* rank 2001 ms */
	assert_ptr_equal(order[3], after);
	jf_job_unref(huge);
	jf_job_unref(huger);
	jf_job_unref(before);
	jf_job_unref(after);
}

static void test_compatible(void **state) {
	struct jf_job *jobs[8];
	(void)state;
	for (int i = 0; i < 8; i++)
		jobs[i] = push(JF_JOB_GENERATE, 1, i == 1 ? 21 : 20, i);
	jobs[2]->args.solver = JF_SOLVER_HEUN;
	jobs[3]->args.guidance = 2.0f;
	jobs[4]->kind = JF_JOB_SAMPLE;
	jf_model_unref(jobs[5]->model);
	jobs[5]->model = jf_model_ref(other);
	assert_int_equal(jf_queue_compatible(&queue, 100), 3);
	assert_int_equal(jf_queue_compatible(&queue, 2), 2);
	assert_true(take(16, 1));
	expect((const struct jf_job *[]){jobs[0], jobs[6], jobs[7]}, 3);
	for (int i = 1; i < 6; i++) { /* each of the others by itself, in order */
		assert_true(take(16, 1));
		expect((const struct jf_job *[]){jobs[i]}, 1);
	}
	assert_false(take(16, 1));
	for (int i = 0; i < 8; i++)
		jf_job_unref(jobs[i]);

	jobs[0] = push(JF_JOB_POSTERIOR, 1, 20, 0);
	jobs[1] = push(JF_JOB_POSTERIOR, 1, 99, 0); /* steps mean nothing to a posterior */
	jobs[2] = push(JF_JOB_POSTERIOR, 1, 20, 0);
	jobs[2]->draws = 4;
	assert_true(take(16, 1));
	expect((const struct jf_job *[]){jobs[0], jobs[1]}, 2);
	assert_true(take(16, 1));
	for (int i = 0; i < 3; i++)
		jf_job_unref(jobs[i]);

	/* edits: of one strength, as often repeated, and searches by themselves */
	for (int i = 0; i < 5; i++)
		jobs[i] = push(JF_JOB_EDIT, 1, 20, i);
	jobs[1]->args.start = 0.5f;
	jobs[2]->args.repeats = 3;
	jobs[3]->counterfactual = true;
	assert_true(take(16, 1));
	expect((const struct jf_job *[]){jobs[0], jobs[4]}, 2);
	for (int i = 1; i < 4; i++) {
		assert_true(take(16, 1));
		expect((const struct jf_job *[]){jobs[i]}, 1);
	}
	for (int i = 0; i < 5; i++)
		jf_job_unref(jobs[i]);
}

/* 10 items on 3 workers: 4, 4, 2; a batch limit cuts further. */
static void test_split(void **state) {
	(void)state;
	struct jf_job *job = push(JF_JOB_GENERATE, 10, 20, 0);
	static const int sizes[] = {4, 4, 2};
	int item = 0;
	for (int i = 0; i < 3; i++) {
		assert_true(take(16, 3));
		assert_int_equal(batch.n, sizes[i]);
		for (int k = 0; k < batch.n; k++)
			assert_int_equal(batch.items[k].item, item++);
	}
	assert_false(take(16, 3));
	assert_int_equal(job->q.running, 10);
	jf_job_unref(job);

	job = push(JF_JOB_GENERATE, 10, 20, 0);
	assert_true(take(3, 2));
	assert_int_equal(batch.n, 3);
	jf_queue_remove(&queue, job);
	jf_job_unref(job);
}

static void test_filter(void **state) {
	(void)state;
	struct jf_job *generate = push(JF_JOB_GENERATE, 1, 1, 0); /* rank 1 ms */
	struct jf_job *classify = push(JF_JOB_CLASSIFY, 1, 20, 5);
	assert_false(jf_queue_take(&queue, &batch, JF_QUEUE_POSTERIOR, 16, 1));
	/* though the generation's rank is smaller */
	assert_true(jf_queue_take(&queue, &batch, JF_QUEUE_CLASSIFICATIONS, 16, 1));
	expect((const struct jf_job *[]){classify}, 1);
	assert_false(jf_queue_take(&queue, &batch, JF_QUEUE_CLASSIFICATIONS, 16, 1));
	assert_true(take(16, 1));
	jf_job_unref(generate);
	jf_job_unref(classify);
}

/* A score's classes are a batch already: one picture at a time, so that the other workers find the rest. */
static void test_scores_go_alone(void **state) {
	(void)state;
	struct jf_job *score = push(JF_JOB_SCORE, 3, 1, 0), *later = push(JF_JOB_SCORE, 1, 1, 1000);
	score->draws = later->draws = 4;
	assert_int_equal(jf_queue_compatible(&queue, 8), 8); /* nothing to wait for */
	for (int i = 0; i < 4; i++) {
		assert_true(take(16, 1));
		assert_int_equal(batch.n, 1);
		assert_ptr_equal(batch.items[0].job, i < 3 ? score : later);
	}
	assert_false(take(16, 1));
	jf_job_unref(score);
	jf_job_unref(later);
}

static void test_cost(void **state) {
	static const struct {
		enum jf_job_kind kind;
		enum jf_solver solver;
		float guidance;
		long cost;
	} cases[] = {{JF_JOB_POSTERIOR, JF_SOLVER_HEUN, 1, 3 * 5}, {JF_JOB_GENERATE, JF_SOLVER_EULER, 1, 3 * 10},
	    {JF_JOB_GENERATE, JF_SOLVER_EULER, 2, 3 * 20}, {JF_JOB_GENERATE, JF_SOLVER_MIDPOINT, 1, 3 * 20},
	    {JF_JOB_GENERATE, JF_SOLVER_HEUN, 1, 3 * 19}, {JF_JOB_SAMPLE, JF_SOLVER_EULER, 2, 3 * 12},
	    {JF_JOB_CLASSIFY, JF_SOLVER_EULER, 1, 3 * 10}, {JF_JOB_EDIT, JF_SOLVER_EULER, 1, 3 * (10 + 2)},
	    {JF_JOB_EDIT, JF_SOLVER_HEUN, 2, 3 * (2 * 19 + 2)}};
	struct jf_error error;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jf_job *job = jf_job_create(model, cases[i].kind, 3, &error);
		assert_non_null(job);
		job->draws = 5;
		job->args =
		    (struct jf_sampler_args){.solver = cases[i].solver, .steps = 10, .guidance = cases[i].guidance};
		assert_int_equal(jf_job_cost(job), cases[i].cost);
		jf_job_unref(job);
	}
	/* of the times 1, 0.947, 0.889, 0.824, 0.75, 0.667 ... one lies between 0.7 and 0.8 */
	struct jf_job *guided = jf_job_create(model, JF_JOB_GENERATE, 3, &error);
	assert_non_null(guided);
	guided->args =
	    (struct jf_sampler_args){.steps = 10, .guidance = 2.0f, .guidance_low = 0.7f, .guidance_high = 0.8f};
	assert_int_equal(jf_job_cost(guided), 3 * (10 + 1));
	jf_job_unref(guided);
	/* repeats of every step; a posterior before, and one after each round of a search */
	struct jf_job *edit = jf_job_create(model, JF_JOB_EDIT, 3, &error);
	assert_non_null(edit);
	edit->args = (struct jf_sampler_args){.steps = 10, .guidance = 1.0f, .repeats = 4};
	assert_int_equal(jf_job_cost(edit), 3 * (4 * 10 + 2));
	edit->counterfactual = true;
	assert_int_equal(jf_job_cost(edit), 3 * (JF_EDIT_GRID * (4 * 10 + 1) + 1));
	assert_int_equal(jf_job_steps(edit), JF_EDIT_GRID * 4 * 10);
	jf_job_unref(edit);
	/* every draw under every class, a score's without one too, and a posterior */
	for (int i = 0; i < 2; i++) {
		struct jf_job *job = jf_job_create(model, i ? JF_JOB_SCORE : JF_JOB_LIKELIHOOD, 3, &error);
		assert_non_null(job);
		job->draws = 4;
		assert_int_equal(jf_job_cost(job), 3 * (4 * (model->config.classes + i) + 1));
		assert_int_equal(jf_job_steps(job), 4);
		jf_job_unref(job);
	}
	assert_null(jf_job_create(model, JF_JOB_GENERATE, 0, &error));
	assert_null(jf_job_create(model, JF_N_JOB_KINDS, 1, &error));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_order, start, end),
	    cmocka_unit_test_setup_teardown(test_ageing, start, end),
	    cmocka_unit_test_setup_teardown(test_compatible, start, end),
	    cmocka_unit_test_setup_teardown(test_split, start, end),
	    cmocka_unit_test_setup_teardown(test_filter, start, end),
	    cmocka_unit_test_setup_teardown(test_scores_go_alone, start, end),
	    cmocka_unit_test_setup_teardown(test_cost, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
