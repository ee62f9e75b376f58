/* The table of configuration keys; inside daemon/service/conf*.c only. */
#ifndef JF_DAEMON_SERVICE_CONF_TABLE_H
#define JF_DAEMON_SERVICE_CONF_TABLE_H

#include "core/base/option.h"
#include "daemon/service/conf.h"

/* Tags: SIGHUP applies a change. */
#define JF_CONF_RELOAD 1U
#define JF_CONF_RELOAD_SET 2U /* while the value is set and stays so: TLS neither begins nor ends at a reload */

/* Each has a section (keys of one are neighbours), a unit ("" = none) and a fallback. */
extern const struct jf_option jf_conf_keys[];
extern const int jf_conf_n_keys;

/* The key of that name, '-' and '_' being the same; NULL when unknown. */
const struct jf_option *jf_conf_find(const char *name);
/* Parses into the member; message without a place. */
enum jf_err jf_conf_assign(struct jf_conf *conf, const struct jf_option *key, const char *value, struct jf_error *err);
/* Where a member lies, for writing; and a string, for reading. */
static inline void *jf_conf_at(struct jf_conf *conf, const struct jf_option *key) {
	return (char *)conf + key->offset;
}
static inline const char *jf_conf_string(const struct jf_conf *conf, const struct jf_option *key) {
	return *(char *const *)((const char *)conf + key->offset);
}
static inline bool jf_conf_is_string(const struct jf_option *key) {
	return key->type == JF_OPTION_STRING || key->type == JF_OPTION_LIST;
}

#endif
