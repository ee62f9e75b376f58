#include "config.h"

#include "daemon/service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef JF_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "core/base/clock.h"
#include "core/base/file.h"
#include "daemon/service/log.h"

#define MAX_WAITING 16 /* messages; a manager that does not read must not cost memory */
#define MAX_TEXT 1024

#ifdef JF_HAVE_SYSTEMD

/* --- notifications: sd_notify waits for a manager that does not read, so it has a thread of its own --- */

static struct {
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	bool started, complained;
	int first, n; /* messages from text[first] on, wrapping; the first stays until it has been sent */
	char text[MAX_WAITING][MAX_TEXT];
} outbox = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *send_all(void *unused) {
	pthread_setname_np(pthread_self(), "jf-notify");
	pthread_mutex_lock(&outbox.lock);
	for (;;) {
		while (outbox.n == 0)
			pthread_cond_wait(&outbox.changed, &outbox.lock);
		const char *text = outbox.text[outbox.first];
		pthread_mutex_unlock(&outbox.lock);
		int code = sd_notify(0, text);
		pthread_mutex_lock(&outbox.lock);
		if (code < 0 && !outbox.complained)
			jf_log(JF_LOG_WARNING, NULL, "cannot tell the service manager anything: %s", strerror(-code));
		outbox.complained = code < 0;
		outbox.first = (outbox.first + 1) % MAX_WAITING;
		outbox.n--;
		pthread_cond_broadcast(&outbox.changed);
	}
	return unused;
}

/* Lock held. */
static bool start_sender(void) {
	pthread_t thread;
	if (!outbox.started && pthread_create(&thread, NULL, send_all, NULL) == 0) {
		pthread_detach(thread);
		outbox.started = true;
	}
	return outbox.started;
}

__attribute__((format(printf, 1, 2))) static enum jf_err notify(const char *format, ...) {
	const char *path = getenv("NOTIFY_SOCKET");
	enum jf_err rc = JF_EIO;
	va_list arguments;
	if (!path || !*path)
		return JF_OK;
	pthread_mutex_lock(&outbox.lock);
	if (outbox.n < MAX_WAITING && start_sender()) {
		va_start(arguments, format);
		vsnprintf(outbox.text[(outbox.first + outbox.n) % MAX_WAITING], MAX_TEXT, format, arguments);
		va_end(arguments);
		outbox.n++;
		pthread_cond_broadcast(&outbox.changed);
		rc = JF_OK;
	}
	pthread_mutex_unlock(&outbox.lock);
	return rc;
}

void jf_service_flush(int timeout_ms) {
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&outbox.lock);
	while (outbox.n > 0 && pthread_cond_timedwait(&outbox.changed, &outbox.lock, &until) == 0)
		;
	pthread_mutex_unlock(&outbox.lock);
}

int jf_service_watchdog_interval_ms(void) {
	uint64_t microseconds = 0;
	if (sd_watchdog_enabled(0, &microseconds) <= 0)
		return 0;
	uint64_t half_ms = microseconds / 2000;
	return half_ms < 1 ? 1 : half_ms > 3600000 ? 3600000 : (int)half_ms;
}

/* --- passed sockets --- */

static enum jf_err take_passed_fd(int fd, struct jf_error *err) {
	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
		return jf_error_set(
		    err, JF_EINVAL, "descriptor %d from the service manager is not a listening socket for streams", fd);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return jf_error_set(err, JF_EIO, "descriptor %d: %s", fd, strerror(errno));
	return JF_OK;
}

static int refuse_passed(int code, int max, struct jf_error *err) {
	const char *text = getenv("LISTEN_FDS") ? getenv("LISTEN_FDS") : "";
	long n = strtol(text, NULL, 10);
	if (n > max)
		jf_error_set(err, JF_ELIMIT, "the service manager passed %ld sockets, at most %d are taken", n, max);
	else if (code == -EINVAL)
		jf_error_set(err, JF_EINVAL, "LISTEN_FDS is not a number: '%.40s'", text);
	else
		jf_error_set(err, JF_EIO, "LISTEN_FDS is %ld: %s", n, strerror(-code));
	return -1;
}

int jf_service_listen_fds(int *fds, int max, struct jf_error *err) {
	int n = sd_listen_fds(0);
	if (n < 0 || n > max)
		return refuse_passed(n, max, err);
	for (int i = 0; i < n; i++) {
		fds[i] = SD_LISTEN_FDS_START + i;
		if (take_passed_fd(fds[i], err) != JF_OK)
			return -1;
	}
	return n;
}

#else /* built without libsystemd: nobody is told anything, and no socket is passed */

__attribute__((format(printf, 1, 2))) static enum jf_err notify(const char *format, ...) {
	(void)format;
	return JF_OK;
}

void jf_service_flush(int timeout_ms) {
	(void)timeout_ms;
}

int jf_service_watchdog_interval_ms(void) {
	return 0;
}

int jf_service_listen_fds(int *fds, int max, struct jf_error *err) {
	(void)fds;
	(void)max;
	(void)err;
	return 0;
}

#endif

/* --- what is said --- */

enum jf_err jf_service_status(const char *format, ...) {
	char text[MAX_TEXT];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return notify("STATUS=%s", text);
}

enum jf_err jf_service_ready(const char *status) {
	return notify("READY=1\nSTATUS=%s\nMAINPID=%ld", status, (long)getpid());
}

enum jf_err jf_service_reloading(const char *status) {
	/* Type=notify-reload wants both in one datagram. */
	return notify("RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=%s", (long long)(jf_clock_ns() / 1000), status);
}

void jf_service_reloaded(bool good) {
	static unsigned count;
	const char *folder = getenv("RUNTIME_DIRECTORY"); /* perhaps several, by colons */
	struct jf_error err = {.code = JF_OK};
	char path[512], text[32];
	if (!folder || !*folder)
		return;
	int n = snprintf(path, sizeof(path), "%.*s/reloaded", (int)strcspn(folder, ":"), folder);
	if (n < 0 || (size_t)n >= sizeof(path))
		return;
	n = snprintf(text, sizeof(text), "%u %s\n", ++count, good ? "done" : "failed");
	if (jf_file_write(path, text, (size_t)n, &err) != JF_OK)
		jf_log(JF_LOG_WARNING, NULL, "nobody is told that the reload is over: %s", err.message);
}

enum jf_err jf_service_stopping(const char *status) {
	return notify("STOPPING=1\nSTATUS=%s", status);
}

enum jf_err jf_service_watchdog(void) {
	return notify("WATCHDOG=1");
}

bool jf_service_credential(char *path, size_t size, const char *name) {
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	if (!folder || !*folder || strchr(name, '/'))
		return false;
	int n = snprintf(path, size, "%s/%s", folder, name);
	return n > 0 && (size_t)n < size && access(path, F_OK) == 0;
}

bool jf_service_is_credential(const char *path) {
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	size_t length = folder ? strlen(folder) : 0;
	return length && strncmp(path, folder, length) == 0 && path[length] == '/';
}
