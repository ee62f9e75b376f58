# models: part of the top Makefile.am
#
# The checkpoints that ship, and their cards. A wildcard, so that a tree without one still builds.
modeldir = $(pkgdatadir)/models
dist_model_DATA = $(wildcard $(srcdir)/models/*.safetensors)
EXTRA_DIST += $(wildcard $(srcdir)/models/*.md)
