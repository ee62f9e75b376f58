# tests/static: rules that run in make check; part of the top Makefile.am
STATIC_TESTS = \
	tests/static/completion.sh \
	tests/static/examples.sh \
	tests/static/floors.sh \
	tests/static/format.sh \
	tests/static/man.sh \
	tests/static/public.sh
TESTS += $(STATIC_TESTS)
EXTRA_DIST += $(STATIC_TESTS) \
	tests/static/prometheus-rules-test.yml
