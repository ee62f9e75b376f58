#include "core/pictures/jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* after stdio.h, which it needs and does not include */
#include <jerror.h>
#include <jpeglib.h>

#include "core/pictures/exif.h"

/* Of the decoder: a picture of several scans keeps all its coefficients, three bytes a pixel with halved colours.
 * Enough for 24 million pixels, as cameras have. */
#define MAX_MEMORY ((long)72 << 20)
/* A progressive file of few bytes may ask for thousands of passes over all its pixels. Writers make about ten. */
#define MAX_SCANS 200
#define TYPICAL_SCANS 10                     /* of a progressive picture */
#define ENOUGH_SCANS 16                      /* are read of any picture */
#define MAX_SCANNED_PIXELS ((size_t)1 << 29) /* over all scans beyond these */
#define EXIF_HEADER "Exif\0"                 /* and one more 0 */
#define EXIF_HEADER_SIZE 6

/* What a decode holds. The library leaves by longjmp, so everything it may have left behind is found from here. */
struct codec {
	struct jpeg_error_mgr errors; /* first: the library hands this back */
	struct jpeg_progress_mgr progress;
	struct jpeg_decompress_struct jpeg;
	jmp_buf way_out;
	const struct jf_rows *rows; /* who takes the picture */
	struct jf_error *err;       /* where they say why they do not */
	enum jf_err refused;
	uint8_t *row; /* [width][1, 3 or 4] */
	enum jf_err status;
	char failure[JMSG_LENGTH_MAX];
};

bool jf_jpeg_is(const void *data, size_t size_bytes) {
	return size_bytes >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0;
}

/* --- the library's callbacks --- */

static void give_up(struct codec *codec, enum jf_err status) {
	codec->status = status;
	longjmp(codec->way_out, 1);
}

static void on_error(j_common_ptr jpeg) {
	struct codec *codec = (struct codec *)(void *)jpeg->err;

	jpeg->err->format_message(jpeg, codec->failure);
	switch (jpeg->err->msg_code) {
	case JERR_OUT_OF_MEMORY:
		give_up(codec, JF_ENOMEM);
		break;
	case JERR_NO_BACKING_STORE:
		snprintf(codec->failure, sizeof(codec->failure),
		    "needs more memory than %ld MiB to decode, as progressive ones do; save it smaller, or as a "
		    "baseline JPEG",
		    MAX_MEMORY >> 20);
		give_up(codec, JF_ELIMIT);
		break;
	default:
		give_up(codec, JF_EFORMAT);
	}
}

/* The library would go on after damage, with grey where the picture is missing. Cameras' small sins are let pass. */
static void on_message(j_common_ptr jpeg, int level) {
	int code = jpeg->err->msg_code;

	if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR)
		on_error(jpeg);
}

static int max_scans(const struct jpeg_decompress_struct *jpeg) {
	size_t scans = MAX_SCANNED_PIXELS / ((size_t)jpeg->image_height * jpeg->image_width);

	return scans > MAX_SCANS ? MAX_SCANS : scans < ENOUGH_SCANS ? ENOUGH_SCANS : (int)scans;
}

static void on_progress(j_common_ptr jpeg) {
	struct codec *codec = (struct codec *)(void *)jpeg->err;
	int most = max_scans(&codec->jpeg);

	if (codec->jpeg.input_scan_number > most) {
		snprintf(codec->failure, sizeof(codec->failure), "has more than %d scans of %u x %u pixels", most,
		    codec->jpeg.image_width, codec->jpeg.image_height);
		give_up(codec, JF_ELIMIT);
	}
}

/* --- decoding --- */

static int orientation_of(const struct jpeg_decompress_struct *jpeg) {
	for (const struct jpeg_marker_struct *m = jpeg->marker_list; m; m = m->next)
		if (m->marker == JPEG_APP0 + 1 && m->data_length > EXIF_HEADER_SIZE &&
		    memcmp(m->data, EXIF_HEADER, EXIF_HEADER_SIZE) == 0)
			return jf_exif_orientation(m->data + EXIF_HEADER_SIZE, m->data_length - EXIF_HEADER_SIZE);
	return 1;
}

static void check_size(struct codec *codec) {
	unsigned height = codec->jpeg.image_height, width = codec->jpeg.image_width;

	if (height > JF_JPEG_MAX_SIDE || width > JF_JPEG_MAX_SIDE || (size_t)height * width > JF_JPEG_MAX_PIXELS) {
		snprintf(codec->failure, sizeof(codec->failure),
		    "%u x %u pixels; the limit is %d a side and %zu million in all", width, height, JF_JPEG_MAX_SIDE,
		    JF_JPEG_MAX_PIXELS >> 20);
		give_up(codec, JF_ELIMIT);
	}
}

static J_COLOR_SPACE colours_wanted(J_COLOR_SPACE stored) {
	switch (stored) {
	case JCS_GRAYSCALE:
		return JCS_GRAYSCALE;
	case JCS_CMYK:
	case JCS_YCCK:
		return JCS_CMYK;
	default:
		return JCS_RGB;
	}
}

/* Under setjmp, like all that follow: may be left at any call of the library. */
static void read_header(struct codec *codec, const void *data, size_t size_bytes) {
	struct jpeg_decompress_struct *jpeg = &codec->jpeg;

	jpeg_create_decompress(jpeg);
	jpeg->mem->max_memory_to_use = MAX_MEMORY;
	jpeg->progress = &codec->progress;
	jpeg_mem_src(jpeg, data, size_bytes);
	jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
	jpeg_read_header(jpeg, TRUE);
	check_size(codec);
}

/* row[pixels][4] -> [pixels][3], in place. Inks are stored as what they leave of the light where Adobe's marker
 * stands, which is all there is in the wild. */
static void from_inks(uint8_t *row, size_t pixels, bool inverted) {
	uint8_t *out = row;

	for (size_t i = 0; i < pixels; i++, row += 4) {
		int black = inverted ? row[3] : 255 - row[3];

		for (size_t c = 0; c < 3; c++) {
			int light = inverted ? row[c] : 255 - row[c];

			*out++ = (uint8_t)((light * black + 127) / 255);
		}
	}
}

static void decode_rows(struct codec *codec, const void *data, size_t size_bytes) {
	struct jpeg_decompress_struct *jpeg = &codec->jpeg;
	struct jf_rows_form form;

	read_header(codec, data, size_bytes);
	form.orientation = orientation_of(jpeg);
	jpeg->out_color_space = colours_wanted(jpeg->jpeg_color_space);
	jpeg->scale_num = jpeg->scale_denom = 1;
	while (jpeg->scale_denom < 8 && (jpeg->image_height > JF_JPEG_REDUCE_ABOVE * jpeg->scale_denom ||
					    jpeg->image_width > JF_JPEG_REDUCE_ABOVE * jpeg->scale_denom))
		jpeg->scale_denom *= 2;
	jpeg_start_decompress(jpeg);
	form.height = (int)jpeg->output_height;
	form.width = (int)jpeg->output_width;
	form.channels = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : 3;
	codec->refused = codec->rows->begin(codec->rows->context, &form, codec->err);
	if (codec->refused)
		give_up(codec, codec->refused);
	codec->row = malloc((size_t)jpeg->output_width * (size_t)jpeg->output_components);
	if (!codec->row)
		give_up(codec, JF_ENOMEM);
	while (jpeg->output_scanline < jpeg->output_height) {
		JSAMPROW row = codec->row;

		jpeg_read_scanlines(jpeg, &row, 1);
		if (jpeg->out_color_space == JCS_CMYK)
			from_inks(codec->row, jpeg->output_width, jpeg->saw_Adobe_marker);
		codec->rows->row(codec->rows->context, codec->row);
	}
	jpeg_finish_decompress(jpeg);
}

static bool guarded(void (*work)(struct codec *codec, const void *data, size_t size_bytes), struct codec *codec,
    const void *data, size_t size_bytes) {
	if (setjmp(codec->way_out))
		return false;
	work(codec, data, size_bytes);
	return true;
}

static struct codec *create_codec(void) {
	struct codec *codec = calloc(1, sizeof(*codec));

	if (!codec)
		return NULL;
	codec->jpeg.err = jpeg_std_error(&codec->errors);
	codec->errors.error_exit = on_error;
	codec->errors.emit_message = on_message;
	codec->progress.progress_monitor = on_progress;
	return codec;
}

static void destroy_codec(struct codec *codec) {
	if (!codec)
		return;
	jpeg_destroy_decompress(&codec->jpeg);
	free(codec->row);
	free(codec);
}

static int expected_scans(struct jpeg_decompress_struct *jpeg) {
	if (jpeg->progressive_mode)
		return TYPICAL_SCANS;
	return jpeg_has_multiple_scans(jpeg) ? jpeg->num_components : 1;
}

size_t jf_jpeg_pixels(const void *data, size_t size_bytes) {
	struct codec *codec;
	size_t pixels = 0;

	if (!jf_jpeg_is(data, size_bytes))
		return 0;
	codec = create_codec();
	if (!codec || !guarded(read_header, codec, data, size_bytes))
		/* without memory nobody knows, so it is no small one */
		pixels = !codec || codec->status == JF_ENOMEM ? JF_JPEG_MAX_PIXELS : 0;
	else
		pixels =
		    (size_t)codec->jpeg.image_height * codec->jpeg.image_width * (size_t)expected_scans(&codec->jpeg);
	destroy_codec(codec);
	return pixels;
}

enum jf_err jf_jpeg_rows(const struct jf_rows *rows, const void *data, size_t size_bytes, struct jf_error *err) {
	struct codec *codec;
	enum jf_err rc = JF_OK;

	if (!jf_jpeg_is(data, size_bytes))
		return jf_error_set(err, JF_EFORMAT, "not a JPEG: it does not begin like one");
	codec = create_codec();
	if (!codec)
		return jf_error_set(err, JF_ENOMEM, "JPEG: out of memory");
	codec->rows = rows;
	codec->err = err;
	if (!guarded(decode_rows, codec, data, size_bytes)) {
		if (codec->refused)
			rc = codec->refused;
		else if (codec->status == JF_ENOMEM)
			rc = jf_error_set(err, JF_ENOMEM, "JPEG: out of memory");
		else
			rc = jf_error_set(err, codec->status, "JPEG: %s", codec->failure);
	}
	destroy_codec(codec);
	return rc;
}
