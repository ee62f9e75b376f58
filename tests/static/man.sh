#!/bin/bash
# The manual pages have no mandoc warning, man shows them without one, and they name every option of the programs.
set -u
cd "$top_builddir"
count=0 failed=0
report() {
	count=$((count + 1))
	if [ -z "$2" ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		printf '%s\n' "$2" | head -n 20 | sed 's/^/# /'
		failed=1
	fi
}
for page in man/*.[158]; do
	if command -v mandoc >/dev/null; then
		report "mandoc -T lint $page" "$(mandoc -T lint -W warning "$page" 2>&1)"
	fi
	if command -v groff >/dev/null && command -v man >/dev/null; then
		report "man -l $page" "$(LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -l "$page" 2>&1 >/dev/null)"
	fi
done
if [ $count = 0 ]; then
	echo "skipped: neither mandoc nor man is installed"
	exit 77
fi
# every "--option" of --help stands in the page
options_named() {
	local page=$1 option text
	shift
	text=$(mandoc -T ascii "$page" | col -b)
	"$@" | grep -oE '^  (-[A-Za-z], |    )--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u | while read -r option; do
		grep -qF -- "$option" <<<"$text" || echo "$option is missing"
	done
}
if command -v mandoc >/dev/null; then
	report "jointflowd.8 names every option that is not a key" "$(options_named man/jointflowd.8 sed '/^Keys/,$d' <(./jointflowd --help))"
	report "jointflowd.conf.5 names every key" "$(mandoc -T ascii man/jointflowd.conf.5 | col -b >man/conf.text
		./jointflowd --print-config | sed 's/ =.*//' | while read -r key; do
			grep -q "^ *$key = " man/conf.text || echo "$key is missing"
		done
		rm -f man/conf.text)"
	report "jointflow-train.1 names every option" "$(options_named man/jointflow-train.1 ./jointflow-train --help)"
	if [ -x ./jointflow ]; then
		for command in classify generate blend sample eval info export; do
			report "jointflow.1 names every option of $command" "$(options_named man/jointflow.1 ./jointflow $command --help)"
		done
	fi
fi
echo "1..$count"
exit $failed
