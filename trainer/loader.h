/* Batches of training images, made ready by a thread of its own while the step before is computed.
 *
 * The examples of a run are one endless row: epoch 0's permutation of the training images, then epoch 1's, ... Step s
 * takes examples s * batch ... s * batch + batch - 1, so where a run stands follows from its step alone, and the same
 * step gives the same batch whatever the threads, processes or interruptions. */
#ifndef JF_TRAINER_LOADER_H
#define JF_TRAINER_LOADER_H

#include <stdint.h>

#include "core/files/dataset.h"
#include "trainer/augment.h"
#include "trainer/objective.h"
#include "trainer/step.h"

struct jf_loader_options {
	uint64_t seed;
	int batch;                         /* of all processes together */
	int first, count;                  /* the rows of each batch that this process computes */
	uint64_t start;                    /* first step */
	struct jf_augment_options augment; /* strength 0: batches without augmentation vectors */
	/* NULL: any example may be distorted. Otherwise only those whose image these clocks hold: they owe no image
	 * loss, so nothing that is drawn is learnt from a distorted image. */
	const struct jf_objective_options *augment_held;
};

struct jf_loader;

/* order [n_train]: the images to train on, as indices into the data set; both are borrowed until destroy.
 * NULL on failure: JF_EINVAL (n_train = 0), JF_ENOMEM. */
struct jf_loader *jf_loader_create(const struct jf_dataset *dataset, const uint32_t *order, size_t n_train,
    const struct jf_loader_options *options, struct jf_error *err);
void jf_loader_destroy(struct jf_loader *loader); /* NULL allowed */

/* The next step's batch, beginning with options->start; borrowed until the next call. */
const struct jf_batch *jf_loader_next(struct jf_loader *loader);

#endif
