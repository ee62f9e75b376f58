# core: the engine, libjointflow.a
noinst_LIBRARIES += libjointflow.a
libjointflow_a_SOURCES =
libjointflow_a_SOURCES += core/arena.c core/arena.h
libjointflow_a_SOURCES += core/blas.c core/blas.h
libjointflow_a_SOURCES += core/checkpoint.c core/checkpoint.h
libjointflow_a_SOURCES += core/dataset.c core/dataset.h core/dataset_read.h
libjointflow_a_SOURCES += core/dataset_folder.c
libjointflow_a_SOURCES += core/dataset_idx.c
libjointflow_a_SOURCES += core/digest.c core/digest.h
libjointflow_a_SOURCES += core/error.c core/error.h
libjointflow_a_SOURCES += core/exec.c core/exec.h
libjointflow_a_SOURCES += core/file.c core/file.h
libjointflow_a_SOURCES += core/framing.c core/framing.h
libjointflow_a_SOURCES += core/graph.c core/graph.h
libjointflow_a_SOURCES += core/idx.c core/idx.h
libjointflow_a_SOURCES += core/image.c core/image.h
libjointflow_a_SOURCES += core/inflate.c core/inflate.h
libjointflow_a_SOURCES += core/ink.c core/ink.h
libjointflow_a_SOURCES += core/json.c core/json.h
libjointflow_a_SOURCES += core/kernels.c core/kernels.h core/kernels_isa.h
libjointflow_a_SOURCES += core/metrics.c core/metrics.h
libjointflow_a_SOURCES += core/model.c core/model.h
libjointflow_a_SOURCES += core/network.c core/network.h
libjointflow_a_SOURCES += core/npy.c core/npy.h
libjointflow_a_SOURCES += core/ops.c core/ops.h core/ops_internal.h
libjointflow_a_SOURCES += core/ops_backward.c
libjointflow_a_SOURCES += core/ops_forward.c
libjointflow_a_SOURCES += core/plan.c core/plan.h
libjointflow_a_SOURCES += core/png.c core/png.h
libjointflow_a_SOURCES += core/resample.c core/resample.h
libjointflow_a_SOURCES += core/rng.c core/rng.h
libjointflow_a_SOURCES += core/safetensors.c core/safetensors.h
libjointflow_a_SOURCES += core/safetensors_write.c
libjointflow_a_SOURCES += core/sampler.c core/sampler.h core/sampler_internal.h
libjointflow_a_SOURCES += core/sampler_step.c
libjointflow_a_SOURCES += core/sheet.c core/sheet.h
libjointflow_a_SOURCES += core/tasks.c core/tasks.h
libjointflow_a_SOURCES += core/winograd.c core/winograd.h
libjointflow_a_CPPFLAGS = $(AM_CPPFLAGS) $(OPENBLAS_CFLAGS) $(JANSSON_CFLAGS) $(PNG_CFLAGS) $(ZLIB_CFLAGS) $(NETTLE_CFLAGS)

# The kernels: one body, compiled once for each instruction set.
KERNELS_BODY = core/kernels_attention.h core/kernels_body.h core/kernels_conv.h core/kernels_gemm.h core/kernels_norm.h \
	core/kernels_winograd.h core/simd.h
noinst_LIBRARIES += libkernels_base.a
libkernels_base_a_SOURCES = core/kernels_base.c $(KERNELS_BODY)
libkernels_base_a_CFLAGS = $(AM_CFLAGS)
libjointflow_a_LIBADD = $(libkernels_base_a_OBJECTS)
if X86_64
noinst_LIBRARIES += libkernels_avx2.a libkernels_avx512.a
libkernels_avx2_a_SOURCES = core/kernels_avx2.c $(KERNELS_BODY)
libkernels_avx2_a_CFLAGS = $(AM_CFLAGS) -mavx2 -mfma
libkernels_avx512_a_SOURCES = core/kernels_avx512.c $(KERNELS_BODY)
libkernels_avx512_a_CFLAGS = $(AM_CFLAGS) -mavx512f -mavx512vl -mavx512dq -mfma
libjointflow_a_LIBADD += $(libkernels_avx2_a_OBJECTS) $(libkernels_avx512_a_OBJECTS)
endif
libjointflow_a_DEPENDENCIES = $(libjointflow_a_LIBADD)

# What a program that links libjointflow.a needs beside it.
CORE_LIBS = libjointflow.a $(OPENBLAS_LIBS) $(JANSSON_LIBS) $(PNG_LIBS) $(ZLIB_LIBS) $(NETTLE_LIBS) -lm
