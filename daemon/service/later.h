/* What a thread does for each of several things in a row, and would rather do once, when the row is over.
 *
 * A thread that is woken for the first of many answers takes the processor from the one that has the others still to
 * write, and is woken again for each of them. Everything here is the calling thread's own. */
#ifndef JF_DAEMON_SERVICE_LATER_H
#define JF_DAEMON_SERVICE_LATER_H

#include <stdbool.h>

/* A row begins, and ends. One within another is a part of it. */
void jf_later_begin(void);
void jf_later_end(void);
/* Within a row: run(context) will be called at its end, in the order of these calls, without any lock held. False:
 * there is no row, or no room, and nothing will be called. */
bool jf_later(void (*run)(void *context), void *context);

#endif
