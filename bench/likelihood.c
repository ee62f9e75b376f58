/* How likely the test images are, and which class makes them likeliest (core/questions/score.h; as diffusion
 * classifiers do: Li et al., arXiv:2303.16203), beside the posterior, which is another way to the same P(label |
 * image).
 *
 * bench-likelihood MODEL DATA [IMAGES [DRAWS [THREADS [FLOW]]]]    default: 1000 test images, 64 draws of time and
 * noise, 1 thread, and 0 images for which the flow's own density (bench/flow.h) is asked too, from t = 0.1 on
 *
 * Prints bits per dimension with the standard error of their mean over images, accuracy of both ways with theirs, how
 * far the two are apart, and network evaluations and time an image. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/flow.h"
#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/engine/exec.h"
#include "core/files/checkpoint.h"
#include "core/files/dataset.h"
#include "core/questions/score.h"
#include "core/questions/tasks.h"

#define SEED 1
#define MAX_THREADS 256
#define FROM 0.1
#define NOISES 4 /* of an image whose flow is followed */
#define STEPS 24

static struct jf_model *model;
static struct jf_dataset data;
static int n, draws, classes;
static double *log_p, *errors; /* [n][K + 1] */
static float *images, *bayes, *chosen, *posterior;
static atomic_int next;

static void check(bool ok, const struct jf_error *err) {
	if (!ok) {
		fprintf(stderr, "bench-likelihood: %s\n", err->message);
		exit(1);
	}
}

static void *work(void *unused) {
	size_t size = jf_network_image_floats(&model->config), k = (size_t)classes;
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(model, &err);

	(void)unused;
	check(scorer, &err);
	for (int i = atomic_fetch_add(&next, 1); i < n; i = atomic_fetch_add(&next, 1)) {
		size_t row = (size_t)i * (k + 1);

		const struct jf_score_args args = {.draws = draws, .seed = SEED + (uint64_t)i};

		check(
		    jf_scorer_score(scorer, log_p + row, errors + row, images + (size_t)i * size, &args, &err) == JF_OK,
		    &err);
		jf_score_bayes(bayes + (size_t)i * k, log_p + row, classes);
		check(
		    jf_scorer_classify(scorer, chosen + (size_t)i * k, images + (size_t)i * size, &args, &err) == JF_OK,
		    &err);
	}
	jf_scorer_destroy(scorer);
	return NULL;
}

/* Of the bits per dimension of column `which` of log_p; -1: the right class's. */
static void print_bits(const char *what, int which) {
	double sum = 0.0, squares = 0.0, within = 0.0;

	for (int i = 0; i < n; i++) {
		size_t at = (size_t)i * ((size_t)classes + 1) + (size_t)(which < 0 ? data.labels[i] : which);
		double bits = jf_score_bits(log_p[at], &model->config);

		sum += bits;
		squares += bits * bits;
		within += jf_score_bits(-errors[at], &model->config);
	}
	printf("%s: %.4f +- %.4f bits per dimension; error of one image's %.4f\n", what, sum / n,
	    sqrt((squares / n - sum / n * sum / n) / n), within / n);
}

static void print_accuracy(const char *what, const float *probabilities) {
	int right = 0;

	for (int i = 0; i < n; i++)
		right += jf_argmax(probabilities + (size_t)i * (size_t)classes, classes) == data.labels[i];
	printf("%s: %.2f %% +- %.2f of %d\n", what, 100.0 * right / n,
	    100.0 * sqrt((double)right * (n - right) / n) / n, n);
}

static void print_difference(const char *what, const float *probabilities) {
	double most = 0.0, sum = 0.0;
	int same = 0;

	for (int i = 0; i < n; i++) {
		const float *a = probabilities + (size_t)i * (size_t)classes,
			    *b = posterior + (size_t)i * (size_t)classes;
		double apart = 0.0;

		for (int k = 0; k < classes; k++) { /* no fmax: gcc 12 for aarch64 breaks on such a loop */
			const double difference = fabs((double)(a[k] - b[k]));

			if (difference > apart)
				apart = difference;
		}
		if (apart > most)
			most = apart;
		sum += apart;
		same += jf_argmax(a, classes) == jf_argmax(b, classes);
	}
	printf("%s: largest difference of an image %.4f on average, %.4f at most; the same class %.2f %%\n", what,
	    sum / n, most, 100.0 * same / n);
}

/* --- the flow's own density --- */

static void network_velocity(void *context, float *v, const float *z, int count, float t) {
	struct jf_exec *exec = context;
	size_t size = jf_network_image_floats(&model->config);

	for (int i = 0; i < count; i++)
		memcpy(jf_exec_input(exec, JF_INPUT_IMAGE, i), z + (size_t)i * size, size * sizeof(*z));
	*jf_exec_input(exec, JF_INPUT_TIME_IMG, 0) = t;
	jf_exec_step(exec, count);
	for (int i = 0; i < count; i++)
		memcpy(v + (size_t)i * size, jf_exec_output(exec, JF_OUTPUT_IMAGE, i), size * sizeof(*v));
}

/* For points without a label: the network as jf_scorer holds it in its last place. */
static struct jf_exec *hold_no_label(struct jf_plan **plan) {
	const struct jf_plan_spec spec = {.outputs = 1u << JF_OUTPUT_IMAGE,
	    .fixed = 1u << JF_INPUT_LABEL | 1u << JF_INPUT_TIME_LAB | 1u << JF_INPUT_AUGMENT,
	    .shared = 1u << JF_INPUT_LABEL | 1u << JF_INPUT_TIME_LAB | 1u << JF_INPUT_TIME_IMG | 1u << JF_INPUT_AUGMENT,
	    .batch = 4,
	    .micro_batch = 4};
	struct jf_error err;
	struct jf_exec *exec = NULL;
	float *a;

	*plan = jf_plan_create(model->graph, &spec, &err);
	if (*plan)
		exec = jf_exec_create(*plan, model->params, model->packed, NULL, NULL, &err);
	check(exec, &err);
	jf_rng_normal(jf_exec_input(exec, JF_INPUT_LABEL, 0), (size_t)classes, 0, JF_STREAM_UNLABEL, 0);
	*jf_exec_input(exec, JF_INPUT_TIME_LAB, 0) = 1.0f;
	a = jf_exec_input(exec, JF_INPUT_AUGMENT, 0);
	if (a)
		memset(a, 0, (size_t)model->config.augment * sizeof(*a));
	jf_exec_once(exec, 4);
	return exec;
}

/* What the flow says of image i from t = FROM on: the mean over noises, and its standard error. */
static double follow(const struct flow_field *field, const float *image, int i, double *error) {
	float *noise = calloc(field->n, sizeof(*noise)), *z = calloc(field->n, sizeof(*z));
	double sum = 0.0, squares = 0.0;

	if (!noise || !z)
		abort();
	for (int k = 0; k < NOISES; k++) {
		uint64_t index = (uint64_t)i * NOISES + (uint64_t)k;
		double value;

		jf_rng_normal(noise, field->n, SEED + 1, JF_STREAM_IMAGE, index);
		for (size_t j = 0; j < field->n; j++)
			z[j] = (1.0f - (float)FROM) * image[j] + (float)FROM * noise[j];
		value =
		    flow_log_density(field, z, FROM, STEPS, 1, SEED, index) - flow_log_noise(z, image, field->n, FROM);
		sum += value;
		squares += value * value;
	}
	free(noise);
	free(z);
	*error = sqrt((squares / NOISES - sum / NOISES * sum / NOISES) / (NOISES - 1));
	return sum / NOISES;
}

static void compare_with_flow(int images_followed) {
	struct jf_plan *plan;
	struct jf_exec *exec = hold_no_label(&plan);
	const struct flow_field field = {jf_network_image_floats(&model->config), 4, network_velocity, exec};
	double p[JF_NETWORK_MAX_CLASSES + 1], e[JF_NETWORK_MAX_CLASSES + 1], sums[3] = {0}, squares = 0.0, within = 0.0;
	struct jf_error err;
	struct jf_scorer *scorer = jf_scorer_create(model, &err);

	check(scorer, &err);
	for (int i = 0; i < images_followed; i++) {
		const struct jf_score_args args = {.draws = draws, .seed = SEED + (uint64_t)i, .from = FROM};
		const float *image = images + (size_t)i * field.n;
		double error, flow = follow(&field, image, i, &error), apart;

		check(jf_scorer_score(scorer, p, e, image, &args, &err) == JF_OK, &err);
		apart = p[classes] - flow;
		sums[0] += p[classes];
		sums[1] += flow;
		sums[2] += apart;
		squares += apart * apart;
		within += fabs(apart) < 2.0 * hypot(error, e[classes]);
	}
	jf_scorer_destroy(scorer);
	jf_exec_destroy(exec);
	jf_plan_destroy(plan);
	for (int i = 0; i < 3; i++)
		sums[i] /= images_followed;
	printf("from t = %g on, %d images: by denoising errors %.2f nats, by the flow %.2f; apart %.2f +- %.2f, within "
	       "two "
	       "errors of an image %.0f %%\n",
	    FROM, images_followed, sums[0], sums[1], sums[2],
	    sqrt((squares / images_followed - sums[2] * sums[2]) / images_followed), 100.0 * within / images_followed);
}

static void measure(int n_threads) {
	pthread_t threads[MAX_THREADS];
	double begun = jf_clock_s();
	int started = 0;

	while (started < n_threads - 1 && pthread_create(&threads[started], NULL, work, NULL) == 0)
		started++;
	work(NULL);
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	printf("%d images, %d draws: %d evaluations an image, %.1f ms on %d threads\n", n, draws,
	    draws * (2 * classes + 1), 1e3 * (jf_clock_s() - begun) / n, started + 1);
}

int main(int argc, char **argv) {
	int threads = argc > 5 ? atoi(argv[5]) : 1;
	struct jf_task_options options = jf_task_options_default();
	struct jf_error err;
	size_t size, k;
	int followed = argc > 6 ? atoi(argv[6]) : 0;

	n = argc > 3 ? atoi(argv[3]) : 1000;
	draws = argc > 4 ? atoi(argv[4]) : JF_DEFAULT_SCORE_DRAWS;
	if (argc < 3 || n < 1 || threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "usage: bench-likelihood MODEL DATA [IMAGES [DRAWS [THREADS [FLOW]]]]\n");
		return 2;
	}
	model = jf_checkpoint_load(argv[1], &err);
	check(model, &err);
	check(jf_dataset_load(&data, argv[2], JF_DATASET_TEST, NULL, &err) == JF_OK, &err);
	n = (size_t)n < data.n ? n : (int)data.n;
	classes = model->config.classes;
	size = jf_network_image_floats(&model->config);
	k = (size_t)classes;
	images = calloc((size_t)n * size, sizeof(*images));
	log_p = calloc((size_t)n * (k + 1), sizeof(*log_p));
	errors = calloc((size_t)n * (k + 1), sizeof(*errors));
	bayes = calloc((size_t)n * k, sizeof(*bayes));
	chosen = calloc((size_t)n * k, sizeof(*chosen));
	posterior = calloc((size_t)n * k, sizeof(*posterior));
	if (!images || !log_p || !errors || !bayes || !chosen || !posterior)
		abort();
	for (int i = 0; i < n; i++)
		jf_dataset_image(&data, (size_t)i, images + (size_t)i * size);
	measure(threads);
	check(jf_classify_posterior(model, posterior, images, n, 1, &options, &err) == JF_OK, &err);
	print_bits("P(image)", classes);
	print_bits("P(image | its class)", -1);
	print_accuracy("by Bayes' rule from P(image | class)", bayes);
	print_accuracy("classified by likelihood (jf_scorer_classify)", chosen);
	print_accuracy("by the posterior", posterior);
	print_difference("P(label | image), Bayes' rule and posterior", bayes);
	print_difference("classification by likelihood and posterior", chosen);
	if (followed > 0)
		compare_with_flow(followed < n ? followed : n);
	return 0;
}
