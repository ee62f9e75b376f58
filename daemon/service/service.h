/* The service manager: readiness, watchdog, passed sockets.
 *
 * Speaks the sd_notify(3) and sd_listen_fds(3) protocols itself (a datagram to $NOTIFY_SOCKET, descriptors from 3 on),
 * so the daemon needs no libsystemd. Everything is a silent no-op when not started by a service manager. */
#ifndef JF_DAEMON_SERVICE_SERVICE_H
#define JF_DAEMON_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* One datagram, assignments separated by newlines. JF_OK also when there is no manager; JF_EIO when sending failed. A
 * manager that does not read is waited for 5 s at most, and not at all with status and watchdog. */
enum jf_err jf_service_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum jf_err jf_service_ready(const char *status);
enum jf_err jf_service_reloading(const char *status); /* RELOADING=1 and MONOTONIC_USEC in one message */
enum jf_err jf_service_stopping(const char *status);
enum jf_err jf_service_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
enum jf_err jf_service_watchdog(void);

/* Interval at which WATCHDOG=1 should be sent (half of WATCHDOG_USEC, when WATCHDOG_PID is us or unset); 0 = none. */
int jf_service_watchdog_interval_ms(void);

/* Descriptors passed by socket activation: writes up to max of them to fds, sets close-on-exec, returns how many were
 * passed (0 = none); -1 with *err when a variable is malformed, there are too many, or one is not a listening stream
 * socket. */
int jf_service_listen_fds(int *fds, int max, struct jf_error *err);

/* A credential's path ($CREDENTIALS_DIRECTORY/name) if it exists. */
bool jf_service_credential(char *path, size_t size, const char *name);

#endif
