/* The AVX-512 instructions that core/kernels/simd.h uses, as pairs of AVX2 instructions, so that the AVX-512 kernels
 * can be tested on processors without them: core/kernels/avx512.c is compiled a second time with this file in front.
 *
 * It shows that the 16-lane code computes what it should and gives the same bytes; the real instructions are tested
 * where the processor has them. */
#ifndef JF_TESTS_AVX512_EMULATED_H
#define JF_TESTS_AVX512_EMULATED_H

#ifndef __clang__ /* gcc takes the halves of a pair for unset at -O1; clang does not know the name of that warning */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h> /* before the two defines: the compiler itself has no AVX-512 switched on */

#define __AVX512F__ 1
#define __AVX512DQ__ 1
#define EMULATED static inline __attribute__((always_inline, unused))

struct emulated_ps {
	__m256 low, high;
};
struct emulated_epi {
	__m256i low, high;
};
struct emulated_pd {
	__m256d low, high;
};
#define __m512 struct emulated_ps
#define __m512d struct emulated_pd
#define __m512i struct emulated_epi

EMULATED __m512 emulated_loadu_ps(const float *p) {
	return (__m512){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
EMULATED void emulated_storeu_ps(float *p, __m512 v) {
	_mm256_storeu_ps(p, v.low);
	_mm256_storeu_ps(p + 8, v.high);
}
EMULATED __m512 emulated_maskz_loadu_ps(__mmask16 mask, const float *p) {
	float part[16] = {0};
	for (int i = 0; i < 16; i++)
		if (mask >> i & 1)
			part[i] = p[i];
	return emulated_loadu_ps(part);
}
EMULATED void emulated_mask_storeu_ps(float *p, __mmask16 mask, __m512 v) {
	float part[16];
	emulated_storeu_ps(part, v);
	for (int i = 0; i < 16; i++)
		if (mask >> i & 1)
			p[i] = part[i];
}
EMULATED __m512 emulated_set1_ps(float x) {
	return (__m512){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
EMULATED __m512 emulated_fmadd_ps(__m512 a, __m512 b, __m512 c) {
	return (__m512){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
EMULATED __m512 emulated_add_ps(__m512 a, __m512 b) {
	return (__m512){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
EMULATED __m512 emulated_sub_ps(__m512 a, __m512 b) {
	return (__m512){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
EMULATED __m512 emulated_mul_ps(__m512 a, __m512 b) {
	return (__m512){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
EMULATED __m512 emulated_div_ps(__m512 a, __m512 b) {
	return (__m512){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
EMULATED __m512 emulated_max_ps(__m512 a, __m512 b) {
	return (__m512){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
EMULATED __m512 emulated_min_ps(__m512 a, __m512 b) {
	return (__m512){_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
EMULATED __m512i emulated_castps_si512(__m512 a) {
	return (__m512i){_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)};
}
EMULATED __m512 emulated_castsi512_ps(__m512i a) {
	return (__m512){_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)};
}
/* The smaller magnitude with a's sign, that is imm8 = 2. The other operand where one is NaN, as the instruction. */
EMULATED __m512 emulated_range_ps(__m512 a, __m512 b, int imm8) {
	float from[16], bound[16];
	emulated_storeu_ps(from, a);
	emulated_storeu_ps(bound, b);
	for (int i = 0; i < 16 && imm8 == 2; i++)
		from[i] = __builtin_copysignf(__builtin_fminf(__builtin_fabsf(from[i]), bound[i]), from[i]);
	return emulated_loadu_ps(from);
}
EMULATED __m512i emulated_slli_epi32(__m512i a, int n) {
	return (__m512i){_mm256_slli_epi32(a.low, n), _mm256_slli_epi32(a.high, n)};
}
EMULATED __m256 emulated_castps512_ps256(__m512 a) {
	return a.low;
}
EMULATED __m256 emulated_extractf32x8_ps(__m512 a, int half) {
	return half ? a.high : a.low;
}
EMULATED __m512d emulated_loadu_pd(const double *p) {
	return (__m512d){_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)};
}
EMULATED void emulated_storeu_pd(double *p, __m512d v) {
	_mm256_storeu_pd(p, v.low);
	_mm256_storeu_pd(p + 4, v.high);
}
EMULATED __m512d emulated_set1_pd(double x) {
	return (__m512d){_mm256_set1_pd(x), _mm256_set1_pd(x)};
}
EMULATED __m512d emulated_fmadd_pd(__m512d a, __m512d b, __m512d c) {
	return (__m512d){_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}
EMULATED __m512d emulated_cvtps_pd(__m256 a) {
	return (__m512d){_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))};
}

#define _mm512_loadu_pd emulated_loadu_pd
#define _mm512_storeu_pd emulated_storeu_pd
#define _mm512_set1_pd emulated_set1_pd
#define _mm512_fmadd_pd emulated_fmadd_pd
#define _mm512_cvtps_pd emulated_cvtps_pd
#define _mm512_loadu_ps emulated_loadu_ps
#define _mm512_storeu_ps emulated_storeu_ps
#define _mm512_maskz_loadu_ps emulated_maskz_loadu_ps
#define _mm512_mask_storeu_ps emulated_mask_storeu_ps
#define _mm512_set1_ps emulated_set1_ps
#define _mm512_fmadd_ps emulated_fmadd_ps
#define _mm512_add_ps emulated_add_ps
#define _mm512_sub_ps emulated_sub_ps
#define _mm512_mul_ps emulated_mul_ps
#define _mm512_div_ps emulated_div_ps
#define _mm512_max_ps emulated_max_ps
#define _mm512_min_ps emulated_min_ps
#undef _mm512_range_ps
#define _mm512_range_ps emulated_range_ps
#define _mm512_castps_si512 emulated_castps_si512
#define _mm512_castsi512_ps emulated_castsi512_ps
#undef _mm512_slli_epi32
#define _mm512_slli_epi32 emulated_slli_epi32
#define _mm512_castps512_ps256 emulated_castps512_ps256
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps emulated_extractf32x8_ps

#endif
