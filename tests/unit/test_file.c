/* Whole-file reading with limits; atomic writing: the old file survives every failure. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"

static char folder[64];
static char target[96];
static char temporary[96];

static int setup(void **state) {
	(void)state;
	strcpy(folder, "/tmp/jf-file-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(target, sizeof(target), "%s/out.bin", folder);
	snprintf(temporary, sizeof(temporary), "%s/.out.bin.tmp", folder);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	unlink(target);
	unlink(temporary);
	return rmdir(folder); /* fails when anything was left behind */
}

static void assert_content(const char *path, const char *expected) {
	struct jf_error err = {0};
	uint8_t *data;
	size_t size;

	assert_int_equal(jf_file_read(&data, &size, path, 1 << 20, &err), JF_OK);
	assert_int_equal(size, strlen(expected));
	assert_string_equal((char *)data, expected); /* a NUL follows */
	free(data);
}

static void test_write_and_read(void **state) {
	struct jf_error err = {0};
	struct stat status;

	(void)state;
	assert_int_equal(jf_file_write(target, "first", 5, &err), JF_OK);
	assert_content(target, "first");
	assert_int_equal(chmod(target, 0640), 0);
	assert_int_equal(jf_file_write(target, "second, longer", 14, &err), JF_OK);
	assert_content(target, "second, longer");
	assert_int_equal(stat(target, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640); /* kept */
	assert_int_equal(jf_file_write(target, "", 0, &err), JF_OK);
	assert_content(target, "");
	assert_int_equal(access(temporary, F_OK), -1);
}

static void test_read_limits(void **state) {
	struct jf_error err = {0};
	uint8_t *data;
	size_t size;
	int pipes[2];
	char pipe_path[32];

	(void)state;
	assert_int_equal(jf_file_write(target, "12345", 5, &err), JF_OK);
	assert_int_equal(jf_file_read(&data, &size, target, 5, &err), JF_OK);
	free(data);
	assert_int_equal(jf_file_read(&data, &size, target, 4, &err), JF_ELIMIT);
	assert_null(data);
	assert_non_null(strstr(err.message, target));
	assert_int_equal(jf_file_read(&data, &size, folder, 100, &err), JF_EIO);
	assert_non_null(strstr(err.message, "is a folder"));
	assert_int_equal(jf_file_read(&data, &size, temporary, 100, &err), JF_EIO);
	assert_non_null(strstr(err.message, "No such file"));
	/* A pipe has no size: the limit holds all the same. */
	for (size_t limit = 4; limit <= 5; limit++) {
		assert_int_equal(pipe(pipes), 0);
		assert_int_equal(write(pipes[1], "12345", 5), 5);
		close(pipes[1]);
		snprintf(pipe_path, sizeof(pipe_path), "/dev/fd/%d", pipes[0]);
		assert_int_equal(jf_file_read(&data, &size, pipe_path, limit, &err), limit == 4 ? JF_ELIMIT : JF_OK);
		assert_int_equal(size, limit == 4 ? 0 : 5);
		free(data);
		close(pipes[0]);
	}
}

static void test_abort_and_leftover(void **state) {
	struct jf_error err = {0};
	struct jf_file_writer *writer, *second;
	FILE *stale;

	(void)state;
	assert_int_equal(jf_file_write(target, "old", 3, &err), JF_OK);
	writer = jf_file_writer_open(target, &err);
	assert_non_null(writer);
	assert_int_equal(jf_file_writer_write(writer, "new", 3), JF_OK);
	assert_content(target, "old");
	/* Two at a time: the second is told. */
	second = jf_file_writer_open(target, &err);
	assert_null(second);
	assert_non_null(strstr(err.message, "another process"));
	jf_file_writer_abort(writer);
	assert_content(target, "old");
	assert_int_equal(access(temporary, F_OK), -1);
	/* What a killed process left is used again. */
	stale = fopen(temporary, "w");
	fputs("left over by a process that was killed", stale);
	fclose(stale);
	assert_int_equal(jf_file_write(target, "new", 3, &err), JF_OK);
	assert_content(target, "new");
	assert_int_equal(access(temporary, F_OK), -1);
	jf_file_writer_abort(NULL);
}

static void test_no_space(void **state) {
	struct jf_error err = {0};
	struct rlimit old, small;
	struct jf_file_writer *writer;
	static char big[8192];

	(void)state;
	assert_int_equal(jf_file_write(target, "old", 3, &err), JF_OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 4096;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	writer = jf_file_writer_open(target, &err);
	assert_non_null(writer);
	assert_int_equal(jf_file_writer_write(writer, big, sizeof(big)), JF_EIO);
	assert_int_equal(jf_file_writer_write(writer, big, 1), JF_EIO); /* sticky */
	assert_int_equal(jf_file_writer_commit(writer, &err), JF_EIO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_non_null(strstr(err.message, target));
	assert_non_null(strstr(err.message, "File too large"));
	assert_content(target, "old");
	assert_int_equal(access(temporary, F_OK), -1);
	/* A device is written directly; this one is always full. */
	assert_int_equal(jf_file_write("/dev/full", "x", 1, &err), JF_EIO);
	assert_string_equal(err.message, "/dev/full: cannot write: No space left on device");
}

static void test_odd_targets(void **state) {
	struct jf_error err = {0};
	char path[160], link_path[160];

	(void)state;
	assert_int_equal(jf_file_write("/dev/null", "x", 1, &err), JF_OK);
	assert_int_equal(jf_file_write(folder, "x", 1, &err), JF_EIO);
	assert_non_null(strstr(err.message, "is a folder"));
	snprintf(path, sizeof(path), "%s/missing/out.bin", folder);
	assert_int_equal(jf_file_write(path, "x", 1, &err), JF_EIO);
	assert_non_null(strstr(err.message, "No such file"));
	/* Through a symbolic link: the file that it leads to changes, the link stays. */
	snprintf(link_path, sizeof(link_path), "%s/link", folder);
	assert_int_equal(jf_file_write(target, "old", 3, &err), JF_OK);
	assert_int_equal(symlink("out.bin", link_path), 0);
	assert_int_equal(jf_file_write(link_path, "new", 3, &err), JF_OK);
	assert_content(target, "new");
	assert_int_equal(unlink(link_path), 0);
	/* The temporary name leads elsewhere: refused, and what it leads to is not touched. */
	assert_int_equal(symlink(target, temporary), 0);
	assert_int_equal(jf_file_write(target, "evil", 4, &err), JF_EIO);
	assert_content(target, "new");
}

/* Killed at a random moment: the target is the old or a new one, whole. */
static void test_kill(void **state) {
	static char content[1 << 16];
	struct jf_error err = {0};
	uint8_t *data;
	size_t size;

	(void)state;
	memset(content, '0', sizeof(content));
	assert_int_equal(jf_file_write(target, content, sizeof(content), &err), JF_OK);
	for (int round = 0; round < 20; round++) {
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			for (;;) {
				memset(content, content[0] == '9' ? '0' : content[0] + 1, sizeof(content));
				if (jf_file_write(target, content, sizeof(content), NULL))
					_exit(1);
			}
		usleep((useconds_t)(500 * round));
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(jf_file_read(&data, &size, target, 1 << 20, &err), JF_OK);
		assert_int_equal(size, sizeof(content));
		for (size_t i = 1; i < size; i++)
			assert_int_equal(data[i], data[0]);
		free(data);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_write_and_read, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_read_limits, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_abort_and_leftover, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_odd_targets, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
