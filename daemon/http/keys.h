/* The access keys; only their SHA-256 are kept. */
#ifndef JF_DAEMON_HTTP_KEYS_H
#define JF_DAEMON_HTTP_KEYS_H

#include <stdbool.h>

#include "core/base/error.h"

struct jf_keys;

/* One key per line, at least 16 printable characters without spaces; empty lines and lines that begin with '#' are
 * skipped; at least one key. path "" or NULL: no keys, everyone may ask. NULL on failure: JF_EIO, JF_EFORMAT with file
 * and line (never the key). */
struct jf_keys *jf_keys_load(const char *path, struct jf_error *err);
void jf_keys_destroy(struct jf_keys *keys); /* NULL allowed */
/* Whether the credentials hold a valid key; constant time in what the key is. With no keys: true.
 * authorization: "Bearer KEY"; api_key: "KEY"; either may be NULL. */
bool jf_keys_allow(const struct jf_keys *keys, const char *authorization, const char *api_key);

#endif
