/* Morphs with positions at equal steps of the picture: the job draws a few pictures first to measure the way
 * (core/questions/spacing.h), then those that were asked for. Measurements are remembered, so a way that was measured
 * once costs nothing again: the same seed, pair and sampler with another number of columns, or more rows. */
#ifndef JF_DAEMON_API_MORPH_H
#define JF_DAEMON_API_MORPH_H

#include <stdbool.h>

#include "core/questions/spacing.h"
#include "daemon/work/job.h"

struct jf_call;

/* Ways that have been measured, the latest ones; shared by all calls. */
struct jf_ways;
struct jf_ways *jf_ways_create(void); /* NULL: no memory */
void jf_ways_destroy(struct jf_ways *ways);

/* Rows of one morph while it is drawn. */
struct jf_morph;
void jf_morph_destroy(struct jf_morph *morph);

/* Looks up what is known about call->ask.blend, for this model. NULL: no memory. *probes: how many pictures have to be
 * drawn first, JF_SPACING_PROBES for each row that is not known. */
struct jf_morph *jf_morph_create(struct jf_call *call, const struct jf_model *model, int *probes);
/* Fills in the job's items and labels: the probes come first, then rows * columns pictures. Owns neither. */
void jf_morph_fill(struct jf_call *call, struct jf_job *job);

#endif
