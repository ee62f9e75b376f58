/* The positions of a morph: equal steps of the picture, however suddenly it changes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/questions/spacing.h"

#define SIZE 64

/* A picture that turns from dark to light within a few hundredths of the weight around `middle`. */
static void draw(float *image, float weight, float middle) {
	float shade = tanhf((weight - middle) / 0.02f);

	for (int i = 0; i < SIZE; i++)
		image[i] = shade;
}

static void measure(struct jf_spacing_row *row, float middle) {
	static float drawn[JF_SPACING_PROBES][SIZE];
	const float *images[JF_SPACING_PROBES];

	jf_spacing_begin(row);
	for (int stage = 0; stage < JF_SPACING_STAGES; stage++) {
		assert_false(row->complete);
		assert_int_equal(row->n, jf_spacing_stage_first(stage) + jf_spacing_stage_probes(stage));
		for (int i = 0; i < row->n; i++) {
			draw(drawn[i], row->weight[i], middle);
			images[i] = drawn[i];
		}
		jf_spacing_measure(row, images, SIZE);
	}
	assert_true(row->complete);
	assert_int_equal(row->n, JF_SPACING_PROBES);
}

static float largest_step(const float *labels, int columns, float middle) {
	float before[SIZE], after[SIZE], largest = 0.0f;

	for (int c = 1; c < columns; c++) {
		draw(before, 0.5f + 0.5f * labels[2 * (c - 1) + 1], middle);
		draw(after, 0.5f + 0.5f * labels[2 * c + 1], middle);
		largest = fmaxf(largest, fabsf(after[0] - before[0]));
	}
	return largest / 2.0f;
}

static void test_even(void **state) {
	const struct jf_blend blend = {.from = 0, .to = 1, .rows = 1, .columns = 11};
	struct jf_blend by_label = blend;
	struct jf_spacing_row row;
	float labels[11 * 2];
	uint64_t noise[11];

	(void)state;
	by_label.spacing = JF_SPACING_LABEL;
	assert_true(jf_spacing_is_measured(&blend));
	assert_false(jf_spacing_is_measured(&by_label));
	for (float middle = 0.3f; middle < 0.75f; middle += 0.1f) {
		measure(&row, middle);
		jf_spacing_place(labels, &row, &blend, 2);
		assert_true(labels[0] == 1.0f && labels[1] == -1.0f);
		assert_true(labels[20] == -1.0f && labels[21] == 1.0f);
		for (int c = 1; c < 11; c++)
			assert_true(labels[2 * c + 1] > labels[2 * c - 1]);
		assert_true(largest_step(labels, 11, middle) < 0.25f); /* 0.1 would be exact */
		jf_blend_fill(labels, noise, &by_label, 2);
		assert_true(largest_step(labels, 11, middle) > 0.45f);
	}
}

/* A picture that does not change has no way to measure: the label's steps it is. */
static void test_still(void **state) {
	const struct jf_blend blend = {.from = 0, .to = 1, .rows = 1, .columns = 5};
	struct jf_spacing_row row;
	float labels[5 * 2];

	(void)state;
	measure(&row, 9.0f);
	jf_spacing_place(labels, &row, &blend, 2);
	for (int c = 0; c < 5; c++)
		assert_true(labels[2 * c + 1] == 0.5f * (float)c - 1.0f);
	assert_false(jf_spacing_is_measured(&(struct jf_blend){.from = 1, .to = 1, .rows = 1, .columns = 5}));
	assert_false(jf_spacing_is_measured(&(struct jf_blend){.from = 0, .to = 1, .rows = 1, .columns = 2}));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_even),
	    cmocka_unit_test(test_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
