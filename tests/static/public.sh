#!/bin/bash
# What is public has a caller in the product: every function and variable with external linkage is used by another
# object file than its own, and every name that a module of the page exports is imported by another. What only tests
# call is dead, unless it stands below with the reason why it is public all the same; benchmarks count as callers.
set -eu
cd "$top_builddir"
shopt -s nullglob globstar

declare -A reason=(
	# The pure half of something that reads or writes files: tests and fuzzers feed it bytes.
	[jf_checkpoint_load_buffer]="fuzzed"
	[jf_conf_parse]="fuzzed"
	[jf_dataset_parse_npy]="bytes of strangers, for a fuzzer"
	[jf_idx_parse]="fuzzed"
	[jf_npy_encode]="its bytes are compared with what numpy writes"
	[jf_safetensors_encode]="makes the files that tests then damage"
	# What a test must reach from outside, because the way through the public calls hides it.
	[jf_blas_better_core_type]="a table of processors that no one machine has"
	[jf_blas_restart]="tested on machines where it is never needed"
	[jf_metric_value]="what tests read counters by"
	[jf_model_self_test]="fails for a model in memory whose numbers overflow"
	[jf_scheduler_wait_idle]="how tests know that nothing is left to do"
	[jf_philox4x32]="published test vectors"
	# A set of calls that would be incomplete without it.
	[jf_familiarity_of]="one picture of jf_familiarity_of_all"
	[jf_conf_init]="configuration without a file"
	[jf_file_writer_abort]="open, write, commit or abort"
)

objects=(cli/*.o daemon/*.o trainer/main.o bench/*.o)
archives=()
for archive in *.a; do
	case $archive in
	libtest_*) ;;
	*) archives+=("$archive") ;;
	esac
done
failed=0
unused=$(nm -A -g "${archives[@]}" "${objects[@]}" 2>/dev/null | awk '
	NF < 3 { next }
	{ object = $1; sub(/:[0-9a-f]*$/, "", object); type = $(NF - 1); name = $NF }
	name !~ /^(jf|cli)_/ { next }
	type == "U" { used[name] = 1; next }
	type ~ /^[TDBRC]$/ { defined[name] = object }
	END { for (name in defined) if (!(name in used)) print name, defined[name] }' | sort)
n_defined=$(nm -g "${archives[@]}" "${objects[@]}" 2>/dev/null | awk 'NF > 2 && $(NF - 1) ~ /^[TDBRC]$/ && $NF ~ /^(jf|cli)_/ && !seen[$NF]++' | wc -l)
while read -r name object; do
	if [ -n "$name" ] && [ -z "${reason[$name]:-}" ]; then
		echo "$name ($object) is public, but nothing outside its own file calls it, save perhaps a test"
		failed=1
	fi
done <<< "$unused"
if [ "$n_defined" -lt 200 ]; then
	echo "only $n_defined public names found: are the libraries built?"
	failed=1
fi

cd "$top_srcdir"
n_exports=0
while IFS=: read -r file name; do
	n_exports=$((n_exports + 1))
	module=$(basename "$file")
	others=()
	for other in web/*.js; do
		[ "$other" = "$file" ] || others+=("$other")
	done
	# imported by name, or called on a tab's module (import * as about), as app.js does
	if ! cat "${others[@]}" | tr '\n' ' ' | grep -Eq "import \{[^}]*\b$name\b[^}]*\} from '\./$module'" &&
		! { grep -q "import \* as .* from './$module'" web/app.js && grep -Eq "\.$name\b" web/app.js; }; then
		echo "$file: exports $name, which no other module imports"
		failed=1
	fi
done < <(grep -oP '^export (async )?(const|let|function\*?|class) \K\w+' -H web/*.js)
echo "$n_defined public names, ${#reason[@]} of them for tests; $n_exports exports of the page looked at"
exit $failed
