/* Where the positions of a morph are on the way from one label to the other. Equal steps of the label are not equal
 * steps of the picture, which changes for the most part within a few hundredths of the label's way. So the way is
 * measured: pictures of the same noise are drawn at a few weights, more of them where neighbours differ most, and the
 * positions are placed so that each is as far from the next, in root mean square of the pixels.
 *
 * Every row of a morph is measured alone, in stages: draw what the row asks for, hand all pictures in, repeat until it
 * is complete. A pure function of pictures: the same on every machine, whatever the batches were. */
#ifndef JF_CORE_QUESTIONS_SPACING_H
#define JF_CORE_QUESTIONS_SPACING_H

#include <stdbool.h>
#include <stddef.h>

#include "core/questions/question.h"
#include "core/questions/tasks.h"

#define JF_SPACING_PROBES 19 /* pictures that are drawn to measure one row */
#define JF_SPACING_STAGES 4

/* A row's way. At first it says where to draw, in the order of asking; when complete it is in the order of the way. */
struct jf_spacing_row {
	int n;                           /* weights so far */
	bool complete;                   /* weight rises from 0 to 1 and far says how far the picture has gone there */
	float weight[JF_SPACING_PROBES]; /* of the label gone to; 0 to 1 */
	float far[JF_SPACING_PROBES];    /* 0 to 1; all zeros when the picture does not change at all */
};

/* Whether positions have to be measured: two columns are the ends themselves, and equal classes have no way. */
bool jf_spacing_is_measured(const struct jf_blend *blend);

/* Probes of stage 0 to JF_SPACING_STAGES - 1, and of all the stages before it. */
int jf_spacing_stage_probes(int stage);
int jf_spacing_stage_first(int stage);

void jf_spacing_begin(struct jf_spacing_row *row);
/* images [n]: what was drawn at row->weight, each `size` floats. Appends the next stage's weights or completes it. */
void jf_spacing_measure(struct jf_spacing_row *row, const float *const *images, size_t size);
/* labels out [columns][classes]: equal steps of the picture along a complete row. */
void jf_spacing_place(float *labels, const struct jf_spacing_row *row, const struct jf_blend *blend, int classes);

/* For programs without a scheduler: measures the rows of a morph (several JF_SPACING_PROBES images each) and fills in
 * labels [rows * columns][K] and noise [rows * columns] as jf_blend_fill would. */
enum jf_err jf_spacing_fill(float *labels, uint64_t *noise, struct jf_model *model, const struct jf_blend *blend,
    const struct jf_task_options *options, struct jf_error *err);

#endif
