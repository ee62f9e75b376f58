# tests/system: make check-system; part of the top Makefile.am
SYSTEM_TESTS += \
	tests/system/proxies.py \
	tests/system/packages.sh \
	tests/system/service.sh
EXTRA_DIST += $(SYSTEM_TESTS) \
	tests/system/container.sh \
	tests/system/freeze_threads.py
