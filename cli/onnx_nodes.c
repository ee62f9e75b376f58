/* Each operation of the network in ONNX's words. A function returns its value's name, NULL when memory ran out. */
#include <math.h>
#include <stdlib.h>

#include "cli/onnx_internal.h"
#include "core/base/rng.h"
#include "core/engine/ops.h"

#define EPSILON 1e-5f /* of all norms: doc/architecture.md */

static bool is_image(struct jf_shape s) {
	return s.rows > 1 && s.columns > 1;
}

static const float *param(const struct export *e, const struct jf_node *node, int slot) {
	return e->model->params + e->graph->params[node->param[slot]].offset;
}

static const char *param_name(const struct export *e, const struct jf_node *node, int slot) {
	return e->graph->params[node->param[slot]].name;
}

/* To [batch as it is][dims...] */
static const char *reshape(
    struct export *e, const struct jf_node *node, const char *x, int n, int64_t a, int64_t b, int64_t c) {
	const int64_t dims[] = {0, a, b, c}; /* 0: the size that is there */

	return op2(e, node, "Reshape", x, onnx_ints(e->onnx, NULL, n + 1, dims));
}

const char *onnx_transpose(
    struct export *e, const struct jf_node *node, const char *x, int n, int64_t a, int64_t b, int64_t c, int64_t d) {
	const int64_t order[] = {a, b, c, d};
	const char *y = op1(e, node, "Transpose", x);

	onnx_attribute_ints(e->onnx, "perm", n, order);
	return y;
}

/* [N][C][H][W] -> [N][H W][C] */
static const char *to_tokens(struct export *e, const struct jf_node *node, const char *x, struct jf_shape s) {
	x = reshape(e, node, x, 2, s.channels, s.rows * s.columns, 0);
	return onnx_transpose(e, node, x, 3, 0, 2, 1, 0);
}

static const char *to_image(struct export *e, const struct jf_node *node, const char *x, struct jf_shape s) {
	x = onnx_transpose(e, node, x, 3, 0, 2, 1, 0);
	return reshape(e, node, x, 3, s.channels, s.rows, s.columns);
}

/* A parameter with its axes permuted: dims [rank] as they are stored, out axis i is stored axis order[i]. */
static const char *turned(struct export *e, const struct jf_node *node, int rank, const int *order) {
	const struct jf_param *p = &e->graph->params[node->param[0]];
	const float *from = param(e, node, 0);
	float *to = malloc(p->size * sizeof(*to));
	int64_t dims[4];
	const char *name;
	size_t strides[4];

	for (int i = 0; i < rank; i++) {
		dims[i] = p->shape[order[i]];
		strides[i] = 1;
		for (int j = order[i] + 1; j < rank; j++)
			strides[i] *= (size_t)p->shape[j];
	}
	for (size_t j = 0; to && j < p->size; j++) {
		size_t rest = j, at = 0;

		for (int i = rank - 1; i >= 0; i--) {
			at += rest % (size_t)dims[i] * strides[i];
			rest /= (size_t)dims[i];
		}
		to[j] = from[at];
	}
	name = to ? onnx_floats(e->onnx, p->name, rank, dims, to) : NULL;
	free(to);
	return name;
}

static const char *time_features(struct export *e, const struct jf_node *node, const char *t) {
	int half = node->shape.channels / 2;
	const int64_t dims[] = {1, half}, one[] = {1, 1};
	const float thousand = 1000.0f;
	float *w = malloc((size_t)half * sizeof(*w));
	const char *angle, *factors;

	if (!w)
		return NULL;
	for (int f = 0; f < half; f++)
		w[f] = expf(-logf(10000.0f) * (float)f / (float)half);
	factors = onnx_floats(e->onnx, NULL, 2, dims, w);
	free(w);
	angle = op2(e, node, "Mul", t, onnx_floats(e->onnx, NULL, 2, one, &thousand));
	angle = op2(e, node, "Mul", angle, factors);
	angle = op2(e, node, "Concat", op1(e, node, "Cos", angle), op1(e, node, "Sin", angle));
	onnx_attribute_int(e->onnx, "axis", 1);
	return angle;
}

static const char *bias_of(struct export *e, const struct jf_node *node) {
	const int64_t dims[] = {node->attr.n};

	return onnx_floats(e->onnx, param_name(e, node, 1), 1, dims, param(e, node, 1));
}

/* A linear layer on the pixels of an image: a 1 x 1 convolution, whose kernel is W transposed. */
static const char *linear_image(struct export *e, const struct jf_node *node, const char *x) {
	const struct jf_param *p = &e->graph->params[node->param[0]];
	const int64_t dims[] = {p->shape[1], p->shape[0], 1, 1};
	const float *from = param(e, node, 0);
	float *to = malloc(p->size * sizeof(*to));
	const char *weight;

	if (!to)
		return NULL;
	for (int k = 0; k < p->shape[0]; k++)
		for (int n = 0; n < p->shape[1]; n++)
			to[(size_t)n * (size_t)p->shape[0] + (size_t)k] =
			    from[(size_t)k * (size_t)p->shape[1] + (size_t)n];
	weight = onnx_floats(e->onnx, p->name, 4, dims, to);
	free(to);
	return onnx_op(e->onnx, node->name, "Conv", x, weight, bias_of(e, node), NULL);
}

static const char *linear_rows(struct export *e, const struct jf_node *node, const char *x, struct jf_shape in) {
	const struct jf_param *p = &e->graph->params[node->param[0]];
	const int64_t dims[] = {p->shape[0], p->shape[1]};
	int rows = node->shape.rows * node->shape.columns;
	const char *y;

	if (is_image(in))
		x = to_tokens(e, node, x, in);
	if (node->attr.m == 1 && in.rows * in.columns > 1)
		x = reshape(e, node, x, 1, node->attr.k, 0, 0);
	y = op2(e, node, "MatMul", x, onnx_floats(e->onnx, p->name, 2, dims, param(e, node, 0)));
	y = op2(e, node, "Add", y, bias_of(e, node));
	if (node->attr.m == 1 && rows > 1)
		y = reshape(e, node, y, 2, rows, node->shape.channels, 0);
	return is_image(node->shape) ? to_image(e, node, y, node->shape) : y;
}

static const char *linear(struct export *e, const struct jf_node *node, const char *x) {
	struct jf_shape in = node_of(e, node->in[0])->shape;

	x = is_image(in) && is_image(node->shape) ? linear_image(e, node, x) : linear_rows(e, node, x, in);
	return x && node->in[1] != JF_NONE ? op2(e, node, "Add", x, e->values[node->in[1]].name) : x;
}

static const char *conv3x3(struct export *e, const struct jf_node *node, const char *x) {
	const int64_t pads[] = {1, 1, 1, 1}, strides[] = {node->attr.stride, node->attr.stride};
	const char *weight = turned(e, node, 4, (const int[]){3, 2, 0, 1}); /* HWIO -> OIHW */
	const char *vector;

	if (!weight)
		return NULL;
	x = onnx_op(e->onnx, node->name, "Conv", x, weight, bias_of(e, node), NULL);
	onnx_attribute_ints(e->onnx, "pads", 4, pads);
	onnx_attribute_ints(e->onnx, "strides", 2, strides);
	if (node->in[1] != JF_NONE) {
		vector = reshape(e, node, e->values[node->in[1]].name, 3, node->shape.channels, 1, 1);
		x = op2(e, node, "Add", x, vector);
	}
	return node->in[2] != JF_NONE ? op2(e, node, "Add", x, e->values[node->in[2]].name) : x;
}

static const char *silu(struct export *e, const struct jf_node *node, const char *x) {
	return op2(e, node, "Mul", x, op1(e, node, "Sigmoid", x));
}

/* GroupNorm is an operator only from set 18 on, and right only from 21 on: normalise [N][G][...] by instance, then
 * scale and shift each channel. */
static const char *group_norm(struct export *e, const struct jf_node *node, const char *x) {
	struct jf_shape s = node->shape;
	const int64_t groups[] = {node->attr.groups}, channels[] = {s.channels, 1, 1};
	float ones[256], zeros[256] = {0};
	const char *one, *zero;

	if (node->attr.groups > 256)
		return NULL;
	for (int i = 0; i < node->attr.groups; i++)
		ones[i] = 1.0f;
	one = onnx_floats(e->onnx, NULL, 1, groups, ones);
	zero = onnx_floats(e->onnx, NULL, 1, groups, zeros);
	x = reshape(e, node, x, 2, node->attr.groups, -1, 0);
	x = onnx_op(e->onnx, node->name, "InstanceNormalization", x, one, zero, NULL);
	onnx_attribute_float(e->onnx, "epsilon", EPSILON);
	x = reshape(e, node, x, 3, s.channels, s.rows, s.columns);
	x = op2(e, node, "Mul", x, onnx_floats(e->onnx, param_name(e, node, 0), 3, channels, param(e, node, 0)));
	x = op2(e, node, "Add", x, onnx_floats(e->onnx, param_name(e, node, 1), 3, channels, param(e, node, 1)));
	return node->attr.silu ? silu(e, node, x) : x;
}

static const char *layer_norm(struct export *e, const struct jf_node *node, const char *x) {
	const int64_t dims[] = {node->shape.channels};
	const char *y = onnx_op(e->onnx, node->name, "LayerNormalization", x,
	    onnx_floats(e->onnx, param_name(e, node, 0), 1, dims, param(e, node, 0)),
	    onnx_floats(e->onnx, param_name(e, node, 1), 1, dims, param(e, node, 1)), NULL);

	onnx_attribute_float(e->onnx, "epsilon", EPSILON);
	return y;
}

static const char *add_rows(struct export *e, const struct jf_node *node, const char *x) {
	struct jf_shape in = node_of(e, node->in[0])->shape, s = node->shape;
	const int64_t dims[] = {s.rows, s.channels};
	const char *vector = e->values[node->in[1]].name;

	if (s.rows > 1)
		vector = reshape(e, node, vector, 2, 1, s.channels, 0);
	if (is_image(in))
		x = to_tokens(e, node, x, in);
	x = op2(e, node, "Add", x, onnx_floats(e->onnx, param_name(e, node, 0), 2, dims, param(e, node, 0)));
	return op2(e, node, "Add", x, vector);
}

/* Rows of qkv, [N][rows][3 D], with the whole batch: what depends on constants alone is repeated for each image. */
static const char *with_batch(struct export *e, const struct jf_node *node, int input) {
	struct jf_shape s = node_of(e, input)->shape;
	const int64_t rest[] = {s.rows * s.columns, s.channels}, from[] = {0}, to[] = {1};
	const char *n, *x = e->values[input].name;

	if (s.rows * s.columns == 1)
		x = reshape(e, node, x, 2, 1, s.channels, 0);
	if (e->values[input].batched)
		return x;
	n = onnx_op(e->onnx, node->name, "Slice", op1(e, node, "Shape", "image"), onnx_ints(e->onnx, NULL, 1, from),
	    onnx_ints(e->onnx, NULL, 1, to), NULL);
	n = op2(e, node, "Concat", n, onnx_ints(e->onnx, NULL, 2, rest));
	onnx_attribute_int(e->onnx, "axis", 0);
	return op2(e, node, "Expand", x, n);
}

/* Third number `third` (query, key, value) of qkv rows as [N][heads][rows][D / heads]; keys with the last axes
 * swapped. */
static const char *heads_of(struct export *e, const struct jf_node *node, const char *qkv, int rows, int third) {
	const int width = node->shape.channels, heads = node->attr.heads;
	const int64_t from[] = {third * width}, to[] = {(third + 1) * width}, axis[] = {2};
	const char *x = onnx_op(e->onnx, node->name, "Slice", qkv, onnx_ints(e->onnx, NULL, 1, from),
	    onnx_ints(e->onnx, NULL, 1, to), onnx_ints(e->onnx, NULL, 1, axis), NULL);

	x = reshape(e, node, x, 3, rows, heads, width / heads);
	return third == 1 ? onnx_transpose(e, node, x, 4, 0, 2, 3, 1) : onnx_transpose(e, node, x, 4, 0, 2, 1, 3);
}

static const char *attention(struct export *e, const struct jf_node *node, const char *query) {
	const int rows = node->shape.rows, width = node->shape.channels;
	struct jf_shape first = node_of(e, node->in[1])->shape, second = node_of(e, node->in[2])->shape;
	const int keys = first.rows * first.columns + second.rows * second.columns;
	const float scale = 1.0f / sqrtf((float)(width / node->attr.heads));
	const int64_t one[] = {1};
	const char *all, *scores, *y;

	query = reshape(e, node, query, 2, rows, 3 * width, 0);
	all = op2(e, node, "Concat", with_batch(e, node, node->in[1]), with_batch(e, node, node->in[2]));
	onnx_attribute_int(e->onnx, "axis", 1);
	scores = op2(e, node, "MatMul", heads_of(e, node, query, rows, 0), heads_of(e, node, all, keys, 1));
	scores = op2(e, node, "Mul", scores, onnx_floats(e->onnx, NULL, 1, one, &scale));
	scores = op1(e, node, "Softmax", scores);
	onnx_attribute_int(e->onnx, "axis", -1);
	y = op2(e, node, "MatMul", scores, heads_of(e, node, all, keys, 2));
	y = onnx_transpose(e, node, y, 4, 0, 2, 1, 3);
	return rows > 1 ? reshape(e, node, y, 2, rows, width, 0) : reshape(e, node, y, 1, width, 0, 0);
}

static const char *concat(struct export *e, const struct jf_node *node, const char *x) {
	x = op2(e, node, "Concat", x, e->values[node->in[1]].name);
	onnx_attribute_int(e->onnx, "axis", 1);
	return x;
}

static const char *depth_to_space(struct export *e, const struct jf_node *node, const char *x) {
	x = op1(e, node, "DepthToSpace", x);
	onnx_attribute_int(e->onnx, "blocksize", 2);
	onnx_attribute_text(e->onnx, "mode", "DCR");
	return x;
}

static const char *mean_rows(struct export *e, const struct jf_node *node, const char *x) {
	const int64_t tokens[] = {1}, image[] = {2, 3};
	bool of_image = is_image(node_of(e, node->in[0])->shape);

	if (node_of(e, node->in[0])->shape.rows == 1)
		return x;
	x = op1(e, node, "ReduceMean", x);
	onnx_attribute_ints(e->onnx, "axes", of_image ? 2 : 1, of_image ? image : tokens);
	onnx_attribute_int(e->onnx, "keepdims", 0);
	return x;
}

static const char *pad(struct export *e, const struct jf_node *node, const char *x) {
	(void)e;
	(void)node;
	return x; /* ONNX's convolution pads by itself */
}

static bool is_held(const struct export *e, int input) {
	return input == JF_INPUT_AUGMENT || (e->part == ONNX_POSTERIOR && input != JF_INPUT_IMAGE);
}

/* What the posterior holds: a clean picture, no label (only noise), no augmentation. */
static const char *held_input(struct export *e, const struct jf_node *node) {
	const int64_t dims[] = {1, node->shape.channels};
	float *values = calloc((size_t)node->shape.channels, sizeof(*values));
	const char *name;

	if (!values)
		return NULL;
	if (node->attr.input == JF_INPUT_LABEL)
		jf_rng_normal(values, (size_t)node->shape.channels, 0, JF_STREAM_LABEL, 0);
	else if (node->attr.input == JF_INPUT_TIME_LAB)
		values[0] = 1.0f;
	name = onnx_floats(e->onnx, NULL, 2, dims, values);
	free(values);
	return name;
}

static const char *input(struct export *e, const struct jf_node *node, const char *unused) {
	const struct jf_shape s = node->shape;
	const int64_t image[] = {s.rows, s.columns, s.channels}, label[] = {s.channels}, time[] = {1};
	const int64_t axis[] = {1};

	(void)unused;
	if (is_held(e, node->attr.input))
		return held_input(e, node);
	switch (node->attr.input) {
	case JF_INPUT_IMAGE:
		onnx_input(e->onnx, node->name, "[N][H][W][C], grey / 127.5 - 1", 3, image);
		return onnx_transpose(e, node, node->name, 4, 0, 3, 1, 2);
	case JF_INPUT_LABEL:
		onnx_input(e->onnx, node->name, "[N][K], -1 / +1 coded at time 0, noise at time 1", 1, label);
		return node->name;
	default:
		onnx_input(e->onnx, node->name, "[N], 1: noise, 0: data", 0, time);
		return op2(e, node, "Unsqueeze", node->name, onnx_ints(e->onnx, NULL, 1, axis));
	}
}

enum jf_err onnx_export_node(struct export *e, int i, struct jf_error *err) {
	static const char *(*const how[JF_N_OPS])(struct export *, const struct jf_node *, const char *) = {
	    [JF_OP_INPUT] = input,
	    [JF_OP_TIME_FEATURES] = time_features,
	    [JF_OP_LINEAR] = linear,
	    [JF_OP_CONV3X3] = conv3x3,
	    [JF_OP_PAD] = pad,
	    [JF_OP_GROUP_NORM] = group_norm,
	    [JF_OP_LAYER_NORM] = layer_norm,
	    [JF_OP_SILU] = silu,
	    [JF_OP_ADD_ROWS] = add_rows,
	    [JF_OP_ATTENTION] = attention,
	    [JF_OP_CONCAT] = concat,
	    [JF_OP_DEPTH_TO_SPACE] = depth_to_space,
	    [JF_OP_MEAN_ROWS] = mean_rows,
	};
	const struct jf_node *node = node_of(e, i);
	struct value *value = &e->values[i];

	if (!how[node->op])
		return jf_error_set(
		    err, JF_EINVAL, "node %s: '%s' has no form in ONNX", node->name, jf_op_name(node->op));
	value->batched = node->op == JF_OP_INPUT && !is_held(e, node->attr.input);
	for (int j = 0; j < JF_MAX_IN; j++)
		value->batched = value->batched || (node->in[j] != JF_NONE && e->values[node->in[j]].batched);
	value->name = how[node->op](e, node, node->in[0] == JF_NONE ? NULL : e->values[node->in[0]].name);
	return value->name ? JF_OK : jf_error_set(err, JF_ENOMEM, "out of memory for node %s", node->name);
}
