/* Lines are sought in strips, as a line that is a little tilted stays within a few pixels there, and then across the
 * strips by trying every drift (a discrete Radon transform). They are erased by closing and opening across them, which
 * fills what is thinner than a window and keeps what is thicker (Serra, "Image Analysis and Mathematical Morphology",
 * 1982): a stroke that crosses a line is long in that direction. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/pictures/levels.h"
#include "core/pictures/paper.h"

#define STRIPS 32     /* pieces that the picture is cut into along the lines */
#define SEEN_IN 24    /* of them that must show a line: a digit hides the rest */
#define SEEN_AGAIN 12 /* the same, on paper that is known to be ruled: a digit may stand on the line */
#define SAME_DRIFT 4  /* pixels by which such a line may drift otherwise than its neighbour */
#define MAX_DRIFT 12  /* a line may drift by this part of the picture's side: 5 degrees */
#define LINES 3       /* parallel ones that make paper ruled; no digit has them */
#define STRONG 16.0f  /* levels: a stroke counts for no more than this */
#define MIN_LINE 2.5f /* levels: a fainter line is none, nor is one fainter than the noise */
#define HIT 2         /* what a strip adds for a line on the very pixel, ... */
#define BESIDE 1      /* ... and beside it */
#define FULL_RATING (HIT * STRIPS + 1)
#define LINE_CONTRAST 2.0f /* erasing changes no level by more than this many times the line's contrast */

/* The picture seen so that the lines in question run along; -1 as sign turns light lines into dark ones. */
struct view {
	float *grey;
	int along, across;        /* sizes */
	size_t step, step_across; /* between pixels */
	float sign;
	int reach; /* pixels to either side at which there is no line any more */
};

struct line {
	int at, drift; /* position across in the middle; change from one end to the other */
	bool sure;     /* it shows nearly everywhere */
};

static float *pixel(const struct view *view, int along, int across) {
	return view->grey + (size_t)along * view->step + (size_t)across * view->step_across;
}

static int line_at(const struct line *line, int along, int n_along) {
	return line->at + (int)floorf((float)line->drift * ((float)along + 0.5f) / (float)n_along -
				      0.5f * (float)line->drift + 0.5f);
}

/* shown [STRIPS][across]: HIT where a strip is darker, on average, than a little further to both sides. The strips'
 * mean is what a tilted line survives and noise does not. */
static void look_at_strips(uint8_t *shown, float *mean, const struct view *view, float limit) {
	for (int s = 0; s < STRIPS; s++) {
		int begin = s * view->along / STRIPS, end = (s + 1) * view->along / STRIPS;
		uint8_t *row = shown + (size_t)s * (size_t)view->across;

		memset(row, 0, (size_t)view->across);
		for (int a = view->reach; a < view->across - view->reach; a++) {
			mean[a] = 0;
			for (int i = begin; i < end; i++) {
				float here = view->sign * *pixel(view, i, a);
				float before = view->sign * *pixel(view, i, a - view->reach);
				float after = view->sign * *pixel(view, i, a + view->reach);

				mean[a] += jf_upper(jf_lower(jf_lower(before, after) - here, STRONG), -STRONG);
			}
			if (mean[a] > limit * (float)(end - begin)) { /* a pixel to either side is the same line */
				row[a - 1] = row[a - 1] > BESIDE ? row[a - 1] : BESIDE;
				row[a] = HIT;
				row[a + 1] = BESIDE;
			}
		}
	}
}

/* How well a line shows: first in how many strips, then how exactly; 0 when it is missing in too many. */
static int rate(const uint8_t *shown, const int *shift, int at, int across) {
	int missing = 0, sum = 0;

	for (int s = 0; s < STRIPS && missing <= STRIPS - SEEN_AGAIN; s++) {
		int here = at + shift[s];
		int seen = here < 0 || here >= across ? 0 : shown[(size_t)s * (size_t)across + (size_t)here];

		missing += seen == 0;
		sum += seen;
	}
	return missing <= STRIPS - SEEN_AGAIN ? (STRIPS - missing) * FULL_RATING + sum : 0;
}

/* best [across]: how well the best of the straight lines through this position in the middle shows; drift [across]: its
 * drift. */
static void try_lines(int *best, int *drift, const uint8_t *shown, int across, int max_drift) {
	memset(best, 0, (size_t)across * sizeof(*best));
	memset(drift, 0, (size_t)across * sizeof(*drift));
	for (int d = -max_drift; d <= max_drift; d++) {
		int shift[STRIPS];

		for (int s = 0; s < STRIPS; s++)
			shift[s] = line_at(&(struct line){.drift = d}, s, STRIPS);
		for (int a = 0; a < across; a++) {
			int rating = rate(shown, shift, a, across);

			if (rating > best[a] || (rating == best[a] && abs(d) < abs(drift[a]))) {
				best[a] = rating;
				drift[a] = d;
			}
		}
	}
}

static int count_sure(const struct line *lines, int n) {
	int sure = 0;

	for (int i = 0; i < n; i++)
		sure += lines[i].sure;
	return sure;
}

/* Whether one of the sure lines drifts as this one does. */
static bool is_parallel(const struct line *lines, int n, const struct line *line) {
	for (int i = 0; i < n; i++)
		if (lines[i].sure && abs(lines[i].drift - line->drift) <= SAME_DRIFT)
			return true;
	return false;
}

/* The best line of each neighbourhood: lines [across]; returns how many there are. Those that show in fewer strips
 * count once there are enough of the others. */
static int pick_lines(struct line *lines, const int *best, const int *drift, int across, int reach) {
	int n = 0, sure, kept = 0;

	for (int a = 0; a < across; a++) {
		bool top = best[a] > 0;

		for (int b = a - reach < 0 ? 0 : a - reach; b <= a + reach && b < across && top; b++)
			top = best[b] < best[a] || (best[b] == best[a] && b >= a);
		if (top)
			lines[n++] = (struct line){a, drift[a], best[a] >= SEEN_IN * FULL_RATING};
	}
	sure = count_sure(lines, n);
	for (int i = 0; i < n; i++) /* a line that is left out is not sure, so it counts for no other */
		if (lines[i].sure || (sure >= LINES && is_parallel(lines, n, &lines[i])))
			lines[kept++] = lines[i];
	return kept;
}

static enum jf_err find_lines(struct line **lines, int *n, const struct view *view, float limit, struct jf_error *err) {
	size_t across = (size_t)view->across;
	uint8_t *shown = malloc(STRIPS * across);
	float *mean = malloc(across * sizeof(*mean));
	int *best = malloc(across * sizeof(*best)), *drift = malloc(across * sizeof(*drift));
	enum jf_err status = JF_OK;

	*n = 0;
	*lines = malloc(across * sizeof(**lines));
	if (!shown || !mean || !best || !drift || !*lines) {
		status = jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
		goto out;
	}
	look_at_strips(shown, mean, view, limit);
	try_lines(best, drift, shown, view->across, view->along / MAX_DRIFT);
	*n = pick_lines(*lines, best, drift, view->across, view->reach);
out:
	free(shown);
	free(mean);
	free(best);
	free(drift);
	return status;
}

/* A line's contrast in levels; *thickness in pixels. profile: 2 * reach + 1. */
static float measure(int *thickness, float *profile, const struct view *view, const struct line *line) {
	int size = 2 * view->reach + 1, used = 0;
	float ends, contrast = 0;

	memset(profile, 0, (size_t)size * sizeof(*profile));
	for (int i = 0; i < view->along; i++) {
		int at = line_at(line, i, view->along) - view->reach;

		if (at < 0 || at + size > view->across ||
		    fabsf(*pixel(view, i, at) - *pixel(view, i, at + size - 1)) > STRONG)
			continue; /* a stroke */
		used++;
		for (int k = 0; k < size; k++)
			profile[k] += view->sign * *pixel(view, i, at + k);
	}
	if (used == 0)
		return 0;
	ends = 0.5f * (profile[0] + profile[size - 1]) / (float)used;
	for (int k = 0; k < size; k++)
		contrast = jf_upper(contrast, ends - profile[k] / (float)used);
	*thickness = 0;
	for (int k = 0; k < size; k++)
		*thickness += ends - profile[k] / (float)used > 0.25f * contrast;
	*thickness = *thickness < view->reach ? *thickness : view->reach;
	return contrast;
}

/* The smallest of the largest (or, with -1 as sign, the largest of the smallest) levels in windows of `size` around
 * position `at`: closing. */
static float closed(const float *levels, int n, int at, int size, float sign) {
	float best = INFINITY;

	for (int begin = at - size + 1; begin <= at; begin++) {
		float most = -INFINITY;

		for (int k = begin < 0 ? 0 : begin; k < begin + size && k < n; k++)
			most = jf_upper(most, sign * levels[k]);
		best = jf_lower(best, most);
	}
	return sign * best;
}

/* Fills the line with what is beside it, by closing across it; then, where it was drawn over a darker stroke, by
 * opening. levels and scratch: 16 * reach + 32. */
static void erase(
    const struct view *view, const struct line *line, int thickness, float most, float *levels, float *scratch) {
	int half = thickness / 2 + 1, size = thickness + 1, margin = half + 2 * size;

	for (int i = 0; i < view->along; i++) {
		int at = line_at(line, i, view->along), begin = at - margin < 0 ? 0 : at - margin;
		int n = (at + margin + 1 < view->across ? at + margin + 1 : view->across) - begin;

		for (int k = 0; k < n; k++)
			levels[k] = scratch[k] = view->sign * *pixel(view, i, begin + k);
		for (int pass = 0; pass < 2; pass++) {
			for (int k = 0; k < n; k++)
				if (abs(begin + k - at) <= half) {
					float change = closed(levels, n, k, size, pass ? -1 : 1) - levels[k];

					scratch[k] = levels[k] + jf_upper(jf_lower(change, most), -most);
				}
			memcpy(levels, scratch, (size_t)(n > 0 ? n : 0) * sizeof(*levels));
		}
		for (int k = 0; k < n; k++)
			*pixel(view, i, begin + k) = view->sign * levels[k];
	}
}

static enum jf_err erase_all(const struct view *view, const struct line *lines, int n, struct jf_error *err) {
	size_t size = 16 * (size_t)view->reach + 32;
	float *scratch = malloc(2 * size * sizeof(*scratch)), usual = 0;
	int thickness, sure = 0;

	if (!scratch)
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	for (int i = 0; i < n; i++)
		if (lines[i].sure) {
			usual += measure(&thickness, scratch, view, &lines[i]);
			sure++;
		}
	for (int i = 0; i < n && sure > 0; i++) {
		float contrast = measure(&thickness, scratch, view, &lines[i]);

		contrast = lines[i].sure ? contrast : jf_lower(contrast, usual / (float)sure);
		if (contrast > 0)
			erase(view, &lines[i], thickness, LINE_CONTRAST * contrast, scratch, scratch + size);
	}
	free(scratch);
	return JF_OK;
}

/* Lines of one kind, dark or light. */
static enum jf_err unrule(const struct jf_sheet *sheet, bool *changed, float sign, float limit, struct jf_error *err) {
	int longer = sheet->height > sheet->width ? sheet->height : sheet->width, reach = 2 + longer / 160, n[2];
	struct view views[2] = {
	    {sheet->grey, sheet->width, sheet->height, 1, (size_t)sheet->width, sign, reach},
	    {sheet->grey, sheet->height, sheet->width, (size_t)sheet->width, 1, sign, reach},
	};
	struct line *lines[2] = {NULL, NULL};
	enum jf_err status = find_lines(&lines[0], &n[0], &views[0], limit, err);

	if (!status)
		status = find_lines(&lines[1], &n[1], &views[1], limit, err);
	if (status || (count_sure(lines[0], n[0]) < LINES && count_sure(lines[1], n[1]) < LINES))
		goto out;
	*changed = true;
	status = erase_all(&views[0], lines[0], n[0], err);
	if (!status)
		status = erase_all(&views[1], lines[1], n[1], err);
out:
	free(lines[0]);
	free(lines[1]);
	return status;
}

enum jf_err jf_paper_unrule(const struct jf_sheet *sheet, bool *changed, struct jf_error *err) {
	size_t n = (size_t)sheet->height * (size_t)sheet->width;
	float *scratch, limit;
	bool found = false;
	enum jf_err status;

	if (sheet->height < 2 * STRIPS || sheet->width < 2 * STRIPS)
		return JF_OK;
	scratch = malloc(n * sizeof(*scratch));
	if (!scratch)
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	limit = jf_upper(MIN_LINE, jf_levels_noise(sheet->grey, scratch, sheet->height, sheet->width));
	free(scratch);
	status = unrule(sheet, &found, 1, limit, err);
	if (!status && !found)
		status = unrule(sheet, &found, -1, limit, err);
	*changed |= found;
	return status;
}
