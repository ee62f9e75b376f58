/* Golden cases: what tests/golden/make_golden.py wrote, for the tests that compare with it. */
#ifndef JF_TESTS_GOLDEN_H
#define JF_TESTS_GOLDEN_H

#include "core/engine/network.h"
#include "core/files/safetensors.h"

struct golden {
	struct jf_safetensors *file;
	struct jf_network_config config;
	struct jf_graph *graph;
	float *params; /* by the formula, [graph->n_params_floats] */
	int batch;
	float *x, *y, *t_img, *t_lab, *augment; /* inputs of all samples; augment NULL when there is none */
	float *target, *classes;                /* of the loss */
	float *velocity, *logits;               /* expected */
	float loss;
	double largest_gradient;
};

/* All fail the running test on any error. */
void golden_open(struct golden *golden, const char *name);
void golden_close(struct golden *golden);

/* Expected gradient of a parameter: *values are `count` elements, the i-th of which is element i * size / count. */
const float *golden_gradient(const struct golden *golden, const struct jf_param *param, size_t *count);

#endif
