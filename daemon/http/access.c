#include "config.h"

#include "daemon/http/access.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "daemon/service/conf.h"

/* Splits "name:port" or "[address]:port"; the brackets are dropped. False when it is not a host. */
static bool split_host(char *name, size_t size, char port[8], const char *host) {
	const char *end;
	size_t length;

	*port = '\0';
	if (*host == '[') {
		end = strchr(++host, ']');
		if (!end)
			return false;
		length = (size_t)(end - host);
		end++;
	} else {
		length = strcspn(host, ":");
		end = host + length;
	}
	if (length == 0 || length >= size || memchr(host, '@', length) || memchr(host, '/', length))
		return false;
	memcpy(name, host, length);
	name[length] = '\0';
	if (name[length - 1] == '.')
		name[length - 1] = '\0'; /* a fully qualified name may end with a dot */
	if (*end == '\0')
		return true;
	if (*end != ':' || strlen(end + 1) > 5 || strspn(end + 1, "0123456789") != strlen(end + 1))
		return false;
	strcpy(port, end + 1);
	return true;
}

static bool is_literal(const char *name) {
	unsigned char address[16];

	return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static bool is_wildcard(const char *address) {
	return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

bool jf_access_host_allowed(const char *host, const char *allowed, const char *address) {
	char name[256], port[8];
	size_t length;

	if (!host || !split_host(name, sizeof(name), port, host))
		return false;
	if (*allowed)
		return jf_conf_list_has(allowed, "*") || jf_conf_list_has(allowed, name) ||
		       jf_conf_list_has(allowed, host);
	length = strlen(name);
	if (strcasecmp(name, "localhost") == 0 || (length > 10 && strcasecmp(name + length - 10, ".localhost") == 0))
		return true;
	if (is_literal(name) && jf_conf_is_loopback(name))
		return true;
	/* A literal address cannot be rebound by a hostile name server, so behind a wildcard any of them is ours. */
	return strcasecmp(name, address) == 0 || (is_wildcard(address) && is_literal(name));
}

/* "scheme://host:port" -> lengths of scheme and host; *port is what stands behind the colon, or "". */
static void split_origin(const char *origin, size_t size, size_t *scheme, size_t *host, size_t *port) {
	const char *start = memmem(origin, size, "://", 3), *end = origin + size, *colon;

	*scheme = start ? (size_t)(start + 3 - origin) : 0;
	for (colon = end; colon > origin + *scheme && colon[-1] >= '0' && colon[-1] <= '9'; colon--)
		;
	if (end > origin + *scheme && end[-1] == '*' && end - 1 > origin + *scheme && end[-2] == ':')
		colon = end - 1;
	*port = colon > origin + *scheme && colon[-1] == ':' ? (size_t)(end - colon) : 0;
	*host = size - *scheme - (*port ? *port + 1 : 0);
}

/* Whether an entry with stars in place of subdomains or port stands for this origin. */
static bool origin_fits(const char *entry, size_t size, const char *origin) {
	size_t length = strlen(origin), scheme[2], host[2], port[2];
	const char *name = entry, *given = origin;

	split_origin(entry, size, &scheme[0], &host[0], &port[0]);
	split_origin(origin, length, &scheme[1], &host[1], &port[1]);
	if (scheme[0] != scheme[1] || strncasecmp(entry, origin, scheme[0]) != 0)
		return false;
	name += scheme[0];
	given += scheme[1];
	if (port[0] == 1 && entry[size - 1] == '*')
		; /* any port */
	else if (port[0] != port[1] || memcmp(entry + size - port[0], origin + length - port[1], port[0]) != 0)
		return false;
	if (*name != '*')
		return host[0] == host[1] && strncasecmp(name, given, host[0]) == 0;
	name++; /* ".example.org" */
	host[0]--;
	return host[1] > host[0] && strncasecmp(name, given + host[1] - host[0], host[0]) == 0;
}

bool jf_access_origin_allowed(const char *origin, const char *origins) {
	size_t size;

	if (!origin || !*origins)
		return false;
	if (jf_conf_list_has(origins, "*") || jf_conf_list_has(origins, origin))
		return true;
	for (; *origins; origins += size + (origins[size] == ',')) {
		size = strcspn(origins, ",");
		if (memchr(origins, '*', size) && origin_fits(origins, size, origin))
			return true;
	}
	return false;
}

static bool is_hex(const char *text, size_t length) {
	return strspn(text, "0123456789abcdef") >= length;
}

bool jf_access_traceparent(const char *field) {
	/* 00-<32>-<16>-<2>; a later version may append "-..." */
	if (!field || strlen(field) < 55 || !is_hex(field, 2) || field[2] != '-' || !is_hex(field + 3, 32) ||
	    field[35] != '-' || !is_hex(field + 36, 16) || field[52] != '-' || !is_hex(field + 53, 2))
		return false;
	if (strncmp(field, "ff", 2) == 0 || strspn(field + 3, "0") >= 32 || strspn(field + 36, "0") >= 16)
		return false;
	return field[55] == '\0' || (strncmp(field, "00", 2) != 0 && field[55] == '-');
}

static bool same_host(const char *origin, const char *host) {
	const char *start = strstr(origin, "://");

	return start && host && strcasecmp(start + 3, host) == 0;
}

bool jf_access_cross_site(
    const char *method, const char *site, const char *mode, const char *origin, const char *host, const char *origins) {
	bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

	if (jf_access_origin_allowed(origin, origins) || jf_conf_list_has(origins, "*"))
		return false; /* an <img> of another site's page names no origin */
	if (site) {
		if (strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0)
			return false;
		/* a link from elsewhere may open a page or a picture, but no script may read it and no form may post */
		return !(is_get && mode && strcmp(mode, "navigate") == 0);
	}
	if (!origin)
		return false; /* no browser, or one that would have named itself for anything dangerous */
	return !same_host(origin, host);
}

/* Takes away an obfuscated port (RFC 7239, 6.3), which is of letters and no use: "192.0.2.1:_p", "[2001:db8::1]:_p". */
static void drop_obfuscated_port(char *node) {
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	char *colon = strrchr(node, ':');

	if (colon && colon[1] == '_' && colon[2] && colon[2 + strspn(colon + 2, allowed)] == '\0' &&
	    (memchr(node, ':', (size_t)(colon - node)) == NULL || colon[-1] == ']'))
		*colon = '\0';
}

/* As it is written for people; an IPv4 address that is mapped into IPv6 as what it is. False when it is no address. */
static bool write_address(char *out, size_t size, const char *text) {
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return inet_ntop(AF_INET, &v4, out, (socklen_t)size) != NULL;
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&v6))
		return inet_ntop(AF_INET, v6.s6_addr + 12, out, (socklen_t)size) != NULL;
	return inet_ntop(AF_INET6, &v6, out, (socklen_t)size) != NULL;
}

/* The address of "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" and "[2001:db8::1]:80"; false for anything
 * else. */
static bool read_node(char *out, size_t size, const char *text, size_t length) {
	char node[64], name[64], port[8];

	while (length && (*text == ' ' || *text == '\t'))
		text++, length--;
	while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	if (length == 0 || length >= sizeof(node))
		return false;
	memcpy(node, text, length);
	node[length] = '\0';
	drop_obfuscated_port(node);
	return write_address(out, size, node) ||
	       (split_host(name, sizeof(name), port, node) && write_address(out, size, name));
}

bool jf_access_forwarded_for(char *out, size_t size, const char *forwarded, const char *trusted) {
	const char *end = forwarded ? forwarded + strlen(forwarded) : NULL, *start;
	char entry[64];
	bool found = false;

	while (end && end > forwarded) {
		for (start = end; start > forwarded && start[-1] != ','; start--)
			;
		if (!read_node(entry, sizeof(entry), start, (size_t)(end - start)))
			break; /* what stands further left was written by whoever wrote this */
		snprintf(out, size, "%s", entry);
		found = true;
		if (!jf_conf_list_covers(trusted, entry))
			break;
		end = start > forwarded ? start - 1 : forwarded;
	}
	return found;
}

/* Copies the value at `text` (a token or a quoted string) to `out` unless that is NULL; returns what follows it. A
 * value that does not fit is left empty. */
static const char *read_value(char *out, size_t size, const char *text) {
	bool quoted = *text == '"';
	size_t n = 0;

	for (text += quoted; *text && (quoted ? *text != '"' : !strchr(",; \t", *text)); text++) {
		if (quoted && *text == '\\' && text[1])
			text++;
		if (out && n + 1 < size)
			out[n] = *text;
		n++;
	}
	if (out)
		out[n < size ? n : 0] = '\0';
	return text + (quoted && *text == '"');
}

bool jf_access_forwarded(char *out, size_t size, const char *forwarded, const char *trusted) {
	char list[2048] = "", value[64], *is_for;
	const char *text = forwarded ? forwarded : "", *name;
	size_t used = 0;

	/* RFC 7239, 4: elements with commas between them, of name=value with semicolons between. The nodes are put into
	 * the other field's form; an element without for= is one whose client is unknown. */
	while (*text) {
		value[0] = '\0';
		while (*text && *text != ',') {
			text += strspn(text, "; \t");
			name = text;
			text += strcspn(text, "=,; \t");
			if (*text != '=')
				continue;
			is_for = strncasecmp(name, "for", 3) == 0 && text - name == 3 ? value : NULL;
			text = read_value(is_for, sizeof(value), text + 1);
		}
		if (strchr(value, ','))
			value[0] = '\0';
		used += (size_t)snprintf(
		    list + used, sizeof(list) - used, "%s%s", used ? "," : "", *value ? value : "unknown");
		if (used >= sizeof(list))
			return false; /* more proxies than anybody has */
		text += *text == ',';
	}
	return jf_access_forwarded_for(out, size, list, trusted);
}
