# man: part of the top Makefile.am
#
# The programs' own tables of options and keys fill the templates, so that the pages cannot fall behind.
EXTRA_DIST += \
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

FILL = $(AM_V_GEN)$(MKDIR_P) man && sed -e 's|@SYSCONFDIR@|$(sysconfdir)|; s|@PKGDATADIR@|$(pkgdatadir)|; s|@DOCDIR@|$(docdir)|' \
	$(srcdir)/$@.in >$@.part && $(srcdir)/man/fill $(PACKAGE_VERSION) $(srcdir) $@.part >$@.page && rm -f $@.part && mv $@.page $@
man/jointflow-train.1: man/jointflow-train.1.in man/fill man/options.awk jointflow-train$(EXEEXT)
	$(FILL)
man/jointflowd.8: man/jointflowd.8.in man/fill
	$(FILL)
man/jointflowd.conf.5: man/jointflowd.conf.5.in man/fill jointflowd$(EXEEXT)
	$(FILL)
man/jointflow.1: man/jointflow.1.in man/fill man/options.awk jointflow$(EXEEXT)
	$(FILL)
