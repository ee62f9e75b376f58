/* The tables that the instantiations of body.h export to the dispatcher. */
#ifndef JF_CORE_KERNELS_ISA_H
#define JF_CORE_KERNELS_ISA_H

#include "core/kernels/kernels.h"

extern const struct jf_kernels jf_kernels_base;
extern const struct jf_kernels jf_kernels_neon;
extern const struct jf_kernels jf_kernels_avx2;
extern const struct jf_kernels jf_kernels_avx512;

#endif
