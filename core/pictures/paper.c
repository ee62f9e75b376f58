#include "core/pictures/paper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/pictures/levels.h"
#include "core/pictures/resample.h"
#include "core/pictures/zones.h"

/* --- a sheet on a table --- */

#define SHEET_SHARE 0.2f   /* of the picture, at least */
#define TABLE_SHARE 0.2f   /* of the picture's border, at least */
#define STRAIGHTNESS 0.88f /* of the smallest rectangle around the sheet: an ellipse fills 0.785 */
#define MIN_DRAWING 0.002f /* of the sheet: less is dirt, ... */
#define MAX_DRAWING 0.2f   /* ... more is no drawing: the sheet is a letter's or a digit's body */

struct point {
	float y, x;
};

/* How far the points reach in the direction (dy, dx). */
static float extent(const struct point *points, int n, float dy, float dx) {
	float low = INFINITY, high = -INFINITY;

	for (int i = 0; i < n; i++) {
		float at = points[i].y * dy + points[i].x * dx;

		low = jf_lower(low, at);
		high = jf_upper(high, at);
	}
	return high - low;
}

/* The area of the smallest rectangle around all cells inside, to a degree of its direction. corners: 4 * height. */
static float smallest_rectangle(struct point *corners, const uint8_t *inside, int height, int width) {
	float best = INFINITY;
	int n = 0;

	for (int y = 0; y < height; y++) {
		const uint8_t *row = inside + (size_t)y * (size_t)width;
		const uint8_t *first = memchr(row, 1, (size_t)width), *last = row + width - 1;

		if (!first)
			continue;
		while (!*last)
			last--;
		for (int corner = 0; corner < 4; corner++)
			corners[n++] =
			    (struct point){(float)(y + corner / 2), (float)(corner % 2 ? last + 1 - row : first - row)};
	}
	for (int degree = 0; degree < 90 && n > 0; degree++) {
		float angle = (float)degree * 3.14159265f / 180;
		float sine = sinf(angle), cosine = cosf(angle);

		best = jf_lower(best, extent(corners, n, sine, cosine) * extent(corners, n, cosine, -sine));
	}
	return best;
}

/* Whether the zone is a sheet; inside [height][width] is it with what is drawn on it. corners: 4 * height. */
static bool is_sheet(const struct jf_zones *zones, uint8_t *inside, struct point *corners, int zone) {
	int n = zones->height * zones->width, rim = 2 * (zones->height + zones->width) - 4;
	float cells = (float)zones->cells[zone], filled, drawn;

	if (cells < SHEET_SHARE * (float)n || (float)zones->rim[zone] > (1 - TABLE_SHARE) * (float)rim)
		return false;
	filled = (float)jf_zones_fill(zones, inside, zone);
	drawn = filled - cells;
	return drawn >= MIN_DRAWING * filled && drawn <= MAX_DRAWING * filled &&
	       filled >= STRAIGHTNESS * smallest_rectangle(corners, inside, zones->height, zones->width);
}

/* Takes the outermost cells away: they hold a part of the edge. The picture's own border is none. scratch: n. */
static void erode(uint8_t *inside, uint8_t *scratch, int height, int width) {
	memcpy(scratch, inside, (size_t)height * (size_t)width);
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
			for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < height; v++)
				for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < width; u++)
					inside[y * width + x] &= scratch[v * width + u];
}

/* The cell inside that is nearest to x in this row; -1: none. */
static int nearest(const uint8_t *row, int x, int width) {
	for (int away = 0; away < width; away++) {
		if (x - away >= 0 && row[x - away])
			return x - away;
		if (x + away < width && row[x + away])
			return x + away;
	}
	return -1;
}

/* Cuts the box around all cells inside out of the picture. */
static bool cut(struct jf_sheet *sheet, const struct jf_zones *zones, const uint8_t *inside) {
	int top = sheet->height, bottom = -1, left = sheet->width, right = -1;
	float *out = sheet->grey;

	for (int y = 0; y < sheet->height; y++)
		for (int x = 0; x < sheet->width; x++) {
			if (!inside[y * zones->height / sheet->height * zones->width + x * zones->width / sheet->width])
				continue;
			top = y < top ? y : top;
			bottom = y;
			left = x < left ? x : left;
			right = x > right ? x : right;
		}
	if (bottom - top < 2 || right - left < 2)
		return false;
	for (int y = top; y <= bottom; y++) {
		int row = y * zones->height / sheet->height * zones->width;

		for (int x = left; x <= right; x++) {
			int column = x * zones->width / sheet->width,
			    near = nearest(inside + row, column, zones->width);

			*out++ =
			    near == column || near < 0 ? sheet->grey[y * sheet->width + x] : zones->grey[row + near];
		}
	}
	sheet->top += top;
	sheet->left += left;
	sheet->height = bottom - top + 1;
	sheet->width = right - left + 1;
	return true;
}

enum jf_err jf_paper_crop(struct jf_sheet *sheet, bool *changed, struct jf_error *err) {
	struct jf_zones zones;
	uint8_t *inside = NULL;
	struct point *corners = NULL;
	enum jf_err status = jf_zones_find(&zones, sheet->grey, sheet->height, sheet->width, err);
	size_t n = (size_t)zones.height * (size_t)zones.width;
	int zone;

	if (status)
		return status;
	inside = malloc(2 * n);
	corners = malloc(4 * (size_t)zones.height * sizeof(*corners));
	if (!inside || !corners) {
		status = jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
		goto out;
	}
	zone = jf_zones_most(&zones, zones.cells, -1);
	if (!is_sheet(&zones, inside, corners, zone)) /* a small sheet on a large table is the second */
		zone = jf_zones_most(&zones, zones.cells, zone);
	if (zone >= 0 && is_sheet(&zones, inside, corners, zone)) {
		erode(inside, inside + n, zones.height, zones.width);
		*changed |= cut(sheet, &zones, inside);
	}
out:
	free(inside);
	free(corners);
	jf_zones_deinit(&zones);
	return status;
}

/* --- uneven light --- */

#define PAPER_RIM 0.5f      /* of the picture's border is paper, at least, or what it is cannot be told */
#define PAPER_CELLS 0.3f    /* of the picture, too */
#define EVEN 8.0f           /* levels off the plane that do no harm; ink differs by more */
#define UNEVEN_SHARE 0.05f  /* of the paper's cells that must be off by more */
#define DARKEST_PAPER 32.0f /* levels: darker paper is lifted no further, its noise would be */

/* Running sums: sums [height + 1][width + 1][2], of the paper's levels and of its cells. */
static void sum_up(double *sums, const struct jf_zones *zones, const uint8_t *paper) {
	int stride = 2 * (zones->width + 1);

	memset(sums, 0, (size_t)stride * sizeof(*sums));
	for (int y = 0; y < zones->height; y++) {
		double *row = sums + (size_t)(y + 1) * (size_t)stride, level = 0, count = 0;

		row[0] = row[1] = 0;
		for (int x = 0; x < zones->width; x++) {
			int at = y * zones->width + x;

			level += paper[at] ? (double)zones->grey[at] : 0;
			count += paper[at];
			row[2 * x + 2] = level + row[2 * x + 2 - stride];
			row[2 * x + 3] = count + row[2 * x + 3 - stride];
		}
	}
}

/* The paper's level around a cell: the mean over the smallest square window of which a third is paper. */
static float local_level(const double *sums, int y, int x, int height, int width) {
	int stride = 2 * (width + 1);

	for (int radius = 1;; radius += 1 + radius / 4) {
		int top = y > radius ? y - radius : 0, bottom = y + radius < height ? y + radius + 1 : height;
		int left = x > radius ? x - radius : 0, right = x + radius < width ? x + radius + 1 : width;
		const double *low = sums + (size_t)top * (size_t)stride, *high = sums + (size_t)bottom * (size_t)stride;
		double level = high[2 * right] - high[2 * left] - low[2 * right] + low[2 * left];
		double count = high[2 * right + 1] - high[2 * left + 1] - low[2 * right + 1] + low[2 * left + 1];

		if (3 * count >= (double)(bottom - top) * (right - left) || (radius > height && radius > width))
			return count > 0 ? (float)(level / count) : 0;
	}
}

/* Whether the paper's level, local [height][width], departs from the plane that the ink's search would take. */
static bool is_uneven(
    const float *local, const struct jf_zones *zones, const uint8_t *paper, const struct jf_plane *plane) {
	size_t off = 0, seen = 0;

	for (int y = 0; y < zones->height; y++)
		for (int x = 0; x < zones->width; x++) {
			int at = y * zones->width + x;

			seen += paper[at];
			off += paper[at] &&
			       fabsf(local[at] - jf_plane_at(plane, y, x, zones->height, zones->width)) > EVEN;
		}
	return (float)off > UNEVEN_SHARE * (float)seen;
}

static void even_out(float *grey, const float *level, size_t n, float middle) {
	for (size_t i = 0; i < n; i++) {
		float lit = (grey[i] - level[i]) * middle / jf_upper(level[i], DARKEST_PAPER);

		grey[i] = jf_lower(jf_upper(middle + lit, 0), 255);
	}
}

/* The paper's cells: those of the zone that has most of the border, but not those at its edges. false: there is no such
 * zone. paper: 2 n. */
static bool find_paper(uint8_t *paper, const struct jf_zones *zones) {
	int zone = jf_zones_most(zones, zones->rim, -1), rim = 2 * (zones->height + zones->width) - 4;
	size_t n = (size_t)zones->height * (size_t)zones->width;

	for (size_t i = 0; i < n; i++)
		paper[i] = zones->zone[i] == (uint32_t)zone;
	erode(paper, paper + n, zones->height, zones->width);
	return (float)zones->rim[zone] >= PAPER_RIM * (float)rim && (float)zones->cells[zone] >= PAPER_CELLS * (float)n;
}

enum jf_err jf_paper_flatten(const struct jf_sheet *sheet, bool *changed, struct jf_error *err) {
	struct jf_zones zones;
	enum jf_err status = jf_zones_find(&zones, sheet->grey, sheet->height, sheet->width, err);
	size_t n = (size_t)zones.height * (size_t)zones.width, pixels = (size_t)sheet->height * (size_t)sheet->width;
	double *sums = malloc(2 * ((size_t)zones.height + 1) * ((size_t)zones.width + 1) * sizeof(*sums));
	float *local = malloc(n * sizeof(*local)), *level = NULL;
	uint8_t *paper = malloc(2 * n);
	struct jf_plane plane;

	if (status)
		goto out;
	if (!sums || !local || !paper) {
		status = jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
		goto out;
	}
	if (!find_paper(paper, &zones))
		goto out;
	plane = jf_plane_find(zones.grey, local, zones.height, zones.width);
	sum_up(sums, &zones, paper);
	for (int y = 0; y < zones.height; y++)
		for (int x = 0; x < zones.width; x++)
			local[y * zones.width + x] = local_level(sums, y, x, zones.height, zones.width);
	if (!is_uneven(local, &zones, paper, &plane))
		goto out;
	free(sums);
	sums = NULL;
	level = malloc(pixels * sizeof(*level));
	if (!level)
		status = jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	else
		status = jf_resample(level, sheet->height, sheet->width, local, zones.height, zones.width, 1, err);
	if (status)
		goto out;
	even_out(sheet->grey, level, pixels, jf_levels_quantile(local, n, 0.5f));
	*changed = true;
out:
	free(sums);
	free(local);
	free(level);
	free(paper);
	jf_zones_deinit(&zones);
	return status;
}
