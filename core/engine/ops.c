/* What the planner must know of each op. */
#include "core/engine/ops.h"

#include "core/engine/ops_internal.h"
#include "core/kernels/kernels.h"
#include "core/kernels/winograd.h"

bool jf_op_backward_reads(enum jf_op op, int slot) {
	switch (op) {
	case JF_OP_LINEAR:
	case JF_OP_CONV3X3:
	case JF_OP_GROUP_NORM:
	case JF_OP_LAYER_NORM:
	case JF_OP_SILU:
		return slot == 0;
	case JF_OP_ATTENTION:
		return true;
	default:
		return false;
	}
}

bool jf_op_hands_on(enum jf_op op, int slot) {
	return (op == JF_OP_LINEAR && slot == 1) || (op == JF_OP_CONV3X3 && slot == 2) ||
	       (op == JF_OP_ADD_ROWS && slot == 0);
}

static size_t attention_keys(const struct jf_graph *g, const struct jf_node *n) {
	return (size_t)(shape_pixels(g->nodes[n->in[1]].shape) + shape_pixels(g->nodes[n->in[2]].shape));
}

static size_t attention_queries(const struct jf_graph *g, const struct jf_node *n, int partner) {
	return (size_t)(n->shape.rows + (partner != JF_NONE ? g->nodes[partner].shape.rows : 0));
}

size_t jf_op_aux_floats(const struct jf_graph *g, int node, int partner, const struct jf_plan_spec *spec) {
	const struct jf_node *n = &g->nodes[node];

	switch (n->op) {
	case JF_OP_GROUP_NORM:
		return 2 * (size_t)n->attr.groups;
	case JF_OP_LAYER_NORM:
		return 2 * (size_t)shape_pixels(n->shape);
	case JF_OP_ATTENTION:
		return (spec->train ? (size_t)n->attr.heads : 1) * JF_PAD16(attention_queries(g, n, partner)) *
		       attention_keys(g, n);
	default:
		return 0;
	}
}

/* A convolution's biases, or the padded gradients of its outputs; and beside them what Winograd needs, which works on
 * all images of a micro-batch at once. Or what the weight gradient needs. */
static size_t conv_scratch_floats(const struct jf_node *n, const struct jf_plan_spec *spec) {
	const bool winograd = n->attr.winograd || n->attr.winograd_back;
	const int images = winograd ? spec->micro_batch : 1, h = n->shape.rows, w = n->shape.columns;
	const int ci = n->attr.k / 9, co = n->attr.n;
	struct jf_shape padded = n->shape;
	size_t floats, gradient = 0;

	padded.padded = true;
	floats = spec->train ? jf_shape_floats(padded) : (size_t)JF_PAD16(co);
	floats = JF_PAD16((size_t)images * floats);
	if (winograd) /* the same for either direction */
		floats += jf_winograd_scratch(images, h, w, ci, co);
	if (n->attr.winograd && spec->train)
		gradient = jf_winograd_grad_scratch(images, h, w, ci, co);
	return floats > gradient ? floats : gradient;
}

size_t jf_op_scratch_floats(const struct jf_graph *g, int node, int partner, const struct jf_plan_spec *spec) {
	const struct jf_node *n = &g->nodes[node];
	const size_t channels = (size_t)n->shape.channels;
	size_t queries;

	switch (n->op) {
	case JF_OP_CONV3X3:
		return conv_scratch_floats(n, spec);
	case JF_OP_GROUP_NORM:
		return spec->train ? jf_shape_count(n->shape) + 8 * channels : 0;
	case JF_OP_ATTENTION:
		queries = attention_queries(g, n, partner);
		return spec->train
			   ? JF_ATTENTION_GRAD_SCRATCH(queries, attention_keys(g, n), channels, (size_t)n->attr.heads)
			   : JF_ATTENTION_SCRATCH(queries, channels, (size_t)n->attr.heads);
	default:
		return 0;
	}
}

long long jf_op_multiply_adds(const struct jf_graph *g, int node) {
	const struct jf_node *n = &g->nodes[node];

	switch (n->op) {
	case JF_OP_LINEAR:
		return (long long)n->attr.m * n->attr.k * n->attr.n;
	case JF_OP_CONV3X3:
		return (long long)shape_pixels(n->shape) * n->attr.k * n->attr.n;
	case JF_OP_ATTENTION:
		return 2LL * n->shape.rows *
		       (shape_pixels(g->nodes[n->in[1]].shape) + shape_pixels(g->nodes[n->in[2]].shape)) *
		       n->shape.channels;
	default:
		return 0;
	}
}
