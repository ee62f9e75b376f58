#include "core/files/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/pictures/image.h"

/* Magic and version 1.0 (8 bytes), header length (2 bytes), then the header: a Python dictionary as text, filled up
 * with spaces and ended by a newline so that the data begins at a multiple of 64. Source: numpy.lib.format, "Format
 * Version 1.0". */
#define MAGIC "\x93NUMPY\x01\x00"
#define MAGIC_SIZE 8
#define PREFIX 128

static void write_prefix(uint8_t prefix[PREFIX], int n, int height, int width, int channels) {
	char header[PREFIX - 10 + 1];
	char last[16] = "";
	int length;

	if (channels > 1)
		snprintf(last, sizeof(last), ", %d", channels);
	length = snprintf(header, sizeof(header), "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d%s), }",
	    n, height, width, last);
	memset(prefix, ' ', PREFIX);
	memcpy(prefix, MAGIC, MAGIC_SIZE);
	prefix[8] = (PREFIX - 10) & 255;
	prefix[9] = (PREFIX - 10) >> 8;
	memcpy(prefix + 10, header, (size_t)length); /* at most 105 bytes, whatever the numbers */
	prefix[PREFIX - 1] = '\n';
}

enum jf_err jf_npy_encode(uint8_t **data, size_t *size_bytes, const float *images, int n, int height, int width,
    int channels, struct jf_error *err) {
	size_t count, pixels;

	*data = NULL;
	*size_bytes = 0;
	if (n < 0 || height < 1 || width < 1 || channels < 1)
		return jf_error_set(
		    err, JF_EINVAL, "npy: cannot write shape (%d, %d, %d, %d)", n, height, width, channels);
	pixels = (size_t)height * (size_t)width;
	if (__builtin_mul_overflow(pixels, (size_t)channels, &count) ||
	    __builtin_mul_overflow(count, (size_t)n, &count) || count > PTRDIFF_MAX - PREFIX)
		return jf_error_set(
		    err, JF_ELIMIT, "npy: shape (%d, %d, %d, %d) is too large", n, height, width, channels);
	*data = malloc(PREFIX + count);
	if (!*data)
		return jf_error_set(err, JF_ENOMEM, "npy: out of memory (%zu bytes)", PREFIX + count);
	write_prefix(*data, n, height, width, channels);
	jf_floats_to_bytes(*data + PREFIX, images, count);
	*size_bytes = PREFIX + count;
	return JF_OK;
}

enum jf_err jf_npy_write(
    const char *path, const float *images, int n, int height, int width, int channels, struct jf_error *err) {
	uint8_t *data;
	size_t size;
	enum jf_err status = jf_npy_encode(&data, &size, images, n, height, width, channels, err);

	if (status) {
		jf_error_prefix(err, "%s", path);
		return status;
	}
	status = jf_file_write(path, data, size, err);
	free(data);
	return status;
}
