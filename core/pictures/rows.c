#include "core/pictures/rows.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/pictures/exif.h"

#define LOST 16 /* a transparent picture whose levels over white lie closer together shows nothing */

/* --- alpha --- */

/* One colour of a pixel over a ground of that grey. */
static int over(int level, int alpha, int ground) {
	return (level * alpha + ground * (255 - alpha) + 127) / 255;
}

void jf_alpha_look(struct jf_alpha *alpha, const uint8_t *row, size_t pixels, int channels) {
	size_t colours = (size_t)channels - 1;

	if (alpha->pixels == 0)
		alpha->least = 255;
	alpha->pixels += pixels;
	for (size_t i = 0; i < pixels; i++, row += channels) {
		for (size_t c = 0; c < colours; c++) {
			int level = over(row[c], row[colours], 255);

			alpha->least = level < alpha->least ? level : alpha->least;
			alpha->most = level > alpha->most ? level : alpha->most;
		}
		alpha->there += row[colours];
		alpha->light += (uint64_t)row[colours] * (colours == 3 ? jf_luma(row[0], row[1], row[2]) : row[0]);
	}
}

int jf_alpha_ground(const struct jf_alpha *alpha) {
	/* light ink on nothing: less than half of the picture is there, and that is light */
	bool light_ink = alpha->there * 2 < alpha->pixels * 255 && alpha->light * 2 > alpha->there * 255;

	return light_ink || alpha->most - alpha->least < LOST ? 0 : 255;
}

void jf_alpha_over(uint8_t *out, const uint8_t *row, size_t pixels, int channels, int ground) {
	size_t colours = (size_t)channels - 1;

	for (size_t i = 0; i < pixels; i++, row += channels) {
		int alpha = row[colours];

		for (size_t c = 0; c < colours; c++)
			*out++ = (uint8_t)over(row[c], alpha, ground);
	}
}

/* --- all rows --- */

enum jf_err jf_image_rows(const struct jf_rows *rows, const void *data, size_t size_bytes, struct jf_error *err) {
	const struct jf_image *image = data;
	const struct jf_rows_form form = {image->height, image->width, image->channels, 1};
	enum jf_err status = rows->begin(rows->context, &form, err);

	(void)size_bytes;
	for (int y = 0; y < image->height && !status; y++)
		rows->row(rows->context, image->pixels + (size_t)y * (size_t)image->width * (size_t)image->channels);
	return status;
}

struct collection {
	struct jf_rows_form form;
	struct jf_alpha alpha;
	uint8_t *pixels, *at;
};

static enum jf_err begin(void *context, const struct jf_rows_form *form, struct jf_error *err) {
	struct collection *all = context;

	all->form = *form;
	all->at = all->pixels = malloc((size_t)form->height * (size_t)form->width * (size_t)form->channels);
	return all->pixels ? JF_OK : jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
}

static void take_row(void *context, const uint8_t *row) {
	struct collection *all = context;
	size_t width = (size_t)all->form.width, stride = width * (size_t)all->form.channels;

	memcpy(all->at, row, stride);
	all->at += stride;
	if (all->form.channels % 2 == 0)
		jf_alpha_look(&all->alpha, row, width, all->form.channels);
}

enum jf_err jf_rows_collect(
    struct jf_image *out, jf_rows_read *read, const void *data, size_t size_bytes, struct jf_error *err) {
	struct collection all = {.pixels = NULL};
	const struct jf_rows rows = {&all, begin, take_row};
	enum jf_err status = read(&rows, data, size_bytes, err);
	size_t pixels = (size_t)all.form.height * (size_t)all.form.width;

	*out = (struct jf_image){0};
	if (status)
		goto out;
	if (all.form.channels % 2 == 0)
		jf_alpha_over(all.pixels, all.pixels, pixels, all.form.channels, jf_alpha_ground(&all.alpha));
	status = jf_image_take(out, all.form.height, all.form.width, all.form.channels >= 3 ? 3 : 1, &all.pixels, err);
	if (status)
		goto out;
	status = jf_exif_turn(out, all.form.orientation, err);
	if (status)
		jf_image_deinit(out);
out:
	free(all.pixels);
	return status;
}
