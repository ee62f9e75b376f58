#include "core/base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Constants of Philox4x32 (Salmon et al., SC11, section 4.3; Weyl steps: golden ratio, sqrt(3) - 1). */
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#define PHILOX_ROUNDS 10

/* Counter words: block of 4 elements, sample (two words), step and use. The kind keeps normals, uniforms and bits of
 * the same (seed, stream, sample) independent of each other. */
enum kind {
	KIND_NORMAL,
	KIND_UNIFORM,
	KIND_BITS,
};

#define GROUP 16 /* blocks worked on side by side, so that the compiler can use vectors */

/* Blocks first .. first + GROUP - 1; word w of block b goes to out[w][b]. */
static void philox_group(uint32_t out[4][GROUP], const uint32_t counter[4], const uint32_t key[2]) {
	uint32_t c0[GROUP], c1[GROUP], c2[GROUP], c3[GROUP];
	uint32_t k0 = key[0], k1 = key[1];

	for (uint32_t b = 0; b < GROUP; b++) {
		c0[b] = counter[0] + b;
		c1[b] = counter[1];
		c2[b] = counter[2];
		c3[b] = counter[3];
	}
	for (int round = 0; round < PHILOX_ROUNDS; round++) {
		for (int b = 0; b < GROUP; b++) {
			uint64_t p0 = (uint64_t)PHILOX_M0 * c0[b];
			uint64_t p1 = (uint64_t)PHILOX_M1 * c2[b];
			uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1[b] ^ k0;
			uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3[b] ^ k1;

			c1[b] = (uint32_t)p1;
			c3[b] = (uint32_t)p0;
			c0[b] = n0;
			c2[b] = n2;
		}
		k0 += PHILOX_W0;
		k1 += PHILOX_W1;
	}
	memcpy(out[0], c0, sizeof(c0));
	memcpy(out[1], c1, sizeof(c1));
	memcpy(out[2], c2, sizeof(c2));
	memcpy(out[3], c3, sizeof(c3));
}

void jf_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]) {
	uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
	uint32_t k0 = key[0], k1 = key[1];

	for (int round = 0; round < PHILOX_ROUNDS; round++) {
		uint64_t p0 = (uint64_t)PHILOX_M0 * c[0];
		uint64_t p1 = (uint64_t)PHILOX_M1 * c[2];

		c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
		c[1] = (uint32_t)p1;
		c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
		c[3] = (uint32_t)p0;
		k0 += PHILOX_W0;
		k1 += PHILOX_W1;
	}
	memcpy(out, c, sizeof(c));
}

static void make_counter(uint32_t counter[4], uint32_t key[2], uint64_t seed, enum jf_stream stream, uint64_t sample,
    enum kind kind, unsigned step) {
	counter[0] = 0;
	counter[1] = (uint32_t)sample;
	counter[2] = (uint32_t)(sample >> 32);
	counter[3] = (uint32_t)stream | (uint32_t)kind << 8 | (uint32_t)step << 16;
	key[0] = (uint32_t)seed;
	key[1] = (uint32_t)(seed >> 32);
}

/* The C library's logf and sincosf differ in the last bit between processors and versions; these polynomials (minimax
 * coefficients as in Cephes, Moshier 1989) use only correctly rounded operations, so a seed gives the same bytes
 * everywhere, and the compiler can vectorise them. */

/* -2 ln(u) for u = (2 h + 1) / 2^32, h = x / 2: u runs through (0, 1]. */
static inline float minus_two_log(uint32_t x) {
	float u = ((float)(int32_t)(x >> 1) + 0.5f) * 0x1p-31f;
	uint32_t bits;
	float m, e, z, y;

	memcpy(&bits, &u, sizeof(bits));
	/* m in [sqrt(1/2), sqrt(2)), u = m 2^e */
	bits -= 0x3f3504f3u;
	e = (float)((int32_t)bits >> 23);
	bits = (bits & 0x007fffffu) + 0x3f3504f3u;
	memcpy(&m, &bits, sizeof(m));
	m -= 1.0f;
	z = m * m;
	y = 7.0376836292e-2f;
	y = y * m - 1.1514610310e-1f;
	y = y * m + 1.1676998740e-1f;
	y = y * m - 1.2420140846e-1f;
	y = y * m + 1.4249322787e-1f;
	y = y * m - 1.6668057665e-1f;
	y = y * m + 2.0000714765e-1f;
	y = y * m - 2.4999993993e-1f;
	y = y * m + 3.3333331174e-1f;
	y = y * m * z;
	y += -2.12194440e-4f * e;
	y += -0.5f * z;
	y = m + y;
	y += 0.693359375f * e;
	return -2.0f * y;
}

/* cos and sin of 2 pi x / 2^32: the two top bits (rounded) are the quadrant, the rest an angle within +-pi/4. */
static inline void cos_sin(float *cosine, float *sine, uint32_t x) {
	uint32_t quadrant = (x + 0x20000000u) >> 30;
	float a = (float)(int32_t)(x - (quadrant << 30)) * 1.4629180792671596e-9f;
	float z = a * a;
	float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z;
	float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * a;
	bool swap = quadrant & 1;

	c = c - 0.5f * z + 1.0f;
	s = s + a;
	*cosine = swap ? s : c;
	*sine = swap ? c : s;
	*cosine = (quadrant + 1) & 2 ? -*cosine : *cosine;
	*sine = quadrant & 2 ? -*sine : *sine;
}

/* Box-Muller: words 0 and 1 of a block give elements 0 and 1, words 2 and 3 elements 2 and 3. */
static void normal_group(float out[4 * GROUP], uint32_t words[4][GROUP]) {
	float n[4][GROUP];

	for (int pair = 0; pair < 4; pair += 2) {
		for (int b = 0; b < GROUP; b++) {
			float radius = minus_two_log(words[pair][b]);
			float c, s;

			/* u = 1 gives exactly 0 or a hair below it */
			radius = sqrtf(radius > 0.0f ? radius : 0.0f);
			cos_sin(&c, &s, words[pair + 1][b]);
			n[pair][b] = radius * c;
			n[pair + 1][b] = radius * s;
		}
	}
	for (int b = 0; b < GROUP; b++) {
		for (int w = 0; w < 4; w++)
			out[4 * b + w] = n[w][b];
	}
}

/* 23 random bits in the middle of their cells: (2 k + 1) / 2^24. */
static void uniform_group(float out[4 * GROUP], uint32_t words[4][GROUP]) {
	for (int b = 0; b < GROUP; b++) {
		for (int w = 0; w < 4; w++)
			out[4 * b + w] = ((float)(int32_t)(words[w][b] >> 9) + 0.5f) * 0x1p-23f;
	}
}

static void fill(
    float *out, size_t n, uint64_t seed, enum jf_stream stream, uint64_t sample, enum kind kind, unsigned step) {
	uint32_t counter[4], key[2], words[4][GROUP];
	float group[4 * GROUP];

	make_counter(counter, key, seed, stream, sample, kind, step);
	for (size_t done = 0; done < n; done += 4 * GROUP) {
		size_t part = n - done < 4 * GROUP ? n - done : 4 * GROUP;

		philox_group(words, counter, key);
		if (kind == KIND_NORMAL)
			normal_group(group, words);
		else
			uniform_group(group, words);
		memcpy(out + done, group, part * sizeof(*out));
		counter[0] += GROUP;
	}
}

void jf_rng_normal(float *out, size_t n, uint64_t seed, enum jf_stream stream, uint64_t sample) {
	jf_rng_normal_step(out, n, seed, stream, sample, 0);
}

void jf_rng_normal_step(float *out, size_t n, uint64_t seed, enum jf_stream stream, uint64_t sample, unsigned step) {
	fill(out, n, seed, stream, sample, KIND_NORMAL, step);
}

void jf_rng_uniform(float *out, size_t n, uint64_t seed, enum jf_stream stream, uint64_t sample) {
	fill(out, n, seed, stream, sample, KIND_UNIFORM, 0);
}

uint64_t jf_rng_bits(uint64_t seed, enum jf_stream stream, uint64_t sample) {
	uint32_t counter[4], key[2], words[4];

	make_counter(counter, key, seed, stream, sample, KIND_BITS, 0);
	jf_philox4x32(words, counter, key);
	return (uint64_t)words[1] << 32 | words[0];
}
