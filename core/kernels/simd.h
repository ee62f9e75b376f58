/* The vector layer under the kernels: one set of names, four instantiations.
 *
 * `vf` is VL float lanes: 16 with AVX-512, 8 with AVX2 + FMA, 4 with NEON of 64-bit ARM, 1 in portable C. Every
 * operation rounds each lane as IEEE 754 says and every multiply-add is fused, so a lane's bytes are the same in all.
 * `struct v16` is 16 logical lanes in NVL vectors, for sums along a row whose order must not depend on VL either. */
#ifndef JF_CORE_KERNELS_SIMD_H
#define JF_CORE_KERNELS_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define VL 16
typedef __m512 vf;
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define VL 8
typedef __m256 vf;
#elif defined(__aarch64__) && !defined(JF_KERNELS_PORTABLE)
#include <arm_neon.h>
#define VL 4
typedef float32x4_t vf;
#else
#define VL 1
typedef float vf;
#endif

#define NVL (16 / VL)
#define VF_EXP_MOST 8 /* vectors that vf_exp_minus_each takes */
#define SIMD_INLINE static inline __attribute__((always_inline, unused))

#if VL == 16

SIMD_INLINE vf vf_load(const float *p) {
	return _mm512_loadu_ps(p);
}
SIMD_INLINE void vf_store(float *p, vf v) {
	_mm512_storeu_ps(p, v);
}
/* The first n lanes, 0 <= n <= VL; the others are 0 and their memory is not touched. */
SIMD_INLINE vf vf_load_part(const float *p, int n) {
	return _mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1U), p);
}
SIMD_INLINE void vf_store_part(float *p, vf v, int n) {
	_mm512_mask_storeu_ps(p, (__mmask16)((1U << n) - 1U), v);
}
SIMD_INLINE vf vf_set1(float x) {
	return _mm512_set1_ps(x);
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c) {
	return _mm512_fmadd_ps(a, b, c);
}
SIMD_INLINE vf vf_add(vf a, vf b) {
	return _mm512_add_ps(a, b);
}
SIMD_INLINE vf vf_sub(vf a, vf b) {
	return _mm512_sub_ps(a, b);
}
SIMD_INLINE vf vf_mul(vf a, vf b) {
	return _mm512_mul_ps(a, b);
}
SIMD_INLINE vf vf_div(vf a, vf b) {
	return _mm512_div_ps(a, b);
}
SIMD_INLINE vf vf_max(vf a, vf b) {
	return _mm512_max_ps(a, b);
}
SIMD_INLINE vf vf_min(vf a, vf b) {
	return _mm512_min_ps(a, b);
}
/* a within [-bound, bound]; NaN may become anything. */
SIMD_INLINE vf vf_clamp(vf a, float bound) {
	return _mm512_range_ps(a, _mm512_set1_ps(bound), 2); /* the smaller magnitude, with a's sign */
}
/* 2^n for the integer n + 127 that `t` holds in its low mantissa bits (see VF_EXP_MAGIC). */
SIMD_INLINE vf vf_scale_bits(vf t) {
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(t), 23));
}

#elif VL == 8

SIMD_INLINE vf vf_load(const float *p) {
	return _mm256_loadu_ps(p);
}
SIMD_INLINE void vf_store(float *p, vf v) {
	_mm256_storeu_ps(p, v);
}
SIMD_INLINE __m256i vf_mask(int n) {
	static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

	return _mm256_loadu_si256((const __m256i *)(const void *)(mask + 8 - n));
}
/* The first n lanes, 0 <= n <= VL; the others are 0 and their memory is not touched. */
SIMD_INLINE vf vf_load_part(const float *p, int n) {
	return _mm256_maskload_ps(p, vf_mask(n));
}
SIMD_INLINE void vf_store_part(float *p, vf v, int n) {
	_mm256_maskstore_ps(p, vf_mask(n), v);
}
SIMD_INLINE vf vf_set1(float x) {
	return _mm256_set1_ps(x);
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c) {
	return _mm256_fmadd_ps(a, b, c);
}
SIMD_INLINE vf vf_add(vf a, vf b) {
	return _mm256_add_ps(a, b);
}
SIMD_INLINE vf vf_sub(vf a, vf b) {
	return _mm256_sub_ps(a, b);
}
SIMD_INLINE vf vf_mul(vf a, vf b) {
	return _mm256_mul_ps(a, b);
}
SIMD_INLINE vf vf_div(vf a, vf b) {
	return _mm256_div_ps(a, b);
}
SIMD_INLINE vf vf_max(vf a, vf b) {
	return _mm256_max_ps(a, b);
}
SIMD_INLINE vf vf_min(vf a, vf b) {
	return _mm256_min_ps(a, b);
}
/* a within [-bound, bound]; NaN may become anything. */
SIMD_INLINE vf vf_clamp(vf a, float bound) {
	return vf_min(vf_set1(bound), vf_max(vf_set1(-bound), a));
}
/* 2^n for the integer n + 127 that `t` holds in its low mantissa bits (see VF_EXP_MAGIC). */
SIMD_INLINE vf vf_scale_bits(vf t) {
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t), 23));
}

#elif VL == 4

SIMD_INLINE vf vf_load(const float *p) {
	return vld1q_f32(p);
}
SIMD_INLINE void vf_store(float *p, vf v) {
	vst1q_f32(p, v);
}
/* The first n lanes, 0 <= n <= VL; the others are 0 and their memory is not touched. */
SIMD_INLINE vf vf_load_part(const float *p, int n) {
	float lanes[VL] = {0.0f, 0.0f, 0.0f, 0.0f};

	for (int i = 0; i < n; i++)
		lanes[i] = p[i];
	return vld1q_f32(lanes);
}
SIMD_INLINE void vf_store_part(float *p, vf v, int n) {
	float lanes[VL];

	vst1q_f32(lanes, v);
	for (int i = 0; i < n; i++)
		p[i] = lanes[i];
}
SIMD_INLINE vf vf_set1(float x) {
	return vdupq_n_f32(x);
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c) {
	return vfmaq_f32(c, a, b);
}
SIMD_INLINE vf vf_add(vf a, vf b) {
	return vaddq_f32(a, b);
}
SIMD_INLINE vf vf_sub(vf a, vf b) {
	return vsubq_f32(a, b);
}
SIMD_INLINE vf vf_mul(vf a, vf b) {
	return vmulq_f32(a, b);
}
SIMD_INLINE vf vf_div(vf a, vf b) {
	return vdivq_f32(a, b);
}
/* As the x86 instructions, not as FMAX and FMIN: the second operand when either is NaN or both are zeros. */
SIMD_INLINE vf vf_max(vf a, vf b) {
	return vbslq_f32(vcgtq_f32(a, b), a, b);
}
SIMD_INLINE vf vf_min(vf a, vf b) {
	return vbslq_f32(vcltq_f32(a, b), a, b);
}
/* a within [-bound, bound]; NaN may become anything. */
SIMD_INLINE vf vf_clamp(vf a, float bound) {
	return vf_min(vf_set1(bound), vf_max(vf_set1(-bound), a));
}
/* 2^n for the integer n + 127 that `t` holds in its low mantissa bits (see VF_EXP_MAGIC). */
SIMD_INLINE vf vf_scale_bits(vf t) {
	return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(t), 23));
}

#else

SIMD_INLINE vf vf_load(const float *p) {
	return *p;
}
SIMD_INLINE void vf_store(float *p, vf v) {
	*p = v;
}
/* The first n lanes, 0 <= n <= VL; the others are 0 and their memory is not touched. */
SIMD_INLINE vf vf_load_part(const float *p, int n) {
	return n > 0 ? *p : 0.0f;
}
SIMD_INLINE void vf_store_part(float *p, vf v, int n) {
	if (n > 0)
		*p = v;
}
SIMD_INLINE vf vf_set1(float x) {
	return x;
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c) {
	return __builtin_fmaf(a, b, c);
}
SIMD_INLINE vf vf_add(vf a, vf b) {
	return a + b;
}
SIMD_INLINE vf vf_sub(vf a, vf b) {
	return a - b;
}
SIMD_INLINE vf vf_mul(vf a, vf b) {
	return a * b;
}
SIMD_INLINE vf vf_div(vf a, vf b) {
	return a / b;
}
/* As the x86 instructions: the second operand when either is NaN or both are zeros. */
SIMD_INLINE vf vf_max(vf a, vf b) {
	return a > b ? a : b;
}
SIMD_INLINE vf vf_min(vf a, vf b) {
	return a < b ? a : b;
}
/* a within [-bound, bound]; NaN may become anything. */
SIMD_INLINE vf vf_clamp(vf a, float bound) {
	return vf_min(vf_set1(bound), vf_max(vf_set1(-bound), a));
}
/* 2^n for the integer n + 127 that `t` holds in its low mantissa bits (see VF_EXP_MAGIC). */
SIMD_INLINE vf vf_scale_bits(vf t) {
	uint32_t bits;
	float scale;

	memcpy(&bits, &t, sizeof(bits));
	bits <<= 23;
	memcpy(&scale, &bits, sizeof(scale));
	return scale;
}

#endif

SIMD_INLINE vf vf_zero(void) {
	return vf_set1(0.0f);
}

/* 1.5 * 2^23 + 127: adding it rounds to an integer in the low mantissa bits, which with 127 more is the exponent of a
 * power of two and needs no more than a shift. */
#define VF_EXP_MAGIC 12583039.0f

/* e^-x = 2^-n e^-r: r = x - n ln 2 in one step, |r| <= ln 2 / 2, and the number that holds -n for vf_scale_bits. A
 * second step would gain half an ulp at |x| = 16. */
SIMD_INLINE void vf_reduce(vf *r, vf *t, vf x) {
	const vf magic = vf_set1(VF_EXP_MAGIC);

	*t = vf_fma(x, vf_set1(-0x1.715476p+0f), magic);
	*r = vf_fma(vf_sub(*t, magic), vf_set1(0x1.62e430p-1f), x);
}

/* p = e^-r of n vectors, |r| <= ln 2 / 2, by a polynomial of degree 5 (minimax, the constant 1 given), within 1 ulp.
 * Step by step for all vectors, since one alone is a chain that a processor waits for. */
SIMD_INLINE void vf_exp_reduced(vf p[], const vf r[], const int n) {
	static const float polynomial[] = {0x1.573ad2p-5f, -0x1.555a6ep-3f, 0x1.fffdc4p-2f, -0x1.fffff6p-1f, 1.0f};

#pragma GCC unroll 8
	for (int i = 0; i < n; i++)
		p[i] = vf_set1(-0x1.0fa7d8p-7f);
#pragma GCC unroll 8
	for (int k = 0; k < 5; k++)
#pragma GCC unroll 8
		for (int i = 0; i < n; i++)
			p[i] = vf_fma(r[i], p[i], vf_set1(polynomial[k]));
}

/* e^-x of n vectors, x at least -87.33, within 2 ulp up to x = 16 and 4 beyond. Where x is more than 87.33, it is taken
 * for that, so the result is never 0 or subnormal. NaN stays NaN. Below -87.33, as rounding leaves it of scores of a
 * thousand million, the result means nothing. */
SIMD_INLINE void vf_exp_minus_each(vf x[], const int n) {
	vf t[VF_EXP_MOST], p[VF_EXP_MOST];

#pragma GCC unroll 8
	for (int i = 0; i < n; i++) /* The order of the operands lets NaN through. */
		vf_reduce(&x[i], &t[i], vf_min(vf_set1(87.33f), x[i]));
	vf_exp_reduced(p, x, n);
#pragma GCC unroll 8
	for (int i = 0; i < n; i++)
		x[i] = vf_mul(p[i], vf_scale_bits(t[i]));
}

/* d = 1 + e^-x of n vectors, the divisor of the logistic function, within 2 ulp up to |x| = 16 and 4 beyond; x is
 * clamped to +-87.33. What becomes of NaN depends on the instruction set, so it is for the caller to take it from x. */
SIMD_INLINE void vf_logistic_divisors(vf d[], const vf x[], const int n) {
	vf t[VF_EXP_MOST], r[VF_EXP_MOST];

#pragma GCC unroll 8
	for (int i = 0; i < n; i++)
		vf_reduce(&r[i], &t[i], vf_clamp(x[i], 87.33f));
	vf_exp_reduced(d, r, n);
#pragma GCC unroll 8
	for (int i = 0; i < n; i++)
		d[i] = vf_fma(d[i], vf_scale_bits(t[i]), vf_set1(1.0f));
}

/* --- 16 logical lanes --- */

struct v16 {
	vf v[NVL];
};

SIMD_INLINE struct v16 v16_set1(float x) {
	struct v16 r;

	for (int i = 0; i < NVL; i++)
		r.v[i] = vf_set1(x);
	return r;
}
SIMD_INLINE struct v16 v16_zero(void) {
	return v16_set1(0.0f);
}
SIMD_INLINE struct v16 v16_load(const float *p) {
	struct v16 r;

	for (int i = 0; i < NVL; i++)
		r.v[i] = vf_load(p + i * VL);
	return r;
}
/* The number of lanes of vector i that the first n of 16 logical lanes reach into. */
SIMD_INLINE int v16_lanes(int n, int i) {
	int left = n - i * VL;

	return left < 0 ? 0 : left > VL ? VL : left;
}
/* The first n lanes, 0 <= n <= 16; the others are 0. */
SIMD_INLINE struct v16 v16_load_part(const float *p, int n) {
	struct v16 r;

	for (int i = 0; i < NVL; i++)
		r.v[i] = vf_load_part(p + i * VL, v16_lanes(n, i));
	return r;
}
SIMD_INLINE void v16_store(float *p, struct v16 a) {
	for (int i = 0; i < NVL; i++)
		vf_store(p + i * VL, a.v[i]);
}
SIMD_INLINE void v16_store_part(float *p, struct v16 a, int n) {
	for (int i = 0; i < NVL; i++)
		vf_store_part(p + i * VL, a.v[i], v16_lanes(n, i));
}
/* 16 lanes where the row is `full`, else the first `lanes`. */
SIMD_INLINE struct v16 load16(const float *p, int lanes, const bool full) {
	return full ? v16_load(p) : v16_load_part(p, lanes);
}
SIMD_INLINE void store16(float *p, struct v16 v, int lanes, const bool full) {
	if (full)
		v16_store(p, v);
	else
		v16_store_part(p, v, lanes);
}
SIMD_INLINE struct v16 v16_fma(struct v16 a, struct v16 b, struct v16 c) {
	for (int i = 0; i < NVL; i++)
		c.v[i] = vf_fma(a.v[i], b.v[i], c.v[i]);
	return c;
}
SIMD_INLINE struct v16 v16_add(struct v16 a, struct v16 b) {
	for (int i = 0; i < NVL; i++)
		a.v[i] = vf_add(a.v[i], b.v[i]);
	return a;
}
SIMD_INLINE struct v16 v16_sub(struct v16 a, struct v16 b) {
	for (int i = 0; i < NVL; i++)
		a.v[i] = vf_sub(a.v[i], b.v[i]);
	return a;
}
SIMD_INLINE struct v16 v16_mul(struct v16 a, struct v16 b) {
	for (int i = 0; i < NVL; i++)
		a.v[i] = vf_mul(a.v[i], b.v[i]);
	return a;
}
SIMD_INLINE struct v16 v16_max(struct v16 a, struct v16 b) {
	for (int i = 0; i < NVL; i++)
		a.v[i] = vf_max(a.v[i], b.v[i]);
	return a;
}

/* Folds 16 lanes into one, always as the tree i + (i + 8), then 4, 2, 1 apart. `OP` names vf_OP and the 128-bit
 * instruction. */
#if VL == 1
#define SIMD_REDUCE(name, OP)                                            \
	SIMD_INLINE float name(struct v16 a) {                           \
		for (int half = 8; half > 0; half /= 2)                  \
			for (int i = 0; i < half; i++)                   \
				a.v[i] = vf_##OP(a.v[i], a.v[i + half]); \
		return a.v[0];                                           \
	}
#elif VL == 4
#define SIMD_REDUCE(name, OP)                                                     \
	SIMD_INLINE float name(struct v16 a) {                                    \
		vf q = vf_##OP(vf_##OP(a.v[0], a.v[2]), vf_##OP(a.v[1], a.v[3])); \
		q = vf_##OP(q, vextq_f32(q, q, 2));                               \
		return vgetq_lane_f32(vf_##OP(q, vextq_f32(q, q, 1)), 0);         \
	}
#else
#if VL == 16
#define SIMD_FOLD_256(OP, a) _mm256_##OP##_ps(_mm512_castps512_ps256((a).v[0]), _mm512_extractf32x8_ps((a).v[0], 1))
#else
#define SIMD_FOLD_256(OP, a) _mm256_##OP##_ps((a).v[0], (a).v[1])
#endif
#define SIMD_REDUCE(name, OP)                                                                     \
	SIMD_INLINE float name(struct v16 a) {                                                    \
		__m256 h = SIMD_FOLD_256(OP, a);                                                  \
		__m128 q = _mm_##OP##_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)); \
		q = _mm_##OP##_ps(q, _mm_movehl_ps(q, q));                                        \
		return _mm_cvtss_f32(_mm_##OP##_ss(q, _mm_movehdup_ps(q)));                       \
	}
#endif

SIMD_REDUCE(reduce16, add)
SIMD_REDUCE(reduce16_max, max)

/* to[c * 16 + j] = from[j][c] for 16 rows of 16 floats. */
#if VL >= 8
SIMD_INLINE void transpose_8x8(float *to, const float *const from[8], int column) {
	__m256 r[8], t[8];

#pragma GCC unroll 8
	for (int j = 0; j < 8; j++)
		r[j] = _mm256_loadu_ps(from[j] + column);
#pragma GCC unroll 4
	for (int j = 0; j < 8; j += 2) {
		t[j] = _mm256_unpacklo_ps(r[j], r[j + 1]);
		t[j + 1] = _mm256_unpackhi_ps(r[j], r[j + 1]);
	}
#pragma GCC unroll 2
	for (int j = 0; j < 8; j += 4) {
		r[j] = _mm256_shuffle_ps(t[j], t[j + 2], 0x44);
		r[j + 1] = _mm256_shuffle_ps(t[j], t[j + 2], 0xee);
		r[j + 2] = _mm256_shuffle_ps(t[j + 1], t[j + 3], 0x44);
		r[j + 3] = _mm256_shuffle_ps(t[j + 1], t[j + 3], 0xee);
	}
#pragma GCC unroll 4
	for (int c = 0; c < 4; c++) {
		_mm256_storeu_ps(to + 16 * c, _mm256_permute2f128_ps(r[c], r[c + 4], 0x20));
		_mm256_storeu_ps(to + 16 * (c + 4), _mm256_permute2f128_ps(r[c], r[c + 4], 0x31));
	}
}
SIMD_INLINE void transpose_16x16(float *to, const float *const from[16]) {
	for (int j = 0; j < 16; j += 8)
		for (int c = 0; c < 16; c += 8)
			transpose_8x8(to + 16 * c + j, from + j, c);
}
#else
SIMD_INLINE void transpose_16x16(float *to, const float *const from[16]) {
	for (int j = 0; j < 16; j++)
		for (int c = 0; c < 16; c++)
			to[c * 16 + j] = from[j][c];
}
#endif

#endif
