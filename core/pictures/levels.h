/* Statistics of grey levels, 0 to 255: what the steps of framing share. */
#ifndef JF_CORE_PICTURES_LEVELS_H
#define JF_CORE_PICTURES_LEVELS_H

#include <stddef.h>

/* fminf and fmaxf are calls, for the sake of NaN, which does not come up here. */
static inline float jf_lower(float a, float b) {
	return a < b ? a : b;
}

static inline float jf_upper(float a, float b) {
	return a > b ? a : b;
}

/* The value that the share q of the n values (at least one) does not exceed, to 1/32 of a level. */
float jf_levels_quantile(const float *values, size_t n, float q);

/* Standard deviation of the paper's noise, from the median step between neighbours: strokes have too few edges to
 * count. grey [height][width]; scratch: height * width. */
float jf_levels_noise(const float *grey, float *scratch, int height, int width);

/* The paper's level: a plane through the picture's border. per_row and per_column are 0 when its sides differ by more
 * than a shadow's worth. */
struct jf_plane {
	float middle, per_row, per_column;
};

/* grey [height][width]; scratch: height * width. */
struct jf_plane jf_plane_find(const float *grey, float *scratch, int height, int width);
static inline float jf_plane_at(const struct jf_plane *plane, int y, int x, int height, int width) {
	return plane->middle + plane->per_row * ((float)y - 0.5f * (float)(height - 1)) +
	       plane->per_column * ((float)x - 0.5f * (float)(width - 1));
}

#endif
