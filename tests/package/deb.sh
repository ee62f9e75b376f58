#!/bin/bash
# make deb: as an ordinary user, twice, in different places and locales, with identical results; lintian has nothing to
# say; every package holds what it should and the programs are hardened.
set -u
. "$top_srcdir/tests/tap.sh"
for tool in dpkg-buildpackage dh lintian fakeroot; do
	command -v $tool >/dev/null || { echo "skipped: $tool is not installed (packaging/deps.sh package)"; exit 77; }
done
if [ ! -e "$top_srcdir/models/mnist.safetensors" ]; then
	echo "skipped: there is no models/mnist.safetensors"
	exit 77
fi
if [ ! -e "$top_srcdir/.git" ]; then
	echo "skipped: packages are built from a checkout of the repository"
	exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)"
export XZ_OPT=-0 # of the tarball, which is never shipped: a quarter of the time
export DEBFULLNAME="Pat O'Packager" DEBEMAIL=pat@packager.example.org

# What a fresh clone holds, with the changes that are not committed yet. The unit tests have run on the same sources in
# make check.
mkdir "$scratch/clone"
(cd "$top_srcdir" && git ls-files -z --cached --others --exclude-standard | xargs -0 -I{} sh -c '[ ! -e "$1" ] || echo "$1"' sh {} |
	tar -cf - -T -) | tar -C "$scratch/clone" -xf -
line=$(sed -n 's/^    \(.* make deb\)$/\1/p' "$top_srcdir/README.md")
check "README's line builds the packages in a fresh clone: $line" \
	env -u MAKEFLAGS -u MAKELEVEL bash -c "cd '$scratch/clone' && $line"
cd "$scratch/clone/build" || { echo "Bail out! nothing was built"; exit 1; }
line=$(sed -n 's|^    sudo apt install \(\./deb/.*\)$|\1|p' "$top_srcdir/README.md")
check "README's next line installs them from there: $line" bash -c "apt-get --simulate -o Debug::NoLocking=1 install $line"
# What has no 128-bit integers stands for every target that "Architecture:" leaves out.
refuses() {
	mkdir "$scratch/narrow" && cd "$scratch/narrow" || return 1
	! "$scratch/clone/configure" -q CPPFLAGS=-U__SIZEOF_INT128__ >output 2>&1 &&
		grep 'needs a 64-bit little-endian processor and a compiler with __int128; this target is none' output
}
check "configure says which targets it is not for" refuses
cd "$scratch/clone/build" || exit 1
check "the tarball holds no debian folder" eval '! tar -tf jointflow-*.tar.xz | grep /debian/'
check "who builds is the maintainer" eval \
	'[ "$(dpkg-deb -f deb/jointflow-server_*.deb Maintainer)" = "$DEBFULLNAME <$DEBEMAIL>" ] && grep -qx "Changed-By: $DEBFULLNAME <$DEBEMAIL>" deb/*.changes'
# The checkout may lie where only its owner can read, as below /root.
cp -r jointflow-*.tar.xz "$top_srcdir/packaging/make-deb" "$top_srcdir/packaging/debian" "$scratch/"
chmod 755 "$scratch"
as_user=()
if [ "$(id -u)" = 0 ]; then
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
mkdir -m 1777 "$scratch/elsewhere" "$scratch/second"
check "a second build, as an ordinary user elsewhere" "${as_user[@]}" env TMPDIR="$scratch/elsewhere" HOME="$scratch/elsewhere" \
	TZ=Pacific/Kiritimati LC_ALL=C "$scratch/make-deb" "$scratch"/jointflow-*.tar.xz "$scratch/second" "$scratch/debian"
same_packages() {
	local file status=0 n=0
	for file in deb/*.deb deb/*.dsc deb/*.tar.xz; do
		n=$((n + 1))
		cmp "$file" "$scratch/second/${file##*/}" || status=1
	done
	[ $n -ge 10 ] && return $status
}
check "both builds are identical, byte for byte" same_packages
lintian_passes() {
	local status=0
	lintian --allow-root -EviIL +pedantic --fail-on error,warning,info,pedantic deb/jointflow_*.changes >"$scratch/lintian" 2>&1 || status=$?
	grep -v '^N:' "$scratch/lintian" | grep -v '^X:'
	return $status
}
check "lintian" lintian_passes

# The watch file, on a page of this machine that is what GitHub's API answers with: the newest tarball, no other file.
watch_finds() {
	local site=$scratch/site server port at=https://github.com/jointflow/jointflow/releases/download found
	mkdir -p "$site/repos/jointflow/jointflow"
	for version in 99.10.0 99.9.1; do
		for file in jointflow-server_$version-1_amd64.deb jointflow-$version.tar.xz jointflow-$version.tar.xz.asc; do
			echo "{\"browser_download_url\": \"$at/v$version/$file\"},"
		done
		echo "{\"tarball_url\": \"https://api.github.com/repos/jointflow/jointflow/tarball/v$version\"},"
	done >"$site/repos/jointflow/jointflow/releases"
	/usr/bin/python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$site" >"$scratch/server" 2>&1 &
	server=$!
	until port=$(grep -oP ' port \K[0-9]+' "$scratch/server"); do
		kill -0 $server || return 1
		sleep 0.05
	done
	sed "s|https://api.github.com/|http://127.0.0.1:$port/|" "$top_srcdir/packaging/debian/watch" >"$scratch/watch"
	found=$(env -u http_proxy -u HTTP_PROXY uscan --no-conf --report --dehs --package jointflow --upstream-version 0.1.0 --watchfile "$scratch/watch" 2>&1)
	kill $server
	echo "$found"
	grep -qxF "<upstream-url>$at/v99.10.0/jointflow-99.10.0.tar.xz</upstream-url>" <<<"$found"
}
if command -v uscan >/dev/null && perl -MLWP::UserAgent -e 1 2>/dev/null; then
	check "the watch file finds the newest release" watch_finds
else
	ok "the watch file finds the newest release # SKIP uscan is not installed (packaging/deps.sh package)"
fi

holds() {
	local package=$1 path status=0 list
	shift
	list=$(dpkg-deb -c deb/"$package"_*.deb | awk '{ print $6 }')
	for path; do
		grep -qxE "\./$path(\.gz)?" <<<"$list" || { echo "$package lacks $path"; status=1; }
	done
	return $status
}
check "jointflow-server holds daemon, units, configuration, pages" holds jointflow-server usr/sbin/jointflowd etc/jointflowd.conf \
	usr/share/doc/jointflow-server/README.md usr/share/doc/jointflow-server/api.md \
	usr/share/doc/jointflow-server/examples/haproxy.cfg lib/systemd/system/jointflowd.service lib/systemd/system/jointflowd.socket lib/systemd/system/jointflowd@.service \
	usr/share/man/man8/jointflowd.8.gz usr/share/man/man5/jointflowd.conf.5.gz
check "jointflow-tools holds jointflow, page, completion" holds jointflow-tools usr/bin/jointflow \
	usr/share/man/man1/jointflow.1.gz usr/share/bash-completion/completions/jointflow \
	usr/share/jointflow/data/mnist/t10k-images-idx3-ubyte.gz
check "jointflow-trainer holds jointflow-train, page" holds jointflow-trainer usr/bin/jointflow-train \
	usr/share/man/man1/jointflow-train.1.gz
check "jointflow-model-mnist holds model and card" holds jointflow-model-mnist usr/share/jointflow/models/mnist.safetensors \
	usr/share/doc/jointflow-model-mnist/mnist.md
# Every path below /usr and /etc that a manual page names is in some package.
paths_exist() {
	local path file status=0 n=0
	for file in deb/*.deb; do
		dpkg-deb -c "$file" | awk '{ print $6 }' | sed 's|^\.||; s|/$||; s|\.gz$||'
	done | sort -u >"$scratch/files"
	for file in deb/jointflow-{server,tools,trainer}_*.deb; do
		dpkg-deb -x "$file" "$scratch/pages"
	done
	while read -r path; do
		n=$((n + 1))
		grep -qxF -- "$path" "$scratch/files" || { echo "$path is in no package"; status=1; }
	done < <(zcat "$scratch"/pages/usr/share/man/man?/*.gz | sed -n 's/.*\.*Pa \(\/[^ ]*\).*/\1/p; s/.*\.It Pa \(\/[^ ]*\).*/\1/p' |
		grep -E '^/(usr|etc)/' | sed 's/[.,]$//' | sort -u)
	echo "$n paths"
	[ $n -ge 3 ] && return $status
}
check "the paths that the manual pages name are in the packages" paths_exist
check "the model is for all architectures" test "$(dpkg-deb -f deb/jointflow-model-mnist_*.deb Architecture)" = all
check "debug symbols apart" ls deb/jointflow-server-dbgsym_*.deb
hardened() {
	local program status=0 facts
	for program in jointflow-server:usr/sbin/jointflowd jointflow-tools:usr/bin/jointflow jointflow-trainer:usr/bin/jointflow-train; do
		dpkg-deb -x deb/"${program%%:*}"_*.deb "$scratch/x"
		facts=$(readelf -dlhs -W "$scratch/x/${program#*:}"; readelf -W --dyn-syms "$scratch/x/${program#*:}")
		for mark in 'Type: *DYN' 'FLAGS_1.*NOW' GNU_RELRO __stack_chk_fail '_chk@'; do
			grep -q "$mark" <<<"$facts" || { echo "${program#*:}: no $mark"; status=1; }
		done
	done
	return $status
}
check "programs are position-independent, bind at once, and check their stacks" hardened
# For tests/system/packages.sh of the same ./run-tests, which installs these instead of building them once more.
if [ $tap_failed = 0 ] && [ -n "${JF_PACKAGES:-}" ]; then
	mkdir -p "$JF_PACKAGES" && cp deb/*.deb "$JF_PACKAGES/"
fi
finish
