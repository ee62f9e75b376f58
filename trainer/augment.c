#include "trainer/augment.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"

#define GRID 4 /* control points of the elastic field a side */

static const float max_angle = 15.0F * 3.14159265F / 180.0F;
static const float max_shift = 1.0F / 14.0F; /* of the side: 2 pixels of 28 */
static const float max_scale = 0.1F;         /* of ln scale and of ln aspect */
static const float max_shear = 0.15F;
static const float max_elastic = 1.0F / 28.0F; /* of the side, a standard deviation: 1 pixel of 28 */

enum { ANGLE, SHIFT_X, SHIFT_Y, SCALE, ASPECT, SHEAR, ELASTIC };

struct field {
	float dx[GRID][GRID], dy[GRID][GRID]; /* pixels */
};

struct warp {
	float xx, xy, x0, yx, yy, y0; /* source = matrix * (target - middle) + (x0, y0) */
	struct field field;
	int elastic;
};

static void make_warp(struct warp *warp, const float *vector, int height, int width, uint64_t seed, uint64_t sample) {
	float angle = vector[ANGLE] * max_angle, shear = vector[SHEAR] * max_shear;
	float grow_x = expf(-(vector[SCALE] + vector[ASPECT]) * max_scale);
	float grow_y = expf(-(vector[SCALE] - vector[ASPECT]) * max_scale);
	float normal[2 * GRID * GRID + 1];

	warp->xx = cosf(angle) * grow_x;
	warp->xy = (-sinf(angle) + shear) * grow_x;
	warp->yx = sinf(angle) * grow_y;
	warp->yy = cosf(angle) * grow_y;
	warp->x0 = 0.5F * (float)(width - 1) - vector[SHIFT_X] * max_shift * (float)width;
	warp->y0 = 0.5F * (float)(height - 1) - vector[SHIFT_Y] * max_shift * (float)height;
	warp->elastic = vector[ELASTIC] > 0;
	if (!warp->elastic)
		return;
	/* the second half of the sample's numbers: the first was for the vector */
	jf_rng_normal(normal, 2 * GRID * GRID, seed, JF_STREAM_AUGMENT, sample | (uint64_t)1 << 63);
	for (int i = 0; i < GRID * GRID; i++) {
		warp->field.dx[i / GRID][i % GRID] = normal[2 * i] * vector[ELASTIC] * max_elastic * (float)width;
		warp->field.dy[i / GRID][i % GRID] = normal[2 * i + 1] * vector[ELASTIC] * max_elastic * (float)height;
	}
}

static float lookup(const float grid[GRID][GRID], float v, float u) {
	int i = (int)v, j = (int)u;
	float a, b;

	i = i > GRID - 2 ? GRID - 2 : i;
	j = j > GRID - 2 ? GRID - 2 : j;
	v -= (float)i;
	u -= (float)j;
	a = grid[i][j] + u * (grid[i][j + 1] - grid[i][j]);
	b = grid[i + 1][j] + u * (grid[i + 1][j + 1] - grid[i + 1][j]);
	return a + v * (b - a);
}

/* Beyond the edge the edge goes on: paper of any colour stays paper. */
static float pixel(const float *image, int y, int x, int c, int height, int width, int channels) {
	y = y < 0 ? 0 : y >= height ? height - 1 : y;
	x = x < 0 ? 0 : x >= width ? width - 1 : x;
	return image[(y * width + x) * channels + c];
}

static void sample_bilinear(float *out, const float *image, float y, float x, int height, int width, int channels) {
	int i = (int)floorf(y), j = (int)floorf(x);
	float v = y - (float)i, u = x - (float)j;

	for (int c = 0; c < channels; c++) {
		float p00 = pixel(image, i, j, c, height, width, channels);
		float p01 = pixel(image, i, j + 1, c, height, width, channels);
		float p10 = pixel(image, i + 1, j, c, height, width, channels);
		float p11 = pixel(image, i + 1, j + 1, c, height, width, channels);
		float a = p00 + u * (p01 - p00), b = p10 + u * (p11 - p10);

		out[c] = a + v * (b - a);
	}
}

void jf_augment(float *out, float *vector, const float *image, int height, int width, int channels,
    const struct jf_augment_options *options, uint64_t seed, uint64_t sample) {
	float uniform[JF_AUGMENT_SIZE + 1];
	struct warp warp;

	memset(vector, 0, sizeof(*vector) * JF_AUGMENT_SIZE);
	if (options->strength > 0)
		jf_rng_uniform(uniform, JF_AUGMENT_SIZE + 1, seed, JF_STREAM_AUGMENT, sample);
	if (options->strength <= 0 || uniform[JF_AUGMENT_SIZE] >= options->probability) {
		memcpy(out, image, sizeof(*out) * (size_t)height * (size_t)width * (size_t)channels);
		return;
	}
	for (int i = 0; i < ELASTIC; i++)
		vector[i] = options->strength * (2.0F * uniform[i] - 1.0F);
	vector[ELASTIC] = options->strength * uniform[ELASTIC];
	make_warp(&warp, vector, height, width, seed, sample);
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			float dx = (float)x - 0.5F * (float)(width - 1), dy = (float)y - 0.5F * (float)(height - 1);
			float sx = warp.xx * dx + warp.xy * dy + warp.x0, sy = warp.yx * dx + warp.yy * dy + warp.y0;

			if (warp.elastic) {
				float v = (float)(y * (GRID - 1)) / (float)(height - 1);
				float u = (float)(x * (GRID - 1)) / (float)(width - 1);

				sx += lookup((const float(*)[GRID])warp.field.dx, v, u);
				sy += lookup((const float(*)[GRID])warp.field.dy, v, u);
			}
			sample_bilinear(out + (y * width + x) * channels, image, sy, sx, height, width, channels);
		}
}
