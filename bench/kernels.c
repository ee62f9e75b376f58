/* Measures the numeric kernels on one core, each as a share of the fused multiply-add peak measured around it.
 *
 * bench-kernels [ISA ...]    ISA: base, avx2, avx512; without one, every one that this CPU runs, the portable one left
 * out
 *
 * The Winograd convolution is credited with the operations that the direct one does, so its share may pass 100 %.
 * Shares, not times, are what to compare between runs: the clock and the neighbours differ, the ratio hardly does. */
#include "config.h"

#include "core/kernels.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef JF_HAVE_X86_64
#include <immintrin.h>
#endif

#define BEST_OF 300    /* rounds; many short ones, so that some fall between the neighbours' work */
#define ROUND_S 0.0003 /* at least */

static double now(void) {
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- the peak: 12 independent chains of fused multiply-adds
 * ----------------------------------------------------------- */

static volatile float sink;

#define PEAK_STEPS 20000
#define PEAK_CHAINS 12

#ifdef JF_HAVE_X86_64
/* The chains are named one by one: an array of them would be spilled to memory. */
#define PEAK_FN(name, isa, vec, set1, fmadd, add, first)                                                       \
	__attribute__((target(isa))) static void name(void) {                                                  \
		vec a = set1(1), b = set1(2), c = set1(3), d = set1(4), e = set1(5), f = set1(6), g = set1(7), \
		    h = set1(8), i = set1(9), j = set1(10), k = set1(11), l = set1(12);                        \
		const vec m = set1(0.999f);                                                                    \
                                                                                                               \
		for (int s = 0; s < PEAK_STEPS; s++) {                                                         \
			a = fmadd(a, m, m), b = fmadd(b, m, m), c = fmadd(c, m, m), d = fmadd(d, m, m);        \
			e = fmadd(e, m, m), f = fmadd(f, m, m), g = fmadd(g, m, m), h = fmadd(h, m, m);        \
			i = fmadd(i, m, m), j = fmadd(j, m, m), k = fmadd(k, m, m), l = fmadd(l, m, m);        \
		}                                                                                              \
		a = add(add(add(a, b), add(c, d)), add(add(e, f), add(g, h)));                                 \
		sink = first(add(a, add(add(i, j), add(k, l))));                                               \
	}

PEAK_FN(peak_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_cvtss_f32)
PEAK_FN(peak_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_cvtss_f32)
#endif

static void peak_base(void) {
	float a[PEAK_CHAINS];

	for (int i = 0; i < PEAK_CHAINS; i++)
		a[i] = (float)i;
	for (int s = 0; s < PEAK_STEPS / 10; s++)
		for (int i = 0; i < PEAK_CHAINS; i++)
			a[i] = __builtin_fmaf(a[i], 0.999f, 0.999f);
	for (int i = 1; i < PEAK_CHAINS; i++)
		a[0] += a[i];
	sink = a[0];
}

static const struct isa {
	const char *name;
	void (*peak)(void);
	double peak_flop; /* of one call */
} isas[] = {
#ifdef JF_HAVE_X86_64
    {"avx512", peak_avx512, 2.0 * 16 * PEAK_CHAINS *PEAK_STEPS},
    {"avx2", peak_avx2, 2.0 * 8 * PEAK_CHAINS *PEAK_STEPS},
#endif
    {"base", peak_base, 2.0 * PEAK_CHAINS *(PEAK_STEPS / 10)},
};

/* --- what is measured
 * ------------------------------------------------------------------------------------------------- */

enum kind { CONV, WINOGRAD, NARROW, GRAD_WEIGHT, GEMM };

static const struct work {
	enum kind kind;
	int h; /* gemm: rows */
	int w; /* gemm: 1 */
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

static struct {
	float *x;
	float *y;
	float *weight;
	float *bias;
	float *scratch;
} buffers;

static double work_flop(const struct work *k) {
	double taps = k->kind == GEMM ? 1 : 9;

	return 2.0 * taps * k->h * k->w * k->cin * k->cout;
}

static void work_do(const struct jf_kernels *jf, const struct work *k) {
	switch (k->kind) {
	case CONV:
		jf->conv3x3(
		    buffers.y, buffers.x, buffers.weight, buffers.bias, NULL, k->h, k->w, k->cin, k->cout, k->stride);
		break;
	case WINOGRAD:
		jf->conv3x3_winograd(buffers.y, buffers.x, buffers.weight, buffers.bias, NULL, buffers.scratch, k->h,
		    k->w, k->cin, k->cout);
		break;
	case NARROW:
		jf->conv3x3_narrow(buffers.y, buffers.x, buffers.weight, buffers.bias, k->h, k->w, k->cin, k->cout);
		break;
	case GRAD_WEIGHT:
		jf->conv3x3_grad_weight(
		    buffers.weight, buffers.bias, buffers.x, buffers.y, k->h, k->w, k->cin, k->cout);
		break;
	case GEMM:
		jf->gemm(buffers.y, buffers.x, buffers.weight, buffers.bias, NULL, k->h, k->cin, k->cout);
		break;
	}
}

static double time_peak(const struct isa *isa) {
	double start = now();

	isa->peak();
	return now() - start;
}

static double time_work(const struct jf_kernels *jf, const struct work *k, int times) {
	double start = now();

	for (int i = 0; i < times; i++)
		work_do(jf, k);
	return (now() - start) / times;
}

static void measure(const struct isa *isa, const struct jf_kernels *jf, const struct work *k) {
	static const char *const names[] = {
	    "conv3x3", "conv3x3_winograd", "conv3x3_narrow", "conv3x3_grad_weight", "gemm"};
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
	if (k->kind == GEMM)
		snprintf(shape, sizeof(shape), "%d x %d x %d", k->h, k->cin, k->cout);
	else
		snprintf(
		    shape, sizeof(shape), "%dx%d %d->%d%s", k->h, k->w, k->cin, k->cout, k->stride == 2 ? " /2" : "");
	printf("%-7s %-20s %-18s %9.2f us %8.1f GFLOP/s %5.1f %% of %.1f\n", isa->name, names[k->kind], shape,
	    1e6 * best, 1e-9 * work_flop(k) / best, 100.0 * work_flop(k) / best / (isa->peak_flop / peak),
	    1e-9 * isa->peak_flop / peak);
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

static bool wanted(const struct isa *isa, int argc, char **argv) {
	if (argc == 1)
		return strcmp(isa->name, "base") != 0;
	for (int i = 1; i < argc; i++)
		if (strcmp(isa->name, argv[i]) == 0)
			return true;
	return false;
}

int main(int argc, char **argv) {
	buffers.x = filled();
	buffers.y = filled();
	buffers.weight = filled();
	buffers.bias = filled();
	buffers.scratch = filled();
	for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
		const struct jf_kernels *jf = jf_kernels_by_name(isas[i].name);

		if (!wanted(&isas[i], argc, argv))
			continue;
		if (jf == NULL) {
			printf("%-7s not on this CPU\n", isas[i].name);
			continue;
		}
		for (size_t j = 0; j < sizeof(works) / sizeof(works[0]); j++)
			measure(&isas[i], jf, &works[j]);
	}
	free(buffers.x);
	free(buffers.y);
	free(buffers.weight);
	free(buffers.bias);
	free(buffers.scratch);
	return 0;
}
