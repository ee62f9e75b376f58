#include "daemon/http/deflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

char *jf_gzip(const char *data, size_t size, size_t *compressed) {
	z_stream stream;
	uLong bound;
	char *out;
	int code;

	memset(&stream, 0, sizeof(stream));
	if (deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	bound = deflateBound(&stream, (uLong)size);
	out = malloc(bound);
	if (!out) {
		deflateEnd(&stream);
		return NULL;
	}
	stream.next_in = (z_const Bytef *)(size_t)(const void *)data;
	stream.avail_in = (uInt)size;
	stream.next_out = (Bytef *)out;
	stream.avail_out = (uInt)bound;
	code = deflate(&stream, Z_FINISH);
	*compressed = stream.total_out;
	deflateEnd(&stream);
	if (code == Z_STREAM_END)
		return out;
	free(out);
	return NULL;
}
