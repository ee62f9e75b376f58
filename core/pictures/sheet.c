#include "core/pictures/sheet.h"

#include <stdlib.h>
#include <string.h>

struct jf_sheet_options jf_sheet_options_default(void) {
	return (struct jf_sheet_options){.columns = 0, .gap = 2, .scale = 1, .background = 64};
}

static int nearly_square(int n) {
	int root = 1;

	while ((long long)root * root < n)
		root++;
	for (int columns = root; columns <= n && columns <= 2 * root; columns++)
		if (n % columns == 0)
			return columns;
	return root;
}

int jf_sheet_columns_of(int wanted, int n) {
	if (wanted == 0)
		return nearly_square(n);
	return wanted < n ? wanted : n;
}

static enum jf_err check(
    const struct jf_sheet_options *options, int n, int height, int width, int channels, struct jf_error *err) {
	if (n < 1)
		return jf_error_set(err, JF_EINVAL, "sheet: %d images; at least 1 is needed", n);
	if (height < 1 || width < 1 || height > 65535 || width > 65535 || (channels != 1 && channels != 3))
		return jf_error_set(err, JF_EINVAL, "sheet: images of %d x %d x %d", height, width, channels);
	if (options->columns < 0)
		return jf_error_set(err, JF_EINVAL, "sheet: %d columns", options->columns);
	if (options->gap < 0 || options->gap > JF_MAX_GAP)
		return jf_error_set(
		    err, JF_EINVAL, "sheet: a gap of %d pixels; must be 0 to %d", options->gap, JF_MAX_GAP);
	if (options->scale < 1 || options->scale > 64)
		return jf_error_set(err, JF_EINVAL, "sheet: scale %d; must be 1 to 64", options->scale);
	return JF_OK;
}

/* cell [height][width][channels] -> out at (top, left), every pixel scale x scale. line: [width * channels]. */
static void draw_cell(
    struct jf_image *out, uint8_t *line, const float *cell, int height, int width, int scale, size_t top, size_t left) {
	size_t channels = (size_t)out->channels;
	size_t stride = (size_t)out->width * channels;
	size_t times = (size_t)scale;

	for (size_t y = 0; y < (size_t)height; y++) {
		uint8_t *first = out->pixels + (top + y * times) * stride + left * channels;

		jf_floats_to_bytes(line, cell + y * (size_t)width * channels, (size_t)width * channels);
		for (size_t x = 0; x < (size_t)width; x++)
			for (size_t s = 0; s < times; s++)
				memcpy(first + (x * times + s) * channels, line + x * channels, channels);
		for (size_t s = 1; s < times; s++)
			memcpy(first + s * stride, first, (size_t)width * times * channels);
	}
}

enum jf_err jf_sheet(struct jf_image *out, const float *images, int n, int height, int width, int channels,
    const struct jf_sheet_options *options, struct jf_error *err) {
	int columns, rows, gap = n > 1 ? options->gap : 0;
	long long sheet_width, sheet_height, cell_width, cell_height;
	enum jf_err status;
	uint8_t *line;

	*out = (struct jf_image){0};
	status = check(options, n, height, width, channels, err);
	if (status)
		return status;
	columns = options->columns ? options->columns : nearly_square(n);
	rows = (n - 1) / columns + 1;
	cell_width = (long long)width * options->scale + gap;
	cell_height = (long long)height * options->scale + gap;
	sheet_width = columns * cell_width + gap;
	sheet_height = rows * cell_height + gap;
	if (sheet_width > 65535 || sheet_height > 65535)
		return jf_error_set(
		    err, JF_ELIMIT, "sheet: %lld x %lld pixels; a side may have 65535", sheet_width, sheet_height);
	line = malloc((size_t)width * (size_t)channels);
	if (!line)
		return jf_error_set(err, JF_ENOMEM, "sheet: out of memory");
	status = jf_image_init(out, (int)sheet_height, (int)sheet_width, channels, err);
	if (!status) {
		memset(out->pixels, options->background, jf_image_size(out));
		for (int i = 0; i < n; i++)
			draw_cell(out, line, images + (size_t)i * (size_t)height * (size_t)width * (size_t)channels,
			    height, width, options->scale, (size_t)(gap + i / columns * cell_height),
			    (size_t)(gap + i % columns * cell_width));
	}
	free(line);
	return status;
}
