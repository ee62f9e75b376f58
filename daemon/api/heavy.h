/* Calls that take long to read: large pictures and large bodies. They are not read on the network threads, so that
 * probes and small requests never wait for them. */
#ifndef JF_DAEMON_API_HEAVY_H
#define JF_DAEMON_API_HEAVY_H

#include "daemon/api/call.h"

/* A call with its body complete: its route's handler, here or on another thread. */
void jf_heavy_handle(struct jf_call *call);

/* Whether a picture of this many pixels must be decoded elsewhere; a handler that finds one drops everything and calls
 * jf_heavy_move, which answers or lets the handler run again. */
bool jf_heavy_is(const struct jf_call *call, size_t pixels);
void jf_heavy_move(struct jf_call *call, size_t pixels);

#endif
