# bench: part of the top Makefile.am
noinst_PROGRAMS += bench-kernels
bench_kernels_SOURCES = bench/kernels.c
bench_kernels_LDADD = $(CORE_LIBS)

noinst_PROGRAMS += bench-serve
bench_serve_SOURCES = bench/serve.c
bench_serve_LDADD = $(CORE_LIBS)
EXTRA_DIST += bench/serve.md
