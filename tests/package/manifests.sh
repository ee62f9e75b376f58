#!/bin/bash
# Kubernetes and KServe manifests against their schemas; see validate.mjs. The npm packages that carry the schemas are
# kept in the tests' cache folder.
set -u
cache=${JOINTFLOW_TEST_CACHE:-${XDG_CACHE_HOME:-/var/cache}/jointflow-tests}
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
	echo "skipped: npm is not installed"
	exit 77
fi
package=$top_srcdir/tests/package/package.json
modules=$cache/manifests-$(sha256sum "$package" | cut -c 1-16)
if [ ! -e "$modules/done" ]; then
	if ! { mkdir -p "$modules" && cp "$package" "$modules/"; } 2>/dev/null; then
		echo "skipped: cannot write $modules"
		exit 77
	fi
	if ! npm --prefix "$modules" install --no-audit --no-fund --ignore-scripts --loglevel=error; then
		echo "skipped: npm could not fetch the schemas"
		exit 77
	fi
	touch "$modules/done"
fi
exec node "$top_srcdir/tests/package/validate.mjs" "$top_srcdir/packaging/kubernetes" "$modules"
