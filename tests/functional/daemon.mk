# The daemon as a process: configuration, service manager; part of the top Makefile.am.
check_PROGRAMS += tests/functional/make_model
tests_functional_make_model_LDADD = $(CORE_LIBS)
TESTS += \
	tests/functional/config.sh \
	tests/functional/service.py
THREAD_TESTS += tests/functional/service.py
EXTRA_DIST += \
	tests/functional/config.sh \
	tests/functional/service.py
