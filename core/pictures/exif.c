#include "core/pictures/exif.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define ENTRY_SIZE 12

struct block {
	const uint8_t *bytes;
	size_t size;
	bool little;
};

/* Numbers outside the block read as 0. */
static uint32_t number(const struct block *block, size_t at, size_t size) {
	uint32_t value = 0;

	if (at > block->size || block->size - at < size)
		return 0;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | block->bytes[block->little ? at + size - 1 - i : at + i];
	return value;
}

int jf_exif_orientation(const void *bytes, size_t size_bytes) {
	struct block block = {bytes, size_bytes, false};
	size_t directory, entries;

	if (size_bytes < 8 || (memcmp(bytes, "II", 2) != 0 && memcmp(bytes, "MM", 2) != 0))
		return 1;
	block.little = memcmp(bytes, "II", 2) == 0;
	if (number(&block, 2, 2) != 42)
		return 1;
	directory = number(&block, 4, 4);
	entries = number(&block, directory, 2);
	for (size_t i = 0; i < entries; i++) {
		size_t at = directory + 2 + i * ENTRY_SIZE;

		if (number(&block, at, 2) == TAG_ORIENTATION && number(&block, at + 2, 2) == TYPE_SHORT) {
			uint32_t value = number(&block, at + 8, 2);

			return value >= 1 && value <= 8 ? (int)value : 1;
		}
	}
	return 1;
}

void jf_exif_turn_pixels(void *out, const void *in, int height, int width, size_t pixel_bytes, int orientation) {
	/* what the stored picture's axes must undergo: first mirrored, then (5 to 8) rows and columns exchanged */
	bool transposed = orientation >= 5;
	bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
	bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
	const uint8_t *from = in;
	uint8_t *to = out;

	for (int y = 0; y < (transposed ? width : height); y++)
		for (int x = 0; x < (transposed ? height : width); x++, to += pixel_bytes) {
			int from_y = transposed ? x : y, from_x = transposed ? y : x;

			from_y = flip_y ? height - 1 - from_y : from_y;
			from_x = flip_x ? width - 1 - from_x : from_x;
			memcpy(to, from + ((size_t)from_y * (size_t)width + (size_t)from_x) * pixel_bytes, pixel_bytes);
		}
}

enum jf_err jf_exif_turn(struct jf_image *image, int orientation, struct jf_error *err) {
	bool transposed = orientation >= 5;
	struct jf_image turned;
	enum jf_err rc;

	if (jf_exif_is_upright(orientation))
		return JF_OK;
	rc = jf_image_init(&turned, transposed ? image->width : image->height,
	    transposed ? image->height : image->width, image->channels, err);
	if (rc != JF_OK)
		return rc;
	jf_exif_turn_pixels(
	    turned.pixels, image->pixels, image->height, image->width, (size_t)image->channels, orientation);
	jf_image_deinit(image);
	*image = turned;
	return JF_OK;
}
