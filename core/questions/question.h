/* The four questions: what they are called, what may be asked, what holds when nothing is said, how labels are coded
 * and written, how a label is chosen, how a blend is laid out. Command line, daemon, evaluation and page all read it
 * here. */
#ifndef JF_CORE_QUESTIONS_QUESTION_H
#define JF_CORE_QUESTIONS_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/engine/model.h"
#include "core/engine/sampler.h"

enum jf_question {
	JF_QUESTION_CLASSIFY, /* P(label | image) */
	JF_QUESTION_GENERATE, /* P(image | label) */
	JF_QUESTION_BLEND,    /* generate, with what lies between two labels, from the same noise */
	JF_QUESTION_SAMPLE,   /* P(image, label) */
	JF_N_QUESTIONS
};
const char *jf_question_name(enum jf_question question); /* "classify", "generate", "blend", "sample" */
enum jf_task jf_question_task(enum jf_question question);

/* How a classification comes about. */
enum jf_method {
	JF_METHOD_POSTERIOR, /* one evaluation gives P(label | image) */
	JF_METHOD_SAMPLE,    /* labels are drawn by integrating the label ODE, and vote */
	JF_N_METHODS
};

/* --- labels ----------------------------------------------------------------------------------------------------------
 * A label vector has K entries, -1 for no and +1 for yes; weights w from 0 to 1 become 2 w - 1. */

/* label out [classes] */
void jf_label_one_hot(float *label, int class, int classes);
/* label out [classes], weights [classes]; both may be the same memory. */
void jf_label_from_weights(float *label, const float *weights, int classes);

/* Index of the largest value, the first of equals; n at least 1. */
int jf_argmax(const float *values, int n);

/* --- votes -----------------------------------------------------------------------------------------------------------
 * A draw's label is the most probable class of its final probabilities. */

/* votes out [classes], mean out [classes]: how many of the n draws chose each class, and the mean of their
 * probabilities [n][classes]. Both are added to, so clear them first. */
void jf_votes_count(int *votes, float *mean, const float *probabilities, int n, int classes);
/* Whether class a is a better answer than b: more votes, among equals the higher mean, then the smaller index.
 * votes NULL: by the mean alone. */
bool jf_votes_better(const int *votes, const float *mean, int a, int b);
/* The best class. */
int jf_votes_winner(const int *votes, const float *mean, int classes);

/* --- blends ---------------------------------------------------------------------------------------------------------
 */
struct jf_blend {
	bool matrix;       /* row a, column b: half a, half b, all from the same noise; rows = columns = classes */
	int from, to;      /* otherwise: from one class to the other along a row, each row from its own noise */
	int rows, columns; /* a morph has at least 2 columns */
};

/* labels out [rows * columns][classes]; noise out [rows * columns]: the index of each image's noise, from 0. */
void jf_blend_fill(float *labels, uint64_t *noise, const struct jf_blend *blend, int classes);

#endif
