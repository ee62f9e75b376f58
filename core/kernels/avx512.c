/* The kernels for AVX-512 (F, VL, DQ). */
#define JF_KERNELS_NAME "avx512"
#define JF_KERNELS_TABLE jf_kernels_avx512
#include "core/kernels/body.h"
