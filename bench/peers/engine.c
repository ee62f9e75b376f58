/* The engine as one of the peers that bench/peers/peers.py compares.
 *
 * bench-peers MODEL    reads lines "WHAT THREADS BATCH COUNT" and answers each with one line "IMAGES WALL_S CPU_S".
 * WHAT: posterior, P(label | image) of images, without their familiarity, which the exported network does not have;
 * field, one evaluation of the whole velocity field at a time that the batch shares. COUNT batches are worked on by
 * each thread. CPU_S: user and system time of the whole process. */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/engine/exec.h"
#include "core/engine/sampler.h"
#include "core/files/checkpoint.h"

#define MOST_THREADS 64
#define MICRO_BATCH 4 /* the sampler's */

struct work {
	struct jf_model *model;
	bool field;
	int threads, batch, count;
};

struct lane {
	pthread_t thread;
	const struct work *work;
	pthread_barrier_t *barrier;
	float *images; /* [batch][image] noise */
	struct jf_sampler *sampler;
	struct jf_plan *plan;
	struct jf_exec *exec;
};

static void die(const char *message) {
	fprintf(stderr, "bench-peers: %s\n", message);
	exit(1);
}

static double cpu_s(void) {
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static void lane_init(struct lane *lane, const struct work *work, pthread_barrier_t *barrier) {
	const size_t image = jf_network_image_floats(&work->model->config);
	const int batch = work->batch;
	struct jf_error err;

	*lane = (struct lane){.work = work, .barrier = barrier};
	lane->images = malloc((size_t)batch * image * sizeof(float));
	if (!lane->images)
		die("out of memory");
	jf_rng_normal(lane->images, (size_t)batch * image, 1, JF_STREAM_EVAL, 0);
	if (!work->field) {
		lane->sampler = jf_sampler_create(work->model, JF_TASK_CLASSIFY, batch, &err);
	} else {
		const struct jf_plan_spec spec = {.outputs = 1u << JF_OUTPUT_IMAGE | 1u << JF_OUTPUT_LABEL,
		    .shared = 1u << JF_INPUT_TIME_IMG | 1u << JF_INPUT_TIME_LAB | 1u << JF_INPUT_AUGMENT,
		    .batch = batch,
		    .micro_batch = batch < MICRO_BATCH ? batch : MICRO_BATCH};

		lane->plan = jf_plan_create(work->model->graph, &spec, &err);
		if (lane->plan)
			lane->exec =
			    jf_exec_create(lane->plan, work->model->params, work->model->packed, NULL, NULL, &err);
	}
	if (!lane->sampler && !lane->exec)
		die(err.message);
}

static void lane_deinit(struct lane *lane) {
	jf_sampler_destroy(lane->sampler);
	jf_exec_destroy(lane->exec);
	jf_plan_destroy(lane->plan);
	free(lane->images);
}

static void ask_posterior(struct lane *lane, int count) {
	const struct work *work = lane->work;
	const size_t image = jf_network_image_floats(&work->model->config);
	const float *images[JF_MAX_BATCH];
	float *answer = malloc((size_t)work->batch * (size_t)work->model->config.classes * sizeof(float));
	struct jf_error err;

	for (int i = 0; i < work->batch; i++)
		images[i] = lane->images + (size_t)i * image;
	for (int n = 0; n < count; n++)
		if (!answer ||
		    jf_sampler_posterior(lane->sampler, answer, images, work->batch, 1, NULL, NULL, &err) != JF_OK)
			die("the posterior failed");
	free(answer);
}

static void ask_field(struct lane *lane, int count) {
	const struct work *work = lane->work;
	const size_t image = jf_network_image_floats(&work->model->config);
	const size_t classes = (size_t)work->model->config.classes;

	for (int n = 0; n < count; n++) {
		*jf_exec_input(lane->exec, JF_INPUT_TIME_IMG, 0) = 0.5f;
		*jf_exec_input(lane->exec, JF_INPUT_TIME_LAB, 0) = 0.5f;
		for (int i = 0; i < work->batch; i++) {
			memcpy(jf_exec_input(lane->exec, JF_INPUT_IMAGE, i), lane->images + (size_t)i * image,
			    image * sizeof(float));
			memset(jf_exec_input(lane->exec, JF_INPUT_LABEL, i), 0, classes * sizeof(float));
		}
		jf_exec_step(lane->exec, work->batch);
	}
}

/* Once to warm up, then between two barriers, at which the clocks are read. */
static void *lane_run(void *argument) {
	struct lane *lane = argument;
	void (*ask)(struct lane *, int) = lane->work->field ? ask_field : ask_posterior;

	ask(lane, 1);
	pthread_barrier_wait(lane->barrier);
	ask(lane, lane->work->count);
	pthread_barrier_wait(lane->barrier);
	return NULL;
}

static void measure(const struct work *work) {
	struct lane lanes[MOST_THREADS];
	pthread_barrier_t barrier;
	double wall, cpu;

	pthread_barrier_init(&barrier, NULL, (unsigned)work->threads + 1);
	for (int i = 0; i < work->threads; i++) {
		lane_init(&lanes[i], work, &barrier);
		if (pthread_create(&lanes[i].thread, NULL, lane_run, &lanes[i]) != 0)
			die("no thread");
	}
	pthread_barrier_wait(&barrier);
	wall = jf_clock_s();
	cpu = cpu_s();
	pthread_barrier_wait(&barrier);
	wall = jf_clock_s() - wall;
	cpu = cpu_s() - cpu;
	for (int i = 0; i < work->threads; i++) {
		pthread_join(lanes[i].thread, NULL);
		lane_deinit(&lanes[i]);
	}
	pthread_barrier_destroy(&barrier);
	printf("%d %.9f %.9f\n", work->threads * work->batch * work->count, wall, cpu);
	fflush(stdout);
}

int main(int argc, char **argv) {
	struct work work = {0};
	struct jf_error err;
	char line[256], what[32];

	if (argc != 2) {
		fprintf(stderr, "usage: bench-peers MODEL, which bench/peers/peers.py starts\n");
		return 2;
	}
	work.model = jf_checkpoint_load(argv[1], &err);
	if (!work.model)
		die(err.message);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%31s %d %d %d", what, &work.threads, &work.batch, &work.count) != 4 ||
		    work.threads < 1 || work.threads > MOST_THREADS || work.batch < 1 || work.batch > JF_MAX_BATCH)
			die("expected: posterior|field THREADS BATCH COUNT");
		work.field = strcmp(what, "field") == 0;
		measure(&work);
	}
	jf_model_unref(work.model);
	return 0;
}
