/* The four questions' facts: how labels are written and coded, how votes are counted, how a blend is laid out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/questions/question.h"

#define K 5

static const char *const names[K] = {"zero", "a,b", "a", "x=1", "7"};

static void test_class(void **state) {
	static const struct {
		const char *text;
		int class; /* -1: refused */
	} cases[] = {{"zero", 0}, {"0", 0}, {"a,b", 1}, {"4", 4}, {"7", 4}, {"5", -1}, {"-1", -1}, {"", -1}, {"1x", -1},
	    {" 1", -1}, {"Zero", -1}, {"99999999999999999999", -1}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jf_error err = {0};
		int class = -1;

		assert_int_equal(
		    jf_class_parse(&class, cases[i].text, names, K, &err), cases[i].class < 0 ? JF_EINVAL : JF_OK);
		assert_int_equal(class, cases[i].class);
		assert_int_equal(strncmp(err.message, "must be a class from 0 to 4", 27) == 0, cases[i].class < 0);
	}
}

/* Of the classes 1, 2 and 3 a number is a name, never a place; the message names them. */
static void test_classes_that_are_numbers(void **state) {
	static const char *const numbers[] = {"1", "2", "3"}, *const places[] = {"0", "1", "2"};
	struct jf_error err = {0};
	float weights[3];
	int class = -1;

	(void)state;
	assert_int_equal(jf_class_parse(&class, "3", numbers, 3, &err), JF_OK);
	assert_int_equal(class, 2);
	assert_int_equal(jf_class_parse(&class, "0", numbers, 3, &err), JF_EINVAL);
	assert_string_equal(err.message, "must be one of the classes 1, 2, 3, not \"0\"");
	assert_int_not_equal(jf_weights_parse(weights, "0=1", numbers, 3, &err), JF_OK);
	assert_int_equal(jf_class_parse(&class, "zebra", names, K, &err), JF_EINVAL);
	assert_string_equal(
	    err.message, "must be a class from 0 to 4 or its name (zero, a,b, a, x=1, 7), not \"zebra\"");
	assert_string_equal(jf_class_word(numbers, 3), "class");
	assert_string_equal(jf_class_word(names, K), "class");
	assert_string_equal(jf_class_word(places, 3), "digit");
}

static void test_weights(void **state) {
	static const struct {
		const char *text;
		float weights[K];
	} cases[] = {
	    {"zero=0.5,4:0.25", {0.5f, 0, 0, 0, 0.25f}},
	    {"a,b=0.5", {0, 0.5f, 0, 0, 0}},
	    {"a=0.5,a,b=1", {0, 1, 0.5f, 0, 0}},
	    {"x=1=0.5,2=1", {0, 0, 1, 0.5f, 0}},
	    {"0:1e-1", {0.1f, 0, 0, 0, 0}},
	    {"7:1,1:0", {0, 0, 0, 0, 1}},
	};
	static const char *const wrong[] = {"", ",", "=", "=1", "zero", "zero=", "zero=x", "zero=0.5,", ",zero=0.5",
	    "zero=0.5,,1=1", "zero=1.5", "zero=-0.1", "zero=nan", "zero=0.5,0=0.5", "b=1", "5=1", "zero=0.5 ",
	    "zero=0x1"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		float weights[K];

		assert_int_equal(jf_weights_parse(weights, cases[i].text, names, K, NULL), JF_OK);
		for (int k = 0; k < K; k++)
			assert_true(weights[k] == cases[i].weights[k]);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct jf_error err = {0};
		float weights[K];

		assert_int_not_equal(jf_weights_parse(weights, wrong[i], names, K, &err), JF_OK);
		assert_memory_equal(err.message, "must ", 5);
	}
}

static void test_label(void **state) {
	static const char *const wrong[] = {"", "1", "1,1,1,1", "1,1,1,1,1,1", "1,1,1,1,", "1,1,1,1,x", "1,1,1,1,10.5",
	    "1,1,1,1,-11", "1,1,1,1,inf", "1,,1,1,1"};
	float label[K], other[K];

	(void)state;
	assert_int_equal(jf_label_parse(label, "-1,1,0.5,-10,1e1", K, NULL), JF_OK);
	assert_true(label[0] == -1 && label[1] == 1 && label[2] == 0.5f && label[3] == -10 && label[4] == 10);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_not_equal(jf_label_parse(label, wrong[i], K, NULL), JF_OK);
	jf_label_one_hot(label, 3, K);
	jf_label_from_weights(other, (const float[K]){0, 0, 0, 1, 0}, K);
	assert_memory_equal(label, other, sizeof(label));
}

static void test_votes(void **state) {
	static const float draws[4][3] = {
	    {0.5f, 0.25f, 0.25f}, {0.25f, 0.5f, 0.25f}, {0.25f, 0.25f, 0.5f}, {0, 0.25f, 0.75f}};
	int votes[3] = {0};
	float mean[3] = {0};

	(void)state;
	for (int i = 0; i < 4; i++)
		jf_votes_add(votes, mean, NULL, draws[i], 4, 3);
	assert_true(votes[0] == 1 && votes[1] == 1 && votes[2] == 2);
	assert_true(mean[0] == 0.25f && mean[1] == 0.3125f && mean[2] == 0.4375f);
	assert_int_equal(jf_votes_winner(votes, mean, 3), 2);
	jf_votes_add(votes, NULL, (const float[]){-0.5f, 0.5f, 0.25f}, draws[0], 1, 3); /* what was drawn counts */
	assert_true(votes[0] == 1 && votes[1] == 2 && votes[2] == 2);
	assert_int_equal(jf_votes_winner((const int[]){1, 1, 0}, mean, 3), 1); /* equal votes: the likelier */
	assert_int_equal(jf_votes_winner((const int[]){1, 1, 0}, (const float[]){0.4f, 0.4f, 0.2f}, 3), 0);
	assert_int_equal(jf_votes_winner(NULL, mean, 3), 2);
	assert_true(jf_votes_place(NULL, mean, 1, 3) == 1 && jf_votes_place(NULL, mean, 2, 3) == 0);
}

static void test_blend(void **state) {
	float labels[9 * 3];
	uint64_t noise[9];

	(void)state;
	jf_blend_fill(labels, noise, &(struct jf_blend){.from = 0, .to = 2, .rows = 2, .columns = 3}, 3);
	assert_memory_equal(labels, ((const float[]){1, -1, -1, 0, -1, 0, -1, -1, 1}), 9 * sizeof(float));
	assert_memory_equal(labels, labels + 9, 9 * sizeof(float));
	assert_memory_equal(noise, ((const uint64_t[]){0, 0, 0, 1, 1, 1}), 6 * sizeof(*noise));
	jf_blend_fill(labels, noise, &(struct jf_blend){.matrix = true, .rows = 3, .columns = 3}, 3);
	assert_memory_equal(labels + 3 * 5, ((const float[]){-1, 0, 0}), 3 * sizeof(float)); /* row 1, column 2 */
	assert_memory_equal(labels + 3 * 4, ((const float[]){-1, 1, -1}), 3 * sizeof(float));
	for (int i = 0; i < 9; i++)
		assert_int_equal(noise[i], 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_class),
	    cmocka_unit_test(test_classes_that_are_numbers),
	    cmocka_unit_test(test_weights),
	    cmocka_unit_test(test_label),
	    cmocka_unit_test(test_votes),
	    cmocka_unit_test(test_blend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
