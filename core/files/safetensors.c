#include "core/files/safetensors.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/json.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are copied as they lie in the file");

#define LENGTH_SIZE 8 /* of the header length in front */
#define MAX_DEPTH 3   /* header, tensor, its shape */
#define METADATA "__metadata__"

static const struct {
	const char *name;
	size_t size_bytes;
} dtypes[JF_N_DTYPES] = {
    [JF_DTYPE_BOOL] = {"BOOL", 1},
    [JF_DTYPE_U8] = {"U8", 1},
    [JF_DTYPE_I8] = {"I8", 1},
    [JF_DTYPE_I16] = {"I16", 2},
    [JF_DTYPE_U16] = {"U16", 2},
    [JF_DTYPE_F16] = {"F16", 2},
    [JF_DTYPE_BF16] = {"BF16", 2},
    [JF_DTYPE_I32] = {"I32", 4},
    [JF_DTYPE_U32] = {"U32", 4},
    [JF_DTYPE_F32] = {"F32", 4},
    [JF_DTYPE_F64] = {"F64", 8},
    [JF_DTYPE_I64] = {"I64", 8},
    [JF_DTYPE_U64] = {"U64", 8},
};

const char *jf_dtype_name(enum jf_dtype dtype) {
	return (unsigned)dtype < JF_N_DTYPES ? dtypes[dtype].name : "unknown";
}

size_t jf_dtype_size(enum jf_dtype dtype) {
	return (unsigned)dtype < JF_N_DTYPES ? dtypes[dtype].size_bytes : 0;
}

/* Bytes of the whole tensor; false when the product does not fit. */
static bool tensor_bytes(size_t *bytes, const struct jf_tensor *tensor) {
	uint64_t product = jf_dtype_size(tensor->dtype);
	bool empty = false;

	/* A zero anywhere makes it empty, but not before the other factors have been looked at. */
	for (int i = 0; i < tensor->rank; i++) {
		if (tensor->shape[i] == 0)
			empty = true;
		else if (__builtin_mul_overflow(product, tensor->shape[i], &product))
			return false;
	}
	*bytes = empty ? 0 : product;
	return product <= INT64_MAX;
}

/* --- reading --- */

struct jf_safetensors {
	char *origin;
	uint8_t *owned; /* the file's bytes when we read them; NULL when they are the caller's */
	const uint8_t *data;
	size_t size_bytes;
	struct jf_json *header;    /* owns all names and values below */
	struct jf_tensor *tensors; /* in the order of their data */
	size_t n_tensors;
	struct jf_metadata *metadata;
	size_t n_metadata;
	char checksum[JF_SHA256_HEX];
};

/* A name for a message: cut, and without anything that a terminal would act on. */
struct shown {
	char text[64];
};

static struct shown show(const char *name) {
	struct shown shown;

	snprintf(shown.text, sizeof(shown.text), "%s", name);
	for (char *c = shown.text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	return shown;
}

static enum jf_err read_header(struct jf_safetensors *file, uint64_t *header_bytes, struct jf_error *err) {
	const char *text = (const char *)file->data + LENGTH_SIZE;
	uint64_t length;

	if (file->size_bytes < LENGTH_SIZE)
		return jf_error_set(
		    err, JF_EFORMAT, "truncated: %zu bytes, and the header's length alone takes 8", file->size_bytes);
	memcpy(&length, file->data, LENGTH_SIZE);
	if (length > JF_SAFETENSORS_MAX_HEADER)
		return jf_error_set(err, JF_ELIMIT,
		    "not a safetensors file: a header of %" PRIu64 " bytes; the limit is %zu", length,
		    JF_SAFETENSORS_MAX_HEADER);
	if (length > file->size_bytes - LENGTH_SIZE)
		return jf_error_set(err, JF_EFORMAT, "truncated: the header has %" PRIu64 " bytes, %zu are left",
		    length, file->size_bytes - LENGTH_SIZE);
	if (length < 2 || text[0] != '{')
		return jf_error_set(err, JF_EFORMAT, "not a safetensors file: the header does not begin with {");
	file->header = jf_json_parse(text, (size_t)length, MAX_DEPTH, err);
	if (!file->header)
		return jf_error_prefix(err, "header");
	*header_bytes = length;
	return JF_OK;
}

static enum jf_err read_metadata(struct jf_safetensors *file, const struct jf_json *value, struct jf_error *err) {
	struct jf_json_member member = {0};
	struct jf_metadata *entry;

	if (jf_json_type(value) != JF_JSON_OBJECT)
		return jf_error_set(
		    err, JF_EFORMAT, METADATA " must be an object, not %s", jf_json_type_name(jf_json_type(value)));
	file->metadata = calloc(jf_json_size(value) + 1, sizeof(*file->metadata));
	if (!file->metadata)
		return jf_error_set(err, JF_ENOMEM, "out of memory");
	entry = file->metadata;
	while (jf_json_next(value, &member)) {
		entry->key = member.key;
		if (jf_json_read_string(member.value, &entry->value, NULL, err))
			return jf_error_prefix(err, METADATA ": \"%s\"", show(member.key).text);
		entry++;
	}
	file->n_metadata = (size_t)(entry - file->metadata);
	return JF_OK;
}

static enum jf_err read_dtype(struct jf_tensor *tensor, const struct jf_json *value, struct jf_error *err) {
	const char *name;

	if (jf_json_read_string(value, &name, NULL, err))
		return jf_error_prefix(err, "dtype");
	for (int i = 0; i < JF_N_DTYPES; i++)
		if (strcmp(name, dtypes[i].name) == 0) {
			tensor->dtype = (enum jf_dtype)i;
			return JF_OK;
		}
	return jf_error_set(err, JF_EFORMAT, "dtype \"%s\" is not known", show(name).text);
}

static enum jf_err read_shape(struct jf_tensor *tensor, const struct jf_json *value, struct jf_error *err) {
	size_t rank = jf_json_size(value);

	if (jf_json_type(value) != JF_JSON_ARRAY)
		return jf_error_set(
		    err, JF_EFORMAT, "shape must be an array, not %s", jf_json_type_name(jf_json_type(value)));
	if (rank > JF_TENSOR_MAX_RANK)
		return jf_error_set(
		    err, JF_ELIMIT, "shape has %zu dimensions; the limit is %d", rank, JF_TENSOR_MAX_RANK);
	tensor->rank = (int)rank;
	for (size_t i = 0; i < rank; i++) {
		int64_t size;

		if (jf_json_read_integer(jf_json_at(value, i), &size, 0, INT64_MAX, err))
			return jf_error_prefix(err, "shape[%zu]", i);
		tensor->shape[i] = (uint64_t)size;
	}
	return JF_OK;
}

/* Checks offsets against the data section and the shape; sets data and size_bytes. */
static enum jf_err read_offsets(struct jf_tensor *tensor, const struct jf_json *value, const uint8_t *data,
    uint64_t data_bytes, struct jf_error *err) {
	int64_t offset[2];
	size_t bytes;

	if (jf_json_type(value) != JF_JSON_ARRAY || jf_json_size(value) != 2)
		return jf_error_set(err, JF_EFORMAT, "data_offsets must be an array of 2 integers");
	for (size_t i = 0; i < 2; i++)
		if (jf_json_read_integer(jf_json_at(value, i), &offset[i], 0, INT64_MAX, err))
			return jf_error_prefix(err, "data_offsets[%zu]", i);
	if (offset[0] > offset[1])
		return jf_error_set(
		    err, JF_EFORMAT, "data_offsets [%" PRId64 ", %" PRId64 "] run backwards", offset[0], offset[1]);
	if ((uint64_t)offset[1] > data_bytes)
		return jf_error_set(err, JF_EFORMAT,
		    "its data ends at byte %" PRId64 " of %" PRIu64 ": truncated or a wrong offset", offset[1],
		    data_bytes);
	if (!tensor_bytes(&bytes, tensor))
		return jf_error_set(err, JF_EFORMAT, "shape: the number of bytes overflows");
	if (bytes != (uint64_t)(offset[1] - offset[0]))
		return jf_error_set(err, JF_EFORMAT, "shape and dtype make %zu bytes, data_offsets %" PRId64, bytes,
		    offset[1] - offset[0]);
	if ((size_t)offset[0] % jf_dtype_size(tensor->dtype) != 0)
		return jf_error_set(err, JF_EFORMAT, "its data begins at byte %" PRId64 ", not a multiple of %s's %zu",
		    offset[0], jf_dtype_name(tensor->dtype), jf_dtype_size(tensor->dtype));
	tensor->data = data + offset[0];
	tensor->size_bytes = bytes;
	return JF_OK;
}

static enum jf_err read_tensor(struct jf_tensor *tensor, const struct jf_json *value, const uint8_t *data,
    uint64_t data_bytes, struct jf_error *err) {
	static const char *const keys[] = {"dtype", "shape", "data_offsets"};
	struct jf_json_member member = {0};
	enum jf_err status;

	if (tensor->name[0] == '\0')
		return jf_error_set(err, JF_EFORMAT, "a name must not be empty");
	if (jf_json_type(value) != JF_JSON_OBJECT)
		return jf_error_set(
		    err, JF_EFORMAT, "must be an object, not %s", jf_json_type_name(jf_json_type(value)));
	for (size_t i = 0; i < 3; i++)
		if (!jf_json_get(value, keys[i]))
			return jf_error_set(err, JF_EFORMAT, "%s is missing", keys[i]);
	while (jf_json_next(value, &member))
		if (strcmp(member.key, keys[0]) != 0 && strcmp(member.key, keys[1]) != 0 &&
		    strcmp(member.key, keys[2]) != 0)
			return jf_error_set(err, JF_EFORMAT, "unknown key \"%s\"", show(member.key).text);
	status = read_dtype(tensor, jf_json_get(value, "dtype"), err);
	if (!status)
		status = read_shape(tensor, jf_json_get(value, "shape"), err);
	if (!status)
		status = read_offsets(tensor, jf_json_get(value, "data_offsets"), data, data_bytes, err);
	return status;
}

static int by_position(const void *a, const void *b) {
	const struct jf_tensor *left = a, *right = b;
	const uint8_t *x = left->data, *y = right->data;

	if (x != y)
		return x < y ? -1 : 1;
	if (left->size_bytes != right->size_bytes) /* an empty tensor before the one that begins at the same byte */
		return left->size_bytes < right->size_bytes ? -1 : 1;
	return strcmp(left->name, right->name);
}

/* Every byte of the data belongs to exactly one tensor. */
static enum jf_err check_cover(
    const struct jf_safetensors *file, const uint8_t *data, uint64_t data_bytes, struct jf_error *err) {
	const uint8_t *expected = data;

	for (size_t i = 0; i < file->n_tensors; i++) {
		const struct jf_tensor *tensor = &file->tensors[i];
		const uint8_t *begin = tensor->data;

		if (begin < expected)
			return jf_error_set(err, JF_EFORMAT, "tensors %s and %s overlap",
			    show(file->tensors[i - 1].name).text, show(tensor->name).text);
		if (begin > expected)
			return jf_error_set(err, JF_EFORMAT, "%td bytes before tensor %s belong to no tensor",
			    begin - expected, show(tensor->name).text);
		expected = begin + tensor->size_bytes;
	}
	if (expected != data + data_bytes)
		return jf_error_set(
		    err, JF_EFORMAT, "%td bytes at the end belong to no tensor", data + data_bytes - expected);
	return JF_OK;
}

static enum jf_err read_all(struct jf_safetensors *file, struct jf_error *err) {
	struct jf_json_member member = {0};
	uint64_t header_bytes = 0, data_bytes;
	const uint8_t *data;
	enum jf_err status = read_header(file, &header_bytes, err);

	if (status)
		return status;
	data = file->data + LENGTH_SIZE + header_bytes;
	data_bytes = file->size_bytes - LENGTH_SIZE - header_bytes;
	file->tensors = calloc(jf_json_size(file->header) + 1, sizeof(*file->tensors));
	if (!file->tensors)
		return jf_error_set(err, JF_ENOMEM, "out of memory");
	while (jf_json_next(file->header, &member)) {
		struct jf_tensor *tensor = &file->tensors[file->n_tensors];

		if (strcmp(member.key, METADATA) == 0) {
			status = read_metadata(file, member.value, err);
		} else {
			tensor->name = member.key;
			status = read_tensor(tensor, member.value, data, data_bytes, err);
			if (status)
				jf_error_prefix(err, "tensor %s", show(member.key).text);
			file->n_tensors++;
		}
		if (status)
			return status;
	}
	qsort(file->tensors, file->n_tensors, sizeof(*file->tensors), by_position);
	return check_cover(file, data, data_bytes, err);
}

/* Takes over `owned` (may be NULL), also on failure. */
static struct jf_safetensors *parse(
    uint8_t *owned, const void *data, size_t size_bytes, const char *origin, struct jf_error *err) {
	struct jf_safetensors *file = calloc(1, sizeof(*file));

	if (!file) {
		free(owned);
		jf_error_set(err, JF_ENOMEM, "%s: out of memory", origin);
		return NULL;
	}
	file->owned = owned;
	file->data = data;
	file->size_bytes = size_bytes;
	file->origin = strdup(origin);
	if (!file->origin)
		jf_error_set(err, JF_ENOMEM, "out of memory");
	if (!file->origin || read_all(file, err)) {
		jf_error_prefix(err, "%s", origin);
		if (err && err->code == JF_EINVAL) /* a number out of range: the file's fault, not the caller's */
			err->code = JF_EFORMAT;
		jf_safetensors_close(file);
		return NULL;
	}
	jf_sha256_hex(file->checksum, data, size_bytes);
	return file;
}

struct jf_safetensors *jf_safetensors_parse(
    const void *data, size_t size_bytes, const char *origin, struct jf_error *err) {
	return parse(NULL, data, size_bytes, origin, err);
}

struct jf_safetensors *jf_safetensors_open(const char *path, struct jf_error *err) {
	uint8_t *data;
	size_t size;

	if (jf_file_read(&data, &size, path, JF_SAFETENSORS_MAX_FILE, err))
		return NULL;
	return parse(data, data, size, path, err);
}

void jf_safetensors_close(struct jf_safetensors *file) {
	if (!file)
		return;
	free(file->tensors);
	free(file->metadata);
	jf_json_free(file->header);
	free(file->origin);
	free(file->owned);
	free(file);
}

const char *jf_safetensors_origin(const struct jf_safetensors *file) {
	return file->origin;
}

const char *jf_safetensors_checksum(const struct jf_safetensors *file) {
	return file->checksum;
}

size_t jf_safetensors_count(const struct jf_safetensors *file) {
	return file->n_tensors;
}

const struct jf_tensor *jf_safetensors_at(const struct jf_safetensors *file, size_t i) {
	return i < file->n_tensors ? &file->tensors[i] : NULL;
}

const struct jf_tensor *jf_safetensors_find(const struct jf_safetensors *file, const char *name) {
	for (size_t i = 0; i < file->n_tensors; i++)
		if (strcmp(file->tensors[i].name, name) == 0)
			return &file->tensors[i];
	return NULL;
}

size_t jf_safetensors_metadata_count(const struct jf_safetensors *file) {
	return file->n_metadata;
}

const struct jf_metadata *jf_safetensors_metadata_at(const struct jf_safetensors *file, size_t i) {
	return i < file->n_metadata ? &file->metadata[i] : NULL;
}

const char *jf_safetensors_metadata(const struct jf_safetensors *file, const char *key) {
	for (size_t i = 0; i < file->n_metadata; i++)
		if (strcmp(file->metadata[i].key, key) == 0)
			return file->metadata[i].value;
	return NULL;
}

static enum jf_err copy_out(
    const struct jf_safetensors *file, const char *name, float *out, size_t count, struct jf_error *err) {
	const struct jf_tensor *tensor = jf_safetensors_find(file, name);

	if (!tensor)
		return jf_error_set(err, JF_EFORMAT, "%s: tensor %s is missing", file->origin, name);
	if (tensor->dtype != JF_DTYPE_F32)
		return jf_error_set(err, JF_EFORMAT, "%s: tensor %s: dtype %s, expected F32", file->origin, name,
		    jf_dtype_name(tensor->dtype));
	if (tensor->size_bytes / sizeof(*out) != count)
		return jf_error_set(err, JF_EFORMAT, "%s: tensor %s: %zu elements, expected %zu", file->origin, name,
		    tensor->size_bytes / sizeof(*out), count);
	if (count > 0)
		memcpy(out, tensor->data, tensor->size_bytes);
	return JF_OK;
}

enum jf_err jf_safetensors_read_f32(
    const struct jf_safetensors *file, const char *name, float *out, size_t count, struct jf_error *err) {
	enum jf_err status = copy_out(file, name, out, count, err);

	for (size_t i = 0; !status && i < count; i++) {
		uint32_t bits;

		memcpy(&bits, &out[i], sizeof(bits));
		if ((bits & 0x7f800000u) == 0x7f800000u)
			status = jf_error_set(err, JF_ENUMERIC, "%s: tensor %s: element %zu is %s", file->origin, name,
			    i, bits & 0x007fffffu ? "NaN" : "infinite");
	}
	return status;
}
