/* From any picture to the model's input: MNIST's own framing, or plain resizing.
 *
 * MNIST framing (LeCun et al., 1998): white ink on black, the ink's box scaled into 20 x 20 with its aspect kept,
 * placed so that its centre of mass is the middle of the 28 x 28 field. For a model of H x W the box is 20/28 of each
 * side. What a photograph shows besides the digit (a table, a frame, ruled lines, uneven light) is taken away first. */
#ifndef JF_CORE_PICTURES_FRAMING_H
#define JF_CORE_PICTURES_FRAMING_H

#include <stdbool.h>

#include "core/base/error.h"
#include "core/pictures/image.h"

enum jf_preprocess {
	JF_PREPROCESS_MNIST, /* find ink, invert, scale into the box, centre */
	JF_PREPROCESS_NONE,  /* as it is; another size is stretched to H x W by area averaging, aspect not kept */
	JF_N_PREPROCESS
};
extern const char *const jf_preprocess_names[JF_N_PREPROCESS + 1]; /* "mnist", "none", NULL */
const char *jf_preprocess_name(enum jf_preprocess preprocess);

/* What a model learnt from: whether a light border is a sign of ink on paper the wrong way round. */
enum jf_paper {
	JF_PAPER_DARK, /* light on dark, all but a few */
	JF_PAPER_ANY,  /* light borders too, as photographs have them */
	JF_N_PAPER
};
extern const char *const jf_paper_names[JF_N_PAPER + 1]; /* "dark", "any", NULL */

enum jf_invert {
	/* mnist: when the ink is darker than the paper; none: when most of the border is light, and
	 * jf_invert_settle says never to a model that learnt from any paper */
	JF_INVERT_AUTO,
	JF_INVERT_YES,
	JF_INVERT_NO,
	JF_N_INVERT
};
extern const char *const jf_invert_names[JF_N_INVERT + 1]; /* "auto", "yes", "no", NULL */
const char *jf_invert_name(enum jf_invert invert);
/* What is meant for a model that learnt from such pictures. */
enum jf_invert jf_invert_settle(enum jf_invert invert, enum jf_preprocess preprocess, enum jf_paper paper);

struct jf_framing_options {
	enum jf_preprocess preprocess;
	enum jf_invert invert;
};

/* What was done. Coordinates in source pixels. */
struct jf_framing_report {
	enum jf_preprocess preprocess;
	int source_height, source_width, source_channels;
	bool inverted;                           /* grey values were inverted */
	bool resized;                            /* the output is not the source's pixels one by one */
	int ink_y, ink_x, ink_height, ink_width; /* the ink's box; none: the whole picture */
	float scale_y, scale_x;                  /* output pixels per source pixel (mnist: both the same) */
	float shift_y, shift_x;                  /* where the box's top left corner lies in the output, in pixels */
	bool thickened;                          /* strokes were too thin for the field and made wider (mnist) */
	float paper, ink; /* grey levels (0..255, before inversion) taken for paper and full ink */
};

/* out [height][width][channels] in [-1, 1], caller's memory, channels 1 or 3 (grey repeated; colour is kept only by
 * JF_PREPROCESS_NONE); report may be NULL. mnist: the values are those of whole grey levels, as in MNIST itself.
 * JF_EEMPTY blank (mnist: no ink found); JF_EINVAL bad arguments. JF_ENOMEM. out is unspecified on failure. */
enum jf_err jf_frame(float *out, struct jf_framing_report *report, const struct jf_image *image, int height, int width,
    int channels, const struct jf_framing_options *options, struct jf_error *err);

/* The same of a PNG or JPEG, which is unpacked row by row: beside its decoder's memory (core/pictures/png.h, jpeg.h)
 * this takes less than 4 MB, however large the picture is. JF_ELIMIT: a side, as decoded, is longer than max_side (0:
 * any); or an error of core/pictures/picture.h. */
enum jf_err jf_frame_picture(float *out, struct jf_framing_report *report, const void *data, size_t size_bytes,
    int max_side, int height, int width, int channels, const struct jf_framing_options *options, struct jf_error *err);

#endif
