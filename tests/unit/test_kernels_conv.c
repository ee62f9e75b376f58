/* The convolution kernels: direct, with few outputs, Winograd, and the gradients, each against a naive reference in
 * double precision on every instruction set that this CPU runs; equal bytes across instruction sets and positions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/kernels/kernels.h"
#include "core/kernels/winograd.h"
#include "tests/unit/kernels_check.h"

/* --- convolutions --- */

struct conv {
	int h, w, cin, cout, stride;
	size_t line; /* floats of a padded image row */
	size_t outputs, weights;
	float *x, *weight, *packed, *bias, *residual, *y, *first;
};

static void conv_setup(struct conv *c, const int shape[5]) {
	c->h = shape[0];
	c->w = shape[1];
	c->cin = shape[2];
	c->cout = shape[3];
	c->stride = shape[4];
	c->line = (size_t)((c->stride * c->w + 2) * c->cin);
	c->outputs = (size_t)(c->h * c->w * c->cout);
	c->weights = (size_t)(9 * c->cin * c->cout);
	/* The border is noise, too: the kernels read it, zeros or not. */
	c->x = noise(c->line * (size_t)(c->stride * c->h + 2));
	c->weight = noise(c->weights);
	c->packed = packed(c->weight, 9 * c->cin, c->cout);
	c->bias = noise((size_t)c->cout);
	c->residual = noise(c->outputs);
	c->y = noise(c->outputs);
	c->first = noise(c->outputs);
}

static void conv_teardown(struct conv *c) {
	free(c->x);
	free(c->weight);
	free(c->packed);
	free(c->bias);
	free(c->residual);
	free(c->y);
	free(c->first);
}

/* Input (kh, kw, channel) of output pixel (i, j). */
static double conv_input(const struct conv *c, int i, int j, int tap, int channel) {
	const int row = c->stride * i + tap / 3;
	const int column = c->stride * j + tap % 3;

	return (double)c->x[(size_t)row * c->line + (size_t)(column * c->cin + channel)];
}

static void conv_check_pixel(
    const struct conv *c, int i, int j, const float *bias, const float *residual, const char *where) {
	for (int o = 0; o < c->cout; o++) {
		const int at = (i * c->w + j) * c->cout + o;
		double sum = bias != NULL ? (double)bias[o] : 0.0;
		double magnitude = fabs(sum);

		for (int tap = 0; tap < 9; tap++)
			for (int k = 0; k < c->cin; k++) {
				double weight = (double)c->weight[(tap * c->cin + k) * c->cout + o];
				double term = conv_input(c, i, j, tap, k) * weight;
				sum += term;
				magnitude += fabs(term);
			}
		if (residual != NULL) {
			sum += (double)residual[at];
			magnitude += fabs((double)residual[at]);
		}
		check(c->y[at], sum, magnitude, 9 * c->cin, "convolution", where);
	}
}

static void conv_check(const struct conv *c, const float *bias, const float *residual, const char *where) {
	for (int i = 0; i < c->h; i++)
		for (int j = 0; j < c->w; j++)
			conv_check_pixel(c, i, j, bias, residual, where);
}

/* A call for all of its rows; the caller changes what is to differ. */
static struct jf_conv call(const struct conv *c, const float *weight, const float *bias, const float *residual) {
	return (struct jf_conv){
	    .y = c->y,
	    .x = c->x,
	    .weight = weight,
	    .bias = bias,
	    .residual = residual,
	    .h = c->h,
	    .w = c->w,
	    .cin = c->cin,
	    .cout = c->cout,
	    .stride = c->stride,
	};
}

/* Image rows do not depend on how many are worked on; y may be the residual. */
static void conv_check_rows(const struct conv *c, const struct jf_kernels *jf) {
	const size_t outputs = (size_t)(c->w * c->cout);

	memcpy(c->y, c->residual, c->outputs * sizeof(float));
	for (int i = 0; i < c->h; i++) {
		struct jf_conv row = call(c, c->packed, c->bias, NULL);

		row.y += (size_t)i * outputs;
		row.x += (size_t)(c->stride * i) * c->line;
		row.residual = row.y;
		row.h = 1;
		jf->conv3x3(&row);
	}
	assert_memory_equal(c->y, c->first, c->outputs * sizeof(float));
}

static void test_conv3x3(void **state) {
	static const int shapes[][5] = {{1, 1, 1, 1, 1}, {1, 1, 3, 16, 2}, {28, 28, 1, 16, 1}, {3, 28, 3, 16, 1},
	    {4, 9, 2, 8, 1}, {5, 7, 5, 9, 2}, {7, 7, 16, 24, 1}, {3, 14, 16, 32, 2}, {6, 5, 7, 33, 1},
	    {7, 7, 24, 48, 2}, {2, 13, 12, 40, 1}, {7, 7, 64, 64, 1}, {2, 29, 4, 100, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;

		conv_setup(&c, shapes[s]);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);
			struct jf_conv all;

			if (jf == NULL)
				continue;
			all = call(&c, c.packed, NULL, NULL);
			jf->conv3x3(&all);
			conv_check(&c, NULL, NULL, jf->name);
			all = call(&c, c.packed, c.bias, c.residual);
			jf->conv3x3(&all);
			conv_check(&c, c.bias, c.residual, jf->name);
			if (i == 0)
				memcpy(c.first, c.y, c.outputs * sizeof(float));
			assert_memory_equal(c.y, c.first, c.outputs * sizeof(float));
			conv_check_rows(&c, jf);
		}
		conv_teardown(&c);
	}
}

static void test_conv3x3_narrow(void **state) {
	static const int shapes[][5] = {{1, 1, 1, 1, 1}, {28, 28, 16, 1, 1}, {9, 28, 32, 3, 1}, {4, 6, 5, 2, 1},
	    {3, 7, 13, 4, 1}, {2, 5, 128, 3, 1}, {2, 9, 150, 2, 1}, {1, 6, 300, 1, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;

		conv_setup(&c, shapes[s]);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);
			struct jf_conv all;

			if (jf == NULL)
				continue;
			all = call(&c, c.weight, NULL, NULL);
			jf->conv3x3_narrow(&all);
			conv_check(&c, NULL, NULL, jf->name);
			all = call(&c, c.weight, c.bias, NULL);
			jf->conv3x3_narrow(&all);
			conv_check(&c, c.bias, NULL, jf->name);
			if (i == 0)
				memcpy(c.first, c.y, c.outputs * sizeof(float));
			assert_memory_equal(c.y, c.first, c.outputs * sizeof(float));
			for (int row = 0; row < c.h; row++) {
				struct jf_conv one = call(&c, c.weight, c.bias, NULL);

				one.y += row * c.w * c.cout;
				one.x += (size_t)row * c.line;
				one.h = 1;
				jf->conv3x3_narrow(&one);
			}
			assert_memory_equal(c.y, c.first, c.outputs * sizeof(float));
		}
		conv_teardown(&c);
	}
}

/* dw and db were `before` resp. c->bias; c->residual is dy; an element is the sum of the pixels and some terms more. */
static void grad_check(
    const struct conv *c, const float *dw, const float *before, const float *db, int more, const char *where) {
	const float *dy = c->residual;

	for (int at = 0; at < 9 * c->cin; at++)
		for (int o = 0; o < c->cout; o++) {
			double sum = (double)before[at * c->cout + o];
			double magnitude = fabs(sum);

			for (int p = 0; p < c->h * c->w; p++) {
				double term = conv_input(c, p / c->w, p % c->w, at / c->cin, at % c->cin) *
					      (double)dy[p * c->cout + o];
				sum += term;
				magnitude += fabs(term);
			}
			check(dw[at * c->cout + o], sum, magnitude, c->h * c->w + more, "weight gradient", where);
		}
	for (int o = 0; o < c->cout; o++) {
		double sum = (double)c->bias[o];
		double magnitude = fabs(sum);

		for (int p = 0; p < c->h * c->w; p++) {
			sum += (double)dy[p * c->cout + o];
			magnitude += fabs((double)dy[p * c->cout + o]);
		}
		check(db[o], sum, magnitude, c->h * c->w, "bias gradient", where);
	}
}

static void grad_call(const struct jf_kernels *jf, const struct conv *c, float *dw, float *db) {
	jf->conv3x3_grad_weight(&(struct jf_conv_grad){.dw = dw,
	    .db = db,
	    .x = c->x,
	    .dy = c->residual,
	    .images = 1,
	    .h = c->h,
	    .w = c->w,
	    .cin = c->cin,
	    .cout = c->cout,
	    .stride = c->stride});
}

static void test_conv3x3_grad_weight(void **state) {
	static const int shapes[][5] = {{1, 1, 1, 1, 1}, {28, 28, 1, 16, 1}, {28, 28, 16, 1, 1}, {9, 28, 5, 3, 1},
	    {5, 4, 3, 2, 1}, {3, 9, 30, 4, 1}, {6, 7, 7, 5, 1}, {14, 14, 16, 24, 1}, {7, 7, 64, 64, 1},
	    {3, 5, 2, 33, 1}, {11, 3, 17, 10, 1}, {14, 14, 16, 32, 2}, {3, 2, 5, 3, 2}, {4, 3, 7, 18, 2}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;
		float *dw;
		float *db;
		float *again;

		conv_setup(&c, shapes[s]);
		dw = noise(c.weights);
		again = noise(c.weights);
		db = noise((size_t)c.cout);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);

			if (jf == NULL)
				continue;
			memcpy(dw, c.weight, c.weights * sizeof(float));
			memcpy(db, c.bias, (size_t)c.cout * sizeof(float));
			grad_call(jf, &c, dw, db);
			grad_check(&c, dw, c.weight, db, 0, jf->name);
			memcpy(again, c.weight, c.weights * sizeof(float));
			grad_call(jf, &c, again, NULL);
			assert_memory_equal(dw, again, c.weights * sizeof(float));
		}
		free(dw);
		free(db);
		free(again);
		conv_teardown(&c);
	}
}

#define WINOGRAD_IMAGES 3
#define WINOGRAD_ROUNDINGS 64 /* of the transforms, whose factors are up to sqrt 8 and 2.5 */

/* `images` images' gradient added to c->weight and c->bias. */
static void grad_winograd_call(const struct jf_kernels *jf, const struct conv *c, int images, const float *x,
    const float *dy, float *dw, float *db) {
	float *scratch = floats(jf_winograd_grad_scratch(images, c->h, c->w, c->cin, c->cout));

	memcpy(dw, c->weight, c->weights * sizeof(float));
	memcpy(db, c->bias, (size_t)c->cout * sizeof(float));
	jf->conv3x3_grad_winograd(&(struct jf_conv_grad){.dw = dw,
	    .db = db,
	    .x = x,
	    .dy = dy,
	    .scratch = scratch,
	    .images = images,
	    .h = c->h,
	    .w = c->w,
	    .cin = c->cin,
	    .cout = c->cout,
	    .stride = 1});
	free(scratch);
}

/* Several images together give what each gives by itself, up to rounding; more tiles than a block has. */
static void grad_winograd_images(const struct conv *c, const struct jf_kernels *jf) {
	const size_t padded = c->line * (size_t)(c->h + 2);
	float *x = noise(WINOGRAD_IMAGES * padded), *dy = noise(WINOGRAD_IMAGES * c->outputs);
	float *dw = noise(c->weights), *db = noise((size_t)c->cout), *one = noise(c->weights);
	double *sums = calloc(c->weights, sizeof(*sums));

	assert_non_null(sums);
	for (size_t i = 0; i < WINOGRAD_IMAGES; i++) {
		grad_winograd_call(jf, c, 1, x + i * padded, dy + i * c->outputs, one, db);
		for (size_t j = 0; j < c->weights; j++)
			sums[j] += (double)one[j] - (double)c->weight[j];
	}
	grad_winograd_call(jf, c, WINOGRAD_IMAGES, x, dy, dw, db);
	for (size_t j = 0; j < c->weights; j++)
		check(dw[j], sums[j] + (double)c->weight[j], 0.5 + 0.1 * WINOGRAD_IMAGES * c->h * c->w, 16,
		    "weight gradient", "several images");
	free(x);
	free(dy);
	free(dw);
	free(db);
	free(one);
	free(sums);
}

static void test_conv3x3_grad_winograd(void **state) {
	static const int shapes[][5] = {
	    {28, 28, 16, 16, 1}, {14, 14, 32, 16, 1}, {7, 7, 16, 48, 1}, {5, 9, 48, 64, 1}, {3, 2, 16, 32, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;
		float *dw, *db, *first;

		conv_setup(&c, shapes[s]);
		dw = noise(c.weights);
		first = noise(c.weights);
		db = noise((size_t)c.cout);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);

			if (jf == NULL)
				continue;
			grad_winograd_call(jf, &c, 1, c.x, c.residual, dw, db);
			if (i == 0) {
				grad_check(&c, dw, c.weight, db, WINOGRAD_ROUNDINGS, jf->name);
				memcpy(first, dw, c.weights * sizeof(float));
			}
			assert_memory_equal(dw, first, c.weights * sizeof(float));
			grad_winograd_images(&c, jf);
		}
		free(dw);
		free(first);
		free(db);
		conv_teardown(&c);
	}
}

static void linear_grad_check(const float *dw, const float *db, const float *x, const float *dy, int m, int k, int n) {
	for (int i = 0; i < k * n + n; i++) {
		const bool bias = i >= k * n;
		double sum = bias ? 0.25 : 0.5, magnitude = sum;

		for (int r = 0; r < m; r++) {
			const double term =
			    (bias ? 1.0 : (double)x[r * k + i / n]) * (double)dy[r * n + (bias ? i - k * n : i % n)];

			sum += term;
			magnitude += fabs(term);
		}
		check(bias ? db[i - k * n] : dw[i], sum, magnitude, m, "linear gradient", bias ? "bias" : "weight");
	}
}

/* Added to what is there; more rows than are worked on at a time, and the same bytes everywhere. */
static void test_linear_grad_weight(void **state) {
	static const int shapes[][3] = {{1, 1, 1}, {4, 64, 10}, {49, 16, 16}, {231, 37, 41}, {500, 5, 33}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		const int m = shapes[s][0], k = shapes[s][1], n = shapes[s][2];
		float *x = noise((size_t)(m * k)), *dy = noise((size_t)(m * n));
		float *dw = noise((size_t)(k * n)), *db = noise((size_t)n), *first = noise((size_t)(k * n));

		for (size_t i = 0; i < COUNT(isa_names); i++) {
			if (isa(i) == NULL)
				continue;
			for (int j = 0; j < k * n; j++)
				dw[j] = 0.5f;
			for (int j = 0; j < n; j++)
				db[j] = 0.25f;
			isa(i)->linear_grad_weight(dw, db, x, dy, m, k, n);
			linear_grad_check(dw, db, x, dy, m, k, n);
			if (i == 0)
				memcpy(first, dw, (size_t)(k * n) * sizeof(float));
			assert_memory_equal(dw, first, (size_t)(k * n) * sizeof(float));
		}
		free(x);
		free(dy);
		free(dw);
		free(db);
		free(first);
	}
}

/* What output (oi, oj), channel o, gives input pixel (row, column), channel i, through each tap that reads it. */
static double strided_sum(const struct conv *c, const float *dy_padded, int row, int column, int i, double *magnitude) {
	double sum = 0.0;

	for (int tap = 0; tap < 9; tap++) {
		const int at = row + 1 - tap / 3, across = column + 1 - tap % 3;

		if (at % 2 || across % 2 || at / 2 >= c->h || across / 2 >= c->w)
			continue;
		for (int o = 0; o < c->cout; o++) {
			const int pixel = (at / 2 + 1) * (c->w + 2) + across / 2 + 1;
			const double term = (double)dy_padded[pixel * c->cout + o] *
					    (double)c->weight[(tap * c->cin + i) * c->cout + o];

			sum += term;
			*magnitude += fabs(term);
		}
	}
	return sum;
}

/* The data gradient of a convolution of stride 2, written and added; the same bytes everywhere. */
static void strided_data_check(const struct conv *c, const float *dy_padded, const float *packed_weight) {
	const size_t n = (size_t)(4 * c->h * c->w * c->cin);
	float *dx = noise(n), *before = noise(n), *first = noise(n);

	for (size_t s = 0; s < 2 * COUNT(isa_names); s++) {
		const bool add = s >= COUNT(isa_names);
		const struct jf_kernels *jf = isa(s % COUNT(isa_names));

		if (jf == NULL)
			continue;
		memcpy(dx, before, n * sizeof(float));
		jf->conv3x3_strided_data(&(struct jf_conv){.y = dx,
		    .x = dy_padded,
		    .weight = packed_weight,
		    .residual = add ? dx : NULL,
		    .h = c->h,
		    .w = c->w,
		    .cin = c->cout,
		    .cout = c->cin});
		for (int q = 0; q < (int)n; q++) {
			const int pixel = q / c->cin;
			double magnitude = add ? fabs((double)before[q]) : 0.0;
			double sum =
			    strided_sum(c, dy_padded, pixel / (2 * c->w), pixel % (2 * c->w), q % c->cin, &magnitude);

			check(dx[q], sum + (add ? (double)before[q] : 0.0), magnitude, 4 * c->cout,
			    "strided data gradient", jf->name);
		}
		if (s % COUNT(isa_names) == 0)
			memcpy(first, dx, n * sizeof(float));
		assert_memory_equal(dx, first, n * sizeof(float));
	}
	free(dx);
	free(before);
	free(first);
}

static void test_strided_data_gradient(void **state) {
	static const int shapes[][5] = {{7, 7, 32, 64, 2}, {14, 14, 16, 32, 2}, {1, 1, 3, 5, 2}, {3, 16, 19, 7, 2}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;
		float *dy_padded, *w;

		conv_setup(&c, shapes[s]);
		dy_padded = noise((size_t)((c.h + 2) * (c.w + 2) * c.cout));
		for (int p = 0; p < (c.h + 2) * (c.w + 2); p++)
			if (p / (c.w + 2) % (c.h + 1) == 0 || p % (c.w + 2) % (c.w + 1) == 0)
				memset(dy_padded + (size_t)(p * c.cout), 0, (size_t)c.cout * sizeof(float));
		w = floats(jf_pack_size(9 * c.cout, c.cin));
		jf_pack_conv_strided(w, c.weight, c.cin, c.cout);
		strided_data_check(&c, dy_padded, w);
		free(dy_padded);
		free(w);
		conv_teardown(&c);
	}
}

/* The data gradient is a convolution of dy with the turned, transposed weight. */
static void test_data_gradient(void **state) {
	enum { H = 5, W = 6, CIN = 7, COUT = 18 };
	float *weight = noise(9 * CIN * COUT);
	float *w = floats(jf_pack_size(9 * COUT, CIN));
	float *dy_padded = noise((H + 2) * (W + 2) * COUT);
	float *dx = noise(H * W * CIN);

	(void)state;
	jf_pack_conv_transposed(w, weight, CIN, COUT);
	for (int p = 0; p < (H + 2) * (W + 2); p++) {
		const int i = p / (W + 2);
		const int j = p % (W + 2);

		if (i == 0 || j == 0 || i == H + 1 || j == W + 1)
			memset(dy_padded + (size_t)(p * COUT), 0, COUT * sizeof(float));
	}
	for (size_t i = 0; i < COUNT(isa_names); i++) {
		if (isa(i) == NULL)
			continue;
		isa(i)->conv3x3(&(struct jf_conv){
		    .y = dx, .x = dy_padded, .weight = w, .h = H, .w = W, .cin = COUT, .cout = CIN, .stride = 1});
		for (int q = 0; q < H * W * CIN; q++) {
			const int row = q / (W * CIN);
			const int column = q / CIN % W;
			double sum = 0.0;
			double magnitude = 0.0;

			/* Output (oi, oj) reads input (oi + kh - 1, oj + kw - 1). */
			for (int tap = 0; tap < 9; tap++) {
				const int oi = row + 1 - tap / 3;
				const int oj = column + 1 - tap % 3;

				if (oi < 0 || oi >= H || oj < 0 || oj >= W)
					continue;
				for (int o = 0; o < COUT; o++) {
					double term = (double)dy_padded[((oi + 1) * (W + 2) + oj + 1) * COUT + o] *
						      (double)weight[(tap * CIN + q % CIN) * COUT + o];
					sum += term;
					magnitude += fabs(term);
				}
			}
			check(dx[q], sum, magnitude, 9 * COUT, "data gradient", isa_names[i]);
		}
	}
	free(weight);
	free(w);
	free(dy_padded);
	free(dx);
}

/* --- Winograd --- */

static void test_winograd_suits(void **state) {
	(void)state;
	assert_true(jf_winograd_suits(28, 28, 16, 16));
	assert_true(jf_winograd_suits(7, 7, 128, 64));
	assert_false(jf_winograd_suits(28, 28, 1, 16));
	assert_false(jf_winograd_suits(28, 28, 24, 16));
	assert_false(jf_winograd_suits(28, 28, 16, 40));
	assert_false(jf_winograd_suits(4, 28, 16, 16));
}

/* Below the first tile row nothing changes when that row is cut off: no tile depends on its place in a block. */
static void winograd_check_rows(
    const struct conv *c, const struct jf_kernels *jf, const float *u, float *scratch, float *y) {
	const size_t cut = (size_t)(4 * c->w * c->cout);

	if (c->h <= 4)
		return;
	memcpy(y, c->residual + cut, (c->outputs - cut) * sizeof(float));
	struct jf_conv below = call(c, u, c->bias, y);
	below.y = y;
	below.x += 4 * c->line;
	below.scratch = scratch;
	below.h -= 4;
	jf->conv3x3_winograd(&below);
	assert_memory_equal(y, c->first + cut, (c->outputs - cut) * sizeof(float));
}

/* Several images at once, each with its own bias or all with one: each one's bytes are those it has alone. */
static void winograd_check_images(const struct conv *c, const struct jf_kernels *jf, const float *u) {
	enum { IMAGES = 5 };
	const size_t image = (size_t)(c->h + 2) * c->line, stride = (size_t)c->cout + 3;
	float *x = noise(IMAGES * image), *bias = noise(IMAGES * stride), *residual = noise(IMAGES * c->outputs);
	float *y = noise(IMAGES * c->outputs), *alone = noise(c->outputs);
	float *scratch = noise(jf_winograd_scratch(IMAGES, c->h, c->w, c->cin, c->cout));

	for (int own = 0; own < 2; own++) {
		struct jf_conv conv = call(c, u, bias, residual);

		conv.x = x;
		conv.y = y;
		conv.scratch = scratch;
		conv.images = IMAGES;
		conv.bias_stride = own ? (int)stride : 0;
		jf->conv3x3_winograd(&conv);
		for (size_t i = 0; i < IMAGES; i++) {
			struct jf_conv one = conv;

			one.x += i * image;
			one.y = alone;
			one.bias += own ? i * stride : 0;
			one.residual += i * c->outputs;
			one.images = i % 2 ? 1 : 0;
			jf->conv3x3_winograd(&one);
			assert_memory_equal(y + i * c->outputs, alone, c->outputs * sizeof(float));
		}
	}
	free(x);
	free(bias);
	free(residual);
	free(y);
	free(alone);
	free(scratch);
}

static void test_conv3x3_winograd(void **state) {
	static const int shapes[][5] = {{1, 1, 16, 16, 1}, {4, 4, 16, 32, 1}, {5, 6, 32, 16, 1}, {7, 7, 64, 48, 1},
	    {9, 11, 16, 16, 1}, {14, 14, 32, 32, 1}, {28, 28, 16, 16, 1}, {12, 30, 16, 16, 1}, {6, 2, 80, 16, 1}};

	(void)state;
	for (size_t s = 0; s < COUNT(shapes); s++) {
		struct conv c;
		float *u;
		float *scratch;

		conv_setup(&c, shapes[s]);
		u = floats(jf_winograd_size(c.cin, c.cout));
		scratch = noise(jf_winograd_scratch(1, c.h, c.w, c.cin, c.cout));
		jf_winograd_pack(u, c.weight, c.cin, c.cout);
		for (size_t i = 0; i < COUNT(isa_names); i++) {
			const struct jf_kernels *jf = isa(i);
			struct jf_conv all;

			if (jf == NULL)
				continue;
			all = call(&c, u, NULL, NULL);
			all.scratch = scratch;
			jf->conv3x3_winograd(&all);
			conv_check(&c, NULL, NULL, jf->name);
			all.bias = c.bias;
			all.residual = c.residual;
			jf->conv3x3_winograd(&all);
			conv_check(&c, c.bias, c.residual, jf->name);
			if (i == 0)
				memcpy(c.first, c.y, c.outputs * sizeof(float));
			assert_memory_equal(c.y, c.first, c.outputs * sizeof(float));
			winograd_check_rows(&c, jf, u, scratch, c.y);
			winograd_check_images(&c, jf, u);
		}
		free(u);
		free(scratch);
		conv_teardown(&c);
	}
}

/* Its error, relative to the result's size, stays within a few units of float32's last place. */
static void test_winograd_error(void **state) {
	const int shape[5] = {28, 28, 32, 16, 1};
	const struct jf_kernels *jf = jf_kernels();
	struct conv c;
	double error = 0.0;
	double size = 0.0;
	float *u;
	float *scratch;

	(void)state;
	conv_setup(&c, shape);
	u = floats(jf_winograd_size(c.cin, c.cout));
	scratch = noise(jf_winograd_scratch(1, c.h, c.w, c.cin, c.cout));
	jf_winograd_pack(u, c.weight, c.cin, c.cout);
	struct jf_conv all = call(&c, u, NULL, NULL);
	all.scratch = scratch;
	jf->conv3x3_winograd(&all);
	for (int p = 0; p < c.h * c.w; p++)
		for (int o = 0; o < c.cout; o++) {
			double sum = 0.0;

			for (int k = 0; k < 9 * c.cin; k++)
				sum += conv_input(&c, p / c.w, p % c.w, k / c.cin, k % c.cin) *
				       (double)c.weight[k * c.cout + o];
			error += (sum - (double)c.y[p * c.cout + o]) * (sum - (double)c.y[p * c.cout + o]);
			size += sum * sum;
		}
	assert_true(sqrt(error / size) < 1.5e-6);
	free(u);
	free(scratch);
	conv_teardown(&c);
}

static void test_winograd_pack_transposed(void **state) {
	enum { CIN = 32, COUT = 20 };
	const size_t size = jf_winograd_size(COUT, CIN);
	float *weight = noise(9 * CIN * COUT);
	float *turned = noise(9 * CIN * COUT);
	float *expect = floats(size);
	float *u = floats(size);

	(void)state;
	for (int tap = 0; tap < 9; tap++)
		for (int c = 0; c < CIN; c++)
			for (int o = 0; o < COUT; o++)
				turned[(tap * COUT + o) * CIN + c] = weight[((8 - tap) * CIN + c) * COUT + o];
	jf_winograd_pack(expect, turned, COUT, CIN);
	jf_winograd_pack_transposed(u, weight, CIN, COUT);
	assert_memory_equal(u, expect, size * sizeof(float));
	free(weight);
	free(turned);
	free(expect);
	free(u);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conv3x3),
	    cmocka_unit_test(test_conv3x3_grad_weight),
	    cmocka_unit_test(test_conv3x3_grad_winograd),
	    cmocka_unit_test(test_linear_grad_weight),
	    cmocka_unit_test(test_strided_data_gradient),
	    cmocka_unit_test(test_conv3x3_narrow),
	    cmocka_unit_test(test_conv3x3_winograd),
	    cmocka_unit_test(test_data_gradient),
	    cmocka_unit_test(test_winograd_error),
	    cmocka_unit_test(test_winograd_pack_transposed),
	    cmocka_unit_test(test_winograd_suits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
