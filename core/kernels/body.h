/* One instantiation of all kernels. The including file defines JF_KERNELS_TABLE and JF_KERNELS_NAME and is compiled
 * with the instruction set's flags; everything else in here is static. */
#include "core/kernels/kernels.h"
#include "core/kernels/simd.h"

#include "core/kernels/gemm.h"

#include "core/kernels/norm.h"

#include "core/kernels/layer_norm.h"

#include "core/kernels/conv.h"

#include "core/kernels/copy.h"

#include "core/kernels/grad.h"

#include "core/kernels/conv_winograd.h"

#include "core/kernels/grad_winograd.h"

#include "core/kernels/attention.h"

#include "core/kernels/whiten.h"

#include "core/kernels/isa.h"

const struct jf_kernels JF_KERNELS_TABLE = {
    .name = JF_KERNELS_NAME,
    JF_KERNELS_GEMM,
    JF_KERNELS_CONV,
    JF_KERNELS_COPY,
    JF_KERNELS_GRAD,
    JF_KERNELS_NORM,
    JF_KERNELS_LAYER_NORM,
    JF_KERNELS_WINOGRAD,
    JF_KERNELS_GRAD_WINOGRAD,
    JF_KERNELS_ATTENTION,
    JF_KERNELS_WHITEN,
};
