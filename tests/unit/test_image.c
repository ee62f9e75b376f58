/* Bytes and floats, sheets, .npy. PNG has its own program. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/files/npy.h"
#include "core/pictures/image.h"
#include "core/pictures/sheet.h"

static void test_conversions(void **state) {
	uint8_t bytes[256], back[256];
	float floats[256];
	static const float odd[] = {-1.5f, -INFINITY, NAN, 1.5f, INFINITY, 0.0f, 0.003f, -0.003f};
	static const uint8_t expected[] = {0, 0, 0, 255, 255, 128, 128, 127};

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	jf_bytes_to_floats(floats, bytes, 256);
	assert_true(floats[0] == -1.0f && floats[255] == 1.0f);
	jf_floats_to_bytes(back, floats, 256);
	assert_memory_equal(back, bytes, 256);
	jf_floats_to_bytes(back, odd, 8);
	assert_memory_equal(back, expected, 8);
	for (int i = 0; i < 256; i++)
		assert_int_equal(jf_luma((uint8_t)i, (uint8_t)i, (uint8_t)i), i);
	assert_int_equal(jf_luma(255, 0, 0), 76);
	assert_int_equal(jf_luma(0, 255, 0), 150);
	assert_int_equal(jf_luma(0, 0, 255), 29);
}

static void test_init(void **state) {
	static const struct {
		int height, width, channels;
		enum jf_err code;
	} cases[] = {
	    {1, 1, 1, JF_OK},
	    {0, 1, 1, JF_EINVAL},
	    {1, -1, 1, JF_EINVAL},
	    {65536, 1, 1, JF_EINVAL},
	    {1, 1, 2, JF_EINVAL},
	    {1, 1, 4, JF_EINVAL},
	    {65535, 65535, 1, JF_ELIMIT},
	};
	struct jf_image image;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
		    jf_image_init(&image, cases[i].height, cases[i].width, cases[i].channels, NULL), cases[i].code);
		assert_int_equal(image.pixels != NULL, cases[i].code == JF_OK);
		jf_image_deinit(&image);
		assert_null(image.pixels);
	}
}

static void test_sheet(void **state) {
	/* Three 1 x 2 images in two columns, gap 1, scale 2. */
	static const float images[] = {-1, 1, 1, -1, 1, 1};
	static const char *expected[] = {
	    "...........",
	    ".  ##.##  .",
	    ".  ##.##  .",
	    "...........",
	    ".####......",
	    ".####......",
	    "...........",
	};
	struct jf_sheet_options options = {.columns = 2, .gap = 1, .scale = 2, .background = 64};
	struct jf_image sheet;

	(void)state;
	assert_int_equal(jf_sheet(&sheet, images, 3, 1, 2, 1, &options, NULL), JF_OK);
	assert_int_equal(sheet.height, 7);
	assert_int_equal(sheet.width, 11);
	for (int y = 0; y < sheet.height; y++)
		for (int x = 0; x < sheet.width; x++) {
			char c = expected[y][x];
			assert_int_equal(sheet.pixels[y * sheet.width + x], c == '.' ? 64 : c == '#' ? 255 : 0);
		}
	jf_image_deinit(&sheet);
	/* Colour, no gap: the pixels one after the other. */
	options = (struct jf_sheet_options){.columns = 1, .gap = 0, .scale = 1};
	assert_int_equal(jf_sheet(&sheet, images, 1, 1, 2, 3, &options, NULL), JF_OK);
	assert_memory_equal(sheet.pixels, "\x00\xff\xff\x00\xff\xff", 6);
	jf_image_deinit(&sheet);
}

static void test_sheet_refused(void **state) {
	static const struct {
		int n, height, width, channels;
		struct jf_sheet_options options;
		enum jf_err code;
		const char *message;
	} cases[] = {
	    {0, 1, 1, 1, {1, 0, 1, 0}, JF_EINVAL, "0 images"},
	    {1, 1, 1, 2, {1, 0, 1, 0}, JF_EINVAL, "1 x 1 x 2"},
	    {1, 0, 1, 1, {1, 0, 1, 0}, JF_EINVAL, "0 x 1 x 1"},
	    {1, 1, 1, 1, {-1, 0, 1, 0}, JF_EINVAL, "-1 columns"},
	    {1, 1, 1, 1, {1, 65, 1, 0}, JF_EINVAL, "gap of 65"},
	    {1, 1, 1, 1, {1, 0, 0, 0}, JF_EINVAL, "scale 0"},
	    {1, 1, 1, 1, {70000, 0, 1, 0}, JF_ELIMIT, "70000 x 1 pixels"},
	    {1, 2000, 1, 1, {1, 0, 64, 0}, JF_ELIMIT, "64 x 128000 pixels"},
	};
	struct jf_image sheet;
	static float zero[4];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jf_error err = {0};

		assert_int_equal(jf_sheet(&sheet, zero, cases[i].n, cases[i].height, cases[i].width, cases[i].channels,
				     &cases[i].options, &err),
		    cases[i].code);
		assert_null(sheet.pixels);
		assert_non_null(strstr(err.message, cases[i].message));
	}
}

static void test_columns(void **state) {
	static const int cases[][2] = {{1, 1}, {2, 2}, {3, 3}, {4, 2}, {5, 5}, {6, 3}, {7, 3}, {9, 3}, {10, 5}, {12, 4},
	    {16, 4}, {64, 8}, {100, 10}, {200, 20}, {1000, 40}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(jf_sheet_columns_of(0, cases[i][0]), cases[i][1]);
}

static void test_npy(void **state) {
	static const float images[] = {-1, 1, 0, -1, 1, 1};
	static const char *header1 = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 1, 2), }";
	static const char *header3 = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 1, 3), }";
	char path[] = "/tmp/jf-npy-XXXXXX";
	struct jf_error err = {0};
	uint8_t *data;
	size_t size;

	(void)state;
	assert_int_equal(jf_npy_encode(&data, &size, images, 3, 1, 2, 1, &err), JF_OK);
	assert_int_equal(size, 128 + 6);
	assert_memory_equal(data, "\x93NUMPY\x01\x00\x76\x00", 10);
	assert_memory_equal(data + 10, header1, strlen(header1));
	for (size_t i = 10 + strlen(header1); i < 127; i++)
		assert_int_equal(data[i], ' ');
	assert_int_equal(data[127], '\n');
	assert_memory_equal(data + 128, "\x00\xff\x80\x00\xff\xff", 6);
	free(data);
	close(mkstemp(path));
	assert_int_equal(jf_npy_write(path, images, 1, 2, 1, 3, &err), JF_OK);
	assert_int_equal(jf_file_read(&data, &size, path, 1000, &err), JF_OK);
	assert_int_equal(size, 128 + 6);
	assert_memory_equal(data + 10, header3, strlen(header3));
	free(data);
	unlink(path);
	assert_int_equal(jf_npy_encode(&data, &size, images, 1, 0, 1, 1, &err), JF_EINVAL);
	assert_null(data);
	assert_int_equal(jf_npy_encode(&data, &size, images, INT32_MAX, INT32_MAX, INT32_MAX, 3, &err), JF_ELIMIT);
	assert_int_equal(jf_npy_write("/nowhere/x.npy", images, 1, 2, 1, 3, &err), JF_EIO);
	assert_non_null(strstr(err.message, "/nowhere/x.npy"));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conversions),
	    cmocka_unit_test(test_init),
	    cmocka_unit_test(test_sheet),
	    cmocka_unit_test(test_sheet_refused),
	    cmocka_unit_test(test_columns),
	    cmocka_unit_test(test_npy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
