/* Errands: each runs once, small ones first, a bounded number waits, and a thread keeps to its rate. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "daemon/work/errands.h"

static sem_t gate, entered;
static atomic_int n_ran;
static int order[8];

static void hold(void *context) {
	(void)context;
	sem_post(&entered);
	while (sem_wait(&gate) != 0)
		;
}

static void note(void *context) {
	order[atomic_fetch_add(&n_ran, 1)] = *(int *)context;
}

static struct jf_errands *start(long capacity) {
	struct jf_error error;
	struct jf_errands *errands = jf_errands_create(1, capacity, &error);
	int retry;

	assert_non_null(errands);
	sem_init(&gate, 0, 0);
	sem_init(&entered, 0, 0);
	atomic_store(&n_ran, 0);
	assert_true(jf_errands_submit(errands, 1, hold, NULL, &retry));
	while (sem_wait(&entered) != 0)
		;
	return errands;
}

static void test_order(void **state) {
	static int number[] = {0, 1, 2, 3};
	struct jf_errands *errands = start(JF_ERRAND_RATE * 100);
	int retry = 0;

	(void)state;
	/* ranks lie minutes apart, so however slow this machine is */
	assert_true(jf_errands_submit(errands, JF_ERRAND_RATE * 60, note, &number[3], &retry));
	assert_int_equal(retry, 1);
	assert_true(jf_errands_submit(errands, JF_ERRAND_RATE * 20, note, &number[2], &retry));
	assert_true(jf_errands_submit(errands, 1, note, &number[0], &retry));
	assert_true(jf_errands_submit(errands, 1, note, &number[1], &retry));
	sem_post(&gate);
	jf_errands_destroy(errands); /* runs what waits, without resting */
	assert_int_equal(atomic_load(&n_ran), 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(order[i], i);
}

static void test_room(void **state) {
	static int number;
	struct jf_errands *errands = start(100);
	int retry = 0;

	(void)state;
	assert_true(jf_errands_submit(errands, 1000, note, &number, &retry)); /* nothing waits, so it fits */
	assert_false(jf_errands_submit(errands, 1, note, &number, &retry));
	assert_true(retry >= 1 && retry <= 60);
	sem_post(&gate);
	jf_errands_destroy(errands);
	assert_int_equal(atomic_load(&n_ran), 1);
}

static void test_alive(void **state) {
	struct jf_errands *errands = start(100);

	(void)state;
	assert_true(jf_errands_alive(errands, 1000000));
	while (jf_errands_alive(errands, 5)) /* until it has been at it for 5 ms */
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	sem_post(&gate);
	while (!jf_errands_alive(errands, 5))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	jf_errands_destroy(errands);
	jf_errands_destroy(NULL);
}

static atomic_bool may_beat;

static void go_on(void *context) {
	while (sem_trywait(&gate) != 0) {
		if (atomic_load(&may_beat))
			jf_errands_beat(context);
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
}

/* A long errand that shows that it moves does not look stuck, and only its own beat does that. */
static void test_beat(void **state) {
	struct jf_errands *errands = start(100);
	int retry;

	(void)state;
	assert_true(jf_errands_submit(errands, 1, go_on, errands, &retry));
	sem_post(&gate);
	while (jf_errands_alive(errands, 20)) {
		jf_errands_beat(errands); /* this is none of their threads */
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	atomic_store(&may_beat, true);
	while (!jf_errands_alive(errands, 20))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	sem_post(&gate);
	jf_errands_destroy(errands);
}

static void test_rate(void **state) {
	static int number;
	struct jf_errands *errands = start(JF_ERRAND_RATE);
	int64_t begin = jf_clock_ns();
	int retry;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(jf_errands_submit(errands, JF_ERRAND_RATE / 20, note, &number, &retry));
	sem_post(&gate);
	while (atomic_load(&n_ran) < 3)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_true(jf_clock_ns() - begin >= 100000000); /* two rests of 50 ms before the third */
	jf_errands_destroy(errands);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_room),
	    cmocka_unit_test(test_alive),
	    cmocka_unit_test(test_beat),
	    cmocka_unit_test(test_rate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
