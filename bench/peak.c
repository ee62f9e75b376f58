#include "config.h"

#include "bench/peak.h"
#include "core/base/clock.h"

#include <string.h>
#ifdef JF_HAVE_X86_64
#include <immintrin.h>
#endif

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

static const struct peak peaks[] = {
#ifdef JF_HAVE_X86_64
    {"avx512", peak_avx512, 2.0 * 16 * PEAK_CHAINS *PEAK_STEPS},
    {"avx2", peak_avx2, 2.0 * 8 * PEAK_CHAINS *PEAK_STEPS},
#endif
    {"base", peak_base, 2.0 * PEAK_CHAINS *(PEAK_STEPS / 10)},
};

const struct peak *peak_by_name(const char *isa) {
	for (size_t i = 0; i < sizeof(peaks) / sizeof(peaks[0]); i++)
		if (strcmp(peaks[i].name, isa) == 0)
			return &peaks[i];
	return NULL;
}

double peak_flop_per_s(const struct peak *peak, int rounds) {
	double best = 0.0;

	for (int i = 0; i < rounds; i++) {
		double start = jf_clock_s(), speed;

		peak->run();
		speed = peak->flop / (jf_clock_s() - start);
		best = speed > best ? speed : best;
	}
	return best;
}
