#include "bench/flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"

#define H 0.01f /* of the central differences */
#define LN_2PI 1.8378770664093453

struct run {
	const struct flow_field *field;
	float *points, *velocities; /* [at_once][n] */
	float *signs;               /* [probes][n], 1 and -1; NULL: the coordinates one by one */
	int probes;
};

/* Direction number d: into out [n]. */
static void direction(const struct run *r, float *out, int d) {
	const size_t n = r->field->n;

	memset(out, 0, n * sizeof(*out));
	if (r->signs)
		memcpy(out, r->signs + (size_t)d * n, n * sizeof(*out));
	else
		out[d] = 1.0f;
}

/* The rate of change of z into dz [n]; returns the trace of its Jacobian. */
static double evaluate(const struct run *r, float *dz, const float *z, double t) {
	const size_t n = r->field->n;
	const int directions = r->signs ? r->probes : (int)n, pairs = r->field->at_once / 2;
	double trace = 0.0;

	r->field->velocity(r->field->context, dz, z, 1, (float)t);
	for (int first = 0; first < directions; first += pairs) {
		const int count = directions - first < pairs ? directions - first : pairs;

		for (int i = 0; i < 2 * count; i++) {
			float *point = r->points + (size_t)i * n;

			direction(r, point, first + i / 2);
			for (size_t j = 0; j < n; j++)
				point[j] = z[j] + (i % 2 ? -H : H) * point[j];
		}
		r->field->velocity(r->field->context, r->velocities, r->points, 2 * count, (float)t);
		for (int i = 0; i < count; i++) {
			const float *up = r->velocities + (size_t)(2 * i) * n, *down = up + n;
			const float *above = r->points + (size_t)(2 * i) * n, *below = above + n;

			/* the points' own difference is the direction, as floats have it */
			for (size_t j = 0; j < n; j++)
				trace += ((double)above[j] - (double)below[j]) * ((double)up[j] - (double)down[j]) /
					 (4.0 * (double)H * (double)H);
		}
	}
	return trace / (r->signs ? r->probes : 1);
}

/* One step over `width` of ln t; dz is that of ln t too. */
static double step(const struct run *r, double *z, float *at, float *dz, double *sum, double ln_t, double width) {
	static const double ahead[4] = {0.0, 0.5, 0.5, 1.0}, weight[4] = {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6};
	const size_t n = r->field->n;
	double traces = 0.0;

	memset(sum, 0, n * sizeof(*sum));
	memset(dz, 0, n * sizeof(*dz));
	for (int stage = 0; stage < 4; stage++) {
		const double t = exp(ln_t + ahead[stage] * width);

		for (size_t j = 0; j < n; j++) /* dz is still the stage before's; of the first, ahead is 0 */
			at[j] = (float)(z[j] + ahead[stage] * width * (double)dz[j]);
		traces += weight[stage] * width * t * evaluate(r, dz, at, t);
		for (size_t j = 0; j < n; j++) {
			dz[j] *= (float)t;
			sum[j] += weight[stage] * width * (double)dz[j];
		}
	}
	for (size_t j = 0; j < n; j++)
		z[j] += sum[j];
	return traces;
}

static void draw_signs(float *signs, size_t count, uint64_t seed, uint64_t index) {
	jf_rng_uniform(signs, count, seed, JF_STREAM_EVAL, index);
	for (size_t j = 0; j < count; j++)
		signs[j] = signs[j] < 0.5f ? -1.0f : 1.0f;
}

double flow_log_density(
    const struct flow_field *field, const float *z, double t, int steps, int probes, uint64_t seed, uint64_t index) {
	const size_t n = field->n, room = n * (size_t)field->at_once;
	struct run r = {.field = field,
	    .points = malloc(room * sizeof(float)),
	    .velocities = malloc(room * sizeof(float)),
	    .signs = probes ? malloc(n * (size_t)probes * sizeof(float)) : NULL,
	    .probes = probes};
	double *state = malloc(n * sizeof(*state)), *sum = malloc(n * sizeof(*sum)), result = NAN;
	float *at = malloc(n * sizeof(*at)), *dz = malloc(n * sizeof(*dz));

	if (r.points && r.velocities && (r.signs || !probes) && state && sum && at && dz) {
		const double width = -log(t) / steps;

		if (r.signs)
			draw_signs(r.signs, n * (size_t)probes, seed, index);
		for (size_t j = 0; j < n; j++)
			state[j] = (double)z[j];
		result = 0.0;
		for (int i = 0; i < steps; i++)
			result += step(&r, state, at, dz, sum, log(t) + i * width, width);
		for (size_t j = 0; j < n; j++)
			result -= 0.5 * state[j] * state[j] + 0.5 * LN_2PI;
	}
	free(r.points);
	free(r.velocities);
	free(r.signs);
	free(state);
	free(sum);
	free(at);
	free(dz);
	return result;
}

double flow_log_noise(const float *z, const float *x, size_t n, double t) {
	double sum = 0.0;

	for (size_t j = 0; j < n; j++) {
		const double e = (double)z[j] - (1.0 - t) * (double)x[j];

		sum += e * e;
	}
	return -0.5 * sum / t / t - (double)n * (0.5 * LN_2PI + log(t));
}
