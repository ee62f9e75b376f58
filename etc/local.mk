# etc: part of the top Makefile.am

# Every key with its default; tests/functional/config.sh says when it no longer is what the program prints. An installed
# one is the operator's, so it is not written over.
EXTRA_DIST += etc/jointflowd.conf etc/jointflowd.service.in etc/jointflowd.socket
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(sysconfdir)'
	test -e '$(DESTDIR)$(sysconfdir)/jointflowd.conf' || \
		$(INSTALL_DATA) '$(srcdir)/etc/jointflowd.conf' '$(DESTDIR)$(sysconfdir)/jointflowd.conf'
uninstall-local:
	! cmp -s '$(srcdir)/etc/jointflowd.conf' '$(DESTDIR)$(sysconfdir)/jointflowd.conf' || \
		rm -f '$(DESTDIR)$(sysconfdir)/jointflowd.conf'

if UNITS
systemdsystemunit_DATA = etc/jointflowd.service etc/jointflowd@.service etc/jointflowd.socket
# For systemd-sysusers.
sysusersdir = $(prefix)/lib/sysusers.d
dist_sysusers_DATA = etc/sysusers.d/jointflow.conf
endif
CLEANFILES += etc/jointflowd.service etc/jointflowd@.service
UNIT = $(AM_V_GEN)$(MKDIR_P) etc && sed -e '1s|made from.*|made from jointflowd.service.in; change it by a drop-in|' \
	-e 's|@SBINDIR@|$(sbindir)|; s|@NAME@|$(@F)|'
etc/jointflowd.service: etc/jointflowd.service.in Makefile
	$(UNIT) -e 's|@DESCRIPTION@|Answers questions about images and labels over HTTP|; s|@ARGUMENTS@||' \
		$(srcdir)/etc/jointflowd.service.in > $@.tmp && mv $@.tmp $@
etc/jointflowd@.service: etc/jointflowd.service.in Makefile
	$(UNIT) -e 's|@DESCRIPTION@|jointflowd on port %i|; s|@ARGUMENTS@| --listen-port=%i|' \
		$(srcdir)/etc/jointflowd.service.in > $@.tmp && mv $@.tmp $@

# Examples for reverse proxies and monitoring; tests/static/examples.sh checks them.
examplesdir = $(docdir)/examples
dist_examples_DATA = \
	etc/examples/grafana-dashboard.json \
	etc/examples/haproxy.cfg \
	etc/examples/nginx.conf \
	etc/examples/prometheus-rules.yml \
	etc/examples/prometheus-scrape.yml
