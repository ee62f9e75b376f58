#include "core/engine/familiarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/number.h"
#include "core/engine/network.h"
#include "core/kernels/kernels.h"

#define SHRINK 1e-3 /* added to the diagonal of the correlations: features that move together stay invertible */

struct jf_familiarity *jf_familiarity_create(int features, int classes) {
	size_t d = (size_t)features, k = (size_t)classes;
	struct jf_familiarity *f = features > 0 && classes > 0 ? calloc(1, sizeof(*f)) : NULL;

	if (!f)
		return NULL;
	f->features = features;
	f->classes = classes;
	f->mean = calloc(d, sizeof(*f->mean));
	f->whitening = calloc(d * d, sizeof(*f->whitening));
	f->centres = calloc(k * d, sizeof(*f->centres));
	f->quantiles = calloc(JF_FAMILIARITY_QUANTILES, sizeof(*f->quantiles));
	if (f->mean && f->whitening && f->centres && f->quantiles)
		return f;
	jf_familiarity_destroy(f);
	return NULL;
}

void jf_familiarity_destroy(struct jf_familiarity *f) {
	if (!f)
		return;
	free(f->mean);
	free(f->whitening);
	free(f->centres);
	free(f->quantiles);
	free(f);
}

#define IMAGES JF_WHITEN_ROWS
#define BLOCK 64 /* coordinates at a time: their sums stay in the first-level cache and on the stack */
#define RUN 256  /* features at a time, so that their values fit the stack */

/* z[r * BLOCK + 0 .. lanes) := coordinates first .. first + lanes of (x[r] - mean) whitened, for n images. The features
 * beyond the last of these coordinates add nothing to them. */
static void whiten_lanes(const struct jf_familiarity *f, double *z, const float *x, int n, int first, int lanes) {
	const size_t d = (size_t)f->features;
	double values[IMAGES * RUN], sums[IMAGES * JF_LANES] = {0};

	for (int from = 0; from < first + lanes; from += RUN) {
		const int m = first + lanes - from < RUN ? first + lanes - from : RUN;

		for (int r = 0; r < n; r++)
			for (int i = 0; i < m; i++)
				values[r * m + i] = (double)(x[(size_t)r * d + (size_t)(from + i)] - f->mean[from + i]);
		jf_kernels()->whiten(sums, values, f->whitening + (size_t)from * d + first, d, n, m, lanes);
	}
	for (int r = 0; r < n; r++)
		memcpy(z + r * BLOCK, sums + r * JF_LANES, sizeof(*z) * (size_t)lanes);
}

#define CLASSES 4 /* at a time: each sum is a chain, several run beside each other */

/* sums[k] += squared distance from z to the centre of each class, over `coordinates` of them from `first` on. */
static void add_distances(const struct jf_familiarity *f, double *sums, const double *z, int first, int coordinates) {
	const size_t d = (size_t)f->features;

	for (int k0 = 0; k0 < f->classes; k0 += CLASSES) {
		const int count = f->classes - k0 < CLASSES ? f->classes - k0 : CLASSES;
		const float *centre[CLASSES];
		double sum[CLASSES] = {0};

		for (int k = 0; k < CLASSES; k++)
			centre[k] = f->centres + (size_t)(k0 + (k < count ? k : 0)) * d + first;
		for (int j = 0; j < coordinates; j++)
			for (int k = 0; k < CLASSES; k++) {
				const double difference = z[j] - (double)centre[k][j];

				sum[k] += difference * difference;
			}
		for (int k = 0; k < count; k++)
			sums[k0 + k] += sum[k];
	}
}

static float nearest(const double *sums, int classes) {
	double least = INFINITY;

	for (int k = 0; k < classes; k++)
		least = sums[k] < least ? sums[k] : least;
	return (float)least;
}

/* Squared, of n <= IMAGES images to the nearest centre. |z - c|^2 = |z|^2 - 2 z c + |c|^2 would cancel; the differences
 * are summed instead, class by class. */
static void distances_of(const struct jf_familiarity *f, float *distances, const float *x, int n) {
	double z[IMAGES][BLOCK], sums[IMAGES][JF_NETWORK_MAX_CLASSES];

	for (int r = 0; r < n; r++)
		memset(sums[r], 0, sizeof(*sums[r]) * (size_t)f->classes);
	for (int first = 0; first < f->features; first += BLOCK) {
		const int count = f->features - first < BLOCK ? f->features - first : BLOCK;

		for (int j = 0; j < count; j += JF_LANES)
			whiten_lanes(f, z[0] + j, x, n, first + j, count - j < JF_LANES ? count - j : JF_LANES);
		for (int r = 0; r < n; r++)
			add_distances(f, sums[r], z[r], first, count);
	}
	for (int r = 0; r < n; r++)
		distances[r] = nearest(sums[r], f->classes);
}

static void all_distances_of(const struct jf_familiarity *f, float *distances, const float *x, size_t n) {
	for (size_t i = 0; i < n; i += IMAGES)
		distances_of(f, distances + i, x + i * (size_t)f->features, n - i < IMAGES ? (int)(n - i) : IMAGES);
}

static float share_at(const struct jf_familiarity *f, float distance) {
	const float *q = f->quantiles;
	float step;
	int low = 0, high = JF_FAMILIARITY_QUANTILES - 1;

	if (!(distance < q[high]))
		return 0.0f;
	if (distance <= q[0])
		return 1.0f;
	while (high - low > 1) { /* q[low] <= distance < q[high] */
		int middle = (low + high) / 2;

		if (q[middle] <= distance)
			low = middle;
		else
			high = middle;
	}
	step = (distance - q[low]) / (q[high] - q[low]);
	return 1.0f - ((float)low + step) / (float)(JF_FAMILIARITY_QUANTILES - 1);
}

void jf_familiarity_of_all(const struct jf_familiarity *f, float *shares, const float *x, int n) {
	all_distances_of(f, shares, x, (size_t)n);
	for (int i = 0; i < n; i++)
		shares[i] = share_at(f, shares[i]);
}

float jf_familiarity_of(const struct jf_familiarity *f, const float *x) {
	float share;

	jf_familiarity_of_all(f, &share, x, 1);
	return share;
}

/* --- the fit --- */

struct fit {
	double *mean, *means; /* [d], [k][d] */
	double *covariance;   /* [d][d]; its lower triangle, then that of the Cholesky factor, then of the inverse */
	double *deviation;    /* [d] */
	size_t *counts;       /* [k] */
};

static enum jf_err check(const float *x, size_t n, int features, struct jf_error *err) {
	if (n < JF_FAMILIARITY_MIN)
		return jf_error_set(err, JF_EINVAL,
		    "familiarity needs at least %d images to learn from and as many held out; there are %zu",
		    JF_FAMILIARITY_MIN, n);
	for (size_t i = 0; i < n * (size_t)features; i++)
		if (!isfinite(x[i]))
			return jf_error_set(err, JF_ENUMERIC, "the network's features of image %zu are not finite",
			    i / (size_t)features);
	return JF_OK;
}

static void find_means(struct fit *t, const struct jf_familiarity *f, const float *x, const uint16_t *y, size_t n) {
	size_t d = (size_t)f->features, k = (size_t)f->classes;

	for (size_t i = 0; i < n; i++) {
		t->counts[y[i]]++;
		for (size_t j = 0; j < d; j++)
			t->means[y[i] * d + j] += (double)x[i * d + j];
	}
	for (size_t c = 0; c < k; c++)
		for (size_t j = 0; j < d; j++)
			t->mean[j] += t->means[c * d + j] / (double)n;
	for (size_t c = 0; c < k; c++)
		for (size_t j = 0; j < d; j++)
			t->means[c * d + j] = t->counts[c] ? t->means[c * d + j] / (double)t->counts[c] : t->mean[j];
}

/* Within the classes, scaled so that the diagonal is 1, with SHRINK added to it. */
static void find_covariance(
    struct fit *t, const struct jf_familiarity *f, const float *x, const uint16_t *y, size_t n) {
	size_t d = (size_t)f->features;
	double *r = t->deviation; /* of one image, before it holds what its name says */

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < d; j++)
			r[j] = (double)x[i * d + j] - t->means[y[i] * d + j];
		for (size_t a = 0; a < d; a++)
			for (size_t b = 0; b <= a; b++)
				t->covariance[a * d + b] += r[a] * r[b];
	}
	for (size_t a = 0; a < d; a++)
		t->deviation[a] = sqrt(t->covariance[a * d + a] / (double)n) + 1e-6;
	for (size_t a = 0; a < d; a++)
		for (size_t b = 0; b <= a; b++)
			t->covariance[a * d + b] =
			    t->covariance[a * d + b] / (double)n / t->deviation[a] / t->deviation[b] +
			    (a == b ? SHRINK : 0);
}

/* The lower triangle becomes its Cholesky factor, then that factor's inverse. */
static void invert_factor(double *m, size_t d) {
	for (size_t a = 0; a < d; a++)
		for (size_t b = 0; b <= a; b++) {
			double sum = m[a * d + b];

			for (size_t j = 0; j < b; j++)
				sum -= m[a * d + j] * m[b * d + j];
			m[a * d + b] = a == b ? sqrt(sum > SHRINK / 2 ? sum : SHRINK / 2) : sum / m[b * d + b];
		}
	for (size_t a = 0; a < d; a++) {
		for (size_t b = 0; b < a; b++) {
			double sum = 0;

			for (size_t j = b; j < a; j++)
				sum -= m[a * d + j] * m[j * d + b];
			m[a * d + b] = sum / m[a * d + a];
		}
		m[a * d + a] = 1 / m[a * d + a];
	}
}

static void take_over(const struct fit *t, struct jf_familiarity *f) {
	size_t d = (size_t)f->features;

	for (size_t a = 0; a < d; a++)
		f->mean[a] = (float)t->mean[a];
	for (size_t a = 0; a < d; a++)
		for (size_t b = 0; b < d; b++)
			f->whitening[b * d + a] = b <= a ? (float)(t->covariance[a * d + b] / t->deviation[b]) : 0.0f;
	for (size_t c = 0; c < (size_t)f->classes; c++)
		for (size_t a = 0; a < d; a++) {
			double sum = 0;

			for (size_t b = 0; b <= a; b++)
				sum += (t->means[c * d + b] - t->mean[b]) * t->covariance[a * d + b] / t->deviation[b];
			f->centres[c * d + a] = (float)sum;
		}
}

enum jf_err jf_familiarity_fit(
    struct jf_familiarity *f, const float *x, const uint16_t *y, size_t n, struct jf_error *err) {
	size_t d = (size_t)f->features, k = (size_t)f->classes;
	struct fit t = {.mean = calloc(d, sizeof(double)),
	    .means = calloc(k * d, sizeof(double)),
	    .covariance = calloc(d * d, sizeof(double)),
	    .deviation = calloc(d, sizeof(double)),
	    .counts = calloc(k, sizeof(size_t))};
	enum jf_err rc = check(x, n, f->features, err);

	if (!t.mean || !t.means || !t.covariance || !t.deviation || !t.counts)
		rc = jf_error_set(err, JF_ENOMEM, "no memory for the familiarity of %d features", f->features);
	if (rc == JF_OK) {
		find_means(&t, f, x, y, n);
		find_covariance(&t, f, x, y, n);
		invert_factor(t.covariance, d);
		take_over(&t, f);
	}
	free(t.mean);
	free(t.means);
	free(t.covariance);
	free(t.deviation);
	free(t.counts);
	return rc;
}

enum jf_err jf_familiarity_calibrate(struct jf_familiarity *f, const float *x, size_t n, struct jf_error *err) {
	float *distances = malloc(n * sizeof(*distances) + 1);
	enum jf_err rc = check(x, n, f->features, err);

	if (!distances)
		rc = jf_error_set(err, JF_ENOMEM, "no memory for %zu distances", n);
	if (rc == JF_OK) {
		all_distances_of(f, distances, x, n);
		qsort(distances, n, sizeof(*distances), jf_number_compare_floats);
		for (int i = 0; i < JF_FAMILIARITY_QUANTILES; i++) {
			double at = (double)(n - 1) * i / (JF_FAMILIARITY_QUANTILES - 1);
			size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
			double share = at - (double)low;

			f->quantiles[i] =
			    (float)((1 - share) * (double)distances[low] + share * (double)distances[high]);
		}
	}
	free(distances);
	return rc;
}
