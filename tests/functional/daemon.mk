# The daemon as a process: configuration, service manager; part of the top Makefile.am.
check_PROGRAMS += tests/functional/make_model
tests_functional_make_model_LDADD = $(CORE_LIBS)
TESTS += \
	tests/functional/config.sh \
	tests/functional/service.py
# What service.py preloads.
tests/functional/slow_epoll.so: tests/functional/slow_epoll.c
	$(AM_V_CCLD)$(MKDIR_P) tests/functional && $(CC) $(DEFS) $(DEFAULT_INCLUDES) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -shared -fPIC \
		-o $@ $(srcdir)/tests/functional/slow_epoll.c
check_DATA = tests/functional/slow_epoll.so
CLEANFILES += tests/functional/slow_epoll.so
THREAD_TESTS += tests/functional/service.py
EXTRA_DIST += \
	tests/functional/config.sh \
	tests/functional/service.py \
	tests/functional/slow_epoll.c
