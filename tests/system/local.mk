# tests/system: make check-system; part of the top Makefile.am
SYSTEM_TESTS +=
EXTRA_DIST += $(SYSTEM_TESTS) \
	tests/system/container.sh
