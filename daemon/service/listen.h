/* The listening sockets: passed by the service manager, or else opened from the configuration. */
#ifndef JF_DAEMON_SERVICE_LISTEN_H
#define JF_DAEMON_SERVICE_LISTEN_H

#include "daemon/service/conf.h"

#define JF_MAX_LISTEN 16

struct jf_listener {
	int fd; /* -1: closed; listening, non-blocking, close-on-exec */
	bool is_unix;
	bool open;      /* other machines can reach it */
	bool passed;    /* came from the service manager */
	int port;       /* TCP: the real one, also when the configuration said 0 */
	char name[128]; /* "127.0.0.1:6767", "[::1]:6767", "unix:/run/jointflowd/http.sock" for the log */
};

struct jf_listeners {
	struct jf_listener item[JF_MAX_LISTEN];
	int n;
};

/* Passed sockets win over listen_*; a passed socket on a non-loopback address is subject to the same rule about keys as
 * listen_address. *err names the address. */
enum jf_err jf_listen_open(struct jf_listeners *listeners, const struct jf_conf *conf, struct jf_error *err);
/* Whether the Unix socket of the configuration could be made, as this user; creates nothing. A folder below /run that
 * is not there is only warned of: the service manager may be about to make it. *err names key and path. */
enum jf_err jf_listen_check(const struct jf_conf *conf, struct jf_error *err);
/* Closes them and removes a Unix socket that we made; what they were called stays readable. Idempotent. */
void jf_listen_close(struct jf_listeners *listeners, const struct jf_conf *conf);

#endif
