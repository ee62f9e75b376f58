/* A request's answer as a stream of events (text/event-stream). */
#ifndef JF_DAEMON_API_STREAM_H
#define JF_DAEMON_API_STREAM_H

#include "daemon/api/call.h"

/* Answers 200 and begins a stream. */
void jf_stream_start(struct jf_call *call);
/* data: one line, JSON. droppable: left out when the reader is too slow. False when it was not sent. */
bool jf_stream_send(struct jf_call *call, const char *event, const char *data, bool droppable);
/* Sends the last event and ends the stream; status: what the log calls it. */
void jf_stream_end(struct jf_call *call, const char *event, const char *data, int status);

#endif
