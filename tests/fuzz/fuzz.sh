#!/bin/bash
# Runs every fuzz target: with libFuzzer (--enable-fuzz) for JF_FUZZ_SECONDS each (default 5), starting from the corpus;
# without it, over the corpus only. An input that breaks something is kept: put it into the corpus with the fix.
set -u
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n=0 failed=0
targets=(conf framing idx jpeg json npy png request safetensors)
echo "1..${#targets[@]}"
for target in "${targets[@]}"; do
	n=$((n + 1))
	mkdir "$scratch/$target"
	if "$top_builddir/tests/fuzz/fuzz_$target" -max_total_time="${JF_FUZZ_SECONDS:-5}" -max_len=20000 -timeout=20 \
		-rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 -artifact_prefix="$top_builddir/tests/fuzz/$target-" \
		"$scratch/$target" "$top_srcdir/tests/fuzz/corpus/$target" >"$scratch/log" 2>&1; then
		echo "ok $n - $target: $(grep -E 'replayed|number_of_executed_units' "$scratch/log" | tr -s ' ')"
	else
		failed=1
		tail -n 40 "$scratch/log" | sed 's/^/# /'
		echo "not ok $n - $target"
	fi
done
exit $failed
