#include "daemon/service/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 8192
#define VALUE_SIZE 1024 /* escaped at six bytes each it still leaves room for the rest of a line */

static atomic_int current_level = JF_LOG_INFO;
static atomic_int current_format = JF_LOG_FORMAT_AUTO;
static atomic_bool access_lines = true;
static atomic_ulong counts[JF_LOG_DEBUG + 1];
static atomic_ulong dropped;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and who may write */
static bool cut;                                         /* the last line got out in part */
static unsigned long told;                               /* of `dropped`, what the log itself has said */

/* A line being built; what does not fit is cut, the end mark always fits. */
struct line {
	char text[LINE_SIZE];
	size_t used;
};

const char *jf_log_level_name(enum jf_log_level level) {
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
	return names[level];
}

/* The journal reads priorities from stderr only when stderr is its own stream: JOURNAL_STREAM names device and inode.
 * Source: systemd.exec(5). */
bool jf_log_to_journal(void) {
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat status;
	unsigned long long device, inode;
	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2 || fstat(STDERR_FILENO, &status) != 0)
		return false;
	return device == (unsigned long long)status.st_dev && inode == (unsigned long long)status.st_ino;
}

unsigned long jf_log_count(enum jf_log_level level) {
	return atomic_load_explicit(&counts[level], memory_order_relaxed);
}

unsigned long jf_log_dropped(void) {
	return atomic_load_explicit(&dropped, memory_order_relaxed);
}

void jf_log_init(enum jf_log_level level, enum jf_log_format format) {
	if (format == JF_LOG_FORMAT_AUTO)
		format = jf_log_to_journal() ? JF_LOG_FORMAT_JOURNAL : JF_LOG_FORMAT_TEXT;
	atomic_store(&current_format, (int)format);
	jf_log_set_level(level);
}

void jf_log_set_level(enum jf_log_level level) {
	atomic_store(&current_level, (int)level);
}

void jf_log_set_access(bool on) {
	atomic_store(&access_lines, on);
}

static bool enabled(enum jf_log_level level) {
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *format, ...) {
	size_t room = sizeof(line->text) - 8 - line->used; /* 8: room for the end of the line */
	va_list arguments;
	va_start(arguments, format);
	int n = vsnprintf(line->text + line->used, room, format, arguments);
	va_end(arguments);
	if (n > 0)
		line->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* Control characters become \xNN or \u00NN; bytes above 0x7e are escaped too where JSON needs valid UTF-8, so that no
 * client can forge or break a line. */
static void put_escaped(struct line *line, const char *text, bool json) {
	const unsigned char *end = (const unsigned char *)text + strnlen(text, VALUE_SIZE);
	for (const unsigned char *c = (const unsigned char *)text; c < end; c++) {
		if (json && (*c == '"' || *c == '\\'))
			put(line, "\\%c", *c);
		else if (*c >= 0x20 && *c < 0x7f)
			put(line, "%c", *c);
		else if (json)
			put(line, "\\u%04x", *c);
		else
			put(line, "\\x%02x", *c);
	}
}

static void put_time(struct line *line) {
	struct timespec now;
	struct tm parts;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	put(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
	    parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000);
}

static enum jf_log_format format_now(void) {
	int format = atomic_load(&current_format);
	if (format == JF_LOG_FORMAT_AUTO) {
		jf_log_init((enum jf_log_level)atomic_load(&current_level), JF_LOG_FORMAT_AUTO);
		format = atomic_load(&current_format);
	}
	return (enum jf_log_format)format;
}

static void start_line(struct line *line, enum jf_log_level level, enum jf_log_format format) {
	static const int priorities[] = {3, 4, 5, 6, 7}; /* syslog(3) */
	line->used = 0;
	if (format == JF_LOG_FORMAT_JSON) {
		put(line, "{\"time\":\"");
		put_time(line);
		put(line, "\",\"level\":\"%s\"", jf_log_level_name(level));
	} else if (format == JF_LOG_FORMAT_JOURNAL) {
		put(line, "<%d>", priorities[level]);
	} else {
		put_time(line);
		put(line, " %s: ", jf_log_level_name(level));
	}
}

static void put_field(struct line *line, const char *key, const char *value) {
	put(line, ",\"%s\":\"", key);
	put_escaped(line, value, true);
	put(line, "\"");
}

/* With the lock held: all of it, or false when nobody reads standard error. Never waits: a pipe or socket that is
 * ready takes PIPE_BUF bytes at once. */
static bool put_out(const char *text, size_t size) {
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
	size_t done = 0;
	while (done < size) {
		if (poll(&fd, 1, 0) != 1 || !(fd.revents & POLLOUT) || (fd.revents & (POLLERR | POLLNVAL)))
			break;
		ssize_t n = write(STDERR_FILENO, text + done, size - done < PIPE_BUF ? size - done : PIPE_BUF);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			done += (size_t)n;
	}
	if (done > 0)
		cut = done < size;
	return done == size;
}

static void end_line(struct line *line, bool json) {
	if (json)
		line->text[line->used++] = '}';
	line->text[line->used++] = '\n';
}

/* With the lock held: says what was dropped, before the first line that gets through again. */
static bool tell_dropped(enum jf_log_format format) {
	unsigned long n = jf_log_dropped();
	struct line line;
	char message[96];
	bool json = format == JF_LOG_FORMAT_JSON;
	if (n == told)
		return true;
	snprintf(message, sizeof(message), "%lu lines were dropped here: nobody read standard error", n - told);
	start_line(&line, JF_LOG_WARNING, format);
	if (json)
		put_field(&line, "message", message);
	else
		put_escaped(&line, message, false);
	end_line(&line, json);
	if (!put_out(line.text, line.used))
		return false;
	told = n;
	return true;
}

static void write_line(struct line *line, enum jf_log_format format) {
	end_line(line, format == JF_LOG_FORMAT_JSON);
	pthread_mutex_lock(&lock);
	if ((cut && !put_out("\n", 1)) || !tell_dropped(format) || !put_out(line->text, line->used))
		atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
	pthread_mutex_unlock(&lock);
}

void jf_log(enum jf_log_level level, const char *request_id, const char *format, ...) {
	atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
	if (!enabled(level))
		return;
	char message[VALUE_SIZE];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);

	int saved = errno;
	struct line line;
	enum jf_log_format shape = format_now();
	bool json = shape == JF_LOG_FORMAT_JSON;
	start_line(&line, level, shape);
	if (json) {
		put_field(&line, "message", message);
		if (request_id && *request_id)
			put_field(&line, "request_id", request_id);
	} else {
		put_escaped(&line, message, false);
		if (request_id && *request_id) {
			put(&line, " [");
			put_escaped(&line, request_id, false);
			put(&line, "]");
		}
	}
	write_line(&line, shape);
	errno = saved;
}

void jf_log_request(const struct jf_log_access *access) {
	if (!atomic_load_explicit(&access_lines, memory_order_relaxed) || !enabled(JF_LOG_INFO))
		return;
	struct line line;
	enum jf_log_format shape = format_now();
	bool json = shape == JF_LOG_FORMAT_JSON, trace = access->traceparent && *access->traceparent;
	char path[256], method[32]; /* the client chose them: cut */
	snprintf(path, sizeof(path), "%s", access->path);
	snprintf(method, sizeof(method), "%s", access->method);
	start_line(&line, JF_LOG_INFO, shape);
	if (json) {
		put_field(&line, "message", "request");
		put_field(&line, "request_id", access->request_id);
		if (trace)
			put_field(&line, "traceparent", access->traceparent);
		put_field(&line, "client", access->client);
		put_field(&line, "method", method);
		put_field(&line, "path", path);
		put(&line, ",\"status\":%d,\"bytes\":%zu,\"duration_ms\":%.3f", access->status, access->response_bytes,
		    access->duration_ms);
		if (access->cause)
			put_field(&line, "cause", access->cause);
	} else {
		put_escaped(&line, access->client, false);
		put(&line, " ");
		put_escaped(&line, method, false);
		put(&line, " ");
		put_escaped(&line, path, false);
		put(&line, " %d %zu B %.1f ms [", access->status, access->response_bytes, access->duration_ms);
		put_escaped(&line, access->request_id, false);
		put(&line, "]");
		if (trace) {
			put(&line, " trace ");
			put_escaped(&line, access->traceparent, false);
		}
		if (access->cause)
			put(&line, " (%s)", access->cause);
	}
	write_line(&line, shape);
}
