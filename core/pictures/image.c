#include "core/pictures/image.h"

#include <math.h>
#include <stdlib.h>

#define MAX_SIDE 65535
#define MAX_BYTES ((size_t)1 << 30)

enum jf_err jf_image_init(struct jf_image *image, int height, int width, int channels, struct jf_error *err) {
	size_t size;

	*image = (struct jf_image){0};
	if (height < 1 || width < 1 || height > MAX_SIDE || width > MAX_SIDE)
		return jf_error_set(
		    err, JF_EINVAL, "image: %d x %d pixels; a side must have 1 to %d", width, height, MAX_SIDE);
	if (channels != 1 && channels != 3)
		return jf_error_set(err, JF_EINVAL, "image: %d channels; must be 1 or 3", channels);
	size = (size_t)height * (size_t)width * (size_t)channels;
	if (size > MAX_BYTES)
		return jf_error_set(err, JF_ELIMIT, "image: %d x %d pixels take more than 1 GiB", width, height);
	image->pixels = calloc(size, 1);
	if (!image->pixels)
		return jf_error_set(err, JF_ENOMEM, "image: out of memory (%zu bytes)", size);
	image->height = height;
	image->width = width;
	image->channels = channels;
	return JF_OK;
}

enum jf_err jf_image_take(
    struct jf_image *image, int height, int width, int channels, uint8_t **pixels, struct jf_error *err) {
	uint8_t *cut;

	*image = (struct jf_image){height, width, channels, NULL};
	cut = realloc(*pixels, jf_image_size(image));
	if (!cut) {
		*image = (struct jf_image){0};
		return jf_error_set(err, JF_ENOMEM, "image: out of memory");
	}
	image->pixels = cut;
	*pixels = NULL;
	return JF_OK;
}

void jf_image_deinit(struct jf_image *image) {
	free(image->pixels);
	*image = (struct jf_image){0};
}

size_t jf_image_size(const struct jf_image *image) {
	return (size_t)image->height * (size_t)image->width * (size_t)image->channels;
}

void jf_bytes_to_floats(float *out, const uint8_t *in, size_t n) {
	for (size_t i = 0; i < n; i++)
		out[i] = jf_byte_to_float(in[i]);
}

void jf_floats_to_bytes(uint8_t *out, const float *in, size_t n) {
	for (size_t i = 0; i < n; i++) {
		/* fmaxf returns the number when the other is NaN, so NaN becomes 0. */
		float level = fmaxf((in[i] + 1.0f) * 127.5f, 0.0f);

		out[i] = (uint8_t)(fminf(level, 255.0f) + 0.5f);
	}
}

uint8_t jf_luma(uint8_t r, uint8_t g, uint8_t b) {
	return (uint8_t)((299 * r + 587 * g + 114 * b + 500) / 1000);
}
