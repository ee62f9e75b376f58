#include "core/pictures/framing.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/pictures/ink.h"
#include "core/pictures/intake.h"
#include "core/pictures/paper.h"
#include "core/pictures/picture.h"
#include "core/pictures/resample.h"

#define WORK_SIDE 512    /* ink is looked for on a picture of at most this many pixels a side */
#define BOX_NUMERATOR 20 /* MNIST: the ink's box has 20 of the field's 28 pixels */
#define BOX_DENOMINATOR 28
#define THIN 0.9f      /* strokes that would come out thinner, in output pixels, */
#define THICKENED 1.8f /* are made this thick: a pen's hairline is no MNIST stroke */

const char *const jf_preprocess_names[JF_N_PREPROCESS + 1] = {"mnist", "none", NULL};
const char *const jf_invert_names[JF_N_INVERT + 1] = {"auto", "yes", "no", NULL};

const char *jf_preprocess_name(enum jf_preprocess preprocess) {
	return (unsigned)preprocess < JF_N_PREPROCESS ? jf_preprocess_names[preprocess] : "unknown";
}

const char *const jf_paper_names[JF_N_PAPER + 1] = {"dark", "any", NULL};

enum jf_invert jf_invert_settle(enum jf_invert invert, enum jf_preprocess preprocess, enum jf_paper paper) {
	bool as_learnt = preprocess == JF_PREPROCESS_NONE && paper == JF_PAPER_ANY;

	return invert == JF_INVERT_AUTO && as_learnt ? JF_INVERT_NO : invert;
}

const char *jf_invert_name(enum jf_invert invert) {
	return (unsigned)invert < JF_N_INVERT ? jf_invert_names[invert] : "unknown";
}

/* What is framed: a picture in memory, or one that is still packed. */
struct source {
	jf_rows_read *read;
	const void *data;
	size_t size_bytes;
	int max_side;
};

/* Takes it in, and tells the report what it was. */
static enum jf_err take_in(struct jf_intake *intake, struct jf_framing_report *report, const struct source *source,
    struct jf_intake_options options, struct jf_error *err) {
	enum jf_err status;

	options.max_side = source->max_side;
	status = jf_intake_take(intake, &options, source->read, source->data, source->size_bytes, err);
	report->source_height = intake->source_height;
	report->source_width = intake->source_width;
	report->source_channels = intake->source_channels;
	return status;
}

/* --- none --- */

/* Whether most of the border of a field [height][width][channels] is light: then the ink is dark. */
static bool border_is_light(const float *field, int height, int width, int channels) {
	int light = 0, seen = 0;

	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			const float *p = field + ((size_t)y * (size_t)width + (size_t)x) * (size_t)channels;
			float sum = 0;

			if (y > 0 && y < height - 1 && x > 0 && x < width - 1)
				continue;
			for (int c = 0; c < channels; c++)
				sum += p[c];
			light += sum / (float)channels > 127.5f;
			seen++;
		}
	return 2 * light > seen;
}

static enum jf_err frame_none(float *out, struct jf_framing_report *report, const struct source *source, int height,
    int width, int channels, enum jf_invert invert, struct jf_error *err) {
	size_t n = (size_t)height * (size_t)width * (size_t)channels;
	struct jf_intake_options options = {.channels = channels, .height = height, .width = width};
	struct jf_intake field;
	enum jf_err status = take_in(&field, report, source, options, err);

	if (status)
		return status;
	memcpy(out, field.levels, n * sizeof(*out));
	jf_intake_deinit(&field);
	report->inverted =
	    invert == JF_INVERT_YES || (invert == JF_INVERT_AUTO && border_is_light(out, height, width, channels));
	report->resized = report->source_height != height || report->source_width != width;
	report->ink_height = report->source_height;
	report->ink_width = report->source_width;
	report->scale_y = (float)height / (float)report->source_height;
	report->scale_x = (float)width / (float)report->source_width;
	report->paper = report->inverted ? 255 : 0;
	report->ink = 255 - report->paper;
	for (size_t i = 0; i < n; i++) {
		float level = fminf(out[i], 255); /* an average of whites may round to a little more */

		out[i] = (report->inverted ? 255 - level : level) / 127.5f - 1.0f;
	}
	return JF_OK;
}

/* --- mnist --- */

/* The scale at which the ink's box just fits. */
static float fit(const struct jf_ink *ink, int height, int width) {
	float box_height = (float)(height * BOX_NUMERATOR) / BOX_DENOMINATOR;
	float box_width = (float)(width * BOX_NUMERATOR) / BOX_DENOMINATOR;

	return fminf(box_height / (float)ink->box_height, box_width / (float)ink->box_width);
}

/* Where to put a piece of `size` positions whose mass is `mass[size]` so that the centre of mass falls into the middle
 * pixel (MNIST: floor(centre) = 14 in all 70,000 pictures), but not beyond the field's border. */
static int place(const double *mass, int size, int field) {
	double sum = 0, moment = 0;
	int at;

	for (int i = 0; i < size; i++) {
		sum += mass[i];
		moment += mass[i] * (i + 0.5);
	}
	at = field / 2 - (int)floor(moment / sum);
	if (at > field - size)
		at = field - size;
	return at < 0 ? 0 : at;
}

/* piece [box_height][box_width] -> out [height][width], centred; returns the place through top and left. */
static enum jf_err centre(float *out, int *top, int *left, int height, int width, const float *piece, int box_height,
    int box_width, struct jf_error *err) {
	double *rows = calloc((size_t)(box_height + box_width), sizeof(*rows)), *columns = rows + box_height;

	if (!rows)
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	for (int y = 0; y < box_height; y++)
		for (int x = 0; x < box_width; x++) {
			rows[y] += (double)piece[y * box_width + x];
			columns[x] += (double)piece[y * box_width + x];
		}
	*top = place(rows, box_height, height);
	*left = place(columns, box_width, width);
	free(rows);
	for (int i = 0; i < height * width; i++)
		out[i] = 0;
	for (int y = 0; y < box_height; y++)
		memcpy(out + (size_t)(*top + y) * (size_t)width + (size_t)*left, piece + (size_t)y * (size_t)box_width,
		    (size_t)box_width * sizeof(*out));
	return JF_OK;
}

/* The strongest pixel becomes full ink: a thin stroke is grey after averaging, but it was ink. */
static void strengthen(float *piece, int n) {
	float top = 0;

	for (int i = 0; i < n; i++)
		top = fmaxf(top, piece[i]);
	for (int i = 0; i < n && top > 0 && top < 0.98f; i++)
		piece[i] /= top;
}

/* The ink's box, scaled to fit: *piece (new, caller frees) [box_height][box_width]; returns the scale through
 * *scale. */
static enum jf_err scale_box(float **piece, int *box_height, int *box_width, float *scale, const struct jf_ink *ink,
    int height, int width, struct jf_error *err) {
	float *box = malloc((size_t)ink->box_height * (size_t)ink->box_width * sizeof(*box));
	enum jf_err status;

	*scale = fit(ink, height, width);
	*box_height = (int)fmaxf(1, roundf(*scale * (float)ink->box_height));
	*box_width = (int)fmaxf(1, roundf(*scale * (float)ink->box_width));
	*piece = malloc((size_t)*box_height * (size_t)*box_width * sizeof(**piece));
	if (!box || !*piece) {
		free(box);
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	}
	for (int y = 0; y < ink->box_height; y++)
		memcpy(box + (size_t)y * (size_t)ink->box_width,
		    ink->amount + (size_t)(ink->top + y) * (size_t)ink->width + (size_t)ink->left,
		    (size_t)ink->box_width * sizeof(*box));
	status = jf_resample(*piece, *box_height, *box_width, box, ink->box_height, ink->box_width, 1, err);
	free(box);
	return status;
}

/* How much ink the strongest tenth of the inked pixels has: below 1, strokes are about that many pixels wide. */
static float stroke_width(const float *piece, int n) {
	int count[101] = {0}, inked = 0, seen = 0;

	for (int i = 0; i < n; i++)
		if (piece[i] > 0.05f) {
			count[(int)(fminf(piece[i], 1) * 100)]++;
			inked++;
		}
	for (int level = 100; level > 0; level--) {
		seen += count[level];
		if (10 * seen >= inked)
			return (float)level / 100;
	}
	return 0;
}

/* ink -> out [height][width], amounts 0 to 1; fills the report's scale (of the work picture) and shift. */
static enum jf_err lay_out(
    float *out, struct jf_framing_report *report, struct jf_ink *ink, int height, int width, struct jf_error *err) {
	int box_height, box_width, top = 0, left = 0;
	float *piece, scale, stroke;
	enum jf_err status = scale_box(&piece, &box_height, &box_width, &scale, ink, height, width, err);

	if (status)
		goto out;
	stroke = stroke_width(piece, box_height * box_width);
	if (scale < 0.75f && stroke < THIN) {
		report->thickened = true;
		status = jf_ink_thicken(ink, (int)fmaxf(1, roundf((THICKENED - stroke) / 2 / scale)), err);
		if (status)
			goto out;
		free(piece);
		status = scale_box(&piece, &box_height, &box_width, &scale, ink, height, width, err);
		if (status)
			goto out;
	}
	strengthen(piece, box_height * box_width);
	status = centre(out, &top, &left, height, width, piece, box_height, box_width, err);
	report->scale_y = report->scale_x = scale;
	report->shift_y = (float)top;
	report->shift_x = (float)left;
out:
	free(piece);
	return status;
}

/* What is besides ink, taken away from a copy of the work picture: sheet->grey is owned, and NULL where there is
 * nothing of the kind. */
static enum jf_err find_paper(struct jf_sheet *sheet, const float *work, int height, int width, struct jf_error *err) {
	size_t size = (size_t)height * (size_t)width * sizeof(*work);
	bool changed = false;
	enum jf_err status = JF_OK;

	*sheet = (struct jf_sheet){.height = height, .width = width};
	if (height < JF_INK_SMALL_SIDE || width < JF_INK_SMALL_SIDE)
		return JF_OK;
	sheet->grey = malloc(size);
	if (!sheet->grey)
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	memcpy(sheet->grey, work, size);
	status = jf_paper_crop(sheet, &changed, err);
	if (!status)
		status = jf_paper_unrule(sheet, &changed, err);
	if (!status)
		status = jf_paper_flatten(sheet, &changed, err);
	if (status || !changed) {
		free(sheet->grey);
		sheet->grey = NULL;
	}
	return status;
}

/* Looks for paper, then for ink on it. *top, *left: where the ink's picture lies in the work picture, which is used up.
 * When what was taken for something besides ink leaves none, it was the ink. */
static enum jf_err find_ink(struct jf_ink *ink, int *top, int *left, float *work, int height, int width,
    enum jf_ink_side side, struct jf_error *err) {
	struct jf_sheet sheet;
	enum jf_err status = find_paper(&sheet, work, height, width, err);

	*top = *left = 0;
	if (!status && sheet.grey) {
		status = jf_ink_find(ink, sheet.grey, sheet.height, sheet.width, side, true, err);
		*top = sheet.top;
		*left = sheet.left;
	} else if (!status) {
		status = JF_EEMPTY;
	}
	if (status == JF_EEMPTY) {
		*top = *left = 0;
		return jf_ink_find(ink, work, height, width, side, false, err);
	}
	free(work);
	return status;
}

/* Coordinates of the ink's picture, which begins at (top, left) of the work picture, to the source's. */
static void report_ink(struct jf_framing_report *report, const struct jf_ink *ink, int top, int left, float factor) {
	report->inverted = ink->dark;
	report->paper = ink->paper;
	report->ink = ink->full;
	report->ink_y = (int)fmaxf(0, floorf((float)(top + ink->top) / factor));
	report->ink_x = (int)fmaxf(0, floorf((float)(left + ink->left) / factor));
	report->ink_height =
	    (int)fminf((float)(report->source_height - report->ink_y), ceilf((float)ink->box_height / factor));
	report->ink_width =
	    (int)fminf((float)(report->source_width - report->ink_x), ceilf((float)ink->box_width / factor));
}

static enum jf_err frame_mnist(float *out, struct jf_framing_report *report, const struct source *source, int height,
    int width, int channels, enum jf_invert invert, struct jf_error *err) {
	static const enum jf_ink_side sides[JF_N_INVERT] = {JF_INK_AUTO, JF_INK_DARK, JF_INK_LIGHT};
	struct jf_intake work;
	int pixels = height * width, top, left;
	struct jf_ink ink = {0};
	enum jf_err status =
	    take_in(&work, report, source, (struct jf_intake_options){.channels = 1, .side = WORK_SIDE}, err);
	float factor = work.factor;

	if (status)
		return status;
	status = find_ink(&ink, &top, &left, work.levels, work.height, work.width, sides[invert], err);
	if (status)
		return status;
	report_ink(report, &ink, top, left, factor);
	status = lay_out(out, report, &ink, height, width, err);
	jf_ink_deinit(&ink);
	if (status)
		return status;
	report->scale_y *= factor;
	report->scale_x *= factor;
	report->resized = fabsf(report->scale_y - 1) > 1e-6f;
	/* From the last pixel on, so that out can hold grey first and every channel afterwards. */
	for (int i = pixels - 1; i >= 0; i--) {
		uint8_t level = (uint8_t)(out[i] * 255 + 0.5f);

		for (int c = 0; c < channels; c++)
			out[i * channels + c] = jf_byte_to_float(level);
	}
	return JF_OK;
}

static enum jf_err frame(float *out, struct jf_framing_report *report, const struct source *source, int height,
    int width, int channels, const struct jf_framing_options *options, struct jf_error *err) {
	struct jf_framing_report unwanted;

	if (!report)
		report = &unwanted;
	*report = (struct jf_framing_report){.preprocess = options->preprocess};
	if (height < 1 || width < 1 || height > 4096 || width > 4096 || (channels != 1 && channels != 3))
		return jf_error_set(
		    err, JF_EINVAL, "cannot frame a picture into %d x %d x %d", height, width, channels);
	if ((unsigned)options->preprocess >= JF_N_PREPROCESS || (unsigned)options->invert >= JF_N_INVERT)
		return jf_error_set(err, JF_EINVAL, "unknown preprocess or invert");
	if (options->preprocess == JF_PREPROCESS_NONE)
		return frame_none(out, report, source, height, width, channels, options->invert, err);
	return frame_mnist(out, report, source, height, width, channels, options->invert, err);
}

enum jf_err jf_frame(float *out, struct jf_framing_report *report, const struct jf_image *image, int height, int width,
    int channels, const struct jf_framing_options *options, struct jf_error *err) {
	const struct source source = {.read = jf_image_rows, .data = image};

	if (!image->pixels || image->height < 1 || image->width < 1 || (image->channels != 1 && image->channels != 3))
		return jf_error_set(
		    err, JF_EINVAL, "a picture of %d x %d x %d", image->height, image->width, image->channels);
	return frame(out, report, &source, height, width, channels, options, err);
}

enum jf_err jf_frame_picture(float *out, struct jf_framing_report *report, const void *data, size_t size_bytes,
    int max_side, int height, int width, int channels, const struct jf_framing_options *options, struct jf_error *err) {
	const struct source source = {
	    .read = jf_picture_rows, .data = data, .size_bytes = size_bytes, .max_side = max_side};

	return frame(out, report, &source, height, width, channels, options, err);
}
