/* Writing safetensors. Reading is in safetensors.c. */
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/files/safetensors.h"

#define LENGTH_SIZE 8

/* What is to be written where: found out, and checked, before the first byte is. */
struct layout {
	const struct jf_tensor *tensors;
	size_t n;
	size_t *order;      /* [n] indices as they lie in the file: larger elements first, then as given */
	size_t *size_bytes; /* [n] by index */
	size_t data_bytes;
	char *header; /* length, JSON, padding */
	size_t header_bytes;
};

static enum jf_err check_tensor(size_t *bytes, const struct jf_tensor *tensor, struct jf_error *err) {
	uint64_t product = jf_dtype_size(tensor->dtype);

	if (!tensor->name || tensor->name[0] == '\0' || strcmp(tensor->name, "__metadata__") == 0 ||
	    !jf_utf8_valid(tensor->name, strlen(tensor->name)))
		return jf_error_set(
		    err, JF_EINVAL, "a tensor cannot be named \"%s\"", tensor->name ? tensor->name : "");
	if (product == 0 || tensor->rank < 0 || tensor->rank > JF_TENSOR_MAX_RANK)
		return jf_error_set(
		    err, JF_EINVAL, "tensor %s: dtype %d, rank %d", tensor->name, (int)tensor->dtype, tensor->rank);
	for (int i = 0; i < tensor->rank; i++)
		if (tensor->shape[i] > INT64_MAX || __builtin_mul_overflow(product, tensor->shape[i], &product))
			return jf_error_set(err, JF_EINVAL, "tensor %s: the number of bytes overflows", tensor->name);
	if (product > JF_SAFETENSORS_MAX_FILE)
		return jf_error_set(err, JF_ELIMIT, "tensor %s: %ju bytes; a file may have %zu", tensor->name,
		    (uintmax_t)product, JF_SAFETENSORS_MAX_FILE);
	*bytes = product;
	return JF_OK;
}

static enum jf_err check_all(struct layout *layout, struct jf_error *err) {
	for (size_t i = 0; i < layout->n; i++) {
		enum jf_err status = check_tensor(&layout->size_bytes[i], &layout->tensors[i], err);

		if (status)
			return status;
		for (size_t j = 0; j < i; j++)
			if (strcmp(layout->tensors[i].name, layout->tensors[j].name) == 0)
				return jf_error_set(
				    err, JF_EINVAL, "two tensors are named %s", layout->tensors[i].name);
		layout->data_bytes += layout->size_bytes[i];
		if (layout->data_bytes > JF_SAFETENSORS_MAX_FILE)
			return jf_error_set(err, JF_ELIMIT, "more than %zu bytes of tensors", JF_SAFETENSORS_MAX_FILE);
	}
	return JF_OK;
}

static void arrange(struct layout *layout) {
	size_t at = 0;

	for (size_t size = 8; size > 0; size /= 2)
		for (size_t i = 0; i < layout->n; i++)
			if (jf_dtype_size(layout->tensors[i].dtype) == size)
				layout->order[at++] = i;
}

static enum jf_err check_metadata(const struct jf_metadata *metadata, size_t n, struct jf_error *err) {
	for (size_t i = 0; i < n; i++) {
		if (!metadata[i].key || !metadata[i].value ||
		    !jf_utf8_valid(metadata[i].key, strlen(metadata[i].key)) ||
		    !jf_utf8_valid(metadata[i].value, strlen(metadata[i].value)))
			return jf_error_set(
			    err, JF_EINVAL, "metadata \"%s\" is not UTF-8", metadata[i].key ? metadata[i].key : "");
		for (size_t j = 0; j < i; j++)
			if (strcmp(metadata[i].key, metadata[j].key) == 0)
				return jf_error_set(
				    err, JF_EINVAL, "two metadata keys are named \"%s\"", metadata[i].key);
	}
	return JF_OK;
}

static void describe(struct jf_json_writer *json, const struct layout *layout) {
	size_t offset = 0;

	for (size_t i = 0; i < layout->n; i++) {
		size_t index = layout->order[i];
		const struct jf_tensor *tensor = &layout->tensors[index];

		jf_json_begin_object(json, tensor->name);
		jf_json_put_string(json, "dtype", jf_dtype_name(tensor->dtype));
		jf_json_begin_array(json, "shape");
		for (int d = 0; d < tensor->rank; d++)
			jf_json_put_unsigned(json, NULL, tensor->shape[d]);
		jf_json_end_array(json);
		jf_json_begin_array(json, "data_offsets");
		jf_json_put_unsigned(json, NULL, offset);
		offset += layout->size_bytes[index];
		jf_json_put_unsigned(json, NULL, offset);
		jf_json_end_array(json);
		jf_json_end_object(json);
	}
}

/* Length, JSON and spaces up to a multiple of 8, so that the data is aligned. */
static enum jf_err write_header(
    struct layout *layout, const struct jf_metadata *metadata, size_t n_metadata, struct jf_error *err) {
	struct jf_json_writer json;
	uint64_t length;

	jf_json_writer_init(&json);
	jf_json_begin_object(&json, NULL);
	if (n_metadata > 0) {
		jf_json_begin_object(&json, "__metadata__");
		for (size_t i = 0; i < n_metadata; i++)
			jf_json_put_string(&json, metadata[i].key, metadata[i].value);
		jf_json_end_object(&json);
	}
	describe(&json, layout);
	jf_json_end_object(&json);
	length = (json.length + 7) / 8 * 8;
	if (!json.failed && length > JF_SAFETENSORS_MAX_HEADER) {
		jf_json_writer_deinit(&json);
		return jf_error_set(err, JF_ELIMIT, "a header of %ju bytes; the limit is %zu", (uintmax_t)length,
		    JF_SAFETENSORS_MAX_HEADER);
	}
	layout->header_bytes = LENGTH_SIZE + length;
	layout->header = json.failed ? NULL : malloc(layout->header_bytes);
	if (layout->header) {
		memcpy(layout->header, &length, LENGTH_SIZE);
		memset(layout->header + LENGTH_SIZE, ' ', length);
		memcpy(layout->header + LENGTH_SIZE, json.text, json.length);
	}
	jf_json_writer_deinit(&json);
	return layout->header ? JF_OK : jf_error_set(err, JF_ENOMEM, "out of memory");
}

static void deinit(struct layout *layout) {
	free(layout->order);
	free(layout->size_bytes);
	free(layout->header);
}

/* deinit in any case. */
static enum jf_err init(struct layout *layout, const struct jf_tensor *tensors, size_t n_tensors,
    const struct jf_metadata *metadata, size_t n_metadata, struct jf_error *err) {
	enum jf_err status;

	*layout = (struct layout){.tensors = tensors, .n = n_tensors};
	layout->order = calloc(n_tensors + 1, sizeof(*layout->order));
	layout->size_bytes = calloc(n_tensors + 1, sizeof(*layout->size_bytes));
	if (!layout->order || !layout->size_bytes)
		return jf_error_set(err, JF_ENOMEM, "out of memory");
	status = check_all(layout, err);
	if (!status)
		status = check_metadata(metadata, n_metadata, err);
	if (status)
		return status;
	arrange(layout);
	return write_header(layout, metadata, n_metadata, err);
}

enum jf_err jf_safetensors_save(const char *path, const struct jf_tensor *tensors, size_t n_tensors,
    const struct jf_metadata *metadata, size_t n_metadata, struct jf_error *err) {
	struct jf_file_writer *writer = NULL;
	struct layout layout;
	enum jf_err status = init(&layout, tensors, n_tensors, metadata, n_metadata, err);

	if (status) {
		jf_error_prefix(err, "%s", path);
		goto out;
	}
	writer = jf_file_writer_open(path, err);
	if (!writer) {
		status = err ? err->code : JF_EIO;
		goto out;
	}
	jf_file_writer_write(writer, layout.header, layout.header_bytes);
	for (size_t i = 0; i < n_tensors; i++)
		jf_file_writer_write(writer, tensors[layout.order[i]].data, layout.size_bytes[layout.order[i]]);
	status = jf_file_writer_commit(writer, err);
out:
	deinit(&layout);
	return status;
}

enum jf_err jf_safetensors_encode(uint8_t **data, size_t *size_bytes, const struct jf_tensor *tensors, size_t n_tensors,
    const struct jf_metadata *metadata, size_t n_metadata, struct jf_error *err) {
	struct layout layout;
	enum jf_err status = init(&layout, tensors, n_tensors, metadata, n_metadata, err);
	size_t at = 0;

	*data = NULL;
	*size_bytes = 0;
	if (status)
		goto out;
	*data = malloc(layout.header_bytes + layout.data_bytes);
	if (!*data) {
		status = jf_error_set(err, JF_ENOMEM, "out of memory");
		goto out;
	}
	memcpy(*data, layout.header, at = layout.header_bytes);
	for (size_t i = 0; i < n_tensors; i++) {
		size_t size = layout.size_bytes[layout.order[i]];

		if (size > 0)
			memcpy(*data + at, tensors[layout.order[i]].data, size);
		at += size;
	}
	*size_bytes = at;
out:
	deinit(&layout);
	return status;
}
