/* The kernels for 64-bit ARM, whose NEON every such processor has. */
#define JF_KERNELS_NAME "neon"
#define JF_KERNELS_TABLE jf_kernels_neon
#include "core/kernels/body.h"
