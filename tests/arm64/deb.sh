#!/bin/bash
# The Debian packages for 64-bit ARM, cross-built by the line of CONTRIBUTING.md in $JF_NATIVE_BUILD: their programs run in
# qemu-user, and their manual pages, which only programs of this machine can fill, are those of the native build. TAP.
set -u
: "${top_srcdir:?}" "${JF_NATIVE_BUILD:?}"
. "$top_srcdir/tests/tap.sh"
if [ ! -e "$top_srcdir/.git" ]; then
	echo "skipped: packages are built from a checkout of the repository"
	exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

line=$(sed -n 's/^    \(DEB_HOST_ARCH=arm64 make .*\)$/\1/p' "$top_srcdir/CONTRIBUTING.md")
check "CONTRIBUTING's line builds the packages: $line" env -u MAKEFLAGS -u MAKELEVEL XZ_OPT=-0 DEB_BUILD_OPTIONS="parallel=$(nproc)" \
	bash -c "cd '$top_srcdir' && $line"
cd "$JF_NATIVE_BUILD/deb" || { echo "Bail out! nothing was built"; exit 1; }
for_arm() {
	local file
	for file in jointflow-{server,tools,trainer}_*_arm64.deb; do
		[ "$(dpkg-deb -f "$file" Architecture)" = arm64 ] && dpkg-deb -x "$file" "$scratch/root" || return 1
	done
	for file in usr/sbin/jointflowd usr/bin/jointflow usr/bin/jointflow-train; do
		readelf -h "$scratch/root/$file" | grep 'Machine: *AArch64' || { echo "$file"; return 1; }
	done
}
check "server, tools and trainer hold programs for AArch64" for_arm
runs() {
	local program version
	version=$("$JF_NATIVE_BUILD/jointflow" --version | sed 's/^jointflow //')
	for program in usr/sbin/jointflowd usr/bin/jointflow usr/bin/jointflow-train; do
		qemu-aarch64 "$scratch/root/$program" --version | grep -F "$version" || { echo "$program"; return 1; }
	done
	qemu-aarch64 "$scratch/root/usr/sbin/jointflowd" --check-config --config="$scratch/root/etc/jointflowd.conf" \
		--model="$top_srcdir/models/mnist.safetensors"
}
check "they run, and the daemon accepts the configuration file beside it" runs
# The places of a package differ from those of a build by hand; the tables of options, which programs print, do not.
pages() {
	local page
	for page in jointflow.1 jointflow-train.1 jointflowd.8 jointflowd.conf.5; do
		zcat "$scratch/root/usr/share/man/man${page##*.}/$page.gz" >"$scratch/page" || return 1
		diff "$JF_NATIVE_BUILD/man/$page.body" "$scratch/page" |
			grep '^<' | grep -vE '@(SYSCONFDIR|PKGDATADIR|DOCDIR)@' && return 1
		[ -s "$scratch/page" ] || return 1
	done
	return 0
}
check "the manual pages are those that the native programs filled" pages
finish
