#include "core/pictures/intake.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/pictures/exif.h"
#include "core/pictures/resample.h"

/* While rows come. A picture with alpha is taken in twice, over white and over black: which of them is right is known
 * at its end. */
struct taking {
	const struct jf_intake_options *options;
	struct jf_intake *intake; /* its sizes; upright */
	struct jf_rows_form form;
	struct jf_alpha alpha;
	struct jf_resampler onto[2];
	float *levels[2]; /* [0] over white or without alpha, [1] over black; as stored, not yet turned */
	float *row;       /* [form.width][intake->channels] */
	uint8_t *opaque;  /* [form.width][1 or 3] */
};

static bool is_transposed(const struct jf_rows_form *form) {
	return form->orientation >= 5;
}

/* How large the picture becomes. */
static void choose_size(struct jf_intake *intake, const struct jf_intake_options *options) {
	int height = intake->source_height, width = intake->source_width, longer = height > width ? height : width;

	intake->factor = 1;
	intake->height = height;
	intake->width = width;
	if (options->height) {
		intake->height = options->height;
		intake->width = options->width;
	} else if (longer > options->side) {
		intake->factor = (float)options->side / (float)longer;
		intake->height = (int)fmaxf(1, roundf((float)height * intake->factor));
		intake->width = (int)fmaxf(1, roundf((float)width * intake->factor));
	}
}

static enum jf_err begin(void *context, const struct jf_rows_form *form, struct jf_error *err) {
	struct taking *taking = context;
	struct jf_intake *intake = taking->intake;
	bool alpha = form->channels % 2 == 0;
	int max = taking->options->max_side, height, width;
	enum jf_err status = JF_OK;

	taking->form = *form;
	intake->source_height = is_transposed(form) ? form->width : form->height;
	intake->source_width = is_transposed(form) ? form->height : form->width;
	intake->source_channels = form->channels >= 3 ? 3 : 1;
	intake->channels = taking->options->channels;
	if (max && (intake->source_height > max || intake->source_width > max))
		return jf_error_set(err, JF_ELIMIT, "it is %d x %d pixels, at most %d x %d are taken",
		    intake->source_width, intake->source_height, max, max);
	choose_size(intake, taking->options);
	height = is_transposed(form) ? intake->width : intake->height;
	width = is_transposed(form) ? intake->height : intake->width;
	taking->row = malloc((size_t)form->width * (size_t)intake->channels * sizeof(*taking->row));
	taking->opaque = alpha ? malloc((size_t)form->width * (size_t)intake->source_channels) : NULL;
	if (!taking->row || (alpha && !taking->opaque))
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	for (int i = 0; i <= alpha && !status; i++) {
		taking->levels[i] =
		    malloc((size_t)height * (size_t)width * (size_t)intake->channels * sizeof(*taking->levels[i]));
		status = !taking->levels[i] ? jf_error_set(err, JF_ENOMEM, "out of memory for a picture")
					    : jf_resampler_init(&taking->onto[i], taking->levels[i], height, width,
						  form->height, form->width, intake->channels, err);
	}
	return status;
}

/* Levels 0 to 255: grey from colour by luma, colour from grey by repetition. */
static void to_levels(float *out, const uint8_t *row, int pixels, int stored, int wanted) {
	for (int x = 0; x < pixels; x++, row += stored)
		for (int c = 0; c < wanted; c++) {
			uint8_t level = row[0];

			if (stored == 3)
				level = wanted == 3 ? row[c] : jf_luma(row[0], row[1], row[2]);
			*out++ = level;
		}
}

static void take_row(void *context, const uint8_t *row) {
	struct taking *taking = context;
	int width = taking->form.width, channels = taking->form.channels;
	const struct jf_intake *intake = taking->intake;

	if (!taking->opaque) {
		to_levels(taking->row, row, width, channels, intake->channels);
		jf_resampler_row(&taking->onto[0], taking->row);
		return;
	}
	jf_alpha_look(&taking->alpha, row, (size_t)width, channels);
	for (int i = 0; i < 2; i++) {
		jf_alpha_over(taking->opaque, row, (size_t)width, channels, i == 0 ? 255 : 0);
		to_levels(taking->row, taking->opaque, width, intake->source_channels, intake->channels);
		jf_resampler_row(&taking->onto[i], taking->row);
	}
}

/* The levels that count, upright. */
static enum jf_err finish(struct taking *taking, struct jf_error *err) {
	int height = taking->onto[0].out_height, width = taking->onto[0].out_width;
	int right = taking->opaque && jf_alpha_ground(&taking->alpha) == 0;
	size_t pixel = (size_t)taking->intake->channels * sizeof(float);
	float *stored = taking->levels[right], *turned;

	free(taking->levels[1 - right]);
	taking->levels[1 - right] = NULL;
	if (jf_exif_is_upright(taking->form.orientation)) {
		taking->intake->levels = stored;
		taking->levels[right] = NULL;
		return JF_OK;
	}
	turned = malloc((size_t)height * (size_t)width * pixel);
	if (!turned)
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	jf_exif_turn_pixels(turned, stored, height, width, pixel, taking->form.orientation);
	taking->intake->levels = turned;
	return JF_OK;
}

static void deinit(struct taking *taking) {
	for (int i = 0; i < 2; i++) {
		jf_resampler_deinit(&taking->onto[i]);
		free(taking->levels[i]);
	}
	free(taking->row);
	free(taking->opaque);
}

enum jf_err jf_intake_take(struct jf_intake *intake, const struct jf_intake_options *options, jf_rows_read *read,
    const void *data, size_t size_bytes, struct jf_error *err) {
	struct taking taking = {.options = options, .intake = intake};
	const struct jf_rows rows = {&taking, begin, take_row};
	enum jf_err status;

	*intake = (struct jf_intake){0};
	status = read(&rows, data, size_bytes, err);
	if (!status)
		status = finish(&taking, err);
	deinit(&taking);
	if (status)
		jf_intake_deinit(intake);
	return status;
}

void jf_intake_deinit(struct jf_intake *intake) {
	free(intake->levels);
	*intake = (struct jf_intake){0};
}
