#include "config.h"

#include "cli/onnx_file.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/onnx.pb-c.h"
#include "core/base/file.h"

#define IR_VERSION 8
#define OPERATOR_SET 17

/* Every message and string of the model hangs on one chain, so that destroying is one loop. */
struct piece {
	struct piece *next;
	max_align_t data[];
};

struct onnx {
	struct piece *pieces;
	bool failed;
	Onnx__ModelProto model;
	Onnx__GraphProto graph;
	Onnx__NodeProto *last; /* the operator that was added last */
};

static void *take(struct onnx *onnx, size_t size) {
	struct piece *piece = onnx->failed ? NULL : calloc(1, sizeof(*piece) + size);

	if (!piece) {
		onnx->failed = true;
		return NULL;
	}
	piece->next = onnx->pieces;
	onnx->pieces = piece;
	return piece->data;
}

static void *copy(struct onnx *onnx, const void *data, size_t size) {
	void *to = take(onnx, size);

	return to && size ? memcpy(to, data, size) : to;
}

static char *text(struct onnx *onnx, const char *from) {
	return copy(onnx, from, strlen(from) + 1);
}

/* Appends to one of protobuf-c's arrays of pointers; they double, starting at 8. */
static bool append(struct onnx *onnx, void *array, size_t *n, void *item) {
	void **old, **bigger;

	if (!item || onnx->failed)
		return false;
	memcpy(&old, array, sizeof(old));
	if ((*n & (*n - 1)) == 0 && (*n >= 8 || *n == 0)) {
		bigger = take(onnx, (*n ? 2 * *n : 8) * sizeof(*bigger));
		if (!bigger)
			return false;
		if (*n)
			memcpy(bigger, old, *n * sizeof(*bigger));
		old = bigger;
		memcpy(array, &old, sizeof(old));
	}
	old[(*n)++] = item;
	return true;
}

struct onnx *onnx_create(const char *name) {
	struct onnx *onnx = calloc(1, sizeof(*onnx));

	if (!onnx)
		return NULL;
	onnx__model_proto__init(&onnx->model);
	onnx__graph_proto__init(&onnx->graph);
	onnx->model.graph = &onnx->graph;
	onnx->graph.name = text(onnx, name);
	return onnx;
}

void onnx_destroy(struct onnx *onnx) {
	if (!onnx)
		return;
	for (struct piece *next, *piece = onnx->pieces; piece; piece = next) {
		next = piece->next;
		free(piece);
	}
	free(onnx);
}

const char *onnx_name(struct onnx *onnx, const char *format, ...) {
	char buffer[256];
	const char *name;
	va_list args;

	va_start(args, format);
	vsnprintf(buffer, sizeof(buffer), format, args);
	va_end(args);
	name = text(onnx, buffer);
	return name ? name : "";
}

const char *onnx_op(struct onnx *onnx, const char *node, const char *type, ...) {
	Onnx__NodeProto *op = take(onnx, sizeof(*op));
	const char *input;
	va_list args;
	char *name;

	if (!op)
		return "";
	onnx__node_proto__init(op);
	onnx->last = op;
	name = text(onnx, onnx_name(onnx, "%s/%s_%zu", node, type, onnx->graph.n_node));
	op->name = name;
	op->op_type = text(onnx, type);
	va_start(args, type);
	while ((input = va_arg(args, const char *)))
		append(onnx, &op->input, &op->n_input, text(onnx, input));
	va_end(args);
	append(onnx, &op->output, &op->n_output, name);
	return append(onnx, &onnx->graph.node, &onnx->graph.n_node, op) ? name : "";
}

static Onnx__AttributeProto *attribute(struct onnx *onnx, const char *name, Onnx__AttributeProto__AttributeType type) {
	Onnx__AttributeProto *a = take(onnx, sizeof(*a));

	if (!a)
		return NULL;
	onnx__attribute_proto__init(a);
	a->name = text(onnx, name);
	a->has_type = 1;
	a->type = type;
	return append(onnx, &onnx->last->attribute, &onnx->last->n_attribute, a) ? a : NULL;
}

void onnx_attribute_int(struct onnx *onnx, const char *name, int64_t value) {
	Onnx__AttributeProto *a = attribute(onnx, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);

	if (!a)
		return;
	a->has_i = 1;
	a->i = value;
}

void onnx_attribute_ints(struct onnx *onnx, const char *name, int n, const int64_t *values) {
	Onnx__AttributeProto *a = attribute(onnx, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);

	if (!a)
		return;
	a->ints = copy(onnx, values, (size_t)n * sizeof(*values));
	a->n_ints = a->ints ? (size_t)n : 0;
}

void onnx_attribute_float(struct onnx *onnx, const char *name, float value) {
	Onnx__AttributeProto *a = attribute(onnx, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);

	if (!a)
		return;
	a->has_f = 1;
	a->f = value;
}

void onnx_attribute_text(struct onnx *onnx, const char *name, const char *value) {
	Onnx__AttributeProto *a = attribute(onnx, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);

	if (!a)
		return;
	a->has_s = 1;
	a->s.data = (uint8_t *)text(onnx, value);
	a->s.len = a->s.data ? strlen(value) : 0;
}

void onnx_rename(struct onnx *onnx, const char *name) {
	if (!onnx->failed)
		onnx->last->output[0] = text(onnx, name);
}

static const char *constant(struct onnx *onnx, const char *name, Onnx__TensorProto__DataType type, int rank,
    const int64_t *dims, const void *values, size_t size) {
	Onnx__TensorProto *t = take(onnx, sizeof(*t));
	size_t count = 1;

	if (!t)
		return "";
	for (int i = 0; i < rank; i++)
		count *= (size_t)dims[i];
	onnx__tensor_proto__init(t);
	t->name = text(onnx, name ? name : onnx_name(onnx, "constant_%zu", onnx->graph.n_initializer));
	t->has_data_type = 1;
	t->data_type = (int32_t)type;
	t->dims = copy(onnx, dims, (size_t)rank * sizeof(*dims));
	t->n_dims = t->dims ? (size_t)rank : 0;
	t->has_raw_data = 1; /* little-endian by the format's rule, as the host is (core/files/safetensors.c) */
	t->raw_data.data = copy(onnx, values, count * size);
	t->raw_data.len = t->raw_data.data ? count * size : 0;
	return append(onnx, &onnx->graph.initializer, &onnx->graph.n_initializer, t) ? t->name : "";
}

const char *onnx_floats(struct onnx *onnx, const char *name, int rank, const int64_t *dims, const float *values) {
	return constant(onnx, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dims, values, sizeof(*values));
}

const char *onnx_ints(struct onnx *onnx, const char *name, int n, const int64_t *values) {
	const int64_t dims[] = {n};

	return constant(onnx, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, dims, values, sizeof(*values));
}

static void add_dimension(struct onnx *onnx, Onnx__TensorShapeProto *shape, int64_t value, const char *parameter) {
	Onnx__TensorShapeProto__Dimension *d = take(onnx, sizeof(*d));

	if (!d)
		return;
	onnx__tensor_shape_proto__dimension__init(d);
	if (parameter) {
		d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
		d->dim_param = text(onnx, parameter);
	} else {
		d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		d->dim_value = value;
	}
	append(onnx, &shape->dim, &shape->n_dim, d);
}

static Onnx__ValueInfoProto *value_info(
    struct onnx *onnx, const char *name, const char *doc, enum onnx_type type, int rank, const int64_t *dims) {
	Onnx__ValueInfoProto *value = take(onnx, sizeof(*value));
	Onnx__TypeProto *of = take(onnx, sizeof(*of));
	Onnx__TypeProto__Tensor *tensor = take(onnx, sizeof(*tensor));
	Onnx__TensorShapeProto *shape = take(onnx, sizeof(*shape));

	if (onnx->failed)
		return NULL;
	onnx__value_info_proto__init(value);
	onnx__type_proto__init(of);
	onnx__type_proto__tensor__init(tensor);
	onnx__tensor_shape_proto__init(shape);
	value->name = text(onnx, name);
	value->doc_string = text(onnx, doc);
	value->type = of;
	of->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	of->tensor_type = tensor;
	tensor->has_elem_type = 1;
	tensor->elem_type = type == ONNX_INT64 ? (int32_t)ONNX__TENSOR_PROTO__DATA_TYPE__INT64
					       : (int32_t)ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
	tensor->shape = shape;
	add_dimension(onnx, shape, 0, "N");
	for (int i = 0; i < rank; i++)
		add_dimension(onnx, shape, dims[i], NULL);
	return value;
}

void onnx_input(struct onnx *onnx, const char *name, const char *doc, int rank, const int64_t *dims) {
	append(onnx, &onnx->graph.input, &onnx->graph.n_input, value_info(onnx, name, doc, ONNX_FLOAT, rank, dims));
}

void onnx_output(
    struct onnx *onnx, const char *name, const char *doc, enum onnx_type type, int rank, const int64_t *dims) {
	append(onnx, &onnx->graph.output, &onnx->graph.n_output, value_info(onnx, name, doc, type, rank, dims));
}

void onnx_metadata(struct onnx *onnx, const char *key, const char *value) {
	Onnx__StringStringEntryProto *entry = take(onnx, sizeof(*entry));

	if (!entry)
		return;
	onnx__string_string_entry_proto__init(entry);
	entry->key = text(onnx, key);
	entry->value = text(onnx, value);
	append(onnx, &onnx->model.metadata_props, &onnx->model.n_metadata_props, entry);
}

static void finish(struct onnx *onnx, const char *doc) {
	Onnx__OperatorSetIdProto *set = take(onnx, sizeof(*set));

	if (!set)
		return;
	onnx__operator_set_id_proto__init(set);
	set->domain = text(onnx, "");
	set->has_version = 1;
	set->version = OPERATOR_SET;
	onnx->model.has_ir_version = 1;
	onnx->model.ir_version = IR_VERSION;
	onnx->model.producer_name = text(onnx, PACKAGE_NAME);
	onnx->model.producer_version = text(onnx, PACKAGE_VERSION);
	onnx->model.doc_string = text(onnx, doc);
	append(onnx, &onnx->model.opset_import, &onnx->model.n_opset_import, set);
}

enum jf_err onnx_write(struct onnx *onnx, const char *path, const char *doc, struct jf_error *err) {
	uint8_t *data = NULL;
	enum jf_err rc;
	size_t size;

	finish(onnx, doc);
	if (!onnx->failed) {
		size = onnx__model_proto__get_packed_size(&onnx->model);
		data = malloc(size);
	}
	if (!data)
		return jf_error_set(err, JF_ENOMEM, "out of memory for '%s'", path);
	onnx__model_proto__pack(&onnx->model, data);
	rc = jf_file_write(path, data, size, err);
	free(data);
	return rc;
}
