/* A picture taken in at the size at which it is looked at, whatever its own: rows are resized as they come, so a large
 * picture is never in memory as a whole. */
#ifndef JF_CORE_PICTURES_INTAKE_H
#define JF_CORE_PICTURES_INTAKE_H

#include "core/base/error.h"
#include "core/pictures/rows.h"

struct jf_intake_options {
	int channels;      /* 1: colour becomes grey by luma; 3: grey is repeated */
	int height, width; /* to be stretched to; 0: the aspect is kept, */
	int side;          /* and the longer side is made this long, if it is longer */
	int max_side;      /* of the source, or it is refused with JF_ELIMIT; 0: any */
};

struct jf_intake {
	float *levels; /* owned, [height][width][channels], 0 to 255 */
	int height, width, channels;
	float factor;                                     /* with `side`: its pixels a source pixel */
	int source_height, source_width, source_channels; /* 1 or 3, as decoded and upright */
};

/* Of what `read` hands over: jf_image_rows a picture in memory, jf_picture_rows a PNG or JPEG
 * (core/pictures/picture.h). Its errors, JF_ENOMEM, JF_ELIMIT; *intake is then {0}. */
enum jf_err jf_intake_take(struct jf_intake *intake, const struct jf_intake_options *options, jf_rows_read *read,
    const void *data, size_t size_bytes, struct jf_error *err);
void jf_intake_deinit(struct jf_intake *intake);

#endif
