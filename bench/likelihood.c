/* How likely the test images are, and which class makes them likeliest (core/questions/score.h; as diffusion
 * classifiers do: Li et al., arXiv:2303.16203), beside the posterior, which is another way to the same P(label |
 * image).
 *
 * bench-likelihood MODEL DATA [IMAGES [DRAWS [THREADS]]]    default: 1000 test images, 64 draws of time and noise, 1
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

#include "core/base/clock.h"
#include "core/files/checkpoint.h"
#include "core/files/dataset.h"
#include "core/questions/score.h"
#include "core/questions/tasks.h"

#define SEED 1
#define MAX_THREADS 256

static struct jf_model *model;
static struct jf_dataset data;
static int n, draws, classes;
static double *log_p, *errors; /* [n][K + 1] */
static float *images, *bayes, *posterior;
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

static void print_difference(void) {
	double most = 0.0, sum = 0.0;
	int same = 0;

	for (int i = 0; i < n; i++) {
		const float *a = bayes + (size_t)i * (size_t)classes, *b = posterior + (size_t)i * (size_t)classes;
		double apart = 0.0;

		for (int k = 0; k < classes; k++)
			apart = fmax(apart, fabs((double)(a[k] - b[k])));
		most = fmax(most, apart);
		sum += apart;
		same += jf_argmax(a, classes) == jf_argmax(b, classes);
	}
	printf(
	    "P(label | image), both ways: largest difference of an image %.4f on average, %.4f at most; the same class "
	    "%.2f %%\n",
	    sum / n, most, 100.0 * same / n);
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
	printf("%d images, %d draws: %d evaluations an image, %.1f ms on %d threads\n", n, draws, draws * (classes + 1),
	    1e3 * (jf_clock_s() - begun) / n, started + 1);
}

int main(int argc, char **argv) {
	int threads = argc > 5 ? atoi(argv[5]) : 1;
	struct jf_task_options options = jf_task_options_default();
	struct jf_error err;
	size_t size, k;

	n = argc > 3 ? atoi(argv[3]) : 1000;
	draws = argc > 4 ? atoi(argv[4]) : JF_DEFAULT_SCORE_DRAWS;
	if (argc < 3 || n < 1 || threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "usage: bench-likelihood MODEL DATA [IMAGES [DRAWS [THREADS]]]\n");
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
	posterior = calloc((size_t)n * k, sizeof(*posterior));
	if (!images || !log_p || !errors || !bayes || !posterior)
		abort();
	for (int i = 0; i < n; i++)
		jf_dataset_image(&data, (size_t)i, images + (size_t)i * size);
	measure(threads);
	check(jf_classify_posterior(model, posterior, images, n, 1, &options, &err) == JF_OK, &err);
	print_bits("P(image)", classes);
	print_bits("P(image | its class)", -1);
	print_accuracy("classified by likelihood", bayes);
	print_accuracy("by the posterior", posterior);
	print_difference();
	return 0;
}
