/* The tables that the instantiations of kernels_body.h export to the dispatcher. Floor 0. */
#ifndef JF_CORE_KERNELS_ISA_H
#define JF_CORE_KERNELS_ISA_H

#include "core/kernels.h"

extern const struct jf_kernels jf_kernels_base;
extern const struct jf_kernels jf_kernels_avx2;
extern const struct jf_kernels jf_kernels_avx512;

#endif
