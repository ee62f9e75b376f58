/* Whole files, plain or gzip, into memory: the wrapper of zlib. */
#ifndef JF_CORE_BASE_INFLATE_H
#define JF_CORE_BASE_INFLATE_H

#include <stddef.h>

#include <stdbool.h>

#include "core/base/error.h"

/* Reads all of `path`, unpacked when it is gzip. *data: new, [*size], caller frees; untouched on failure.
 * JF_EIO when it cannot be read, JF_EFORMAT when the gzip stream is damaged or cut short, JF_ELIMIT above
 * `max_size` unpacked bytes, JF_EEMPTY when it is empty. Every message begins with the path. */
enum jf_err jf_inflate_file(
    unsigned char **data, size_t *size, const char *path, size_t max_size, struct jf_error *err);

/* A deflate stream without a wrapper (as in ZIP) of exactly `size` unpacked bytes -> out[size]. False when it is
 * damaged, or of another length. Both sizes below 4 GiB. */
bool jf_inflate_raw(unsigned char *out, size_t size, const unsigned char *packed, size_t packed_size);

#endif
