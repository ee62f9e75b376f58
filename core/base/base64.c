#include "core/base/base64.h"

#include <ctype.h>
#include <stdlib.h>

#include <nettle/base64.h>

#define PIECE 1024 /* characters handed to nettle at a time */

char *jf_base64_encode(const void *data, size_t size_bytes) {
	size_t length = BASE64_ENCODE_RAW_LENGTH(size_bytes);
	char *text = malloc(length + 1);

	if (!text)
		return NULL;
	base64_encode_raw(text, size_bytes, data);
	text[length] = '\0';
	return text;
}

/* nettle knows one alphabet at a time. */
static char plain(char c) {
	return c == '-' ? '+' : c == '_' ? '/' : c;
}

uint8_t *jf_base64_decode(const char *text, size_t length, size_t *size_bytes) {
	uint8_t *out = malloc(BASE64_DECODE_LENGTH(length) + 1);
	struct base64_decode_ctx context;
	size_t used = 0, digits = 0, pads = 0, at = 0;

	if (!out)
		return NULL;
	base64_decode_init(&context);
	while (at < length) {
		char piece[PIECE];
		size_t n = 0, got;

		for (; n < PIECE && at < length; at++) {
			pads += text[at] == '=';
			digits += text[at] != '=' && !isspace((unsigned char)text[at]);
			piece[n++] = plain(text[at]);
		}
		if (!base64_decode_update(&context, &got, out + used, n, piece))
			goto bad;
		used += got;
	}
	if (pads == 0 && digits % 4 > 1) { /* padding may be left out */
		size_t got;

		if (!base64_decode_update(&context, &got, out + used, 4 - digits % 4, "=="))
			goto bad;
	}
	if (digits % 4 == 1 || !base64_decode_final(&context))
		goto bad;
	*size_bytes = used;
	return out;
bad:
	free(out);
	return NULL;
}
