/* Measures the numeric kernels on one core, each as a share of the fused multiply-add peak measured around it.
 *
 * bench-kernels [ISA ...]    ISA: base, avx2, avx512; without one, every one that this CPU runs, the portable one left
 * out
 *
 * The weight gradients of linear layers are measured by our kernel and by OpenBLAS, whose own choice of instruction set
 * is the same in every part: above some size its are the faster ones (core/engine/ops_backward.c).
 *
 * The Winograd convolution is credited with the operations that the direct one does, so its share may pass 100 %.
 * Shares, not times, are what to compare between runs: the clock and the neighbours differ, the ratio hardly does. */
#include "config.h"

#include "bench/peak.h"
#include "core/base/clock.h"
#include "core/kernels/blas.h"
#include "core/kernels/kernels.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEST_OF 300    /* rounds; many short ones, so that some fall between the neighbours' work */
#define ROUND_S 0.0003 /* at least */

static const char *const isas[] = {"avx512", "avx2", "neon", "base"};

/* --- what is measured --- */

enum kind { CONV, WINOGRAD, NARROW, GRAD_WEIGHT, GRAD_WINOGRAD, STRIDED_DATA, LINEAR_GRAD, LINEAR_BLAS, GEMM };

static const struct work {
	enum kind kind;
	int h; /* linear: rows */
	int w; /* linear: 1 */
	int cin;
	int cout;
	int stride;
} works[] = {
    {CONV, 28, 28, 16, 16, 1},
    {CONV, 28, 28, 32, 16, 1},
    {CONV, 28, 28, 1, 16, 1},
    {CONV, 14, 14, 16, 32, 2},
    {CONV, 14, 14, 32, 32, 1},
    {CONV, 14, 14, 64, 32, 1},
    {CONV, 7, 7, 32, 64, 2},
    {CONV, 7, 7, 64, 64, 1},
    {CONV, 7, 7, 128, 64, 1},
    {CONV, 28, 28, 24, 24, 1},
    {CONV, 14, 14, 48, 48, 1},
    {CONV, 7, 7, 96, 96, 1},
    {CONV, 7, 7, 128, 128, 1},
    {WINOGRAD, 28, 28, 16, 16, 1},
    {WINOGRAD, 28, 28, 32, 16, 1},
    {WINOGRAD, 14, 14, 32, 32, 1},
    {WINOGRAD, 14, 14, 64, 32, 1},
    {WINOGRAD, 7, 7, 64, 64, 1},
    {WINOGRAD, 7, 7, 128, 64, 1},
    {WINOGRAD, 14, 14, 48, 48, 1},
    {WINOGRAD, 7, 7, 96, 96, 1},
    {WINOGRAD, 7, 7, 128, 128, 1},
    {NARROW, 28, 28, 16, 1, 1},
    {NARROW, 28, 28, 32, 3, 1},
    {GRAD_WEIGHT, 28, 28, 16, 16, 1},
    {GRAD_WEIGHT, 28, 28, 1, 16, 1},
    {GRAD_WEIGHT, 28, 28, 16, 1, 1},
    {GRAD_WEIGHT, 14, 14, 32, 32, 1},
    {GRAD_WEIGHT, 14, 14, 64, 32, 1},
    {GRAD_WEIGHT, 7, 7, 64, 64, 1},
    {GRAD_WEIGHT, 28, 28, 24, 24, 1},
    {GRAD_WEIGHT, 7, 7, 96, 96, 1},
    {GRAD_WEIGHT, 14, 14, 16, 32, 2},
    {GRAD_WEIGHT, 7, 7, 32, 64, 2},
    {GRAD_WINOGRAD, 28, 28, 16, 16, 1},
    {GRAD_WINOGRAD, 28, 28, 32, 16, 1},
    {GRAD_WINOGRAD, 14, 14, 32, 32, 1},
    {GRAD_WINOGRAD, 14, 14, 64, 32, 1},
    {GRAD_WINOGRAD, 7, 7, 64, 64, 1},
    {STRIDED_DATA, 14, 14, 16, 32, 2},
    {STRIDED_DATA, 7, 7, 32, 64, 2},
    {LINEAR_GRAD, 3136, 1, 32, 16, 1},
    {LINEAR_GRAD, 784, 1, 64, 32, 1},
    {LINEAR_GRAD, 784, 1, 32, 64, 1},
    {LINEAR_GRAD, 196, 1, 64, 192, 1},
    {LINEAR_GRAD, 196, 1, 128, 64, 1},
    {LINEAR_GRAD, 32, 1, 64, 192, 1},
    {LINEAR_GRAD, 228, 1, 256, 256, 1},
    {LINEAR_GRAD, 456, 1, 256, 768, 1},
    {LINEAR_GRAD, 912, 1, 512, 512, 1},
    {LINEAR_BLAS, 196, 1, 64, 192, 1},
    {LINEAR_BLAS, 228, 1, 256, 256, 1},
    {LINEAR_BLAS, 456, 1, 256, 768, 1},
    {LINEAR_BLAS, 912, 1, 512, 512, 1},
    {GEMM, 784, 1, 32, 16, 1},
    {GEMM, 784, 1, 16, 32, 1},
    {GEMM, 196, 1, 64, 32, 1},
    {GEMM, 57, 1, 64, 192, 1},
    {GEMM, 49, 1, 64, 256, 1},
    {GEMM, 49, 1, 256, 64, 1},
    {GEMM, 49, 1, 512, 128, 1},
    {GEMM, 1, 1, 64, 256, 1},
};

#define MAX_FLOATS (1 << 20)
#define GRAD_IMAGES 4 /* as in training */

static struct {
	float *x;
	float *y;
	float *weight;
	float *bias;
	float *scratch;
} buffers;

static bool is_linear(const struct work *k) {
	return k->kind == LINEAR_GRAD || k->kind == LINEAR_BLAS || k->kind == GEMM;
}

static double work_flop(const struct work *k) {
	double taps = is_linear(k) ? 1 : 9;
	double images = k->kind == GRAD_WEIGHT || k->kind == GRAD_WINOGRAD ? GRAD_IMAGES : 1;

	return 2.0 * images * taps * k->h * k->w * k->cin * k->cout;
}

static void work_do(const struct jf_kernels *jf, const struct work *k) {
	const struct jf_conv conv = {.y = buffers.y,
	    .x = buffers.x,
	    .weight = buffers.weight,
	    .bias = buffers.bias,
	    .scratch = buffers.scratch,
	    .h = k->h,
	    .w = k->w,
	    .cin = k->cin,
	    .cout = k->cout,
	    .stride = k->stride};
	const struct jf_conv_grad grad = {.dw = buffers.weight,
	    .db = buffers.bias,
	    .x = buffers.x,
	    .dy = buffers.y,
	    .scratch = buffers.scratch,
	    .images = GRAD_IMAGES,
	    .h = k->h,
	    .w = k->w,
	    .cin = k->cin,
	    .cout = k->cout,
	    .stride = k->stride};
	struct jf_conv data;

	switch (k->kind) {
	case CONV:
		jf->conv3x3(&conv);
		break;
	case WINOGRAD:
		jf->conv3x3_winograd(&conv);
		break;
	case NARROW:
		jf->conv3x3_narrow(&conv);
		break;
	case GRAD_WEIGHT:
		jf->conv3x3_grad_weight(&grad);
		break;
	case GRAD_WINOGRAD:
		jf->conv3x3_grad_winograd(&grad);
		break;
	case STRIDED_DATA:
		data = conv;
		data.cin = k->cout;
		data.cout = k->cin;
		jf->conv3x3_strided_data(&data);
		break;
	case LINEAR_GRAD:
		jf->linear_grad_weight(buffers.weight, buffers.bias, buffers.x, buffers.y, k->h, k->cin, k->cout);
		break;
	case LINEAR_BLAS:
		jf_blas_weight_gradient(buffers.weight, buffers.x, buffers.y, k->h, k->cin, k->cout);
		break;
	case GEMM:
		jf->gemm(buffers.y, buffers.x, buffers.weight, buffers.bias, NULL, k->h, k->cin, k->cout);
		break;
	}
}

static double time_peak(const struct peak *isa) {
	double start = jf_clock_s();

	isa->run();
	return jf_clock_s() - start;
}

static double time_work(const struct jf_kernels *jf, const struct work *k, int times) {
	double start = jf_clock_s();

	for (int i = 0; i < times; i++)
		work_do(jf, k);
	return (jf_clock_s() - start) / times;
}

static void measure(const struct peak *isa, const struct jf_kernels *jf, const struct work *k) {
	static const char *const names[] = {"conv3x3", "conv3x3_winograd", "conv3x3_narrow", "conv3x3_grad_weight",
	    "conv3x3_grad_winograd", "conv3x3_strided_data", "linear_grad_weight", "linear by OpenBLAS", "gemm"};
	double once = time_work(jf, k, 1);
	int times = once < ROUND_S ? (int)(ROUND_S / once) + 1 : 1;
	double peak = 1e9;
	double best = 1e9;
	char shape[64];

	for (int i = 0; i < BEST_OF; i++) {
		double p = time_peak(isa);
		double t = time_work(jf, k, times);

		peak = p < peak ? p : peak;
		best = t < best ? t : best;
	}
	if (is_linear(k))
		snprintf(shape, sizeof(shape), "%d x %d x %d", k->h, k->cin, k->cout);
	else
		snprintf(
		    shape, sizeof(shape), "%dx%d %d->%d%s", k->h, k->w, k->cin, k->cout, k->stride == 2 ? " /2" : "");
	printf("%-7s %-20s %-18s %9.2f us %8.1f GFLOP/s %5.1f %% of %.1f\n", isa->name, names[k->kind], shape,
	    1e6 * best, 1e-9 * work_flop(k) / best, 100.0 * work_flop(k) / best / (isa->flop / peak),
	    1e-9 * isa->flop / peak);
	fflush(stdout);
}

static float *filled(void) {
	float *p = aligned_alloc(64, MAX_FLOATS * sizeof(float));

	if (p == NULL) {
		fprintf(stderr, "bench-kernels: out of memory\n");
		exit(1);
	}
	for (int i = 0; i < MAX_FLOATS; i++)
		p[i] = (float)(i * 37 % 101 - 50) * 1e-3f;
	return p;
}

static bool wanted(const struct peak *isa, int argc, char **argv) {
	if (argc == 1)
		return strcmp(isa->name, "base") != 0;
	for (int i = 1; i < argc; i++)
		if (strcmp(isa->name, argv[i]) == 0)
			return true;
	return false;
}

int main(int argc, char **argv) {
	char report[256];

	jf_blas_guard(argv, report, sizeof(report));
	jf_blas_set_threads_one();
	printf("%s\n", report);
	buffers.x = filled();
	buffers.y = filled();
	buffers.weight = filled();
	buffers.bias = filled();
	buffers.scratch = filled();
	for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
		const struct jf_kernels *jf = jf_kernels_by_name(isas[i]);
		const struct peak *peak = peak_by_name(isas[i]);

		if (!peak || !wanted(peak, argc, argv))
			continue;
		if (jf == NULL) {
			printf("%-7s not on this CPU\n", isas[i]);
			continue;
		}
		for (size_t j = 0; j < sizeof(works) / sizeof(works[0]); j++)
			measure(peak, jf, &works[j]);
	}
	free(buffers.x);
	free(buffers.y);
	free(buffers.weight);
	free(buffers.bias);
	free(buffers.scratch);
	return 0;
}
