# etc: part of the top Makefile.am

# Examples for reverse proxies and monitoring; tests/static/examples.sh checks them.
examplesdir = $(docdir)/examples
dist_examples_DATA = \
	etc/examples/grafana-dashboard.json \
	etc/examples/haproxy.cfg \
	etc/examples/nginx.conf \
	etc/examples/prometheus-rules.yml \
	etc/examples/prometheus-scrape.yml
