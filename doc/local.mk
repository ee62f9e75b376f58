# doc: part of the top Makefile.am
EXTRA_DIST += \
	doc/api.md doc/clients.md \
	doc/openapi.json \
	doc/architecture.md \
	doc/checkpoint.md \
	doc/comparison.md
EXTRA_DIST += doc/images/make doc/images/take.mjs $(wildcard $(srcdir)/doc/images/*.png)
