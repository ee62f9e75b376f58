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
JF_NODE_PROJECT=$project exec node --test-reporter=tap "$here/index.mjs"
