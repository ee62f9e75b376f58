#include "daemon/service/conf_table.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/questions/question.h"

static const char *const log_levels[] = {"error", "warning", "notice", "info", "debug", NULL};
static const char *const log_formats[] = {"auto", "text", "journal", "json", NULL};

/* clang-format off: one line a fact, so that a key reads as a paragraph */
#define AT(member) .name = #member, .offset = offsetof(struct jf_conf, member)
#define INT(low, high, value, of) .type = JF_OPTION_INT, .min = low, .max = high, .fallback = value, .unit = of
#define BYTES(low, high, value) .type = JF_OPTION_BYTES, .min = low, .max = high, .fallback = value, .unit = "bytes"
#define STRING(value) .type = JF_OPTION_STRING, .fallback = value, .unit = ""
#define LIST(value) .type = JF_OPTION_LIST, .fallback = value, .unit = ""
#define BOOL(value) .type = JF_OPTION_BOOL, .fallback = value, .unit = ""
#define CHOICE(list, value) .type = JF_OPTION_CHOICE, .choices = list, .fallback = value, .unit = ""
#define RELOAD .tag = JF_CONF_RELOAD
#define RELOAD_SET .tag = JF_CONF_RELOAD_SET

#define LISTENING .section = "Listening"
#define WORKERS .section = "Model and workers"
#define REQUESTS .section = "Limits of one request"
#define CLIENTS .section = "Limits of clients"
#define ACCESS .section = "Access"
#define SERVICE .section = "Service"

const struct jf_option jf_conf_keys[] = {
    {LISTENING, AT(listen_address), LIST("127.0.0.1"),
	.help =
	    "Numeric IPv4 and IPv6 addresses to listen on, comma-separated; empty for none. :: serves IPv4 as well, "
	    "unless listen_ipv6_only = yes or an IPv4 address is listed too. An address that other machines can reach "
	    "needs key_file, or allow_unauthenticated = yes. Ignored when the service manager passes sockets."},
    {LISTENING, AT(listen_port), INT(0, 65535, "6767", ""),
	.help = "TCP port. 0 takes any free one for each address and the log says which."},
    {LISTENING, AT(listen_ipv6_only), BOOL("no"), .help = "Do not serve IPv4 on the address ::."},
    {LISTENING, AT(listen_path), STRING(""),
	.help = "Path of a Unix socket to listen on as well; empty for none. Every user of the machine may connect, as "
		"with a loopback address, unless the folder keeps them out. The folder must exist; under systemd "
		"/run/jointflowd does."},
    {LISTENING, AT(listen_backlog), INT(1, 65535, "512", "connections"),
	.help = "Connections the kernel holds before they are accepted."},
    {LISTENING, AT(web_root), STRING(""),
	.help = "Folder to serve the page from, for working on it; empty for the page inside the program."},
    {LISTENING, AT(http_threads), INT(1, 64, "2", "threads"),
	.help = "Threads that read requests and write responses. The computing is done by workers."},

    {WORKERS, AT(model), STRING("mnist.safetensors"), RELOAD,
	.help = "The checkpoint. A name without a slash is looked up in the current folder, then among the models that "
		"came with the program. A reload loads the file again, checks it, and keeps the old model if anything "
		"is wrong with it."},
    {WORKERS, AT(workers), INT(0, 256, "0", "threads"),
	.help = "Threads that compute. 0 takes one for each CPU this process may use, by its affinity and by the CPU "
		"quota of its control group."},
    {WORKERS, AT(max_batch), INT(1, JF_MAX_BATCH, "16", "images"),
	.help = "Images of compatible requests that one worker computes together."},
    {WORKERS, AT(max_queue_delay_us), INT(0, 1000000, "0", "microseconds"),
	.help = "How long a free worker waits for a batch to fill before it starts. 0 starts at once; batches then "
		"form from what arrives while all workers are busy."},
    {WORKERS, AT(queue_capacity), INT(1, 100000000, "20000", "network evaluations"),
	.help = "Work that is admitted and unfinished at a time, counted as images x network evaluations. More is "
		"refused at once with 503 and Retry-After, a request that alone is more with 422. Classifications may "
		"take an eighth more than this, so that generations never keep them out."},
    {WORKERS, AT(ageing_ms), INT(0, 3600000, "2000", "milliseconds"),
	.help = "Classifications go before generations. A generation that has waited for this long goes before "
		"classifications that arrive now."},

    {REQUESTS, AT(request_timeout_ms), INT(1, 86400000, "30000", "milliseconds"),
	.help = "Time allowed for an answer, counted from the complete request. The request header "
		"Request-Timeout-Ms can only lower it."},
    {REQUESTS, AT(upload_timeout_ms), INT(1, 86400000, "10000", "milliseconds"),
	.help = "Time within which a request must have arrived completely."},
    {REQUESTS, AT(idle_timeout_ms), INT(1000, 86400000, "30000", "milliseconds"),
	.help = "How long a connection without a request is kept, and how long a client may take nothing of an answer. "
		"For the whole of an answer it has this time and a second for each 16 KiB. Rounded up to whole "
		"seconds."},
    {REQUESTS, AT(max_body_bytes), BYTES(1024, 1073741824, "8M"),
	.help = "Largest request body, 1 MiB at most where it "
		"can hold neither picture nor tensor. Bodies over 64 KiB may hold "
		"32 times this together, and 8 times this from "
		"one address."},
    {REQUESTS, AT(max_image_side), INT(8, 2048, "2048", "pixels"),
	.help = "Largest width and height of an uploaded picture."},
    {REQUESTS, AT(max_count), INT(1, 4096, "128", "images"),
	.help = "Images that one request may ask for, a sheet's rows x columns included."},
    {REQUESTS, AT(max_steps), INT(1, JF_MAX_STEPS, "200", "steps"),
	.help = "Solver steps that one request may ask for."},
    {REQUESTS, AT(max_samples), INT(1, JF_MAX_VOTES, "64", "draws"),
	.help =
	    "Label draws that one classification may ask for; a posterior takes at most " JF_TEXT_OF(JF_MAX_DRAWS) "."},
    {REQUESTS, AT(default_steps), INT(1, JF_MAX_STEPS, JF_TEXT_OF(JF_DEFAULT_STEPS), "steps"),
	.help = "Solver steps when the request does not say."},
    {REQUESTS, AT(unfamiliar_below), .type = JF_OPTION_REAL, .min = 0, .max = 1,
	.fallback = JF_TEXT_OF(JF_UNFAMILIAR_BELOW), .unit = "share",
	.help =
	    "A picture is flagged as unfamiliar when less than this share of the pictures held out from training is "
	    "no more typical than it; so about this share of good pictures is flagged too. 0 flags none."},

    {CLIENTS, AT(max_connections), INT(1, 1000000, "1024", "connections"),
	.help =
	    "Connections at a time, all clients together. Beyond them 32 more are taken, in which probes are served "
	    "and everything else is refused with 503; the rest waits in the kernel's queue. Fewer if this process "
	    "may not open so many descriptors; the log says so."},
    {CLIENTS, AT(max_connections_per_client), INT(1, 1000000, "256", "connections"),
	.help =
	    "Connections at a time from one address. Eight more (16 of all such addresses) are answered with 429 and "
	    "do not count as taken, further ones are closed at once. A proxy in trusted_proxies and a Unix socket have "
	    "no limit of their own."},
    {CLIENTS, AT(max_rate_per_client), INT(0, 1000000, "0", "requests per second"),
	.help = "Requests per second from one address; more get 429. 0 for no limit."},
    {CLIENTS, AT(max_burst_per_client), INT(1, 1000000, "64", "requests"),
	.help = "Requests that one address may send at once before max_rate_per_client holds them back."},

    {ACCESS, AT(allowed_hosts), LIST(""),
	.help = "Names that the Host header may carry, comma-separated, without port. Empty for localhost, the "
		"loopback addresses and the addresses listened on; this keeps foreign web pages from reaching the "
		"daemon by DNS rebinding. * for any, behind something that checks access."},
    {ACCESS, AT(cors_origins), LIST(""),
	.help =
	    "Web origins that may read answers, comma-separated, such as https://example.org, https://*.example.org "
	    "for its subdomains, or http://localhost:* for any port; * for any; empty for none."},
    {ACCESS, AT(key_file), STRING(""), RELOAD,
	.help = "File with one access key per line; lines that start with # are comments. Requests then need "
		"Authorization: "
		"Bearer KEY. A name without a slash is looked up among the service's credentials. Empty for no keys."},
    {ACCESS, AT(allow_unauthenticated), BOOL("no"),
	.help =
	    "Permit an address that other machines reach without key_file. Only behind something that checks access."},
    {ACCESS, AT(metrics_public), BOOL("no"), .help = "Answer /metrics without a key even when keys are in force."},
    {ACCESS, AT(trusted_proxies), LIST(""),
	.help = "Addresses of reverse proxies, comma-separated, single (10.0.0.1) or networks (10.0.0.0/8, "
		"2001:db8::/32), whose X-Forwarded-For names the client. Forwarded is read where X-Forwarded-For is "
		"absent, so a proxy that writes only Forwarded must remove X-Forwarded-For."},
    {ACCESS, AT(tls_cert), STRING(""), RELOAD_SET,
	.help = "PEM file with the certificate chain; empty for plain HTTP. A name without a slash is looked up among "
		"the service's credentials."},
    {ACCESS, AT(tls_key), STRING(""), RELOAD_SET,
	.help = "PEM file with the private key of tls_cert. A name without a slash is looked up among the service's "
		"credentials."},

    {SERVICE, AT(log_level), CHOICE(log_levels, "info"), RELOAD,
	.help = "Messages of this level and above are logged."},
    {SERVICE, AT(log_format), CHOICE(log_formats, "auto"),
	.help =
	    "How lines look on standard error: text with a time, journal with a priority prefix, json one object per "
	    "line; auto is journal under the journal and text elsewhere."},
    {SERVICE, AT(access_log), BOOL("yes"), RELOAD,
	.help = "Log each request, at level info. A status of 499 means that the client did not "
		"get the answer; the line says why."},
    {SERVICE, AT(watchdog_stall_ms), INT(100, 3600000, "10000", "milliseconds"),
	.help =
	    "The watchdog messages stop, so that the service manager restarts the daemon, when a worker finishes no "
	    "step for this long, when work waits this long beside an idle worker, or when a thread that accepts "
	    "connections, serves them or keeps their deadlines does not respond for this long."},
    {SERVICE, AT(drain_timeout_ms), INT(0, 3600000, "25000", "milliseconds"),
	.help = "After SIGTERM, how long admitted requests may take to finish. Should be below the unit's "
		"TimeoutStopSec."},
};
/* clang-format on */
const int jf_conf_n_keys = (int)(sizeof(jf_conf_keys) / sizeof(jf_conf_keys[0]));

static bool same_name(const char *a, const char *b) {
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

const struct jf_option *jf_conf_find(const char *name) {
	for (int i = 0; i < jf_conf_n_keys; i++)
		if (same_name(jf_conf_keys[i].name, name))
			return &jf_conf_keys[i];
	return NULL;
}

enum jf_err jf_conf_assign(struct jf_conf *conf, const struct jf_option *key, const char *value, struct jf_error *err) {
	enum jf_option_fault fault = jf_option_set(conf, key, value);
	char range[160];

	switch (fault) {
	case JF_OPTION_FINE:
		return JF_OK;
	case JF_OPTION_NO_MEMORY:
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory", key->name);
	case JF_OPTION_CONTROL:
		return jf_error_set(err, JF_EFORMAT, "%s: a control character in the value", key->name);
	case JF_OPTION_EMPTY_ITEM:
		return jf_error_set(err, JF_EFORMAT, "%s: an empty item in the list '%.80s'", key->name, value);
	default:
		jf_option_range(range, sizeof(range), key);
		return jf_error_set(err, JF_EFORMAT, "%s: %s expected, got '%.80s'", key->name, range, value);
	}
}
