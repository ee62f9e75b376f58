# Unit tests of what is below HTTP in the daemon; part of the top Makefile.am.
if CMOCKA
DAEMON_UNIT_TESTS = \
	tests/unit/test_conf \
	tests/unit/test_daemon_metrics \
	tests/unit/test_errands \
	tests/unit/test_log \
	tests/unit/test_model_holder \
	tests/unit/test_queue \
	tests/unit/test_scheduler \
	tests/unit/test_service
check_PROGRAMS += $(DAEMON_UNIT_TESTS)
TESTS += $(DAEMON_UNIT_TESTS)
THREAD_TESTS += \
	tests/unit/test_daemon_metrics \
	tests/unit/test_errands \
	tests/unit/test_model_holder \
	tests/unit/test_scheduler

DAEMON_UNIT_LDADD = $(SERVICE_LIBS) $(CMOCKA_LIBS)
tests_unit_test_conf_LDADD = $(DAEMON_UNIT_LDADD)
tests_unit_test_daemon_metrics_LDADD = $(DAEMON_UNIT_LDADD)
tests_unit_test_errands_LDADD = $(DAEMON_UNIT_LDADD)
tests_unit_test_log_LDADD = $(DAEMON_UNIT_LDADD)
tests_unit_test_model_holder_SOURCES = tests/unit/test_model_holder.c tests/unit/small_model.h
tests_unit_test_model_holder_LDADD = $(DAEMON_UNIT_LDADD)
tests_unit_test_queue_SOURCES = tests/unit/test_queue.c tests/unit/small_model.h
tests_unit_test_queue_LDADD = $(DAEMON_UNIT_LDADD)
tests_unit_test_scheduler_SOURCES = tests/unit/test_scheduler.c tests/unit/small_model.h
tests_unit_test_scheduler_LDADD = $(DAEMON_UNIT_LDADD)
tests_unit_test_service_LDADD = $(DAEMON_UNIT_LDADD)
endif
