/* JPEG: every kind of colour that is read, large pictures read reduced, Exif's eight orientations (in PNGs too), and
 * damaged files with the cause that the message must name. The files are made with the library's own writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <zlib.h>

#include "core/pictures/exif.h"
#include "core/pictures/framing.h"
#include "core/pictures/jpeg.h"
#include "core/pictures/picture.h"
#include "core/pictures/png.h"

#define WIDTH 48
#define HEIGHT 32

struct file {
	unsigned char *bytes; /* the library's malloc */
	unsigned long size;
};

struct kind {
	J_COLOR_SPACE in, stored;
	int components;
	bool progressive;
	bool arithmetic; /* coded so instead of Huffman's way */
	bool scan_each;  /* one scan for each component */
	int orientation; /* 0: no Exif */
	bool big_endian;
	int width, height;
};

/* An Exif block of one entry, the way cameras write it. */
static size_t exif(uint8_t *out, int orientation, bool big_endian) {
	static const uint8_t little[] = {
	    'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};

	memcpy(out, big_endian ? big : little, sizeof(little));
	out[big_endian ? 19 : 18] = (uint8_t)orientation;
	return sizeof(little);
}

/* Smooth, with a light corner at the top left, a red right side and a blue lower side. */
static void pixel(uint8_t out[4], const struct kind *kind, int y, int x) {
	int right = x * 255 / (kind->width - 1), low = y * 255 / (kind->height - 1);
	uint8_t rgb[3] = {(uint8_t)right, 40, (uint8_t)low};

	if (x < kind->width / 3 && y < kind->height / 3)
		memset(rgb, 255, sizeof(rgb));
	if (kind->in == JCS_GRAYSCALE)
		out[0] = jf_luma(rgb[0], rgb[1], rgb[2]);
	else if (kind->in == JCS_CMYK) /* Adobe's: what is left of the light; full light of black */
		memcpy(out, (uint8_t[]){rgb[0], rgb[1], rgb[2], 255}, 4);
	else
		memcpy(out, rgb, 3);
}

static const jpeg_scan_info scans[3] = {{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};

static struct file write_jpeg(const struct kind *kind) {
	struct jpeg_compress_struct jpeg;
	struct jpeg_error_mgr errors;
	struct file file = {NULL, 0};
	uint8_t *row = malloc((size_t)kind->width * 4), block[64] = "Exif\0";

	jpeg.err = jpeg_std_error(&errors);
	jpeg_create_compress(&jpeg);
	jpeg_mem_dest(&jpeg, &file.bytes, &file.size);
	jpeg.image_width = (JDIMENSION)kind->width;
	jpeg.image_height = (JDIMENSION)kind->height;
	jpeg.input_components = kind->components;
	jpeg.in_color_space = kind->in;
	jpeg_set_defaults(&jpeg);
	jpeg_set_colorspace(&jpeg, kind->stored);
	jpeg_set_quality(&jpeg, 95, TRUE);
	jpeg.arith_code = kind->arithmetic;
	if (kind->progressive)
		jpeg_simple_progression(&jpeg);
	if (kind->scan_each) {
		jpeg.scan_info = scans;
		jpeg.num_scans = 3;
	}
	jpeg_start_compress(&jpeg, TRUE);
	if (kind->orientation)
		jpeg_write_marker(
		    &jpeg, JPEG_APP0 + 1, block, 6 + (unsigned)exif(block + 6, kind->orientation, kind->big_endian));
	for (int y = 0; y < kind->height; y++) {
		JSAMPROW rows[1] = {row};

		for (int x = 0; x < kind->width; x++) {
			uint8_t one[4];

			pixel(one, kind, y, x);
			memcpy(row + x * kind->components, one, (size_t)kind->components);
		}
		jpeg_write_scanlines(&jpeg, rows, 1);
	}
	jpeg_finish_compress(&jpeg);
	jpeg_destroy_compress(&jpeg);
	free(row);
	return file;
}

static struct kind plain(void) {
	return (struct kind){JCS_RGB, JCS_YCbCr, 3, .width = WIDTH, .height = HEIGHT};
}

static void assert_near(const struct jf_image *image, int y, int x, const uint8_t *want) {
	for (int c = 0; c < image->channels; c++) {
		int got = image->pixels[(y * image->width + x) * image->channels + c];

		if (abs(got - want[c]) > 12)
			fail_msg("pixel (%d, %d) channel %d: %d, not %d", y, x, c, got, want[c]);
	}
}

/* Framed from the file is framed from the decoded picture; turning later rounds otherwise. */
static void assert_framed_alike(const struct file *file, const struct jf_image *image) {
	const struct jf_framing_options none = {JF_PREPROCESS_NONE, JF_INVERT_NO};
	float packed[9 * 14 * 3], whole[9 * 14 * 3];
	struct jf_framing_report report;

	assert_int_equal(jf_frame(whole, NULL, image, 9, 14, 3, &none, NULL), JF_OK);
	assert_int_equal(jf_frame_picture(packed, &report, file->bytes, file->size, 0, 9, 14, 3, &none, NULL), JF_OK);
	assert_int_equal(report.source_height, image->height);
	assert_int_equal(report.source_width, image->width);
	for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++)
		if (!(packed[i] - whole[i] < 1e-4f && whole[i] - packed[i] < 1e-4f))
			fail_msg("value %zu: %g, not %g", i, (double)packed[i], (double)whole[i]);
}

static void test_kinds(void **state) {
	struct kind kinds[] = {
	    {JCS_GRAYSCALE, JCS_GRAYSCALE, 1, .width = WIDTH, .height = HEIGHT},
	    {JCS_RGB, JCS_YCbCr, 3, .width = WIDTH, .height = HEIGHT},
	    {JCS_RGB, JCS_RGB, 3, .width = WIDTH, .height = HEIGHT},
	    {JCS_RGB, JCS_YCbCr, 3, .progressive = true, .width = WIDTH, .height = HEIGHT},
	    {JCS_CMYK, JCS_CMYK, 4, .width = WIDTH, .height = HEIGHT},
	    {JCS_CMYK, JCS_YCCK, 4, .width = WIDTH, .height = HEIGHT},
	    {JCS_GRAYSCALE, JCS_GRAYSCALE, 1, .progressive = true, .width = 1, .height = 1},
	};

	(void)state;
	kinds[6].width = kinds[6].height = 8;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct file file = write_jpeg(&kinds[i]);
		struct jf_error err = {0};
		struct jf_image image;
		uint8_t want[4];

		assert_true(jf_jpeg_is(file.bytes, file.size) && jf_picture_is(file.bytes, file.size));
		assert_int_equal(jf_rows_collect(&image, jf_picture_rows, file.bytes, file.size, &err), JF_OK);
		assert_int_equal(image.width, kinds[i].width);
		assert_int_equal(image.height, kinds[i].height);
		assert_int_equal(image.channels, kinds[i].components == 1 ? 1 : 3);
		for (int y = 1; y < kinds[i].height; y += 6)
			for (int x = 1; x < kinds[i].width; x += 6) {
				/* the corner's edge rings */
				if (abs(x - kinds[i].width / 3) < 9 || abs(y - kinds[i].height / 3) < 9)
					continue;
				pixel(want, &kinds[i], y, x);
				assert_near(&image, y, x, want);
			}
		assert_framed_alike(&file, &image);
		jf_image_deinit(&image);
		free(file.bytes);
	}
}

/* A phone's picture: 4000 pixels wide comes out at half the size, and every orientation puts the light corner where the
 * camera's top left belongs. */
static void test_large(void **state) {
	struct kind kind = {JCS_GRAYSCALE, JCS_GRAYSCALE, 1, .orientation = 6, .width = 4000, .height = 1000};
	struct file file = write_jpeg(&kind);
	struct jf_error err = {0};
	struct jf_image image;

	(void)state;
	assert_int_equal(jf_rows_collect(&image, jf_jpeg_rows, file.bytes, file.size, &err), JF_OK);
	assert_int_equal(image.width, 500);
	assert_int_equal(image.height, 2000);
	assert_near(&image, 20, 480, (const uint8_t[]){255});
	jf_image_deinit(&image);
	free(file.bytes);
}

/* Which corner of the upright picture the stored picture's top left is, and whether rows and columns change places. */
static const struct {
	int right, low, transposed;
} places[9] = {{0, 0, 0}, {0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}, {0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}};

static void test_orientations(void **state) {
	(void)state;
	for (int orientation = 0; orientation <= 8; orientation++)
		for (int big_endian = 0; big_endian < 2; big_endian++) {
			struct kind kind = plain();
			struct file file;
			struct jf_error err = {0};
			struct jf_image image;
			int y, x;

			kind.orientation = orientation;
			kind.big_endian = big_endian;
			file = write_jpeg(&kind);
			assert_int_equal(jf_rows_collect(&image, jf_jpeg_rows, file.bytes, file.size, &err), JF_OK);
			assert_int_equal(image.width, places[orientation].transposed ? HEIGHT : WIDTH);
			assert_int_equal(image.height, places[orientation].transposed ? WIDTH : HEIGHT);
			y = places[orientation].low ? image.height - 2 : 1;
			x = places[orientation].right ? image.width - 2 : 1;
			assert_near(&image, y, x, (const uint8_t[]){255, 255, 255});
			/* the stored right side is red, wherever it is now */
			if (places[orientation].transposed)
				y = image.height - 1 - y;
			else
				x = image.width - 1 - x;
			assert_near(&image, y, x, (const uint8_t[]){255, 40, 0});
			assert_framed_alike(&file, &image);
			jf_image_deinit(&image);
			free(file.bytes);
		}
}

static void put32(uint8_t *out, uint32_t value) {
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A PNG's eXIf is obeyed in the same way, before or after the pixels. */
static void test_png_exif(void **state) {
	struct kind kind = plain();
	struct jf_image picture, image;
	struct jf_error err = {0};
	uint8_t *png, with[4096], chunk[40];
	size_t size, length;

	(void)state;
	assert_int_equal(jf_image_init(&picture, 8, 12, 3, &err), JF_OK);
	kind.width = 12;
	kind.height = 8;
	for (int i = 0; i < 96; i++) {
		uint8_t one[4];

		pixel(one, &kind, i / 12, i % 12);
		memcpy(picture.pixels + 3 * i, one, 3);
	}
	assert_int_equal(jf_png_encode(&png, &size, &picture, &err), JF_OK);
	for (int after = 0; after < 2; after++) {
		size_t at = after ? size - 12 : 33; /* before IEND or after IHDR */

		length = exif(chunk + 8, 8, true);
		put32(chunk, (uint32_t)length);
		memcpy(chunk + 4, "eXIf", 4);
		put32(chunk + 8 + length, (uint32_t)crc32(0, chunk + 4, (uInt)(4 + length)));
		memcpy(with, png, at);
		memcpy(with + at, chunk, 12 + length);
		memcpy(with + at + 12 + length, png + at, size - at);
		assert_int_equal(jf_png_decode(&image, with, size + 12 + length, &err), JF_OK);
		assert_int_equal(image.width, 8);
		assert_int_equal(image.height, 12);
		assert_memory_equal(image.pixels, picture.pixels + 33, 3);     /* was top right */
		assert_memory_equal(image.pixels + 3 * 88, picture.pixels, 3); /* was top left: bottom left now */
		assert_memory_equal(image.pixels + 3 * 7, picture.pixels + 3 * 95, 3); /* was bottom right */
		jf_image_deinit(&image);
	}
	free(png);
	jf_image_deinit(&picture);
}

static void test_exif_distrusted(void **state) {
	uint8_t block[64] = {0};
	size_t size = exif(block, 6, false);

	(void)state;
	assert_int_equal(jf_exif_orientation(block, size), 6);
	for (size_t less = 0; less < 20; less++)
		assert_in_range(jf_exif_orientation(block, less), 1, 6);
	assert_int_equal(jf_exif_orientation(block, 0), 1);
	block[18] = 9;
	assert_int_equal(jf_exif_orientation(block, size), 1);
	block[18] = 6;
	block[4] = 255; /* the directory lies outside */
	assert_int_equal(jf_exif_orientation(block, size), 1);
	memset(block + 4, 255, 4);
	assert_int_equal(jf_exif_orientation(block, size), 1);
	block[0] = 'X';
	assert_int_equal(jf_exif_orientation(block, size), 1);
}

static void assert_refused(const void *bytes, size_t size, enum jf_err code, const char *words) {
	struct jf_error err = {0};
	struct jf_image image;

	if (jf_rows_collect(&image, jf_picture_rows, bytes, size, &err) != code)
		fail_msg("%d: %s", err.code, err.message);
	assert_null(image.pixels);
	if (!strstr(err.message, words))
		fail_msg("'%s' does not say '%s'", err.message, words);
}

static void test_damaged(void **state) {
	struct kind kind = plain();
	struct file file;
	struct jf_error err = {0};
	struct jf_image image;
	uint8_t *copy;

	(void)state;
	for (int progressive = 0; progressive < 2; progressive++) {
		kind.progressive = progressive;
		file = write_jpeg(&kind);
		for (size_t size = 3; size + 2 < file.size; size += 7) {
			/* exactly as long as it is, so that reading beyond its end shows */
			copy = malloc(size);
			memcpy(copy, file.bytes, size);
			assert_refused(copy, size, JF_EFORMAT, "JPEG: ");
			free(copy);
		}
		free(file.bytes);
	}
	file = write_jpeg(&kind);
	/* bytes after the end are some phones' second picture */
	copy = malloc(file.size + 100);
	memcpy(copy, file.bytes, file.size);
	memset(copy + file.size, 7, 100);
	assert_int_equal(jf_rows_collect(&image, jf_jpeg_rows, copy, file.size + 100, &err), JF_OK);
	jf_image_deinit(&image);
	free(copy);
	free(file.bytes);
	assert_refused("", 0, JF_EFORMAT, "not a PNG or JPEG: empty");
	assert_refused("GIF89a", 6, JF_EFORMAT, "not a PNG or JPEG but a GIF");
	assert_int_equal(jf_rows_collect(&image, jf_jpeg_rows, "GIF89a", 6, &err), JF_EFORMAT);
}

/* Finds marker 0xff `code`. */
static uint8_t *marker(const struct file *file, uint8_t code) {
	for (size_t i = 0; i + 1 < file->size; i++)
		if (file->bytes[i] == 0xff && file->bytes[i + 1] == code)
			return file->bytes + i;
	fail_msg("no marker %02x", code);
	return NULL;
}

/* A file of three scans with the first of them once more, `more` times. */
static struct file repeat_scan(const struct kind *kind, size_t more) {
	struct file file = write_jpeg(kind), rest, out;
	uint8_t *scan = marker(&file, 0xda);
	size_t scan_size, head;

	rest = (struct file){scan + 2, file.size - (size_t)(scan + 2 - file.bytes)};
	scan_size = (size_t)(marker(&rest, 0xda) - scan);
	head = (size_t)(scan - file.bytes);
	out.size = file.size + more * scan_size;
	out.bytes = malloc(out.size);
	memcpy(out.bytes, file.bytes, head);
	for (size_t i = 0; i < more; i++)
		memcpy(out.bytes + head + i * scan_size, scan, scan_size);
	memcpy(out.bytes + head + more * scan_size, scan, file.size - head);
	free(file.bytes);
	return out;
}

/* A small file that says it is huge, and one whose scans never end, cost nothing. */
static void test_bombs(void **state) {
	struct kind kind = plain();
	struct file file = write_jpeg(&kind);
	uint8_t *frame = marker(&file, 0xc0);

	(void)state;
	frame[5] = frame[7] = 0x41; /* height and width */
	assert_refused(file.bytes, file.size, JF_ELIMIT, "the limit is");
	frame[5] = frame[7] = 0x3f; /* each side would do, not both */
	assert_refused(file.bytes, file.size, JF_ELIMIT, "64 million");
	free(file.bytes);

	kind.progressive = true;
	kind.stored = JCS_RGB; /* none at half the size */
	file = write_jpeg(&kind);
	frame = marker(&file, 0xc2);
	frame[5] = frame[7] = 0x1f; /* 64 million pixels of three kinds of coefficients */
	frame[6] = frame[8] = 0xf0;
	assert_refused(file.bytes, file.size, JF_ELIMIT, "memory");
	free(file.bytes);

	kind.progressive = false;
	kind.scan_each = true;
	file = repeat_scan(&kind, 300);
	assert_refused(file.bytes, file.size, JF_ELIMIT, "more than 200 scans of 48 x 32 pixels");
	free(file.bytes);
	/* the more pixels, the fewer scans, but never fewer than any writer makes */
	kind.width = kind.height = 4096;
	kind.stored = JCS_YCbCr; /* two of them at half the size, so that memory is no matter */
	file = repeat_scan(&kind, 40);
	assert_refused(file.bytes, file.size, JF_ELIMIT, "more than 32 scans of 4096 x 4096 pixels");
	free(file.bytes);
}

/* What the decoder passes over on its way to the frame hides no pixels from those who ask how many there are. */
static void test_pixels(void **state) {
	static const struct {
		const char *bytes;
		size_t size;
	} before[] = {{"", 0}, {"\xff\x01", 2}, {"\xff\xd0\xff\xd7", 4}, {"\0\0\0", 3}, {"ab\xff\0", 4},
	    {"\xff\xff\xff", 3}, {"\xff\xfe\0\2", 4}};
	static const struct {
		bool progressive, arithmetic, scan_each;
		size_t scans;
	} kinds[] = {{false, false, false, 1}, {true, false, false, 10}, {false, true, false, 1},
	    {true, true, false, 10}, {false, false, true, 3}};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		struct kind kind = plain();
		struct file file;

		kind.progressive = kinds[k].progressive;
		kind.arithmetic = kinds[k].arithmetic;
		kind.scan_each = kinds[k].scan_each;
		file = write_jpeg(&kind);
		for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++) {
			/* behind the JFIF header: where decoders expect the next segment */
			size_t at = 20, size = file.size + before[i].size;
			uint8_t *copy = malloc(size);
			struct jf_error err = {0};
			struct jf_image image;

			memcpy(copy, file.bytes, at);
			memcpy(copy + at, before[i].bytes, before[i].size);
			memcpy(copy + at + before[i].size, file.bytes + at, file.size - at);
			if (jf_picture_pixels(copy, size) != kinds[k].scans * WIDTH * HEIGHT)
				fail_msg("kind %zu, bytes %zu: %zu pixels", k, i, jf_picture_pixels(copy, size));
			assert_int_equal(jf_rows_collect(&image, jf_jpeg_rows, copy, size, &err), JF_OK);
			jf_image_deinit(&image);
			free(copy);
		}
		assert_int_equal(jf_picture_pixels(file.bytes, 100), 0); /* cut before the frame: nothing is decoded */
		free(file.bytes);
	}
}

static void test_names(void **state) {
	(void)state;
	assert_true(jf_picture_is_named("a.png") && jf_picture_is_named("a.b.JPG") && jf_picture_is_named("a.jpeg"));
	assert_false(jf_picture_is_named(".png") || jf_picture_is_named("png") || jf_picture_is_named("a.gif"));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kinds),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_orientations),
	    cmocka_unit_test(test_png_exif),
	    cmocka_unit_test(test_exif_distrusted),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_bombs),
	    cmocka_unit_test(test_pixels),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
