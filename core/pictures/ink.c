#include "core/pictures/ink.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MIN_CONTRAST 8.0f  /* levels: less than that is a blank sheet */
#define WHOLE_RANGE 245.0f /* ink this far from the paper is as far as 8 bits go */
#define FAINT 0.08f        /* of full ink: below, it may be an edge's soft side or noise */
#define NOISE_CUT 0.15f    /* of full ink: below, it is noise once there is noise */
#define SPECK 0.015f       /* of all ink: a smaller blot is dirt */
#define MAX_SLOPE 60.0f    /* levels across the picture: more is not a shadow but something else at the border */
#define SMALL_SIDE 56      /* pixels */

/* fminf and fmaxf are calls, for the sake of NaN, which does not come up here. */
static inline float lower(float a, float b) {
	return a < b ? a : b;
}

static inline float upper(float a, float b) {
	return a > b ? a : b;
}

/* Levels 0 to 255 in steps of 1/32: whole levels are exact, and no sorting is needed. First the whole level, then the
 * step within it: two short tables instead of one long one, which would cost more than a small picture has pixels. */
#define STEPS 32

static int level_step(float value) {
	return (int)(lower(upper(value, 0), 255) * STEPS);
}

/* The first bin at which the running count exceeds `wanted`; *before: what the bins ahead of it hold. */
static int find_bin(size_t *before, const uint32_t *count, int bins, size_t wanted) {
	int bin = 0;

	for (; bin < bins - 1 && *before + count[bin] <= wanted; bin++)
		*before += count[bin];
	return bin;
}

static float quantile(const float *values, size_t n, float q) {
	uint32_t whole[256] = {0}, part[STEPS] = {0};
	size_t before = 0, wanted = (size_t)(q * (float)(n - 1));
	int level;

	for (size_t i = 0; i < n; i++)
		whole[level_step(values[i]) / STEPS]++;
	level = find_bin(&before, whole, 256, wanted);
	for (size_t i = 0; i < n; i++)
		if (level_step(values[i]) / STEPS == level)
			part[level_step(values[i]) % STEPS]++;
	return (float)level + (float)find_bin(&before, part, STEPS, wanted) / STEPS;
}

/* --- paper --- */

struct plane {
	float middle, per_row, per_column;
};

static float paper_at(const struct plane *paper, int y, int x, int height, int width) {
	return paper->middle + paper->per_row * ((float)y - 0.5f * (float)(height - 1)) +
	       paper->per_column * ((float)x - 0.5f * (float)(width - 1));
}

static size_t copy_region(float *out, const float *grey, int width, int top, int bottom, int left, int right) {
	size_t n = 0;

	for (int y = top; y < bottom; y++)
		for (int x = left; x < right; x++)
			out[n++] = grey[(size_t)y * (size_t)width + (size_t)x];
	return n;
}

/* scratch: height * width. */
static struct plane find_paper(const float *grey, float *scratch, int height, int width) {
	int band = 1 + (height < width ? height : width) / 32;
	float top, bottom, left, right, rows, columns;
	struct plane paper = {0};
	size_t n;

	if (2 * band >= height || 2 * band >= width) { /* all border */
		n = copy_region(scratch, grey, width, 0, height, 0, width);
		paper.middle = quantile(scratch, n, 0.5f);
		return paper;
	}
	top = quantile(scratch, copy_region(scratch, grey, width, 0, band, 0, width), 0.5f);
	bottom = quantile(scratch, copy_region(scratch, grey, width, height - band, height, 0, width), 0.5f);
	left = quantile(scratch, copy_region(scratch, grey, width, 0, height, 0, band), 0.5f);
	right = quantile(scratch, copy_region(scratch, grey, width, 0, height, width - band, width), 0.5f);
	n = copy_region(scratch, grey, width, 0, band, 0, width);
	n += copy_region(scratch + n, grey, width, height - band, height, 0, width);
	n += copy_region(scratch + n, grey, width, band, height - band, 0, band);
	n += copy_region(scratch + n, grey, width, band, height - band, width - band, width);
	paper.middle = quantile(scratch, n, 0.5f);
	rows = bottom - top;
	columns = right - left;
	if (fabsf(rows) <= MAX_SLOPE && fabsf(columns) <= MAX_SLOPE) {
		paper.per_row = rows / (float)(height - band);
		paper.per_column = columns / (float)(width - band);
	}
	return paper;
}

/* Standard deviation of the paper's noise, from the median step between neighbours: strokes have too few edges to
 * count. scratch: height * width. */
static float find_noise(const float *grey, float *scratch, int height, int width) {
	size_t n = 0;

	for (int y = 0; y < height; y++)
		for (int x = 1; x < width; x++) {
			const float *at = &grey[(size_t)y * (size_t)width + (size_t)x];

			scratch[n++] = fabsf(at[0] - at[-1]);
		}
	return n > 0 ? 1.4826f * 0.70710678f * quantile(scratch, n, 0.5f) : 0;
}

/* 3 x 3 mean, fewer at the border. */
static void smooth(float *out, const float *in, int height, int width) {
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			float sum = 0;
			int n = 0;

			for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < height; v++)
				for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < width; u++, n++)
					sum += in[(size_t)v * (size_t)width + (size_t)u];
			out[(size_t)y * (size_t)width + (size_t)x] = sum / (float)n;
		}
}

/* --- ink --- */

/* Which side of the paper the ink is on; false: on neither. difference [n] = level - paper. */
static bool find_side(bool *dark, const float *difference, const float *smoothed, size_t n, float noise) {
	float low = 0, high = 0, smooth_low = 0, smooth_high = 0;

	for (size_t i = 0; i < n; i++) {
		low = lower(low, difference[i]);
		high = upper(high, difference[i]);
		smooth_low = lower(smooth_low, smoothed[i]);
		smooth_high = upper(smooth_high, smoothed[i]);
	}
	*dark = -smooth_low > smooth_high; /* smoothed: a stroke counts, a speck hardly does */
	if (noise < 0.5f)
		return upper(-low, high) >= MIN_CONTRAST;
	return upper(-smooth_low, smooth_high) >= upper(MIN_CONTRAST, 2 * noise);
}

/* Full ink: the level that few of the strong pixels pass; with noise, what most of them have. scratch: n. */
static float find_full(const float *amount, float *scratch, size_t n, float noise) {
	float top = 0;
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		top = upper(top, amount[i]);
	for (size_t i = 0; i < n; i++)
		if (amount[i] >= 0.5f * top)
			scratch[used++] = amount[i];
	return used > 0 ? quantile(scratch, used, noise < 0.5f ? 0.98f : 0.75f) : 0;
}

/* On a picture as small as MNIST's own, one pixel may be a part of the digit: no smoothing, no specks. */
static bool is_small(const struct jf_ink *ink) {
	return ink->height < SMALL_SIDE || ink->width < SMALL_SIDE;
}

/* Levels below which an amount is noise, not ink. */
static float find_cut(const struct jf_ink *ink, float full, float noise) {
	size_t n = (size_t)ink->height * (size_t)ink->width;
	const float *amount = ink->amount;
	size_t faint = 0, strong = 0;

	for (size_t i = 0; i < n; i++) {
		strong += amount[i] >= FAINT * full;
		faint += amount[i] > 0.5f && amount[i] < FAINT * full;
	}
	if (2 * faint <= strong ||
	    (is_small(ink) && noise < 0.5f)) /* a clean drawing: what is faint is the soft side of an edge */
		return 0.5f;
	return lower(upper(NOISE_CUT * full, 4 * noise), 0.5f * full);
}

/* Walks the blot that pixel `start` belongs to (8 neighbours, amount > 0), marks it with `mark`; returns its pixels.
 * queue: at least as many entries as the blot has pixels; holds them afterwards. */
static size_t walk_blot(
    uint32_t *queue, uint8_t *marks, uint8_t mark, const float *amount, int height, int width, uint32_t start) {
	size_t used = 1;

	queue[0] = start;
	marks[start] = mark;
	for (size_t done = 0; done < used; done++) {
		int y = (int)(queue[done] / (uint32_t)width), x = (int)(queue[done] % (uint32_t)width);

		for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < height; v++)
			for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < width; u++) {
				uint32_t at = (uint32_t)v * (uint32_t)width + (uint32_t)u;

				if (!marks[at] && amount[at] > 0) {
					marks[at] = mark;
					queue[used++] = at;
				}
			}
	}
	return used;
}

/* Takes away blots that hold less than SPECK of all ink. */
static enum jf_err remove_specks(float *amount, int height, int width, struct jf_error *err) {
	size_t n = (size_t)height * (size_t)width;
	uint32_t *queue = malloc(n * sizeof(*queue));
	uint8_t *marks = calloc(n, 1);
	double total = 0;

	if (!queue || !marks) {
		free(queue);
		free(marks);
		return jf_error_set(err, JF_ENOMEM, "out of memory for finding ink");
	}
	for (size_t i = 0; i < n; i++)
		total += (double)amount[i];
	for (size_t i = 0; i < n; i++) {
		double blot = 0;
		size_t pixels;

		if (marks[i] || !(amount[i] > 0))
			continue;
		pixels = walk_blot(queue, marks, 1, amount, height, width, (uint32_t)i);
		for (size_t p = 0; p < pixels; p++)
			blot += (double)amount[queue[p]];
		for (size_t p = 0; p < pixels && blot < (double)SPECK * total; p++)
			amount[queue[p]] = 0;
	}
	free(queue);
	free(marks);
	return JF_OK;
}

static bool find_box(struct jf_ink *ink) {
	int top = ink->height, bottom = -1, left = ink->width, right = -1;

	for (int y = 0; y < ink->height; y++)
		for (int x = 0; x < ink->width; x++) {
			if (!(ink->amount[(size_t)y * (size_t)ink->width + (size_t)x] > 0))
				continue;
			top = y < top ? y : top;
			bottom = y;
			left = x < left ? x : left;
			right = x > right ? x : right;
		}
	if (bottom < 0)
		return false;
	ink->top = top;
	ink->left = left;
	ink->box_height = bottom - top + 1;
	ink->box_width = right - left + 1;
	return true;
}

/* difference [n] (level - paper) -> ink->amount, 0 to 1. */
static enum jf_err extract(
    struct jf_ink *ink, const float *difference, float *scratch, float noise, struct jf_error *err) {
	size_t n = (size_t)ink->height * (size_t)ink->width;
	float sign = ink->dark ? -1.0f : 1.0f;
	float full, cut;
	enum jf_err status = JF_OK;

	for (size_t i = 0; i < n; i++)
		ink->amount[i] = upper(0, sign * difference[i]);
	full = find_full(ink->amount, scratch, n, noise);
	if (full < MIN_CONTRAST)
		return jf_error_set(err, JF_EEMPTY, "the picture is blank: no ink found");
	cut = find_cut(ink, full, noise);
	ink->full = ink->paper + sign * full;
	if (full >= WHOLE_RANGE)
		full = 255;
	for (size_t i = 0; i < n; i++)
		ink->amount[i] = ink->amount[i] > cut ? lower(ink->amount[i] / full, 1) : 0;
	if (!is_small(ink))
		status = remove_specks(ink->amount, ink->height, ink->width, err);
	if (status)
		return status;
	if (!find_box(ink))
		return jf_error_set(err, JF_EEMPTY, "the picture is blank: nothing but specks found");
	return JF_OK;
}

enum jf_err jf_ink_find(
    struct jf_ink *ink, const float *grey, int height, int width, enum jf_ink_side side, struct jf_error *err) {
	size_t n = (size_t)height * (size_t)width;
	float *difference = malloc(n * sizeof(float)), *scratch = malloc(n * sizeof(float));
	enum jf_err status = JF_OK;
	struct plane paper;
	float noise;
	bool found;

	*ink = (struct jf_ink){.height = height, .width = width};
	ink->amount = malloc(n * sizeof(float));
	if (!difference || !scratch || !ink->amount) {
		status = jf_error_set(err, JF_ENOMEM, "out of memory for finding ink");
		goto out;
	}
	paper = find_paper(grey, scratch, height, width);
	noise = find_noise(grey, scratch, height, width);
	ink->paper = paper.middle;
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			size_t at = (size_t)y * (size_t)width + (size_t)x;

			difference[at] = grey[at] - paper_at(&paper, y, x, height, width);
		}
	smooth(scratch, difference, height, width);
	found = find_side(&ink->dark, difference, scratch, n, noise);
	if (side != JF_INK_AUTO)
		ink->dark = side == JF_INK_DARK;
	if (!found) {
		status = jf_error_set(err, JF_EEMPTY, "the picture is blank: no ink found");
		goto out;
	}
	if (noise > 4 && !is_small(ink)) {
		memcpy(difference, scratch, n * sizeof(float));
		noise /= 3;
	}
	status = extract(ink, difference, scratch, noise, err);
out:
	free(difference);
	free(scratch);
	if (status)
		jf_ink_deinit(ink);
	return status;
}

/* out[i] = the largest of in[i - 2 radius .. i] along one axis of `n_in` positions, `inner` apart; out has
 * n_in + 2 radius positions. */
static void spread(float *out, const float *in, int n_in, int radius, size_t step) {
	for (int i = 0; i < n_in + 2 * radius; i++) {
		float best = 0;

		for (int j = i - 2 * radius < 0 ? 0 : i - 2 * radius; j <= i && j < n_in; j++)
			best = upper(best, in[(size_t)j * step]);
		out[(size_t)i * step] = best;
	}
}

enum jf_err jf_ink_thicken(struct jf_ink *ink, int radius, struct jf_error *err) {
	int height = ink->height + 2 * radius, width = ink->width + 2 * radius;
	float *wide = malloc((size_t)ink->height * (size_t)width * sizeof(float));
	float *both = malloc((size_t)height * (size_t)width * sizeof(float));

	if (!wide || !both) {
		free(wide);
		free(both);
		return jf_error_set(err, JF_ENOMEM, "out of memory for thickening strokes");
	}
	for (int y = 0; y < ink->height; y++)
		spread(wide + (size_t)y * (size_t)width, ink->amount + (size_t)y * (size_t)ink->width, ink->width,
		    radius, 1);
	for (int x = 0; x < width; x++)
		spread(both + x, wide + x, ink->height, radius, (size_t)width);
	free(wide);
	free(ink->amount);
	ink->amount = both;
	ink->height = height;
	ink->width = width;
	find_box(ink);
	return JF_OK;
}

void jf_ink_deinit(struct jf_ink *ink) {
	free(ink->amount);
	*ink = (struct jf_ink){0};
}
