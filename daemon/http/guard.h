/* Who may ask: keys, the Host allow-list, cross-site checks, CORS, forwarded addresses. */
#ifndef JF_DAEMON_HTTP_GUARD_H
#define JF_DAEMON_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"

/* --- keys: only their SHA-256 are kept ------------------------------------------------------------------------------
 */

struct jf_keys;

/* One key a line, at least 16 printable characters without spaces; empty lines and lines that begin with '#' are
 * skipped; at least one key. path "" or NULL: no keys, everybody may ask. NULL on failure: JF_EIO, JF_EFORMAT with file
 * and line (never the key). */
struct jf_keys *jf_keys_load(const char *path, struct jf_error *err);
void jf_keys_destroy(struct jf_keys *keys); /* NULL allowed */
int jf_keys_count(const struct jf_keys *keys);
/* Whether the credentials hold a valid key; constant time in what the key is. With no keys: true.
 * authorization: "Bearer KEY"; api_key: "KEY"; either may be NULL. */
bool jf_keys_allow(const struct jf_keys *keys, const char *authorization, const char *api_key);

/* --- where a request claims to come from
 * ------------------------------------------------------------------------------ */

/* Whether `host` (the Host field, with or without port) names us. allowed: the configured list; when it is empty, any
 * loopback name or address, and `address` (the one we listen on; every literal address when that is a wildcard). */
bool jf_host_allowed(const char *host, const char *allowed, const char *address);

/* Whether a browser sent this from another site's page: Sec-Fetch-Site says so, or, where that is absent, Origin's
 * host and port differ from Host. origins: the CORS list, whose members are welcome. Navigation by GET
 * (Sec-Fetch-Mode: navigate) is no cross-site request. */
bool jf_cross_site(
    const char *method, const char *site, const char *mode, const char *origin, const char *host, const char *origins);

/* Whether CORS answers this origin. */
bool jf_origin_allowed(const char *origin, const char *origins);

/* The client's address behind a trusted proxy: the last entry of X-Forwarded-For that is not a trusted proxy itself.
 * Writes `out` (text of an address) and returns true; false when the field is absent or holds no address. */
bool jf_forwarded_for(char *out, size_t size, const char *forwarded, const char *trusted);

#endif
