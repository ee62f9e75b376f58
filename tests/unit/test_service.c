/* The service manager's protocols over real sockets, and the listeners. */
#include "config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/service/listen.h"
#include "daemon/service/process.h"
#include "daemon/service/service.h"

/* In a build --without-systemd nobody is told anything and no socket is passed. */
#ifdef JF_HAVE_SYSTEMD
#define NEEDS_SYSTEMD() (void)0
#else
#define NEEDS_SYSTEMD() skip()
#endif

static char folder[] = "/tmp/jf_service_XXXXXX";

/* A datagram socket as the service manager has one; *name: what NOTIFY_SOCKET says. */
static int manager_socket(char *name, size_t size, bool abstract) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = 60};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (abstract)
		snprintf(name, size, "@jf-test-%ld", (long)getpid());
	else
		snprintf(name, size, "%s/notify", folder);
	size_t length = strlen(name);
	memcpy(address.sun_path, name, length);
	if (abstract)
		address.sun_path[0] = '\0';
	assert_int_equal(
	    bind(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
	    0);
	return fd;
}

static void expect_message(int fd, const char *expected) {
	char text[2048];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void test_messages(void **state) {
	NEEDS_SYSTEMD();
	char name[64], expected[200];
	(void)state;
	for (int abstract = 0; abstract < 2; abstract++) {
		int fd = manager_socket(name, sizeof(name), abstract);
		setenv("NOTIFY_SOCKET", name, 1);
		assert_int_equal(jf_service_ready("serving x"), JF_OK);
		snprintf(expected, sizeof(expected), "READY=1\nSTATUS=serving x\nMAINPID=%ld", (long)getpid());
		expect_message(fd, expected);
		assert_int_equal(jf_service_status("%d jobs", 7), JF_OK);
		expect_message(fd, "STATUS=7 jobs");
		assert_int_equal(jf_service_stopping("bye"), JF_OK);
		expect_message(fd, "STOPPING=1\nSTATUS=bye");
		assert_int_equal(jf_service_watchdog(), JF_OK);
		expect_message(fd, "WATCHDOG=1");
		close(fd);
		if (!abstract)
			unlink(name);
	}
	unsetenv("NOTIFY_SOCKET");
}

/* RELOADING=1 and the time stand in one datagram, and the time is now on CLOCK_MONOTONIC. */
static void test_reloading(void **state) {
	NEEDS_SYSTEMD();
	char name[64], text[512];
	struct timespec before, after;
	(void)state;
	int fd = manager_socket(name, sizeof(name), false);
	setenv("NOTIFY_SOCKET", name, 1);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(jf_service_reloading("again"), JF_OK);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	long long stamp = 0;
	assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=again", &stamp), 1);
	assert_true(stamp >= (long long)before.tv_sec * 1000000 + before.tv_nsec / 1000);
	assert_true(stamp <= (long long)after.tv_sec * 1000000 + after.tv_nsec / 1000);
	jf_service_flush(60000);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), -1); /* nothing else came */
	close(fd);
	unlink(name);
	unsetenv("NOTIFY_SOCKET");
}

/* A manager whose socket is full: the watchdog is not waited for. */
static void test_manager_that_does_not_read(void **state) {
	NEEDS_SYSTEMD();
	char name[64];
	int n = 0;
	(void)state;
	int fd = manager_socket(name, sizeof(name), false);
	setenv("NOTIFY_SOCKET", name, 1);
	while (n < 100000 && jf_service_watchdog() == JF_OK)
		n++;
	assert_in_range(n, 1, 99999);
	assert_int_equal(jf_service_status("full"), JF_EIO);
	for (int i = 0; i < n; i++)
		expect_message(fd, "WATCHDOG=1");
	jf_service_flush(60000);
	assert_int_equal(jf_service_watchdog(), JF_OK);
	expect_message(fd, "WATCHDOG=1");
	close(fd);
	unlink(name);
	unsetenv("NOTIFY_SOCKET");
}

/* Nobody there is no failure of ours, but it is said, once. */
static void test_without_systemd(void **state) {
	int fds[4];
	struct jf_error err = {0};
	(void)state;
#ifdef JF_HAVE_SYSTEMD
	skip();
#endif
	setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
	setenv("WATCHDOG_USEC", "1000000", 1);
	setenv("LISTEN_FDS", "many", 1);
	assert_int_equal(jf_service_ready("x"), JF_OK);
	assert_int_equal(jf_service_reloading("x"), JF_OK);
	jf_service_flush(60000);
	assert_int_equal(jf_service_watchdog_interval_ms(), 0);
	assert_int_equal(jf_service_listen_fds(fds, 4, &err), 0);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("LISTEN_FDS");
}

static void test_no_manager(void **state) {
	NEEDS_SYSTEMD();
	char path[64], text[1024];
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(jf_service_ready("x"), JF_OK);
	snprintf(path, sizeof(path), "%s/log", folder);
	int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600), kept = dup(STDERR_FILENO);
	assert_true(file >= 0 && kept >= 0);
	dup2(file, STDERR_FILENO);
	setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
	assert_int_equal(jf_service_ready("x"), JF_OK);
	assert_int_equal(jf_service_ready("x"), JF_OK);
	jf_service_flush(60000);
	dup2(kept, STDERR_FILENO);
	close(kept);
	ssize_t n = pread(file, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	const char *said = strstr(text, "cannot tell the service manager");
	assert_non_null(said);
	assert_null(strstr(said + 1, "cannot tell the service manager"));
	close(file);
	unlink(path);
	unsetenv("NOTIFY_SOCKET");
}

static void test_watchdog_interval(void **state) {
	NEEDS_SYSTEMD();
	static const struct {
		const char *usec;
		int pid; /* 0: unset, 1: ours, 2: another's */
		int ms;
	} cases[] = {{NULL, 0, 0}, {"20000000", 0, 10000}, {"20000000", 1, 10000}, {"20000000", 2, 0}, {"0", 0, 0},
	    {"-5", 0, 0}, {"soon", 0, 0}, {"3000x", 0, 0}, {"100", 0, 1}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char pid[32];
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (cases[i].usec)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		snprintf(pid, sizeof(pid), "%ld", (long)getpid() + (cases[i].pid == 2));
		if (cases[i].pid)
			setenv("WATCHDOG_PID", pid, 1);
		assert_int_equal(jf_service_watchdog_interval_ms(), cases[i].ms);
	}
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static int tcp_listener(const char *address) {
	struct sockaddr_in name = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	inet_pton(AF_INET, address, &name.sin_addr);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&name, sizeof(name)) != 0 || listen(fd, 5) != 0)
		return -1;
	return fd;
}

static int unix_listener(const char *path) {
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memcpy(name.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&name, sizeof(name)) != 0 || listen(fd, 5) != 0)
		return -1;
	return fd;
}

/* In a child, since descriptors from 3 on are taken; what the service manager passes. Exit status 0: as expected. */
static int passed_in_child(
    const char *first_address, bool with_unix, const char *count, enum jf_err expected, const char *part) {
	char path[64];
	snprintf(path, sizeof(path), "%s/http", folder);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		struct jf_conf conf;
		struct jf_listeners listeners;
		struct jf_error error = {.code = JF_OK};
		char pid[32];
		int tcp = first_address ? tcp_listener(first_address) : open("/dev/null", O_RDONLY);
		int local = with_unix ? unix_listener(path) : -1;
		int spare = fcntl(tcp, F_DUPFD, 20), spare_local = local >= 0 ? fcntl(local, F_DUPFD, 20) : -1;
		dup2(spare, 3);
		if (spare_local >= 0)
			dup2(spare_local, 4);
		snprintf(pid, sizeof(pid), "%ld", (long)getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", count, 1);
		if (jf_conf_init(&conf, &error) != JF_OK || tcp < 0)
			_exit(90);
		enum jf_err rc = jf_listen_open(&listeners, &conf, &error);
		if (rc != expected)
			_exit(91);
		if (part && !strstr(error.message, part))
			_exit(92);
		if (rc == JF_OK) {
			if (listeners.n != 1 + with_unix || !listeners.item[0].passed || listeners.item[0].port == 0)
				_exit(93);
			if (!(fcntl(3, F_GETFD) & FD_CLOEXEC) || !(fcntl(3, F_GETFL) & O_NONBLOCK))
				_exit(94);
			if (with_unix && (!listeners.item[1].is_unix || !strstr(listeners.item[1].name, path)))
				_exit(95);
			jf_listen_close(&listeners, &conf);
			if (with_unix && access(path, F_OK) != 0)
				_exit(96); /* the manager's file is not ours to remove */
		}
		_exit(0);
	}
	int status = -1;
	waitpid(child, &status, 0);
	unlink(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void test_socket_activation(void **state) {
	NEEDS_SYSTEMD();
	(void)state;
	assert_int_equal(passed_in_child("127.0.0.1", false, "1", JF_OK, NULL), 0);
	assert_int_equal(passed_in_child("127.0.0.1", true, "2", JF_OK, NULL), 0);
	assert_int_equal(passed_in_child("0.0.0.0", false, "1", JF_EINVAL, "other machines can reach"), 0);
	assert_int_equal(passed_in_child(NULL, false, "1", JF_EINVAL, "not a listening socket"), 0);
	assert_int_equal(passed_in_child("127.0.0.1", false, "one", JF_EINVAL, "not a number"), 0);
	assert_int_equal(passed_in_child("127.0.0.1", false, "99", JF_ELIMIT, "99 sockets"), 0);
}

static void test_listen(void **state) {
	struct jf_conf conf;
	struct jf_listeners listeners, second;
	struct jf_error error;
	char path[64], port[16];
	struct stat status;
	(void)state;
	unsetenv("LISTEN_PID");
	snprintf(path, sizeof(path), "%s/own", folder);
	assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
	assert_int_equal(jf_conf_set(&conf, "listen_port", "0", &error), JF_OK);
	assert_int_equal(jf_conf_set(&conf, "listen_path", path, &error), JF_OK);
	close(unix_listener(path)); /* what a killed daemon leaves behind */
	assert_int_equal(jf_listen_open(&listeners, &conf, &error), JF_OK);
	assert_int_equal(listeners.n, 2);
	assert_true(listeners.item[0].port > 0);
	assert_false(listeners.item[0].open);
	assert_int_equal(stat(path, &status), 0);

	/* the same port and path once more: refused, and the first one's file stays */
	snprintf(port, sizeof(port), "%d", listeners.item[0].port);
	assert_int_equal(jf_conf_set(&conf, "listen_port", port, &error), JF_OK);
	assert_int_equal(jf_listen_open(&second, &conf, &error), JF_EIO);
	assert_non_null(strstr(error.message, port));
	assert_int_equal(jf_conf_set(&conf, "listen_address", "", &error), JF_OK);
	assert_int_equal(jf_listen_open(&second, &conf, &error), JF_EIO);
	assert_int_equal(stat(path, &status), 0);

	jf_listen_close(&listeners, &conf);
	assert_int_equal(stat(path, &status), -1);
	assert_int_equal(jf_conf_set(&conf, "listen_path", "", &error), JF_OK);
	assert_int_equal(jf_listen_open(&listeners, &conf, &error), JF_EINVAL);
	jf_conf_deinit(&conf);
}

static int dial(const char *text, int port) {
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	bool is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
	int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
	if (!is_v4)
		inet_pton(AF_INET6, text, &v6.sin6_addr);
	int rc = is_v4 ? connect(fd, (const struct sockaddr *)&v4, sizeof(v4))
		       : connect(fd, (const struct sockaddr *)&v6, sizeof(v6));
	close(fd);
	return rc;
}

static bool has_ipv6(void) {
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

/* Several addresses; :: with and without IPv4; a socket file that everybody may connect to. */
static void test_addresses(void **state) {
	static const struct {
		const char *list, *only;
		int n;
		bool dual; /* the first takes IPv4 as well */
	} cases[] = {
	    {"::", "no", 1, true},
	    {"::", "yes", 1, false},
	    {"::,127.0.0.1", "no", 2, false},
	    {"127.0.0.1,127.0.0.2,::1", "no", 3, true},
	};
	struct jf_listeners listeners;
	struct jf_error error;
	struct jf_conf conf;
	struct stat status;
	char path[64];
	(void)state;
	snprintf(path, sizeof(path), "%s/open", folder);
	assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
	assert_int_equal(jf_conf_set(&conf, "listen_port", "0", &error), JF_OK);
	for (size_t i = has_ipv6() ? 0 : sizeof(cases) / sizeof(cases[0]); i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(jf_conf_set(&conf, "listen_address", cases[i].list, &error), JF_OK);
		assert_int_equal(jf_conf_set(&conf, "listen_ipv6_only", cases[i].only, &error), JF_OK);
		assert_int_equal(jf_listen_open(&listeners, &conf, &error), JF_OK);
		assert_int_equal(listeners.n, cases[i].n);
		assert_int_equal(dial("127.0.0.1", listeners.item[0].port) == 0, cases[i].dual);
		assert_int_equal(listeners.item[0].open, cases[i].list[1] == ':');
		jf_listen_close(&listeners, &conf);
	}
	mode_t before = umask(077);
	assert_int_equal(jf_conf_set(&conf, "listen_address", "127.0.0.1,127.0.0.2", &error), JF_OK);
	assert_int_equal(jf_conf_set(&conf, "listen_path", path, &error), JF_OK);
	assert_int_equal(jf_listen_open(&listeners, &conf, &error), JF_OK);
	umask(before);
	assert_int_equal(listeners.n, 3);
	assert_int_equal(dial("127.0.0.2", listeners.item[1].port), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0666);
	jf_listen_close(&listeners, &conf);
	jf_conf_deinit(&conf);
}

/* Writes a file below folder, making the folders on the way. */
static void put(const char *name, const char *text) {
	char command[400];
	snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s/%s')\" && printf %%b '%s' >'%s/%s'", folder, name,
	    text, folder, name);
	assert_int_equal(system(command), 0);
}

static void test_cpus(void **state) {
	char command[100];
	int all = jf_process_cpus("/nonexistent");
	(void)state;
	assert_true(all >= 1 && jf_process_cpus("") >= 1);
	/* version 2: the smallest on the way up counts, rounded up */
	put("two/proc/self/cgroup", "0::/a/b\\n");
	snprintf(command, sizeof(command), "%s/two", folder);
	assert_int_equal(jf_process_cpus(command), all);
	put("two/sys/fs/cgroup/a/b/cpu.max", "max 100000\\n");
	assert_int_equal(jf_process_cpus(command), all);
	put("two/sys/fs/cgroup/a/cpu.max", "20000 100000\\n");
	assert_int_equal(jf_process_cpus(command), 1);
	put("two/sys/fs/cgroup/a/cpu.max", "6400000 100000\\n");
	assert_int_equal(jf_process_cpus(command), all < 64 ? all : 64);
	put("two/sys/fs/cgroup/cpu.max", "150000 100000\\n"); /* as in a container that sees itself as the root */
	assert_int_equal(jf_process_cpus(command), all < 2 ? all : 2);
	/* version 1 */
	put("one/proc/self/cgroup", "4:memory:/m\\n3:cpu,cpuacct:/x\\n2:cpuset:/y\\n");
	put("one/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "50000\\n");
	put("one/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\\n");
	put("one/sys/fs/cgroup/cpuset/y/cpu.cfs_quota_us", "10\\n"); /* another hierarchy's, which does not count */
	put("one/sys/fs/cgroup/cpuset/y/cpu.cfs_period_us", "50000\\n");
	snprintf(command, sizeof(command), "%s/one", folder);
	assert_int_equal(jf_process_cpus(command), all);
	put("one/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\\n");
	assert_int_equal(jf_process_cpus(command), 1);
	snprintf(command, sizeof(command), "rm -r %s/one %s/two", folder, folder);
	assert_int_equal(system(command), 0);
}

static void test_credential(void **state) {
	char path[128], file[64];
	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_false(jf_service_credential(path, sizeof(path), "keys"));
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	assert_false(jf_service_credential(path, sizeof(path), "keys"));
	snprintf(file, sizeof(file), "%s/keys", folder);
	FILE *out = fopen(file, "w");
	assert_non_null(out);
	fclose(out);
	assert_true(jf_service_credential(path, sizeof(path), "keys"));
	assert_string_equal(path, file);
	assert_false(jf_service_credential(path, sizeof(path), "../keys"));
	assert_true(jf_service_is_credential(path));
	assert_false(jf_service_is_credential(""));
	assert_false(jf_service_is_credential(folder));
	assert_false(jf_service_is_credential("/etc/jointflow/keys"));
	unlink(file);
	unsetenv("CREDENTIALS_DIRECTORY");
}

static int make_folder(void **state) {
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
	(void)state;
	return rmdir(folder);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_reloading),
	    cmocka_unit_test(test_manager_that_does_not_read),
	    cmocka_unit_test(test_without_systemd),
	    cmocka_unit_test(test_no_manager),
	    cmocka_unit_test(test_watchdog_interval),
	    cmocka_unit_test(test_socket_activation),
	    cmocka_unit_test(test_listen),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_cpus),
	    cmocka_unit_test(test_credential),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
