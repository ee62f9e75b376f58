/* The kernels for AVX2 + FMA. */
#define JF_KERNELS_NAME "avx2"
#define JF_KERNELS_TABLE jf_kernels_avx2
#include "core/kernels/body.h"
