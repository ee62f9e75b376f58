#include "core/engine/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/kernels/winograd.h"

const char *jf_op_name(enum jf_op op) {
	static const char *const name[JF_N_OPS] = {
	    [JF_OP_INPUT] = "input",
	    [JF_OP_TIME_FEATURES] = "time_features",
	    [JF_OP_LINEAR] = "linear",
	    [JF_OP_CONV3X3] = "conv3x3",
	    [JF_OP_PAD] = "pad",
	    [JF_OP_GROUP_NORM] = "group_norm",
	    [JF_OP_LAYER_NORM] = "layer_norm",
	    [JF_OP_SILU] = "silu",
	    [JF_OP_ADD_ROWS] = "add_rows",
	    [JF_OP_ATTENTION] = "attention",
	    [JF_OP_CONCAT] = "concat",
	    [JF_OP_DEPTH_TO_SPACE] = "depth_to_space",
	    [JF_OP_MEAN_ROWS] = "mean_rows",
	};
	return (unsigned)op < JF_N_OPS ? name[op] : "unknown";
}

size_t jf_shape_count(struct jf_shape s) {
	return (size_t)s.rows * (size_t)s.columns * (size_t)s.channels;
}

size_t jf_shape_floats(struct jf_shape s) {
	return s.padded ? (size_t)(s.rows + 2) * (size_t)(s.columns + 2) * (size_t)s.channels : jf_shape_count(s);
}

struct jf_graph *jf_graph_create(void) {
	struct jf_graph *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	for (int i = 0; i < JF_MAX_INPUTS; i++)
		g->inputs[i] = JF_NONE;
	for (int i = 0; i < JF_MAX_OUTPUTS; i++)
		g->outputs[i] = JF_NONE;
	return g;
}

void jf_graph_destroy(struct jf_graph *g) {
	if (!g)
		return;
	free(g->nodes);
	free(g->params);
	free(g);
}

static int fail(struct jf_graph *g, enum jf_err code, const char *name, const char *why) {
	if (g->status == JF_OK)
		g->status = jf_error_set(&g->error, code, "graph node %s: %s", name, why);
	return 0;
}

static bool grow(void **items, int *capacity, int count, size_t size) {
	int wanted = *capacity ? 2 * *capacity : 64;
	void *bigger;

	if (count < *capacity)
		return true;
	bigger = realloc(*items, (size_t)wanted * size);
	if (!bigger)
		return false;
	*items = bigger;
	*capacity = wanted;
	return true;
}

static int add_node(struct jf_graph *g, enum jf_op op, const char *name, struct jf_shape shape) {
	struct jf_node *node;

	if (g->status != JF_OK)
		return 0;
	if (!grow((void **)&g->nodes, &g->cap_nodes, g->n_nodes, sizeof(*g->nodes)))
		return fail(g, JF_ENOMEM, name, "out of memory");
	node = &g->nodes[g->n_nodes];
	memset(node, 0, sizeof(*node));
	node->op = op;
	node->shape = shape;
	for (int i = 0; i < JF_MAX_IN; i++)
		node->in[i] = JF_NONE;
	for (int i = 0; i < JF_MAX_PARAM; i++)
		node->param[i] = JF_NONE;
	if (snprintf(node->name, sizeof(node->name), "%s", name) >= (int)sizeof(node->name))
		return fail(g, JF_EINVAL, name, "name too long");
	return g->n_nodes++;
}

static int add_param(struct jf_graph *g, const char *node, const char *what, int rank, const int shape[4],
    enum jf_init init, bool decay, bool plain) {
	struct jf_param *param;

	if (g->status != JF_OK)
		return 0;
	if (!grow((void **)&g->params, &g->cap_params, g->n_params, sizeof(*g->params)))
		return fail(g, JF_ENOMEM, node, "out of memory");
	param = &g->params[g->n_params];
	memset(param, 0, sizeof(*param));
	if (snprintf(param->name, sizeof(param->name), "%s.%s", node, what) >= (int)sizeof(param->name))
		return fail(g, JF_EINVAL, node, "parameter name too long");
	param->rank = rank;
	param->size = 1;
	for (int i = 0; i < rank; i++) {
		param->shape[i] = shape[i];
		param->size *= (size_t)shape[i];
	}
	param->offset = g->n_params_floats;
	param->init = init;
	param->decay = decay;
	g->n_params_floats += param->size;
	param->plain = plain;
	if (plain) {
		param->packed = g->packed_floats;
		g->packed_floats += JF_PAD16(param->size);
	}
	return g->n_params++;
}

static struct jf_shape shape_of(const struct jf_graph *g, int node) {
	return g->status == JF_OK ? g->nodes[node].shape : (struct jf_shape){1, 1, 1, false};
}

static struct jf_shape vector_shape(int channels) {
	return (struct jf_shape){1, 1, channels, false};
}

int jf_g_input(struct jf_graph *g, const char *name, int which, struct jf_shape shape) {
	int node = add_node(g, JF_OP_INPUT, name, shape);

	if (g->status != JF_OK)
		return 0;
	if (which < 0 || which >= JF_MAX_INPUTS || g->inputs[which] != JF_NONE)
		return fail(g, JF_EINVAL, name, "no such input, or given twice");
	g->nodes[node].attr.input = which;
	g->inputs[which] = node;
	return node;
}

int jf_g_time_features(struct jf_graph *g, const char *name, int t, int features) {
	int node = add_node(g, JF_OP_TIME_FEATURES, name, vector_shape(features));

	if (g->status == JF_OK)
		g->nodes[node].in[0] = t;
	return node;
}

int jf_g_linear(struct jf_graph *g, const char *name, int x, struct jf_shape out, int residual, enum jf_init init) {
	struct jf_shape in = shape_of(g, x);
	int node = add_node(g, JF_OP_LINEAR, name, out);
	struct jf_node *n;
	int total_in = (int)jf_shape_count(in);
	int total_out = (int)jf_shape_count(out);
	int rows = out.rows * out.columns;

	if (g->status != JF_OK)
		return 0;
	/* The rows of the product are those of the input when the output keeps them; otherwise everything is one
	 * row. */
	if (in.rows * in.columns != rows)
		rows = 1;
	n = &g->nodes[node];
	n->in[0] = x;
	n->in[1] = residual;
	n->attr.m = rows;
	n->attr.k = total_in / rows;
	n->attr.n = total_out / rows;
	n->param[0] = add_param(g, name, "weight", 2, (int[4]){n->attr.k, n->attr.n}, init, true, false);
	n->param[1] = add_param(g, name, "bias", 1, (int[4]){n->attr.n}, JF_INIT_ZERO, false, true);
	n->packed = g->packed_floats;
	g->packed_floats += jf_pack_size(n->attr.k, n->attr.n);
	n->packed_transposed = g->packed_transposed_floats;
	g->packed_transposed_floats += jf_pack_size(n->attr.n, n->attr.k);
	if (in.padded)
		return fail(g, JF_EINVAL, name, "a linear layer cannot read a padded image");
	if (residual != JF_NONE && jf_shape_count(shape_of(g, residual)) != (size_t)total_out)
		return fail(g, JF_EINVAL, name, "residual of another size");
	return node;
}

int jf_g_conv3x3(struct jf_graph *g, const char *name, int x, int channels, int stride, int vector, int residual,
    enum jf_init init) {
	struct jf_shape in = shape_of(g, x);
	struct jf_shape out = {in.rows / stride, in.columns / stride, channels, false};
	int node = add_node(g, JF_OP_CONV3X3, name, out);
	struct jf_node *n;

	if (g->status != JF_OK)
		return 0;
	n = &g->nodes[node];
	n->in[0] = x;
	n->in[1] = vector;
	n->in[2] = residual;
	n->attr.stride = stride;
	n->attr.k = 9 * in.channels;
	n->attr.n = channels;
	n->attr.narrow = channels <= JF_NARROW && stride == 1 && vector == JF_NONE && residual == JF_NONE;
	n->param[0] =
	    add_param(g, name, "weight", 4, (int[4]){3, 3, in.channels, channels}, init, true, n->attr.narrow);
	n->param[1] = add_param(g, name, "bias", 1, (int[4]){channels}, JF_INIT_ZERO, false, true);
	n->attr.winograd = stride == 1 && jf_winograd_suits(out.rows, out.columns, in.channels, channels);
	n->attr.winograd_back = stride == 1 && jf_winograd_suits(out.rows, out.columns, channels, in.channels);
	n->packed = g->packed_floats;
	if (!n->attr.narrow)
		g->packed_floats +=
		    n->attr.winograd ? jf_winograd_size(in.channels, channels) : jf_pack_size(n->attr.k, n->attr.n);
	n->packed_transposed = g->packed_transposed_floats;
	g->packed_transposed_floats +=
	    n->attr.winograd_back ? jf_winograd_size(channels, in.channels) : jf_pack_size(9 * channels, in.channels);
	if (!in.padded)
		return fail(g, JF_EINVAL, name, "a convolution reads a padded image");
	if (stride < 1 || stride > 2 || in.rows % stride || in.columns % stride)
		return fail(g, JF_EINVAL, name, "stride does not divide the image");
	if (vector != JF_NONE && jf_shape_count(shape_of(g, vector)) != (size_t)channels)
		return fail(g, JF_EINVAL, name, "vector of another size");
	if (residual != JF_NONE && jf_shape_count(shape_of(g, residual)) != jf_shape_count(out))
		return fail(g, JF_EINVAL, name, "residual of another size");
	return node;
}

int jf_g_pad(struct jf_graph *g, const char *name, int x) {
	struct jf_shape shape = shape_of(g, x);
	int node;

	shape.padded = true;
	node = add_node(g, JF_OP_PAD, name, shape);
	if (g->status == JF_OK)
		g->nodes[node].in[0] = x;
	return node;
}

static int add_norm(struct jf_graph *g, enum jf_op op, const char *name, int x, struct jf_shape shape) {
	int node = add_node(g, op, name, shape);

	if (g->status != JF_OK)
		return 0;
	g->nodes[node].in[0] = x;
	g->nodes[node].param[0] = add_param(g, name, "scale", 1, (int[4]){shape.channels}, JF_INIT_ONE, false, true);
	g->nodes[node].param[1] = add_param(g, name, "bias", 1, (int[4]){shape.channels}, JF_INIT_ZERO, false, true);
	return node;
}

int jf_g_group_norm(struct jf_graph *g, const char *name, int x, int groups, bool silu, bool pad) {
	struct jf_shape shape = shape_of(g, x);
	int node;

	shape.padded = pad;
	node = add_norm(g, JF_OP_GROUP_NORM, name, x, shape);
	if (g->status != JF_OK)
		return 0;
	g->nodes[node].attr.groups = groups;
	g->nodes[node].attr.silu = silu;
	if (groups < 1 || shape.channels % groups)
		return fail(g, JF_EINVAL, name, "groups do not divide the channels");
	return node;
}

int jf_g_layer_norm(struct jf_graph *g, const char *name, int x) {
	return add_norm(g, JF_OP_LAYER_NORM, name, x, shape_of(g, x));
}

static int add_unary(struct jf_graph *g, enum jf_op op, const char *name, int x, struct jf_shape shape) {
	int node = add_node(g, op, name, shape);

	if (g->status == JF_OK)
		g->nodes[node].in[0] = x;
	return node;
}

int jf_g_silu(struct jf_graph *g, const char *name, int x) {
	return add_unary(g, JF_OP_SILU, name, x, shape_of(g, x));
}

int jf_g_add_rows(struct jf_graph *g, const char *name, int x, int vector) {
	struct jf_shape shape = shape_of(g, x);
	int rows = shape.rows * shape.columns;
	int node = add_unary(g, JF_OP_ADD_ROWS, name, x, (struct jf_shape){rows, 1, shape.channels, false});

	if (g->status != JF_OK)
		return 0;
	g->nodes[node].in[1] = vector;
	g->nodes[node].param[0] =
	    add_param(g, name, "positions", 2, (int[4]){rows, shape.channels}, JF_INIT_NORMAL, false, true);
	if (jf_shape_count(shape_of(g, vector)) != (size_t)shape.channels)
		return fail(g, JF_EINVAL, name, "vector of another size");
	return node;
}

int jf_g_attention(struct jf_graph *g, const char *name, int query, int first, int second, int heads) {
	struct jf_shape q = shape_of(g, query);
	int width = q.channels / 3;
	int node = add_unary(g, JF_OP_ATTENTION, name, query, (struct jf_shape){q.rows * q.columns, 1, width, false});

	if (g->status != JF_OK)
		return 0;
	g->nodes[node].in[1] = first;
	g->nodes[node].in[2] = second;
	g->nodes[node].attr.heads = heads;
	if (q.channels != 3 * width || heads < 1 || width % heads)
		return fail(g, JF_EINVAL, name, "heads do not divide the width");
	if (shape_of(g, first).channels != q.channels || shape_of(g, second).channels != q.channels)
		return fail(g, JF_EINVAL, name, "token sets of different widths");
	return node;
}

int jf_g_concat(struct jf_graph *g, const char *name, int a, int b) {
	struct jf_shape sa = shape_of(g, a), sb = shape_of(g, b);
	struct jf_shape out = {sa.rows, sa.columns, sa.channels + sb.channels, false};
	int node = add_unary(g, JF_OP_CONCAT, name, a, out);

	if (g->status != JF_OK)
		return 0;
	g->nodes[node].in[1] = b;
	if (sa.rows != sb.rows || sa.columns != sb.columns)
		return fail(g, JF_EINVAL, name, "images of different sizes");
	return node;
}

int jf_g_depth_to_space(struct jf_graph *g, const char *name, int x) {
	struct jf_shape s = shape_of(g, x);

	if (s.channels % 4)
		return fail(g, JF_EINVAL, name, "channels are not a multiple of 4");
	return add_unary(
	    g, JF_OP_DEPTH_TO_SPACE, name, x, (struct jf_shape){2 * s.rows, 2 * s.columns, s.channels / 4, false});
}

int jf_g_mean_rows(struct jf_graph *g, const char *name, int x) {
	return add_unary(g, JF_OP_MEAN_ROWS, name, x, vector_shape(shape_of(g, x).channels));
}
