/* Backward passes: from the gradient of a node's value to those of its inputs and parameters. A gradient has the shape
 * of the value without a border. `accumulate[s]`: the gradient of input s was written by a later node already. */
#include <string.h>

#include "core/engine/exec.h"
#include "core/engine/ops_internal.h"
#include "core/kernels/blas.h"

static bool accumulates(const struct jf_exec *e, int node, int slot) {
	return e->plan->nodes[node].accumulate[slot];
}

/* Hands dy on unchanged to input `slot`. */
static void give_through(struct jf_exec *e, int node, int slot, int first, int count) {
	int in = op_node(e, node)->in[slot];

	if (in == JF_NONE || !op_grad(e, in, first))
		return;
	op_give(e, op_grad(e, in, first), op_grad(e, node, first),
	    (size_t)count * jf_shape_count(op_node(e, node)->shape), accumulates(e, node, slot));
}

/* A weight matrix of more elements than this leaves the cache in which our kernel adds to it row after row; OpenBLAS,
 * which blocks and packs, is faster there and slower below (bench-kernels prints both). */
#define MOST_KERNEL_WEIGHTS 65536

/* dW += x^T dy, db += column sums of dy, over m rows x[m][k], dy[m][n] */
static void add_weight_gradient(
    const struct jf_exec *e, int node, const float *x, const float *dy, int m, int k, int n) {
	float *dw = op_param_grad(e, node, 0), *db = op_param_grad(e, node, 1);

	if ((size_t)k * (size_t)n <= MOST_KERNEL_WEIGHTS) {
		e->kernels->linear_grad_weight(dw, db, x, dy, m, k, n);
		return;
	}
	jf_blas_weight_gradient(dw, x, dy, m, k, n);
	e->kernels->row_sums(db, dy, m, n);
}

/* y = x W + b: dW = x^T dy, db = column sums of dy, dx = dy W^T */
static void linear(struct jf_exec *e, int node, int first, int count) {
	const struct jf_node *n = op_node(e, node);
	int m = n->attr.m * count, k = n->attr.k, width = n->attr.n;
	const float *dy = op_grad(e, node, first), *x = op_value(e, n->in[0], first);

	add_weight_gradient(e, node, x, dy, m, k, width);
	if (op_grad(e, n->in[0], first))
		e->kernels->gemm(op_grad(e, n->in[0], first), dy, e->packed_transposed + n->packed_transposed, NULL,
		    accumulates(e, node, 0) ? op_grad(e, n->in[0], first) : NULL, m, width, k);
	give_through(e, node, 1, first, count);
}

/* dx of samples i .. i + count - 1, more than one only by Winograd: the same convolution of dy with the rotated,
 * transposed kernel; of a strided convolution its four kinds of taps. */
static void conv3x3_data(struct jf_exec *e, int node, int i, int count) {
	const struct jf_node *n = op_node(e, node);
	const int h = n->shape.rows, w = n->shape.columns, co = n->attr.n;
	const size_t padded = (size_t)(h + 2) * (size_t)(w + 2) * (size_t)co;
	float *dx = op_grad(e, n->in[0], i);

	for (int s = 0; s < count; s++)
		jf_op_pad_image(e->scratch + (size_t)s * padded, op_grad(e, node, i + s), h, w, co);
	struct jf_conv conv = {
	    .y = dx,
	    .x = e->scratch,
	    .weight = e->packed_transposed + n->packed_transposed,
	    .residual = accumulates(e, node, 0) ? dx : NULL,
	    .scratch = e->scratch + JF_PAD16((size_t)count * padded),
	    .h = h,
	    .w = w,
	    .cin = co,
	    .cout = n->attr.k / 9,
	    .stride = 1,
	    .images = count,
	};
	if (n->attr.winograd_back)
		e->kernels->conv3x3_winograd(&conv);
	else if (n->attr.stride == 1)
		e->kernels->conv3x3(&conv);
	else
		e->kernels->conv3x3_strided_data(&conv);
}

/* The gradients of the vectors that are added to every pixel; their sum is the bias's. */
static void conv3x3_vectors(struct jf_exec *e, int node, int count) {
	const struct jf_node *n = op_node(e, node);
	const size_t co = (size_t)n->attr.n;

	for (int i = 0; i < count; i++) {
		memset(e->scratch, 0, co * sizeof(float));
		e->kernels->row_sums(e->scratch, op_grad(e, node, i), shape_pixels(n->shape), n->attr.n);
		op_give(e, op_grad(e, n->in[1], i), e->scratch, co, accumulates(e, node, 1));
		op_give(e, op_param_grad(e, node, 1), e->scratch, co, true);
	}
}

static void conv3x3(struct jf_exec *e, int node, int count) {
	const struct jf_node *n = op_node(e, node);
	const int together = n->attr.winograd_back ? count : 1;
	const bool vector = n->in[1] != JF_NONE;
	const struct jf_conv_grad grad = {
	    .dw = op_param_grad(e, node, 0),
	    .db = vector ? NULL : op_param_grad(e, node, 1),
	    .x = op_value(e, n->in[0], 0),
	    .dy = op_grad(e, node, 0),
	    .scratch = e->scratch,
	    .images = count,
	    .h = n->shape.rows,
	    .w = n->shape.columns,
	    .cin = n->attr.k / 9,
	    .cout = n->attr.n,
	    .stride = n->attr.stride,
	};

	if (vector)
		conv3x3_vectors(e, node, count);
	(n->attr.winograd ? e->kernels->conv3x3_grad_winograd : e->kernels->conv3x3_grad_weight)(&grad);
	for (int i = 0; i < count && op_grad(e, n->in[0], 0); i += together)
		conv3x3_data(e, node, i, together);
	give_through(e, node, 2, 0, count);
}

static void group_norm(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	e->kernels->group_norm_grad(&(struct jf_group_norm_grad){
	    .dx = op_grad(e, n->in[0], i),
	    .dscale = op_param_grad(e, node, 0),
	    .dbias = op_param_grad(e, node, 1),
	    .scratch = e->scratch,
	    .x = op_value(e, n->in[0], i),
	    .stats = op_aux(e, node, i),
	    .scale = op_param(e, node, 0),
	    .bias = op_param(e, node, 1),
	    .dy = op_grad(e, node, i),
	    .h = n->shape.rows,
	    .w = n->shape.columns,
	    .c = n->shape.channels,
	    .groups = n->attr.groups,
	    .silu = n->attr.silu,
	    .accumulate = accumulates(e, node, 0),
	});
}

static void layer_norm(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	e->kernels->layer_norm_grad(&(struct jf_layer_norm_grad){
	    .dx = op_grad(e, n->in[0], i),
	    .dscale = op_param_grad(e, node, 0),
	    .dbias = op_param_grad(e, node, 1),
	    .x = op_value(e, n->in[0], i),
	    .stats = op_aux(e, node, i),
	    .scale = op_param(e, node, 0),
	    .dy = op_grad(e, node, i),
	    .rows = shape_pixels(n->shape),
	    .c = n->shape.channels,
	    .accumulate = accumulates(e, node, 0),
	});
}

static void add_rows(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	const float *dy = op_grad(e, node, i);
	float *dv = op_grad(e, n->in[1], i);
	int c = n->shape.channels;

	if (op_grad(e, n->in[0], i))
		op_give(e, op_grad(e, n->in[0], i), dy, jf_shape_count(n->shape), accumulates(e, node, 0));
	op_give(e, op_param_grad(e, node, 0), dy, jf_shape_count(n->shape), true);
	if (!accumulates(e, node, 1))
		memset(dv, 0, (size_t)c * sizeof(float));
	e->kernels->row_sums(dv, dy, n->shape.rows, c);
}

static void attention(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	float *grad[3];

	for (int s = 0; s < 3; s++) {
		grad[s] = op_grad(e, n->in[s], i);
		if (!accumulates(e, node, s))
			memset(grad[s], 0, jf_shape_count(op_node(e, n->in[s])->shape) * sizeof(float));
	}
	e->kernels->attention_grad(&(struct jf_attention_grad){
	    .dq_rows = grad[0],
	    .da = grad[1],
	    .db = grad[2],
	    .scratch = e->scratch,
	    .probs = op_aux(e, node, i),
	    .q_rows = op_value(e, n->in[0], i),
	    .a = op_value(e, n->in[1], i),
	    .b = op_value(e, n->in[2], i),
	    .dy = op_grad(e, node, i),
	    .nq = n->shape.rows,
	    .na = shape_pixels(op_node(e, n->in[1])->shape),
	    .nb = shape_pixels(op_node(e, n->in[2])->shape),
	    .d = n->shape.channels,
	    .heads = n->attr.heads,
	});
}

/* space[2h][2w], the first c channels of each pixel's `width` -> depth[h][w][4c] */
static void space_to_depth_image(
    const struct jf_exec *e, float *depth, const float *space, size_t width, struct jf_shape from, bool accumulate) {
	const size_t c = (size_t)from.channels, half = (size_t)from.columns / 2;

	for (int y = 0; y < from.rows; y++)
		for (size_t right = 0; right < 2; right++)
			e->kernels->copy_rows(
			    depth + (size_t)(y / 2) * half * 4 * c + ((size_t)(y % 2) * 2 + right) * c, 4 * c,
			    space + ((size_t)(y * from.columns) + right) * width, 2 * width, half, c, accumulate);
}

static void concat(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	const size_t width = (size_t)n->shape.channels;
	const float *dy = op_grad(e, node, i);

	for (int s = 0; s < 2; s++) {
		const int source = jf_plan_source(e->plan, n->in[s]);
		const struct jf_shape shape = op_node(e, n->in[s])->shape;
		const size_t c = (size_t)shape.channels;
		float *dx = op_grad(e, source, i);

		if (dx && source != n->in[s])
			space_to_depth_image(e, dx, dy, width, shape, accumulates(e, node, s));
		else if (dx)
			e->kernels->copy_rows(
			    dx, c, dy, width, (size_t)shape_pixels(shape), c, accumulates(e, node, s));
		dy += c;
	}
}

static void depth_to_space(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);

	if (op_grad(e, n->in[0], i))
		space_to_depth_image(e, op_grad(e, n->in[0], i), op_grad(e, node, i), (size_t)n->shape.channels,
		    n->shape, accumulates(e, node, 0));
}

static void mean_rows(struct jf_exec *e, int node, int i) {
	struct jf_shape in = op_node(e, op_node(e, node)->in[0])->shape;
	const float *dy = op_grad(e, node, i);
	float *dx = op_grad(e, op_node(e, node)->in[0], i);
	int rows = shape_pixels(in), c = in.channels;

	for (int r = 0; dx && r < rows; r++)
		for (int j = 0; j < c; j++) {
			float g = dy[j] / (float)rows;
			dx[r * c + j] = accumulates(e, node, 0) ? dx[r * c + j] + g : g;
		}
}

static void pointwise(struct jf_exec *e, int node, int first, int count) {
	const struct jf_node *n = op_node(e, node);
	size_t total = (size_t)count * jf_shape_count(n->shape);

	if (n->op == JF_OP_SILU && op_grad(e, n->in[0], first))
		e->kernels->silu_grad(op_grad(e, n->in[0], first), op_value(e, n->in[0], first),
		    op_grad(e, node, first), total, accumulates(e, node, 0));
	if (n->op == JF_OP_PAD)
		give_through(e, node, 0, first, count);
}

static void backward(struct jf_exec *e, int node, int count) {
	static void (*const per_sample[JF_N_OPS])(struct jf_exec *, int, int) = {
	    [JF_OP_GROUP_NORM] = group_norm,
	    [JF_OP_LAYER_NORM] = layer_norm,
	    [JF_OP_ADD_ROWS] = add_rows,
	    [JF_OP_ATTENTION] = attention,
	    [JF_OP_CONCAT] = concat,
	    [JF_OP_DEPTH_TO_SPACE] = depth_to_space,
	    [JF_OP_MEAN_ROWS] = mean_rows,
	};
	const struct jf_node *n = op_node(e, node);

	if (n->op == JF_OP_LINEAR)
		linear(e, node, 0, count);
	else if (n->op == JF_OP_CONV3X3)
		conv3x3(e, node, count);
	else if (per_sample[n->op])
		for (int i = 0; i < count; i++)
			per_sample[n->op](e, node, i);
	else
		pointwise(e, node, 0, count);
}

void jf_exec_backward(struct jf_exec *exec, int n) {
	for (int i = exec->graph->n_nodes - 1; i >= 0; i--)
		if (exec->plan->nodes[i].grad_offset != JF_NO_OFFSET)
			backward(exec, i, n);
}
