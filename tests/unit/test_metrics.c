/* Accuracy, NLL, ECE, confusion and temperature against values worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/questions/quality.h"

static void test_by_hand(void **state) {
	/* answers 0, 1, 1, 0 of labels 0, 1, 0, 0 */
	const float p[4][2] = {{0.9F, 0.1F}, {0.2F, 0.8F}, {0.3F, 0.7F}, {0.5F, 0.5F}};
	const uint16_t labels[4] = {0, 1, 0, 0};
	struct jf_metrics m;
	uint64_t confusion[4];

	(void)state;
	jf_metrics_compute(&m, confusion, &p[0][0], labels, 4, 2);
	assert_int_equal(m.n, 4);
	assert_true(fabs(m.accuracy - 0.75) < 1e-12);
	assert_true(fabs(m.nll + (log(0.9) + log(0.8) + log(0.3) + log(0.5)) / 4) < 1e-6);
	/* each in a bin of its own: |1 - .9|, |1 - .8|, |0 - .7|, |1 - .5| */
	assert_true(fabs(m.ece - (0.1 + 0.2 + 0.7 + 0.5) / 4) < 1e-6);
	assert_int_equal(confusion[0], 2);
	assert_int_equal(confusion[1], 1);
	assert_int_equal(confusion[2], 0);
	assert_int_equal(confusion[3], 1);
}

static void test_one_bin(void **state) {
	/* 10 answers of confidence 0.95, 8 of them right: one bin, |0.8 - 0.95| */
	float p[10][2];
	uint16_t labels[10];
	struct jf_metrics m;

	(void)state;
	for (int i = 0; i < 10; i++) {
		p[i][0] = 0.95F;
		p[i][1] = 0.05F;
		labels[i] = i >= 8;
	}
	jf_metrics_compute(&m, NULL, &p[0][0], labels, 10, 2);
	assert_true(fabs(m.accuracy - 0.8) < 1e-12);
	assert_true(fabs(m.ece - 0.15) < 1e-6);
}

static void test_edges(void **state) {
	const float certain[2][2] = {{1, 0}, {1, 0}};
	const uint16_t labels[2] = {0, 1};
	struct jf_metrics m;

	(void)state;
	jf_metrics_compute(&m, NULL, &certain[0][0], labels, 2, 2); /* P(right) = 0 has a finite cost */
	assert_true(fabs(m.nll + log(1e-30) / 2) < 1e-3);
	assert_true(fabs(m.ece - 0.5) < 1e-12);
	jf_metrics_compute(&m, NULL, NULL, NULL, 0, 2);
	assert_int_equal(m.n, 0);
	assert_true(m.nll == 0 && m.accuracy == 0 && m.ece == 0);
}

/* p[n][classes] <- softmax(ln p / temperature) */
static void apply(float *p, int n, int classes, float temperature) {
	for (int i = 0; i < n; i++, p += classes) {
		float sum = 0;

		for (int c = 0; c < classes; c++)
			sum += p[c] = powf(p[c], 1 / temperature);
		for (int c = 0; c < classes; c++)
			p[c] /= sum;
	}
}

/* Labels drawn from softmax(logits); the classifier reports softmax(sharpness * logits), so its best temperature is
 * `sharpness`. */
static void fit(double sharpness) {
	enum { N = 20000, K = 3 };
	float *p = malloc(sizeof(*p) * N * K), temperature;
	uint16_t *labels = malloc(sizeof(*labels) * N);
	struct jf_metrics before, after;
	struct jf_error err;

	for (int i = 0; i < N; i++) {
		float logits[K], u, sum = 0, told = 0, honest = 0;

		jf_rng_normal(logits, K, 7, JF_STREAM_EVAL, (uint64_t)i);
		jf_rng_uniform(&u, 1, 8, JF_STREAM_EVAL, (uint64_t)i);
		for (int c = 0; c < K; c++) {
			sum += expf(2 * logits[c]);
			told += expf((float)(2 * sharpness) * logits[c]);
		}
		labels[i] = K - 1;
		for (int c = K - 1; c >= 0; c--) {
			honest += expf(2 * logits[c]) / sum;
			if (u < honest) {
				labels[i] = (uint16_t)c;
				break;
			}
		}
		if (u >= honest)
			labels[i] = 0;
		for (int c = 0; c < K; c++)
			p[i * K + c] = expf((float)(2 * sharpness) * logits[c]) / told;
	}
	assert_int_equal(jf_metrics_fit_temperature(&temperature, NULL, p, labels, N, K, &err), JF_OK);
	assert_true(fabs((double)temperature / sharpness - 1) < 0.05);
	jf_metrics_compute(&before, NULL, p, labels, N, K);
	apply(p, N, K, temperature);
	jf_metrics_compute(&after, NULL, p, labels, N, K);
	assert_true(after.nll < before.nll);
	assert_true(after.ece < 0.01);
	assert_true(after.accuracy == before.accuracy);
	free(p);
	free(labels);
}

static void test_temperature(void **state) {
	(void)state;
	fit(2);
	fit(0.5);
}

static void test_temperature_refuses(void **state) {
	const float bad[2] = {NAN, 0.5F}, negative[2] = {-0.1F, 1.1F}, good[2] = {0.5F, 0.5F};
	const uint16_t label = 0;
	struct jf_error err;
	float t = -1;

	(void)state;
	assert_int_equal(jf_metrics_fit_temperature(&t, NULL, bad, &label, 1, 2, &err), JF_ENUMERIC);
	assert_int_equal(jf_metrics_fit_temperature(&t, NULL, negative, &label, 1, 2, &err), JF_ENUMERIC);
	assert_int_equal(jf_metrics_fit_temperature(&t, NULL, good, &label, 0, 2, &err), JF_EINVAL);
	assert_int_equal(jf_metrics_fit_temperature(&t, NULL, good, &label, 1, 1, &err), JF_EINVAL);
	assert_true(t == -1);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_by_hand),
	    cmocka_unit_test(test_one_bin),
	    cmocka_unit_test(test_edges),
	    cmocka_unit_test(test_temperature),
	    cmocka_unit_test(test_temperature_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
