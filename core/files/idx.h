/* IDX files, plain or gzip, as MNIST, Fashion-MNIST and EMNIST are published.
 * Format: big-endian magic 00 00 08 RANK (08 = unsigned byte), RANK sizes of 4 bytes, then the bytes, row-major.
 * Source: http://yann.lecun.com/exdb/mnist/ ("the IDX file format"). */
#ifndef JF_CORE_FILES_IDX_H
#define JF_CORE_FILES_IDX_H

#include <stddef.h>

#include "core/base/error.h"

#define JF_IDX_MAX_RANK 4

struct jf_idx {
	int rank;
	size_t shape[JF_IDX_MAX_RANK];
	unsigned char *values; /* inside `memory` */
	unsigned char *memory; /* owned */
};

/* Reads unsigned bytes of rank 1 (labels), 3 (grey images) or 4 (images with channels). JF_EFORMAT when the magic, the
 * sizes and the length of the file do not agree; messages name the file and what was expected. */
enum jf_err jf_idx_read(struct jf_idx *out, const char *path, struct jf_error *err);
/* The same from memory; `bytes` (new, from malloc) is owned by *out on success only. `name` appears in messages. */
enum jf_err jf_idx_parse(struct jf_idx *out, unsigned char *bytes, size_t size, const char *name, struct jf_error *err);
void jf_idx_deinit(struct jf_idx *idx);

#endif
