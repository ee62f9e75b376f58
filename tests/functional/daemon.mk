# The daemon as a process: configuration, service manager; part of the top Makefile.am.
TESTS += \
	tests/functional/config.sh \
	tests/functional/service.py
# What training.py and service.py preload.
PRELOADS = tests/functional/die_at_rename.so tests/functional/slow_epoll.so
tests/functional/die_at_rename.so: tests/functional/die_at_rename.c
tests/functional/slow_epoll.so: tests/functional/slow_epoll.c
$(PRELOADS):
	$(AM_V_CCLD)$(MKDIR_P) tests/functional && $(CC) $(DEFS) $(DEFAULT_INCLUDES) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -shared -fPIC \
		-o $@ $(srcdir)/$(@:.so=.c)
check_DATA = $(PRELOADS)
CLEANFILES += $(PRELOADS)
THREAD_TESTS += tests/functional/service.py
EXTRA_DIST += \
	tests/functional/config.sh \
	tests/functional/die_at_rename.c \
	tests/functional/service.py \
	tests/functional/slow_epoll.c
