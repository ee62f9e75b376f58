# tests/fuzz: the parsers of what strangers send. Part of tests/local.mk.
# A target is linked with libFuzzer under --enable-fuzz and with replay.c otherwise; fuzz.sh runs either.
FUZZ_TARGETS = \
	tests/fuzz/fuzz_conf \
	tests/fuzz/fuzz_framing \
	tests/fuzz/fuzz_idx \
	tests/fuzz/fuzz_jpeg \
	tests/fuzz/fuzz_json \
	tests/fuzz/fuzz_npy \
	tests/fuzz/fuzz_png \
	tests/fuzz/fuzz_request \
	tests/fuzz/fuzz_safetensors
check_PROGRAMS += $(FUZZ_TARGETS)
TESTS += tests/fuzz/fuzz.sh
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz.sh

if FUZZ
FUZZ_MAIN =
FUZZ_LINK = -fsanitize=fuzzer
else
FUZZ_MAIN = tests/fuzz/replay.c
FUZZ_LINK =
endif
EXTRA_DIST += tests/fuzz/replay.c

tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_conf_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_conf_LDADD = $(SERVICE_LIBS)
tests_fuzz_fuzz_framing_SOURCES = tests/fuzz/fuzz_framing.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_framing_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_framing_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_idx_SOURCES = tests/fuzz/fuzz_idx.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_idx_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_idx_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_jpeg_SOURCES = tests/fuzz/fuzz_jpeg.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_jpeg_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_jpeg_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_json_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_json_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_npy_SOURCES = tests/fuzz/fuzz_npy.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_npy_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_npy_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_png_SOURCES = tests/fuzz/fuzz_png.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_png_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_png_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_request_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_request_LDADD = $(HTTP_LIBS) $(SERVICE_LIBS)
tests_fuzz_fuzz_safetensors_SOURCES = tests/fuzz/fuzz_safetensors.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_safetensors_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LINK)
tests_fuzz_fuzz_safetensors_LDADD = $(CORE_LIBS)

# Builds, and runs, the fuzz targets alone.
.PHONY: fuzz-targets check-fuzz
fuzz-targets: $(FUZZ_TARGETS)
check-fuzz: $(FUZZ_TARGETS)
	rm -f tests/fuzz/fuzz.log tests/fuzz/fuzz.trs
	$(MAKE) $(AM_MAKEFLAGS) tests/fuzz/fuzz.log
	grep '^:test-result: PASS' tests/fuzz/fuzz.trs
