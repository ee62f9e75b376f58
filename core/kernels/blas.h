/* OpenBLAS, for gradients: only core/kernels/blas.c knows it, and only the trainer links it. */
#ifndef JF_CORE_KERNELS_BLAS_H
#define JF_CORE_KERNELS_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/* C[m][n] = alpha op(A) op(B) + beta C, row-major, float32. op(A) is [m][k], op(B) is [k][n]. With beta = 0 C may hold
 * anything. */
struct jf_blas_product {
	float *c;
	const float *a; /* stored [m][k], or [k][m] when transpose_a */
	const float *b; /* stored [k][n], or [n][k] when transpose_b */
	bool transpose_a, transpose_b;
	int m, n, k;
	float alpha, beta;
	int lda, ldb, ldc; /* floats from one stored row to the next */
};

/* The bytes of a row may depend on m, so this is not for results that must be the same for every batch. */
void jf_blas_gemm(const struct jf_blas_product *product);

/* dw[k][n] += x^T dy over m rows x[m][k], dy[m][n]: the weight gradient of a linear layer. */
static inline void jf_blas_weight_gradient(float *dw, const float *x, const float *dy, int m, int k, int n) {
	jf_blas_gemm(&(struct jf_blas_product){
	    .c = dw,
	    .a = x,
	    .b = dy,
	    .transpose_a = true,
	    .m = k,
	    .n = n,
	    .k = m,
	    .alpha = 1.0f,
	    .beta = 1.0f,
	    .lda = k,
	    .ldb = n,
	    .ldc = n,
	});
}

/* One thread per call from now on, for the whole process: our workers are the parallelism. Call before any worker. */
void jf_blas_set_threads_one(void);

/* What OpenBLAS chose for this processor, e.g. "Haswell"; borrowed, never NULL. */
const char *jf_blas_core_type(void);

/* The instruction sets that decide between core types. */
struct jf_blas_cpu {
	bool avx2_fma;
	bool avx512;      /* F, DQ, BW and VL, enabled by the system */
	bool avx512_bf16; /* and BF16 */
	bool amd_zen;     /* an AMD or Hygon processor */
};

/* The core type that OpenBLAS should have been told, or NULL when `core_type` is as good as it gets or unknown to us.
 * A pure function: OpenBLAS 0.3.21 does not recognise recent processors and falls back to Prescott (SSE3) or
 * Haswell. */
const char *jf_blas_better_core_type(const char *core_type, struct jf_blas_cpu cpu);

/* The second half of jf_blas_guard: OPENBLAS_CORETYPE = core_type, and start again. Returns, with an errno, only when
 * that failed; the environment is then as before, less OPENBLAS_CORETYPE. */
int jf_blas_restart(char **argv, const char *core_type);

/* Call first thing in main. When OpenBLAS chose too slow kernels, sets OPENBLAS_CORETYPE (read only when the library
 * loads) and starts the program again, once, with the same arguments and process id. An OPENBLAS_CORETYPE that the user
 * has set wins. Returns true when OpenBLAS runs with the kernels it should, and puts one line for the log into
 * `report`. The environment variable that guards against a loop is removed again, children do not inherit it. */
bool jf_blas_guard(char **argv, char *report, size_t size);

#endif
