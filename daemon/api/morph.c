#include "config.h"

#include "daemon/api/morph.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"

/* --- what has been measured --- */

#define N_WAYS 512 /* some 200 bytes each */

/* All that a way depends on. */
struct way_key {
	char checksum[65];
	int from, to;
	uint64_t seed, index;
	struct jf_sampler_args sampler;
};

struct way {
	struct way_key key;
	struct jf_spacing_row row;
	unsigned long used; /* when, in look-ups; 0: free */
};

struct jf_ways {
	pthread_mutex_t lock; /* guards what follows */
	unsigned long clock;
	struct way ways[N_WAYS];
};

struct jf_ways *jf_ways_create(void) {
	struct jf_ways *ways = calloc(1, sizeof(*ways));

	if (ways)
		pthread_mutex_init(&ways->lock, NULL);
	return ways;
}

void jf_ways_destroy(struct jf_ways *ways) {
	if (!ways)
		return;
	pthread_mutex_destroy(&ways->lock);
	free(ways);
}

static bool same(const struct way_key *a, const struct way_key *b) {
	return strcmp(a->checksum, b->checksum) == 0 && a->from == b->from && a->to == b->to && a->seed == b->seed &&
	       a->index == b->index && a->sampler.solver == b->sampler.solver && a->sampler.steps == b->sampler.steps &&
	       jf_sampler_same_guidance(&a->sampler, &b->sampler);
}

/* Lock held: the one with that key, otherwise the one that was used longest ago. */
static struct way *find(struct jf_ways *ways, const struct way_key *key) {
	struct way *oldest = &ways->ways[0];

	for (int i = 0; i < N_WAYS; i++) {
		struct way *way = &ways->ways[i];

		if (way->used && same(&way->key, key))
			return way;
		if (way->used < oldest->used)
			oldest = way;
	}
	return oldest;
}

static bool recall(struct jf_ways *ways, const struct way_key *key, struct jf_spacing_row *row) {
	struct way *way;
	bool known;

	pthread_mutex_lock(&ways->lock);
	way = find(ways, key);
	known = way->used && same(&way->key, key);
	if (known) {
		*row = way->row;
		way->used = ++ways->clock;
	}
	pthread_mutex_unlock(&ways->lock);
	return known;
}

static void remember(struct jf_ways *ways, const struct way_key *key, const struct jf_spacing_row *row) {
	pthread_mutex_lock(&ways->lock);
	*find(ways, key) = (struct way){.key = *key, .row = *row, .used = ++ways->clock};
	pthread_mutex_unlock(&ways->lock);
}

/* --- one morph --- */

struct jf_morph {
	struct jf_spacing_row *rows; /* [blend.rows] */
	int *unknown;                /* the rows that are measured, [n_unknown] */
	int n_unknown, stage;
	char checksum[65];
};

static struct way_key key_of(const struct jf_call *call, const struct jf_morph *morph, int row) {
	const struct jf_ask *ask = &call->ask;
	struct way_key key = {.from = ask->blend.from,
	    .to = ask->blend.to,
	    .seed = (uint64_t)ask->seed,
	    .index = (uint64_t)ask->index + (uint64_t)row,
	    .sampler = ask->sampler};

	memcpy(key.checksum, morph->checksum, sizeof(key.checksum));
	return key;
}

void jf_morph_destroy(struct jf_morph *morph) {
	if (!morph)
		return;
	free(morph->rows);
	free(morph->unknown);
	free(morph);
}

struct jf_morph *jf_morph_create(struct jf_call *call, const struct jf_model *model, int *probes) {
	const struct jf_blend *blend = &call->ask.blend;
	struct jf_morph *morph = calloc(1, sizeof(*morph));

	*probes = 0;
	if (!morph)
		return NULL;
	morph->rows = calloc((size_t)blend->rows, sizeof(*morph->rows));
	morph->unknown = calloc((size_t)blend->rows, sizeof(*morph->unknown));
	if (!morph->rows || !morph->unknown) {
		jf_morph_destroy(morph);
		return NULL;
	}
	memcpy(morph->checksum, model->checksum, sizeof(morph->checksum));
	for (int r = 0; r < blend->rows; r++) {
		const struct way_key key = key_of(call, morph, r);

		if (recall(call->http->ways, &key, &morph->rows[r]))
			continue;
		jf_spacing_begin(&morph->rows[r]);
		morph->unknown[morph->n_unknown++] = r;
	}
	*probes = morph->n_unknown * JF_SPACING_PROBES;
	return morph;
}

/* The item that draws probe `probe` of the unknown row u: a stage's probes of all rows stand together. */
static int item_of(const struct jf_morph *morph, int u, int probe) {
	int stage = 0;

	while (stage + 1 < JF_SPACING_STAGES && jf_spacing_stage_first(stage + 1) <= probe)
		stage++;
	return jf_spacing_stage_first(stage) * morph->n_unknown + u * jf_spacing_stage_probes(stage) + probe -
	       jf_spacing_stage_first(stage);
}

/* Labels of the pictures that were asked for, once all rows are known. */
static void place(const struct jf_call *call, struct jf_job *job) {
	const struct jf_blend *blend = &call->ask.blend;
	const int classes = job->model->config.classes;
	float *labels = job->labels + (size_t)call->ask.probes * (size_t)classes;

	for (int r = 0; r < blend->rows; r++)
		jf_spacing_place(labels + (size_t)r * (size_t)blend->columns * (size_t)classes,
		    &call->ask.morph->rows[r], blend, classes);
}

/* Labels of the probes of the stage that begins; returns how many items are released with it. */
static int begin_stage(const struct jf_call *call, struct jf_job *job) {
	const struct jf_blend *blend = &call->ask.blend;
	const struct jf_morph *morph = call->ask.morph;
	const int first = jf_spacing_stage_first(morph->stage), n = jf_spacing_stage_probes(morph->stage);
	const int classes = job->model->config.classes;

	for (int u = 0; u < morph->n_unknown; u++)
		for (int probe = first; probe < first + n; probe++)
			jf_label_mix(job->labels + (size_t)item_of(morph, u, probe) * (size_t)classes, blend->from,
			    blend->to, morph->rows[morph->unknown[u]].weight[probe], classes);
	return (first + n) * morph->n_unknown;
}

static int release(void *context, struct jf_job *job) {
	struct jf_call *call = context;
	struct jf_morph *morph = call->ask.morph;
	const size_t size = jf_network_image_floats(&job->model->config);
	const float *images[JF_SPACING_PROBES];

	morph->stage++;
	for (int u = 0; u < morph->n_unknown; u++) {
		struct jf_spacing_row *row = &morph->rows[morph->unknown[u]];

		for (int probe = 0; probe < row->n; probe++)
			images[probe] = job->out_images + (size_t)item_of(morph, u, probe) * size;
		jf_spacing_measure(row, images, size);
		if (row->complete) {
			const struct way_key key = key_of(call, morph, morph->unknown[u]);

			remember(call->http->ways, &key, row);
		}
	}
	if (morph->stage < JF_SPACING_STAGES)
		return begin_stage(call, job);
	place(call, job);
	return job->n;
}

void jf_morph_fill(struct jf_call *call, struct jf_job *job) {
	const struct jf_ask *ask = &call->ask;
	const struct jf_morph *morph = ask->morph;

	for (int i = 0; i < job->n; i++) {
		job->items[i].label = job->labels + (size_t)i * (size_t)job->model->config.classes;
		job->items[i].index = (uint64_t)ask->index + (uint64_t)((i - ask->probes) / ask->blend.columns);
	}
	for (int u = 0; u < morph->n_unknown; u++)
		for (int probe = 0; probe < JF_SPACING_PROBES; probe++)
			job->items[item_of(morph, u, probe)].index = (uint64_t)ask->index + (uint64_t)morph->unknown[u];
	if (morph->n_unknown == 0) {
		place(call, job);
		return;
	}
	job->release = release;
	job->released = begin_stage(call, job);
}
