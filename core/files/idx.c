#include "core/files/idx.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/inflate.h"

#define MAX_UNPACKED ((size_t)8 << 30)
#define TYPE_UNSIGNED_BYTE 8

enum jf_err jf_idx_parse(
    struct jf_idx *out, unsigned char *bytes, size_t size, const char *name, struct jf_error *err) {
	size_t header, values = 1;
	int rank;

	memset(out, 0, sizeof(*out));
	if (size < 4 || bytes[0] != 0 || bytes[1] != 0)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: is not an IDX file (it must begin with two zero bytes)", name);
	if (bytes[2] != TYPE_UNSIGNED_BYTE)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: IDX type 0x%02x; only unsigned bytes (0x08) are read", name, bytes[2]);
	rank = bytes[3];
	if (rank < 1 || rank > JF_IDX_MAX_RANK)
		return jf_error_set(err, JF_EFORMAT, "%s: IDX rank %d is outside 1 to %d", name, rank, JF_IDX_MAX_RANK);
	header = 4 + 4 * (size_t)rank;
	if (size < header)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: the file ends inside the IDX header (%zu of %zu bytes)", name, size, header);
	for (int i = 0; i < rank; i++) {
		out->shape[i] = (uint32_t)jf_big_endian(bytes + 4 + 4 * i, 4);
		if (out->shape[i] == 0)
			return jf_error_set(err, JF_EEMPTY, "%s: size %d of the IDX header is 0", name, i + 1);
		if (values > MAX_UNPACKED / out->shape[i])
			return jf_error_set(
			    err, JF_ELIMIT, "%s: the IDX header asks for more than %zu bytes", name, MAX_UNPACKED);
		values *= out->shape[i];
	}
	if (size - header != values)
		return jf_error_set(err, JF_EFORMAT,
		    "%s: the IDX header promises %zu bytes of values, the file has %zu", name, values, size - header);
	out->rank = rank;
	out->memory = bytes;
	out->values = bytes + header;
	return JF_OK;
}

enum jf_err jf_idx_read(struct jf_idx *out, const char *path, struct jf_error *err) {
	unsigned char *bytes = NULL;
	size_t size = 0;
	enum jf_err rc;

	memset(out, 0, sizeof(*out));
	rc = jf_inflate_file(&bytes, &size, path, MAX_UNPACKED + 4 + 4 * JF_IDX_MAX_RANK, err);
	if (rc == JF_OK)
		rc = jf_idx_parse(out, bytes, size, path, err);
	if (rc != JF_OK)
		free(bytes);
	return rc;
}

void jf_idx_deinit(struct jf_idx *idx) {
	free(idx->memory);
	memset(idx, 0, sizeof(*idx));
}
