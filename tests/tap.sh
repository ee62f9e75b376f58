# Sourced by shell tests: results in TAP, without a plan until the end. check NAME COMMAND..., same NAME EXPECTED ACTUAL,
# ok NAME, not_ok NAME, finish; tap_failed counts those that failed.

tap_count=0
tap_failed=0

ok() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1"
}

not_ok() {
	tap_count=$((tap_count + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - $1"
}

# check NAME COMMAND...: passes when the command succeeds; its output is shown when it does not.
check() {
	local name=$1 output status=0
	shift
	output=$("$@" 2>&1) || status=$?
	if [ $status = 0 ]; then
		ok "$name"
	else
		not_ok "$name"
		printf '%s\n' "$* (exit status $status)" "$(tail -n 40 <<<"$output")" | sed 's/^/# /'
	fi
}

# same NAME EXPECTED ACTUAL
same() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1"
		echo "# expected: $2"
		echo "# got:      $3"
	fi
}

# Prints the plan; the status is the whole test's.
finish() {
	echo "1..$tap_count"
	[ $tap_failed = 0 ] && [ $tap_count -gt 0 ]
	exit
}
