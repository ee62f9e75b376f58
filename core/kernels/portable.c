/* The kernels in portable C. */
#define JF_KERNELS_PORTABLE
#define JF_KERNELS_NAME "base"
#define JF_KERNELS_TABLE jf_kernels_base
#include "core/kernels/body.h"
