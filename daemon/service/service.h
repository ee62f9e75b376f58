/* The service manager, through libsystemd: readiness, watchdog, passed sockets. Everything is a silent no-op when not
 * started by one, and in a build --without-systemd. */
#ifndef JF_DAEMON_SERVICE_SERVICE_H
#define JF_DAEMON_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* Messages are sent by a thread that nothing waits for, in the order of the calls. JF_OK: it will be sent, or there is
 * no manager; what goes wrong later is logged. JF_EIO: the manager does not read, and this message is lost. */
enum jf_err jf_service_ready(const char *status);
enum jf_err jf_service_reloading(const char *status); /* RELOADING=1 and MONOTONIC_USEC in one message */
/* A reload is over. Its number and "done" or "failed" go into $RUNTIME_DIRECTORY/reloaded, where there is one: the
 * unit's ExecReload waits for it, because before version 253 systemd does not. */
void jf_service_reloaded(bool good);
enum jf_err jf_service_stopping(const char *status);
enum jf_err jf_service_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
enum jf_err jf_service_watchdog(void);

/* At the end of the process: waits this long for the last messages to be sent. */
void jf_service_flush(int timeout_ms);

/* Interval at which WATCHDOG=1 should be sent (half of WATCHDOG_USEC, when WATCHDOG_PID is us or unset); 0 = none. */
int jf_service_watchdog_interval_ms(void);

/* Descriptors passed by socket activation: writes up to max of them to fds, sets close-on-exec, returns how many were
 * passed (0 = none); -1 with *err when a variable is malformed, there are too many, or one is not a listening stream
 * socket. */
int jf_service_listen_fds(int *fds, int max, struct jf_error *err);

/* A credential's path ($CREDENTIALS_DIRECTORY/name) if it exists. */
bool jf_service_credential(char *path, size_t size, const char *name);
/* Whether the path leads below $CREDENTIALS_DIRECTORY, whose files the manager copies once, at the start. */
bool jf_service_is_credential(const char *path);

#endif
