#!/bin/bash
# Every C file is as clang-format 14 with the repository's .clang-format leaves it.
# Another version formats differently, so without this one the test skips.
set -eu
cd "$top_srcdir"
clang_format=$(command -v clang-format-14 || true)
if [ -z "$clang_format" ]; then
	echo "skipped: clang-format-14 is not installed"
	exit 77
fi
shopt -s nullglob globstar
files=()
for folder in core trainer cli daemon bench tests; do
	files+=("$folder"/**/*.c "$folder"/**/*.h)
done
failed=0
if ! "$clang_format" --style=file --dry-run --Werror "${files[@]}" 2>/dev/null; then
	failed=1
	for file in "${files[@]}"; do
		"$clang_format" --style=file "$file" | cmp -s "$file" - && continue
		echo "$file: not formatted; run: clang-format-14 -i $file"
		"$clang_format" --style=file "$file" | diff -u "$file" - | head -n 30
	done
fi
echo "${#files[@]} files looked at"
exit $failed
