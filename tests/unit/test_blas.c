/* The wrapper of OpenBLAS: products against plain loops, the choice of the core type, and a real restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/kernels/blas.h"

static void check_product(bool ta, bool tb, int m, int n, int k, float alpha, float beta) {
	enum { MAX = 40 * 40 };
	float a[MAX], b[MAX], c[MAX], before[MAX];
	int lda = (ta ? m : k) + 1, ldb = (tb ? k : n) + 2, ldc = n + 3;

	jf_rng_normal(a, MAX, 1, JF_STREAM_EVAL, 0);
	jf_rng_normal(b, MAX, 1, JF_STREAM_EVAL, 1);
	jf_rng_normal(before, MAX, 1, JF_STREAM_EVAL, 2);
	memcpy(c, before, sizeof(c));
	jf_blas_gemm(&(struct jf_blas_product){c, a, b, ta, tb, m, n, k, alpha, beta, lda, ldb, ldc});
	for (int i = 0; i < m; i++) {
		for (int j = 0; j < ldc; j++) {
			double sum = 0.0;

			for (int l = 0; l < k && j < n; l++)
				sum += (double)a[ta ? l * lda + i : i * lda + l] *
				       (double)b[tb ? j * ldb + l : l * ldb + j];
			sum = (double)alpha * sum + (double)beta * (double)before[i * ldc + j];
			if (j >= n) /* between the rows nothing may change */
				sum = (double)before[i * ldc + j];
			assert_true(sum - (double)c[i * ldc + j] < 1e-4 && (double)c[i * ldc + j] - sum < 1e-4);
		}
	}
}

static void test_gemm(void **state) {
	(void)state;
	jf_blas_set_threads_one();
	for (int t = 0; t < 4; t++) {
		check_product(t & 1, t & 2, 7, 5, 11, 1.0f, 0.0f);
		check_product(t & 1, t & 2, 1, 33, 20, 0.5f, 1.0f);
		check_product(t & 1, t & 2, 33, 16, 17, -1.0f, 0.25f);
	}
}

static void test_choice(void **state) {
	static const struct jf_blas_cpu old = {0}, haswell = {.avx2_fma = true},
					zen = {.avx2_fma = true, .amd_zen = true},
					skylake = {.avx2_fma = true, .avx512 = true},
					sapphire = {.avx2_fma = true, .avx512 = true, .avx512_bf16 = true},
					zen4 = {.avx2_fma = true, .avx512 = true, .avx512_bf16 = true, .amd_zen = true};
	static const struct {
		const char *now;
		const struct jf_blas_cpu *cpu;
		const char *better;
	} table[] = {
	    {"Prescott", &old, NULL},
	    {"Nehalem", &old, NULL},
	    {"Prescott", &haswell, "Haswell"},
	    {"Sandybridge", &haswell, "Haswell"},
	    {"Haswell", &haswell, NULL},
	    {"Prescott", &zen, "Zen"},
	    {"Barcelona", &zen, "Zen"},
	    {"Zen", &zen, NULL},
	    {"Haswell", &zen, NULL},
	    {"Prescott", &skylake, "SkylakeX"},
	    {"Haswell", &skylake, "SkylakeX"},
	    {"SkylakeX", &skylake, NULL},
	    {"Prescott", &sapphire, "Cooperlake"},
	    {"prescott", &sapphire, "Cooperlake"},
	    {"Haswell", &sapphire, "Cooperlake"},
	    {"SkylakeX", &sapphire, NULL},
	    {"Cooperlake", &sapphire, NULL},
	    {"SapphireRapids", &sapphire, NULL},
	    {"Zen", &zen4, "Cooperlake"},
	    {"armv8", &old, NULL},
	    {"a name of the future", &sapphire, NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *better = jf_blas_better_core_type(table[i].now, *table[i].cpu);

		if (!table[i].better)
			assert_null(better);
		else
			assert_string_equal(better, table[i].better);
	}
}

/* Runs this program again as "test_blas --MODE" with OPENBLAS_CORETYPE as given (NULL: unset); its output is `out`. */
static int run_self(char *out, size_t size, const char *mode, const char *core_type) {
	int ends[2], status;
	size_t used = 0;
	ssize_t got;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		unsetenv("JF_BLAS_GUARD");
		unsetenv("OPENBLAS_CORETYPE");
		if (core_type)
			setenv("OPENBLAS_CORETYPE", core_type, 1);
		execl("/proc/self/exe", "test_blas", mode, "an argument", (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	while (used + 1 < size && (got = read(ends[0], out + used, size - 1 - used)) > 0)
		used += (size_t)got;
	out[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_restart(void **state) {
	char out[512];

	(void)state;
#ifndef __x86_64__
	skip();
#endif
	/* Any other core type will do to see that the program really ran again, with it, and with its arguments. */
	assert_int_equal(run_self(out, sizeof(out), "--restart", NULL), 0);
	assert_non_null(strstr(out, "core type Prescott, set by us instead of "));
	assert_non_null(strstr(out, "argument: an argument\n"));
	assert_non_null(strstr(out, "guard: gone\n"));
}

static void test_guard(void **state) {
	char out[512];

	(void)state;
#ifndef __x86_64__
	skip();
#endif
	assert_int_equal(run_self(out, sizeof(out), "--guard", NULL), 0);
	assert_non_null(strstr(out, "good: yes\n"));
	assert_non_null(strstr(out, "guard: gone\n"));
	assert_int_equal(run_self(out, sizeof(out), "--guard", "Prescott"), 0);
	assert_non_null(strstr(out, "core type Prescott, as OPENBLAS_CORETYPE=Prescott asks"));
}

static int child_main(int argc, char **argv) {
	char report[256];
	bool good;

	if (!strcmp(argv[1], "--restart") && !getenv("JF_BLAS_GUARD")) {
		jf_blas_restart(argv, "Prescott");
		return 1;
	}
	good = jf_blas_guard(argv, report, sizeof(report));
	printf("%s\ngood: %s\nargument: %s\nguard: %s\n", report, good ? "yes" : "no", argc > 2 ? argv[2] : "none",
	    getenv("JF_BLAS_GUARD") ? "there" : "gone");
	return 0;
}

int main(int argc, char **argv) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_gemm),
	    cmocka_unit_test(test_choice),
	    cmocka_unit_test(test_restart),
	    cmocka_unit_test(test_guard),
	};
	if (argc > 1)
		return child_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
