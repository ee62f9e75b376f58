#include "core/kernels/blas.h"

#include "config.h"

#include <cblas.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CORE_TYPE "OPENBLAS_CORETYPE"
#define GUARD "JF_BLAS_GUARD" /* holds what OpenBLAS had chosen before we started again */

void jf_blas_gemm(const struct jf_blas_product *p) {
	cblas_sgemm(CblasRowMajor, p->transpose_a ? CblasTrans : CblasNoTrans,
	    p->transpose_b ? CblasTrans : CblasNoTrans, p->m, p->n, p->k, p->alpha, p->a, p->lda, p->b, p->ldb, p->beta,
	    p->c, p->ldc);
}

void jf_blas_set_threads_one(void) {
	openblas_set_num_threads(1);
}

const char *jf_blas_core_type(void) {
	const char *name = openblas_get_corename();

	return name ? name : "unknown";
}

static struct jf_blas_cpu detect_cpu(void) {
	struct jf_blas_cpu cpu = {0};
#ifdef JF_HAVE_X86_64
	__builtin_cpu_init();
	cpu.avx2_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	cpu.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		     __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
	cpu.avx512_bf16 = cpu.avx512 && __builtin_cpu_supports("avx512bf16");
	cpu.amd_zen = __builtin_cpu_is("amd");
#endif
	return cpu;
}

static bool is_one_of(const char *name, const char *const *list) {
	for (; *list; list++) {
		if (!strcasecmp(name, *list))
			return true;
	}
	return false;
}

const char *jf_blas_better_core_type(const char *core_type, struct jf_blas_cpu cpu) {
	/* Kernel families from slow to fast; what is in none of the lists is left alone. */
	static const char *const before_avx2[] = {"Prescott", "Core2", "Penryn", "Dunnington", "Atom", "Nehalem",
	    "Sandybridge", "Katmai", "Coppermine", "Northwood", "Banias", "Athlon", "Opteron", "Opteron_SSE3",
	    "Barcelona", "Bobcat", "Bulldozer", "Piledriver", "Steamroller", "Excavator", "Nano", "Generic", NULL};
	static const char *const avx2[] = {"Haswell", "Zen", NULL};
	bool slow = is_one_of(core_type, before_avx2);

	if (cpu.avx512 && (slow || is_one_of(core_type, avx2)))
		return cpu.avx512_bf16 ? "Cooperlake" : "SkylakeX";
	if (cpu.avx2_fma && slow)
		return cpu.amd_zen ? "Zen" : "Haswell";
	return NULL;
}

int jf_blas_restart(char **argv, const char *core_type) {
	int cause;

	if (!setenv(GUARD, jf_blas_core_type(), 1) && !setenv(CORE_TYPE, core_type, 1))
		execv("/proc/self/exe", argv);
	cause = errno;
	unsetenv(GUARD);
	unsetenv(CORE_TYPE);
	return cause;
}

bool jf_blas_guard(char **argv, char *report, size_t size) {
	const char *now = jf_blas_core_type();
	const char *before = getenv(GUARD);
	const char *chosen = getenv(CORE_TYPE);
	const char *better = jf_blas_better_core_type(now, detect_cpu());

	if (before) {
		snprintf(report, size, "OpenBLAS core type %s, set by us instead of %s", now, before);
		unsetenv(GUARD);
		return better == NULL;
	}
	if (chosen && *chosen) {
		snprintf(report, size, "OpenBLAS core type %s, as " CORE_TYPE "=%s asks", now, chosen);
		return better == NULL;
	}
	if (!better) {
		snprintf(report, size, "OpenBLAS core type %s, its own choice", now);
		return true;
	}
	snprintf(report, size, "OpenBLAS core type %s, slower than %s: cannot start again: %s", now, better,
	    strerror(jf_blas_restart(argv, better)));
	return false;
}
