#!/bin/bash
# The page in real Chromium against the real daemon. Prints TAP. Needs what `packaging/deps.sh build browser` installs;
# playwright-core and axe-core are fetched by npm, as package-lock.json pins them, into the build folder.
#   browser.sh PROGRAM ARGUMENT...   runs another program that uses support.mjs (doc/images/make does)
set -euo pipefail
: "${top_srcdir:?}" "${top_builddir:?}"
here=$top_srcdir/tests/browser
project=$top_builddir/tests/browser/npm
mkdir -p "$project" "$top_builddir/tests/browser/pictures"
if ! cmp -s "$here/package-lock.json" "$project/node_modules/.jointflow-lock"; then
	cp "$here/package.json" "$here/package-lock.json" "$project/"
	npm ci --prefix "$project" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
	cp "$here/package-lock.json" "$project/node_modules/.jointflow-lock"
fi
if [ $# -gt 0 ]; then
	JF_NODE_PROJECT=$project exec node "$@"
fi
export JF_NODE_PROJECT=$project
# Two processes beside each other, each with a browser and a daemon of its own, since the tests wait for half of their time.
first="draw looks use" second="stream states faults"
for file in "$here"/*.mjs; do
	name=$(basename "$file" .mjs)
	if [[ " $first $second index support strokes " != *" $name "* ]]; then
		echo "not ok 1 - $name.mjs is run by nobody: name it in browser.sh"
		exit 1
	fi
done
output=$(mktemp)
trap 'kill $(jobs -p) 2>/dev/null || :; rm -f "$output"' EXIT
status=0
# shellcheck disable=SC2086 # names of files, several
node --test-reporter=tap "$here/index.mjs" $second >"$output" 2>&1 &
other=$!
node --test-reporter=tap "$here/index.mjs" $first || status=1
wait "$other" || status=1
cat "$output"
exit $status
