#!/bin/bash
# The floors of doc/architecture.md: a file includes what is on a lower floor, or beside it in its own folder on the
# same floor, and never another program's folder. A header says its floor in its first comment ("Floor 2."); a .c file
# stands where its own header stands, and without one where its first comment says, or on its folder's top floor.
# Each third-party library is included by the files listed here and by no other.
set -eu
cd "$top_srcdir"
shopt -s nullglob globstar

awk '
function own_folder(path) { sub(/\/.*/, "", path); return path }
function complain(text) { print text; failed = 1 }

BEGIN {
	top["core"] = 2; top["trainer"] = 5; top["cli"] = 5; top["daemon"] = 5; top["bench"] = 6; top["tests"] = 6
	# library header: the files that may include it
	owner["cblas.h"] = "^core/blas\\."
	owner["openblas_config.h"] = "^core/blas\\."
	owner["png.h"] = "^core/png\\."
	owner["zlib.h"] = "^(core/inflate|core/png|daemon/deflate)\\."
	owner["microhttpd.h"] = "^daemon/http[a-z_]*\\."
	owner["systemd/sd-daemon.h"] = "^daemon/systemd\\."
	owner["mpi.h"] = "^trainer/mpi\\."
	owner["gnutls/gnutls.h"] = "^daemon/"
}
FNR == 1 { n_files++; name[n_files] = FILENAME }
FNR <= 12 && match($0, /Floor [0-6]/) && !(FILENAME in floor) { floor[FILENAME] = substr($0, RSTART + 6, 1) + 0 }
/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
	target = $0
	sub(/^[^<"]*[<"]/, "", target); sub(/[>"].*/, "", target)
	n_includes++; from[n_includes] = FILENAME; to[n_includes] = target; line[n_includes] = FNR
	quoted[n_includes] = ($0 ~ /include[ \t]*"/)
}
END {
	for (i = 1; i <= n_files; i++) {
		file = name[i]; folder = own_folder(file)
		if (file in floor)
			continue
		header = file; sub(/\.c$/, ".h", header)
		if (file ~ /\.c$/ && header in floor)
			floor[file] = floor[header]
		else if (file ~ /\.h$/ && folder != "tests" && folder != "bench")
			{ complain(file ": the first comment does not say \"Floor N.\""); floor[file] = top[folder] }
		else
			floor[file] = top[folder]
	}
	for (i = 1; i <= n_includes; i++) {
		file = from[i]; folder = own_folder(file); place = file ":" line[i]
		if ((to[i] in owner) && folder != "tests" && file !~ owner[to[i]])
			complain(place ": <" to[i] "> belongs to " owner[to[i]] " alone")
		if (!quoted[i] || to[i] == "config.h")
			continue
		other = own_folder(to[i])
		if (!(other in top)) {
			complain(place ": \"" to[i] "\" is not a path from the top folder")
			continue
		}
		if (!(to[i] in floor))
			continue # made during the build, or missing: the compiler says so
		if (other != folder && other != "core" && folder != "tests" && folder != "bench")
			complain(place ": " folder "/ may not include \"" to[i] "\", another program")
		else if (floor[to[i]] > floor[file])
			complain(place ": floor " floor[file] " includes \"" to[i] "\" on floor " floor[to[i]])
		else if (floor[to[i]] == floor[file] && other != folder && folder != "tests" && folder != "bench")
			complain(place ": \"" to[i] "\" is on the same floor in another folder")
	}
	print n_files " files, " n_includes " includes looked at"
	exit failed
}' {core,trainer,cli,daemon,bench,tests}/**/*.[ch]
