#include "core/pictures/zones.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/pictures/levels.h"
#include "core/pictures/resample.h"

#define NOISE_STEPS 3.0f /* standard deviations of noise that are no edge, ... */
#define MAX_NOISE 6.0f   /* ... but no more levels than this: noise must not hide the ink's edges */
#define STEP_SHARE 0.05f /* of the picture's range of levels that is no edge either, ... */
#define MIN_STEP 2.0f    /* ... within these bounds */
#define MAX_STEP 4.0f

/* The step up to which neighbours are one zone. scratch: height * width. */
static float find_step(const float *grey, float *scratch, int height, int width) {
	size_t n = (size_t)height * (size_t)width;
	float range = jf_levels_quantile(grey, n, 0.995f) - jf_levels_quantile(grey, n, 0.005f);

	return jf_lower(NOISE_STEPS * jf_levels_noise(grey, scratch, height, width), MAX_NOISE) +
	       jf_lower(jf_upper(STEP_SHARE * range, MIN_STEP), MAX_STEP);
}

static bool on_rim(const struct jf_zones *zones, int y, int x) {
	return y == 0 || x == 0 || y == zones->height - 1 || x == zones->width - 1;
}

/* The cells beside `at` above, below, left and right: beside [4]; returns how many. */
static int neighbours(uint32_t *beside, const struct jf_zones *zones, uint32_t at) {
	uint32_t width = (uint32_t)zones->width;
	int y = (int)(at / width), x = (int)(at % width), n = 0;

	if (y > 0)
		beside[n++] = at - width;
	if (y < zones->height - 1)
		beside[n++] = at + width;
	if (x > 0)
		beside[n++] = at - 1;
	if (x < zones->width - 1)
		beside[n++] = at + 1;
	return n;
}

/* Gives the zone of cell `start` the next number. */
static void walk_zone(struct jf_zones *zones, uint32_t start, float step) {
	uint32_t used = 1, zone = (uint32_t)zones->n++, beside[4];

	zones->queue[0] = start;
	zones->zone[start] = zone;
	for (uint32_t done = 0; done < used; done++) {
		uint32_t at = zones->queue[done];
		int n = neighbours(beside, zones, at);

		zones->cells[zone]++;
		zones->rim[zone] +=
		    on_rim(zones, (int)(at / (uint32_t)zones->width), (int)(at % (uint32_t)zones->width));
		for (int i = 0; i < n; i++)
			if (zones->zone[beside[i]] == UINT32_MAX &&
			    fabsf(zones->grey[beside[i]] - zones->grey[at]) <= step) {
				zones->zone[beside[i]] = zone;
				zones->queue[used++] = beside[i];
			}
	}
}

enum jf_err jf_zones_find(struct jf_zones *zones, const float *grey, int height, int width, struct jf_error *err) {
	int longer = height > width ? height : width;
	float shrink = longer > JF_ZONES_SIDE ? (float)JF_ZONES_SIDE / (float)longer : 1, step;
	size_t n;
	enum jf_err status;

	*zones = (struct jf_zones){.height = (int)jf_upper(1, roundf((float)height * shrink)),
	    .width = (int)jf_upper(1, roundf((float)width * shrink))};
	n = (size_t)zones->height * (size_t)zones->width;
	zones->grey = malloc(n * sizeof(*zones->grey));
	zones->zone = malloc(n * sizeof(*zones->zone));
	zones->queue = malloc(n * sizeof(*zones->queue));
	zones->cells = calloc(n, sizeof(*zones->cells));
	zones->rim = calloc(n, sizeof(*zones->rim));
	if (!zones->grey || !zones->zone || !zones->queue || !zones->cells || !zones->rim) {
		jf_zones_deinit(zones);
		return jf_error_set(err, JF_ENOMEM, "out of memory for a picture");
	}
	status = jf_resample(zones->grey, zones->height, zones->width, grey, height, width, 1, err);
	if (status) {
		jf_zones_deinit(zones);
		return status;
	}
	step = find_step(zones->grey, (float *)zones->queue, zones->height, zones->width);
	memset(zones->zone, 0xff, n * sizeof(*zones->zone));
	for (uint32_t i = 0; i < n; i++)
		if (zones->zone[i] == UINT32_MAX)
			walk_zone(zones, i, step);
	return JF_OK;
}

void jf_zones_deinit(struct jf_zones *zones) {
	free(zones->grey);
	free(zones->zone);
	free(zones->cells);
	free(zones->rim);
	free(zones->queue);
	*zones = (struct jf_zones){0};
}

int jf_zones_most(const struct jf_zones *zones, const uint32_t *count, int besides) {
	int best = -1;

	for (int i = 0; i < zones->n; i++)
		if (i != besides && (best < 0 || count[i] > count[best]))
			best = i;
	return best;
}

uint32_t jf_zones_fill(const struct jf_zones *zones, uint8_t *inside, int zone) {
	uint32_t n = (uint32_t)zones->height * (uint32_t)zones->width, used = 0, beside[4];

	memset(inside, 1, n);
	for (uint32_t i = 0; i < n; i++)
		if (zones->zone[i] != (uint32_t)zone &&
		    on_rim(zones, (int)(i / (uint32_t)zones->width), (int)(i % (uint32_t)zones->width))) {
			inside[i] = 0;
			zones->queue[used++] = i;
		}
	for (uint32_t done = 0; done < used; done++) {
		int k = neighbours(beside, zones, zones->queue[done]);

		for (int i = 0; i < k; i++)
			if (inside[beside[i]] && zones->zone[beside[i]] != (uint32_t)zone) {
				inside[beside[i]] = 0;
				zones->queue[used++] = beside[i];
			}
	}
	return n - used;
}
