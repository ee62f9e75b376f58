/* SHA-256 and comparison in constant time. By nettle, as is core/base/base64.c. */
#ifndef JF_CORE_BASE_DIGEST_H
#define JF_CORE_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JF_SHA256_SIZE 32 /* bytes of a digest */
#define JF_SHA256_HEX 65  /* its lower-case hex text with the final NUL */

void jf_sha256(uint8_t out[JF_SHA256_SIZE], const void *data, size_t size_bytes);
void jf_sha256_hex(char out[JF_SHA256_HEX], const void *data, size_t size_bytes);

/* Piece by piece: create, update any number of times, hex, destroy. */
struct jf_digest;
struct jf_digest *jf_digest_create(void); /* NULL when memory is short */
void jf_digest_update(struct jf_digest *digest, const void *data, size_t size_bytes);
void jf_digest_hex(struct jf_digest *digest, char out[JF_SHA256_HEX]); /* and starts again from nothing */
void jf_digest_destroy(struct jf_digest *digest);                      /* NULL allowed */

/* Whether n bytes are equal, in a time that does not depend on where they differ. n = 0: true. */
bool jf_equal_constant_time(const void *a, const void *b, size_t n);

#endif
