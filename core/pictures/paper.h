/* The paper before the ink: what a photograph shows besides a drawing on even paper is taken away. */
#ifndef JF_CORE_PICTURES_PAPER_H
#define JF_CORE_PICTURES_PAPER_H

#include <stdbool.h>

#include "core/base/error.h"

/* A picture that becomes smaller in place. */
struct jf_sheet {
	float *grey; /* caller's, [height][width], 0 to 255 */
	int height, width;
	int top, left; /* of what was the whole picture */
};

/* All return JF_OK or JF_ENOMEM, set *changed when there was something to do, and leave the picture alone otherwise.
 * Sides of at least 2 pixels. */

/* A sheet that lies on something else, or within a frame: four straight sides (in any direction), a fifth of the
 * picture or more, something drawn on it, and something that is not paper along a fifth of the picture's border. The
 * picture becomes the box around it; what the box holds besides the sheet gets the level of the nearest paper. */
enum jf_err jf_paper_crop(struct jf_sheet *sheet, bool *changed, struct jf_error *err);

/* Uneven light: where the paper's level departs from jf_plane_find's plane, every level is brought to what it would be
 * on paper as bright as its middle; light and paper multiply (Land and McCann, "Lightness and retinex theory", 1971).
 */
enum jf_err jf_paper_flatten(const struct jf_sheet *sheet, bool *changed, struct jf_error *err);

/* Ruled and squared paper: at least three thin, straight, nearly parallel lines, level or upright within 5
 * degrees, that run through the whole picture. Strokes that cross them stay whole. */
enum jf_err jf_paper_unrule(const struct jf_sheet *sheet, bool *changed, struct jf_error *err);

#endif
