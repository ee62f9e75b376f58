#include "tests/unit/isa.h"

#include "config.h"

#include <string.h>

const char *const isa_names[N_ISAS] = {"base", "neon", "avx2", "avx512"};

#ifdef JF_HAVE_X86_64
extern const struct jf_kernels jf_kernels_avx512_emulated;
#endif

const struct jf_kernels *isa_kernels(const char *name) {
	const struct jf_kernels *kernels = jf_kernels_by_name(name);

#ifdef JF_HAVE_X86_64
	if (!kernels && !strcmp(name, "avx512") && jf_kernels_by_name("avx2"))
		kernels = &jf_kernels_avx512_emulated;
#endif
	return kernels;
}
