/* Calls that take long to read: large pictures and large bodies. They are not read on the network threads, so that
 * probes and small requests never wait for them. */
#ifndef JF_DAEMON_API_HEAVY_H
#define JF_DAEMON_API_HEAVY_H

#include "daemon/api/call.h"

#define JF_HEAVY_PIECE \
	((size_t)16 << 20) /* weight: of one picture at most, and decoded before others have their turn */

/* A call with its body complete: its route's handler, here or on another thread. */
void jf_heavy_handle(struct jf_call *call);

/* What decoding one picture of this many pixels counts as, beside others of its request: no more than a piece, since
 * what claims more is a JPEG and read reduced. */
size_t jf_heavy_weight(size_t pixels);
/* Whether pictures of this weight together must be decoded elsewhere, or cannot be at all; a handler that finds so
 * drops everything and calls jf_heavy_move, which answers or lets the handler run again. */
bool jf_heavy_is(struct jf_call *call, size_t weight);
/* Whether a handler that has decoded so much, counting what comes next, shall leave the rest for another time: it calls
 * jf_heavy_move with the weight of what is left. */
bool jf_heavy_is_enough(const struct jf_call *call, size_t weight);
void jf_heavy_move(struct jf_call *call, size_t weight);

/* Before each picture: false after noting a problem when the time is over, or nobody waits for the answer any more. */
bool jf_heavy_goes_on(struct jf_call *call);
/* Notes that its time is over; what takes longer by itself is told so, and not to come again. Any thread. */
void jf_heavy_late(const struct jf_call *call, struct jf_problem *problem);

#endif
