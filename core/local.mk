# core: the engine, libjointflow.a
noinst_LIBRARIES += libjointflow.a
libjointflow_a_SOURCES = \
	core/arena.c core/arena.h \
	core/blas.c core/blas.h \
	core/error.c core/error.h \
	core/rng.c core/rng.h
libjointflow_a_CPPFLAGS = $(AM_CPPFLAGS) $(OPENBLAS_CFLAGS) $(JANSSON_CFLAGS) $(PNG_CFLAGS) $(ZLIB_CFLAGS) $(NETTLE_CFLAGS)

# What a program that links libjointflow.a needs beside it.
CORE_LIBS = libjointflow.a $(OPENBLAS_LIBS) $(JANSSON_LIBS) $(PNG_LIBS) $(ZLIB_LIBS) $(NETTLE_LIBS) -lm
