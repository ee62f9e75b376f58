#!/bin/bash
# Exported models: onnx.checker (python3-onnx) accepts them, onnxruntime (npm) computes what the engine computes; and the
# Python of doc/checkpoint.md reads a checkpoint. Prints TAP. Needs what `packaging/deps.sh build onnx` installs.
set -uo pipefail
: "${top_srcdir:?}" "${top_builddir:?}"
here=$top_srcdir/tests/onnx
project=$top_builddir/tests/onnx/npm
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$project"
if ! cmp -s "$here/package-lock.json" "$project/node_modules/.jointflow-lock"; then
	cp "$here/package.json" "$here/package-lock.json" "$project/"
	npm ci --prefix "$project" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 || exit 1
	cp "$here/package-lock.json" "$project/node_modules/.jointflow-lock"
fi
export JF_NODE_PROJECT=$project

# Numbers the result lines of everything below.
n=0 bad=0
number() {
	local line
	while IFS= read -r line; do
		case $line in
		"ok "*) n=$((n + 1)); echo "ok $n - $1: ${line#ok }" ;;
		"not ok "*) n=$((n + 1)) bad=1; echo "not ok $n - $1: ${line#not ok }" ;;
		*) echo "$line" ;;
		esac
	done
}
say() { # STATUS TEXT
	if [ "$1" = 0 ]; then echo "ok $2"; else echo "not ok $2"; fi
}

# try NAME MODEL DATA HEIGHT WIDTH CHANNELS CLASSES
try() {
	local name=$1 model=$2 data=$3 folder=$scratch/$1
	shift 3
	{
		"$top_builddir/jointflow" export --onnx --model "$model" -o "$folder" --quiet
		say $? "jointflow export"
		"$top_builddir/tests/onnx/reference" posterior "$model" "$data" "$folder/posterior.bin" &&
			"$top_builddir/tests/onnx/reference" field "$model" 100 "$folder/field.bin"
		say $? "the engine's answers"
		/usr/bin/python3 "$here/check.py" "$folder/posterior.onnx" "$folder/field.onnx"
		node "$here/compare.mjs" "$folder" "$@" || say 1 "compare.mjs ended with $?"
	} > >(cat >"$scratch/lines") 2>&1
	wait $!
	number "$name" <"$scratch/lines"
}

try shipped "$top_srcdir/models/mnist.safetensors" "$top_srcdir/data/mnist" 28 28 1 10
"$top_builddir/tests/make_model" "$scratch/colour.safetensors" height=16 width=12 image_channels=3 classes=5 blocks=2 \
	layers=2 label_tokens=1 augment=3 || exit 1
try colour "$scratch/colour.safetensors" 50 16 12 3 5
"$top_builddir/tests/make_model" "$scratch/tiny.safetensors" height=8 width=8 classes=2 || exit 1
try tiny "$scratch/tiny.safetensors" 50 8 8 1 2

{
	awk '/^```python/ { inside = 1; next } /^```/ { inside = 0 } inside' "$top_srcdir/doc/checkpoint.md" >"$scratch/read.py"
	(cd "$top_srcdir" && /usr/bin/python3 "$scratch/read.py") >"$scratch/read.out" 2>&1
	grep -qx '7 2 1 0 4 1 4 9 5 9' "$scratch/read.out"
	status=$?
	[ $status = 0 ] || sed 's/^/# /' "$scratch/read.out"
	say $status "the program of doc/checkpoint.md classifies ten test images"
} >"$scratch/lines"
number document <"$scratch/lines"

{
	"$top_builddir/jointflow" export -o "$scratch/none" >"$scratch/out" 2>&1
	[ $? = 2 ] && grep -q -- '--onnx' "$scratch/out"
	say $? "without a format: exit status 2, and the way out is named"
	"$top_builddir/jointflow" export --onnx -o /proc/nowhere >"$scratch/out" 2>&1
	[ $? = 1 ] && grep -q '/proc/nowhere' "$scratch/out"
	say $? "a folder that cannot be made is named"
} >"$scratch/lines"
number "command line" <"$scratch/lines"
echo "1..$n"
[ $n -gt 0 ] && [ $bad = 0 ]
