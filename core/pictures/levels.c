#include "core/pictures/levels.h"

#include <math.h>
#include <stdint.h>

#define MAX_SLOPE 60.0f /* levels across the picture: more is not a shadow but something else at the border */

/* Levels 0 to 255 in steps of 1/32: whole levels are exact, and no sorting is needed. First the whole level, then the
 * step within it: two short tables instead of one long one, which would cost more than a small picture has pixels. */
#define STEPS 32

static int level_step(float value) {
	return (int)(jf_lower(jf_upper(value, 0), 255) * STEPS);
}

/* The first bin at which the running count exceeds `wanted`; *before: what the bins ahead of it hold. Values take turns
 * between two counts of a bin: most are alike, and each increment would wait for the one before. */
static int find_bin(size_t *before, uint32_t (*count)[2], int bins, size_t wanted) {
	int bin = 0;

	for (; bin < bins - 1 && *before + count[bin][0] + count[bin][1] <= wanted; bin++)
		*before += count[bin][0] + count[bin][1];
	return bin;
}

float jf_levels_quantile(const float *values, size_t n, float q) {
	uint32_t whole[256][2] = {0}, part[STEPS][2] = {0};
	size_t before = 0, wanted = (size_t)(q * (float)(n - 1));
	int level;

	for (size_t i = 0; i < n; i++)
		whole[level_step(values[i]) / STEPS][i % 2]++;
	level = find_bin(&before, whole, 256, wanted);
	for (size_t i = 0; i < n; i++)
		if (level_step(values[i]) / STEPS == level)
			part[level_step(values[i]) % STEPS][i % 2]++;
	return (float)level + (float)find_bin(&before, part, STEPS, wanted) / STEPS;
}

/* --- the border's plane --- */

static size_t copy_region(float *out, const float *grey, int width, int top, int bottom, int left, int right) {
	size_t n = 0;

	for (int y = top; y < bottom; y++)
		for (int x = left; x < right; x++)
			out[n++] = grey[(size_t)y * (size_t)width + (size_t)x];
	return n;
}

struct jf_plane jf_plane_find(const float *grey, float *scratch, int height, int width) {
	int band = 1 + (height < width ? height : width) / 32;
	float top, bottom, left, right, rows, columns;
	struct jf_plane paper = {0};
	size_t n;

	if (2 * band >= height || 2 * band >= width) { /* all border */
		n = copy_region(scratch, grey, width, 0, height, 0, width);
		paper.middle = jf_levels_quantile(scratch, n, 0.5f);
		return paper;
	}
	top = jf_levels_quantile(scratch, copy_region(scratch, grey, width, 0, band, 0, width), 0.5f);
	bottom = jf_levels_quantile(scratch, copy_region(scratch, grey, width, height - band, height, 0, width), 0.5f);
	left = jf_levels_quantile(scratch, copy_region(scratch, grey, width, 0, height, 0, band), 0.5f);
	right = jf_levels_quantile(scratch, copy_region(scratch, grey, width, 0, height, width - band, width), 0.5f);
	n = copy_region(scratch, grey, width, 0, band, 0, width);
	n += copy_region(scratch + n, grey, width, height - band, height, 0, width);
	n += copy_region(scratch + n, grey, width, band, height - band, 0, band);
	n += copy_region(scratch + n, grey, width, band, height - band, width - band, width);
	paper.middle = jf_levels_quantile(scratch, n, 0.5f);
	rows = bottom - top;
	columns = right - left;
	if (fabsf(rows) <= MAX_SLOPE && fabsf(columns) <= MAX_SLOPE) {
		paper.per_row = rows / (float)(height - band);
		paper.per_column = columns / (float)(width - band);
	}
	return paper;
}

float jf_levels_noise(const float *grey, float *scratch, int height, int width) {
	size_t n = 0;

	for (int y = 0; y < height; y++)
		for (int x = 1; x < width; x++) {
			const float *at = &grey[(size_t)y * (size_t)width + (size_t)x];

			scratch[n++] = fabsf(at[0] - at[-1]);
		}
	return n > 0 ? 1.4826f * 0.70710678f * jf_levels_quantile(scratch, n, 0.5f) : 0;
}
