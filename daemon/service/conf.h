/* Configuration.
 *
 * One table (daemon/service/conf_table.c) names every key: type, range, default, unit, help, and whether a reload
 * applies it. The file parser, the environment, the command line, --print-config, --help, etc/jointflowd.conf and the
 * option section of jointflowd.conf(5) all come from that table. Precedence: command line, then environment
 * (JOINTFLOWD_<KEY>), then file, then default. */
#ifndef JF_DAEMON_SERVICE_CONF_H
#define JF_DAEMON_SERVICE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/base/error.h"

enum jf_log_level { JF_LOG_ERROR, JF_LOG_WARNING, JF_LOG_NOTICE, JF_LOG_INFO, JF_LOG_DEBUG };
enum jf_log_format { JF_LOG_FORMAT_AUTO, JF_LOG_FORMAT_TEXT, JF_LOG_FORMAT_JOURNAL, JF_LOG_FORMAT_JSON };

/* Every value of the table, one member a key, same name. Strings are owned by the struct and never NULL: "" is "not
 * set". Lists are comma-separated strings, already trimmed: "a,b". Read-only once jf_conf_load has returned, so threads
 * may share it. */
struct jf_conf {
	/* listening */
	char *listen_address;  /* list of numeric IPv4 and IPv6; "" = no TCP listener */
	int listen_port;       /* 0 = any free port (the log tells which) */
	bool listen_ipv6_only; /* :: takes no IPv4 */
	char *listen_path;     /* Unix socket, "" = none */
	int listen_backlog;
	char *web_root; /* serve the page from this folder instead of the embedded one; "" = embedded */
	int http_threads;

	/* model and workers */
	char *model;   /* checkpoint; reload applies it */
	int workers;   /* 0 = one for each CPU this process may use */
	int max_batch; /* trajectories a worker takes at a time */
	int max_queue_delay_us;
	int queue_capacity; /* cost units: images x network evaluations, admitted and not finished */
	int ageing_ms;      /* a generation goes before fresh classifications after waiting this long */

	/* limits of one request */
	int request_timeout_ms; /* default and upper limit; Request-Timeout-Ms can only lower it */
	int upload_timeout_ms;  /* the whole request must have arrived by then */
	int idle_timeout_ms;    /* keep-alive connection without a request */
	int max_body_bytes;
	int max_image_side; /* pixels, of an uploaded PNG */
	int max_count;      /* images of one request */
	int max_steps;
	int max_samples; /* label draws of one classification */
	int default_steps;
	double unfamiliar_below;

	/* limits of clients */
	int max_connections;
	int max_connections_per_client;
	int max_rate_per_client; /* requests a second, refilled evenly; 0 = no limit */
	int max_burst_per_client;

	/* access */
	char *allowed_hosts;        /* list; "" = the listen address, localhost and loopback names */
	char *cors_origins;         /* list; "" = no CORS; "*" = any */
	char *key_file;             /* one key a line; "" = none; reload re-reads it */
	bool allow_unauthenticated; /* permits a non-loopback bind without key_file */
	bool metrics_public;        /* /metrics without a key even when keys are in force */
	char *trusted_proxies;      /* list of addresses and networks whose X-Forwarded-For is believed; "" = none */
	char *tls_cert, *tls_key;   /* PEM files; both or neither */

	/* service */
	enum jf_log_level log_level; /* reload applies it */
	enum jf_log_format log_format;
	bool access_log;       /* one line a request at level info; reload applies it */
	int watchdog_stall_ms; /* a thread without a sign of life for this long stops the watchdog messages */
	int drain_timeout_ms;  /* SIGTERM: unfinished work is cancelled after this */
};

/* What the command line asked for besides values. */
enum jf_conf_action {
	JF_CONF_RUN,
	JF_CONF_PRINT,      /* --print-config: the values in force, in file syntax */
	JF_CONF_PRINT_FILE, /* --print-config=file: every key commented, with its default (etc/jointflowd.conf) */
	JF_CONF_PRINT_MAN,  /* --print-config=man: mdoc items for jointflowd.conf(5) */
	JF_CONF_CHECK,      /* --check-config */
	JF_CONF_HELP,
	JF_CONF_VERSION,
};

struct jf_conf_request {
	enum jf_conf_action action;
	const char *path;  /* --config=FILE, borrowed from argv; NULL = JF_SYSCONFDIR/jointflowd.conf if it exists */
	int argc;          /* kept for reloads: jf_conf_load reads values from here */
	char *const *argv; /* borrowed */
};

/* Reads the command line's actions; values are checked by jf_conf_load. JF_EINVAL names the unknown option. */
enum jf_err jf_conf_parse_argv(struct jf_conf_request *request, int argc, char *const *argv, struct jf_error *err);

/* Fills *conf (caller's memory, uninitialised) from defaults, file, environment and command line, then checks that the
 * values fit together (jf_conf_check). On failure *conf needs no deinit and *err names file and line, variable or
 * option: JF_EFORMAT unknown key or bad value, JF_EIO file unreadable, JF_EINVAL values that contradict each other. */
enum jf_err jf_conf_load(struct jf_conf *conf, const struct jf_conf_request *request, struct jf_error *err);

/* Only defaults; for tests and generators. Needs jf_conf_deinit. */
enum jf_err jf_conf_init(struct jf_conf *conf, struct jf_error *err);

/* One key by name, as the file parser does it. JF_EFORMAT with a sentence: "workers: 0 to 256 expected, got
 * '12abc'". */
enum jf_err jf_conf_set(struct jf_conf *conf, const char *key, const char *value, struct jf_error *err);

/* Parses `key = value` text (not NUL-terminated); name appears in messages as "name:line:". For the fuzzer and tests.
 */
enum jf_err jf_conf_parse(struct jf_conf *conf, const char *name, const char *text, size_t size, struct jf_error *err);

/* Cross-field checks, one human sentence in *err. */
enum jf_err jf_conf_check(const struct jf_conf *conf, struct jf_error *err);

void jf_conf_deinit(struct jf_conf *conf);

/* A reload: exchanges with `fresh` what may change while running, writes the names of other changed keys, comma
 * separated, to `ignored` (these need a restart). Cannot fail. Not thread-safe against readers of the reloadable
 * members, which only main may read: others are told (jf_log_set_level, jf_http_use_secrets ...). */
void jf_conf_apply(struct jf_conf *conf, struct jf_conf *fresh, char *ignored, size_t ignored_size);

void jf_conf_print(const struct jf_conf *conf, FILE *out);
void jf_conf_print_file(FILE *out);
void jf_conf_print_man(FILE *out);
void jf_conf_print_help(FILE *out);

/* Whether "NAME=value" of the environment looks like one of ours (JOINTFLOWD_...) and is not a key: a typing error,
 * most likely. An orchestrator's variables for a service of that name (JOINTFLOWD_SERVICE_HOST,
 * JOINTFLOWD_PORT=tcp://...) are not meant for us. */
bool jf_conf_unknown_variable(const char *entry);

/* Whether item is in a comma-separated list, ASCII case ignored. */
bool jf_conf_list_has(const char *list, const char *item);
/* The item at *list, cut to size; moves *list on. False at the end. */
bool jf_conf_list_next(const char **list, char *item, size_t size);
/* Whether a numeric address is in a list of addresses and networks ("10.0.0.0/8"). An IPv4 address and the same mapped
 * into IPv6 are one. */
bool jf_conf_list_covers(const char *list, const char *address);
/* Whether a numeric address is a loopback one (127.0.0.0/8, ::1, ::ffff:127.0.0.0/104). */
bool jf_conf_is_loopback(const char *address);

#endif
