/* An 8-bit picture in memory, and the step between bytes and the model's floats. */
#ifndef JF_CORE_PICTURES_IMAGE_H
#define JF_CORE_PICTURES_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

struct jf_image {
	int height, width; /* pixels, at least 1 */
	int channels;      /* 1 grey, 3 RGB */
	uint8_t *pixels;   /* owned (malloc), [height][width][channels] */
};

/* Zero-filled (black). Sizes 1 to 65535 and channels 1 or 3 (JF_EINVAL), at most 1 GiB (JF_ELIMIT), JF_ENOMEM; the
 * image is then {0}. */
enum jf_err jf_image_init(struct jf_image *image, int height, int width, int channels, struct jf_error *err);
/* Out of pixels that are there already (malloc) and become the image's, cut to its size; *pixels is then NULL. Sizes as
 * above, unchecked. JF_ENOMEM: the image is {0}, *pixels as it was. */
enum jf_err jf_image_take(
    struct jf_image *image, int height, int width, int channels, uint8_t **pixels, struct jf_error *err);
void jf_image_deinit(struct jf_image *image);       /* frees the pixels, leaves {0}; a {0} image is allowed */
size_t jf_image_size(const struct jf_image *image); /* bytes: height * width * channels */

/* Bytes to the model's range: out[i] = in[i] / 127.5 - 1. */
static inline float jf_byte_to_float(uint8_t level) {
	return (float)level / 127.5f - 1.0f;
}
void jf_bytes_to_floats(float *out, const uint8_t *in, size_t n);
/* And back: clamped to [-1, 1], rounded to nearest; NaN gives 0. The exact inverse for all 256 values. */
void jf_floats_to_bytes(uint8_t *out, const float *in, size_t n);

/* Luma of one RGB pixel (ITU-R BT.601, integer arithmetic; r = g = b gives that value). */
uint8_t jf_luma(uint8_t r, uint8_t g, uint8_t b);

#endif
