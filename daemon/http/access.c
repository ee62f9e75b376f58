#include "daemon/http/access.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "daemon/service/conf.h"

/* Splits "name:port" or "[address]:port"; the brackets are dropped. False when it is no host. */
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

bool jf_access_origin_allowed(const char *origin, const char *origins) {
	return origin && *origins && (jf_conf_list_has(origins, "*") || jf_conf_list_has(origins, origin));
}

static bool same_host(const char *origin, const char *host) {
	const char *start = strstr(origin, "://");

	return start && host && strcasecmp(start + 3, host) == 0;
}

bool jf_access_cross_site(
    const char *method, const char *site, const char *mode, const char *origin, const char *host, const char *origins) {
	bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

	if (jf_access_origin_allowed(origin, origins))
		return false;
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

bool jf_access_forwarded_for(char *out, size_t size, const char *forwarded, const char *trusted) {
	const char *end = forwarded ? forwarded + strlen(forwarded) : NULL, *start;
	char entry[64];
	size_t length;
	bool found = false;

	while (end && end > forwarded) {
		for (start = end; start > forwarded && start[-1] != ','; start--)
			;
		length = (size_t)(end - start);
		while (length && (*start == ' ' || *start == '\t'))
			start++, length--;
		while (length && (start[length - 1] == ' ' || start[length - 1] == '\t'))
			length--;
		if (length == 0 || length >= sizeof(entry))
			break;
		memcpy(entry, start, length);
		entry[length] = '\0';
		if (!is_literal(entry))
			break; /* what stands further left was written by whoever wrote this */
		snprintf(out, size, "%s", entry);
		found = true;
		if (!jf_conf_list_has(trusted, entry))
			break;
		while (start > forwarded && start[-1] != ',')
			start--;
		end = start > forwarded ? start - 1 : forwarded;
	}
	return found;
}
