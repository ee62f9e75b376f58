# bench: part of the top Makefile.am
noinst_PROGRAMS += bench-kernels
bench_kernels_SOURCES = bench/kernels.c bench/peak.c bench/peak.h
bench_kernels_LDADD = $(GRADIENT_LIBS)

noinst_PROGRAMS += bench-serve
bench_serve_SOURCES = bench/serve.c
bench_serve_LDADD = $(CORE_LIBS)
EXTRA_DIST += bench/average.py bench/data.md bench/data/packages.txt bench/data/peers.py bench/data/sets.py bench/data/unfamiliar.py bench/familiarity.md bench/faults.md bench/likelihood.md bench/model.md bench/serve.md bench/soak.py bench/train.md
EXTRA_DIST += bench/judge/common.py bench/judge/judge.py bench/judge/schemes.py bench/judge/train.py

noinst_PROGRAMS += bench-likelihood
bench_likelihood_SOURCES = bench/flow.c bench/flow.h bench/likelihood.c
bench_likelihood_LDADD = $(CORE_LIBS) -lm

noinst_PROGRAMS += bench-train
bench_train_SOURCES = bench/peak.c bench/peak.h bench/train.c
bench_train_LDADD = libtrainer.a $(GRADIENT_LIBS) $(MPI_LIBS)

noinst_PROGRAMS += bench-peers
bench_peers_SOURCES = bench/peers/engine.c
bench_peers_LDADD = $(CORE_LIBS)
EXTRA_DIST += bench/peers.md bench/peers/peers.py bench/peers/runtime.mjs

noinst_PROGRAMS += bench-morphs
bench_morphs_SOURCES = bench/morphs.c
bench_morphs_LDADD = $(CORE_LIBS)
