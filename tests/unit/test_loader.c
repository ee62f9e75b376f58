/* Batches and learning rates: what a step gets depends on the step alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/loader.h"
#include "trainer/schedule.h"

enum { N = 50, N_TRAIN = 40, SIDE = 8, SIZE = SIDE * SIDE, BATCH = 12 };

static uint8_t pixels[N * SIZE];
static uint16_t labels[N];
static uint32_t order[N];
static struct jf_dataset dataset = {
    .height = SIDE, .width = SIDE, .channels = 1, .classes = 5, .n = N, .pixels = pixels, .labels = labels};

/* Every pixel of image i is i; the held-out images are the last of `order`. */
static int set_up(void **state) {
	(void)state;
	for (int i = 0; i < N; i++) {
		memset(pixels + i * SIZE, i, SIZE);
		labels[i] = (uint16_t)(i % 5);
		order[i] = (uint32_t)(N - 1 - i);
	}
	return 0;
}

static struct jf_loader *open_at(uint64_t start, int first, int count, float strength) {
	struct jf_loader_options options = {
	    .seed = 3, .batch = BATCH, .first = first, .count = count, .start = start, .augment = {strength, 0.5F}};
	struct jf_error err = {0};
	struct jf_loader *loader = jf_loader_create(&dataset, order, N_TRAIN, &options, &err);

	if (!loader)
		fail_msg("%s", err.message);
	return loader;
}

static int image_of(const struct jf_batch *batch, int i) {
	return (int)lround(((double)batch->images[i * SIZE] + 1) * 127.5);
}

static void test_epochs(void **state) {
	struct jf_loader *loader = open_at(0, 0, BATCH, 0);
	int seen[3][N] = {{0}}, first[N_TRAIN], moved = 0;

	(void)state;
	for (int step = 0; step * BATCH < 3 * N_TRAIN; step++) {
		const struct jf_batch *batch = jf_loader_next(loader);

		assert_int_equal(batch->n, BATCH);
		assert_null(batch->augment);
		for (int i = 0; i < BATCH; i++) {
			int example = step * BATCH + i, image = image_of(batch, i);

			assert_int_equal(batch->sample[i], example);
			assert_in_range(image, N - N_TRAIN, N - 1); /* none that is held out */
			assert_int_equal(batch->labels[i], image % 5);
			assert_int_equal(seen[example / N_TRAIN][image]++, 0); /* once an epoch */
			if (example < N_TRAIN)
				first[example] = image;
			else if (example < 2 * N_TRAIN)
				moved += first[example - N_TRAIN] != image;
		}
	}
	assert_true(moved > N_TRAIN / 2); /* another order in each epoch */
	jf_loader_destroy(loader);
}

/* A run that begins at step 7, and two processes that share each batch, see what one long run sees. */
static void test_same_anywhere(void **state) {
	struct jf_loader *whole = open_at(0, 0, BATCH, 1), *late = open_at(7, 0, BATCH, 1);
	struct jf_loader *low = open_at(0, 0, 5, 1), *high = open_at(0, 5, BATCH - 5, 1);

	(void)state;
	for (int step = 0; step < 15; step++) {
		const struct jf_batch *a = jf_loader_next(whole), *l = jf_loader_next(low), *h = jf_loader_next(high);
		const struct jf_batch *b = step < 7 ? NULL : jf_loader_next(late);

		assert_non_null(a->augment);
		assert_int_equal(l->n + h->n, BATCH);
		assert_memory_equal(a->images, l->images, sizeof(float) * 5 * SIZE);
		assert_memory_equal(a->images + 5 * SIZE, h->images, sizeof(float) * (BATCH - 5) * SIZE);
		assert_memory_equal(
		    a->augment + 5 * JF_AUGMENT_SIZE, h->augment, sizeof(float) * (BATCH - 5) * JF_AUGMENT_SIZE);
		assert_memory_equal(a->labels + 5, h->labels, sizeof(int) * (BATCH - 5));
		assert_memory_equal(a->sample + 5, h->sample, sizeof(uint64_t) * (BATCH - 5));
		if (!b)
			continue;
		assert_memory_equal(a->images, b->images, sizeof(float) * BATCH * SIZE);
		assert_memory_equal(a->sample, b->sample, sizeof(uint64_t) * BATCH);
	}
	jf_loader_destroy(whole);
	jf_loader_destroy(late);
	jf_loader_destroy(low);
	jf_loader_destroy(high);
}

/* With augment_held only examples whose image the clocks hold are distorted, and those as ever. */
static void test_distorts_held_images_only(void **state) {
	const struct jf_objective_options clocks = {
	    JF_TIMES_MIXTURE, JF_DENSITY_UNIFORM, 1.0F, 1.0F, {0.3F, 0.2F, 0.3F}, 0.0F};
	struct jf_loader_options options = {.seed = 3, .batch = BATCH, .count = BATCH, .augment = {1.0F, 1.0F}};
	struct jf_loader *all, *held;
	struct jf_error err = {0};
	static const float zeros[JF_AUGMENT_SIZE];
	int distorted = 0, clean = 0;

	(void)state;
	all = jf_loader_create(&dataset, order, N_TRAIN, &options, &err);
	options.augment_held = &clocks;
	held = jf_loader_create(&dataset, order, N_TRAIN, &options, &err);
	assert_non_null(all);
	assert_non_null(held);
	for (int step = 0; step < 20; step++) {
		const struct jf_batch *a = jf_loader_next(all), *h = jf_loader_next(held);

		for (int i = 0; i < BATCH; i++) {
			const float *of_all = a->augment + i * JF_AUGMENT_SIZE,
				    *of_held = h->augment + i * JF_AUGMENT_SIZE;
			float t[2];

			jf_objective_times(t, &clocks, options.seed, h->sample[i]);
			assert_memory_equal(of_held, t[0] > 0.0F ? zeros : of_all, sizeof(zeros));
			assert_memory_not_equal(of_all, zeros, sizeof(zeros));
			distorted += t[0] <= 0.0F;
			clean += t[0] > 0.0F;
		}
	}
	assert_true(distorted > 0 && clean > distorted);
	jf_loader_destroy(all);
	jf_loader_destroy(held);
}

static void test_stops_any_time(void **state) {
	(void)state;
	for (int taken = 0; taken < 6; taken++) {
		struct jf_loader *loader = open_at(0, 0, BATCH, 0);

		for (int i = 0; i < taken; i++)
			jf_loader_next(loader);
		jf_loader_destroy(loader);
	}
	jf_loader_destroy(NULL);
}

static void test_empty(void **state) {
	struct jf_loader_options options = {.batch = 1, .count = 1};
	struct jf_error err = {0};

	(void)state;
	assert_null(jf_loader_create(&dataset, order, 0, &options, &err));
	assert_int_equal(err.code, JF_EINVAL);
}

static void test_schedule(void **state) {
	const struct jf_schedule s = {.start = 100, .end = 1100, .warmup = 200, .peak = 0.01};

	(void)state;
	assert_true(fabs((double)jf_schedule_rate(&s, 100) - 0.01 / 200) < 1e-9);
	assert_true(fabs((double)jf_schedule_rate(&s, 199) - 0.005) < 1e-9);
	assert_true(fabs((double)jf_schedule_rate(&s, 299) - 0.01) < 1e-9);
	assert_true(fabs((double)jf_schedule_rate(&s, 300) - 0.01) < 1e-9);
	assert_true(fabs((double)jf_schedule_rate(&s, 700) - 0.005) < 1e-9); /* the middle of the cosine */
	assert_true(jf_schedule_rate(&s, 1099) > 0);
	assert_true(jf_schedule_rate(&s, 1099) < 1e-7F);
	assert_true(jf_schedule_rate(&s, 1100) == 0);
	for (uint64_t i = 300; i < 1099; i++)
		assert_true(jf_schedule_rate(&s, i + 1) <= jf_schedule_rate(&s, i));
}

/* Shorter than its warm-up, or without one: still finite and above 0. */
static void test_odd_schedules(void **state) {
	const struct jf_schedule brief = {.start = 0, .end = 5, .warmup = 300, .peak = 0.01};
	const struct jf_schedule cold = {.start = 0, .end = 5, .warmup = 0, .peak = 0.01};
	const struct jf_schedule exact = {.start = 0, .end = 5, .warmup = 5, .peak = 0.01};

	(void)state;
	for (uint64_t i = 0; i < 5; i++) {
		assert_true(jf_schedule_rate(&brief, i) > 0 && jf_schedule_rate(&brief, i) < 0.01F);
		assert_true(jf_schedule_rate(&cold, i) > 0 && jf_schedule_rate(&cold, i) <= 0.01F);
		assert_true(jf_schedule_rate(&exact, i) > 0 && jf_schedule_rate(&exact, i) <= 0.01F);
	}
	assert_true(jf_schedule_rate(&cold, 0) == 0.01F);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_epochs),
	    cmocka_unit_test(test_same_anywhere),
	    cmocka_unit_test(test_distorts_held_images_only),
	    cmocka_unit_test(test_stops_any_time),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_schedule),
	    cmocka_unit_test(test_odd_schedules),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
