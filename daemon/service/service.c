#include "daemon/service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"

#define FIRST_FD 3 /* sd_listen_fds(3) */

/* Source: sd_notify(3), "Notes": the protocol is stable and meant to be spoken without the library. */
static enum jf_err send_message(const char *text, size_t size, bool wait) {
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (!path || !*path)
		return JF_OK;
	size_t length = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || length >= sizeof(address.sun_path))
		return JF_EINVAL;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@') /* abstract */
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return JF_EIO;
	/* A manager that reads slowly must not hold up the daemon: what comes again is not waited for at all. */
	const struct timeval patience = {.tv_sec = 5};
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	ssize_t sent = sendto(fd, text, size, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT),
	    (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(fd);
	return sent == (ssize_t)size ? JF_OK : JF_EIO;
}

__attribute__((format(printf, 3, 0))) static enum jf_err send_formatted(
    bool wait, const char *prefix, const char *format, va_list arguments) {
	char text[1024];
	int used = snprintf(text, sizeof(text), "%s", prefix);
	int n = vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
	if (n < 0)
		return JF_EINTERNAL;
	size_t size = (size_t)used + (size_t)n;
	return send_message(text, size < sizeof(text) ? size : sizeof(text) - 1, wait);
}

enum jf_err jf_service_notify(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	enum jf_err rc = send_formatted(true, "", format, arguments);
	va_end(arguments);
	return rc;
}

enum jf_err jf_service_status(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	enum jf_err rc = send_formatted(false, "STATUS=", format, arguments);
	va_end(arguments);
	return rc;
}

enum jf_err jf_service_ready(const char *status) {
	return jf_service_notify("READY=1\nSTATUS=%s\nMAINPID=%ld", status, (long)getpid());
}

enum jf_err jf_service_reloading(const char *status) {
	/* Type=notify-reload wants both in one datagram, and the time of the moment it is sent. */
	return jf_service_notify(
	    "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=%s", (long long)(jf_clock_ns() / 1000), status);
}

enum jf_err jf_service_stopping(const char *status) {
	return jf_service_notify("STOPPING=1\nSTATUS=%s", status);
}

enum jf_err jf_service_watchdog(void) {
	return send_message("WATCHDOG=1", strlen("WATCHDOG=1"), false);
}

/* A whole decimal number from the environment; -1 when unset or malformed. */
static long long environment_number(const char *name) {
	const char *text = getenv(name);
	char *end = NULL;
	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' ? number : -1;
}

int jf_service_watchdog_interval_ms(void) {
	long long microseconds = environment_number("WATCHDOG_USEC");
	if (microseconds <= 0 || (getenv("WATCHDOG_PID") && environment_number("WATCHDOG_PID") != getpid()))
		return 0;
	long long half_ms = microseconds / 2000;
	return half_ms < 1 ? 1 : half_ms > 3600000 ? 3600000 : (int)half_ms;
}

static enum jf_err check_passed_fd(int fd, struct jf_error *err) {
	int listening = 0, type = 0;
	socklen_t size = sizeof(listening);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
		return jf_error_set(
		    err, JF_EINVAL, "descriptor %d from the service manager is not a listening socket", fd);
	size = sizeof(type);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
		return jf_error_set(
		    err, JF_EINVAL, "descriptor %d from the service manager is not a stream socket", fd);
	int flags = fcntl(fd, F_GETFL);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return jf_error_set(err, JF_EIO, "descriptor %d: %s", fd, strerror(errno));
	return JF_OK;
}

int jf_service_listen_fds(int *fds, int max, struct jf_error *err) {
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	if (!pid || !count || environment_number("LISTEN_PID") != getpid())
		return 0; /* meant for somebody else, or nothing passed */
	long long n = environment_number("LISTEN_FDS");
	if (n < 0) {
		jf_error_set(err, JF_EINVAL, "LISTEN_FDS is not a number: '%.40s'", count);
		return -1;
	}
	if (n > max) {
		jf_error_set(err, JF_ELIMIT, "the service manager passed %lld sockets, at most %d are taken", n, max);
		return -1;
	}
	for (int i = 0; i < (int)n; i++) {
		fds[i] = FIRST_FD + i;
		if (check_passed_fd(fds[i], err) != JF_OK)
			return -1;
	}
	return (int)n;
}

bool jf_service_credential(char *path, size_t size, const char *name) {
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	if (!folder || !*folder || strchr(name, '/'))
		return false;
	int n = snprintf(path, size, "%s/%s", folder, name);
	return n > 0 && (size_t)n < size && access(path, F_OK) == 0;
}
