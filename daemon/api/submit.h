/* A call's job on its way to the workers and back. */
#ifndef JF_DAEMON_API_SUBMIT_H
#define JF_DAEMON_API_SUBMIT_H

#include "daemon/api/call.h"

/* Completes the job (deadline, callbacks, id), takes it over and submits it. `answer` answers when it is done, from
 * another thread; what is refused, or ends in another way, is answered here. */
void jf_submit_job(
    struct jf_call *call, struct jf_job *job, void (*answer)(struct jf_call *call, const struct jf_job *job));

#endif
