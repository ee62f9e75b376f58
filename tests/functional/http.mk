# The HTTP contract, against the real daemon over real sockets; part of the top Makefile.am.
TESTS += \
	tests/functional/http_access.py \
	tests/functional/http_api.py \
	tests/functional/http_clients.py \
	tests/functional/http_faults.py \
	tests/functional/http_load.py \
	tests/functional/http_malformed.py \
	tests/functional/same_answers.py
THREAD_TESTS += \
	tests/functional/http_access.py \
	tests/functional/http_faults.py \
	tests/functional/http_load.py
EXTRA_DIST += \
	tests/functional/http_access.py \
	tests/functional/http_api.py \
	tests/functional/http_clients.py \
	tests/functional/http_faults.py \
	tests/functional/http_load.py \
	tests/functional/http_malformed.py \
	tests/functional/jf.py \
	tests/functional/same_answers.py
