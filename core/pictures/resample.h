/* Resizing a picture of floats. */
#ifndef JF_CORE_PICTURES_RESAMPLE_H
#define JF_CORE_PICTURES_RESAMPLE_H

#include "core/base/error.h"

/* in [height][width][channels] -> out [out_height][out_width][channels], each axis by itself: smaller by averaging the
 * area that an output pixel covers, larger by linear interpolation between pixel centres (edges repeated), the same
 * size by copying. out must not overlap in. JF_ENOMEM. */
enum jf_err jf_resample(float *out, int out_height, int out_width, const float *in, int height, int width, int channels,
    struct jf_error *err);

/* The same of a picture that comes row by row and need not be there as a whole. */
struct jf_resampler {
	float *out; /* the caller's */
	int out_height, out_width, height, width, channels;
	int y;         /* rows seen */
	int first;     /* output row, the first that is not complete */
	float *narrow; /* owned, [out_width][channels]: a row resized; NULL where rows keep their width */
};

/* Clears out. JF_ENOMEM; then there is nothing to deinit. */
enum jf_err jf_resampler_init(struct jf_resampler *resampler, float *out, int out_height, int out_width, int height,
    int width, int channels, struct jf_error *err);
/* The next of `height` rows, [width][channels]; after the last one out is complete. */
void jf_resampler_row(struct jf_resampler *resampler, const float *row);
void jf_resampler_deinit(struct jf_resampler *resampler); /* {0} allowed */

#endif
