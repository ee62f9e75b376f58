/* Watches sockets that others serve: peers that hang up, deadlines that pass, closed sockets whose last bytes
 * must still be read.
 *
 * libmicrohttpd neither times out a suspended connection nor notices that its peer has gone; this does, with one
 * thread, one epoll set and a table of slots. Deadlines are kept to 100 ms, and a peer that leaves is noticed so soon.
 */
#ifndef JF_DAEMON_HTTP_WATCH_H
#define JF_DAEMON_HTTP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"

struct jf_watch;

/* Called from the watch's own thread without any lock held. The slot may have been closed, even opened for another
 * socket, a moment before: `ticket` is what jf_watch_open gave, so compare it under your own lock. */
struct jf_watch_events {
	void (*hung_up)(void *context, int slot, uint64_t ticket); /* once per jf_watch_hangup(.., true) */
	/* The peer sends no more, since a second, and may or may not still read: only writing to it tells. Once per
	 * jf_watch_hangup(.., true), before hung_up. */
	void (*half_closed)(void *context, int slot, uint64_t ticket);
	void (*expired)(void *context, int slot, uint64_t ticket); /* once per deadline set */
	void *context;
};

/* slots: the most sockets at a time, 1 to 1,000,000. NULL on failure, *err says why. */
struct jf_watch *jf_watch_create(int slots, const struct jf_watch_events *events, struct jf_error *err);
void jf_watch_destroy(struct jf_watch *watch); /* joins the thread, closes what lingers; NULL allowed */

/* Whether its thread has turned its loop within stall_ms; wakes it now and then to see. One caller. */
bool jf_watch_alive(struct jf_watch *watch, int stall_ms);

/* Takes a free slot for fd (borrowed). Returns -1 when none is free; *ticket out is never 0 and never repeats. */
int jf_watch_open(struct jf_watch *watch, int fd, uint64_t *ticket);
void jf_watch_close(struct jf_watch *watch, int slot); /* before fd is closed */

/* `expired` is due this many milliseconds from now; negative: never. Replaces what was set before. */
void jf_watch_deadline(struct jf_watch *watch, int slot, int64_t in_ms);

/* Whether to look for a peer that leaves: a reset or an error is hanging up, the end of its stream is half-closing. */
void jf_watch_hangup(struct jf_watch *watch, int slot, bool on);

/* Keeps a duplicate of fd open, reads and forgets what the peer still sends, until it closes or ms have passed: closing
 * a socket with unread data resets the connection and can destroy the answer on its way. Best effort, never fails. */
void jf_watch_linger(struct jf_watch *watch, int fd, int ms);

#endif
