/* The files that a renewal replaces: access keys and certificate, loaded and checked together. */
#ifndef JF_DAEMON_HTTP_SECRETS_H
#define JF_DAEMON_HTTP_SECRETS_H

#include "daemon/http/keys.h"
#include "daemon/http/tls.h"
#include "daemon/service/conf.h"

struct jf_secrets {
	struct jf_keys *keys;
	struct jf_tls *tls; /* NULL: plain HTTP */
};

/* Reads conf's key_file, tls_cert and tls_key into *secrets, which then needs jf_secrets_deinit; nothing is in force
 * yet. On failure it needs none, and *err names key and file. */
enum jf_err jf_secrets_load(struct jf_secrets *secrets, const struct jf_conf *conf, struct jf_error *err);
void jf_secrets_deinit(struct jf_secrets *secrets);

#endif
