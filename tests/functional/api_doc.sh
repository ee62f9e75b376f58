#!/bin/bash
# Runs every curl line of doc/api.md and README's programs against a daemon of its own, and fails when a route is not shown.
set -u
scratch=$(mktemp -d)
daemon=
finish() {
	[ -z "$daemon" ] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null
	rm -rf "$scratch"
}
trap finish EXIT
model=$top_srcdir/models/mnist.safetensors
if [ ! -e "$model" ] || [ ! -x "$top_builddir/jointflowd" ]; then
	echo "skipped: there is no jointflowd or no models/mnist.safetensors"
	exit 77
fi
cp "$top_srcdir/data/digits/7.png" "$scratch/digit.png"
cp "$top_srcdir/data/digits/7.png" "$scratch/mask.png" # any picture of the model's size will do
cd "$scratch"

# Port 0: the daemon takes a free one and says which.
"$top_builddir/jointflowd" --config=/dev/null --listen-port=0 --model="$model" --request-timeout-ms=300000 --log-format=text 2>log &
daemon=$!
for ((i = 0; i < 300; i++)); do
	port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' log | head -n 1)
	[ -n "$port" ] && curl -fsS -o /dev/null "http://127.0.0.1:$port/readyz" 2>/dev/null && break
	sleep 0.1
done

count=0 failed=0
run_line() {
	local line=$1 output status=0
	output=$(bash -c "${line//127.0.0.1:6767/127.0.0.1:$port} --max-time 300" 2>&1) || status=$?
	count=$((count + 1))
	if [ $status = 0 ]; then
		echo "ok $count - ${line:0:110}"
	else
		echo "not ok $count - $line"
		printf '%s\n' "$output" | head -c 1000 | sed 's/^/# /'
		echo
		failed=1
	fi
}
mapfile -t lines < <(grep '^curl ' "$top_srcdir/doc/api.md")
for line in "${lines[@]}"; do
	run_line "$line"
done

# README's programs, as they stand there, see the seven
program() {
	local language=$1 suffix=$2 interpreter=$3 output
	count=$((count + 1))
	if ! command -v "$interpreter" >/dev/null; then
		echo "ok $count - README: $language # SKIP $interpreter is not installed"
		return
	fi
	sed -n "/^\`\`\`$suffix\$/,/^\`\`\`\$/p" "$top_srcdir/README.md" | sed "/^\`\`\`/d; s/127\.0\.0\.1:6767/127.0.0.1:$port/" >"$scratch/program.$4"
	output=$(cd "$top_srcdir" && timeout 60 "$interpreter" "$scratch/program.$4" 2>&1)
	if [[ $output =~ ^7\ 0\.9 ]]; then
		echo "ok $count - README: $language"
	else
		echo "not ok $count - README: $language: ${output:0:300}"
		failed=1
	fi
}
program Python python /usr/bin/python3 py
program JavaScript js node mjs

# what was written is what it claims to be
for picture in *.png; do
	[ "$(head -c 8 "$picture" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] && continue
	echo "# $picture is not a PNG"
	failed=1
done
# every path of the OpenAPI document is shown
count=$((count + 1))
missing=$(curl -fsS "http://127.0.0.1:$port/openapi.json" | /usr/bin/python3 -c '
import json, re, sys
text = open(sys.argv[1]).read()
for path in json.load(sys.stdin)["paths"]:
    pattern = re.sub(r"\\\{[^}]*\\\}", "[^/ ]+", re.escape(path))
    if "/versions/" not in path and not re.search(pattern, text):
        print(path)' "$top_srcdir/doc/api.md")
if [ -z "$missing" ]; then
	echo "ok $count - every path of /openapi.json has a line"
else
	echo "not ok $count - paths without a line:" $missing
	failed=1
fi
[ $failed = 0 ] || sed 's/^/# daemon: /' log | tail -n 20
echo "1..$count"
exit $failed
