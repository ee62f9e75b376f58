# man: part of the top Makefile.am
#
# The programs' own tables of options and keys fill the templates, so that the pages cannot fall behind. What that gives
# is in the tarball: where programs of the target cannot run, in a cross build, the pages are made from there.
MAN_BODIES = \
	man/jointflow-train.1.body \
	man/jointflow.1.body \
	man/jointflowd.8.body \
	man/jointflowd.conf.5.body
EXTRA_DIST += \
	$(MAN_BODIES) \
	man/fill \
	man/jointflow-train.1.in \
	man/jointflow.1.in \
	man/jointflowd.8.in \
	man/jointflowd.conf.5.in \
	man/options.awk

man_MANS = \
	man/jointflow-train.1 \
	man/jointflow.1 \
	man/jointflowd.8 \
	man/jointflowd.conf.5
CLEANFILES += $(man_MANS) man/*.part
# Not from a source folder that is the build folder too: the tarball brought them.
mostlyclean-local:
	test '$(srcdir)' = . || rm -f $(MAN_BODIES)

if CROSS
# Taken from the tarball.
$(MAN_BODIES):
	@echo "$@: a cross build needs the tarball that make dist leaves, or make deb" >&2; exit 1
else
FILL = $(AM_V_GEN)$(MKDIR_P) man && $(srcdir)/man/fill $(PACKAGE_VERSION) $(srcdir) $(srcdir)/$(@:.body=.in) >$@.part && \
	mv $@.part $@
man/jointflow-train.1.body: man/jointflow-train.1.in man/fill man/options.awk jointflow-train$(EXEEXT)
	$(FILL)
man/jointflow.1.body: man/jointflow.1.in man/fill man/options.awk jointflow$(EXEEXT)
	$(FILL)
man/jointflowd.8.body: man/jointflowd.8.in man/fill
	$(FILL)
man/jointflowd.conf.5.body: man/jointflowd.conf.5.in man/fill jointflowd$(EXEEXT)
	$(FILL)
endif

PLACES = $(AM_V_GEN)$(MKDIR_P) man && \
	sed -e 's|@SYSCONFDIR@|$(sysconfdir)|; s|@PKGDATADIR@|$(pkgdatadir)|; s|@DOCDIR@|$(docdir)|' $< >$@.part && mv $@.part $@
man/jointflow-train.1: man/jointflow-train.1.body Makefile
	$(PLACES)
man/jointflow.1: man/jointflow.1.body Makefile
	$(PLACES)
man/jointflowd.8: man/jointflowd.8.body Makefile
	$(PLACES)
man/jointflowd.conf.5: man/jointflowd.conf.5.body Makefile
	$(PLACES)
