/* A picture as its decoder hands it over, row by row: what takes the rows decides how much of it is ever in memory. */
#ifndef JF_CORE_PICTURES_ROWS_H
#define JF_CORE_PICTURES_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/pictures/image.h"

/* A picture as it is stored. */
struct jf_rows_form {
	int height, width;
	int channels;    /* 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; 8 bit, alpha not multiplied in */
	int orientation; /* how it must be turned: core/pictures/exif.h */
};

/* Who takes the rows. */
struct jf_rows {
	void *context;
	/* First and once. Anything but JF_OK ends the reading, which returns the same. */
	enum jf_err (*begin)(void *context, const struct jf_rows_form *form, struct jf_error *err);
	/* Then `height` times, from the top: [width][channels], the decoder's own memory, which it uses again. */
	void (*row)(void *context, const uint8_t *row);
};

/* jf_png_rows, jf_jpeg_rows, jf_picture_rows, jf_image_rows. JF_OK: all rows were handed over. */
typedef enum jf_err jf_rows_read(const struct jf_rows *rows, const void *data, size_t size_bytes, struct jf_error *err);

/* Of a picture that is in memory: image is a struct jf_image, its size is not looked at. Errors of rows->begin alone.
 */
jf_rows_read jf_image_rows;

/* All rows as a picture, over the ground that fits, upright. out: written whole on JF_OK (caller deinits), {0}
 * otherwise. Errors of `read`, and JF_ENOMEM. */
enum jf_err jf_rows_collect(
    struct jf_image *out, jf_rows_read *read, const void *data, size_t size_bytes, struct jf_error *err);

/* What of a picture with alpha decides over which ground it is shown; {0} before the first row. */
struct jf_alpha {
	uint64_t pixels, there, light;
	int least, most; /* of the levels over white */
};
void jf_alpha_look(struct jf_alpha *alpha, const uint8_t *row, size_t pixels, int channels); /* 2 or 4 */
/* 255, white, as browsers show it; or 0, black, where that would lose the ink. */
int jf_alpha_ground(const struct jf_alpha *alpha);
/* row [pixels][2 or 4] -> out [pixels][1 or 3] over a ground of that grey; out may be row. */
void jf_alpha_over(uint8_t *out, const uint8_t *row, size_t pixels, int channels, int ground);

#endif
