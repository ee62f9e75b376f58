#include "core/questions/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/number.h"
#include "core/questions/question.h"

#define LEAST 1e-30
#define LN_T_MIN (-2.995732273553991) /* ln 0.05 */
#define LN_T_MAX 2.995732273553991
#define GOLDEN 0.6180339887498949

static double safe_log(float p) {
	return log(p > (float)LEAST ? (double)p : LEAST);
}

void jf_metrics_compute(struct jf_metrics *out, uint64_t *confusion, const float *probabilities, const uint16_t *labels,
    size_t n, int classes) {
	double confidence[JF_ECE_BINS] = {0}, right[JF_ECE_BINS] = {0}, nll = 0, ece = 0;
	size_t correct = 0;

	if (confusion)
		memset(confusion, 0, sizeof(*confusion) * (size_t)classes * (size_t)classes);
	memset(out, 0, sizeof(*out));
	out->n = n;
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		const float *p = probabilities + i * (size_t)classes;
		int answer = jf_argmax(p, classes);
		int hit = answer == labels[i];
		int bin =
		    (int)ceilf(p[answer] * JF_ECE_BINS) - 1; /* bins are open below: (0, 1/15], (1/15, 2/15] ... */

		bin = bin < 0 ? 0 : bin >= JF_ECE_BINS ? JF_ECE_BINS - 1 : bin;
		confidence[bin] += (double)p[answer];
		right[bin] += hit;
		correct += (size_t)hit;
		nll -= safe_log(p[labels[i]]);
		if (confusion)
			confusion[(size_t)labels[i] * (size_t)classes + (size_t)answer]++;
	}
	for (int bin = 0; bin < JF_ECE_BINS; bin++)
		ece += fabs(right[bin] - confidence[bin]);
	out->accuracy = (double)correct / (double)n;
	out->nll = nll / (double)n;
	out->ece = ece / (double)n;
}

/* Mean of -ln softmax(ln p / T)[label]. */
static double nll_at(double temperature, const float *probabilities, const uint16_t *labels, size_t n, int classes) {
	double total = 0;

	for (size_t i = 0; i < n; i++) {
		const float *p = probabilities + i * (size_t)classes;
		double top = safe_log(p[jf_argmax(p, classes)]) / temperature, sum = 0;

		for (int c = 0; c < classes; c++)
			sum += exp(safe_log(p[c]) / temperature - top);
		total += log(sum) + top - safe_log(p[labels[i]]) / temperature;
	}
	return total / (double)n;
}

enum jf_err jf_metrics_fit_temperature(float *temperature, double *nll, const float *probabilities,
    const uint16_t *labels, size_t n, int classes, struct jf_error *err) {
	double low = LN_T_MIN, high = LN_T_MAX;
	double a = high - GOLDEN * (high - low), b = low + GOLDEN * (high - low);
	double at_a, at_b;

	if (n == 0 || classes < 2)
		return jf_error_set(err, JF_EINVAL, "a temperature needs images and at least 2 classes");
	for (size_t i = 0; i < n * (size_t)classes; i++)
		if (!isfinite(probabilities[i]) || probabilities[i] < 0)
			return jf_error_set(err, JF_ENUMERIC, "probability %zu of image %zu is not a number from 0 on",
			    i % (size_t)classes, i / (size_t)classes);
	at_a = nll_at(exp(a), probabilities, labels, n, classes);
	at_b = nll_at(exp(b), probabilities, labels, n, classes);
	while (high - low > 1e-4) {
		if (at_a <= at_b) {
			high = b;
			b = a;
			at_b = at_a;
			a = high - GOLDEN * (high - low);
			at_a = nll_at(exp(a), probabilities, labels, n, classes);
		} else {
			low = a;
			a = b;
			at_a = at_b;
			b = low + GOLDEN * (high - low);
			at_b = nll_at(exp(b), probabilities, labels, n, classes);
		}
	}
	*temperature = (float)exp((low + high) / 2);
	if (nll)
		*nll = nll_at((double)*temperature, probabilities, labels, n, classes);
	return JF_OK;
}

double jf_auroc(float *above, size_t n, float *below, size_t m, double *error) {
	size_t smaller = 0, not_larger = 0;
	double wins = 0, a, q1, q2;

	*error = 0;
	if (n == 0 || m == 0)
		return 0;
	qsort(above, n, sizeof(*above), jf_number_compare_floats);
	qsort(below, m, sizeof(*below), jf_number_compare_floats);
	for (size_t i = 0; i < n; i++) {
		while (smaller < m && below[smaller] < above[i])
			smaller++;
		while (not_larger < m && below[not_larger] <= above[i])
			not_larger++;
		wins += ((double)smaller + (double)not_larger) / 2;
	}
	a = wins / (double)n / (double)m;
	q1 = a / (2 - a);
	q2 = 2 * a * a / (1 + a);
	*error = sqrt(
	    (a * (1 - a) + (double)(n - 1) * (q1 - a * a) + (double)(m - 1) * (q2 - a * a)) / (double)n / (double)m);
	return a;
}
