/* Which way up a camera held a picture, and turning it upright. */
#ifndef JF_CORE_PICTURES_EXIF_H
#define JF_CORE_PICTURES_EXIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/pictures/image.h"

/* The orientation (1 to 8; 1 is upright) in an Exif block, which is a TIFF header and its first directory: what a JPEG
 * has after "Exif\0\0" in APP1 and a PNG in eXIf. A block that is damaged or says nothing gives 1: it says how to turn
 * a picture, and no reason to refuse one. Source: Exif 2.32, tag 0x0112. */
int jf_exif_orientation(const void *block, size_t size_bytes);

/* Whether a picture of that orientation is to be left as it is. */
static inline bool jf_exif_is_upright(int orientation) {
	return orientation <= 1 || orientation > 8;
}

/* in [height][width] pixels of that many bytes -> out, which must not overlap it, turned and mirrored: [height][width],
 * or [width][height] for the orientations 5 to 8. */
void jf_exif_turn_pixels(void *out, const void *in, int height, int width, size_t pixel_bytes, int orientation);

/* Turns and mirrors the picture as its orientation says; 1 leaves it alone. JF_ENOMEM, the image then stays as it
 * was. */
enum jf_err jf_exif_turn(struct jf_image *image, int orientation, struct jf_error *err);

#endif
