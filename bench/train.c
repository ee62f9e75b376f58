/* Measures training steps of the starting network: images per second, and their share of the fused multiply-add peak
 * that the same threads reach, measured before every round.
 *
 * bench-train [THREADS [ROUNDS]]    default: one thread for each CPU, 10 rounds of 4 steps of 128 images
 *
 * The images are noise: what a step costs does not depend on them. */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/peak.h"
#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/engine/sampler.h"
#include "core/kernels/blas.h"
#include "core/kernels/kernels.h"
#include "trainer/step.h"

#define BATCH 128
#define STEPS 4
#define PIXELS 784
#define MOST_THREADS 64

struct lane {
	pthread_t thread;
	const struct peak *peak;
	double flop_per_s;
};

static void *measure_lane(void *argument) {
	struct lane *lane = argument;

	lane->flop_per_s = peak_flop_per_s(lane->peak, 400);
	return NULL;
}

/* The peaks of all threads at once, added up. */
static double peak_together(const struct peak *peak, int threads) {
	struct lane lanes[MOST_THREADS];
	double sum = 0.0;

	for (int i = 0; i < threads; i++) {
		lanes[i].peak = peak;
		if (pthread_create(&lanes[i].thread, NULL, measure_lane, &lanes[i]) != 0)
			abort();
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(lanes[i].thread, NULL);
		sum += lanes[i].flop_per_s;
	}
	return sum;
}

/* Forward, and twice as much backward. */
static double flop_per_image(const struct jf_graph *graph) {
	const struct jf_plan_spec spec = {.outputs = 3, .batch = 1, .micro_batch = 1};
	struct jf_plan *plan = jf_plan_create(graph, &spec, NULL);
	double flop;

	if (!plan)
		abort();
	flop = 3.0 * 2.0 * (double)jf_plan_multiply_adds(plan, JF_STEP);
	jf_plan_destroy(plan);
	return flop;
}

static double run_round(struct jf_trainer *trainer, struct jf_batch *batch, uint64_t *sample) {
	struct jf_step_result result;
	struct jf_error err;
	double start = jf_clock_s();

	for (int s = 0; s < STEPS; s++) {
		for (int i = 0; i < BATCH; i++)
			sample[i] += BATCH;
		if (jf_trainer_step(trainer, &result, batch, BATCH, 1e-4f, &err) != JF_OK) {
			fprintf(stderr, "bench-train: %s\n", err.message);
			exit(1);
		}
	}
	return STEPS * BATCH / (jf_clock_s() - start);
}

static int by_value(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
	const struct jf_network_config config = jf_network_config_default();
	const struct jf_objective_options objective = {JF_TIMES_INDEPENDENT, JF_DENSITY_UNIFORM, 0.3f, 1.0f, {0}, 0.0f};
	const struct jf_optimiser_options optimiser = jf_optimiser_options_default();
	int threads = argc > 1 ? atoi(argv[1]) : (int)sysconf(_SC_NPROCESSORS_ONLN),
	    rounds = argc > 2 ? atoi(argv[2]) : 10;
	static float images[BATCH * PIXELS];
	static int labels[BATCH];
	static uint64_t sample[BATCH];
	struct jf_batch batch = {images, labels, NULL, sample, BATCH};
	double speed[100], share[100], flop;
	struct jf_error err;
	char report[256] = "";

	if (threads < 1 || threads > MOST_THREADS || rounds < 1 || rounds > 100) {
		fprintf(stderr, "usage: bench-train [THREADS (1 to %d) [ROUNDS (1 to 100)]]\n", MOST_THREADS);
		return 2;
	}
	jf_blas_guard(argv, report, sizeof(report));
	jf_blas_set_threads_one();
	struct jf_model *model = jf_model_create(&config, 1, &err);
	struct jf_trainer *trainer = model ? jf_trainer_create(model, &objective, &optimiser, 1, threads, &err) : NULL;
	if (!trainer) {
		fprintf(stderr, "bench-train: %s\n", err.message);
		return 1;
	}
	jf_rng_normal(images, BATCH * PIXELS, 1, JF_STREAM_EVAL, 0);
	for (int i = 0; i < BATCH; i++) {
		labels[i] = i % 10;
		sample[i] = (uint64_t)i;
	}
	flop = flop_per_image(model->graph);
	run_round(trainer, &batch, sample);
	for (int r = 0; r < rounds; r++) {
		double peak = peak_together(peak_by_name(jf_kernels()->name), threads);
		speed[r] = run_round(trainer, &batch, sample);
		share[r] = speed[r] * flop / peak;
	}
	qsort(speed, (size_t)rounds, sizeof(*speed), by_value);
	qsort(share, (size_t)rounds, sizeof(*share), by_value);
	printf("%s kernels, %s, %d threads, %zu parameters, %.1f Mflop an image\n", jf_kernels()->name,
	    jf_blas_core_type(), threads, jf_model_parameter_count(model), 1e-6 * flop);
	printf("images/s: median %.0f, best %.0f\n", speed[rounds / 2], speed[rounds - 1]);
	printf("share of the multiply-add peak: median %.1f %%, best %.1f %%\n", 100.0 * share[rounds / 2],
	    100.0 * share[rounds - 1]);
	jf_trainer_destroy(trainer);
	jf_model_unref(model);
	return 0;
}
