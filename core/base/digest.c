#include "core/base/digest.h"

#include <stdlib.h>

#include <nettle/memops.h>
#include <nettle/sha2.h>

struct jf_digest {
	struct sha256_ctx context;
};

static void to_hex(char out[JF_SHA256_HEX], const uint8_t digest[JF_SHA256_SIZE]) {
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < JF_SHA256_SIZE; i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
	out[JF_SHA256_HEX - 1] = '\0';
}

void jf_sha256(uint8_t out[JF_SHA256_SIZE], const void *data, size_t size_bytes) {
	struct sha256_ctx context;

	sha256_init(&context);
	sha256_update(&context, size_bytes, data);
	sha256_digest(&context, JF_SHA256_SIZE, out);
}

void jf_sha256_hex(char out[JF_SHA256_HEX], const void *data, size_t size_bytes) {
	uint8_t digest[JF_SHA256_SIZE];

	jf_sha256(digest, data, size_bytes);
	to_hex(out, digest);
}

struct jf_digest *jf_digest_create(void) {
	struct jf_digest *digest = malloc(sizeof(*digest));

	if (digest)
		sha256_init(&digest->context);
	return digest;
}

void jf_digest_update(struct jf_digest *digest, const void *data, size_t size_bytes) {
	sha256_update(&digest->context, size_bytes, data);
}

void jf_digest_hex(struct jf_digest *digest, char out[JF_SHA256_HEX]) {
	uint8_t bytes[JF_SHA256_SIZE];

	sha256_digest(&digest->context, JF_SHA256_SIZE, bytes); /* also initialises the context again */
	to_hex(out, bytes);
}

void jf_digest_destroy(struct jf_digest *digest) {
	free(digest);
}

bool jf_equal_constant_time(const void *a, const void *b, size_t n) {
	return n == 0 || memeql_sec(a, b, n) != 0;
}
