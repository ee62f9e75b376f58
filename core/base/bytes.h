/* Unsigned numbers of 1 to 8 bytes as files and protocols hold them. */
#ifndef JF_CORE_BASE_BYTES_H
#define JF_CORE_BASE_BYTES_H

#include <stdint.h>

static inline uint64_t jf_big_endian(const uint8_t *bytes, int n) {
	uint64_t value = 0;

	for (int i = 0; i < n; i++)
		value = value << 8 | bytes[i];
	return value;
}

static inline uint64_t jf_little_endian(const uint8_t *bytes, int n) {
	uint64_t value = 0;

	for (int i = n; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

#endif
