/* The kernels of an instruction set for tests: on a processor with AVX2 the AVX-512 ones too, emulated where it does
 * not have them (tests/unit/avx512_emulated.h). */
#ifndef JF_TESTS_ISA_H
#define JF_TESTS_ISA_H

#include "core/kernels/kernels.h"

#define N_ISAS 4
extern const char *const isa_names[N_ISAS]; /* narrowest first */

/* NULL: cannot be run here. */
const struct jf_kernels *isa_kernels(const char *name);

#endif
