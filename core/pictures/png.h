/* PNG in and out. The one wrapper of libpng (its low-level API, with our limits and error texts). */
#ifndef JF_CORE_PICTURES_PNG_H
#define JF_CORE_PICTURES_PNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/pictures/image.h"
#include "core/pictures/rows.h"

#define JF_PNG_MAX_SIDE 2048 /* pixels a side, when reading */

/* Whether the data begins with PNG's signature (8 bytes). */
bool jf_png_is(const void *data, size_t size_bytes);

/* Width and height as the header says, before anything is decoded and whatever they are. JF_EFORMAT as below. */
enum jf_err jf_png_size(uint32_t *width, uint32_t *height, const void *data, size_t size_bytes, struct jf_error *err);

/* Any colour type and depth (1 to 16 bit, palette, tRNS, interlaced) -> 8 bit; grey stays 1 channel, colour becomes 3;
 * alpha is composited over white (on the stored values, as browsers do), or over black where white would lose the ink.
 * Turned upright as the orientation in an eXIf chunk says. Gamma and colour profiles are ignored, and so is what
 * follows the IEND chunk. out: written whole on JF_OK (caller deinits), {0} otherwise. JF_EFORMAT not a PNG, truncated,
 * corrupt (the message names the cause); JF_ELIMIT larger than JF_PNG_MAX_SIDE or chunks beyond our limits; JF_ENOMEM.
 * Thread-safe. */
enum jf_err jf_png_decode(struct jf_image *out, const void *data, size_t size_bytes, struct jf_error *err);

/* The same row by row, as it is stored and before its alpha is composited. Takes some rows of memory, but all of the
 * picture where it is interlaced. */
enum jf_err jf_png_rows(const struct jf_rows *rows, const void *data, size_t size_bytes, struct jf_error *err);

/* Grey or RGB, 8 bit. *data out: malloc'd, caller frees; NULL on failure (JF_EINVAL, JF_ENOMEM). The same picture gives
 * the same bytes (with one version of zlib). */
enum jf_err jf_png_encode(uint8_t **data, size_t *size_bytes, const struct jf_image *image, struct jf_error *err);

/* The same to a file, atomically (core/base/file.h). */
enum jf_err jf_png_write(const struct jf_image *image, const char *path, struct jf_error *err);

#endif
