/* Finding what is drawn on a picture: which level is paper, which side of it is ink, and how much ink is where. */
#ifndef JF_CORE_PICTURES_INK_H
#define JF_CORE_PICTURES_INK_H

#include <stdbool.h>

#include "core/base/error.h"

#define JF_INK_SMALL_SIDE 56 /* pixels: a picture with a shorter side is taken as it is, to the pixel */

struct jf_ink {
	int height, width;
	float *amount;     /* owned, [height][width]: 0 no ink, 1 full ink */
	bool dark;         /* the ink is darker than the paper */
	float paper, full; /* grey levels, 0 to 255, in the middle of the picture */
	int top, left;     /* the smallest box around all ink */
	int box_height, box_width;
};

enum jf_ink_side { JF_INK_AUTO, JF_INK_DARK, JF_INK_LIGHT };

/* grey [height][width], 0 to 255, from malloc and taken over: it becomes ink->amount. The paper's level is the border's
 * (a plane through its four sides, so an even shadow does no harm); the ink's side is where the levels lie further from
 * it. Paper noise, and specks that are small compared to the whole, are not ink; with `inner`, what reaches the
 * picture's border is not either. JF_EEMPTY when there is none; JF_ENOMEM. On failure *ink is {0}. */
enum jf_err jf_ink_find(
    struct jf_ink *ink, float *grey, int height, int width, enum jf_ink_side side, bool inner, struct jf_error *err);

/* Makes every stroke 2 * radius pixels wider (and the picture 2 * radius larger, so that nothing is cut). JF_ENOMEM. */
enum jf_err jf_ink_thicken(struct jf_ink *ink, int radius, struct jf_error *err);

void jf_ink_deinit(struct jf_ink *ink);

#endif
