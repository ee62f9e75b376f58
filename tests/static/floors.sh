#!/bin/bash
# The floors of doc/architecture.md: every folder of sources is on a floor. A file includes what is on a lower floor, or
# beside it in its own folder, and never another program's folder. Each third-party library is included by the files
# listed here and by no other. No two source files share a name within core/ or within daemon/.
set -eu
cd "$top_srcdir"
shopt -s nullglob globstar

awk '
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }
function program_of(path) { sub(/\/.*/, "", path); return path }
function complain(text) { print text; failed = 1 }

BEGIN {
	floor["core/base"] = 0
	floor["core/kernels"] = 1
	floor["core/engine"] = floor["core/pictures"] = 2
	floor["core/files"] = 3
	floor["core/questions"] = 4
	floor["daemon/service"] = 5
	floor["daemon/work"] = 6
	floor["daemon/http"] = 7
	floor["daemon/api"] = 8
	floor["daemon"] = floor["trainer"] = floor["cli"] = 9
	# library header: the files that may include it
	owner["cblas.h"] = "^core/kernels/blas\\."
	owner["openblas_config.h"] = "^core/kernels/blas\\."
	owner["png.h"] = "^core/pictures/png\\."
	owner["jpeglib.h"] = owner["jerror.h"] = "^core/pictures/jpeg\\."
	owner["zlib.h"] = "^(core/base/inflate|daemon/http/deflate)\\."
	owner["jansson.h"] = "^core/base/json\\."
	owner["nettle/sha2.h"] = "^core/base/digest\\."
	owner["nettle/memops.h"] = "^core/base/digest\\."
	owner["nettle/base64.h"] = "^core/base/base64\\."
	owner["microhttpd.h"] = "^daemon/http/(server|exchange|request|internal)\\."
	owner["systemd/sd-daemon.h"] = "^daemon/service/service\\."
	owner["protobuf-c/protobuf-c.h"] = "^cli/onnx_file\\."
	owner["mpi.h"] = "^trainer/mpi\\."
	owner["gnutls/gnutls.h"] = owner["gnutls/abstract.h"] = "^daemon/http/tls\\."
}
function floor_of(path, folder) { folder = folder_of(path); return program_of(path) ~ /^(tests|bench)$/ ? 10 : floor[folder] }
FNR == 1 {
	n_files++
	folder = folder_of(FILENAME)
	if (program_of(FILENAME) !~ /^(tests|bench)$/) {
		if (!(folder in floor))
			complain(FILENAME ": " folder "/ has no floor in tests/static/floors.sh")
		base = FILENAME; sub(/.*\//, "", base)
		key = program_of(FILENAME) "/" base
		if (key in seen)
			complain(FILENAME ": " seen[key] " has the same name")
		seen[key] = FILENAME
		here[FILENAME] = 1
	}
}
/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
	target = $0
	sub(/^[^<"]*[<"]/, "", target); sub(/[>"].*/, "", target)
	place = FILENAME ":" FNR
	program = program_of(FILENAME); other = program_of(target)
	above = program ~ /^(tests|bench)$/
	if ((target in owner) && program != "tests" && FILENAME !~ owner[target])
		complain(place ": <" target "> belongs to " owner[target] " alone")
	n_includes++
	if ($0 !~ /include[ \t]*"/ || target == "config.h" || above)
		next
	if (!(folder_of(target) in floor))
		complain(place ": \"" target "\" is not a path from the top folder")
	else if (other != program && other != "core")
		complain(place ": " program "/ may not include \"" target "\", another program")
	else if (folder_of(target) != folder_of(FILENAME) && floor_of(target) >= floor_of(FILENAME))
		complain(place ": " folder_of(FILENAME) "/ may not include \"" target "\", on the same floor or above")
}
END {
	print n_files " files, " n_includes " includes looked at"
	exit failed
}' {core,trainer,cli,daemon,bench,tests}/**/*.[ch]
