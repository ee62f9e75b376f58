/* One instantiation of all kernels. The including file defines JF_KERNELS_TABLE and JF_KERNELS_NAME and is compiled
 * with the instruction set's flags; everything else in here is static. Floor 0. */
#include "core/kernels.h"
#include "core/simd.h"

#include "core/kernels_gemm.h"

#include "core/kernels_conv.h"

#include "core/kernels_norm.h"

#include "core/kernels_winograd.h"

#include "core/kernels_attention.h"

#include "core/kernels_isa.h"

const struct jf_kernels JF_KERNELS_TABLE = {
    .name = JF_KERNELS_NAME,
    JF_KERNELS_GEMM,
    JF_KERNELS_CONV,
    JF_KERNELS_NORM,
    JF_KERNELS_WINOGRAD,
    JF_KERNELS_ATTENTION,
};
