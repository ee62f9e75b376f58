/* Forward passes. Shapes are per sample; formulas stand at enum jf_op (core/engine/graph.h) and in
 * core/kernels/kernels.h. */
#include <math.h>
#include <string.h>

#include "core/engine/ops.h"
#include "core/engine/ops_internal.h"

/* Sinusoidal features of 1000 t, as in Vaswani et al., arXiv:1706.03762. */
static void time_features(struct jf_exec *e, int node, int i) {
	int half = op_node(e, node)->shape.channels / 2;
	float t = 1000.0f * *op_value(e, op_node(e, node)->in[0], i);
	float *y = op_value(e, node, i);

	for (int f = 0; f < half; f++) {
		float angle = t * expf(-logf(10000.0f) * (float)f / (float)half);
		y[f] = cosf(angle);
		y[half + f] = sinf(angle);
	}
}

static void linear(struct jf_exec *e, int node, int first, int count) {
	const struct jf_node *n = op_node(e, node);
	const float *bias = op_plain(e, node, 1), *w = e->packed + n->packed;
	int x = n->in[0], residual = n->in[1];
	bool together = op_follows(e, x) && (residual == JF_NONE || op_follows(e, residual));

	/* The samples' rows as one product where they lie together; the same bytes either way. */
	for (int i = first; i < first + count; i += together ? count : 1)
		e->kernels->gemm(op_value(e, node, i), op_value(e, x, i), w, bias,
		    residual == JF_NONE ? NULL : op_value(e, residual, i), n->attr.m * (together ? count : 1),
		    n->attr.k, n->attr.n);
}

/* The bias of sample i, its vector added: into `to` when there is one. */
static const float *conv_bias(struct jf_exec *e, int node, int i, float *to) {
	const struct jf_node *n = op_node(e, node);
	const float *bias = op_plain(e, node, 1), *vector;

	if (n->in[1] == JF_NONE)
		return bias;
	vector = op_value(e, n->in[1], i);
	for (int c = 0; c < n->attr.n; c++)
		to[c] = bias[c] + vector[c];
	return to;
}

static struct jf_group_norm norm_of(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);

	return (struct jf_group_norm){
	    .y = op_value(e, node, i),
	    .stats = op_aux(e, node, i),
	    .x = op_value(e, n->in[0], i),
	    .channels = e->plan->nodes[n->in[0]].gathers ? op_aux(e, n->in[0], i) : NULL,
	    .scale = op_plain(e, node, 0),
	    .bias = op_plain(e, node, 1),
	    .h = n->shape.rows,
	    .w = n->shape.columns,
	    .c = n->shape.channels,
	    .groups = n->attr.groups,
	    .silu = n->attr.silu,
	    .padded = n->shape.padded,
	};
}

static void group_norm(struct jf_exec *e, int node, int i) {
	const struct jf_group_norm norm = norm_of(e, node, i);

	e->kernels->group_norm(&norm);
}

/* Samples i .. i + count - 1; more than one only by Winograd, and only where they lie together. */
static void conv3x3_images(struct jf_exec *e, int node, int i, int count) {
	const struct jf_node *n = op_node(e, node);
	const int co = n->attr.n, bias_stride = JF_PAD16(co), partner = e->plan->nodes[node].partner;
	struct jf_group_norm norm;
	struct jf_conv conv = {
	    .y = op_value(e, node, i),
	    .x = op_value(e, n->in[0], i),
	    .weight = e->packed + n->packed,
	    .bias = conv_bias(e, node, i, e->scratch),
	    .residual = n->in[2] == JF_NONE ? NULL : op_value(e, n->in[2], i),
	    .scratch = e->scratch + count * bias_stride,
	    .h = n->shape.rows,
	    .w = n->shape.columns,
	    .cin = n->attr.k / 9,
	    .cout = co,
	    .stride = n->attr.stride,
	    .images = count,
	    .bias_stride = n->in[1] == JF_NONE ? 0 : bias_stride,
	    .channels = e->plan->nodes[node].gathers ? op_aux(e, node, i) : NULL,
	};

	for (int s = 1; s < count && n->in[1] != JF_NONE; s++)
		conv_bias(e, node, i + s, e->scratch + s * bias_stride);
	if (partner != JF_NONE) {
		norm = norm_of(e, partner, i);
		if (n->attr.winograd)
			conv.norm = &norm;
		else
			e->kernels->group_norm(&norm);
	}
	if (n->attr.narrow) {
		conv.weight = op_plain(e, node, 0);
		e->kernels->conv3x3_narrow(&conv);
	} else if (n->attr.winograd) {
		e->kernels->conv3x3_winograd(&conv);
	} else {
		e->kernels->conv3x3(&conv);
	}
}

static void conv3x3(struct jf_exec *e, int node, int first, int count) {
	const struct jf_node *n = op_node(e, node);
	const bool together =
	    n->attr.winograd && op_follows(e, n->in[0]) && (n->in[2] == JF_NONE || op_follows(e, n->in[2]));

	for (int i = first; i < first + count; i += together ? count : 1)
		conv3x3_images(e, node, i, together ? count : 1);
}

void jf_op_pad_image(float *padded, const float *image, int rows, int columns, int channels) {
	size_t row = (size_t)columns * (size_t)channels, wide = row + 2 * (size_t)channels;

	memset(padded, 0, wide * sizeof(float));
	for (int r = 0; r < rows; r++) {
		float *to = padded + (size_t)(r + 1) * wide;

		memset(to, 0, (size_t)channels * sizeof(float));
		memcpy(to + channels, image + (size_t)r * row, row * sizeof(float));
		memset(to + channels + row, 0, (size_t)channels * sizeof(float));
	}
	memset(padded + (size_t)(rows + 1) * wide, 0, wide * sizeof(float));
}

static void pad(struct jf_exec *e, int node, int i) {
	struct jf_shape s = op_node(e, node)->shape;
	jf_op_pad_image(op_value(e, node, i), op_value(e, op_node(e, node)->in[0], i), s.rows, s.columns, s.channels);
}

static void layer_norm(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	e->kernels->layer_norm(op_value(e, node, i), op_aux(e, node, i), op_value(e, n->in[0], i), op_plain(e, node, 0),
	    op_plain(e, node, 1), shape_pixels(n->shape), n->shape.channels);
}

static void add_rows(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	const float *x = op_value(e, n->in[0], i), *vector = op_value(e, n->in[1], i), *pos = op_plain(e, node, 0);
	float *y = op_value(e, node, i);
	int c = n->shape.channels;

	for (int r = 0; r < n->shape.rows; r++)
		for (int j = 0; j < c; j++)
			y[r * c + j] = x[r * c + j] + pos[r * c + j] + vector[j];
}

static void attention(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	const int partner = e->plan->nodes[node].partner;
	const struct jf_node *other = partner != JF_NONE ? op_node(e, partner) : NULL;

	e->kernels->attention(&(struct jf_attention){
	    .y = op_value(e, node, i),
	    .y2 = other ? op_value(e, partner, i) : NULL,
	    .probs = op_aux(e, node, i),
	    .scratch = e->scratch,
	    .q_rows = op_value(e, n->in[0], i),
	    .q2_rows = other ? op_value(e, other->in[0], i) : NULL,
	    .a = op_value(e, n->in[1], i),
	    .b = op_value(e, n->in[2], i),
	    .nq = n->shape.rows,
	    .nq2 = other ? other->shape.rows : 0,
	    .na = shape_pixels(op_node(e, n->in[1])->shape),
	    .nb = shape_pixels(op_node(e, n->in[2])->shape),
	    .d = n->shape.channels,
	    .heads = n->attr.heads,
	    .keep = e->plan->spec.train,
	});
}

/* depth[h][w][4c] -> space[2h][2w], the first c channels of each pixel's `width` */
static void depth_to_space_image(
    const struct jf_exec *e, float *space, size_t width, const float *depth, struct jf_shape to) {
	const size_t c = (size_t)to.channels, half = (size_t)to.columns / 2;

	for (int y = 0; y < to.rows; y++)
		for (size_t right = 0; right < 2; right++)
			e->kernels->copy_rows(space + ((size_t)(y * to.columns) + right) * width, 2 * width,
			    depth + (size_t)(y / 2) * half * 4 * c + ((size_t)(y % 2) * 2 + right) * c, 4 * c, half, c,
			    false);
}

static void depth_to_space(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);

	depth_to_space_image(e, op_value(e, node, i), (size_t)n->shape.channels, op_value(e, n->in[0], i), n->shape);
}

/* Where an input is a view, its pixels come from where it takes them. */
static void concat(struct jf_exec *e, int node, int i) {
	const struct jf_node *n = op_node(e, node);
	const size_t width = (size_t)n->shape.channels;
	float *y = op_value(e, node, i);

	for (int s = 0; s < 2; s++) {
		const int source = jf_plan_source(e->plan, n->in[s]);
		const struct jf_shape shape = op_node(e, n->in[s])->shape;
		const size_t c = (size_t)shape.channels;

		if (source != n->in[s])
			depth_to_space_image(e, y, width, op_value(e, source, i), shape);
		else
			e->kernels->copy_rows(
			    y, width, op_value(e, source, i), c, (size_t)shape_pixels(shape), c, false);
		y += c;
	}
}

static void mean_rows(struct jf_exec *e, int node, int i) {
	struct jf_shape in = op_node(e, op_node(e, node)->in[0])->shape;
	const float *x = op_value(e, op_node(e, node)->in[0], i);
	float *y = op_value(e, node, i);
	int rows = shape_pixels(in), c = in.channels;

	memset(y, 0, (size_t)c * sizeof(float));
	for (int r = 0; r < rows; r++)
		for (int j = 0; j < c; j++)
			y[j] += x[r * c + j];
	for (int j = 0; j < c; j++)
		y[j] /= (float)rows;
}

void jf_op_forward(struct jf_exec *e, int node, int first, int count) {
	static void (*const per_sample[JF_N_OPS])(struct jf_exec *, int, int) = {
	    [JF_OP_TIME_FEATURES] = time_features,
	    [JF_OP_PAD] = pad,
	    [JF_OP_GROUP_NORM] = group_norm,
	    [JF_OP_LAYER_NORM] = layer_norm,
	    [JF_OP_ADD_ROWS] = add_rows,
	    [JF_OP_ATTENTION] = attention,
	    [JF_OP_CONCAT] = concat,
	    [JF_OP_DEPTH_TO_SPACE] = depth_to_space,
	    [JF_OP_MEAN_ROWS] = mean_rows,
	};
	const struct jf_node *n = op_node(e, node);

	switch (n->op) {
	case JF_OP_INPUT:
		break; /* the caller wrote it */
	case JF_OP_LINEAR:
		linear(e, node, first, count);
		break;
	case JF_OP_CONV3X3:
		conv3x3(e, node, first, count);
		break;
	case JF_OP_SILU: /* never reads a shared value unless it is shared itself */
		e->kernels->silu(
		    op_value(e, node, first), op_value(e, n->in[0], first), (size_t)count * jf_shape_count(n->shape));
		break;
	default:
		for (int i = first; i < first + count; i++)
			per_sample[n->op](e, node, i);
	}
}
