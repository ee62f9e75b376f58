#include "core/pictures/resample.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Adds `weight` times a row. */
static void add_row(float *out, const float *in, float weight, size_t n) {
	for (size_t i = 0; i < n; i++)
		out[i] += weight * in[i];
}

/* One output position of one axis: the weighted sum of the input positions it covers. in [n_in][inner]. */
static void gather(float *out, int i, int n_out, const float *in, int n_in, size_t inner) {
	double ratio = (double)n_in / n_out;

	memset(out, 0, inner * sizeof(*out));
	if (n_out < n_in) {
		double begin = i * ratio, end = (i + 1) * ratio;

		for (int j = (int)begin; j < n_in && j < end; j++) {
			double low = j > begin ? j : begin, high = j + 1 < end ? j + 1 : end;

			add_row(out, in + (size_t)j * inner, (float)((high - low) / ratio), inner);
		}
	} else {
		double centre = (i + 0.5) * ratio - 0.5;
		int below = centre < 0 ? 0 : (int)centre;
		int above = below + 1 < n_in ? below + 1 : below;
		double part = centre < below ? 0 : centre - below;

		add_row(out, in + (size_t)below * inner, (float)(1 - part), inner);
		add_row(out, in + (size_t)above * inner, (float)part, inner);
	}
}

/* in [outer][n_in][inner] -> out [outer][n_out][inner] */
static void resample_axis(float *out, int n_out, const float *in, int n_in, int outer, size_t inner) {
	if (n_out == n_in) {
		memcpy(out, in, (size_t)outer * (size_t)n_in * inner * sizeof(*out));
		return;
	}
	for (int o = 0; o < outer; o++)
		for (int i = 0; i < n_out; i++)
			gather(out + ((size_t)o * (size_t)n_out + (size_t)i) * inner, i, n_out,
			    in + (size_t)o * (size_t)n_in * inner, n_in, inner);
}

enum jf_err jf_resample_rows(float *out, int out_height, int out_width, const float *(*row)(void *context, int y),
    void *context, int height, int width, int channels, struct jf_error *err) {
	size_t inner = (size_t)channels, stride = (size_t)out_width * inner;
	float *narrow = malloc((size_t)height * stride * sizeof(*narrow));

	if (!narrow)
		return jf_error_set(err, JF_ENOMEM, "out of memory for resizing a picture");
	for (int y = 0; y < height; y++)
		resample_axis(narrow + (size_t)y * stride, out_width, row(context, y), width, 1, inner);
	resample_axis(out, out_height, narrow, height, 1, stride);
	free(narrow);
	return JF_OK;
}

struct floats {
	const float *in;
	size_t stride;
};

static const float *row_of_floats(void *context, int y) {
	const struct floats *floats = context;

	return floats->in + (size_t)y * floats->stride;
}

enum jf_err jf_resample(float *out, int out_height, int out_width, const float *in, int height, int width, int channels,
    struct jf_error *err) {
	struct floats floats = {in, (size_t)width * (size_t)channels};

	return jf_resample_rows(out, out_height, out_width, row_of_floats, &floats, height, width, channels, err);
}
