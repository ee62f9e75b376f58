/* Errands: each runs once, small ones first, what waits will be done in time, and a thread keeps to its rate. What a
 * thread does at the end of a row. */
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
#include "daemon/service/later.h"
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

/* Whether there is room for an errand of that weight of that client's, to be done within so many seconds. */
static bool submit_within(struct jf_errands *errands, const char *client, long weight, long rest, double seconds,
    void (*run)(void *context), void *context) {
	int64_t deadline_ns = jf_clock_ns() + (int64_t)(seconds * 1e9);
	struct jf_errand errand = {run, context, weight, rest, client, deadline_ns, false};
	int retry = 0;
	bool fits = jf_errands_submit(errands, &errand, &retry);

	assert_true(retry >= 1 && retry <= 60);
	return fits;
}

static bool submit(struct jf_errands *errands, long weight, void (*run)(void *context), void *context) {
	return submit_within(errands, "anybody", weight, 0, 1000, run, context);
}

static struct jf_errands *start(void) {
	struct jf_error error;
	struct jf_errands *errands = jf_errands_create(1, &error);

	assert_non_null(errands);
	sem_init(&gate, 0, 0);
	sem_init(&entered, 0, 0);
	atomic_store(&n_ran, 0);
	assert_true(submit(errands, 1, hold, NULL));
	while (sem_wait(&entered) != 0)
		;
	return errands;
}

/* Lets it run, without resting, what waits; n errands, in the order of their numbers. */
static void assert_order(struct jf_errands *errands, int n) {
	sem_post(&gate);
	jf_errands_destroy(errands);
	assert_int_equal(atomic_load(&n_ran), n);
	for (int i = 0; i < n; i++)
		assert_int_equal(order[i], i);
}

static int number[] = {0, 1, 2, 3, 4, 5, 6, 7};

static void test_order(void **state) {
	struct jf_errands *errands = start();

	(void)state;
	/* ranks lie minutes apart, so however slow this machine is */
	assert_true(submit_within(errands, "a", JF_ERRAND_RATE * 60, 0, 1000, note, &number[3]));
	assert_true(submit_within(errands, "b", JF_ERRAND_RATE * 20, 0, 1000, note, &number[2]));
	assert_true(submit_within(errands, "c", 1, 0, 1000, note, &number[0]));
	assert_true(submit_within(errands, "c", 1, 0, 1000, note, &number[1]));
	assert_order(errands, 4);
}

/* Whoever sends many waits behind their own, and nobody else does. */
static void test_fair(void **state) {
	struct jf_errands *errands = start();

	(void)state;
	assert_true(submit_within(errands, "many", JF_ERRAND_RATE * 20, 0, 1000, note, &number[0]));
	assert_true(submit_within(errands, "many", JF_ERRAND_RATE * 20, 0, 1000, note, &number[2]));
	assert_true(submit_within(errands, "many", JF_ERRAND_RATE * 20, 0, 1000, note, &number[4]));
	assert_true(submit_within(errands, "one", JF_ERRAND_RATE * 30, 0, 1000, note, &number[1]));
	assert_true(submit_within(errands, "other", JF_ERRAND_RATE * 50, 0, 1000, note, &number[3]));
	assert_order(errands, 5);
}

/* There is room for what will be done in time, whatever else waits: of that only what goes before it counts. */
static void test_room(void **state) {
	struct jf_errands *errands = start();
	struct jf_errand piece = {note, &number[3], JF_ERRAND_RATE * 60, 0, "list", jf_clock_ns(), true};
	int retry;

	(void)state;
	assert_true(submit_within(errands, "list", JF_ERRAND_RATE * 100, JF_ERRAND_RATE * 900L, 0, note, &number[4]));
	assert_true(submit_within(errands, "a", JF_ERRAND_RATE * 20, 0, 1000, note, &number[0]));
	assert_false(submit_within(errands, "b", JF_ERRAND_RATE * 30, 0, 40, note, NULL)); /* 30 s behind a's 20 */
	assert_true(submit_within(errands, "b", JF_ERRAND_RATE * 30, 0, 100, note, &number[1]));
	assert_false(submit_within(errands, "c", JF_ERRAND_RATE * 40, JF_ERRAND_RATE * 80L, 150, note, NULL));
	assert_true(submit_within(errands, "c", JF_ERRAND_RATE * 40, 0, 150, note, &number[2]));
	assert_true(jf_errands_submit(errands, &piece, &retry)); /* it was let in before */
	assert_order(errands, 5);
}

/* Lists take turns, so each is done when nearly all are. */
static void test_room_of_lists(void **state) {
	struct jf_errands *errands = start();

	(void)state;
	assert_true(submit_within(errands, "a", JF_ERRAND_RATE, JF_ERRAND_RATE * 100L, 150, note, &number[0]));
	assert_false(submit_within(errands, "b", JF_ERRAND_RATE, JF_ERRAND_RATE * 100L, 150, note, NULL));
	assert_true(submit_within(errands, "b", JF_ERRAND_RATE, JF_ERRAND_RATE * 10L, 150, note, &number[1]));
	assert_true(submit_within(errands, "c", JF_ERRAND_RATE * 30, 0, 150, note, &number[2]));
	assert_order(errands, 3);
}

/* What a client sends while a list of its own is being read does not go before the rest of the list. */
static void test_list_goes_on(void **state) {
	struct jf_errands *errands = start();
	struct jf_errand piece = {note, &number[1], JF_ERRAND_RATE * 20, 0, "a", jf_clock_ns(), true};
	int retry;

	(void)state;
	assert_true(submit_within(errands, "a", JF_ERRAND_RATE * 10, 0, 1000, note, &number[0]));
	assert_true(submit_within(errands, "a", JF_ERRAND_RATE * 40, 0, 1000, note, &number[2]));
	assert_true(submit_within(errands, "a", JF_ERRAND_RATE * 40, 0, 1000, note, &number[3]));
	assert_true(jf_errands_submit(errands, &piece, &retry));
	assert_order(errands, 4);
}

static void test_alive(void **state) {
	struct jf_errands *errands = start();

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
	struct jf_errands *errands = start();

	(void)state;
	assert_true(submit(errands, 1, go_on, errands));
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

/* Lets three errands run: two rests of 50 ms before the third. */
static void assert_rests(struct jf_errands *errands, int64_t begin_ns) {
	sem_post(&gate);
	while (atomic_load(&n_ran) < 3)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_true(jf_clock_ns() - begin_ns >= 100000000);
	jf_errands_destroy(errands);
}

static void note_heavy(void *context) {
	jf_errands_weigh(context, JF_ERRAND_RATE / 20);
	jf_errands_weigh(context, 1); /* no less than it said before */
	atomic_fetch_add(&n_ran, 1);
}

/* An errand that is found to be heavier than it said rests as long as one that said so. */
static void test_weigh(void **state) {
	struct jf_errands *errands = start();
	int64_t begin = jf_clock_ns();

	(void)state;
	jf_errands_weigh(errands, JF_ERRAND_RATE * 1000); /* this is none of their threads */
	for (int i = 0; i < 3; i++)
		assert_true(submit(errands, 1, note_heavy, errands));
	assert_rests(errands, begin);
}

static void test_rate(void **state) {
	struct jf_errands *errands = start();
	int64_t begin = jf_clock_ns();

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(submit(errands, JF_ERRAND_RATE / 20, note, &number[i]));
	assert_rests(errands, begin);
}

/* What is to be done later is done once the outermost row ends, each in its turn, and without a row not at all. */
static void test_later(void **state) {
	static int numbers[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
	int n = 0;

	(void)state;
	atomic_store(&n_ran, 0);
	assert_false(jf_later(note, &numbers[0]));
	jf_later_begin();
	assert_true(jf_later(note, &numbers[1]));
	jf_later_begin();
	assert_true(jf_later(note, &numbers[2]));
	jf_later_end();
	assert_int_equal(atomic_load(&n_ran), 0);
	jf_later_end();
	assert_int_equal(atomic_load(&n_ran), 2);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 2);
	assert_false(jf_later(note, &numbers[0]));
	jf_later_begin();
	atomic_store(&n_ran, 0);
	while (n < 10 && jf_later(note, &numbers[n]))
		n++;
	assert_in_range(n, 4, 8); /* and of the rest the caller takes care */
	jf_later_end();
	assert_int_equal(atomic_load(&n_ran), n);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_fair),
	    cmocka_unit_test(test_room),
	    cmocka_unit_test(test_room_of_lists),
	    cmocka_unit_test(test_list_goes_on),
	    cmocka_unit_test(test_alive),
	    cmocka_unit_test(test_beat),
	    cmocka_unit_test(test_rate),
	    cmocka_unit_test(test_weigh),
	    cmocka_unit_test(test_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
