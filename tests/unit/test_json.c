/* Strict JSON: texts that must be refused, with the reason; typed access; what the writer writes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/json.h"
#include "core/base/number.h"

static const struct {
	const char *text;
	enum jf_err code;
	const char *message;
} invalid[] = {
    {"", JF_EFORMAT, "line 1, column 0: "},
    {"{", JF_EFORMAT, "line 1"},
    {"[1,]", JF_EFORMAT, "unexpected token"},
    {"{\"a\":1,\"a\":2}", JF_EFORMAT, "duplicate object key"},
    {"1 2", JF_EFORMAT, "end of file expected"},
    {"[1]\n\nx", JF_EFORMAT, "line 3"},
    {"\"\\u0000\"", JF_EFORMAT, "\\u0000 is not allowed"},
    {"\"\xff\"", JF_EFORMAT, "unable to decode byte 0xff"},
    {"\"\xed\xa0\x80\"", JF_EFORMAT, "unable to decode byte 0xed"},
    {"NaN", JF_EFORMAT, "invalid token"},
    {"01", JF_EFORMAT, "invalid token"},
    {"+1", JF_EFORMAT, "invalid token"},
    {"1e999", JF_EFORMAT, "real number overflow"},
    {"\"tab\there\"", JF_EFORMAT, "control character"},
    {"'a'", JF_EFORMAT, "invalid token"},
    {"{\"a\" 1}", JF_EFORMAT, "':' expected"},
    {"[[[[[[[[[1]]]]]]]]]", JF_ELIMIT, "deeper than 8"},
    {"[[[[[[[[[", JF_ELIMIT, "deeper than 8"},
    {"{\"\\\"\":[[[[[[[[\"]]]", JF_ELIMIT, "deeper than 8"},
};

/* It is JSON, and the range of the field refuses it by name. */
static void check_beyond_int64(void) {
	struct jf_json *root = jf_json_parse("99999999999999999999", 20, 8, NULL);
	double number = 0.0;

	assert_non_null(root);
	assert_int_equal(jf_json_read_number(root, &number, 0.0, 1e20, NULL), JF_OK);
	assert_true(number >= 1e20 && number <= 1e20);
	jf_json_free(root);
}

static void test_invalid(void **state) {
	(void)state;
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		struct jf_error err = {0};
		struct jf_json *root = jf_json_parse(invalid[i].text, strlen(invalid[i].text), 8, &err);

		assert_null(root);
		if (err.code != invalid[i].code || !strstr(err.message, invalid[i].message))
			fail_msg("%s: got %d, %s", invalid[i].text, (int)err.code, err.message);
		assert_null(strchr(err.message, '\n'));
	}
	check_beyond_int64();
	assert_null(jf_json_parse("1\0", 2, 8, NULL)); /* jansson alone takes NUL for the end */
	assert_null(jf_json_parse("{}\0{", 4, 8, NULL));
	assert_null(jf_json_parse("[1]", 2, 8, NULL));
}

/* A few bytes of text must not become a hundred in memory; numbers in an array are no such thing. */
static void test_modest(void **state) {
	static const struct {
		const char *piece;
		bool modest;
	} shapes[] = {{"{},", false}, {"[],", false}, {"\"\",", false}, {"0,", false}, {"\"k\":0,", false},
	    {"-0.12345678,", true}, {"\"a text of some length, as they come in reality\",", true}};
	enum { SIZE = 4 << 20 };
	char *text = malloc(SIZE);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		size_t length = strlen(shapes[i].piece);

		for (size_t at = 0; at < SIZE; at++)
			text[at] = shapes[i].piece[at % length];
		if (jf_json_is_modest(text, SIZE) != shapes[i].modest)
			fail_msg("4 MiB of %s", shapes[i].piece);
		assert_true(jf_json_is_modest(text, 4096));
	}
	memset(text, '[', SIZE); /* as the inside of a text it is one value */
	text[0] = text[SIZE - 1] = '"';
	assert_true(jf_json_is_modest(text, SIZE));
	free(text);
}

static void test_read(void **state) {
	static const char text[] =
	    "{\"n\":7,\"x\":2.5,\"s\":\"a\\u00e4\",\"t\":true,\"z\":null,\"a\":[[1],{\"[[[[\":\"]\"}]}";
	static const char order[] = "nxstza";
	struct jf_json *root = jf_json_parse(text, sizeof(text) - 1, 3, NULL);
	struct jf_json_member member = {0};
	struct jf_error err = {0};
	const char *string;
	int64_t integer = -1;
	double number = -1;
	bool flag = false;
	size_t length, i = 0;

	(void)state;
	assert_non_null(root);
	assert_int_equal(jf_json_type(root), JF_JSON_OBJECT);
	assert_int_equal(jf_json_size(root), 6);
	while (jf_json_next(root, &member))
		assert_int_equal(member.key[0], order[i++]);
	assert_int_equal(i, 6);
	assert_int_equal(jf_json_read_integer(jf_json_get(root, "n"), &integer, 0, 9, &err), JF_OK);
	assert_int_equal(integer, 7);
	assert_int_equal(jf_json_read_integer(jf_json_get(root, "n"), &integer, 8, 9, &err), JF_EINVAL);
	assert_string_equal(err.message, "must be an integer from 8 to 9, not 7");
	assert_int_equal(jf_json_read_integer(jf_json_get(root, "x"), &integer, 0, 9, &err), JF_EFORMAT);
	assert_string_equal(err.message, "must be an integer, not 2.5");
	assert_int_equal(jf_json_read_number(jf_json_get(root, "n"), &number, 0, 9, &err), JF_OK);
	assert_true(number == 7);
	assert_int_equal(jf_json_read_number(jf_json_get(root, "x"), &number, 0, 2, &err), JF_EINVAL);
	assert_string_equal(err.message, "must be a number from 0 to 2, not 2.5");
	assert_true(number == 7);
	assert_int_equal(jf_json_read_string(jf_json_get(root, "s"), &string, &length, &err), JF_OK);
	assert_string_equal(string, "a\xc3\xa4");
	assert_int_equal(length, 3);
	assert_int_equal(jf_json_read_bool(jf_json_get(root, "t"), &flag, &err), JF_OK);
	assert_true(flag);
	assert_int_equal(jf_json_read_bool(jf_json_get(root, "z"), &flag, &err), JF_EFORMAT);
	assert_string_equal(err.message, "must be true or false, not null");
	assert_int_equal(jf_json_size(jf_json_get(root, "a")), 2);
	assert_int_equal(jf_json_size(jf_json_get(root, "n")), 0);
	assert_int_equal(jf_json_type(jf_json_at(jf_json_get(root, "a"), 1)), JF_JSON_OBJECT);
	assert_null(jf_json_at(jf_json_get(root, "a"), 2));
	assert_null(jf_json_get(root, "absent"));
	jf_json_free(root);
	jf_json_free(NULL);
}

static void test_write(void **state) {
	static const float values[] = {0.1f, 1.0f, -2.5e-20f, NAN, 16777216.0f};
	struct jf_json_writer w;
	size_t length;
	char *text;

	(void)state;
	jf_json_writer_init(&w);
	jf_json_begin_object(&w, NULL);
	jf_json_put_string(&w, "s", "q\" b\\ n\n \x01 \xc3\xa4 \xff!");
	jf_json_put_string(&w, "nothing", NULL);
	jf_json_put_integer(&w, "i", INT64_MIN);
	jf_json_put_unsigned(&w, "u", UINT64_MAX);
	jf_json_put_double(&w, "d", 0.1);
	jf_json_put_double(&w, "third", 1.0 / 3.0);
	jf_json_put_double(&w, "inf", INFINITY);
	jf_json_put_bool(&w, "b", true);
	jf_json_put_floats(&w, "f", values, 5);
	jf_json_begin_array(&w, "a");
	jf_json_begin_object(&w, NULL);
	jf_json_end_object(&w);
	jf_json_begin_array(&w, NULL);
	jf_json_end_array(&w);
	jf_json_put_raw(&w, NULL, "[1,2]");
	jf_json_end_array(&w);
	jf_json_end_object(&w);
	assert_int_equal(jf_json_writer_take(&w, &text, &length), JF_OK);
	assert_string_equal(text,
	    "{\"s\":\"q\\\" b\\\\ n\\n \\u0001 \xc3\xa4 \xef\xbf\xbd!\",\"nothing\":null,\"i\":-9223372036854775808,"
	    "\"u\":18446744073709551615,\"d\":0.1,\"third\":0.3333333333333333,\"inf\":null,\"b\":true,"
	    "\"f\":[0.1,1,-2.5e-20,null,16777216],\"a\":[{},[],[1,2]]}");
	assert_int_equal(length, strlen(text));
	free(text);
	/* Empty: there is nothing to take. */
	assert_int_equal(jf_json_writer_take(&w, &text, &length), JF_ENOMEM);
	jf_json_put_integer(&w, NULL, 1);
	jf_json_writer_reset(&w);
	jf_json_put_integer(&w, NULL, 2);
	assert_string_equal(jf_json_writer_text(&w), "2");
	jf_json_writer_deinit(&w);
}

static const struct {
	const char *bytes;
	bool valid;
} utf8[] = {
    {"", true},
    {"plain", true},
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", true},
    {"\x80", false},
    {"\xc0\xaf", false},
    {"\xe0\x80\xaf", false},
    {"\xf0\x80\x80\xaf", false},
    {"\xed\xa0\x80", false},
    {"\xf4\x90\x80\x80", false},
    {"\xf5\x80\x80\x80", false},
    {"\xe2\x82", false},
    {"\xc3", false},
};

static void test_utf8(void **state) {
	(void)state;
	for (size_t i = 0; i < sizeof(utf8) / sizeof(utf8[0]); i++)
		assert_int_equal(jf_utf8_valid(utf8[i].bytes, strlen(utf8[i].bytes)), utf8[i].valid);
}

/* Every value that the writer writes is read back the same. */
static void test_round_trip(void **state) {
	uint64_t bits = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct jf_json_writer w;
		struct jf_json *root;
		double value, back;
		float narrow;

		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		memcpy(&value, &bits, sizeof(value));
		memcpy(&narrow, &bits, sizeof(narrow));
		if (!isfinite(value) || !isfinite(narrow))
			continue;
		jf_json_writer_init(&w);
		jf_json_begin_array(&w, NULL);
		jf_json_put_double(&w, NULL, value);
		jf_json_put_float(&w, NULL, narrow);
		jf_json_end_array(&w);
		root = jf_json_parse(w.text, w.length, 2, NULL);
		assert_non_null(root);
		assert_int_equal(jf_json_read_number(jf_json_at(root, 0), &back, -INFINITY, INFINITY, NULL), JF_OK);
		assert_true(back == value);
		assert_int_equal(jf_json_read_number(jf_json_at(root, 1), &back, -INFINITY, INFINITY, NULL), JF_OK);
		assert_true((float)back == narrow);
		jf_json_free(root);
		jf_json_writer_deinit(&w);
	}
}

/* The first of "%.6g" to "%.9g" that reads back the same. */
static void print_by_library(char *text, float value) {
	for (int digits = 6; digits <= 9; digits++) {
		snprintf(text, JF_NUMBER_TEXT, "%.*g", digits, (double)value);
		if (strtof(text, NULL) == value)
			break;
	}
}

static void check_print(float value) {
	char text[JF_NUMBER_TEXT], want[JF_NUMBER_TEXT];

	for (int sign = 0; sign < 2; sign++, value = -value) {
		print_by_library(want, value);
		assert_int_equal(jf_number_print_float(text, value), strlen(want));
		assert_string_equal(text, want);
	}
}

/* Floats are printed as the C library would, which is slower. */
static void test_floats_as_the_library(void **state) {
	static const float special[] = {0, 1, 10, 99999, 100000, 1e5f, 1e-4f, 9.9999997e-5f, 0.001f, 0.1f, 0.3f, 1e-9f,
	    1.00000001e-9f, 999999.5f, 99999.96f, 0.99999994f, 16777216, 3.4028235e38f, 1e-45f};
	char text[JF_NUMBER_TEXT];
	uint32_t bits = 2463534242u;

	(void)state;
	assert_int_equal(jf_number_print_float(text, INFINITY), 4);
	assert_string_equal(text, "null");
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		check_print(special[i]);
	for (int i = 0; i < 40000; i++) {
		float any;

		bits ^= bits << 13;
		bits ^= bits >> 17;
		bits ^= bits << 5;
		memcpy(&any, &bits, sizeof(any));
		if (isfinite(any))
			check_print(any);
		check_print((float)bits * 0x1p-32f);
		check_print(expf(-20.0f * (float)bits * 0x1p-32f));
		check_print((float)(bits % 1000000) / 1000.0f);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_invalid),
	    cmocka_unit_test(test_modest),
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_write),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_floats_as_the_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
