/* SiLU, LayerNorm and GroupNorm against references in double precision, on every instruction set that this CPU runs,
 * with equal bytes across them; a GroupNorm between two convolutions, whose statistics the first gathers and which the
 * second computes as it reads it, with the bytes of one by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/kernels/kernels.h"
#include "core/kernels/winograd.h"
#include "tests/unit/kernels_check.h"

/* --- SiLU --- */

#define SILU_N 4001

static double silu(double x) {
	return x / (1.0 + exp(-x));
}

static double silu_gradient(double x) {
	const double s = 1.0 / (1.0 + exp(-x));

	return s * (1.0 + x * (1.0 - s));
}

static void test_silu(void **state) {
	static const float far[] = {88.0f, -88.0f, 1e4f, -1e4f, 3e38f, -3e38f, INFINITY, -0.0f, 1e-40f};
	float x[SILU_N], y[SILU_N], first[SILU_N], ones[SILU_N], gradient[SILU_N];

	(void)state;
	for (int i = 0; i < SILU_N; i++) {
		x[i] = (float)(i - SILU_N / 2) * 0.0425f;
		ones[i] = 1.0f;
	}
	memcpy(x, far, sizeof(far));
	x[sizeof(far) / sizeof(*far)] = NAN;
	for (size_t k = 0; k < COUNT(isa_names); k++) {
		const struct jf_kernels *jf = isa(k);

		if (jf == NULL)
			continue;
		jf->silu(y, x, SILU_N);
		jf->silu_grad(gradient, x, ones, SILU_N, false);
		for (int i = 0; i < SILU_N; i++) {
			const double value = silu((double)x[i]), slope = silu_gradient((double)x[i]);

			if (isnan(x[i])) {
				assert_true(isnan(y[i]) && isnan(gradient[i]));
				continue;
			}
			/* Beyond the clamp it is next to nothing rather than less. */
			if ((double)y[i] != value &&
			    !(fabs((double)y[i] - value) <= 4 * 0x1p-23 * fabs(value) + (x[i] < -80.0f ? 20.0 : 0.0)))
				fail_msg("%s: silu(%.9g) = %.9g", jf->name, (double)x[i], (double)y[i]);
			if (fabsf(x[i]) < 80.0f &&
			    !(fabs((double)gradient[i] - slope) <= (1.0 + fabs((double)x[i])) * 0x1p-22))
				fail_msg("%s: silu'(%.9g) = %.9g", jf->name, (double)x[i], (double)gradient[i]);
		}
		if (k == 0)
			memcpy(first, y, sizeof(first));
		assert_memory_equal(y, first, sizeof(first));
	}
}

/* --- GroupNorm --- */

struct norm {
	struct jf_group_norm n;
	size_t floats, padded; /* of an image, and of its padded copy */
	float *x, *scale, *bias, *y, *stats, *first, *first_stats;
	int images;
};

/* `images` of them, one behind the other; x is noise about `mean`. */
static void norm_setup(struct norm *t, const int shape[4], int images, float mean) {
	const int h = shape[0], w = shape[1], c = shape[2], groups = shape[3];

	t->images = images;
	t->floats = (size_t)(h * w * c);
	t->padded = (size_t)((h + 2) * (w + 2) * c);
	t->x = noise((size_t)images * t->floats);
	for (size_t i = 0; i < (size_t)images * t->floats; i++)
		t->x[i] += mean;
	t->scale = noise((size_t)c);
	t->bias = noise((size_t)c);
	t->y = noise((size_t)images * t->padded);
	t->first = noise((size_t)images * t->padded);
	t->stats = noise((size_t)(images * 2 * groups));
	t->first_stats = noise((size_t)(images * 2 * groups));
	t->n = (struct jf_group_norm){.y = t->y,
	    .stats = t->stats,
	    .x = t->x,
	    .scale = t->scale,
	    .bias = t->bias,
	    .h = h,
	    .w = w,
	    .c = c,
	    .groups = groups,
	    .silu = true,
	    .padded = true};
}

static void norm_teardown(struct norm *t) {
	float *all[] = {t->x, t->scale, t->bias, t->y, t->first, t->stats, t->first_stats};

	for (size_t i = 0; i < COUNT(all); i++)
		free(all[i]);
}

/* The first image's padded output and statistics. A mean of ten thousand deviations costs 1 / deviation no digits. */
static void norm_check(const struct norm *t, const char *where) {
	const int h = t->n.h, w = t->n.w, c = t->n.c, groups = t->n.groups, size = c / groups;

	for (int g = 0; g < groups; g++) {
		const double count = (double)(h * w * size);
		double mean = 0.0, squares = 0.0, rstd;

		for (int p = 0; p < h * w; p++)
			for (int i = g * size; i < (g + 1) * size; i++)
				mean += (double)t->x[p * c + i] / count;
		for (int p = 0; p < h * w; p++)
			for (int i = g * size; i < (g + 1) * size; i++)
				squares += ((double)t->x[p * c + i] - mean) * ((double)t->x[p * c + i] - mean);
		rstd = 1.0 / sqrt(squares / count + 1e-5);
		if (!(fabs((double)t->stats[g] - mean) <= 4e-7 * fabs(mean) + 1e-6) ||
		    !(fabs((double)t->stats[groups + g] / rstd - 1.0) <= 4e-6))
			fail_msg("%s: group %d of %d x %d x %d: mean %.9g for %.9g, 1 / deviation %.9g for %.9g", where,
			    g, h, w, c, (double)t->stats[g], mean, (double)t->stats[groups + g], rstd);
		for (int p = 0; p < (h + 2) * (w + 2); p++)
			for (int i = g * size; i < (g + 1) * size; i++) {
				const int row = p / (w + 2) - 1, column = p % (w + 2) - 1;
				const bool inside = row >= 0 && row < h && column >= 0 && column < w;
				const double from = inside ? (double)t->x[(row * w + column) * c + i] : 0.0;
				const double a = rstd * (double)t->scale[i];
				const double u = a * (from - mean) + (double)t->bias[i];

				if (!(fabs((double)t->y[p * c + i] - (inside ? silu(u) : 0.0)) <=
					(inside ? 1e-6 * (4.0 + fabs(a * mean)) : 0.0)))
					fail_msg(
					    "%s: pixel %d, channel %d: %.9g", where, p, i, (double)t->y[p * c + i]);
			}
	}
}

/* height, width, channels, groups */
static const int norm_shapes[][4] = {
    {28, 28, 16, 8}, {14, 14, 32, 8}, {7, 7, 64, 8}, {5, 9, 8, 8}, {6, 3, 24, 8}, {1, 1, 8, 4}, {4, 4, 40, 1}};

static void test_group_norm(void **state) {
	static const float means[] = {0.0f, 0.25f, -3000.0f};

	(void)state;
	for (size_t s = 0; s < COUNT(norm_shapes) * COUNT(means); s++) {
		struct norm t;

		norm_setup(&t, norm_shapes[s / COUNT(means)], 1, means[s % COUNT(means)]);
		for (size_t k = 0; k < COUNT(isa_names); k++) {
			const struct jf_kernels *jf = isa(k);

			if (jf == NULL)
				continue;
			jf->group_norm(&t.n);
			norm_check(&t, jf->name);
			if (k == 0) {
				memcpy(t.first, t.y, t.padded * sizeof(float));
				memcpy(t.first_stats, t.stats, (size_t)(2 * t.n.groups) * sizeof(float));
			}
			assert_memory_equal(t.y, t.first, t.padded * sizeof(float));
			assert_memory_equal(t.stats, t.first_stats, (size_t)(2 * t.n.groups) * sizeof(float));
		}
		norm_teardown(&t);
	}
}

/* --- between two convolutions --- */

enum { IMAGES = 3 };

/* What a convolution gathers of its images is what the norm of each works out by itself. */
static void check_gathered(const struct jf_kernels *jf, const struct jf_conv *conv, bool winograd, int groups) {
	struct norm t;
	const int shape[4] = {conv->h, conv->w, conv->cout, groups};
	const size_t channels = 3 * (size_t)conv->cout;
	float *gathered = noise(IMAGES * channels);
	struct jf_conv c = *conv;

	norm_setup(&t, shape, IMAGES, 0.0f);
	c.y = t.x;
	c.channels = gathered;
	if (winograd)
		c.images = IMAGES;
	(winograd ? jf->conv3x3_winograd : jf->conv3x3)(&c);
	for (int i = 0; i < (winograd ? IMAGES : 1); i++) {
		struct jf_group_norm n = t.n;

		n.x += (size_t)i * t.floats;
		jf->group_norm(&n);
		memcpy(t.first, t.y, t.padded * sizeof(float));
		memcpy(t.first_stats, t.stats, (size_t)(2 * groups) * sizeof(float));
		n.channels = gathered + (size_t)i * channels;
		jf->group_norm(&n);
		assert_memory_equal(t.y, t.first, t.padded * sizeof(float));
		assert_memory_equal(t.stats, t.first_stats, (size_t)(2 * groups) * sizeof(float));
	}
	c.channels = NULL; /* and the outputs are the same without */
	c.y = t.first;
	(winograd ? jf->conv3x3_winograd : jf->conv3x3)(&c);
	assert_memory_equal(t.x, t.first, (size_t)(winograd ? IMAGES : 1) * t.floats * sizeof(float));
	free(gathered);
	norm_teardown(&t);
}

static void test_gathered_statistics(void **state) {
	/* height, width, inputs, outputs, stride, Winograd */
	static const int shapes[][6] = {{28, 28, 1, 16, 1, 0}, {14, 14, 16, 32, 2, 0}, {7, 7, 24, 40, 2, 0},
	    {6, 5, 8, 8, 1, 0}, {28, 28, 16, 16, 1, 1}, {7, 7, 64, 64, 1, 1}, {9, 6, 16, 32, 1, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		const int h = shapes[s][0], w = shapes[s][1], cin = shapes[s][2], cout = shapes[s][3];
		const int stride = shapes[s][4];
		const bool winograd = shapes[s][5];
		float *x = noise((size_t)(IMAGES * (stride * h + 2) * (stride * w + 2) * cin));
		float *weight = noise((size_t)(9 * cin * cout)), *bias = noise((size_t)cout);
		float *residual = noise((size_t)(IMAGES * h * w * cout));
		float *weights = winograd ? floats(jf_winograd_size(cin, cout)) : packed(weight, 9 * cin, cout);
		float *scratch = floats(winograd ? jf_winograd_scratch(IMAGES, h, w, cin, cout) : 1);
		const struct jf_conv conv = {.x = x,
		    .weight = weights,
		    .bias = bias,
		    .residual = residual,
		    .scratch = scratch,
		    .h = h,
		    .w = w,
		    .cin = cin,
		    .cout = cout,
		    .stride = stride};

		if (winograd)
			jf_winograd_pack(weights, weight, cin, cout);
		for (size_t k = 0; k < COUNT(isa_names); k++)
			if (isa(k) != NULL)
				check_gathered(isa(k), &conv, winograd, 8);
		free(x);
		free(weight);
		free(bias);
		free(residual);
		free(weights);
		free(scratch);
	}
}

static void test_norm_in_the_load(void **state) {
	(void)state;
	for (size_t s = 0; s < 3; s++) {
		const int h = norm_shapes[s][0], w = norm_shapes[s][1], c = norm_shapes[s][2];
		float *weight = noise((size_t)(9 * c * c)), *weights = floats(jf_winograd_size(c, c));
		float *scratch = floats(jf_winograd_scratch(IMAGES, h, w, c, c));
		struct norm t;

		jf_winograd_pack(weights, weight, c, c);
		norm_setup(&t, norm_shapes[s], IMAGES, 0.0f);
		for (size_t k = 0; k < COUNT(isa_names); k++) {
			const struct jf_kernels *jf = isa(k);
			float *y = noise(IMAGES * t.floats), *first = noise(IMAGES * t.floats);
			struct jf_conv conv = {.y = first,
			    .x = t.y,
			    .weight = weights,
			    .scratch = scratch,
			    .h = h,
			    .w = w,
			    .cin = c,
			    .cout = c,
			    .stride = 1,
			    .images = IMAGES};

			for (size_t i = 0; i < IMAGES && jf != NULL; i++) {
				struct jf_group_norm n = t.n;

				n.x += i * t.floats;
				n.y += i * t.padded;
				n.stats += i * 2 * (size_t)n.groups;
				jf->group_norm(&n);
			}
			if (jf != NULL) {
				jf->conv3x3_winograd(&conv);
				memcpy(t.first, t.y, IMAGES * t.padded * sizeof(float));
				memcpy(t.first_stats, t.stats, (size_t)(IMAGES * 2 * t.n.groups) * sizeof(float));
				memset(t.y, 0xff, IMAGES * t.padded * sizeof(float)); /* NaN where it is not written */
				memset(t.stats, 0xff, (size_t)(IMAGES * 2 * t.n.groups) * sizeof(float));
				conv.y = y;
				conv.norm = &t.n;
				jf->conv3x3_winograd(&conv);
				assert_memory_equal(y, first, IMAGES * t.floats * sizeof(float));
				assert_memory_equal(t.y, t.first, IMAGES * t.padded * sizeof(float));
				assert_memory_equal(
				    t.stats, t.first_stats, (size_t)(IMAGES * 2 * t.n.groups) * sizeof(float));
			}
			free(y);
			free(first);
		}
		norm_teardown(&t);
		free(weight);
		free(weights);
		free(scratch);
	}
}

/* --- LayerNorm --- */

static void layer_norm_check(const float *y, const float *x, const float *scale, const float *bias, int c) {
	double mean = 0.0, squares = 0.0;

	for (int i = 0; i < c; i++)
		mean += (double)x[i] / c;
	for (int i = 0; i < c; i++)
		squares += ((double)x[i] - mean) * ((double)x[i] - mean);
	for (int i = 0; i < c; i++) {
		const double hat = ((double)x[i] - mean) / sqrt(squares / c + 1e-5);

		if (!(fabs((double)y[i] - (hat * (double)scale[i] + (double)bias[i])) <= 4e-6))
			fail_msg("channel %d of %d: %.9g", i, c, (double)y[i]);
	}
}

/* A row's bytes depend neither on the rows beside it nor on the instruction set. */
static void test_layer_norm(void **state) {
	static const int shapes[][2] = {{49, 64}, {7, 48}, {5, 20}, {3, 16}, {1, 256}, {4, 3}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		const int rows = shapes[s][0], c = shapes[s][1];
		const size_t bytes = (size_t)(rows * c) * sizeof(float);
		float *x = noise((size_t)(rows * c)), *y = noise((size_t)(rows * c)),
		      *first = noise((size_t)(rows * c));
		float *scale = noise((size_t)c), *bias = noise((size_t)c), *stats = noise((size_t)(2 * rows));
		float *row = noise((size_t)c), own[2];

		for (size_t k = 0; k < COUNT(isa_names); k++) {
			const struct jf_kernels *jf = isa(k);

			if (jf == NULL)
				continue;
			jf->layer_norm(y, stats, x, scale, bias, rows, c);
			if (k == 0)
				memcpy(first, y, bytes);
			assert_memory_equal(y, first, bytes);
			for (int r = 0; r < rows; r++) {
				layer_norm_check(y + r * c, x + r * c, scale, bias, c);
				jf->layer_norm(row, own, x + r * c, scale, bias, 1, c);
				assert_memory_equal(row, y + r * c, (size_t)c * sizeof(float));
				assert_memory_equal(own, stats + 2 * r, sizeof(own));
			}
		}
		free(x);
		free(y);
		free(first);
		free(scale);
		free(bias);
		free(stats);
		free(row);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_silu),
	    cmocka_unit_test(test_layer_norm),
	    cmocka_unit_test(test_group_norm),
	    cmocka_unit_test(test_gathered_statistics),
	    cmocka_unit_test(test_norm_in_the_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
