/* Resizing a picture of floats. */
#ifndef JF_CORE_PICTURES_RESAMPLE_H
#define JF_CORE_PICTURES_RESAMPLE_H

#include "core/base/error.h"

/* in [height][width][channels] -> out [out_height][out_width][channels], each axis by itself: smaller by averaging the
 * area that an output pixel covers, larger by linear interpolation between pixel centres (edges repeated), the same
 * size by copying. out must not overlap in. JF_ENOMEM. */
enum jf_err jf_resample(float *out, int out_height, int out_width, const float *in, int height, int width, int channels,
    struct jf_error *err);

/* The same of a picture that need not be there as floats: row(context, y) is called once for each y in order and
 * returns [width][channels], which it may reuse at the next call. */
enum jf_err jf_resample_rows(float *out, int out_height, int out_width, const float *(*row)(void *context, int y),
    void *context, int height, int width, int channels, struct jf_error *err);

#endif
