/* The table of configuration keys; inside daemon/service/conf*.c only. */
#ifndef JF_DAEMON_SERVICE_CONF_TABLE_H
#define JF_DAEMON_SERVICE_CONF_TABLE_H

#include "daemon/service/conf.h"

enum jf_conf_type {
	JF_CONF_INT,
	JF_CONF_BYTES,  /* an int; K, M, G suffixes */
	JF_CONF_BOOL,   /* yes, no */
	JF_CONF_STRING, /* a path or an address */
	JF_CONF_LIST,   /* comma-separated */
	JF_CONF_CHOICE, /* an enum; `choices` in its order */
};

struct jf_conf_key {
	const char *section; /* title of the group; keys of a group are neighbours */
	const char *name;
	enum jf_conf_type type;
	size_t offset; /* of the member in struct jf_conf */
	long min, max; /* INT, BYTES */
	const char *fallback;
	const char *unit; /* "" = none */
	const char *const *choices;
	bool reload;      /* SIGHUP applies a change */
	const char *help; /* sentences without mark-up */
};

extern const struct jf_conf_key jf_conf_keys[];
extern const int jf_conf_n_keys;

/* The key of that name, '-' and '_' being the same; NULL when unknown. */
const struct jf_conf_key *jf_conf_find(const char *name);
/* The value in file syntax. */
void jf_conf_format(const struct jf_conf *conf, const struct jf_conf_key *key, char *out, size_t size);
/* Parses into the member; message without a place. */
enum jf_err jf_conf_assign(
    struct jf_conf *conf, const struct jf_conf_key *key, const char *value, struct jf_error *err);
/* The allowed values in words: "0 to 256", "yes or no", "error, warning, ...". */
void jf_conf_range(const struct jf_conf_key *key, char *out, size_t size);

/* Where a member lies. _at for writing; the three others read. */
static inline void *jf_conf_at(struct jf_conf *conf, const struct jf_conf_key *key) {
	return (char *)conf + key->offset;
}
static inline const char *jf_conf_string(const struct jf_conf *conf, const struct jf_conf_key *key) {
	return *(char *const *)((const char *)conf + key->offset);
}
static inline int jf_conf_int(const struct jf_conf *conf, const struct jf_conf_key *key) {
	return *(const int *)((const char *)conf + key->offset);
}
static inline bool jf_conf_bool(const struct jf_conf *conf, const struct jf_conf_key *key) {
	return *(const bool *)((const char *)conf + key->offset);
}
static inline bool jf_conf_is_string(const struct jf_conf_key *key) {
	return key->type == JF_CONF_STRING || key->type == JF_CONF_LIST;
}

#endif
