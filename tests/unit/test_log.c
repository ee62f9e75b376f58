/* Lines of the log: one write each, in three shapes, and nothing that a client sends can break one. */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/json.h"
#include "daemon/service/log.h"

static int saved_stderr = -1, pipes[2];
static char text[65536];

static void capture(void) {
	assert_int_equal(pipe(pipes), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(pipes[1], STDERR_FILENO);
	close(pipes[1]);
}

static const char *captured(void) {
	size_t used = 0;
	ssize_t n;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	while ((n = read(pipes[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	close(pipes[0]);
	text[used] = '\0';
	return text;
}

static const struct jf_log_access nasty = {.request_id = "id\n\"x",
    .client = "10.0.0.1",
    .method = "GE\033T",
    .path = "/\r\n<3>forged \xff\\\"",
    .status = 404,
    .response_bytes = 12,
    .duration_ms = 1.5};

static void test_text(void **state) {
	(void)state;
	capture();
	jf_log_init(JF_LOG_INFO, JF_LOG_FORMAT_TEXT);
	jf_log(JF_LOG_WARNING, "abc", "a%sb", "\n\t");
	jf_log(JF_LOG_DEBUG, NULL, "held back");
	jf_log_request(&nasty);
	jf_log_set_access(false);
	jf_log_request(&nasty);
	jf_log_set_access(true);
	const char *said = captured();
	assert_non_null(strstr(said, "Z warning: a\\x0a\\x09b [abc]\n"));
	assert_null(strstr(said, "held back"));
	assert_non_null(strstr(said, "GE\\x1bT /\\x0d\\x0a<3>forged \\xff\\\" 404 12 B 1.5 ms [id\\x0a\"x]\n"));
	int lines = 0;
	for (const char *c = said; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 2);
	assert_true(jf_log_count(JF_LOG_WARNING) >= 1);
}

static void test_journal(void **state) {
	(void)state;
	capture();
	jf_log_init(JF_LOG_DEBUG, JF_LOG_FORMAT_JOURNAL);
	jf_log(JF_LOG_ERROR, NULL, "e");
	jf_log(JF_LOG_DEBUG, NULL, "d");
	assert_string_equal(captured(), "<3>e\n<7>d\n");
}

/* JOURNAL_STREAM decides only when it names our own standard error. */
static void test_auto(void **state) {
	char stream[64];
	struct stat status;
	(void)state;
	capture();
	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(
	    stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	jf_log_init(JF_LOG_INFO, JF_LOG_FORMAT_AUTO);
	jf_log(JF_LOG_INFO, NULL, "one");
	setenv("JOURNAL_STREAM", "1:2", 1);
	jf_log_init(JF_LOG_INFO, JF_LOG_FORMAT_AUTO);
	jf_log(JF_LOG_INFO, NULL, "two");
	unsetenv("JOURNAL_STREAM");
	const char *said = captured();
	assert_int_equal(strncmp(said, "<6>one\n2", 8), 0);
	assert_non_null(strstr(said, " info: two\n"));
}

/* Every line is an object of its own, whatever stands in it and however long it is. */
static void test_json(void **state) {
	char longest[5000];
	int lines = 0;
	(void)state;
	memset(longest, '"', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	struct jf_log_access long_one = nasty;
	long_one.path = long_one.method = long_one.client = long_one.request_id = longest;
	capture();
	jf_log_init(JF_LOG_INFO, JF_LOG_FORMAT_JSON);
	jf_log(JF_LOG_NOTICE, "id", "quote \" backslash \\ bell \a bytes \xc3\xa9");
	jf_log(JF_LOG_NOTICE, longest, "%s", longest);
	jf_log_request(&nasty);
	jf_log_request(&long_one);
	captured();
	for (char *line = text, *end; *line; line = end + 1, lines++) {
		struct jf_error error;
		end = strchr(line, '\n');
		assert_non_null(end);
		struct jf_json *value = jf_json_parse(line, (size_t)(end - line), 4, &error);
		if (!value)
			fail_msg("%s: %.*s", error.message, (int)(end - line), line);
		jf_json_free(value);
	}
	assert_int_equal(lines, 4);
}

/* A pipe that nobody reads: no call waits, what does not fit is counted, and the log says so when it goes on. */
static void test_blocked(void **state) {
	static char sink[1 << 20];
	unsigned long before = jf_log_dropped(), lost;
	size_t used = 0;
	(void)state;
	capture();
	jf_log_init(JF_LOG_INFO, JF_LOG_FORMAT_TEXT);
	alarm(120); /* where logging waits, this ends the test */
	for (int i = 0; i < 20000; i++)
		jf_log(JF_LOG_NOTICE, NULL, "line %d", i);
	lost = jf_log_dropped() - before;
	assert_true(lost > 0 && lost < 20000);
	int flags = fcntl(pipes[0], F_GETFL);
	fcntl(pipes[0], F_SETFL, flags | O_NONBLOCK);
	for (ssize_t n; (n = read(pipes[0], sink + used, sizeof(sink) - 1 - used)) > 0;)
		used += (size_t)n;
	fcntl(pipes[0], F_SETFL, flags);
	sink[used] = '\0';
	size_t lines = 0;
	for (const char *c = sink; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines + lost, 20000);
	jf_log(JF_LOG_NOTICE, NULL, "goes on");
	alarm(0);
	const char *said = captured();
	char wanted[64];
	snprintf(wanted, sizeof(wanted), " warning: %lu lines were dropped here", lost);
	assert_non_null(strstr(said, wanted));
	assert_non_null(strstr(said, " notice: goes on\n"));
	assert_int_equal(jf_log_dropped() - before, lost);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_journal),
	    cmocka_unit_test(test_auto),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_blocked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
