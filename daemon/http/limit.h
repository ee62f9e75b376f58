/* How much one client may ask: requests per second (token bucket) and connections at a time.
 *
 * A client is an IPv4 address or an IPv6 /64. The table is fixed in size: when it is full of active clients, the one
 * that was seen longest ago is forgotten, so it never grows, and a flood of addresses only makes limits laxer. */
#ifndef JF_DAEMON_HTTP_LIMIT_H
#define JF_DAEMON_HTTP_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct jf_limit;

bool jf_limit_same_client(const uint8_t a[16], const uint8_t b[16]);

/* rate: requests per second, 0 = no limit; burst: how many may come at once; connections: at a time, 0 = no limit.
 * NULL when memory is short. */
struct jf_limit *jf_limit_create(double rate, int burst, int connections);
void jf_limit_destroy(struct jf_limit *limit); /* NULL allowed */

/* One request now (milliseconds of a monotonic clock). 0: granted; otherwise the seconds to wait, at least 1. */
int jf_limit_request(struct jf_limit *limit, const uint8_t address[16], int64_t now_ms);

enum jf_limit_verdict {
	JF_LIMIT_WITHIN,
	JF_LIMIT_ABOVE,  /* one of `extra` above the limit */
	JF_LIMIT_BEYOND, /* not even that: it is not counted */
};

/* One more connection. disconnect must follow unless it is beyond. */
enum jf_limit_verdict jf_limit_connect(struct jf_limit *limit, const uint8_t address[16], int extra, int64_t now_ms);
void jf_limit_disconnect(struct jf_limit *limit, const uint8_t address[16]);

#endif
