#!/bin/bash
# jointflowd under systemd, for real: Debian 12 boots with systemd as PID 1 in a container, `make install` puts program,
# units and configuration there, and each promise of the units is tried.
set -u
. "$top_srcdir/tests/system/container.sh"
container_require
if [ ! -e "$top_srcdir/models/mnist.safetensors" ]; then
	echo "skipped: there is no models/mnist.safetensors"
	exit 77
fi
container_create
make -C "$top_builddir" -s install DESTDIR="$container_root" >/dev/null 2>&1 || { echo "Bail out! make install failed"; exit 1; }
container_copy "$top_srcdir/data/digits"
container_boot

url=http://127.0.0.1:6767
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile")
conf=$prefix/etc/jointflowd.conf
metric() {
	container_sh "curl -fsS $url/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}
property() {
	container_run systemctl show -p "$1" --value "${2:-jointflowd.service}"
}
ready() {
	container_sh "curl -fsS -o /dev/null $url/readyz"
}
answers_seven() {
	container_sh "curl -fsS -F image=@/root/digits/7.png ${1:-$url}/classify" | grep '"label": *7,'
}
# drop_in NAME LINE...: a drop-in for [Service]
drop_in() {
	local file=/etc/systemd/system/jointflowd.service.d/$1.conf
	shift
	container_run mkdir -p "${file%/*}"
	printf '%s\n' '[Service]' "$@" >"$container_root$file"
	container_run systemctl daemon-reload
}
since=$(container_run date '+%Y-%m-%d %H:%M:%S')
errors_in_journal() {
	container_run journalctl -q -p err --no-pager -o cat --since "$since" -u jointflowd.service
}

# --- start -------------------------------------------------------------------------------
for unit in jointflowd.service jointflowd.socket jointflowd@.service; do
	check "systemd-analyze verify $unit" container_sh \
		"out=\$(systemd-analyze verify --man=no $prefix/lib/systemd/system/$unit 2>&1); echo \"\$out\"; [ -z \"\$out\" ]"
done
check "start" container_run systemctl start jointflowd.service
check "ready as soon as systemctl start returns" ready
check "a seven is recognised" answers_seven
check "the status line names the model" container_sh 'systemctl show -p StatusText --value jointflowd | grep -i mnist'
exposure=$(container_sh 'systemd-analyze security --no-pager jointflowd.service' |
	sed -n 's/.*Overall exposure level for jointflowd.service: \([0-9.]*\).*/\1/p')
check "systemd-analyze security: ${exposure:-none} is 1.5 or lower" awk -v x="${exposure:-99}" 'BEGIN { exit !(x <= 1.5) }'
check "not root" container_sh '[ "$(ps -o user= -p $(systemctl show -p MainPID --value jointflowd))" != root ]'

# --- reload under load -------------------------------------------------------------------------
container_run mkdir -p /etc/jointflow
container_run cp "$prefix/share/jointflow/models/mnist.safetensors" /etc/jointflow/model.safetensors
drop_in model 'Environment=JOINTFLOWD_MODEL=/etc/jointflow/model.safetensors'
container_run systemctl restart jointflowd.service
checksum() {
	container_sh "curl -fsS $url/v1/model" | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["checksum"])'
}
# The same weights under another name: a valid file with another checksum.
/usr/bin/python3 - "$container_root/etc/jointflow/model.safetensors" "$container_root/etc/jointflow/other.safetensors" <<'END'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
header["__metadata__"]["name"] = "other"
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + size:])
END
cat >"$container_root/root/load.sh" <<'END'
#!/bin/bash
# load.sh FILE: four clients ask until the file exists and each has asked ten times; prints requests and failures.
for client in 1 2 3 4; do
	(
		done=0 failed=0
		while [ ! -e "$1" ] || [ $done -lt 10 ]; do
			curl -fsS -o /dev/null -F image=@/root/digits/$((done % 10)).png http://127.0.0.1:6767/classify || failed=$((failed + 1))
			done=$((done + 1))
		done
		echo $done $failed
	) &
done | awk '{ done += $1; failed += $2 } END { print done, failed }'
wait
END
container_run chmod 755 /root/load.sh
before=$(checksum)
pid=$(property MainPID)
container_run /root/load.sh /root/reloaded >"$container_root/root/load.out" 2>"$container_root/root/load.err" &
load=$!
sleep 0.5
for ((i = 0; i < 4; i++)); do
	container_run systemctl reload jointflowd.service
	sleep 0.8
	[ $i != 1 ] || container_run cp /etc/jointflow/other.safetensors /etc/jointflow/model.safetensors
done
container_run touch /root/reloaded
wait $load
read -r requests failures <"$container_root/root/load.out"
same "no request of $requests failed during four reloads" 0 "$failures"
check "the load was real: $requests requests" test "${requests:-0}" -ge 40
check "the reloads succeeded" test "$(metric 'jointflow_reloads_total{result="success"}')" -ge 3
check "the other model is in force" test "$(checksum)" != "$before"
same "it is the same process" "$pid" "$(property MainPID)"
same "active after the reloads" active "$(property ActiveState)"
same "no error in the journal" "" "$(errors_in_journal)"

# --- a bad checkpoint -------------------------------------------------------------------------------
good=$(checksum)
container_sh 'head -c 100000 /etc/jointflow/other.safetensors >/etc/jointflow/model.safetensors'
check "systemctl reload with a truncated checkpoint fails" container_sh '! systemctl reload jointflowd.service'
same "a truncated checkpoint is refused" 1 "$(metric 'jointflow_reloads_total{result="failure"}')"
same "the old model keeps serving" "$good" "$(checksum)"
check "and answers" answers_seven
check "the journal says what is wrong" container_sh \
	'journalctl -q -p err -u jointflowd --no-pager | grep model.safetensors'
check "so does systemctl status" wait_for 10 container_sh \
	'systemctl status -n 0 --no-pager jointflowd.service | grep -i "status:.*reload failed.*model.safetensors"'
container_run cp /etc/jointflow/other.safetensors /etc/jointflow/model.safetensors
container_run cp -p "$conf" /root/jointflowd.conf
container_sh "echo 'max_steps = many' >>$conf"
check "systemctl reload with a broken configuration fails" container_sh '! systemctl reload jointflowd.service'
check "and the status says which line" wait_for 10 container_sh \
	'systemctl status -n 0 --no-pager jointflowd.service | grep "jointflowd.conf:[0-9]*: max_steps"'
same "the daemon serves on" active "$(property ActiveState)"
since=$(container_run date '+%Y-%m-%d %H:%M:%S')
check "start with it fails" container_sh '! systemctl restart jointflowd.service'
check "and journalctl -p err says why" eval 'errors_in_journal | grep "jointflowd.conf:[0-9]*: max_steps"'
container_run cp -p /root/jointflowd.conf "$conf"
check "the configuration mended, it starts at once" container_run systemctl start jointflowd.service
check "reload" container_run systemctl reload jointflowd.service
check "no failure is left in the status" wait_for 10 container_sh \
	'! systemctl show -p StatusText --value jointflowd.service | grep failed'

# READY only when ready: a service that cannot load its model never becomes active.
container_run systemctl stop jointflowd.service
container_sh 'echo no model >/etc/jointflow/model.safetensors'
check "without a good model the start fails" container_sh '! systemctl start jointflowd.service'
check "and nothing listens" container_sh '! ss -Hltn "sport = :6767" | grep .'
container_run cp /etc/jointflow/other.safetensors /etc/jointflow/model.safetensors
container_run systemctl stop jointflowd.service
container_run systemctl reset-failed jointflowd.service >/dev/null 2>&1

# --- a model that arrives later ---------------------------------------------------------------------------
container_run rm /etc/jointflow/model.safetensors
drop_in restart RestartSec=100ms
container_run systemctl start --no-block jointflowd.service
check "without its model the service tries again, more often than a start limit allows" \
	wait_for 60 eval '[ "$(property NRestarts)" -ge 7 ]'
container_run cp /etc/jointflow/other.safetensors /etc/jointflow/model.safetensors
check "it starts when the model arrives" wait_for 30 ready
container_run rm -f /etc/systemd/system/jointflowd.service.d/restart.conf
container_run systemctl daemon-reload
container_run systemctl stop jointflowd.service

# --- a Unix socket, a quota ---------------------------------------------------------------------------------
drop_in place 'Environment=JOINTFLOWD_LISTEN_PATH=%t/%N/http.sock' CPUQuota=100%
check "start with listen_path below /run" container_run systemctl start jointflowd.service
check "another user is answered there" container_sh \
	"setpriv --reuid=65534 --clear-groups curl -fsS --unix-socket /run/jointflowd/http.sock http://localhost/v1/model"
if container_sh 'grep -q . "/sys/fs/cgroup$(systemctl show -p ControlGroup --value jointflowd)/cpu.max"' 2>/dev/null; then
	same "a quota of one CPU makes one worker" 1 "$(metric jointflow_workers)"
else
	ok "a quota of one CPU makes one worker # SKIP no CPU controller in this container"
fi
container_run rm -f /etc/systemd/system/jointflowd.service.d/place.conf
container_run systemctl daemon-reload
container_run systemctl stop jointflowd.service
check "the folder of the socket is gone" container_sh '! [ -e /run/jointflowd ]'

# --- drain ----------------------------------------------------------------------------------------------
check "start again" container_run systemctl start jointflowd.service
container_sh "curl -sS -o /root/long.png -w '%{http_code}' '$url/generate?digit=7&count=16&steps=60&seed=1'" >"$container_root/root/long.code" &
long=$!
check "a long request is under way" wait_for 10 eval '[ "$(metric jointflow_workers_busy)" -ge 1 ]'
check "stop" container_run systemctl stop jointflowd.service
wait $long
same "the request that was under way was answered" 200 "$(cat "$container_root/root/long.code")"
same "stopped cleanly" "success 0" "$(property Result) $(property ExecMainStatus)"

# --- socket activation -------------------------------------------------------------------------------------
check "the socket listens" container_run systemctl start jointflowd.socket
same "without the service" inactive "$(property ActiveState)"
# the model is loaded before the first request is read
check "the first request starts it and is answered" answers_seven "$url"
same "by socket activation" active "$(property ActiveState)"
check "systemd holds the socket across a restart: no refused connection" container_sh \
	"systemctl restart jointflowd.service & curl -fsS --max-time 20 -o /dev/null $url/livez; wait"
container_run systemctl stop jointflowd.socket jointflowd.service

# --- death and hanging ------------------------------------------------------------------------------------------
container_run systemctl start jointflowd.service
restarts=$(property NRestarts)
container_run systemctl kill -s KILL jointflowd.service
check "kill -9: systemd starts it again" wait_for 30 eval '[ "$(property NRestarts)" -gt '"$restarts"' ] && ready'
check "and it answers" answers_seven

drop_in watchdog WatchdogSec=3 Environment=JOINTFLOWD_WATCHDOG_STALL_MS=500 WatchdogSignal=KILL
container_run systemctl restart jointflowd.service
sleep 4
same "the watchdog leaves an idle daemon alone" 0 "$(property NRestarts)"
pid=$(property MainPID)
# The process id as this side of the container sees it.
outside=$(grep -l "^NSpid:.*[[:space:]]$pid$" /proc/[0-9]*/status 2>/dev/null | while read -r file; do
	grep -q '^Name:[[:space:]]*jointflowd' "$file" && echo "$file" | cut -d / -f 3
done | tail -n 1)
container_sh "for i in 1 2 3 4; do curl -s -o /dev/null --max-time 20 '$url/generate?digit=7&count=16&steps=200&seed=1' & done; wait" &
wait_for 10 eval '[ "$(metric jointflow_workers_busy)" -ge 1 ]'
/usr/bin/python3 "$top_srcdir/tests/system/freeze_threads.py" "${outside:-0}" "jf-worker" 25 >"$container_root/root/frozen" 2>&1 &
frozen=$!
check "hung workers: systemd restarts the daemon" wait_for 30 eval '[ "$(property NRestarts)" -ge 1 ] && ready'
wait $frozen
check "single threads were stopped, not the process" grep -E '^[1-9][0-9]* threads' "$container_root/root/frozen"
check "by its watchdog" container_sh 'journalctl -q --no-pager | grep -i "jointflowd.service: Watchdog timeout"'
check "and it answers" answers_seven
container_run rm -f /etc/systemd/system/jointflowd.service.d/watchdog.conf

# --- keys ---------------------------------------------------------------------------------------------------------
status_with_key() {
	container_sh "curl -s -o /dev/null -w '%{http_code}' ${1:+-H 'Authorization: Bearer $1'} -F image=@/root/digits/7.png $url/classify"
}
old=sesame-open-the-door-now new=sesame-close-it-behind-me
check "systemd-sysusers makes the group" container_sh "systemd-sysusers $prefix/lib/sysusers.d/jointflow.conf && getent group jointflow"
container_sh "install -d -m 2755 -g jointflow /etc/jointflow; umask 027; echo $old >/etc/jointflow/keys"
drop_in keys SupplementaryGroups=jointflow Environment=JOINTFLOWD_KEY_FILE=/etc/jointflow/keys
check "start with a key file of that group" container_run systemctl restart jointflowd.service
pid=$(property MainPID)
same "without a key, with the key" "401 200" "$(status_with_key) $(status_with_key $old)"
container_sh "umask 027; echo $new >/etc/jointflow/keys.new; mv /etc/jointflow/keys.new /etc/jointflow/keys"
check "another key in its place, reload" container_run systemctl reload jointflowd.service
same "the revoked key is refused as soon as it returns" 401 "$(status_with_key $old)"
same "the new one accepted" 200 "$(status_with_key $new)"
same "in the same process" "$pid" "$(property MainPID)"
check "nobody else can read it" container_sh '! setpriv --reuid=65534 --regid=65534 --clear-groups cat /etc/jointflow/keys'
# Credentials are copied by systemd at the start alone.
drop_in keys LoadCredential=keys:/etc/jointflow/keys Environment=JOINTFLOWD_KEY_FILE=keys
container_run systemctl restart jointflowd.service
same "as a credential: without a key, with the key" "401 200" "$(status_with_key) $(status_with_key $new)"
container_sh "echo $old >/etc/jointflow/keys"
since=$(container_run date '+%Y-%m-%d %H:%M:%S')
check "a reload succeeds" container_run systemctl reload jointflowd.service
check "and says that a revoked key is still accepted" wait_for 10 container_sh \
	"journalctl -q -p warning --no-pager --since '$since' -u jointflowd.service | grep 'key_file: .*credentials.*still accepted; restart'"
container_run systemctl restart jointflowd.service
same "a restart takes over the new file" "401 200" "$(status_with_key $new) $(status_with_key $old)"
container_run rm -f /etc/systemd/system/jointflowd.service.d/keys.conf
container_run systemctl daemon-reload
container_run systemctl stop jointflowd.service

# --- several instances ------------------------------------------------------------------------------------------------
check "two instances" container_run systemctl start jointflowd@6768.service jointflowd@6769.service
check "the first answers" answers_seven http://127.0.0.1:6768
check "the second answers" answers_seven http://127.0.0.1:6769
same "with the same bytes for the same seed" \
	"$(container_sh "curl -fsS 'http://127.0.0.1:6768/generate?digit=3&count=4&seed=5' | sha256sum")" \
	"$(container_sh "curl -fsS 'http://127.0.0.1:6769/generate?digit=3&count=4&seed=5' | sha256sum")"
check "stop them" container_run systemctl stop 'jointflowd@*.service'

[ $tap_failed = 0 ] || container_run journalctl -q --no-pager -n 60 -u 'jointflowd*' | grep -v ' 200 ' | sed 's/^/# journal: /'

# --- uninstall --------------------------------------------------------------------------------------------------------
check "make uninstall" make -C "$top_builddir" -s uninstall DESTDIR="$container_root"
same "leaves no file" "" "$(find "$container_root$prefix" "$container_root/etc/systemd" -name '*jointflow*' -type f | grep -v '/jointflowd.service.d/')"
finish
