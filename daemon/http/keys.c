#include "daemon/http/keys.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/digest.h"
#include "core/base/file.h"

#define MIN_KEY 16
#define MAX_KEY 512
#define MAX_KEYS 10000
#define MAX_KEY_FILE (1 << 20)

struct jf_keys {
	uint8_t (*digests)[JF_SHA256_SIZE];
	int n;
};

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
	/* Digests are compared, all of them and each in constant time, so the time taken tells nothing about the
	 * keys. */
	jf_sha256(digest, key, strlen(key));
	for (i = 0; i < keys->n; i++)
		found |= jf_equal_constant_time(digest, keys->digests[i], sizeof(digest));
	return found;
}
