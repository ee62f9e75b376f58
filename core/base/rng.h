/* Counter-based random numbers.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11; reference: Random123).
 * A number depends on (seed, stream, sample, element) alone: there is no state, so a result depends neither on
 * batch, worker, thread count nor load. */
#ifndef JF_CORE_BASE_RNG_H
#define JF_CORE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a random number is for; keeps the uses of one seed independent of each other. */
enum jf_stream {
	JF_STREAM_IMAGE = 0,   /* e of the image path */
	JF_STREAM_LABEL = 1,   /* e of the label path */
	JF_STREAM_UNLABEL = 2, /* the label input of an unconditional evaluation (guidance) */
	JF_STREAM_CLOCK = 3,   /* times drawn in training */
	JF_STREAM_INIT = 4,    /* parameter initialisation */
	JF_STREAM_ORDER = 5,   /* shuffling of the data set */
	JF_STREAM_AUGMENT = 6, /* augmentation of training images */
	JF_STREAM_EVAL = 7,    /* seeds drawn by evaluations */
	/* fresh noise of a stochastic solver, for each step its own */
	JF_STREAM_IMAGE_STEP = 8,
	JF_STREAM_LABEL_STEP = 9,
	JF_STREAM_REQUEST = 10,    /* ids of requests */
	JF_STREAM_IMAGE_BACK = 11, /* noise put on again between two repeats of a step */
};

/* The block function: 4 counter words, 2 key words -> 4 random words. */
void jf_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* out[i], i < n: independent N(0, 1) by Box-Muller; element i of sample `sample` of stream `stream` under `seed`. */
void jf_rng_normal(float *out, size_t n, uint64_t seed, enum jf_stream stream, uint64_t sample);

/* The same for each step (0 to 65535) its own numbers; step 0's are jf_rng_normal's. */
void jf_rng_normal_step(float *out, size_t n, uint64_t seed, enum jf_stream stream, uint64_t sample, unsigned step);

/* out[i], i < n: uniform in the open interval (0, 1), odd multiples of 2^-24. */
void jf_rng_uniform(float *out, size_t n, uint64_t seed, enum jf_stream stream, uint64_t sample);

/* 64 random bits for (seed, stream, sample). */
uint64_t jf_rng_bits(uint64_t seed, enum jf_stream stream, uint64_t sample);

#endif
