#!/bin/bash
# make deb: as an ordinary user, twice, in different places and locales, with identical results; lintian has nothing to
# say; every package holds what it should and the programs are hardened.
set -u
count=0 failed=0
check() {
	local name=$1 output status=0
	shift
	output=$("$@" 2>&1) || status=$?
	count=$((count + 1))
	if [ $status = 0 ]; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		printf '%s\n' "$output" | tail -n 40 | sed 's/^/# /'
		failed=1
	fi
}
for tool in dpkg-buildpackage dh lintian fakeroot; do
	command -v $tool >/dev/null || { echo "skipped: $tool is not installed (packaging/deps.sh package)"; exit 77; }
done
if [ ! -e "$top_srcdir/models/mnist.safetensors" ]; then
	echo "skipped: there is no models/mnist.safetensors"
	exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$top_builddir"
export DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)"

# The unit tests have run on the same sources in make check.
check "make deb" make deb
# The checkout may lie where only its owner can read, as below /root.
cp jointflow-*.tar.xz "$top_srcdir/packaging/make-deb" "$scratch/"
chmod 755 "$scratch"
as_user=()
if [ "$(id -u)" = 0 ]; then
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
mkdir -m 1777 "$scratch/elsewhere" "$scratch/second"
check "a second build, as an ordinary user elsewhere" "${as_user[@]}" env TMPDIR="$scratch/elsewhere" HOME="$scratch/elsewhere" \
	TZ=Pacific/Kiritimati LC_ALL=C "$scratch/make-deb" "$scratch"/jointflow-*.tar.xz "$scratch/second"
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
	lintian --allow-root -EviIL +pedantic --fail-on error,warning deb/jointflow_*.changes >"$scratch/lintian" 2>&1 || status=$?
	grep -v '^N:' "$scratch/lintian" | grep -v '^X:'
	return $status
}
check "lintian" lintian_passes

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
	lib/systemd/system/jointflowd.service lib/systemd/system/jointflowd.socket lib/systemd/system/jointflowd@.service \
	usr/share/man/man8/jointflowd.8.gz usr/share/man/man5/jointflowd.conf.5.gz
check "jointflow-tools holds jointflow, page, completion" holds jointflow-tools usr/bin/jointflow \
	usr/share/man/man1/jointflow.1.gz usr/share/bash-completion/completions/jointflow
check "jointflow-trainer holds jointflow-train, page" holds jointflow-trainer usr/bin/jointflow-train \
	usr/share/man/man1/jointflow-train.1.gz
check "jointflow-model-mnist holds model and card" holds jointflow-model-mnist usr/share/jointflow/models/mnist.safetensors \
	usr/share/doc/jointflow-model-mnist/mnist.md
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
echo "1..$count"
exit $failed
