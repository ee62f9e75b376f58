#include "core/pictures/resample.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Adds `weight` times a row. */
static void add_row(float *out, const float *in, float weight, size_t n) {
	for (size_t i = 0; i < n; i++)
		out[i] += weight * in[i];
}

/* The input positions of one axis that output position i is a weighted sum of: from `begin` up to but not including
 * `end`. */
struct span {
	int begin, end;
	double ratio;     /* input positions an output position */
	double low, high; /* averaging: the area covered */
	double part;      /* interpolation: the second position's share */
};

static struct span span_of(int i, int n_out, int n_in) {
	struct span span = {.ratio = (double)n_in / n_out};

	if (n_out < n_in) {
		span.low = i * span.ratio;
		span.high = (i + 1) * span.ratio;
		span.begin = (int)span.low;
		span.end = (int)span.high < n_in && (int)span.high < span.high ? (int)span.high + 1 : (int)span.high;
	} else {
		double centre = (i + 0.5) * span.ratio - 0.5;

		span.begin = centre < 0 ? 0 : (int)centre;
		span.end = span.begin + 2 < n_in ? span.begin + 2 : n_in;
		span.part = centre < span.begin ? 0 : centre - span.begin;
	}
	return span;
}

/* Adds what input position j, which lies in the span, gives to its output position. */
static void add(float *out, const struct span *span, int j, int n_out, int n_in, const float *in, size_t inner) {
	if (n_out < n_in) {
		double low = j > span->low ? j : span->low, high = j + 1 < span->high ? j + 1 : span->high;

		add_row(out, in, (float)((high - low) / span->ratio), inner);
		return;
	}
	if (j == span->begin)
		add_row(out, in, (float)(1 - span->part), inner);
	if (j > span->begin || span->begin == n_in - 1) /* the last position stands for what is beyond it, too */
		add_row(out, in, (float)span->part, inner);
}

/* in [n_in][inner] -> out [n_out][inner] */
static void resample_row(float *out, int n_out, const float *in, int n_in, size_t inner) {
	memset(out, 0, (size_t)n_out * inner * sizeof(*out));
	for (int i = 0; i < n_out; i++) {
		struct span span = span_of(i, n_out, n_in);

		for (int j = span.begin; j < span.end; j++)
			add(out + (size_t)i * inner, &span, j, n_out, n_in, in + (size_t)j * inner, inner);
	}
}

enum jf_err jf_resampler_init(struct jf_resampler *resampler, float *out, int out_height, int out_width, int height,
    int width, int channels, struct jf_error *err) {
	size_t stride = (size_t)out_width * (size_t)channels;

	*resampler = (struct jf_resampler){out, out_height, out_width, height, width, channels, 0, 0, NULL};
	if (out_width != width) {
		resampler->narrow = malloc(stride * sizeof(*resampler->narrow));
		if (!resampler->narrow)
			return jf_error_set(err, JF_ENOMEM, "out of memory for resizing a picture");
	}
	memset(out, 0, (size_t)out_height * stride * sizeof(*out));
	return JF_OK;
}

void jf_resampler_row(struct jf_resampler *r, const float *row) {
	size_t stride = (size_t)r->out_width * (size_t)r->channels;
	int y = r->y++;

	if (r->narrow) {
		resample_row(r->narrow, r->out_width, row, r->width, (size_t)r->channels);
		row = r->narrow;
	}
	if (r->out_height == r->height) {
		memcpy(r->out + (size_t)y * stride, row, stride * sizeof(*row));
		return;
	}
	for (int i = r->first; i < r->out_height; i++) {
		struct span span = span_of(i, r->out_height, r->height);

		if (span.begin > y)
			break;
		add(r->out + (size_t)i * stride, &span, y, r->out_height, r->height, row, stride);
		if (span.end == y + 1)
			r->first = i + 1;
	}
}

void jf_resampler_deinit(struct jf_resampler *resampler) {
	free(resampler->narrow);
	*resampler = (struct jf_resampler){0};
}

enum jf_err jf_resample(float *out, int out_height, int out_width, const float *in, int height, int width, int channels,
    struct jf_error *err) {
	struct jf_resampler resampler;
	enum jf_err status = jf_resampler_init(&resampler, out, out_height, out_width, height, width, channels, err);

	if (status)
		return status;
	for (int y = 0; y < height; y++)
		jf_resampler_row(&resampler, in + (size_t)y * (size_t)width * (size_t)channels);
	jf_resampler_deinit(&resampler);
	return JF_OK;
}
