#!/bin/bash
# data/fetch-mnist against a mirror of our own: what is right is kept, what is not is refused and named.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fetch=$top_srcdir/data/fetch-mnist
if ! command -v curl >/dev/null; then
	echo "skipped: curl is not installed"
	exit 77
fi
echo 1..5

# the mirror has the true test set, and something else as the training set
mkdir "$scratch/mirror"
cp "$top_srcdir"/data/mnist/t10k-* "$scratch/mirror"
cp "$top_srcdir/data/mnist/t10k-images-idx3-ubyte.gz" "$scratch/mirror/train-images-idx3-ubyte.gz"
head -c 1000 "$top_srcdir/data/mnist/t10k-labels-idx1-ubyte.gz" >"$scratch/mirror/train-labels-idx1-ubyte.gz"
export MNIST_MIRROR=file://$scratch/mirror
if "$fetch" "$scratch/new/folder" >"$scratch/out" 2>&1; then
	echo "not ok 1 - wrong training images were taken"
	exit 1
fi
grep -q "train-images-idx3-ubyte.gz: wrong content" "$scratch/out"
grep -q "train-labels-idx1-ubyte.gz: wrong content" "$scratch/out"
grep -q "t10k-images-idx3-ubyte.gz: fetched and checked" "$scratch/out"
grep -qx "  train-images-idx3-ubyte" "$scratch/out"
echo "ok 1 - wrong content is refused by name"

cmp "$scratch/new/folder/t10k-images-idx3-ubyte.gz" "$top_srcdir/data/mnist/t10k-images-idx3-ubyte.gz"
test "$(ls -A "$scratch/new/folder")" = "t10k-images-idx3-ubyte.gz
t10k-labels-idx1-ubyte.gz"
echo "ok 2 - right content is kept, nothing else is left"

touch -d 2001-01-01 "$scratch/new/folder/t10k-images-idx3-ubyte.gz"
echo damaged >"$scratch/new/folder/t10k-labels-idx1-ubyte.gz"
"$fetch" "$scratch/new/folder" >"$scratch/out" 2>&1 || true
test "$(date -r "$scratch/new/folder/t10k-images-idx3-ubyte.gz" +%Y)" = 2001
cmp "$scratch/new/folder/t10k-labels-idx1-ubyte.gz" "$top_srcdir/data/mnist/t10k-labels-idx1-ubyte.gz"
echo "ok 3 - a whole file is not fetched again, a damaged one is"

status=0
"$fetch" --nonsense >"$scratch/out" 2>&1 || status=$?
test $status = 2
"$fetch" --help | grep -q "^Usage: fetch-mnist"
echo "ok 4 - usage"

# installed: nothing is written beside the script
mkdir -p "$scratch/usr/share/jointflow/data" "$scratch/here"
cp "$fetch" "$scratch/usr/share/jointflow/data/"
(cd "$scratch/here" && "$scratch/usr/share/jointflow/data/fetch-mnist" >"$scratch/out" 2>&1) || true
test "$(ls -A "$scratch/usr/share/jointflow/data")" = fetch-mnist
cmp "$scratch/here/mnist/t10k-images-idx3-ubyte.gz" "$top_srcdir/data/mnist/t10k-images-idx3-ubyte.gz"
echo "ok 5 - an installed fetch-mnist writes into the current folder"
