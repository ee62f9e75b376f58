#include "trainer/loader.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 3 /* one in use, one ready, one being made */

struct slot {
	float *images;
	float *augment; /* NULL without augmentation */
	int *labels;
	uint64_t *sample;
	struct jf_batch batch;
};

struct jf_loader {
	const struct jf_dataset *dataset;
	const uint32_t *order;
	size_t n_train;
	struct jf_loader_options options;
	uint32_t *epoch_order; /* [n_train], of `epoch`; the thread's own */
	uint64_t epoch;
	float *clean; /* one image before its distortion; the thread's own */
	struct slot slots[SLOTS];
	/* Guards made, taken, stop. Never held while a batch is made. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t made, taken; /* batches since the start; batch i lies in slot i % SLOTS */
	bool stop;
	bool running;
	pthread_t thread;
};

static size_t image_index(struct jf_loader *l, uint64_t example) {
	uint64_t epoch = example / l->n_train;

	if (epoch != l->epoch) {
		jf_dataset_shuffle(l->epoch_order, l->n_train, l->options.seed, (uint32_t)epoch);
		l->epoch = epoch;
	}
	return l->order[l->epoch_order[example % l->n_train]];
}

static bool may_distort(const struct jf_loader *l, uint64_t example) {
	float t[2];

	if (!l->options.augment_held)
		return true;
	jf_objective_times(t, l->options.augment_held, l->options.seed, example);
	return t[0] <= 0.0F;
}

static void fill(struct jf_loader *l, struct slot *slot, uint64_t step) {
	const struct jf_dataset *d = l->dataset;
	const struct jf_augment_options clean = {0};
	size_t size = jf_dataset_image_size(d);

	for (int i = 0; i < l->options.count; i++) {
		uint64_t example = step * (uint64_t)l->options.batch + (uint64_t)(l->options.first + i);
		size_t index = image_index(l, example);
		float *image = slot->images + (size_t)i * size;

		slot->sample[i] = example;
		slot->labels[i] = d->labels[index];
		if (slot->augment) {
			jf_dataset_image(d, index, l->clean);
			jf_augment(image, slot->augment + i * JF_AUGMENT_SIZE, l->clean, d->height, d->width,
			    d->channels, may_distort(l, example) ? &l->options.augment : &clean, l->options.seed,
			    example);
		} else {
			jf_dataset_image(d, index, image);
		}
	}
}

static void *work(void *context) {
	struct jf_loader *l = context;

	pthread_mutex_lock(&l->lock);
	while (!l->stop) {
		/* the slot of batch taken - 1 is still borrowed by the caller */
		if (l->made + 1 >= l->taken + SLOTS) {
			pthread_cond_wait(&l->changed, &l->lock);
			continue;
		}
		pthread_mutex_unlock(&l->lock);
		fill(l, &l->slots[l->made % SLOTS], l->options.start + l->made);
		pthread_mutex_lock(&l->lock);
		l->made++;
		pthread_cond_broadcast(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

const struct jf_batch *jf_loader_next(struct jf_loader *loader) {
	const struct jf_batch *batch;

	pthread_mutex_lock(&loader->lock);
	while (loader->made == loader->taken)
		pthread_cond_wait(&loader->changed, &loader->lock);
	batch = &loader->slots[loader->taken++ % SLOTS].batch;
	pthread_cond_broadcast(&loader->changed);
	pthread_mutex_unlock(&loader->lock);
	return batch;
}

static bool slot_init(struct slot *slot, const struct jf_loader *l) {
	size_t n = (size_t)l->options.count, size = jf_dataset_image_size(l->dataset);

	slot->images = malloc(n * size * sizeof(*slot->images));
	slot->labels = malloc(n * sizeof(*slot->labels));
	slot->sample = malloc(n * sizeof(*slot->sample));
	if (l->options.augment.strength > 0)
		slot->augment = malloc(n * JF_AUGMENT_SIZE * sizeof(*slot->augment));
	slot->batch = (struct jf_batch){.images = slot->images,
	    .labels = slot->labels,
	    .augment = slot->augment,
	    .sample = slot->sample,
	    .n = l->options.count};
	return slot->images && slot->labels && slot->sample && (slot->augment || l->options.augment.strength <= 0);
}

struct jf_loader *jf_loader_create(const struct jf_dataset *dataset, const uint32_t *order, size_t n_train,
    const struct jf_loader_options *options, struct jf_error *err) {
	struct jf_loader *l;
	bool ok = true;

	if (n_train == 0 || options->count < 1) {
		jf_error_set(err, JF_EINVAL, "no images are left to train on");
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		jf_error_set(err, JF_ENOMEM, "out of memory for batches");
		return NULL;
	}
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	l->dataset = dataset;
	l->order = order;
	l->n_train = n_train;
	l->options = *options;
	l->epoch = UINT64_MAX;
	l->epoch_order = malloc(n_train * sizeof(*l->epoch_order));
	l->clean = malloc(jf_dataset_image_size(dataset) * sizeof(*l->clean));
	for (int i = 0; i < SLOTS; i++)
		ok = slot_init(&l->slots[i], l) && ok;
	ok = ok && l->epoch_order && l->clean;
	l->running = ok && pthread_create(&l->thread, NULL, work, l) == 0;
	if (!l->running) {
		jf_error_set(err, JF_ENOMEM, "no memory or thread to be had for batches");
		jf_loader_destroy(l);
		return NULL;
	}
	return l;
}

void jf_loader_destroy(struct jf_loader *loader) {
	if (!loader)
		return;
	if (loader->running) {
		pthread_mutex_lock(&loader->lock);
		loader->stop = true;
		pthread_cond_broadcast(&loader->changed);
		pthread_mutex_unlock(&loader->lock);
		pthread_join(loader->thread, NULL);
	}
	for (int i = 0; i < SLOTS; i++) {
		free(loader->slots[i].images);
		free(loader->slots[i].labels);
		free(loader->slots[i].sample);
		free(loader->slots[i].augment);
	}
	free(loader->clean);
	free(loader->epoch_order);
	pthread_cond_destroy(&loader->changed);
	pthread_mutex_destroy(&loader->lock);
	free(loader);
}
