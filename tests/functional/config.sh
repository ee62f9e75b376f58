#!/bin/bash
# The configuration as jointflowd itself sees it, the committed etc/jointflowd.conf, and the units' exposure.
set -u
daemon=$top_builddir/jointflowd
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0 failed=0
result() { # status, name, output file
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		sed 's/^/# /' "$3"
		failed=1
	fi
}

"$daemon" --print-config=file >"$scratch/printed"
diff -u "$top_srcdir/etc/jointflowd.conf" "$scratch/printed" >"$scratch/out" 2>&1
result $? 'etc/jointflowd.conf is what --print-config=file prints' "$scratch/out"

"$top_builddir/tests/make_model" "$scratch/model" start 2>"$scratch/out"
"$daemon" --config="$top_srcdir/etc/jointflowd.conf" --model="$scratch/model" --check-config >"$scratch/out" 2>&1
result $? 'etc/jointflowd.conf is right' "$scratch/out"

# every key uncommented is right too, and says nothing else than the defaults
sed 's/^#\([a-z_]* =\)/\1/' "$top_srcdir/etc/jointflowd.conf" >"$scratch/all"
"$daemon" --config="$scratch/all" --print-config >"$scratch/a" 2>"$scratch/out" &&
	"$daemon" --config=/dev/null --print-config >"$scratch/b" 2>>"$scratch/out" &&
	diff -u "$scratch/a" "$scratch/b" >>"$scratch/out"
result $? 'its keys uncommented are the defaults' "$scratch/out"

# what is wrong, by exit status and message
refused() { # status, message, arguments...
	local expected=$1 message=$2 status=0
	shift 2
	"$daemon" "$@" >"$scratch/out" 2>&1 || status=$?
	echo "exit status $status, expected $expected" >>"$scratch/out"
	[ $status = "$expected" ] && grep -qF -- "$message" "$scratch/out"
	result $? "${*//$scratch\//}: $message" "$scratch/out"
}
echo 'workers = two' >"$scratch/conf"
refused 78 "$scratch/conf:1: workers: 0 to 256 expected, got 'two'" --config="$scratch/conf" --check-config
refused 78 "$scratch/conf:1: workers: 0 to 256 expected, got 'two'" --config="$scratch/conf"
refused 78 '/nonexistent' --config=/nonexistent
refused 78 'other machines can reach 0.0.0.0' --config=/dev/null --listen-address=0.0.0.0
refused 78 'tls_key is not' --config=/dev/null --tls-cert=/dev/null --check-config
refused 78 'model: cannot read /nonexistent/model' --config=/dev/null --model=/nonexistent/model --check-config
head -c 1000 "$scratch/model" >"$scratch/cut"
refused 78 'model: ' --config=/dev/null --model="$scratch/cut" --check-config
echo short >"$scratch/keys"
refused 78 'key_file: ' --config=/dev/null --model="$scratch/model" --key-file="$scratch/keys" --check-config
# what a start would refuse for want of a folder or of descriptors
fine="--config=/dev/null --model=$scratch/model"
refused 78 "listen_path: no socket can be made in the folder $scratch/nowhere: No such file" $fine \
	--listen-path="$scratch/nowhere/socket" --check-config
refused 78 "listen_path: $scratch/keys is there already, is not a socket" $fine --listen-path="$scratch/keys" --check-config
refused 0 'the folder /run/jointflowd-nowhere is not there now' $fine --listen-path=/run/jointflowd-nowhere/socket \
	--check-config
refused 0 'the configuration is valid' $fine --listen-path="$scratch/socket" --check-config
[ ! -e "$scratch/socket" ]
result $? '--check-config makes no socket' "$scratch/out"
(
	ulimit -n 40
	"$daemon" $fine --check-config >"$scratch/out" 2>&1
	[ $? = 78 ] && grep -q 'only 40 descriptors may be open and [0-9]* are needed' "$scratch/out"
)
result $? '--check-config with too few descriptors' "$scratch/out"
for more in --check-config --listen-port=0; do
	status=0
	(cd "$scratch" && exec "$daemon" --config=/dev/null --model=nope.safetensors $more) >"$scratch/out" 2>&1 || status=$?
	[ $status != 0 ] && grep -q "/models/nope.safetensors: .*; nor is there a file nope.safetensors in the current folder, $scratch" \
		"$scratch/out"
	result $? "model, a name without a slash, $more: both places are named" "$scratch/out"
done
refused 64 "option '--wrong'" --wrong
refused 64 "unexpected argument 'start'" start
refused 1 '/nonexistent/model' --config=/dev/null --model=/nonexistent/model --listen-port=0

JOINTFLOWD_MAX_STEPS=44 "$daemon" --config=/dev/null --max-count=3 --print-config >"$scratch/out" 2>&1 &&
	grep -qx 'max_steps = 44' "$scratch/out" && grep -qx 'max_count = 3' "$scratch/out"
result $? 'environment and command line show in --print-config' "$scratch/out"

JOINTFLOWD_MAX_STEP=44 "$daemon" --config=/dev/null --model="$scratch/model" --check-config >"$scratch/out" 2>&1 &&
	grep -q 'JOINTFLOWD_MAX_STEP: there is no such key' "$scratch/out"
result $? 'an unknown variable is warned of' "$scratch/out"

# As the journal would read it: standard error is the stream that JOURNAL_STREAM names.
for arguments in '--config=/nonexistent' '--wrong' "--config=/dev/null --model=$scratch/cut --check-config" \
	"--config=/dev/null --model=$scratch/cut --listen-port=0"; do
	(exec 2>"$scratch/out" && JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$daemon" $arguments)
	grep -q '^<3>' "$scratch/out"
	result $? "${arguments//$scratch\//}: an error of priority 3 for the journal" "$scratch/out"
done

# But for the line that names the installed file, whose path may be of any length.
"$daemon" --help >"$scratch/out" 2>&1 && ! grep -v '^.\{0,100\}$' "$scratch/out" | grep -v '^  --config=FILE '
result $? '--help, no line above 100 columns' "$scratch/out"
for key in $(sed -n 's/^#\([a-z_]*\) =.*/\1/p' "$top_srcdir/etc/jointflowd.conf"); do
	grep -q -- "--${key//_/-}=" "$scratch/out" || { echo "$key is missing"; false; }
done
result $? '--help names every key' "$scratch/out"

for unit in jointflowd.service jointflowd@.service; do
	if ! command -v systemd-analyze >/dev/null || [ ! -e "$top_builddir/etc/$unit" ]; then
		count=$((count + 1))
		echo "ok $count # SKIP $unit: there is no systemd-analyze, or units are not built"
		continue
	fi
	# exposure times ten: 15 is 1.5
	name=${unit/@/@6768}
	sed "s|^ExecStart=[^ ]*|ExecStart=/bin/true|" "$top_builddir/etc/$unit" >"$scratch/$name"
	systemd-analyze security --offline=true --threshold=15 "$scratch/$name" >"$scratch/out" 2>&1
	result $? "$unit: systemd-analyze security finds at most 1.5" "$scratch/out"
	grep 'Overall' "$scratch/out" | sed 's/^/# /'
	systemd-analyze verify --man=no "$scratch/$name" >"$scratch/out" 2>&1
	result $? "$unit: systemd-analyze verify" "$scratch/out"
done
echo "1..$count"
exit $failed
