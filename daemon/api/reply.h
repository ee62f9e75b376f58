/* What a finished job answers: JSON, a PNG, or the last event of a stream. */
#ifndef JF_DAEMON_API_REPLY_H
#define JF_DAEMON_API_REPLY_H

#include "daemon/api/call.h"

void jf_reply_done(struct jf_call *call, const struct jf_job *job);
/* One step of one item as a JSON object for the event stream, or for the trace (without picture and item). */
void jf_reply_step(const struct jf_call *call, struct jf_json_writer *writer, const struct jf_job *job,
    const struct jf_job_step *step, bool for_trace);

#endif
