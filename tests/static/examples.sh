#!/bin/bash
# The examples of etc/examples are accepted by the programs they are for, and name only metrics that exist.
set -u
cd "$top_srcdir"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
. tests/tap.sh
PATH=$PATH:/usr/sbin:/sbin

# accepts NAME TOOL COMMAND...
accepts() {
	local name=$1 tool=$2
	shift 2
	if command -v "$tool" >/dev/null; then
		check "$name" "$@"
	else
		ok "$name # SKIP $tool is not installed"
	fi
}

cp etc/examples/prometheus-*.yml tests/static/prometheus-rules-test.yml "$scratch"
accepts "prometheus: scrape configuration" promtool promtool check config "$scratch/prometheus-scrape.yml"
accepts "prometheus: alert rules" promtool promtool check rules "$scratch/prometheus-rules.yml"
accepts "prometheus: alerts fire when they should" promtool promtool test rules "$scratch/prometheus-rules-test.yml"

accepts "haproxy: configuration" haproxy haproxy -c -f etc/examples/haproxy.cfg

nginx_check() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=jointflow.example.org -keyout "$scratch/privkey.pem" \
		-out "$scratch/fullchain.pem" 2>/dev/null || return 1
	{
		echo "pid $scratch/nginx.pid; error_log stderr; events {}"
		echo "http { access_log off;"
		for kind in client_body proxy fastcgi uwsgi scgi; do
			echo "${kind}_temp_path $scratch/$kind;"
		done
		sed "s|/etc/ssl/jointflow|$scratch|; s|listen 80|listen 127.0.0.1:65080|; s|listen 443|listen 127.0.0.1:65443|
			/listen \[::\]/d" etc/examples/nginx.conf
		echo "}"
	} >"$scratch/nginx.conf"
	nginx -t -c "$scratch/nginx.conf"
}
accepts "nginx: configuration" nginx nginx_check

metrics_exist() {
	local name status=0
	for name in $(grep -ohE 'jointflow_[a-z0-9_]+' etc/examples/prometheus-rules.yml etc/examples/grafana-dashboard.json |
		sed -E 's/_(bucket|sum|count)$//' | sort -u); do
		if ! grep -q "\"$name\"" daemon/service/metrics.h; then
			echo "$name is not in daemon/service/metrics.h"
			status=1
		fi
	done
	return $status
}
accepts "rules and dashboard name metrics that exist" grep metrics_exist
accepts "grafana: dashboard is JSON with a query in every panel" /usr/bin/python3 /usr/bin/python3 -c '
import json, sys
board = json.load(open("etc/examples/grafana-dashboard.json"))
ids = [panel["id"] for panel in board["panels"]]
assert len(ids) == len(set(ids)) and len(ids) > 10
assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])'

# The arguments that the container and cluster examples give the daemon; files they mount are replaced by ours.
arguments_accepted() {
	local file arguments status=0
	echo sesame-open-the-door-now >"$scratch/keys"
	for file in packaging/container/Containerfile packaging/kubernetes/jointflow.yaml packaging/kubernetes/kserve.yaml; do
		mapfile -t arguments < <(sed '/^#/d; s/ #.*//' "$file" | grep -vE '^(RUN|COPY|	)|configure' | grep -oE -- '--[a-z-]+=[^", ]*' |
			grep -v -- '--model=' | sed "s|--key-file=.*|--key-file=$scratch/keys|")
		"$top_builddir/jointflowd" --config=/dev/null --model="$PWD/models/mnist.safetensors" --check-config "${arguments[@]}" || {
			echo "$file: ${arguments[*]}"
			status=1
		}
		[ ${#arguments[@]} -ge 4 ] || { echo "$file: ${#arguments[@]} arguments found"; status=1; }
	done
	return $status
}
accepts "containers: jointflowd accepts the arguments" "$top_builddir/jointflowd" arguments_accepted
finish
