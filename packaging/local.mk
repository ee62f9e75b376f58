# packaging: part of the top Makefile.am
EXTRA_DIST += \
	packaging/container/Containerfile \
	packaging/deps.sh \
	packaging/kubernetes/jointflow.yaml \
	packaging/kubernetes/kserve.yaml \
	packaging/make-deb

# The tarball is upstream's and holds no debian folder; packages are built from a checkout of the repository.
#
# Debian packages into deb/ of the build folder, reproducible: the tarball holds no time, owner or order of this machine.
.PHONY: deb
deb:
	@test -d $(srcdir)/packaging/debian || { echo "make deb: packaging/debian is not in the tarball; use a checkout" >&2; exit 1; }
	epoch=`dpkg-parsechangelog -l $(srcdir)/packaging/debian/changelog -S Timestamp` && \
	TAR_OPTIONS="--sort=name --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX --mtime=@$$epoch" \
		$(MAKE) $(AM_MAKEFLAGS) dist-xz
	$(srcdir)/packaging/make-deb $(distdir).tar.xz deb $(srcdir)/packaging/debian

clean-local:
	rm -rf deb

# bash completion: one file, found by each program's name
completiondir = $(datadir)/bash-completion/completions
dist_completion_DATA = packaging/completion/jointflow
install-data-hook:
	cd "$(DESTDIR)$(completiondir)" && ln -sf jointflow jointflow-train && ln -sf jointflow jointflowd
uninstall-hook:
	rm -f "$(DESTDIR)$(completiondir)/jointflow-train" "$(DESTDIR)$(completiondir)/jointflowd"
