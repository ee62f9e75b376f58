/* Augmentation: clean means clean, the vector tells what was done, nothing depends on anything but seed and sample. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "trainer/augment.h"

enum { SIDE = 28, SIZE = SIDE * SIDE };

/* A bright square of 8 x 8 pixels with its middle at (y, x) = (13.5 + dy, 13.5 + dx). */
static void square(float *image, int dy, int dx) {
	for (int y = 0; y < SIDE; y++)
		for (int x = 0; x < SIDE; x++)
			image[y * SIDE + x] = y >= 10 + dy && y < 18 + dy && x >= 10 + dx && x < 18 + dx ? 1.0F : -1.0F;
}

/* Mass and centre of ink. */
static void moments(const float *image, double *mass, double *cy, double *cx) {
	*mass = *cy = *cx = 0;
	for (int i = 0; i < SIZE; i++) {
		double ink = ((double)image[i] + 1) / 2;

		*mass += ink;
		*cy += ink * (i / SIDE);
		*cx += ink * (i % SIDE);
	}
	*cy /= *mass;
	*cx /= *mass;
}

static void test_clean(void **state) {
	const struct jf_augment_options none = {0, 1}, never = {1, 0};
	float image[SIZE], out[SIZE], vector[JF_AUGMENT_SIZE];
	const float zeros[JF_AUGMENT_SIZE] = {0};

	(void)state;
	square(image, 2, -3);
	for (uint64_t i = 0; i < 50; i++) {
		jf_augment(out, vector, image, SIDE, SIDE, 1, i % 2 ? &none : &never, 1, i);
		assert_memory_equal(out, image, sizeof(image));
		assert_memory_equal(vector, zeros, sizeof(zeros));
	}
}

static void test_depends_on_sample_alone(void **state) {
	const struct jf_augment_options options = {1, 1};
	float image[SIZE], a[SIZE], b[SIZE], va[JF_AUGMENT_SIZE], vb[JF_AUGMENT_SIZE];

	(void)state;
	square(image, 0, 0);
	jf_augment(a, va, image, SIDE, SIDE, 1, &options, 5, 77);
	jf_augment(b, vb, image, SIDE, SIDE, 1, &options, 5, 78);
	assert_memory_not_equal(a, b, sizeof(a));
	jf_augment(b, vb, image, SIDE, SIDE, 1, &options, 6, 77);
	assert_memory_not_equal(a, b, sizeof(a));
	jf_augment(b, vb, image, SIDE, SIDE, 1, &options, 5, 77);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_equal(va, vb, sizeof(va));
}

/* What happened to the square is what the vector says: centre by the shift, mass by the scale. */
static void test_vector_tells(void **state) {
	const struct jf_augment_options options = {1, 1};
	float image[SIZE], out[SIZE], vector[JF_AUGMENT_SIZE];
	double error_x = 0, error_y = 0, error_mass = 0, spread = 0;

	(void)state;
	square(image, 0, 0);
	for (uint64_t i = 0; i < 500; i++) {
		double mass, cy, cx, expected;

		jf_augment(out, vector, image, SIDE, SIDE, 1, &options, 3, i);
		for (int j = 0; j < JF_AUGMENT_SIZE; j++)
			assert_true(vector[j] >= -1 && vector[j] <= 1);
		for (int j = 0; j < SIZE; j++)
			assert_true(out[j] >= -1 && out[j] <= 1);
		moments(out, &mass, &cy, &cx);
		expected = 64 * exp(2 * 0.1 * (double)vector[3]);
		error_mass += fabs(mass / expected - 1) / 500;
		/* out(p) = in(M (p - middle) + middle - shift): the square moves by M^-1 shift, near enough the
		 * shift */
		error_x += fabs(cx - 13.5 - 2 * (double)vector[1]) / 500;
		error_y += fabs(cy - 13.5 - 2 * (double)vector[2]) / 500;
		spread += fabs(cx - 13.5) / 500;
	}
	assert_true(spread > 0.8);
	assert_true(error_x < 0.5); /* rotation, shear and the elastic field move it too */
	assert_true(error_y < 0.5);
	assert_true(error_mass < 0.08);
}

static void test_share(void **state) {
	const struct jf_augment_options options = {0.5F, 0.3F};
	float image[SIZE], out[SIZE], vector[JF_AUGMENT_SIZE];
	int changed = 0;

	(void)state;
	square(image, 0, 0);
	for (uint64_t i = 0; i < 2000; i++) {
		jf_augment(out, vector, image, SIDE, SIDE, 1, &options, 1, i);
		changed += vector[0] != 0;
		assert_true(fabsf(vector[0]) <= 0.5F);
		if (vector[0] == 0)
			assert_memory_equal(out, image, sizeof(image));
	}
	assert_in_range(changed, 540, 660);
}

/* Colour channels are moved alike; sizes need not be square. */
static void test_colour(void **state) {
	enum { H = 16, W = 24 };
	const struct jf_augment_options options = {1, 1};
	float image[H * W * 3], out[H * W * 3], vector[JF_AUGMENT_SIZE];

	(void)state;
	for (int i = 0; i < H * W; i++)
		for (int c = 0; c < 3; c++)
			image[i * 3 + c] = (float)(c + 1) * 0.25F * ((i / W + i % W) % 5 < 2 ? 1.0F : -1.0F);
	for (uint64_t n = 0; n < 20; n++) {
		jf_augment(out, vector, image, H, W, 3, &options, 1, n);
		for (int i = 0; i < H * W; i++) {
			assert_true(fabsf(out[i * 3 + 1] - 2 * out[i * 3]) < 1e-5F);
			assert_true(fabsf(out[i * 3 + 2] - 3 * out[i * 3]) < 1e-5F);
		}
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_clean),
	    cmocka_unit_test(test_depends_on_sample_alone),
	    cmocka_unit_test(test_vector_tells),
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_colour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
