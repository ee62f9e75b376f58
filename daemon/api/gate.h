/* What every request must pass before its route sees it. */
#ifndef JF_DAEMON_API_GATE_H
#define JF_DAEMON_API_GATE_H

#include "daemon/api/call.h"

/* Names the client: the peer, or behind a trusted proxy whom that one names. */
void jf_gate_client(struct jf_call *call);

/* Checks rate, framing, path, Host, method, origin, key, size, media type, Accept and Request-Timeout-Ms, in this
 * order; fills call->route, tail, as, origin and timeout_ms, or answers. */
void jf_gate_pass(struct jf_call *call, enum jf_framing_fault fault);

#endif
