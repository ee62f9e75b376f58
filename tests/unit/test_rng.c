/* Random numbers: Random123's known answers, the mapping of elements to blocks, moments of the normals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"

static void test_known_answers(void **state) {
	/* The three "philox4x32 10" lines of Random123's tests/kat_vectors. */
	static const struct {
		uint32_t counter[4], key[2], expect[4];
	} kat[] = {
	    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
	    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
		{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
	    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
		{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(kat) / sizeof(kat[0]); i++) {
		uint32_t out[4];

		jf_philox4x32(out, kat[i].counter, kat[i].key);
		assert_memory_equal(out, kat[i].expect, sizeof(out));
	}
}

/* The numbers that a reader of rng.h would compute, with the C library's functions in double precision. */
static void reference_normal(double out[4], uint32_t block, uint64_t seed, uint32_t stream, uint64_t sample) {
	const double two_pi = 6.283185307179586;
	uint32_t counter[4] = {block, (uint32_t)sample, (uint32_t)(sample >> 32), stream};
	uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
	uint32_t w[4];

	jf_philox4x32(w, counter, key);
	for (int p = 0; p < 4; p += 2) {
		float u =
		    ((float)(int32_t)(w[p] >> 1) + 0.5f) * 0x1p-31f; /* rounded as a float, part of the contract */
		double radius = sqrt(-2.0 * log((double)u));

		out[p] = radius * cos(two_pi * w[p + 1] / 4294967296.0);
		out[p + 1] = radius * sin(two_pi * w[p + 1] / 4294967296.0);
	}
}

static void test_normal_is_box_muller_of_the_blocks(void **state) {
	enum { N = 4 * 5000 };
	uint64_t seed = 0x0123456789abcdefu, sample = 0x100000002u;
	float *out = malloc(N * sizeof(*out));
	double worst = 0.0;

	(void)state;
	assert_non_null(out);
	jf_rng_normal(out, N, seed, JF_STREAM_UNLABEL, sample);
	for (uint32_t b = 0; b < N / 4; b++) {
		double expect[4];

		reference_normal(expect, b, seed, JF_STREAM_UNLABEL, sample);
		for (int w = 0; w < 4; w++)
			worst = fmax(worst, fabs(out[4 * b + (uint32_t)w] - expect[w]));
	}
	assert_true(worst < 2e-6);
	free(out);
}

static void test_length_does_not_matter(void **state) {
	float all[1000], part[1000];

	(void)state;
	jf_rng_normal(all, 1000, 7, JF_STREAM_IMAGE, 3);
	for (size_t n = 0; n < 300; n++) {
		part[n] = 99.0f;
		jf_rng_normal(part, n, 7, JF_STREAM_IMAGE, 3);
		assert_memory_equal(all, part, n * sizeof(*all));
		assert_true(part[n] == 99.0f);
	}
}

static void test_every_key_part_matters(void **state) {
	float base[8], other[8];

	(void)state;
	jf_rng_normal(base, 8, 1, JF_STREAM_IMAGE, 1);
	jf_rng_normal(other, 8, 2, JF_STREAM_IMAGE, 1);
	assert_memory_not_equal(base, other, sizeof(base));
	jf_rng_normal(other, 8, 1 + (1ull << 32), JF_STREAM_IMAGE, 1);
	assert_memory_not_equal(base, other, sizeof(base));
	jf_rng_normal(other, 8, 1, JF_STREAM_LABEL, 1);
	assert_memory_not_equal(base, other, sizeof(base));
	jf_rng_normal(other, 8, 1, JF_STREAM_IMAGE, 1 + (1ull << 32));
	assert_memory_not_equal(base, other, sizeof(base));
	jf_rng_normal_step(other, 8, 1, JF_STREAM_IMAGE, 1, 0);
	assert_memory_equal(base, other, sizeof(base));
	jf_rng_normal_step(other, 8, 1, JF_STREAM_IMAGE, 1, 1);
	assert_memory_not_equal(base, other, sizeof(base));
	assert_true(jf_rng_bits(1, JF_STREAM_EVAL, 1) != jf_rng_bits(1, JF_STREAM_EVAL, 2));
	assert_true(jf_rng_bits(1, JF_STREAM_EVAL, 1) == jf_rng_bits(1, JF_STREAM_EVAL, 1));
}

/* Each bound is five standard errors of its estimate over N independent normals. */
static void test_normal_moments(void **state) {
	enum { N = 1 << 22 };
	float *x = malloc(N * sizeof(*x));
	double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lag = 0, largest = 0;
	size_t beyond_2 = 0;

	(void)state;
	assert_non_null(x);
	jf_rng_normal(x, N, 42, JF_STREAM_IMAGE, 0);
	for (size_t i = 0; i < N; i++) {
		double v = x[i];

		assert_true(isfinite(x[i]));
		m1 += v;
		m2 += v * v;
		m3 += v * v * v;
		m4 += v * v * v * v;
		lag += i ? v * (double)x[i - 1] : 0.0;
		beyond_2 += fabs(v) > 2.0;
		largest = fmax(largest, fabs(v));
	}
	free(x);
	assert_true(fabs(m1 / N) < 5.0 / sqrt(N));
	assert_true(fabs(m2 / N - 1.0) < 5.0 * sqrt(2.0 / N));
	assert_true(fabs(m3 / N) < 5.0 * sqrt(15.0 / N));
	assert_true(fabs(m4 / N - 3.0) < 5.0 * sqrt(96.0 / N));
	assert_true(fabs(lag / N) < 5.0 / sqrt(N));
	assert_true(fabs((double)beyond_2 / N - 0.0455002639) < 5.0 * sqrt(0.0455 * 0.9545 / N));
	assert_true(largest > 4.5 && largest < 6.7);
}

static void test_uniform(void **state) {
	enum { N = 1 << 20 };
	float *x = malloc(N * sizeof(*x));
	double m1 = 0, m2 = 0;
	int bin[16] = {0};

	(void)state;
	assert_non_null(x);
	jf_rng_uniform(x, N, 42, JF_STREAM_CLOCK, 5);
	for (size_t i = 0; i < N; i++) {
		assert_true(x[i] > 0.0f && x[i] < 1.0f);
		m1 += (double)x[i];
		m2 += (double)x[i] * (double)x[i];
		bin[(int)(x[i] * 16.0f)]++;
	}
	free(x);
	assert_true(fabs(m1 / N - 0.5) < 5.0 * sqrt(1.0 / 12.0 / N));
	assert_true(fabs(m2 / N - 1.0 / 3.0) < 5.0 * sqrt(4.0 / 45.0 / N));
	for (int b = 0; b < 16; b++)
		assert_true(fabs(bin[b] / (double)N - 1.0 / 16.0) < 5.0 * sqrt(15.0 / 256.0 / N));
}

/* The bytes themselves: whatever compiler, flags or processor, these must not change, or saved seeds lose their
 * meaning. */
static void test_bytes_are_fixed(void **state) {
	uint32_t hash = 2166136261u;
	unsigned char bytes[4096 * sizeof(float)];
	float x[4096];

	(void)state;
	jf_rng_normal(x, 4096, 6767, JF_STREAM_IMAGE, 12);
	memcpy(bytes, x, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	assert_int_equal(hash, 0x6ed289u);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_answers),
	    cmocka_unit_test(test_normal_is_box_muller_of_the_blocks),
	    cmocka_unit_test(test_length_does_not_matter),
	    cmocka_unit_test(test_every_key_part_matters),
	    cmocka_unit_test(test_normal_moments),
	    cmocka_unit_test(test_uniform),
	    cmocka_unit_test(test_bytes_are_fixed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
