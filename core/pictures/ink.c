#include "core/pictures/ink.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/pictures/levels.h"

#define MIN_CONTRAST 8.0f  /* levels: less than that is a blank sheet */
#define WHOLE_RANGE 245.0f /* ink this far from the paper is as far as 8 bits go */
#define FAINT 0.08f        /* of full ink: below, it may be an edge's soft side or noise */
#define NOISE_CUT 0.15f    /* of full ink: below, it is noise once there is noise */
#define LANES 4            /* values looked at side by side, so that none waits for the one before */
#define SPECK 0.015f       /* of all ink: a smaller blot is dirt */

/* The mean of the pixels within one of (y, x), fewer than 9 at the border. */
static float mean_around(const float *in, int height, int width, int y, int x) {
	float sum = 0;
	int n = 0;

	for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < height; v++)
		for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < width; u++, n++)
			sum += in[(size_t)v * (size_t)width + (size_t)u];
	return sum / (float)n;
}

/* A row away from the border, in mean_around's order: rows above, at and below, each from the left. */
static void smooth_row(float *restrict out, const float *restrict above, const float *restrict at,
    const float *restrict below, int width) {
	for (int x = 1; x < width - 1; x++) {
		float sum = above[x - 1] + above[x] + above[x + 1];

		sum = sum + at[x - 1] + at[x] + at[x + 1];
		out[x] = (sum + below[x - 1] + below[x] + below[x + 1]) / 9.0f;
	}
}

/* 3 x 3 mean, fewer at the border. */
static void smooth(float *out, const float *in, int height, int width) {
	for (int y = 0; y < height; y++) {
		const float *row = in + (size_t)y * (size_t)width;
		const bool inner = y > 0 && y < height - 1 && width > 2;

		if (inner)
			smooth_row(out, row - width, row, row + width, width);
		for (int x = 0; x < width; x += inner ? width - 1 : 1)
			out[x] = mean_around(in, height, width, y, x);
		out += width;
	}
}

/* --- ink --- */

/* The least and the largest of the values and 0. */
static void find_range(float *low, float *high, const float *values, size_t n) {
	float lows[LANES] = {0}, highs[LANES] = {0};
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++) {
			lows[l] = jf_lower(lows[l], values[i + l]);
			highs[l] = jf_upper(highs[l], values[i + l]);
		}
	for (; i < n; i++) {
		lows[0] = jf_lower(lows[0], values[i]);
		highs[0] = jf_upper(highs[0], values[i]);
	}
	*low = *high = 0;
	for (size_t l = 0; l < LANES; l++) {
		*low = jf_lower(*low, lows[l]);
		*high = jf_upper(*high, highs[l]);
	}
}

/* Which side of the paper the ink is on; false: on neither. difference [n] = level - paper. */
static bool find_side(bool *dark, const float *difference, const float *smoothed, size_t n, float noise) {
	float low, high, smooth_low, smooth_high;

	find_range(&low, &high, difference, n);
	find_range(&smooth_low, &smooth_high, smoothed, n);
	*dark = -smooth_low > smooth_high; /* smoothed: a stroke counts, a speck hardly does */
	if (noise < 0.5f)
		return jf_upper(-low, high) >= MIN_CONTRAST;
	return jf_upper(-smooth_low, smooth_high) >= jf_upper(MIN_CONTRAST, 2 * noise);
}

/* Full ink: the level that few of the strong pixels pass; with noise, what most of them have. scratch: n. */
static float find_full(const float *amount, float *scratch, size_t n, float noise) {
	float none, top;
	size_t used = 0;

	find_range(&none, &top, amount, n);
	for (size_t i = 0; i < n; i++) { /* no branch: it would be guessed wrong at each stroke's edge */
		scratch[used] = amount[i];
		used += amount[i] >= 0.5f * top;
	}
	return used > 0 ? jf_levels_quantile(scratch, used, noise < 0.5f ? 0.98f : 0.75f) : 0;
}

/* On a picture as small as MNIST's own, one pixel may be a part of the digit: no smoothing, no specks. */
static bool is_small(const struct jf_ink *ink) {
	return ink->height < JF_INK_SMALL_SIDE || ink->width < JF_INK_SMALL_SIDE;
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
	return jf_lower(jf_upper(NOISE_CUT * full, 4 * noise), 0.5f * full);
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

static bool reaches_border(const uint32_t *pixels, size_t n, int height, int width) {
	for (size_t i = 0; i < n; i++) {
		int y = (int)(pixels[i] / (uint32_t)width), x = (int)(pixels[i] % (uint32_t)width);

		if (y == 0 || x == 0 || y == height - 1 || x == width - 1)
			return true;
	}
	return false;
}

/* Takes away blots that hold less than SPECK of all ink and, where inner ink alone is wanted, those at the border. */
static enum jf_err remove_specks(float *amount, int height, int width, bool inner, struct jf_error *err) {
	size_t n = (size_t)height * (size_t)width;
	uint32_t *queue = malloc(n * sizeof(*queue));
	uint8_t *marks = calloc(n, 1);
	double total = 0;

	if (!queue || !marks) {
		free(queue);
		free(marks);
		return jf_error_set(err, JF_ENOMEM, "out of memory for finding ink");
	}
	for (size_t i = 0; i < n && inner; i++)
		if (!marks[i] && amount[i] > 0) {
			size_t pixels = walk_blot(queue, marks, 1, amount, height, width, (uint32_t)i);
			bool stray = reaches_border(queue, pixels, height, width);

			for (size_t p = 0; p < pixels && stray; p++)
				amount[queue[p]] = 0;
		}
	memset(marks, 0, n);
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

/* ink->amount from differences (level - paper) to amounts, 0 to 1. scratch: n, freed. */
static enum jf_err extract(struct jf_ink *ink, float *scratch, float noise, bool inner, struct jf_error *err) {
	size_t n = (size_t)ink->height * (size_t)ink->width;
	float sign = ink->dark ? -1.0f : 1.0f;
	float full, cut;
	enum jf_err status = JF_OK;

	for (size_t i = 0; i < n; i++)
		ink->amount[i] = jf_upper(0, sign * ink->amount[i]);
	full = find_full(ink->amount, scratch, n, noise);
	free(scratch); /* before the specks' search takes memory of its own */
	if (full < MIN_CONTRAST)
		return jf_error_set(err, JF_EEMPTY, "the picture is blank: no ink found");
	cut = find_cut(ink, full, noise);
	ink->full = ink->paper + sign * full;
	if (full >= WHOLE_RANGE)
		full = 255;
	for (size_t i = 0; i < n; i++)
		ink->amount[i] = ink->amount[i] > cut ? jf_lower(ink->amount[i] / full, 1) : 0;
	if (!is_small(ink))
		status = remove_specks(ink->amount, ink->height, ink->width, inner, err);
	if (status)
		return status;
	if (!find_box(ink))
		return jf_error_set(err, JF_EEMPTY, "the picture is blank: nothing but specks found");
	return JF_OK;
}

enum jf_err jf_ink_find(
    struct jf_ink *ink, float *grey, int height, int width, enum jf_ink_side side, bool inner, struct jf_error *err) {
	size_t n = (size_t)height * (size_t)width;
	float *scratch = malloc(n * sizeof(float));
	enum jf_err status = JF_OK;
	struct jf_plane paper;
	float noise;
	bool found;

	*ink = (struct jf_ink){.height = height, .width = width, .amount = grey};
	if (!scratch) {
		status = jf_error_set(err, JF_ENOMEM, "out of memory for finding ink");
		goto out;
	}
	paper = jf_plane_find(grey, scratch, height, width);
	noise = jf_levels_noise(grey, scratch, height, width);
	ink->paper = paper.middle;
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
			grey[(size_t)y * (size_t)width + (size_t)x] -= jf_plane_at(&paper, y, x, height, width);
	smooth(scratch, grey, height, width);
	found = find_side(&ink->dark, grey, scratch, n, noise);
	if (side != JF_INK_AUTO)
		ink->dark = side == JF_INK_DARK;
	if (!found) {
		status = jf_error_set(err, JF_EEMPTY, "the picture is blank: no ink found");
		goto out;
	}
	if (noise > 4 && !is_small(ink)) {
		memcpy(grey, scratch, n * sizeof(float));
		noise /= 3;
	}
	status = extract(ink, scratch, noise, inner, err);
	scratch = NULL;
out:
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
			best = jf_upper(best, in[(size_t)j * step]);
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
