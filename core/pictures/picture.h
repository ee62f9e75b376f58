/* A picture file of any kind that can be read: PNG or JPEG, told apart by their first bytes and not by their names. */
#ifndef JF_CORE_PICTURES_PICTURE_H
#define JF_CORE_PICTURES_PICTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"
#include "core/pictures/image.h"
#include "core/pictures/rows.h"

#define JF_PICTURE_KINDS "PNG or JPEG"          /* as messages name them */
#define JF_PICTURE_MAX_BYTES ((size_t)32 << 20) /* of a file that jf_picture_read accepts */

/* Whether the data begins like one of these kinds. */
bool jf_picture_is(const void *data, size_t size_bytes);

/* How many pixels decoding it would go through, a JPEG's as jf_jpeg_pixels counts them; 0 when its header is refused.
 * Looks at the header only. */
size_t jf_picture_pixels(const void *data, size_t size_bytes);

/* Whether a file's name has one of the kinds' extensions: .png, .jpg, .jpeg, .jpe, .jfif in either case. */
bool jf_picture_is_named(const char *name);

/* What data that is neither seems to be, with an article ("a GIF", "an HTML page", "base64 text"); "empty" when there
 * is none, NULL when it looks like nothing known. Only what the first bytes say. */
const char *jf_picture_guess(const void *data, size_t size_bytes);

/* Row by row, as it is stored: see core/pictures/png.h and core/pictures/jpeg.h for what is read, limits and errors.
 * Data of an unknown kind: JF_EFORMAT. */
enum jf_err jf_picture_rows(const struct jf_rows *rows, const void *data, size_t size_bytes, struct jf_error *err);

/* A file ("-": standard input) as a whole: 8 bit, 1 or 3 channels, upright; messages begin with its name. JF_EIO
 * besides. */
enum jf_err jf_picture_read(struct jf_image *out, const char *path, struct jf_error *err);

#endif
