/* The safetensors format: named tensors and string metadata in one file.
 *
 * 8 bytes little-endian header length, JSON header, raw tensors. Reading trusts nothing: header size, JSON, names,
 * dtypes, shapes, products, offsets, overlaps, gaps and the total length are checked before anything is used.
 * For checkpoints see core/files/checkpoint.h; this generic layer also serves the training state. */
#ifndef JF_CORE_FILES_SAFETENSORS_H
#define JF_CORE_FILES_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

#define JF_TENSOR_MAX_RANK 8
#define JF_SAFETENSORS_MAX_HEADER ((size_t)16 << 20)
#define JF_SAFETENSORS_MAX_FILE ((size_t)8 << 30)

enum jf_dtype {
	JF_DTYPE_BOOL,
	JF_DTYPE_U8,
	JF_DTYPE_I8,
	JF_DTYPE_I16,
	JF_DTYPE_U16,
	JF_DTYPE_F16,
	JF_DTYPE_BF16,
	JF_DTYPE_I32,
	JF_DTYPE_U32,
	JF_DTYPE_F32,
	JF_DTYPE_F64,
	JF_DTYPE_I64,
	JF_DTYPE_U64,
	JF_N_DTYPES
};
const char *jf_dtype_name(enum jf_dtype dtype); /* "F32" ... */
size_t jf_dtype_size(enum jf_dtype dtype);      /* bytes of one element */

/* One tensor. Whoever fills the struct says who owns name and data; the functions below only borrow. */
struct jf_tensor {
	const char *name;
	enum jf_dtype dtype;
	int rank; /* 0 (a scalar) to JF_TENSOR_MAX_RANK */
	uint64_t shape[JF_TENSOR_MAX_RANK];
	const void *data;  /* little-endian elements, row-major; may be unaligned: copy with memcpy */
	size_t size_bytes; /* set by the reader; the writer computes it */
};

struct jf_metadata {
	const char *key;
	const char *value; /* UTF-8 */
};

/* --- reading --- */
struct jf_safetensors;

/* origin: the name that begins every message (a path, "upload"). NULL on failure, *err says why: JF_EFORMAT, JF_ELIMIT,
 * JF_ENOMEM, and JF_EIO from open. parse borrows data for the life of the result; open reads the file into its own
 * memory. */
struct jf_safetensors *jf_safetensors_parse(
    const void *data, size_t size_bytes, const char *origin, struct jf_error *err);
struct jf_safetensors *jf_safetensors_open(const char *path, struct jf_error *err);
void jf_safetensors_close(struct jf_safetensors *file); /* NULL allowed */

const char *jf_safetensors_origin(const struct jf_safetensors *file);
const char *jf_safetensors_checksum(const struct jf_safetensors *file); /* SHA-256 of all bytes, hex */
size_t jf_safetensors_count(const struct jf_safetensors *file);
const struct jf_tensor *jf_safetensors_at(const struct jf_safetensors *file, size_t i); /* in the order of their data */
const struct jf_tensor *jf_safetensors_find(const struct jf_safetensors *file, const char *name); /* or NULL */
size_t jf_safetensors_metadata_count(const struct jf_safetensors *file);
const struct jf_metadata *jf_safetensors_metadata_at(const struct jf_safetensors *file, size_t i);
const char *jf_safetensors_metadata(const struct jf_safetensors *file, const char *key); /* or NULL */

/* Copies a whole tensor out: it must exist, have that dtype and exactly `count` elements in all (any shape); floats
 * must be finite (JF_ENUMERIC names tensor and element). JF_EFORMAT otherwise; every message names file and tensor. */
enum jf_err jf_safetensors_read_f32(
    const struct jf_safetensors *file, const char *name, float *out, size_t count, struct jf_error *err);

/* --- writing --- */

/* A tensor for the writer; name and data borrowed. JF_TENSOR_1D("ema.0", JF_DTYPE_F32, values, count) */
#define JF_TENSOR_1D(name_, dtype_, data_, count_) \
	((struct jf_tensor){.name = (name_), .dtype = (dtype_), .rank = 1, .shape = {(count_)}, .data = (data_)})

/* Saves atomically (core/base/file.h): on any failure the old file stays. Tensors are laid out by element size (largest
 * first), then in the order given, so all are aligned. Same input, same bytes.
 * JF_EINVAL (duplicate or empty name, bad shape, not UTF-8), JF_EIO (names file and cause), JF_ENOMEM. */
enum jf_err jf_safetensors_save(const char *path, const struct jf_tensor *tensors, size_t n_tensors,
    const struct jf_metadata *metadata, size_t n_metadata, struct jf_error *err);

/* The same bytes into memory: *data malloc'd, caller frees; NULL on failure. */
enum jf_err jf_safetensors_encode(uint8_t **data, size_t *size_bytes, const struct jf_tensor *tensors, size_t n_tensors,
    const struct jf_metadata *metadata, size_t n_metadata, struct jf_error *err);

#endif
