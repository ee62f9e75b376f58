/* PNG: every colour type, depth and interlacing against values computed here; damaged files, with the cause that the
 * message must name. The files are made with libpng's writer or chunk by chunk. */
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/pictures/framing.h"
#include "core/pictures/picture.h"
#include "core/pictures/png.h"

struct buffer {
	uint8_t bytes[1 << 17];
	size_t used;
};

static void put(struct buffer *buffer, const void *data, size_t size) {
	assert_true(size <= sizeof(buffer->bytes) - buffer->used);
	memcpy(buffer->bytes + buffer->used, data, size);
	buffer->used += size;
}

/* --- every kind --- */

static void on_write(png_structp png, png_bytep data, size_t size) {
	put(png_get_io_ptr(png), data, size);
}

static void on_flush(png_structp png) {
	(void)png;
}

#define WIDTH 19
#define HEIGHT 11
#define PALETTE 16

/* Sample s (counted along the image) of a picture of `depth` bits: anything, but the same each time. */
static unsigned sample(int s, int depth) {
	return ((unsigned)s * 2654435761u >> 7) & ((1u << depth) - 1);
}

static png_color palette_colour(unsigned i) {
	return (png_color){(png_byte)(i * 17), (png_byte)(255 - i * 10), (png_byte)(i * i)};
}

static void write_kind(struct buffer *out, int type, int depth, int interlace, bool transparent) {
	static const int channels_of[] = {1, 0, 3, 1, 2, 0, 4};
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	int samples = WIDTH * channels_of[type];
	size_t stride = ((size_t)samples * (size_t)depth + 7) / 8;
	png_bytep rows = calloc(HEIGHT, stride);
	png_bytep row[HEIGHT];
	png_color palette[PALETTE];
	png_byte alpha[PALETTE];
	png_color_16 key = {0};

	if (setjmp(png_jmpbuf(png)))
		fail_msg("libpng does not write this kind");
	out->used = 0;
	png_set_write_fn(png, out, on_write, on_flush);
	png_set_IHDR(
	    png, info, WIDTH, HEIGHT, depth, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	for (unsigned i = 0; i < PALETTE; i++) {
		palette[i] = palette_colour(i);
		alpha[i] = (png_byte)(i * 16);
	}
	if (type == PNG_COLOR_TYPE_PALETTE)
		png_set_PLTE(png, info, palette, depth >= 4 ? PALETTE : 1 << depth);
	if (transparent) { /* the first pixel's colour is the transparent one */
		key.gray = key.red = (png_uint_16)sample(0, depth);
		key.green = (png_uint_16)sample(1, depth);
		key.blue = (png_uint_16)sample(2, depth);
		png_set_tRNS(png, info, alpha, depth >= 4 ? PALETTE : 1 << depth, &key);
	}
	for (int y = 0; y < HEIGHT; y++) {
		row[y] = rows + (size_t)y * stride;
		for (int i = 0; i < samples; i++) {
			unsigned value = sample(y * samples + i, depth);

			if (type == PNG_COLOR_TYPE_PALETTE)
				value %= PALETTE;
			if (depth == 16) {
				row[y][2 * i] = (png_byte)(value >> 8);
				row[y][2 * i + 1] = (png_byte)value;
			} else {
				row[y][i * depth / 8] |= (png_byte)(value << (8 - depth - i * depth % 8));
			}
		}
	}
	png_set_rows(png, info, row);
	png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
	png_destroy_write_struct(&png, &info);
	free(rows);
}

/* The nearest 8-bit level. */
static int level8(unsigned value, int depth) {
	unsigned top = (1u << depth) - 1;

	return (int)((value * 255u * 2 + top) / (2 * top));
}

static int over(int ground, int level, int alpha) {
	return (level * alpha + ground * (255 - alpha) + 127) / 255;
}

/* What pixel p must become; out [1 or 3]. */
static void expected_pixel(int *out, int p, int type, int depth, bool transparent, int ground) {
	int colours = type & PNG_COLOR_MASK_COLOR ? 3 : 1;
	int step = type == PNG_COLOR_TYPE_PALETTE ? 1 : colours + (type & PNG_COLOR_MASK_ALPHA ? 1 : 0);
	int alpha = 255;
	bool key = true;

	if (type == PNG_COLOR_TYPE_PALETTE) {
		unsigned index = sample(p, depth) % PALETTE;
		png_color colour = palette_colour(index);

		alpha = transparent ? (int)index * 16 : 255;
		out[0] = over(ground, colour.red, alpha);
		out[1] = over(ground, colour.green, alpha);
		out[2] = over(ground, colour.blue, alpha);
		return;
	}
	for (int c = 0; c < colours; c++)
		key = key && sample(p * step + c, depth) == sample(c, depth);
	if (step > colours)
		alpha = level8(sample(p * step + colours, depth), depth);
	else if (transparent && key)
		alpha = 0;
	for (int c = 0; c < colours; c++)
		out[c] = over(ground, level8(sample(p * step + c, depth), depth), alpha);
}

/* Framed from the file is framed from the decoded picture, to the bit. */
static void assert_framed_alike(const struct buffer *file, const struct jf_image *image) {
	static const struct jf_framing_options options[] = {
	    {JF_PREPROCESS_MNIST, JF_INVERT_AUTO}, {JF_PREPROCESS_NONE, JF_INVERT_NO}};
	static const int sizes[][3] = {{28, 28, 1}, {8, 40, 3}, {40, 8, 1}, {HEIGHT, WIDTH, 3}};
	static float packed[40 * 40 * 3], whole[40 * 40 * 3];

	for (size_t i = 0; i < 8; i++) {
		const int *size = sizes[i / 2];
		struct jf_framing_report reports[2];
		enum jf_err status =
		    jf_frame(whole, &reports[0], image, size[0], size[1], size[2], &options[i % 2], NULL);

		assert_int_equal(jf_frame_picture(packed, &reports[1], file->bytes, file->used, 0, size[0], size[1],
				     size[2], &options[i % 2], NULL),
		    status);
		assert_int_equal(reports[0].source_height, reports[1].source_height);
		assert_int_equal(reports[0].source_width, reports[1].source_width);
		assert_int_equal(reports[0].source_channels, reports[1].source_channels);
		if (status)
			continue;
		assert_memory_equal(packed, whole, sizeof(*whole) * (size_t)(size[0] * size[1] * size[2]));
		assert_int_equal(reports[0].ink_width, reports[1].ink_width);
		assert_int_equal(reports[0].ink_y, reports[1].ink_y);
		assert_true(reports[0].scale_y == reports[1].scale_y);
	}
}

static void test_every_kind(void **state) {
	static const struct {
		int type, depth;
		bool transparent;
		bool black; /* what is not clear is light, and most is clear: only black shows it */
	} kinds[] = {{0, 1, false, false}, {0, 2, false, false}, {0, 4, false, false}, {0, 8, false, false},
	    {0, 16, false, false}, {0, 1, true, true}, {0, 4, true, false}, {0, 8, true, false}, {0, 16, true, false},
	    {2, 8, false, false}, {2, 16, false, false}, {2, 8, true, false}, {2, 16, true, false},
	    {3, 1, false, false}, {3, 2, false, false}, {3, 4, false, false}, {3, 8, false, false}, {3, 1, true, true},
	    {3, 4, true, true}, {3, 8, true, true}, {4, 8, false, false}, {4, 16, false, false}, {6, 8, false, false},
	    {6, 16, false, true}};
	static struct buffer file;
	struct jf_error err = {0};
	struct jf_image image;

	(void)state;
	for (size_t k = 0; k < 2 * sizeof(kinds) / sizeof(kinds[0]); k++) {
		int type = kinds[k / 2].type, depth = kinds[k / 2].depth;

		write_kind(
		    &file, type, depth, k % 2 ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, kinds[k / 2].transparent);
		if (jf_png_decode(&image, file.bytes, file.used, &err))
			fail_msg("type %d, %d bit: %s", type, depth, err.message);
		assert_int_equal(image.width, WIDTH);
		assert_int_equal(image.height, HEIGHT);
		assert_int_equal(image.channels, type & PNG_COLOR_MASK_COLOR ? 3 : 1);
		for (int p = 0; p < WIDTH * HEIGHT; p++) {
			int expected[3];

			expected_pixel(
			    expected, p, type, depth, kinds[k / 2].transparent, kinds[k / 2].black ? 0 : 255);
			for (int c = 0; c < image.channels; c++)
				if (image.pixels[p * image.channels + c] != expected[c])
					fail_msg("type %d, %d bit, pixel %d.%d: %d, not %d", type, depth, p, c,
					    image.pixels[p * image.channels + c], expected[c]);
		}
		assert_framed_alike(&file, &image);
		jf_image_deinit(&image);
	}
}

/* Larger than what ink is looked for on, so it is made smaller as its rows come. */
static void test_large_framed(void **state) {
	static struct buffer file;
	struct jf_error err = {0};
	struct jf_image image;
	uint8_t *data;
	size_t size;

	(void)state;
	assert_int_equal(jf_image_init(&image, 700, 1100, 3, &err), JF_OK);
	for (int y = 0; y < image.height; y++)
		for (int x = 0; x < image.width; x++)
			for (int c = 0; c < 3; c++)
				image.pixels[(y * image.width + x) * 3 + c] =
				    (uint8_t)(y > 100 && y < 600 && x > 500 && x < 580 ? 20 + c : 220 - x / 100 + c);
	assert_int_equal(jf_png_encode(&data, &size, &image, &err), JF_OK);
	file.used = 0;
	put(&file, data, size);
	free(data);
	assert_framed_alike(&file, &image);
	assert_int_equal(jf_frame_picture((float[1]){0}, NULL, file.bytes, file.used, 1099, 1, 1, 1,
			     &(struct jf_framing_options){JF_PREPROCESS_NONE, JF_INVERT_NO}, &err),
	    JF_ELIMIT);
	assert_non_null(strstr(err.message, "1100 x 700"));
	jf_image_deinit(&image);
}

static void test_round_trip(void **state) {
	static const int sizes[][3] = {{1, 1, 1}, {28, 28, 1}, {1, 2048, 3}, {2048, 1, 1}, {33, 31, 3}};
	char path[] = "/tmp/jf-png-XXXXXX";
	struct jf_error err = {0};

	(void)state;
	close(mkstemp(path));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct jf_image image, back;
		uint8_t *data, *again;
		size_t size, size_again;

		assert_int_equal(jf_image_init(&image, sizes[i][0], sizes[i][1], sizes[i][2], &err), JF_OK);
		for (size_t p = 0; p < jf_image_size(&image); p++)
			image.pixels[p] = (uint8_t)sample((int)p, 8);
		assert_int_equal(jf_png_encode(&data, &size, &image, &err), JF_OK);
		assert_true(jf_png_is(data, size));
		assert_int_equal(jf_png_encode(&again, &size_again, &image, &err), JF_OK);
		assert_int_equal(size, size_again);
		assert_memory_equal(data, again, size);
		assert_int_equal(jf_png_decode(&back, data, size, &err), JF_OK);
		assert_int_equal(back.channels, image.channels);
		assert_memory_equal(back.pixels, image.pixels, jf_image_size(&image));
		jf_image_deinit(&back);
		assert_int_equal(jf_png_write(&image, path, &err), JF_OK);
		assert_int_equal(jf_picture_read(&back, path, &err), JF_OK);
		assert_memory_equal(back.pixels, image.pixels, jf_image_size(&image));
		jf_image_deinit(&back);
		jf_image_deinit(&image);
		free(data);
		free(again);
	}
	unlink(path);
}

/* --- damaged files --- */

static void put_u32(struct buffer *out, uint32_t value) {
	uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};

	put(out, bytes, 4);
}

static void put_chunk(struct buffer *out, const char *type, const void *data, size_t size) {
	uLong crc = crc32(crc32(0, (const Bytef *)type, 4), data, (uInt)size);

	put_u32(out, (uint32_t)size);
	put(out, type, 4);
	put(out, data, size);
	put_u32(out, (uint32_t)crc);
}

static void put_header(struct buffer *out, uint32_t width, uint32_t height, uint8_t depth, uint8_t type) {
	static struct buffer data;
	uint8_t rest[] = {depth, type, 0, 0, 0};

	data.used = 0;
	put_u32(&data, width);
	put_u32(&data, height);
	put(&data, rest, sizeof(rest));
	put(out, "\x89PNG\r\n\x1a\n", 8);
	put_chunk(out, "IHDR", data.bytes, data.used);
}

static void put_pixels(struct buffer *out, const void *rows, size_t size) {
	uint8_t packed[1024];
	uLongf packed_size = sizeof(packed);

	assert_int_equal(compress(packed, &packed_size, rows, size), Z_OK);
	put_chunk(out, "IDAT", packed, packed_size);
}

/* A good 2 x 2 grey picture, piece by piece, with one piece spoilt. */
enum damage {
	GOOD,
	EMPTY,
	SHORT_SIGNATURE,
	JPEG,
	SIGNATURE_ONLY,
	TEXT_MODE, /* \r\n became \n on its way */
	NO_IHDR,
	WIDE,
	HIGH,
	HUGE_SIDE,
	ZERO,
	BAD_DEPTH,
	BAD_TYPE,
	BAD_CRC,
	CHUNK_NAME,
	CHUNK_LENGTH,
	CHUNK_LENGTH_2,
	MANY_CHUNKS,
	BIG_TEXT,
	NO_PALETTE,
	NO_IDAT,
	NO_IEND,
	SHORT_PIXELS,
	BAD_ZLIB,
	BAD_FILTER,
	UNKNOWN_CRITICAL,
	TRAILING,
	N_DAMAGES
};

static const struct {
	enum jf_err code;
	const char *message;
} verdict[N_DAMAGES] = {
    [GOOD] = {JF_OK, ""},
    [EMPTY] = {JF_EFORMAT, "not a PNG: empty"},
    [SHORT_SIGNATURE] = {JF_EFORMAT, "not a PNG"},
    [JPEG] = {JF_EFORMAT, "not a PNG"},
    [SIGNATURE_ONLY] = {JF_EFORMAT, "truncated: only 8 bytes"},
    [TEXT_MODE] = {JF_EFORMAT, "not a PNG"},
    [NO_IHDR] = {JF_EFORMAT, "the first chunk is not an IHDR"},
    [WIDE] = {JF_ELIMIT, "2049 x 1 pixels; the limit is 2048 x 2048"},
    [HIGH] = {JF_ELIMIT, "1 x 2049 pixels"},
    [HUGE_SIDE] = {JF_ELIMIT, "4294967295 x 1 pixels"},
    [ZERO] = {JF_EFORMAT, "0 x 2 pixels"},
    [BAD_DEPTH] = {JF_EFORMAT, "IHDR"},
    [BAD_TYPE] = {JF_EFORMAT, "IHDR"},
    [BAD_CRC] = {JF_EFORMAT, "IDAT: CRC error"},
    [CHUNK_NAME] = {JF_EFORMAT, "no chunk name at byte 37"},
    [CHUNK_LENGTH] = {JF_EFORMAT, "chunk IDAT at byte 33 has 1000 bytes, "},
    [CHUNK_LENGTH_2] = {JF_EFORMAT, "chunk IDAT at byte 33 says it has 4294967295 bytes"},
    [MANY_CHUNKS] = {JF_OK, ""},
    [BIG_TEXT] = {JF_OK, ""},
    [NO_PALETTE] = {JF_EFORMAT, "PLTE"},
    [NO_IDAT] = {JF_EFORMAT, "no image data"},
    [NO_IEND] = {JF_EFORMAT, "truncated at byte"},
    [SHORT_PIXELS] = {JF_EFORMAT, "Not enough image data"},
    [BAD_ZLIB] = {JF_EFORMAT, "IDAT"},
    [BAD_FILTER] = {JF_EFORMAT, "bad adaptive filter"},
    [UNKNOWN_CRITICAL] = {JF_EFORMAT, "unhandled critical chunk"},
    [TRAILING] = {JF_OK, ""},
};

static void put_middle(struct buffer *out, enum damage damage) {
	static const uint8_t rows[] = {0, 10, 20, 0, 30, 40}, filtered[] = {0, 10, 20, 9, 30, 40};
	static uint8_t text[60000];
	size_t before = out->used;

	if (damage == MANY_CHUNKS)
		for (int i = 0; i < 3000; i++)
			put_chunk(out, "teSt", "x", 1);
	if (damage == BIG_TEXT) {
		memset(text, 'x', sizeof(text));
		memcpy(text, "Comment", 8);
		put_chunk(out, "tEXt", text, sizeof(text));
	}
	if (damage == UNKNOWN_CRITICAL)
		put_chunk(out, "TeST", "x", 1);
	if (damage == BAD_ZLIB)
		put_chunk(out, "IDAT", "this is no zlib stream", 22);
	else if (damage == BAD_FILTER)
		put_pixels(out, filtered, sizeof(filtered));
	else if (damage != NO_IDAT)
		put_pixels(out, rows, damage == SHORT_PIXELS ? 4 : sizeof(rows));
	if (damage == BAD_CRC)
		out->bytes[out->used - 1] ^= 1;
	if (damage == CHUNK_NAME)
		out->bytes[before + 4] = '1';
	if (damage == CHUNK_LENGTH)
		memcpy(out->bytes + before, "\0\0\x03\xe8", 4);
	if (damage == CHUNK_LENGTH_2)
		memset(out->bytes + before, 255, 4);
}

static void build(struct buffer *out, enum damage damage) {
	out->used = 0;
	switch (damage) {
	case EMPTY:
		return;
	case SHORT_SIGNATURE:
		put(out, "\x89PNG", 4);
		return;
	case SIGNATURE_ONLY:
		put(out, "\x89PNG\r\n\x1a\n", 8);
		return;
	case JPEG:
		put(out, "\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0 and so on!", 31);
		return;
	case WIDE:
		put_header(out, 2049, 1, 8, 0);
		break;
	case HIGH:
		put_header(out, 1, 2049, 8, 0);
		break;
	case HUGE_SIDE:
		put_header(out, UINT32_MAX, 1, 8, 0);
		break;
	case ZERO:
		put_header(out, 0, 2, 8, 0);
		break;
	case BAD_DEPTH:
		put_header(out, 2, 2, 3, 0);
		break;
	case BAD_TYPE:
		put_header(out, 2, 2, 8, 5);
		break;
	case NO_PALETTE:
		put_header(out, 2, 2, 8, 3);
		break;
	default:
		put_header(out, 2, 2, 8, 0);
	}
	put_middle(out, damage);
	if (damage != NO_IEND)
		put_chunk(out, "IEND", "", 0);
	if (damage == TRAILING)
		put(out, "abc", 3);
	if (damage == NO_IHDR)
		memcpy(out->bytes + 12, "iHDR", 4);
	if (damage == TEXT_MODE)
		memmove(out->bytes + 4, out->bytes + 5, --out->used - 4);
}

static void test_damaged(void **state) {
	static struct buffer file;

	(void)state;
	for (int damage = 0; damage < N_DAMAGES; damage++) {
		struct jf_error err = {0};
		struct jf_image image;
		enum jf_err code;

		build(&file, (enum damage)damage);
		code = jf_png_decode(&image, file.bytes, file.used, &err);
		if (code != verdict[damage].code || !strstr(err.message, verdict[damage].message))
			fail_msg("damage %d: %d, %s", damage, (int)code, err.message);
		if (code)
			assert_null(image.pixels);
		else
			assert_memory_equal(image.pixels, "\x0a\x14\x1e\x28", 4);
		jf_image_deinit(&image);
	}
}

/* Image data that go on behind the last row must not be unpacked: a thousandth of them is in the file. */
static void test_size(void **state) {
	static struct buffer file;
	uint32_t width, height;

	(void)state;
	file.used = 0;
	put_header(&file, 70000, 3, 8, 0);
	assert_int_equal(jf_png_size(&width, &height, file.bytes, file.used, NULL), JF_OK);
	assert_int_equal(width, 70000);
	assert_int_equal(height, 3);
	for (size_t n = 0; n < 8 + 8 + 13; n++)
		assert_int_equal(jf_png_size(&width, &height, file.bytes, n, NULL), JF_EFORMAT);
	file.bytes[12] = 'i';
	assert_int_equal(jf_png_size(&width, &height, file.bytes, file.used, NULL), JF_EFORMAT);
}

static void test_bomb(void **state) {
	enum { PIXELS = 28 * 29, UNPACKED = 32 << 20 };
	uint8_t *rows = calloc(UNPACKED, 1), *packed = malloc(UNPACKED / 64);
	static struct buffer file;

	(void)state;
	assert_non_null(rows);
	for (int interlaced = 0; interlaced < 2; interlaced++)
		for (size_t extra = 0; extra <= UNPACKED - PIXELS - 200; extra = extra * 300 + 1) {
			uLongf packed_size = UNPACKED / 64;
			struct jf_error err = {0};
			struct jf_image image;
			enum jf_err code;
			uint8_t *flag;

			/* seven passes have more rows, and so more filter bytes */
			assert_int_equal(
			    compress2(packed, &packed_size, rows, PIXELS + (interlaced ? 25U : 0U) + extra, 9), Z_OK);
			file.used = 0;
			put_header(&file, 28, 28, 8, 0);
			flag = file.bytes + file.used - 5;
			*flag = (uint8_t)interlaced;
			for (size_t i = 0; i < 4; i++)
				flag[1 + i] = (uint8_t)(crc32(0, file.bytes + 12, 17) >> (24 - 8 * i));
			for (size_t at = 0; at < packed_size; at += 8192)
				put_chunk(
				    &file, "IDAT", packed + at, packed_size - at < 8192 ? packed_size - at : 8192);
			put_chunk(&file, "IEND", "", 0);
			code = jf_png_decode(&image, file.bytes, file.used, &err);
			jf_image_deinit(&image);
			if (extra < 1000) /* some writers pad: as harmless as ever */
				assert_int_equal(code, JF_OK);
			else if (extra > (4 << 20) &&
				 (code != JF_EFORMAT || !strstr(err.message, "after the last row")))
				fail_msg("%zu bytes too many: %d, %s", extra, (int)code, err.message);
		}
	free(rows);
	free(packed);
}

static void test_too_many_chunks(void **state) {
	size_t count = 20000, size = 0;
	uint8_t *file = malloc(count * 13 + 1000);
	static struct buffer piece;
	struct jf_error err = {0};
	struct jf_image image;

	(void)state;
	piece.used = 0;
	put_header(&piece, 2, 2, 8, 0);
	memcpy(file, piece.bytes, size = piece.used);
	piece.used = 0;
	put_chunk(&piece, "teSt", "x", 1);
	for (size_t i = 0; i < count; i++, size += piece.used)
		memcpy(file + size, piece.bytes, piece.used);
	assert_int_equal(jf_png_decode(&image, file, size, &err), JF_ELIMIT);
	assert_non_null(strstr(err.message, "more than 16384 chunks"));
	free(file);
}

/* Cut anywhere: an error that says so. The copy has exactly the size, so that ASan sees a read past its end. */
static void test_truncated(void **state) {
	static struct buffer file;
	struct jf_image image;

	(void)state;
	write_kind(&file, PNG_COLOR_TYPE_RGB_ALPHA, 8, PNG_INTERLACE_ADAM7, false);
	for (size_t size = 0; size < file.used; size++) {
		uint8_t *copy = malloc(size ? size : 1);
		struct jf_error err = {0};

		memcpy(copy, file.bytes, size);
		assert_int_equal(jf_png_decode(&image, copy, size, &err), JF_EFORMAT);
		assert_non_null(strstr(err.message, size < 8 ? "not a PNG" : "truncated"));
		free(copy);
	}
}

/* Every bit flipped, one at a time: decoded or refused, never more. The checksums catch all but the ancillary ones. */
static void test_flipped(void **state) {
	static struct buffer file;
	struct jf_image image;

	(void)state;
	write_kind(&file, PNG_COLOR_TYPE_PALETTE, 4, PNG_INTERLACE_NONE, true);
	for (size_t bit = 0; bit < 8 * file.used; bit++) {
		struct jf_error err = {0};

		file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (jf_png_decode(&image, file.bytes, file.used, &err)) {
			assert_null(image.pixels);
			assert_int_not_equal(err.message[0], '\0');
		}
		jf_image_deinit(&image);
		file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_files(void **state) {
	struct jf_error err = {0};
	struct jf_image image = {0};
	uint8_t *data;
	size_t size;

	(void)state;
	assert_int_equal(jf_picture_read(&image, "/nowhere/a.png", &err), JF_EIO);
	assert_string_equal(err.message, "/nowhere/a.png: cannot open: No such file or directory");
	assert_int_equal(jf_picture_read(&image, "/dev/null", &err), JF_EFORMAT);
	assert_string_equal(err.message, "/dev/null: not a PNG or JPEG: empty");
	assert_int_equal(jf_png_encode(&data, &size, &image, &err), JF_EINVAL);
	assert_null(data);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_kind),
	    cmocka_unit_test(test_large_framed),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_bomb),
	    cmocka_unit_test(test_too_many_chunks),
	    cmocka_unit_test(test_truncated),
	    cmocka_unit_test(test_flipped),
	    cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
