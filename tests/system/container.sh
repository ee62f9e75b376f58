# Sourced by the tests of this folder: Debian 12 with systemd as PID 1 in a container, without network but loopback.
#
#   container_require       skips the test (exit 77) where no container can be booted
#   container_create        makes $container_root from a cached archive (made once by mmdebstrap, about 50 s)
#   container_boot          boots it (about 2 s)
#   container_run COMMAND   runs a command inside; its output and exit status are the command's
#   container_copy FILE...  puts files into /root of the container
#   container_stop          powers it off
#   container_destroy       called on exit; stops and removes everything
#
# Results are written by tests/tap.sh.
#
# The archive is kept in $JOINTFLOW_TEST_CACHE, else $XDG_CACHE_HOME/jointflow-tests, else /var/cache/jointflow-tests.

. "$top_srcdir/tests/tap.sh"

container_cache=${JOINTFLOW_TEST_CACHE:-${XDG_CACHE_HOME:-/var/cache}/jointflow-tests}
# What the programs need at run time, and what the tests use inside.
container_packages=systemd,systemd-sysv,dbus,curl,procps,iproute2,libjansson4,libjpeg62-turbo,libmicrohttpd12,libnettle8,libopenblas0
container_packages+=,libopenblas0-pthread,libopenmpi3,libpng16-16,libprotobuf-c1,zlib1g
container_root=
container_nspawn=
container_init=

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

skip_all() {
	if [[ ",${JOINTFLOW_TESTS_REQUIRE:-}," == *,container,* ]]; then
		echo "not ok 1 - a container can be booted here"
		echo "# $1"
		exit 1
	fi
	echo "skipped: $1"
	exit 77
}

# --- container -----------------------------------------------------------------------

container_require() {
	[ "$(id -u)" = 0 ] || skip_all "booting a container needs root"
	local tool
	for tool in mmdebstrap systemd-nspawn nsenter; do
		command -v $tool >/dev/null || skip_all "$tool is not installed (packaging/deps.sh system)"
	done
	(. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ]) ||
		skip_all "the programs built here need not run on Debian 12"
	# One container at a time: they share this process's control group.
	mkdir -p "$container_cache" || skip_all "no cache folder $container_cache"
	exec 9>"$container_cache/lock"
	flock -w 900 9 || skip_all "another test holds $container_cache/lock"
}

container_archive() {
	local key
	key=$(sha256sum <<<"bookworm $container_packages" | cut -c 1-16)
	archive=$container_cache/root-$key.tar
	if [ ! -e "$archive" ]; then
		rm -f "$container_cache"/root-*.tar*
		mmdebstrap --quiet --variant=apt --include="$container_packages" --dpkgopt='path-exclude=/usr/share/locale/*' \
			--aptopt='Acquire::Languages "none"' bookworm "$archive.part.tar" &&
			mv "$archive.part.tar" "$archive" || skip_all "mmdebstrap could not make a Debian 12 root"
	fi
}

container_create() {
	container_root=$(mktemp -d -p "$container_cache" boot.XXXXXX)
	trap container_destroy EXIT
	trap 'exit 130' INT TERM
	container_archive
	tar -C "$container_root" -xf "$archive"
	chmod 755 "$container_root"
}

container_boot() {
	systemd-nspawn --quiet --boot --register=no --keep-unit --private-network --console=pipe --machine="jf$$" \
		--directory="$container_root" </dev/null >"$container_root.log" 2>&1 9>&- &
	container_nspawn=$!
	local i
	for ((i = 0; i < 1200; i++)); do
		container_init=$(pgrep -P $container_nspawn 2>/dev/null | head -n 1) || true
		if [ -n "$container_init" ]; then
			case $(container_run systemctl is-system-running 2>/dev/null) in
			running | degraded) return 0 ;;
			esac
		fi
		kill -0 $container_nspawn 2>/dev/null || break
		sleep 0.1
	done
	sed 's/^/# /' "$container_root.log"
	skip_all "systemd-nspawn could not boot a container here"
}

container_run() {
	nsenter -t "$container_init" -m -u -i -n -p -- env -i \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

container_sh() {
	container_run bash -c "$1"
}

container_copy() {
	cp -r -- "$@" "$container_root/root/"
}

container_stop() {
	[ -n "$container_nspawn" ] || return 0
	container_run systemctl poweroff >/dev/null 2>&1 || true
	if ! wait_for 60 eval "! kill -0 $container_nspawn"; then
		kill -KILL $container_nspawn 2>/dev/null || true
	fi
	wait $container_nspawn 2>/dev/null || true
	container_nspawn=
}

container_destroy() {
	local status=$?
	trap - EXIT
	container_stop
	if [ -n "$container_root" ]; then
		rm -rf --one-file-system -- "$container_root" "$container_root.log"
	fi
	exit $status
}
