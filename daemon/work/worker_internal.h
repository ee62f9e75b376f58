/* What the parts of a worker share: worker.c and worker_score.c. */
#ifndef JF_DAEMON_WORK_WORKER_INTERNAL_H
#define JF_DAEMON_WORK_WORKER_INTERNAL_H

#include "daemon/work/scheduler_private.h"

/* It has finished a step, a batch, or a draw. */
void jf_worker_beat(struct jf_worker *worker);
/* Gives back the items whose jobs are ending; the rest closes up, in the sampler too (NULL: there is none to tell).
 * Returns how many are left. */
int jf_worker_drop_ending(struct jf_worker *worker, struct jf_batch *batch, struct jf_sampler *sampler, int steps);
/* Between two steps: get ready for a new model, and let one waiting classification batch pass. */
void jf_worker_serve_in_between(struct jf_worker *worker);

/* A batch of one item of a score or likelihood: its posterior first, for its own sake and the familiarity's, on the
 * set's sampler of classifications; then draw by draw, serving in between. *steps: draws done. */
enum jf_err jf_worker_score(struct jf_worker *worker, struct jf_sampler_set *set, struct jf_batch *batch,
    struct jf_sampler *sampler, int *steps, struct jf_error *err);

#endif
