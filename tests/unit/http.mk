# Unit tests of the HTTP side; part of the top Makefile.am.
if CMOCKA
check_PROGRAMS += tests/unit/test_http_parts
TESTS += tests/unit/test_http_parts
tests_unit_test_http_parts_LDADD = $(HTTP_LIBS) $(SERVICE_LIBS) $(CMOCKA_LIBS)
endif
