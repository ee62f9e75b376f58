/* Many images as one picture: a grid without captions. */
#ifndef JF_CORE_PICTURES_SHEET_H
#define JF_CORE_PICTURES_SHEET_H

#include <stdint.h>

#include "core/base/error.h"
#include "core/pictures/image.h"

#define JF_MAX_GAP 64

struct jf_sheet_options {
	int columns; /* 1 or more; 0: nearly square, see jf_sheet_columns_of. A K x K matrix has K. */
	int gap;     /* pixels between neighbours and around the sheet, 0 to JF_MAX_GAP, not scaled; a single image has
		      * none */
	int scale;   /* every pixel becomes scale x scale, 1 to 64 */
	uint8_t background; /* grey of the gaps and of empty cells */
};

/* columns 0, gap 2, scale 1, background 64. */
struct jf_sheet_options jf_sheet_options_default(void);

/* The columns asked for, but no more than there are cells. 0: those of a nearly square sheet of n cells, the
 * smallest divisor of n in [sqrt n, 2 sqrt n], else ceil(sqrt n). */
int jf_sheet_columns_of(int wanted, int n);

/* images [n][height][width][channels] in [-1, 1], row by row -> out (init'ed here, caller deinits).
 * JF_EINVAL, JF_ELIMIT (a side over 65535 or over 1 GiB), JF_ENOMEM; out is then {0}. */
enum jf_err jf_sheet(struct jf_image *out, const float *images, int n, int height, int width, int channels,
    const struct jf_sheet_options *options, struct jf_error *err);

#endif
