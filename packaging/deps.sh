#!/bin/bash
# Installs the Debian packages that a purpose needs, and only those that are missing.
#
#   packaging/deps.sh build test        install what building and make check need
#   packaging/deps.sh --list GROUP...   print the package names, one a line, and install nothing
#
# An entry COMMAND/PACKAGE is satisfied by the command as well, wherever it came from (node and npm often come from
# elsewhere than Debian). Quick when everything is there: one dpkg-query and no network.
set -euo pipefail
export LC_ALL=C

# What ./configure && make needs, and quickstart's curl.
build='
	gcc make autoconf automake pkg-config libc6-dev
	libgnutls28-dev libjansson-dev libjpeg62-turbo-dev libmicrohttpd-dev libopenblas-dev libpng-dev libprotobuf-c-dev libsystemd-dev nettle-dev protobuf-c-compiler zlib1g-dev
	ca-certificates curl xz-utils'
# What make check and its sanitizer and clang builds need on top.
test='
	clang-14 clang-format-14 libclang-rt-14-dev libcmocka-dev libopenmpi-dev openmpi-bin
	bsdextrautils groff-base mandoc libjpeg-turbo-progs man-db openssl procps prometheus python3 python3-jsonschema python3-numpy python3-png python3-yaml'
# Real Chromium; playwright-core and axe-core come from npm by tests/browser.
browser='chromium fonts-dejavu-core node/nodejs npm/npm'
# Exported models: onnx.checker and PyTorch; onnxruntime comes from npm by tests/onnx.
onnx='node/nodejs npm/npm python3-onnx python3-torch'
# A cross build for 64-bit ARM, also of its packages, and qemu to run it.
arm64='
	gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
	pkgconf:arm64
	libc6:arm64 libcmocka-dev:arm64 libgnutls28-dev:arm64 libjansson-dev:arm64 libjpeg62-turbo-dev:arm64 libmicrohttpd-dev:arm64 libsystemd-dev:arm64
	libopenblas-dev:arm64 libpng-dev:arm64 libprotobuf-c-dev:arm64 nettle-dev:arm64 zlib1g-dev:arm64'
# Containers that boot systemd, HAProxy, nginx.
system='apt-utils dbus haproxy iproute2 mmdebstrap nginx-light systemd systemd-container'
# make deb and its checks; a container image.
package='buildah build-essential debhelper devscripts dpkg-dev fakeroot libopenmpi-dev libwww-perl lintian mandoc mmdebstrap systemd'

usage() {
	sed -n '2,9s/^# \{0,1\}//p' "$0"
}

list_only=no
groups=()
for argument in "$@"; do
	case $argument in
	--list) list_only=yes ;;
	--help) usage; exit 0 ;;
	build | test | browser | onnx | arm64 | system | package) groups+=("$argument") ;;
	*) echo "deps.sh: no such group: $argument (build, test, browser, onnx, arm64, system, package)" >&2; exit 2 ;;
	esac
done
if [ ${#groups[@]} = 0 ]; then
	usage >&2
	exit 2
fi

packages=()
for group in "${groups[@]}"; do
	for entry in ${!group}; do
		case $entry in
		*/*)
			if [ $list_only = yes ] || ! command -v "${entry%%/*}" >/dev/null; then
				packages+=("${entry#*/}")
			fi ;;
		*) packages+=("$entry") ;;
		esac
	done
done
mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)

if [ $list_only = yes ]; then
	printf '%s\n' "${packages[@]}"
	exit 0
fi
if ! command -v dpkg-query >/dev/null; then
	echo "deps.sh: this is not a Debian system; install by hand what these packages hold: ${packages[*]}" >&2
	exit 1
fi

# dpkg names packages of its own architecture with and without it.
installed=$(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' "${packages[@]}" 2>/dev/null |
	sed -n "s/:$(dpkg --print-architecture)\$//; s/^installed //p") || true
mapfile -t missing < <(comm -23 <(printf '%s\n' "${packages[@]}") <(sort -u <<<"$installed"))
if [ ${#missing[@]} = 0 ]; then
	exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
	as_root=(sudo)
	if ! command -v sudo >/dev/null; then
		echo "deps.sh: these packages are missing, and installing them needs root or sudo:" >&2
		echo "    apt-get install ${missing[*]}" >&2
		exit 1
	fi
fi
apt_get() {
	# Services that a package brings (nginx, prometheus, haproxy) must not start on the machine that runs the tests.
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -y -o DPkg::Lock::Timeout=600 \
		-o Dpkg::Use-Pty=0 "$@"
}
echo "installing ${missing[*]}"
if [[ " ${missing[*]} " == *:arm64\ * ]] && ! dpkg --print-foreign-architectures | grep -qx arm64; then
	"${as_root[@]}" dpkg --add-architecture arm64
	apt_get update
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Old package lists are good as long as what they name can be fetched.
if ! apt_get install --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
	apt_get update
	if ! apt_get install --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
		tail -n 30 "$log" >&2
		echo "deps.sh: apt-get could not install ${missing[*]}" >&2
		exit 1
	fi
fi
