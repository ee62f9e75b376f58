#!/bin/sh
# Writes a C file that holds the named files of the source folder, for daemon/http/assets_data.h:
#   daemon/embed.sh SRCDIR doc/openapi.json web/index.html ... > assets_data.c
# The same files give the same bytes. Folders are searched; hidden files are left out.
set -eu
LC_ALL=C
export LC_ALL
srcdir=$1
shift
files=$(cd "$srcdir" && for entry in "$@"; do
	if [ -d "$entry" ]; then find "$entry" -type f ! -path '*/.*' ! -name '*.mk'; elif [ -f "$entry" ]; then echo "$entry"; fi
done | sort)
echo '/* Made by daemon/embed.sh. */'
echo '#include "daemon/http/assets_data.h"'
n=0
for file in $files; do
	printf 'static const unsigned char file_%d[] = {\n' $n
	od -An -v -tu1 "$srcdir/$file" | sed 's/  */,/g; s/^,//; s/$/,/'
	echo '0};'
	n=$((n + 1))
done
echo 'const struct jf_embedded jf_embedded[] = {'
i=0
for file in $files; do
	printf '{"%s", file_%d, sizeof(file_%d) - 1},\n' "$file" $i $i
	i=$((i + 1))
done
echo '{0, 0, 0}};'
echo "const int jf_n_embedded = $n;"
