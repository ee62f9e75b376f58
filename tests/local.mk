# tests: part of the top Makefile.am
#
# The groups; ./run-tests runs them all:
#   TESTS           make check: needs nothing but the build itself (tests/unit, tests/functional, tests/static)
#   THREAD_TESTS    make check-thread: those of TESTS that are worth running under ThreadSanitizer
#   BROWSER_TESTS   make check-browser: real Chromium (tests/browser)
#   PACKAGE_TESTS   make check-package: Debian packages (tests/package)
#   ONNX_TESTS      make check-onnx: exported models in onnxruntime, the checkpoint in PyTorch (tests/onnx)
#   SYSTEM_TESTS    make check-system: containers, systemd, HAProxy (tests/system)
# A test is a program or a script (.sh, .py, .mjs). Exit status: 0 passed, 77 skipped (say why on the last line),
# anything else failed. cmocka's and TAP's lines ("ok 1 - ...", "not ok 2 - ...", "ok 3 # SKIP why") are counted
# one by one by ./run-tests; a test without such lines counts as one.
TEST_EXTENSIONS = .sh .py .mjs
SH_LOG_COMPILER = bash
PY_LOG_COMPILER = /usr/bin/python3
MJS_LOG_COMPILER = node

# What every test finds in its environment. Scripts also get a scratch folder of their own by mktemp -d.
AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	JF_SANITIZED='$(JF_SAN_NAME)'; export JF_SANITIZED;

THREAD_TESTS =
BROWSER_TESTS =
PACKAGE_TESTS =
ONNX_TESTS =
SYSTEM_TESTS =

# --- static, package and system tests have their own local.mk --------------------
include $(top_srcdir)/tests/static/local.mk
include $(top_srcdir)/tests/package/local.mk
include $(top_srcdir)/tests/system/local.mk

include $(top_srcdir)/tests/functional/daemon.mk
include $(top_srcdir)/tests/functional/http.mk
include $(top_srcdir)/tests/fuzz/local.mk
include $(top_srcdir)/tests/unit/daemon.mk
include $(top_srcdir)/tests/unit/http.mk

# --- unit: cmocka, one program a module (one line each, sorted) --------------------
if CMOCKA
check_PROGRAMS += \
	tests/unit/test_augment \
	tests/unit/test_blas \
	tests/unit/test_checkpoint \
	tests/unit/test_dataset \
	tests/unit/test_digest \
	tests/unit/test_familiarity \
	tests/unit/test_file \
	tests/unit/test_framing \
	tests/unit/test_golden \
	tests/unit/test_gradients \
	tests/unit/test_image \
	tests/unit/test_jpeg \
	tests/unit/test_json \
	tests/unit/test_kernels \
	tests/unit/test_kernels_conv \
	tests/unit/test_kernels_norm \
	tests/unit/test_loader \
	tests/unit/test_memory \
	tests/unit/test_metrics \
	tests/unit/test_plan \
	tests/unit/test_png \
	tests/unit/test_question \
	tests/unit/test_spacing \
	tests/unit/test_rng \
	tests/unit/test_safetensors \
	tests/unit/test_edit \
	tests/unit/test_sampler \
	tests/unit/test_flow \
	tests/unit/test_score \
	tests/unit/test_step \
	tests/unit/test_train_options
TESTS += \
	tests/unit/test_augment \
	tests/unit/test_blas \
	tests/unit/test_checkpoint \
	tests/unit/test_dataset \
	tests/unit/test_digest \
	tests/unit/test_familiarity \
	tests/unit/test_file \
	tests/unit/test_framing \
	tests/unit/test_golden \
	tests/unit/test_gradients \
	tests/unit/test_image \
	tests/unit/test_jpeg \
	tests/unit/test_json \
	tests/unit/test_kernels \
	tests/unit/test_kernels_conv \
	tests/unit/test_kernels_norm \
	tests/unit/test_loader \
	tests/unit/test_memory \
	tests/unit/test_metrics \
	tests/unit/test_plan \
	tests/unit/test_png \
	tests/unit/test_question \
	tests/unit/test_spacing \
	tests/unit/test_rng \
	tests/unit/test_safetensors \
	tests/unit/test_edit \
	tests/unit/test_sampler \
	tests/unit/test_flow \
	tests/unit/test_score \
	tests/unit/test_step \
	tests/unit/test_train_options

# The AVX-512 kernels for processors without them: tests/unit/isa.h.
check_LIBRARIES += libtest_isa.a
libtest_isa_a_SOURCES = tests/unit/isa.c tests/unit/isa.h tests/unit/avx512_emulated.h
if X86_64
# At -O1, so that it compiles quickly; the bytes are the same.
ISA_LIBS = libtest_isa.a tests/unit/kernels_avx512_emulated.o
tests/unit/kernels_avx512_emulated.o: core/kernels/avx512.c $(KERNELS_BODY) tests/unit/avx512_emulated.h
	$(AM_V_CC)$(MKDIR_P) tests/unit && $(CC) $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) $(CPPFLAGS) \
		-Djf_kernels_avx512=jf_kernels_avx512_emulated $(AM_CFLAGS) $(CFLAGS) $(JF_KERNEL_CFLAGS) -O1 -mavx2 -mfma -Wno-psabi \
		-include $(srcdir)/tests/unit/avx512_emulated.h -c -o $@ $(srcdir)/core/kernels/avx512.c
CLEANFILES += tests/unit/kernels_avx512_emulated.o
else
ISA_LIBS = libtest_isa.a
endif

UNIT_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)
GRADIENT_LDADD = $(GRADIENT_LIBS) $(CMOCKA_LIBS)
TRAINER_LDADD = libtrainer.a $(GRADIENT_LDADD) $(MPI_LIBS)
tests_unit_test_augment_LDADD = $(TRAINER_LDADD)
tests_unit_test_blas_LDADD = $(GRADIENT_LDADD)
tests_unit_test_checkpoint_LDADD = $(UNIT_LDADD)
tests_unit_test_dataset_LDADD = $(UNIT_LDADD)
tests_unit_test_digest_LDADD = $(UNIT_LDADD)
tests_unit_test_file_LDADD = $(UNIT_LDADD)
tests_unit_test_framing_LDADD = $(UNIT_LDADD)
tests_unit_test_memory_LDADD = $(UNIT_LDADD)
tests_unit_test_memory_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
tests_unit_test_safetensors_LDADD = $(UNIT_LDADD)
tests_unit_test_golden_SOURCES = tests/unit/test_golden.c tests/unit/golden.c tests/unit/golden.h
tests_unit_test_golden_LDADD = $(ISA_LIBS) $(GRADIENT_LDADD)
tests_unit_test_gradients_LDADD = $(ISA_LIBS) $(GRADIENT_LDADD)
tests_unit_test_familiarity_LDADD = $(UNIT_LDADD)
tests_unit_test_image_LDADD = $(UNIT_LDADD)
tests_unit_test_jpeg_LDADD = $(UNIT_LDADD)
tests_unit_test_json_LDADD = $(UNIT_LDADD)
tests_unit_test_kernels_SOURCES = tests/unit/kernels_check.h tests/unit/test_kernels.c
tests_unit_test_kernels_LDADD = $(ISA_LIBS) $(UNIT_LDADD)
tests_unit_test_kernels_conv_SOURCES = tests/unit/kernels_check.h tests/unit/test_kernels_conv.c
tests_unit_test_kernels_conv_LDADD = $(ISA_LIBS) $(UNIT_LDADD)
tests_unit_test_kernels_norm_SOURCES = tests/unit/kernels_check.h tests/unit/test_kernels_norm.c
tests_unit_test_kernels_norm_LDADD = $(ISA_LIBS) $(UNIT_LDADD)
tests_unit_test_loader_LDADD = $(TRAINER_LDADD)
tests_unit_test_metrics_LDADD = $(UNIT_LDADD)
tests_unit_test_plan_SOURCES = tests/unit/test_plan.c tests/unit/rig.c tests/unit/rig.h
tests_unit_test_plan_LDADD = $(UNIT_LDADD)
tests_unit_test_png_LDADD = $(UNIT_LDADD)
tests_unit_test_question_LDADD = $(UNIT_LDADD)
tests_unit_test_spacing_LDADD = $(UNIT_LDADD)
tests_unit_test_rng_LDADD = $(UNIT_LDADD)
tests_unit_test_edit_SOURCES = tests/unit/test_edit.c tests/unit/rig.c tests/unit/rig.h
tests_unit_test_edit_LDADD = $(UNIT_LDADD)
tests_unit_test_flow_SOURCES = bench/flow.c bench/flow.h tests/unit/rig.c tests/unit/rig.h tests/unit/test_flow.c
tests_unit_test_flow_LDADD = $(UNIT_LDADD) -lm
tests_unit_test_score_SOURCES = tests/unit/test_score.c tests/unit/rig.c tests/unit/rig.h
tests_unit_test_score_LDADD = $(UNIT_LDADD) -lm
tests_unit_test_sampler_SOURCES = tests/unit/test_sampler.c tests/unit/rig.c tests/unit/rig.h
tests_unit_test_sampler_LDADD = $(UNIT_LDADD)
tests_unit_test_step_SOURCES = tests/unit/test_step.c tests/unit/rig.c tests/unit/rig.h
tests_unit_test_step_LDADD = $(TRAINER_LDADD)
tests_unit_test_train_options_LDADD = $(TRAINER_LDADD)
endif

# --- functional: the real programs (one line each, sorted) ------------------------
# A small untrained checkpoint for them: tests/make_model FILE [KEY=NUMBER]...
check_PROGRAMS += tests/make_model
tests_make_model_LDADD = $(CORE_LIBS)
TESTS += \
	tests/functional/api_doc.sh \
	tests/functional/cli.py \
	tests/functional/fetch_mnist.sh \
	tests/functional/promises.py \
	tests/functional/training.py \
	tests/functional/training_mpi.py \
	tests/functional/training_pictures.py

# --- concurrent code, under ThreadSanitizer (one line each, sorted) -----------------
THREAD_TESTS += \
	tests/unit/test_loader

# --- browser -------------------------------------------------------------------------
BROWSER_TESTS += \
	tests/browser/browser.sh

EXTRA_DIST += \
	tests/functional/api_doc.sh \
	tests/functional/cli.py \
	tests/functional/fetch_mnist.sh \
	tests/functional/promises.py \
	tests/functional/training.py \
	tests/functional/training_common.py \
	tests/functional/training_mpi.py \
	tests/functional/training_pictures.py \
	tests/golden/colour.safetensors \
	tests/golden/make_golden.py \
	tests/golden/network.py \
	tests/golden/small.safetensors \
	tests/golden/start.safetensors

# --- the same tests many times --------------------------------------------------------
EXTRA_DIST += tests/repeat tests/tap.sh

# --- 64-bit ARM: ./run-tests --only arm64 ------------------------------------------------
EXTRA_DIST += tests/arm64/bytes.sh tests/arm64/deb.sh

# --- ONNX ----------------------------------------------------------------------------
check_PROGRAMS += tests/onnx/reference
tests_onnx_reference_LDADD = $(CORE_LIBS)
ONNX_TESTS += tests/onnx/onnx.sh
EXTRA_DIST += \
	tests/onnx/.npmrc \
	tests/onnx/check.py \
	tests/onnx/compare.mjs \
	tests/onnx/onnx.sh \
	tests/onnx/package-lock.json \
	tests/onnx/package.json

EXTRA_DIST += \
	tests/browser/.npmrc \
	tests/browser/browser.sh \
	tests/browser/draw.mjs \
	tests/browser/faults.mjs \
	tests/browser/index.mjs \
	tests/browser/looks.mjs \
	tests/browser/package-lock.json \
	tests/browser/package.json \
	tests/browser/states.mjs \
	tests/browser/stream.mjs \
	tests/browser/strokes.mjs \
	tests/browser/support.mjs \
	tests/browser/use.mjs

# check-unit, check-programs (all but the static rules), ...: make check of one group
CHECK_GROUPS = check-unit check-programs check-thread check-browser check-onnx check-package check-system
check-unit: GROUP = $(filter tests/unit/%,$(TESTS))
check-programs: GROUP = $(filter-out tests/static/%,$(TESTS))
check-thread: GROUP = $(THREAD_TESTS)
check-browser: GROUP = $(BROWSER_TESTS)
check-onnx: GROUP = $(ONNX_TESTS)
check-package: GROUP = $(PACKAGE_TESTS)
check-system: GROUP = $(SYSTEM_TESTS)
.PHONY: $(CHECK_GROUPS)
$(CHECK_GROUPS):
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(GROUP)'
