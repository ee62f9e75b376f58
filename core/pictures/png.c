#include "core/pictures/png.h"

#include <inttypes.h>
#include <limits.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/pictures/exif.h"

#define SIGNATURE_SIZE 8
#define MAX_CHUNKS 16384                /* 2048 x 2048 at 16 bit RGBA in 2 KiB pieces */
#define MAX_ANCILLARY ((size_t)8 << 20) /* bytes of any chunk that is not image data */
#define MESSAGE_SIZE 160
/* Compressed image data is handed to zlib in pieces of this size. What is left of the piece that completes the last row
 * is the most that is unpacked for nothing. */
#define PIECE 1024
/* What may be read after the last row: the end of the deflate stream, its checksum, the frame of another IDAT. */
#define MAX_TAIL 1024

/* What a decode or encode holds. libpng leaves by longjmp, so everything it may have left behind is found from here,
 * not in variables of the function that called setjmp. */
struct codec {
	png_structp png;
	png_infop info;
	const uint8_t *in; /* decode: what is left to read */
	size_t in_left;
	uint8_t *out; /* encode: the growing result */
	size_t out_used, out_capacity;
	const struct jf_rows *rows; /* decode: who takes the picture */
	struct jf_error *err;       /* decode: where they say why they do not */
	enum jf_err refused;
	uint8_t *raw;    /* decode: a row [width][1 to 4]; all of them where the file has them in no such order */
	int rows_left;   /* decode: of all passes together, not yet unpacked */
	size_t tail;     /* decode: bytes read since the last row, until libpng takes the image data for finished */
	bool has_pixels; /* decode: libpng has taken the image data for finished */
	int orientation; /* decode: Exif's, of the eXIf chunk */
	bool no_memory;
	char warning[MESSAGE_SIZE]; /* the last one: libpng explains there what it then only calls invalid */
	char failure[MESSAGE_SIZE];
};

bool jf_png_is(const void *data, size_t size_bytes) {
	return size_bytes >= SIGNATURE_SIZE && png_sig_cmp(data, 0, SIGNATURE_SIZE) == 0;
}

/* --- libpng's callbacks --- */

static PNG_NORETURN void on_error(png_structp png, png_const_charp message) {
	struct codec *codec = png_get_error_ptr(png);

	snprintf(codec->failure, sizeof(codec->failure), "%s", message);
	png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
	struct codec *codec = png_get_error_ptr(png);

	snprintf(codec->warning, sizeof(codec->warning), "%s", message);
}

static void on_read(png_structp png, png_bytep out, size_t size) {
	struct codec *codec = png_get_io_ptr(png);

	if (size > codec->in_left)
		png_error(png, "the data ends too early (truncated)");
	/* libpng would unpack everything behind the last row only to throw it away: up to a thousand times the file. */
	if (codec->rows_left == 0 && !codec->has_pixels && (codec->tail += size) > MAX_TAIL)
		png_error(png, "the image data continue after the last row");
	memcpy(out, codec->in, size);
	codec->in += size;
	codec->in_left -= size;
}

/* Called for each row that was unpacked, before libpng looks for the end of the image data. */
static void on_row(png_structp png, png_row_infop row_info, png_bytep row) {
	struct codec *codec = png_get_user_transform_ptr(png);

	(void)row_info;
	(void)row;
	codec->rows_left--;
}

static void on_write(png_structp png, png_bytep data, size_t size) {
	struct codec *codec = png_get_io_ptr(png);

	if (size > codec->out_capacity - codec->out_used) {
		size_t capacity = 2 * codec->out_capacity + size + 4096;
		uint8_t *grown = realloc(codec->out, capacity);

		if (!grown) {
			codec->no_memory = true;
			png_error(png, "out of memory");
		}
		codec->out = grown;
		codec->out_capacity = capacity;
	}
	memcpy(codec->out + codec->out_used, data, size);
	codec->out_used += size;
}

static void on_flush(png_structp png) {
	(void)png;
}

/* --- decoding --- */

enum jf_err jf_png_size(uint32_t *width, uint32_t *height, const void *data, size_t size_bytes, struct jf_error *err) {
	const uint8_t *header = (const uint8_t *)data + SIGNATURE_SIZE;

	if (size_bytes < SIGNATURE_SIZE + 8 + 13)
		return jf_error_set(err, JF_EFORMAT, "PNG: truncated: only %zu bytes", size_bytes);
	if (memcmp(header + 4, "CgBI", 4) == 0)
		return jf_error_set(err, JF_EFORMAT,
		    "PNG: it is Apple's CgBI variant, which apps for iOS carry and only Apple's programs read; save it "
		    "as a plain PNG");
	if (memcmp(header, "\0\0\0\rIHDR", 8) != 0)
		return jf_error_set(err, JF_EFORMAT, "PNG: the first chunk is not an IHDR of 13 bytes");
	*width = (uint32_t)jf_big_endian(header + 8, 4);
	*height = (uint32_t)jf_big_endian(header + 12, 4);
	return JF_OK;
}

/* Looked at before libpng allocates anything. */
static enum jf_err check_size(const uint8_t *data, size_t size_bytes, struct jf_error *err) {
	uint32_t width, height;
	enum jf_err rc = jf_png_size(&width, &height, data, size_bytes, err);

	if (rc != JF_OK)
		return rc;
	if (width == 0 || height == 0)
		return jf_error_set(err, JF_EFORMAT, "PNG: %" PRIu32 " x %" PRIu32 " pixels", width, height);
	if (width > JF_PNG_MAX_SIDE || height > JF_PNG_MAX_SIDE)
		return jf_error_set(err, JF_ELIMIT, "PNG: %" PRIu32 " x %" PRIu32 " pixels; the limit is %d x %d",
		    width, height, JF_PNG_MAX_SIDE, JF_PNG_MAX_SIDE);
	return JF_OK;
}

/* Walks the chunks: finds out here, with the place, what libpng would report less clearly. Looks inside eXIf alone,
 * which libpng is told to skip; *orientation is left alone without one. */
static enum jf_err check_chunks(const uint8_t *data, size_t size_bytes, int *orientation, struct jf_error *err) {
	size_t at = SIGNATURE_SIZE;
	bool has_pixels = false;

	for (int n = 0;; n++) {
		const uint8_t *type = data + at + 4;
		size_t length;

		if (n >= MAX_CHUNKS)
			return jf_error_set(err, JF_ELIMIT, "PNG: more than %d chunks", MAX_CHUNKS);
		if (size_bytes - at < 12)
			return jf_error_set(
			    err, JF_EFORMAT, "PNG: truncated at byte %zu: a chunk or IEND is missing", size_bytes);
		length = (size_t)jf_big_endian(data + at, 4);
		for (int i = 0; i < 4; i++)
			if (!((type[i] >= 'A' && type[i] <= 'Z') || (type[i] >= 'a' && type[i] <= 'z')))
				return jf_error_set(err, JF_EFORMAT, "PNG: corrupt: no chunk name at byte %zu", at + 4);
		if (length > INT32_MAX)
			return jf_error_set(err, JF_EFORMAT,
			    "PNG: corrupt: chunk %.4s at byte %zu says it has %zu bytes", (const char *)type, at,
			    length);
		if (length > size_bytes - at - 12)
			return jf_error_set(err, JF_EFORMAT,
			    "PNG: truncated: chunk %.4s at byte %zu has %zu bytes, %zu are left", (const char *)type,
			    at, length, size_bytes - at - 12);
		if (length > MAX_ANCILLARY && memcmp(type, "IDAT", 4) != 0)
			return jf_error_set(err, JF_ELIMIT, "PNG: chunk %.4s has %zu bytes; the limit is %zu",
			    (const char *)type, length, MAX_ANCILLARY);
		if (memcmp(type, "eXIf", 4) == 0)
			*orientation = jf_exif_orientation(type + 4, length);
		at += length + 12;
		has_pixels = has_pixels || memcmp(type, "IDAT", 4) == 0;
		if (memcmp(type, "IEND", 4) == 0)
			break;
	}
	if (!has_pixels)
		return jf_error_set(err, JF_EFORMAT, "PNG: no image data (IDAT)");
	return JF_OK; /* what follows IEND is not part of the picture: a line feed, a padded block, another program's
			 data */
}

/* Rows in the file: an interlaced picture has seven passes, of which those without pixels are left out. */
static int count_rows(png_structp png, png_infop info) {
	int height = (int)png_get_image_height(png, info), width = (int)png_get_image_width(png, info), rows = 0;

	if (png_get_interlace_type(png, info) == PNG_INTERLACE_NONE)
		return height;
	for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++)
		if (PNG_PASS_COLS(width, pass) > 0)
			rows += PNG_PASS_ROWS(height, pass);
	return rows;
}

/* Runs under setjmp: may be left at any libpng call. */
static void decode_rows(struct codec *codec) {
	struct jf_rows_form form = {.orientation = codec->orientation};
	png_structp png = codec->png;
	size_t stride, all;
	int passes;

	png_set_read_fn(png, codec, on_read);
	png_set_user_limits(png, JF_PNG_MAX_SIDE, JF_PNG_MAX_SIDE);
	png_set_chunk_cache_max(png, 128);
	png_set_chunk_malloc_max(png, MAX_ANCILLARY);
	png_set_compression_buffer_size(png, PIECE);
	png_set_read_user_transform_fn(png, on_row);
	png_set_user_transform_info(png, codec, 0, 0);
	/* A negative count: everything but IHDR, PLTE, tRNS, IDAT and IEND is skipped, so no text or profile is
	 * unpacked. */
	png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
	codec->rows_left = INT_MAX; /* until the header says */
	png_read_info(png, codec->info);
	codec->rows_left = count_rows(png, codec->info);
	png_set_expand(png);   /* palette to RGB, grey of 1, 2, 4 bit to 8, tRNS to alpha */
	png_set_scale_16(png); /* 16 bit to 8, rounded */
	passes = png_set_interlace_handling(png);
	png_read_update_info(png, codec->info);

	form.height = (int)png_get_image_height(png, codec->info);
	form.width = (int)png_get_image_width(png, codec->info);
	form.channels = png_get_channels(png, codec->info);
	stride = png_get_rowbytes(png, codec->info);
	if (png_get_bit_depth(png, codec->info) != 8 || stride != (size_t)form.width * (size_t)form.channels)
		png_error(png, "unexpected row format");
	codec->refused = codec->rows->begin(codec->rows->context, &form, codec->err);
	if (codec->refused)
		png_error(png, "refused");
	all = passes > 1 ? (size_t)form.height : 1;
	codec->raw = calloc(all, stride);
	if (!codec->raw) {
		codec->no_memory = true;
		png_error(png, "out of memory");
	}
	for (int pass = 0; pass < passes; pass++)
		for (int y = 0; y < form.height; y++) {
			uint8_t *row = codec->raw + (all > 1 ? (size_t)y * stride : 0);

			png_read_row(png, row, NULL);
			if (pass == passes - 1)
				codec->rows->row(codec->rows->context, row);
		}
	codec->has_pixels = true;
	png_read_end(png, NULL);
}

static bool guarded_decode(struct codec *codec) {
	if (setjmp(png_jmpbuf(codec->png)))
		return false;
	decode_rows(codec);
	return true;
}

static enum jf_err explain(const struct codec *codec, struct jf_error *err) {
	if (codec->refused)
		return codec->refused;
	if (codec->no_memory)
		return jf_error_set(err, JF_ENOMEM, "PNG: out of memory");
	if (codec->warning[0] && strcmp(codec->warning, codec->failure) != 0)
		return jf_error_set(err, JF_EFORMAT, "PNG: corrupt: %s (%s)", codec->failure, codec->warning);
	return jf_error_set(err, JF_EFORMAT, "PNG: corrupt: %s", codec->failure);
}

enum jf_err jf_png_rows(const struct jf_rows *rows, const void *data, size_t size_bytes, struct jf_error *err) {
	struct codec codec = {.in = data, .in_left = size_bytes, .rows = rows, .err = err, .orientation = 1};
	enum jf_err status;

	if (size_bytes == 0)
		return jf_error_set(err, JF_EFORMAT, "not a PNG: empty");
	if (!jf_png_is(data, size_bytes))
		return jf_error_set(err, JF_EFORMAT, "not a PNG: the signature is missing");
	status = check_size(data, size_bytes, err);
	if (!status)
		status = check_chunks(data, size_bytes, &codec.orientation, err);
	if (status)
		return status;

	codec.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &codec, on_error, on_warning);
	codec.info = codec.png ? png_create_info_struct(codec.png) : NULL;
	if (!codec.info) {
		status = jf_error_set(err, JF_ENOMEM, "PNG: out of memory");
		goto out;
	}
	if (!guarded_decode(&codec))
		status = explain(&codec, err);
out:
	png_destroy_read_struct(&codec.png, &codec.info, NULL);
	free(codec.raw);
	return status;
}

enum jf_err jf_png_decode(struct jf_image *out, const void *data, size_t size_bytes, struct jf_error *err) {
	return jf_rows_collect(out, jf_png_rows, data, size_bytes, err);
}

/* --- encoding --- */

/* Runs under setjmp. */
static void encode_rows(struct codec *codec, const struct jf_image *image) {
	size_t stride = (size_t)image->width * (size_t)image->channels;

	png_set_write_fn(codec->png, codec, on_write, on_flush);
	png_set_IHDR(codec->png, codec->info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
	    image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
	    PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(codec->png, codec->info);
	for (int y = 0; y < image->height; y++)
		png_write_row(codec->png, image->pixels + (size_t)y * stride);
	png_write_end(codec->png, NULL);
}

static bool guarded_encode(struct codec *codec, const struct jf_image *image) {
	if (setjmp(png_jmpbuf(codec->png)))
		return false;
	encode_rows(codec, image);
	return true;
}

enum jf_err jf_png_encode(uint8_t **data, size_t *size_bytes, const struct jf_image *image, struct jf_error *err) {
	struct codec codec = {0};
	enum jf_err status = JF_OK;

	*data = NULL;
	*size_bytes = 0;
	if (image->height < 1 || image->width < 1 || !image->pixels || (image->channels != 1 && image->channels != 3))
		return jf_error_set(err, JF_EINVAL, "PNG: cannot write %d x %d pixels of %d channels", image->width,
		    image->height, image->channels);
	codec.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &codec, on_error, on_warning);
	codec.info = codec.png ? png_create_info_struct(codec.png) : NULL;
	if (!codec.info) {
		status = jf_error_set(err, JF_ENOMEM, "PNG: out of memory");
		goto out;
	}
	if (!guarded_encode(&codec, image)) {
		status = codec.no_memory ? jf_error_set(err, JF_ENOMEM, "PNG: out of memory")
					 : jf_error_set(err, JF_EINVAL, "PNG: cannot write: %s", codec.failure);
		goto out;
	}
	*data = codec.out;
	*size_bytes = codec.out_used;
	codec.out = NULL;
out:
	png_destroy_write_struct(&codec.png, &codec.info);
	free(codec.out);
	return status;
}

enum jf_err jf_png_write(const struct jf_image *image, const char *path, struct jf_error *err) {
	uint8_t *data;
	size_t size;
	enum jf_err status = jf_png_encode(&data, &size, image, err);

	if (status) {
		jf_error_prefix(err, "%s", path);
		return status;
	}
	status = jf_file_write(path, data, size, err);
	free(data);
	return status;
}
