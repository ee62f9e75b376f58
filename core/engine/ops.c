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

static size_t attention_keys(const struct jf_graph *g, const struct jf_node *n) {
	return (size_t)JF_PAD16(shape_pixels(g->nodes[n->in[1]].shape) + shape_pixels(g->nodes[n->in[2]].shape));
}

size_t jf_op_aux_floats(const struct jf_graph *g, int node) {
	const struct jf_node *n = &g->nodes[node];

	switch (n->op) {
	case JF_OP_GROUP_NORM:
		return 2 * (size_t)n->attr.groups;
	case JF_OP_LAYER_NORM:
		return 2 * (size_t)shape_pixels(n->shape);
	case JF_OP_ATTENTION:
		return (size_t)n->attr.heads * (size_t)n->shape.rows * attention_keys(g, n);
	default:
		return 0;
	}
}

size_t jf_op_scratch_floats(const struct jf_graph *g, int node, bool train) {
	const struct jf_node *n = &g->nodes[node];
	size_t floats = 0, channels = (size_t)n->shape.channels;
	struct jf_shape padded = n->shape;

	padded.padded = true;
	switch (n->op) {
	case JF_OP_CONV3X3:
		floats = channels;
		if (train && n->attr.stride == 1)
			floats = jf_shape_floats(padded);
		if (train && n->attr.stride != 1)
			floats = jf_shape_count(n->shape) / channels * (size_t)n->attr.k;
		if (floats < channels)
			floats = channels;
		/* the same for either direction */
		if (n->attr.winograd || n->attr.winograd_back)
			floats = JF_PAD16(floats) +
				 jf_winograd_scratch(n->shape.rows, n->shape.columns, n->attr.k / 9, n->attr.n);
		return floats;
	case JF_OP_GROUP_NORM:
		return train ? jf_shape_count(n->shape) + 8 * channels : 0;
	case JF_OP_ATTENTION:
		floats = train ? attention_keys(g, n) * (channels + (size_t)n->shape.rows) : 0;
		channels = JF_ATTENTION_SCRATCH(attention_keys(g, n), channels, (size_t)n->attr.heads);
		return floats > channels ? floats : channels;
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
