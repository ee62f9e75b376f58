/* Values that are fine each by itself and contradict each other. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/service/conf.h"

bool jf_conf_list_has(const char *list, const char *item) {
	size_t length = strlen(item);
	while (*list) {
		size_t size = strcspn(list, ",");
		if (size == length && strncasecmp(list, item, size) == 0)
			return true;
		list += size + (list[size] == ',');
	}
	return false;
}

bool jf_conf_list_next(const char **list, char *item, size_t size) {
	if (!**list)
		return false;
	size_t length = strcspn(*list, ",");
	snprintf(item, size, "%.*s", (int)length, *list);
	*list += length;
	*list += **list == ',';
	return true;
}

/* "ADDRESS" or "ADDRESS/BITS" as 16 bytes, IPv4 mapped into IPv6, and the number of bits that count. */
static bool read_network(unsigned char bytes[16], int *bits, const char *text) {
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	char address[64];
	const char *slash = strchr(text, '/');
	snprintf(address, sizeof(address), "%.*s", slash ? (int)(slash - text) : (int)strlen(text), text);
	int most = 32;
	memcpy(bytes, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, address, bytes + 12) != 1) {
		most = 128;
		if (inet_pton(AF_INET6, address, bytes) != 1)
			return false;
	}
	*bits = 128;
	if (!slash)
		return true;
	size_t digits = strspn(slash + 1, "0123456789");
	if (digits == 0 || digits > 3 || slash[1 + digits])
		return false;
	*bits = atoi(slash + 1) + 128 - most;
	return *bits <= 128;
}

bool jf_conf_list_covers(const char *list, const char *address) {
	unsigned char asked[16], network[16];
	char item[64];
	int bits;
	if (!read_network(asked, &bits, address) || bits != 128)
		return false;
	while (jf_conf_list_next(&list, item, sizeof(item))) {
		if (!read_network(network, &bits, item))
			continue;
		int whole = bits / 8, rest = bits % 8;
		if (memcmp(asked, network, (size_t)whole) == 0 &&
		    (rest == 0 || (asked[whole] ^ network[whole]) >> (8 - rest) == 0))
			return true;
	}
	return false;
}

bool jf_conf_is_loopback(const char *address) {
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, address, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, address, &v6) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&v6))
		return v6.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_address(const char *text) {
	unsigned char bytes[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool is_network(const char *text) {
	unsigned char bytes[16];
	int bits;
	return strlen(text) < 64 && read_network(bytes, &bits, text);
}

/* Calls ok() for each item; the first that fails is left in `bad`, and false returned. */
static bool all_items(const char *list, bool (*ok)(const char *item), char *bad, size_t bad_size) {
	while (jf_conf_list_next(&list, bad, bad_size))
		if (!ok(bad))
			return false;
	return true;
}

static bool is_host(const char *item) {
	if (strcmp(item, "*") == 0)
		return true;
	if (*item == '[') { /* as it stands in a Host header */
		char inner[64];
		size_t length = strlen(item);
		if (length < 3 || length > sizeof(inner) || item[length - 1] != ']')
			return false;
		memcpy(inner, item + 1, length - 2);
		inner[length - 2] = '\0';
		return is_address(inner);
	}
	if (is_address(item))
		return true;
	for (const char *c = item; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.' && *c != '_')
			return false;
	return true;
}

static bool is_origin(const char *item) {
	if (strcmp(item, "*") == 0)
		return true;
	const char *host = strncmp(item, "https://", 8) == 0  ? item + 8
			   : strncmp(item, "http://", 7) == 0 ? item + 7
							      : NULL;
	if (!host || !*host || strpbrk(host, "/?#@ "))
		return false;
	/* a star is for whole subdomains, in front, or for the port */
	if (strncmp(host, "*.", 2) == 0)
		host += 2;
	size_t length = strlen(host);
	if (length > 2 && strcmp(host + length - 2, ":*") == 0)
		length -= 2;
	return length > 0 && *host != '.' && *host != ':' && !memchr(host, '*', length);
}

static enum jf_err check_listening(const struct jf_conf *conf, struct jf_error *err) {
	char bad[256];
	if (!all_items(conf->listen_address, is_address, bad, sizeof(bad)))
		return jf_error_set(err, JF_EINVAL,
		    "listen_address: '%.60s' is not a numeric IPv4 or IPv6 address; write 127.0.0.1 rather than "
		    "localhost",
		    bad);
	if (!all_items(conf->listen_address, jf_conf_is_loopback, bad, sizeof(bad)) && !*conf->key_file &&
	    !conf->allow_unauthenticated)
		return jf_error_set(err, JF_EINVAL,
		    "listen_address: other machines can reach %.60s and no key_file is set; set one, or say "
		    "allow_unauthenticated = yes if something in front checks access",
		    bad);
	if (strlen(conf->listen_path) > 107) /* sockaddr_un.sun_path */
		return jf_error_set(err, JF_EINVAL, "listen_path: longer than the 107 bytes a Unix socket may have");
	return JF_OK;
}

static enum jf_err check_access(const struct jf_conf *conf, struct jf_error *err) {
	char bad[256];
	if (*conf->tls_cert && !*conf->tls_key)
		return jf_error_set(err, JF_EINVAL, "tls_cert is set and tls_key is not: TLS needs both");
	if (*conf->tls_key && !*conf->tls_cert)
		return jf_error_set(err, JF_EINVAL, "tls_key is set and tls_cert is not: TLS needs both");
	if (!all_items(conf->allowed_hosts, is_host, bad, sizeof(bad)))
		return jf_error_set(
		    err, JF_EINVAL, "allowed_hosts: '%.80s' is not a host name or address; leave out the port", bad);
	if (!all_items(conf->cors_origins, is_origin, bad, sizeof(bad)))
		return jf_error_set(err, JF_EINVAL,
		    "cors_origins: '%.80s' is not an origin such as https://example.org, without a path; a star may "
		    "stand for subdomains (https://*.example.org) or the port (http://localhost:*)",
		    bad);
	if (!all_items(conf->trusted_proxies, is_network, bad, sizeof(bad)))
		return jf_error_set(err, JF_EINVAL,
		    "trusted_proxies: '%.80s' is not a numeric address, nor a network such as 10.0.0.0/8", bad);
	if (jf_conf_list_has(conf->cors_origins, "*") && !*conf->key_file && !conf->allow_unauthenticated)
		return jf_error_set(err, JF_EINVAL,
		    "cors_origins = * without key_file lets every web page use this daemon; name the origins, set "
		    "key_file, or say allow_unauthenticated = yes if that is what you want");
	return JF_OK;
}

enum jf_err jf_conf_check(const struct jf_conf *conf, struct jf_error *err) {
	enum jf_err rc = check_listening(conf, err);
	if (rc == JF_OK)
		rc = check_access(conf, err);
	if (rc != JF_OK)
		return rc;
	if (!*conf->model)
		return jf_error_set(err, JF_EINVAL, "model: a checkpoint is needed");
	if (conf->default_steps > conf->max_steps)
		return jf_error_set(
		    err, JF_EINVAL, "default_steps (%d) is above max_steps (%d)", conf->default_steps, conf->max_steps);
	if (conf->max_connections_per_client > conf->max_connections)
		return jf_error_set(err, JF_EINVAL, "max_connections_per_client (%d) is above max_connections (%d)",
		    conf->max_connections_per_client, conf->max_connections);
	if ((long)conf->max_queue_delay_us > conf->request_timeout_ms * 1000L)
		return jf_error_set(
		    err, JF_EINVAL, "max_queue_delay_us is longer than request_timeout_ms: nothing would finish");
	return JF_OK;
}
