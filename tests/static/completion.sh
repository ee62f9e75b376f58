#!/bin/bash
# The bash completion offers commands, options and values; every option it offers comes from the built programs.
set -u
. "$top_srcdir/packaging/completion/jointflow"
compopt() { :; }
PATH=$top_builddir:$PATH
count=0 failed=0

# offers NAME EXPECTED-WORD FUNCTION WORD...
offers() {
	local name=$1 expected=$2 function=$3
	shift 3
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	# as bash calls it: program, current word, word before
	$function "$1" "${!#}" "${*: -2:1}"
	count=$((count + 1))
	if [[ " ${COMPREPLY[*]-} " == *" $expected "* ]]; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name: offered ${COMPREPLY[*]-nothing}"
		failed=1
	fi
}
if [ -x "$top_builddir/jointflow" ]; then
	offers "commands" classify _jointflow jointflow cl
	offers "options of a command" --matrix _jointflow jointflow blend --ma
	offers "options with a value" --from= _jointflow jointflow blend --fr
	offers "values" midpoint _jointflow jointflow generate --solver = mid
	offers "values after a space" sample _jointflow jointflow eval --method s
fi
offers "options of the trainer" --epochs= _jointflow_plain jointflow-train --ep
if [ -x "$top_builddir/jointflowd" ]; then
	offers "keys of the daemon" --listen-port= _jointflow_plain jointflowd --listen-p
fi
echo "1..$count"
exit $failed
