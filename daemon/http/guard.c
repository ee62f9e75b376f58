#include "daemon/http/guard.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "daemon/service/conf.h"

#define MIN_KEY 16
#define MAX_KEY 512
#define MAX_KEYS 10000
#define MAX_KEY_FILE (1 << 20)

struct jf_keys {
	uint8_t (*digests)[JF_SHA256_SIZE];
	int n;
};

/* --- keys ------------------------------------------------------------------------------------------------------------
 */

static enum jf_err add_key(
    struct jf_keys *keys, const char *key, size_t length, const char *path, int line, struct jf_error *err) {
	uint8_t(*grown)[JF_SHA256_SIZE];
	size_t i;

	if (length < MIN_KEY || length > MAX_KEY)
		return jf_error_set(err, JF_EFORMAT, "%s:%d: a key has %d to %d characters, this one %zu", path, line,
		    MIN_KEY, MAX_KEY, length);
	for (i = 0; i < length; i++)
		if (key[i] <= 0x20 || key[i] >= 0x7f)
			return jf_error_set(
			    err, JF_EFORMAT, "%s:%d: a key has printable ASCII characters only, no spaces", path, line);
	if (keys->n == MAX_KEYS)
		return jf_error_set(err, JF_ELIMIT, "%s: more than %d keys", path, MAX_KEYS);
	grown = realloc(keys->digests, (size_t)(keys->n + 1) * sizeof(*grown));
	if (!grown)
		return jf_error_set(err, JF_ENOMEM, "%s: no memory for its keys", path);
	keys->digests = grown;
	jf_sha256(keys->digests[keys->n++], key, length);
	return JF_OK;
}

static enum jf_err parse_keys(
    struct jf_keys *keys, const char *text, size_t size, const char *path, struct jf_error *err) {
	const char *end = text + size, *next;
	size_t length;
	int line = 1;

	for (; text < end; text = next + 1, line++) {
		next = memchr(text, '\n', (size_t)(end - text));
		if (!next)
			next = end;
		length = (size_t)(next - text);
		while (length && (text[length - 1] == '\r' || text[length - 1] == ' ' || text[length - 1] == '\t'))
			length--;
		if (length == 0 || *text == '#')
			continue;
		if (add_key(keys, text, length, path, line, err) != JF_OK)
			return err ? err->code : JF_EFORMAT;
	}
	if (keys->n == 0)
		return jf_error_set(err, JF_EFORMAT, "%s: holds no key", path);
	return JF_OK;
}

struct jf_keys *jf_keys_load(const char *path, struct jf_error *err) {
	struct jf_keys *keys = calloc(1, sizeof(*keys));
	uint8_t *data = NULL;
	size_t size;
	bool good;

	if (!keys) {
		jf_error_set(err, JF_ENOMEM, "no memory for keys");
		return NULL;
	}
	if (!path || !*path)
		return keys;
	good = jf_file_read(&data, &size, path, MAX_KEY_FILE, err) == JF_OK &&
	       parse_keys(keys, (const char *)data, size, path, err) == JF_OK;
	if (data)
		explicit_bzero(data, size);
	free(data);
	if (good)
		return keys;
	jf_keys_destroy(keys);
	return NULL;
}

void jf_keys_destroy(struct jf_keys *keys) {
	if (!keys)
		return;
	free(keys->digests);
	free(keys);
}

int jf_keys_count(const struct jf_keys *keys) {
	return keys->n;
}

bool jf_keys_allow(const struct jf_keys *keys, const char *authorization, const char *api_key) {
	uint8_t digest[JF_SHA256_SIZE];
	const char *key = api_key;
	bool found = false;
	int i;

	if (keys->n == 0)
		return true;
	if (authorization && strncasecmp(authorization, "Bearer ", 7) == 0)
		key = authorization + 7 + strspn(authorization + 7, " ");
	if (!key || !*key || strlen(key) > MAX_KEY)
		return false;
	/* Digests are compared, all of them and each in constant time, so the time taken tells nothing about the keys.
	 */
	jf_sha256(digest, key, strlen(key));
	for (i = 0; i < keys->n; i++)
		found |= jf_equal_constant_time(digest, keys->digests[i], sizeof(digest));
	return found;
}

/* --- names and origins
 * ------------------------------------------------------------------------------------------------- */

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

bool jf_host_allowed(const char *host, const char *allowed, const char *address) {
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

bool jf_origin_allowed(const char *origin, const char *origins) {
	return origin && *origins && (jf_conf_list_has(origins, "*") || jf_conf_list_has(origins, origin));
}

static bool same_host(const char *origin, const char *host) {
	const char *start = strstr(origin, "://");

	return start && host && strcasecmp(start + 3, host) == 0;
}

bool jf_cross_site(
    const char *method, const char *site, const char *mode, const char *origin, const char *host, const char *origins) {
	bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

	if (jf_origin_allowed(origin, origins))
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

bool jf_forwarded_for(char *out, size_t size, const char *forwarded, const char *trusted) {
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
