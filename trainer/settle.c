/* What depends on how many images there are. */
#include <math.h>

#include "core/files/dataset.h"
#include "trainer/options.h"

/* Fewer images than these are learnt by heart before the network has learnt to draw: they get distortions, a stronger
 * decay, and smaller batches at a higher rate, of which there are then more. bench/data.md has the measurements. */
#define SMALL 20000
#define FEW 5000 /* ... and fewer than these, stronger distortions: more of them than that only blur */
#define EPOCHS 12.0
#define MIN_STEPS 4000.0
#define MOST_WARMUP 300

enum jf_err jf_options_settle(
    struct jf_train_options *o, size_t images, bool validation, const bool *init_augments, struct jf_error *err) {
	bool small = images < SMALL;
	/* Distorting what drawing learns from costs it its looks, so then less of it. */
	bool strongly = images < FEW && o->augment_what == 1;
	size_t left;

	if (o->holdout < 0)
		o->holdout = validation ? 0 : (int)jf_dataset_holdout(images);
	if ((size_t)o->holdout >= images)
		return jf_error_set(
		    err, JF_EINVAL, "--holdout=%d leaves nothing of %zu images to train on", o->holdout, images);
	left = images - (size_t)o->holdout;
	if (o->batch > 0 && (size_t)o->batch > left)
		return jf_error_set(
		    err, JF_EINVAL, "--batch=%d is more than the %zu images to train on", o->batch, left);
	if (o->batch < 0) {
		o->batch = small ? 64 : 128;
		o->batch = (size_t)o->batch > left ? (int)left : o->batch;
	}
	if (o->lr < 0)
		o->lr = small ? 0.004 : 0.002;
	if (o->weight_decay < 0)
		o->weight_decay = small ? 0.05 : 0.01;
	if (o->augment < 0)
		o->augment = !(init_augments ? *init_augments : small) ? 0 : strongly ? 1 : 0.5;
	if (o->augment_probability < 0)
		o->augment_probability = strongly ? 1 : 0.5;
	return JF_OK;
}

double jf_options_steps(const struct jf_train_options *o, size_t n_train) {
	double per_epoch = (double)n_train / o->batch;

	if (o->steps > 0)
		return o->steps;
	return o->epochs > 0 ? ceil(o->epochs * per_epoch) : fmax(ceil(EPOCHS * per_epoch), MIN_STEPS);
}

uint64_t jf_options_warmup(const struct jf_train_options *o, uint64_t steps) {
	if (o->warmup >= 0)
		return (uint64_t)o->warmup;
	return steps / 10 < MOST_WARMUP ? steps / 10 : MOST_WARMUP;
}
