/* Shared by the op implementations: where values, statistics and gradients lie. */
#ifndef JF_CORE_ENGINE_OPS_INTERNAL_H
#define JF_CORE_ENGINE_OPS_INTERNAL_H

#include "core/engine/exec.h"
#include "core/kernels/kernels.h"

static inline const struct jf_node *op_node(const struct jf_exec *e, int node) {
	return &e->graph->nodes[node];
}

static inline float *op_value(const struct jf_exec *e, int node, int i) {
	const struct jf_plan_node *p = &e->plan->nodes[node];
	return (p->lasts ? e->lasting : e->temporary) + p->offset + (size_t)(i % p->slots) * p->stride;
}

/* Do consecutive samples of a micro-batch lie one behind the other? Not when all read one shared value. */
static inline bool op_follows(const struct jf_exec *e, int node) {
	return !e->plan->nodes[node].shared;
}

static inline float *op_aux(const struct jf_exec *e, int node, int i) {
	const struct jf_plan_node *p = &e->plan->nodes[node];
	int slots = p->shared ? 1 : e->plan->spec.micro_batch;
	return (e->plan->spec.train ? e->lasting : e->temporary) + p->aux_offset + (size_t)(i % slots) * p->aux_stride;
}

/* NULL when nothing upstream has parameters. */
static inline float *op_grad(const struct jf_exec *e, int node, int i) {
	const struct jf_plan_node *p = &e->plan->nodes[node];
	return p->grad_offset == JF_NO_OFFSET ? NULL : e->lasting + p->grad_offset + (size_t)i * p->grad_stride;
}

/* A plain parameter, as the forward pass reads it. */
static inline const float *op_plain(const struct jf_exec *e, int node, int which) {
	return e->packed + e->graph->params[op_node(e, node)->param[which]].packed;
}

/* For the backward pass. */
static inline const float *op_param(const struct jf_exec *e, int node, int which) {
	return e->params + e->graph->params[op_node(e, node)->param[which]].offset;
}

static inline float *op_param_grad(const struct jf_exec *e, int node, int which) {
	return e->grads + e->graph->params[op_node(e, node)->param[which]].offset;
}

static inline int shape_pixels(struct jf_shape s) {
	return s.rows * s.columns;
}

/* to = from, or to += from; nothing where both are one gradient (jf_plan_node.grad_root) */
static inline void op_give(const struct jf_exec *e, float *to, const float *from, size_t n, bool accumulate) {
	if (to != from)
		e->kernels->copy_rows(to, n, from, n, 1, n, accumulate);
}

/* An image into a zero-bordered one. */
void jf_op_pad_image(float *padded, const float *image, int rows, int columns, int channels);

#endif
