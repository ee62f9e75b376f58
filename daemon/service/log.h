/* The log: one line per message to stderr; lines of several threads do not mix.
 *
 * Logging never waits. While nobody reads stderr (a full pipe, a stopped terminal) lines are dropped and counted, and
 * the first line that gets through again says how many.
 *
 * Under the journal (JOURNAL_STREAM names our stderr) lines carry a "<6>" priority prefix; as JSON each line is one
 * object {"time","level","message","request_id",...}; otherwise text with a time stamp.
 * Never put keys, request bodies or images into a message. Control characters are escaped here. */
#ifndef JF_DAEMON_SERVICE_LOG_H
#define JF_DAEMON_SERVICE_LOG_H

#include <stdbool.h>

#include "daemon/service/conf.h"

/* Before this is called: level info, format auto. Callable again at any time (reload). */
void jf_log_init(enum jf_log_level level, enum jf_log_format format);
void jf_log_set_level(enum jf_log_level level);
void jf_log_set_access(bool on); /* whether jf_log_request writes anything; at first it does */
bool jf_log_to_journal(void);    /* whether stderr is the journal's, which reads priorities from it */

/* request_id: NULL, or the id that is also in the error body. */
void jf_log(enum jf_log_level level, const char *request_id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct jf_log_access {
	const char *request_id, *client, *method, *path; /* path without the query; any bytes, escaped here */
	const char *traceparent;                         /* of W3C Trace Context; NULL or "": none */
	int status;
	size_t response_bytes;
	double duration_ms;
	const char *cause; /* why the answer did not get out, in words; NULL: it did */
};
/* The access line, level info: "127.0.0.1 POST /v1/classify 200 512 B 1.9 ms [id]", and " trace ..." and " (cause)"
 * behind it when there is one; fields of their own in JSON. */
void jf_log_request(const struct jf_log_access *access);

/* Messages of that level since the start, including those that the log level suppressed. */
unsigned long jf_log_count(enum jf_log_level level);

/* Lines that were dropped since the start. */
unsigned long jf_log_dropped(void);

const char *jf_log_level_name(enum jf_log_level level);

#endif
