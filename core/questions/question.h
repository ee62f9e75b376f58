/* The questions: their names, limits and defaults, how labels are coded
 * and written, how a label is chosen, how a blend is laid out. Command line, daemon, evaluation and page all read it
 * here. */
#ifndef JF_CORE_QUESTIONS_QUESTION_H
#define JF_CORE_QUESTIONS_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/engine/model.h"
#include "core/engine/sampler.h"
#include "core/pictures/image.h"

enum jf_question {
	JF_QUESTION_CLASSIFY, /* P(label | image) */
	JF_QUESTION_GENERATE, /* P(image | label) */
	JF_QUESTION_BLEND,    /* generate, with what lies between two labels, from the same noise */
	JF_QUESTION_SAMPLE,   /* P(image, label) */
	JF_QUESTION_EDIT,     /* P(image | label, an image with noise on it) */
	JF_QUESTION_SCORE,    /* P(image) and P(image | label) of an image that is given */
	JF_N_QUESTIONS
};
const char *jf_question_name(enum jf_question question); /* "classify", "generate" ... */
enum jf_task jf_question_task(enum jf_question question);

/* How to classify. */
enum jf_method {
	JF_METHOD_POSTERIOR,  /* one evaluation gives P(label | image) */
	JF_METHOD_SAMPLE,     /* labels are drawn by integrating the label ODE, and vote */
	JF_METHOD_LIKELIHOOD, /* under which label noise comes off the image best; see core/questions/score.h */
	JF_N_METHODS
};
extern const char *const jf_method_names[JF_N_METHODS + 1]; /* "posterior" ..., NULL */

/* --- limits and defaults ---------------------------------------------------------------------------------------------
 * Limits that hold for everyone, whatever a program's own limits are, and defaults. JF_MAX_STEPS,
 * JF_MAX_DRAWS and JF_MAX_GUIDANCE are the sampler's. */

#define JF_MAX_SEED INT64_C(9007199254740991) /* over HTTP: 2^53 - 1, exact in every JSON reader */
#define JF_MAX_VOTES 4096                     /* samples of JF_METHOD_SAMPLE */
#define JF_MAX_SCALE 16
#define JF_MAX_PIXELS (64L << 20) /* over HTTP: of all images together, enlarged; some 0.5 s of PNG encoding */
#define JF_MAX_LABEL 10           /* of a label vector's entries, either way; -1 and +1 are the usual ones */
#define JF_MIN_STRENGTH 0.001     /* of an edit; the most is 1 */
#define JF_MAX_WEIGHT 1           /* weights are 0 to this */

#define JF_DEFAULT_STEPS 30
#define JF_UNFAMILIAR_BELOW 0.01 /* the familiarity below which a picture counts as unfamiliar */
#define JF_DEFAULT_GUIDANCE 1
#define JF_DEFAULT_VOTES 8       /* samples of JF_METHOD_SAMPLE; a posterior has one */
#define JF_DEFAULT_COUNT 1       /* images of a label, pairs of image and label */
#define JF_DEFAULT_ROWS 1        /* of a morph */
#define JF_DEFAULT_COLUMNS 9     /* of a morph */
#define JF_DEFAULT_STRENGTH 0.75 /* of an edit */
#define JF_DEFAULT_REPEATS 1     /* of an edit's steps */
#define JF_DEFAULT_SCALE 4       /* of a sheet; single pictures that are handed out as data have one pixel for one */

/* A number as a literal, for tables of texts. */
#define JF_TEXT_OF(number) JF_TEXT_OF_(number)
#define JF_TEXT_OF_(number) #number

int jf_samples_max(enum jf_method method);
int jf_samples_default(enum jf_method method);
/* The least; a likelihood's number of samples is a multiple of it too: its draws come in pairs. */
int jf_samples_unit(enum jf_method method);
/* Solver and guidance of a task, and JF_DEFAULT_STEPS. */
struct jf_sampler_args jf_sampler_args_default(enum jf_task task);

/* --- labels ----------------------------------------------------------------------------------------------------------
 * A label vector has K entries, -1 for no and +1 for yes; weights w from 0 to 1 become 2 w - 1. */

/* label out [classes] */
void jf_label_one_hot(float *label, int class, int classes);
/* label out [classes], weights [classes]; both may be the same memory. */
void jf_label_from_weights(float *label, const float *weights, int classes);

/* "digit" where the classes are digits, named 0, 1, 2 ... in this order, otherwise "class". */
const char *jf_class_word(const char *const *names, int classes);

/* How labels are written. names [classes]; what is wrong is said as "must be ...", for the caller to name the place:
 * JF_EINVAL, or JF_EFORMAT for what is not a number.
 * A class: its name or, when no class has that name, its number from 0; where all names are numbers, and not the
 * classes' own, only names are taken. */
enum jf_err jf_class_parse(int *class, const char *text, const char *const *names, int classes, struct jf_error *err);
/* A mixture: "6=0.5,7=0.5" or "6:0.5,7:0.5"; at least one class, none twice. A name may hold commas and separators: the
 * longest that fits is meant. weights out [classes], 0 for classes that are not named. */
enum jf_err jf_weights_parse(
    float *weights, const char *text, const char *const *names, int classes, struct jf_error *err);
/* A vector: exactly one number a class, "-1,1,-1". label out [classes]. */
enum jf_err jf_label_parse(float *label, const char *text, int classes, struct jf_error *err);

/* Index of the largest value, the first of equals; n at least 1. */
int jf_argmax(const float *values, int n);

/* --- draws and votes --------------------------------------------------------------------------------------------- */

/* The class of a drawn label vector [classes]: its largest entry. */
int jf_draw_class(const float *label, int classes);

/* One of `draws` draws votes for its class: adds to votes [classes], and its probabilities [classes] to their mean
 * [classes], which may be NULL. Both begin as zeros. label [classes]: what was drawn; NULL of a posterior, which draws
 * none and votes for its most probable class. */
void jf_votes_add(int *votes, float *mean, const float *label, const float *probabilities, int draws, int classes);
/* The class in place `place`, from 0 (the best) to classes - 1, ordered by votes, among equals by the
 * higher mean, then by the smaller index. votes NULL: by the mean alone. */
int jf_votes_place(const int *votes, const float *mean, int place, int classes);
/* The one in place 0. */
int jf_votes_winner(const int *votes, const float *mean, int classes);

/* label out [classes]: weights 1 - weight of `from` and weight of `to`; the class itself when they are the same. */
void jf_label_mix(float *label, int from, int to, float weight, int classes);

/* --- blends --- */

/* What neighbours in a morph are equally far apart in. */
enum jf_spacing {
	JF_SPACING_EVEN,  /* steps of the picture; core/questions/spacing.h places them */
	JF_SPACING_LABEL, /* steps of the label */
	JF_N_SPACINGS
};
extern const char *const jf_spacing_names[JF_N_SPACINGS + 1]; /* "even", "label", NULL */

struct jf_blend {
	bool matrix;       /* row a, column b: half a, half b, all from the same noise; rows = columns = classes */
	int from, to;      /* otherwise: from one class to the other along a row, each row from its own noise */
	int rows, columns; /* a morph has at least 2 columns */
	enum jf_spacing spacing; /* of a morph */
};

/* Equal steps of the label, whatever the spacing.
 * labels out [rows * columns][classes]; noise out [rows * columns]: the index of each image's noise, from 0. */
void jf_blend_fill(float *labels, uint64_t *noise, const struct jf_blend *blend, int classes);

/* --- edits -----------------------------------------------------------------------------------------------------------
 * An edit adds noise to a picture, up to the time t = `strength`, and removes it again under a label. */

/* A counterfactual is the edit with the least strength after which the posterior names the label that was asked for. It
 * is looked for on a grid, upwards: strength number `place`, from 0 to JF_EDIT_GRID - 1, of which the last is 1. */
#define JF_EDIT_GRID 20
float jf_edit_strength(int place);

/* Whether a mask's size is the model's; JF_EINVAL says of another "is 30 x 28 pixels ...", for the caller to name. */
enum jf_err jf_edit_check_mask(int mask_height, int mask_width, int height, int width, struct jf_error *err);
/* A mask as a picture of the model's size: light pixels (128 and above) are drawn anew, dark ones are kept. redraw out
 * [height][width]. JF_EINVAL as above. */
enum jf_err jf_edit_mask(bool *redraw, const struct jf_image *mask, int height, int width, struct jf_error *err);

#endif
