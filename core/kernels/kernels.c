#include "config.h"

#include "core/kernels/isa.h"
#include "core/kernels/kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef JF_HAVE_X86_64
/* __builtin_cpu_supports asks CPUID and whether the operating system saves the wide registers (XGETBV). */
static bool runs_avx2(void) {
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool runs_avx512(void) {
	return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512dq");
}
#endif

static bool runs_always(void) {
	return true;
}

/* Widest first. */
static const struct {
	const struct jf_kernels *table;
	bool (*runs)(void);
} isas[] = {
#ifdef JF_HAVE_X86_64
    {&jf_kernels_avx512, runs_avx512},
    {&jf_kernels_avx2, runs_avx2},
#endif
#ifdef JF_HAVE_AARCH64
    {&jf_kernels_neon, runs_always},
#endif
    {&jf_kernels_base, runs_always},
};

#define ISAS (sizeof(isas) / sizeof(isas[0]))

const struct jf_kernels *jf_kernels_by_name(const char *name) {
	for (size_t i = 0; i < ISAS; i++)
		if (strcmp(isas[i].table->name, name) == 0 && isas[i].runs())
			return isas[i].table;
	return NULL;
}

static const struct jf_kernels *chosen;

static void choose(void) {
	const char *wanted = getenv("JOINTFLOW_ISA");

	if (wanted != NULL)
		chosen = jf_kernels_by_name(wanted);
	for (size_t i = 0; chosen == NULL && i < ISAS; i++)
		if (isas[i].runs())
			chosen = isas[i].table;
}

const struct jf_kernels *jf_kernels(void) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, choose);
	return chosen;
}

bool jf_kernels_complaint(char *text, size_t size) {
	const char *wanted = getenv("JOINTFLOW_ISA");

	if (wanted == NULL || strcmp(wanted, jf_kernels()->name) == 0)
		return false;
	(void)snprintf(text, size, "JOINTFLOW_ISA: this processor runs no kernels named '%.32s', so '%s' are used",
	    wanted, jf_kernels()->name);
	return true;
}

size_t jf_pack_size(int k, int n) {
	return (size_t)k * (size_t)((n + JF_LANES - 1) / JF_LANES) * JF_LANES;
}

void jf_pack(float *packed, const float *weight, int k, int n) {
	for (int block = 0; block < n; block += JF_LANES)
		for (int row = 0; row < k; row++)
			for (int lane = 0; lane < JF_LANES; lane++, packed++)
				*packed =
				    block + lane < n ? weight[(size_t)row * (size_t)n + (size_t)(block + lane)] : 0.0f;
}

void jf_pack_transposed(float *packed, const float *weight, int k, int n) {
	for (int block = 0; block < k; block += JF_LANES)
		for (int row = 0; row < n; row++)
			for (int lane = 0; lane < JF_LANES; lane++, packed++)
				*packed =
				    block + lane < k ? weight[(size_t)(block + lane) * (size_t)n + (size_t)row] : 0.0f;
}

/* weight[tap][cin][cout] -> packed [ceil(cin / 16)][taps, in the given order][cout][16]; returns the end. */
static float *pack_taps(float *packed, const float *weight, const int taps[], int n, int cin, int cout) {
	for (int block = 0; block < cin; block += JF_LANES)
		for (int t = 0; t < n; t++)
			for (int o = 0; o < cout; o++)
				for (int lane = 0; lane < JF_LANES; lane++, packed++) {
					size_t i = (size_t)(taps[t] * cin + block + lane);

					*packed = block + lane < cin ? weight[i * (size_t)cout + (size_t)o] : 0.0f;
				}
	return packed;
}

void jf_pack_conv_transposed(float *packed, const float *weight, int cin, int cout) {
	static const int taps[] = {8, 7, 6, 5, 4, 3, 2, 1, 0};

	pack_taps(packed, weight, taps, 9, cin, cout);
}

void jf_pack_conv_strided(float *packed, const float *weight, int cin, int cout) {
	static const int taps[4][4] = {{4}, {5, 3}, {7, 1}, {8, 6, 2, 0}}, n[4] = {1, 2, 2, 4};

	for (int kind = 0; kind < 4; kind++)
		packed = pack_taps(packed, weight, taps[kind], n[kind], cin, cout);
}
