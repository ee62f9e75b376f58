/* Base64 (RFC 4648) by nettle. */
#ifndef JF_CORE_BASE_BASE64_H
#define JF_CORE_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* With padding; malloc'd text, NULL when memory is short. */
char *jf_base64_encode(const void *data, size_t size_bytes);

/* Either alphabet (sections 4 and 5), padding optional, white space skipped; left-over bits must be 0.
 * malloc'd, *size_bytes out; NULL when it is not base64 or memory is short. */
uint8_t *jf_base64_decode(const char *text, size_t length, size_t *size_bytes);

#endif
