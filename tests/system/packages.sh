#!/bin/bash
# The Debian packages in a booted Debian 12: install, use, configure, upgrade with the edited file kept, remove, purge
# without a trace. The packages are those that tests/package/deb.sh of the same ./run-tests left in $JF_PACKAGES. Without
# them they are built anew: what lies in deb/ may be of an earlier build.
set -u
. "$top_srcdir/tests/system/container.sh"
container_require
packages=${JF_PACKAGES:-none}
if ! compgen -G "$packages/jointflow-server_*.deb" >/dev/null; then
	DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" make -C "$top_builddir" deb >&2 || { echo "Bail out! make deb failed"; exit 1; }
	packages=$top_builddir/deb
fi
container_create
container_boot

url=http://127.0.0.1:6767
# Every file of the system but what any boot and any apt run change by themselves.
snapshot() {
	container_sh 'cd / && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp -o \
		-path ./root -o -path ./var/tmp -o -path ./var/log -o -path ./var/cache -o -path ./var/lib/apt -o \
		-path ./var/lib/dpkg -o -path ./var/lib/systemd -o -path ./etc/machine-id \) -prune -o -print | sort
		cut -d : -f 1 /etc/passwd /etc/group | sort
		dpkg-query -W -f "\${Package} \${db:Status-Status}\n" | grep jointflow'
}
answers_seven() {
	container_sh "curl -fsS --retry 20 --retry-delay 1 --retry-connrefused -F image=@/root/digits/7.png $url/classify" |
		grep '"label": *7,'
}
service_active() {
	container_run systemctl is-active --quiet jointflowd.service
}
errors_in_journal() {
	container_run journalctl -q -b -p err --no-pager
}
main_pid() {
	container_run systemctl show -p MainPID --value "$1"
}
# Processes of the daemon whose program has been deleted.
deleted() {
	container_sh 'for pid in $(pgrep -x jointflowd); do readlink /proc/$pid/exe; done | grep -c deleted'
}

before=$(snapshot)
mkdir -p "$container_root/root/packages"
cp "$packages"/*.deb "$container_root/root/packages/"
rm -f "$container_root"/root/packages/*-dbgsym_*
container_copy "$top_srcdir/data/digits" "$top_srcdir/packaging/debian/tests"

# --- install -----------------------------------------------------------------------
check "apt install from the files" container_sh 'apt-get install -y /root/packages/jointflow-*.deb'
check "the service is active" wait_for 20 service_active
check "a seven is recognised over HTTP" answers_seven
same "listens on loopback only" "127.0.0.1:6767" \
	"$(container_run ss -Hltn 'sport = :6767' | awk '{ print $4 }' | sort -u | tr '\n' ' ' | sed 's/ $//')"
check "the service starts at boot" container_run systemctl is-enabled jointflowd.service
check "a user of its own, without rights" container_sh \
	'user=$(ps -o user= -p $(systemctl show -p MainPID --value jointflowd)) && [ "$user" != root ] && echo "$user"'
check "manual pages and completion are there" container_sh 'cd /usr/share && ls man/man8/jointflowd.8.gz man/man5/jointflowd.conf.5.gz \
	man/man1/jointflow.1.gz man/man1/jointflow-train.1.gz bash-completion/completions/jointflow'
check "the command-line tool classifies" container_sh \
	'jointflow classify --json /root/digits/3.png | grep "\"label\": *3"'
check "jointflow-train runs" container_sh 'jointflow-train --version'
check "systemd-analyze verify" container_sh \
	'out=$(systemd-analyze verify --man=no /lib/systemd/system/jointflowd.service /lib/systemd/system/jointflowd.socket \
		/lib/systemd/system/jointflowd@.service 2>&1); echo "$out"; [ -z "$out" ]'
exposure=$(container_sh 'systemd-analyze security --no-pager jointflowd.service' |
	sed -n 's/.*Overall exposure level for jointflowd.service: \([0-9.]*\).*/\1/p')
check "systemd-analyze security: ${exposure:-none} is 1.5 or lower" awk -v x="${exposure:-99}" 'BEGIN { exit !(x <= 1.5) }'
for script in "$top_srcdir"/packaging/debian/tests/*; do
	[ -x "$script" ] && check "autopkgtest: ${script##*/}" container_run "/root/tests/${script##*/}"
done

# --- configure -------------------------------------------------------------------------
container_sh 'sed -i "/^max_steps/d" /etc/jointflowd.conf; echo "max_steps = 78" >>/etc/jointflowd.conf'
check "systemctl restart" container_run systemctl restart jointflowd.service
check "the changed configuration is in force" container_sh "curl -fsS --retry 20 --retry-connrefused -o /dev/null $url/readyz &&
	curl -fsS -o /dev/null '$url/generate?digit=1&steps=78&seed=1' && ! curl -fsS -o /dev/null '$url/generate?digit=1&steps=79&seed=1'"

# --- instances, and the socket -----------------------------------------------------------
check "two instances beside the service" container_run systemctl enable --now jointflowd@6768.service jointflowd@6769.service
container_run systemctl stop jointflowd.service
check "the socket in the service's place" container_run systemctl enable --now jointflowd.socket
check "which starts it" answers_seven
socket=$(container_run systemctl show -p ActiveEnterTimestampMonotonic --value jointflowd.socket)
instance=$(main_pid jointflowd@6768.service)

# --- upgrade -------------------------------------------------------------------------------
# The same packages with a higher version and another configuration file.
mkdir "$container_root/root/upgrade"
for package in "$container_root"/root/packages/*.deb; do
	tree=$(mktemp -d)
	dpkg-deb -R "$package" "$tree"
	sed -i 's/^Version: \(.*\)/Version: \1+next/; s/(= \([^)]*\))/(= \1+next)/' "$tree/DEBIAN/control"
	[ ! -e "$tree/etc/jointflowd.conf" ] || echo "# of the next version" >>"$tree/etc/jointflowd.conf"
	dpkg-deb --root-owner-group -b "$tree" "$container_root/root/upgrade/" >/dev/null
	rm -rf "$tree"
done
pid=$(container_run systemctl show -p MainPID --value jointflowd.service)
check "upgrade to a higher version" container_sh \
	'apt-get -o Dpkg::Options::=--force-confold install -y /root/upgrade/jointflow-*.deb'
check "the edited configuration is kept" container_sh 'grep -qx "max_steps = 78" /etc/jointflowd.conf'
check "the next version's file lies beside it" container_sh 'grep -q "next version" /etc/jointflowd.conf.dpkg-dist'
check "the service was restarted" container_sh "[ \$(systemctl show -p MainPID --value jointflowd.service) != $pid ]"
check "and answers" answers_seven
check "so were the instances" container_sh "[ \$(systemctl show -p MainPID --value jointflowd@6768.service) != $instance ] &&
	systemctl is-active jointflowd@6768.service jointflowd@6769.service && curl -fsS http://127.0.0.1:6769/readyz"
same "nobody runs a program that is gone" 0 "$(deleted)"
same "the socket stayed open all the while" "$socket" \
	"$(container_run systemctl show -p ActiveEnterTimestampMonotonic --value jointflowd.socket)"
instance=$(main_pid jointflowd@6768.service)
pid=$(container_run systemctl show -p MainPID --value jointflowd.service)
check "a new model package alone" container_sh \
	'apt-get install -y --allow-downgrades /root/packages/jointflow-model-mnist_*.deb --no-remove || 
	dpkg -i --force-depends /root/packages/jointflow-model-mnist_*.deb'
check "is reloaded, not restarted" container_sh "[ \$(systemctl show -p MainPID --value jointflowd.service) = $pid ] &&
	curl -fsS $url/metrics | grep 'jointflow_reloads_total{result=\"success\"} [1-9]'"
check "and answers" answers_seven
check "by the instances too" container_sh "[ \$(systemctl show -p MainPID --value jointflowd@6768.service) = $instance ] &&
	curl -fsS http://127.0.0.1:6768/metrics | grep 'jointflow_reloads_total{result=\"success\"} [1-9]'"
same "no error in the journal" "" "$(errors_in_journal)"

# --- remove and purge ------------------------------------------------------------------------
check "apt remove" container_sh 'apt-get remove -y "jointflow-*"'
check "the service is gone, its configuration stays" container_sh \
	'! systemctl is-active --quiet jointflowd.service && ! ss -Hltn "sport = :6767" | grep . && [ -e /etc/jointflowd.conf ]'
check "so are instances and socket" container_sh '! pgrep -x jointflowd && ! systemctl is-active --quiet jointflowd.socket &&
	! ss -Hltn "sport >= :6767 and sport <= :6769" | grep .'
check "apt purge" container_sh 'apt-get purge -y "jointflow-*"'
container_run systemctl daemon-reload
same "purge leaves no file, user or package behind" "" "$(diff <(echo "$before") <(snapshot))"
same "no unit is left" "" "$(container_run systemctl list-unit-files --no-legend 'jointflow*')"
same "no error in the journal at the end" "" "$(errors_in_journal)"

# --- the server before its model ------------------------------------------------------------------
check "the server alone" container_sh 'apt-get install -y --no-install-recommends /root/packages/jointflow-server_*.deb'
check "is not active, for want of a model" wait_for 20 container_sh '! systemctl is-active --quiet jointflowd.service &&
	systemctl status --no-pager jointflowd.service | grep mnist.safetensors'
check "its model arrives" container_sh 'apt-get install -y /root/packages/jointflow-model-mnist_*.deb'
check "and the service starts by itself" wait_for 30 service_active
check "and answers" answers_seven
[ $tap_failed = 0 ] || container_run journalctl -q --no-pager -n 60 -u 'jointflowd*' | grep -v ' 200 ' | sed 's/^/# journal: /'
finish
