# core: the engine, libjointflow.a
noinst_LIBRARIES += libjointflow.a
libjointflow_a_SOURCES =
libjointflow_a_SOURCES += core/base/base64.c core/base/base64.h
libjointflow_a_SOURCES += core/base/bytes.h
libjointflow_a_SOURCES += core/base/clock.c core/base/clock.h
libjointflow_a_SOURCES += core/base/digest.c core/base/digest.h
libjointflow_a_SOURCES += core/base/error.c core/base/error.h
libjointflow_a_SOURCES += core/base/file.c core/base/file.h
libjointflow_a_SOURCES += core/base/inflate.c core/base/inflate.h
libjointflow_a_SOURCES += core/base/json.c core/base/json.h
libjointflow_a_SOURCES += core/base/number.c core/base/number.h
libjointflow_a_SOURCES += core/base/option.c core/base/option.h
libjointflow_a_SOURCES += core/base/rng.c core/base/rng.h
libjointflow_a_SOURCES += core/engine/exec.c core/engine/exec.h
libjointflow_a_SOURCES += core/engine/familiarity.c core/engine/familiarity.h
libjointflow_a_SOURCES += core/engine/graph.c core/engine/graph.h
libjointflow_a_SOURCES += core/engine/model.c core/engine/model.h
libjointflow_a_SOURCES += core/engine/network.c core/engine/network.h
libjointflow_a_SOURCES += core/engine/ops.c core/engine/ops.h core/engine/ops_internal.h
libjointflow_a_SOURCES += core/engine/ops_forward.c
libjointflow_a_SOURCES += core/engine/plan.c core/engine/plan.h
libjointflow_a_SOURCES += core/engine/sampler.c core/engine/sampler.h core/engine/sampler_internal.h
libjointflow_a_SOURCES += core/engine/sampler_step.c
libjointflow_a_SOURCES += core/files/checkpoint.c core/files/checkpoint.h
libjointflow_a_SOURCES += core/files/checkpoint_parts.c core/files/checkpoint_parts.h
libjointflow_a_SOURCES += core/files/checkpoint_write.c
libjointflow_a_SOURCES += core/files/dataset.c core/files/dataset.h core/files/dataset_read.h
libjointflow_a_SOURCES += core/files/dataset_classes.c
libjointflow_a_SOURCES += core/files/dataset_folder.c
libjointflow_a_SOURCES += core/files/dataset_idx.c
libjointflow_a_SOURCES += core/files/dataset_npy.c
libjointflow_a_SOURCES += core/files/idx.c core/files/idx.h
libjointflow_a_SOURCES += core/files/npy.c core/files/npy.h core/files/npy_read.c core/files/npy_read.h
libjointflow_a_SOURCES += core/files/safetensors.c core/files/safetensors.h
libjointflow_a_SOURCES += core/files/safetensors_write.c
libjointflow_a_SOURCES += core/kernels/kernels.c core/kernels/kernels.h core/kernels/isa.h
libjointflow_a_SOURCES += core/kernels/winograd.c core/kernels/winograd.h
libjointflow_a_SOURCES += core/pictures/exif.c core/pictures/exif.h
libjointflow_a_SOURCES += core/pictures/framing.c core/pictures/framing.h
libjointflow_a_SOURCES += core/pictures/image.c core/pictures/image.h
libjointflow_a_SOURCES += core/pictures/ink.c core/pictures/ink.h
libjointflow_a_SOURCES += core/pictures/intake.c core/pictures/intake.h
libjointflow_a_SOURCES += core/pictures/jpeg.c core/pictures/jpeg.h
libjointflow_a_SOURCES += core/pictures/levels.c core/pictures/levels.h
libjointflow_a_SOURCES += core/pictures/paper.c core/pictures/paper.h
libjointflow_a_SOURCES += core/pictures/picture.c core/pictures/picture.h
libjointflow_a_SOURCES += core/pictures/png.c core/pictures/png.h
libjointflow_a_SOURCES += core/pictures/resample.c core/pictures/resample.h
libjointflow_a_SOURCES += core/pictures/rows.c core/pictures/rows.h
libjointflow_a_SOURCES += core/pictures/ruling.c
libjointflow_a_SOURCES += core/pictures/sheet.c core/pictures/sheet.h
libjointflow_a_SOURCES += core/pictures/zones.c core/pictures/zones.h
libjointflow_a_SOURCES += core/questions/answer.c core/questions/answer.h
libjointflow_a_SOURCES += core/questions/calibrate.c core/questions/calibrate.h
libjointflow_a_SOURCES += core/questions/quality.c core/questions/quality.h
libjointflow_a_SOURCES += core/questions/score.c core/questions/score.h
libjointflow_a_SOURCES += core/questions/question.c core/questions/question.h
libjointflow_a_SOURCES += core/questions/spacing.c core/questions/spacing.h
libjointflow_a_SOURCES += core/questions/tasks.c core/questions/tasks.h
libjointflow_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(PNG_CFLAGS) $(JPEG_CFLAGS) $(ZLIB_CFLAGS) $(NETTLE_CFLAGS)

# The backward pass and OpenBLAS, which it alone calls: for the trainer. What answers questions links without them.
noinst_LIBRARIES += libgradients.a
libgradients_a_SOURCES = core/engine/ops_backward.c core/kernels/blas.c core/kernels/blas.h
libgradients_a_CPPFLAGS = $(AM_CPPFLAGS) $(OPENBLAS_CFLAGS)

# The kernels: one body, compiled once for each instruction set.
KERNELS_BODY = core/kernels/attention.h core/kernels/body.h core/kernels/conv.h core/kernels/copy.h core/kernels/gemm.h core/kernels/grad.h core/kernels/grad_winograd.h core/kernels/layer_norm.h core/kernels/norm.h \
	core/kernels/conv_winograd.h core/kernels/simd.h core/kernels/watched.h core/kernels/whiten.h
noinst_LIBRARIES += libkernels_portable.a
libkernels_portable_a_SOURCES = core/kernels/portable.c $(KERNELS_BODY)
libkernels_portable_a_CFLAGS = $(AM_CFLAGS)
libjointflow_a_LIBADD = $(libkernels_portable_a_OBJECTS)
# See configure.ac, also for what a sanitizer needs.
$(libkernels_portable_a_OBJECTS): CFLAGS += $(JF_KERNEL_CFLAGS)
if X86_64
noinst_LIBRARIES += libkernels_avx2.a libkernels_avx512.a
libkernels_avx2_a_SOURCES = core/kernels/avx2.c $(KERNELS_BODY)
libkernels_avx2_a_CFLAGS = $(AM_CFLAGS) -mavx2 -mfma
libkernels_avx512_a_SOURCES = core/kernels/avx512.c $(KERNELS_BODY)
libkernels_avx512_a_CFLAGS = $(AM_CFLAGS) -mavx512f -mavx512vl -mavx512dq -mfma
libjointflow_a_LIBADD += $(libkernels_avx2_a_OBJECTS) $(libkernels_avx512_a_OBJECTS)
$(libkernels_avx2_a_OBJECTS) $(libkernels_avx512_a_OBJECTS): CFLAGS += $(JF_VECTOR_CFLAGS) $(JF_KERNEL_CFLAGS)
endif
if AARCH64
noinst_LIBRARIES += libkernels_neon.a
libkernels_neon_a_SOURCES = core/kernels/neon.c $(KERNELS_BODY)
libkernels_neon_a_CFLAGS = $(AM_CFLAGS)
$(libkernels_neon_a_OBJECTS): CFLAGS += $(JF_KERNEL_CFLAGS)
libjointflow_a_LIBADD += $(libkernels_neon_a_OBJECTS)
endif
libjointflow_a_DEPENDENCIES = $(libjointflow_a_LIBADD)

# What a program that links libjointflow.a needs beside it.
CORE_LIBS = libjointflow.a $(JANSSON_LIBS) $(PNG_LIBS) $(JPEG_LIBS) $(ZLIB_LIBS) $(NETTLE_LIBS) -lm
# And what one that computes gradients needs.
GRADIENT_LIBS = libgradients.a $(CORE_LIBS) $(OPENBLAS_LIBS)
