# tests/package: make check-package; part of the top Makefile.am
PACKAGE_TESTS += \
	tests/package/container.py \
	tests/package/deb.sh \
	tests/package/manifests.sh
EXTRA_DIST += $(PACKAGE_TESTS) \
	tests/package/validate.mjs \
	tests/package/package.json
