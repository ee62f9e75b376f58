#!/bin/bash
# Runs every fuzz target: with libFuzzer (--enable-fuzz) for JF_FUZZ_SECONDS each (default 5), starting from the corpus;
# without it, over the corpus only. An input that breaks something is kept: put it into the corpus with the fix.
set -u
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
targets=(conf framing idx jpeg json npy png request safetensors)
# As many at a time as there are processors: each runs for a time, not for a number of inputs.
run() {
	mkdir "$scratch/$1"
	"$top_builddir/tests/fuzz/fuzz_$1" -max_total_time="${JF_FUZZ_SECONDS:-5}" -max_len=20000 -timeout=20 \
		-rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 -artifact_prefix="$top_builddir/tests/fuzz/$1-" \
		"$scratch/$1" "$top_srcdir/tests/fuzz/corpus/$1" >"$scratch/$1.log" 2>&1
	echo $? >"$scratch/$1.status"
}
for target in "${targets[@]}"; do
	while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do
		wait -n
	done
	run "$target" &
done
wait
n=0
echo "1..${#targets[@]}"
for target in "${targets[@]}"; do
	n=$((n + 1))
	if [ "$(cat "$scratch/$target.status")" = 0 ]; then
		echo "ok $n - $target: $(grep -E 'replayed|number_of_executed_units' "$scratch/$target.log" | tr -s ' ')"
	else
		failed=1
		tail -n 40 "$scratch/$target.log" | sed 's/^/# /'
		echo "not ok $n - $target"
	fi
done
exit $failed
