#!/bin/bash
# The 64-bit ARM build, in qemu-user, gives the bytes of the build in $JF_NATIVE_BUILD: posteriors (printed as the
# shortest decimals that read back) and drawn images, with NEON and with the portable kernels. Prints TAP.
set -uo pipefail
: "${top_srcdir:?}" "${top_builddir:?}" "${JF_NATIVE_BUILD:?}"
model=$top_srcdir/models/mnist.safetensors
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n=0 bad=0

native() {
	"$JF_NATIVE_BUILD/jointflow" "$@"
}
arm() { # ISA ARGUMENT...
	JOINTFLOW_ISA=$1 qemu-aarch64 "$top_builddir/jointflow" "${@:2}"
}
# same NAME FILE: the question in `ask`, whose answer is FILE
same() {
	local isa
	native "${ask[@]}" -o "$scratch/native.npy" >"$scratch/native.txt" || exit 1
	for isa in neon base; do
		rm -f "$scratch/arm.npy" "$scratch/arm.txt"
		arm $isa "${ask[@]}" -o "$scratch/arm.npy" >"$scratch/arm.txt"
		n=$((n + 1))
		if [ -s "$scratch/arm.$1" ] && cmp "$scratch/native.$1" "$scratch/arm.$1" >&2; then
			echo "ok $n - $2, $isa"
		else
			echo "not ok $n - $2, $isa"
			bad=1
		fi
	done
}

native classify --model "$model" --json "$top_srcdir"/data/digits/*.png >"$scratch/native.txt" || exit 1
for isa in neon base; do
	arm $isa classify --model "$model" --json "$top_srcdir"/data/digits/*.png >"$scratch/arm.txt"
	n=$((n + 1))
	if [ -s "$scratch/arm.txt" ] && cmp "$scratch/native.txt" "$scratch/arm.txt" >&2; then
		echo "ok $n - posteriors of ten digits, $isa"
	else
		echo "not ok $n - posteriors of ten digits, $isa"
		bad=1
	fi
done
ask=(generate --model "$model" --quiet --count 1 --steps 5)
same npy "a digit of each class, ancestral"
ask=(generate --model "$model" --quiet --count 1 --digit 3 --steps 4 --solver heun --guidance 1.5)
same npy "a guided three, Heun"
ask=(sample --model "$model" --quiet --count 3 --steps 5 --seed 9)
same npy "joint samples"
echo "1..$n"
[ $bad = 0 ]
