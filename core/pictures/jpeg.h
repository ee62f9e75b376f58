/* JPEG in. The one wrapper of libjpeg-turbo. */
#ifndef JF_CORE_PICTURES_JPEG_H
#define JF_CORE_PICTURES_JPEG_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"
#include "core/pictures/rows.h"

#define JF_JPEG_MAX_SIDE 16384                /* pixels a side of the file */
#define JF_JPEG_MAX_PIXELS ((size_t)64 << 20) /* of the file */
#define JF_JPEG_REDUCE_ABOVE 2048             /* a side longer than this is read at 1/2, 1/4 or 1/8 */

/* Whether the data begins like a JPEG (3 bytes). */
bool jf_jpeg_is(const void *data, size_t size_bytes);

/* How many pixels decoding would go through: the frame's, once for each scan that is to be expected. The header is read
 * by the decoder's own code, so that both see the same frame whatever stands around it. 0 when the decoder refuses the
 * header: decoding would end there. Takes no longer than reading the bytes. Thread-safe. */
size_t jf_jpeg_pixels(const void *data, size_t size_bytes);

/* Baseline or progressive, grey, YCbCr, RGB, CMYK or YCCK of 8 bits -> 8 bit, row by row; grey stays 1 channel, colour
 * becomes 3. A picture with a side above JF_JPEG_REDUCE_ABOVE (a phone's) is decoded at the largest of 1/2, 1/4, 1/8
 * whose sides stay below: the decoder averages, and memory and time stay small. Colour profiles are ignored; bytes
 * after the picture's end (a phone's second picture or film) are too. Takes some rows of memory, and a picture's
 * coefficients where it has several scans. JF_EFORMAT not a JPEG, truncated, corrupt (the message names the cause);
 * JF_ELIMIT beyond the limits above, or too much memory or too many scans asked for; JF_ENOMEM. Thread-safe. */
enum jf_err jf_jpeg_rows(const struct jf_rows *rows, const void *data, size_t size_bytes, struct jf_error *err);

#endif
