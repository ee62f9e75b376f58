#include "core/engine/plan.h"

#include <stdlib.h>
#include <string.h>

#include "core/engine/ops.h"
#include "core/kernels/kernels.h"

/* One stretch of memory and the time it must keep its contents: [first, last], inclusive. */
struct span {
	size_t size;
	int first, last;
	bool lasts;
	size_t *offset; /* out */
};

/* Times: forward node i of the ONCE phase is i, of the STEP phase n + i; the loss is 2n; backward of i is 3n - i. */

static int forward_time(const struct jf_plan *plan, int node) {
	const struct jf_plan_node *p = &plan->nodes[node];
	const int at = p->fused != JF_NONE ? p->fused : node;

	return p->when == JF_ONCE ? at : plan->graph->n_nodes + at;
}

static int backward_time(const struct jf_plan *plan, int node) {
	return 3 * plan->graph->n_nodes - node;
}

static int end_of_time(const struct jf_plan *plan) {
	return 3 * plan->graph->n_nodes + 1;
}

static void mark_wanted(struct jf_plan *plan) {
	const struct jf_graph *g = plan->graph;

	for (int o = 0; o < JF_MAX_OUTPUTS; o++)
		if ((plan->spec.outputs >> o & 1u) && g->outputs[o] != JF_NONE)
			plan->nodes[g->outputs[o]].when = JF_STEP;
	for (int i = g->n_nodes - 1; i >= 0; i--)
		for (int s = 0; s < JF_MAX_IN && plan->nodes[i].when != JF_NEVER; s++)
			if (g->nodes[i].in[s] != JF_NONE)
				plan->nodes[g->nodes[i].in[s]].when = JF_STEP;
}

static void mark_fixed_and_shared(struct jf_plan *plan) {
	const struct jf_graph *g = plan->graph;

	for (int i = 0; i < g->n_nodes; i++) {
		const struct jf_node *node = &g->nodes[i];
		bool fixed = true, shared = true;

		if (node->op == JF_OP_INPUT) {
			fixed = plan->spec.fixed >> node->attr.input & 1u;
			shared = plan->spec.shared >> node->attr.input & 1u;
		}
		for (int s = 0; s < JF_MAX_IN; s++) {
			if (node->in[s] == JF_NONE)
				continue;
			fixed = fixed && plan->nodes[node->in[s]].when == JF_ONCE;
			shared = shared && plan->nodes[node->in[s]].shared;
		}
		if (plan->nodes[i].when != JF_NEVER && fixed)
			plan->nodes[i].when = JF_ONCE;
		plan->nodes[i].shared = shared;
	}
}

static bool is_output(const struct jf_plan *plan, int node) {
	for (int o = 0; o < JF_MAX_OUTPUTS; o++)
		if ((plan->spec.outputs >> o & 1u) && plan->graph->outputs[o] == node)
			return true;
	return false;
}

/* Two attentions over the same keys and values, the second's queries ready when the first runs: with the lanes along
 * the queries, both together fill more of them. Training keeps the weights of each for its backward pass. */
static bool go_together(const struct jf_plan *plan, int first, int second) {
	const struct jf_node *a = &plan->graph->nodes[first], *b = &plan->graph->nodes[second];

	return a->op == JF_OP_ATTENTION && b->op == JF_OP_ATTENTION && a->in[1] == b->in[1] && a->in[2] == b->in[2] &&
	       a->attr.heads == b->attr.heads && b->in[0] < first &&
	       plan->nodes[first].when == plan->nodes[second].when &&
	       plan->nodes[first].shared == plan->nodes[second].shared;
}

static void mark_attentions(struct jf_plan *plan) {
	for (int j = 0; j < plan->graph->n_nodes && !plan->spec.train; j++)
		for (int i = 0; i < j && plan->nodes[j].when != JF_NEVER && plan->nodes[j].fused == JF_NONE; i++)
			if (plan->nodes[i].fused == JF_NONE && plan->nodes[i].partner == JF_NONE &&
			    go_together(plan, i, j)) {
				plan->nodes[j].fused = i;
				plan->nodes[i].partner = j;
			}
}

/* The convolution that alone reads a group norm, for the same samples in the same phase: what one reads, the other can
 * write a moment before. */
static int only_convolution(const struct jf_plan *plan, int norm) {
	const struct jf_graph *g = plan->graph;
	int reader = JF_NONE;

	for (int j = norm + 1; j < g->n_nodes; j++)
		for (int s = 0; s < JF_MAX_IN; s++) {
			if (g->nodes[j].in[s] != norm || plan->nodes[j].when == JF_NEVER)
				continue;
			if (reader != JF_NONE || g->nodes[j].op != JF_OP_CONV3X3 || s != 0)
				return JF_NONE;
			reader = j;
		}
	if (reader == JF_NONE || is_output(plan, norm) || plan->nodes[reader].when != plan->nodes[norm].when ||
	    plan->nodes[reader].shared != plan->nodes[norm].shared)
		return JF_NONE;
	return reader;
}

static void mark_norms(struct jf_plan *plan) {
	const struct jf_graph *g = plan->graph;

	for (int i = 0; i < g->n_nodes; i++) {
		const int from = g->nodes[i].in[0];

		if (g->nodes[i].op != JF_OP_GROUP_NORM || plan->nodes[i].when == JF_NEVER)
			continue;
		plan->nodes[i].fused = only_convolution(plan, i);
		if (plan->nodes[i].fused != JF_NONE)
			plan->nodes[plan->nodes[i].fused].partner = i;
		/* Nothing else decides when the norm runs and for whom, so both are the same. */
		plan->nodes[from].gathers = g->nodes[from].op == JF_OP_CONV3X3 && !g->nodes[from].attr.narrow;
	}
}

static void mark_fused(struct jf_plan *plan) {
	for (int i = 0; i < plan->graph->n_nodes; i++)
		plan->nodes[i].fused = plan->nodes[i].partner = JF_NONE;
	mark_attentions(plan);
	mark_norms(plan);
}

/* Depth to space only moves values, and a concatenation moves them once more: it can do both at once. */
static bool can_be_view(const struct jf_plan *plan, int node) {
	const struct jf_graph *g = plan->graph;
	const struct jf_plan_node *p = &plan->nodes[node], *from = &plan->nodes[g->nodes[node].in[0]];
	int readers = 0;

	if (from->when != p->when || from->shared != p->shared || is_output(plan, node))
		return false;
	for (int j = node + 1; j < g->n_nodes; j++)
		for (int s = 0; s < JF_MAX_IN; s++) {
			if (g->nodes[j].in[s] != node || plan->nodes[j].when == JF_NEVER)
				continue;
			if (g->nodes[j].op != JF_OP_CONCAT || plan->nodes[j].when != p->when)
				return false;
			readers++;
		}
	return readers == 1;
}

static void mark_views(struct jf_plan *plan) {
	for (int i = 0; i < plan->graph->n_nodes; i++)
		plan->nodes[i].view = plan->graph->nodes[i].op == JF_OP_DEPTH_TO_SPACE &&
				      plan->nodes[i].when != JF_NEVER && can_be_view(plan, i);
}

/* Whether node j reads the value of `node` in slot s, itself or by way of a view. */
static bool reads(const struct jf_plan *plan, int j, int s, int node) {
	const int in = plan->graph->nodes[j].in[s];

	return jf_plan_source(plan, in) == node && !plan->nodes[j].view;
}

/* A value outlives its phase when the caller owns it (inputs, outputs) or a step reads what was hoisted. */
static bool outlives_phase(const struct jf_plan *plan, int node) {
	const struct jf_graph *g = plan->graph;

	if (g->nodes[node].op == JF_OP_INPUT || is_output(plan, node) || plan->nodes[node].shared)
		return true;
	for (int j = node + 1; j < g->n_nodes; j++)
		for (int s = 0; s < JF_MAX_IN; s++)
			if (g->nodes[j].in[s] == node && plan->nodes[node].when == JF_ONCE &&
			    plan->nodes[j].when == JF_STEP)
				return true;
	return false;
}

static int last_use(const struct jf_plan *plan, int node) {
	const struct jf_graph *g = plan->graph;
	int last = forward_time(plan, node);

	if (outlives_phase(plan, node))
		return end_of_time(plan);
	for (int j = node + 1; j < g->n_nodes; j++)
		for (int s = 0; s < JF_MAX_IN; s++) {
			int use = forward_time(plan, j);
			if (!reads(plan, j, s, node) || plan->nodes[j].when == JF_NEVER)
				continue;
			if (plan->spec.train && jf_op_backward_reads(g->nodes[j].op, s))
				use = backward_time(plan, j);
			last = use > last ? use : last;
		}
	return last;
}

/* The last time that anybody wants the statistics or weights of a node. */
static int last_aux_use(const struct jf_plan *plan, int node) {
	const struct jf_graph *g = plan->graph;
	int last = forward_time(plan, node);

	if (!plan->nodes[node].gathers)
		return plan->spec.train ? backward_time(plan, node) : last;
	for (int j = node + 1; j < g->n_nodes; j++)
		if (g->nodes[j].op == JF_OP_GROUP_NORM && g->nodes[j].in[0] == node &&
		    plan->nodes[j].when != JF_NEVER && forward_time(plan, j) > last)
			last = forward_time(plan, j);
	return last;
}

static void size_nodes(struct jf_plan *plan) {
	const struct jf_graph *g = plan->graph;

	for (int i = 0; i < g->n_nodes; i++) {
		struct jf_plan_node *p = &plan->nodes[i];

		p->offset = p->aux_offset = p->grad_offset = JF_NO_OFFSET;
		p->grad_root = i;
		if (p->when == JF_NEVER || p->view)
			continue;
		const bool outlives = outlives_phase(plan, i);
		p->lasts = outlives || plan->spec.train;
		p->slots = p->shared ? 1 : outlives ? plan->spec.batch : plan->spec.micro_batch;
		/* No gaps, so that a linear layer reads a micro-batch's slots as the rows of one product. */
		p->stride = jf_shape_floats(g->nodes[i].shape);
		p->aux_stride = p->gathers ? 3 * (size_t)g->nodes[i].shape.channels
					   : jf_op_aux_floats(g, i, p->partner, &plan->spec);
		if (p->fused != JF_NONE && g->nodes[i].op == JF_OP_ATTENTION)
			p->aux_stride = 0; /* its weights are the other's */
		p->multiply_adds = jf_op_multiply_adds(g, i);
	}
}

static int grad_root(const struct jf_plan *plan, int node) {
	while (plan->nodes[node].grad_root != node)
		node = plan->nodes[node].grad_root;
	return node;
}

/* Does backward of node i hand its own gradient on, unchanged, as all that the gradient of in[slot] holds so far? Then
 * both can lie in one place: node i's is of no use afterwards. */
static bool hands_on(const struct jf_plan *plan, int i, int slot, const bool *written) {
	const struct jf_node *n = &plan->graph->nodes[i];
	const int root = grad_root(plan, n->in[slot]);

	if (!jf_op_hands_on(n->op, slot) || written[root])
		return false;
	for (int s = 0; s < JF_MAX_IN; s++)
		if (s != slot && n->in[s] != JF_NONE && grad_root(plan, n->in[s]) == root)
			return false;
	return true;
}

/* Marks which gradients exist, which share memory and which of them are first written, which added to. A padded copy's
 * gradient is its original's: all that read either add to it. */
static void mark_gradients(struct jf_plan *plan, bool *wanted) {
	const struct jf_graph *g = plan->graph;
	bool *written = wanted + g->n_nodes;

	for (int i = 0; i < g->n_nodes; i++) {
		wanted[i] = g->nodes[i].param[0] != JF_NONE;
		for (int s = 0; s < JF_MAX_IN; s++)
			if (g->nodes[i].in[s] != JF_NONE && wanted[g->nodes[i].in[s]])
				wanted[i] = true;
		written[i] = is_output(plan, i);
		if (g->nodes[i].op == JF_OP_PAD && wanted[i] && plan->nodes[i].when != JF_NEVER && !is_output(plan, i))
			plan->nodes[i].grad_root = grad_root(plan, g->nodes[i].in[0]);
	}
	for (int i = g->n_nodes - 1; i >= 0; i--)
		for (int s = 0; s < JF_MAX_IN && plan->nodes[i].when != JF_NEVER && !plan->nodes[i].view; s++) {
			const int in = jf_plan_source(plan, g->nodes[i].in[s]);
			if (in == JF_NONE || !wanted[in])
				continue;
			const int root = grad_root(plan, in);
			plan->nodes[i].accumulate[s] = written[root];
			if (hands_on(plan, i, s, written))
				plan->nodes[root].grad_root = grad_root(plan, i);
			written[root] = written[grad_root(plan, i)] = true;
		}
}

static int first_gradient_time(const struct jf_plan *plan, int node) {
	const struct jf_graph *g = plan->graph;

	if (is_output(plan, node))
		return 2 * g->n_nodes;
	for (int j = g->n_nodes - 1; j > node; j--)
		for (int s = 0; s < JF_MAX_IN; s++)
			if (plan->nodes[j].when != JF_NEVER && reads(plan, j, s, node))
				return backward_time(plan, j);
	return backward_time(plan, node);
}

static int by_size(const void *a, const void *b) {
	const struct span *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x->first - y->first;
}

/* Greedy by size: each span takes the lowest place where nothing that lives at the same time lies. spans: by size; only
 * those that last, or only the others. Returns the floats that they take. */
static size_t place(struct span *spans, int n, bool lasting) {
	size_t top = 0;

	for (int i = 0; i < n; i++) {
		size_t at = 0;
		if (spans[i].lasts != lasting)
			continue;
		for (bool moved = true; moved;) {
			moved = false;
			for (int j = 0; j < i; j++) {
				const struct span *other = &spans[j];
				if (other->lasts != lasting || other->last < spans[i].first ||
				    spans[i].last < other->first)
					continue;
				if (at < *other->offset + other->size && *other->offset < at + spans[i].size) {
					at = *other->offset + other->size;
					moved = true;
				}
			}
		}
		*spans[i].offset = at;
		top = at + spans[i].size > top ? at + spans[i].size : top;
	}
	return top;
}

static void add_span(
    struct jf_plan *plan, struct span *spans, int *n, size_t floats, int first, int last, bool lasts, size_t *offset) {
	floats = (floats + 15) / 16 * 16;
	spans[(*n)++] = (struct span){floats, first, last, lasts, offset};
	plan->unplanned_floats += floats;
}

/* Of all gradients that share the memory of node i's, which is the first of them in line. */
static void add_gradient_span(struct jf_plan *plan, int i, struct span *spans, int *n) {
	struct jf_plan_node *p = &plan->nodes[i];
	int first = first_gradient_time(plan, i), last = backward_time(plan, i);

	p->grad_stride = jf_shape_count(plan->graph->nodes[i].shape);
	p->grad_root = grad_root(plan, i);
	if (p->grad_root != i)
		return;
	for (int j = 0; j < plan->graph->n_nodes; j++) {
		if (plan->nodes[j].when == JF_NEVER || grad_root(plan, j) != i)
			continue;
		first = first_gradient_time(plan, j) < first ? first_gradient_time(plan, j) : first;
		last = backward_time(plan, j) > last ? backward_time(plan, j) : last;
	}
	add_span(plan, spans, n, p->grad_stride * (size_t)plan->spec.batch, first, last, true, &p->grad_offset);
}

static void add_node_spans(struct jf_plan *plan, const bool *wanted, int i, struct span *spans, int *n) {
	struct jf_plan_node *p = &plan->nodes[i];
	bool persistent = outlives_phase(plan, i);
	int now = forward_time(plan, i);

	if (p->when == JF_NEVER || p->view)
		return;
	add_span(plan, spans, n, p->stride * (size_t)p->slots, persistent ? 0 : now, last_use(plan, i), p->lasts,
	    &p->offset);
	if (p->aux_stride)
		add_span(plan, spans, n, p->aux_stride * (size_t)(p->shared ? 1 : plan->spec.micro_batch), now,
		    last_aux_use(plan, i), plan->spec.train, &p->aux_offset);
	if (plan->spec.train && wanted[i])
		add_gradient_span(plan, i, spans, n);
}

static enum jf_err plan_memory(struct jf_plan *plan, struct jf_error *err) {
	int nodes = plan->graph->n_nodes;
	struct span *spans = calloc(3 * (size_t)nodes, sizeof(*spans));
	bool *wanted = calloc(2 * (size_t)nodes, sizeof(*wanted));
	enum jf_err rc = JF_OK;
	int n = 0;

	if (!spans || !wanted) {
		rc = jf_error_set(err, JF_ENOMEM, "out of memory for a plan of %d nodes", nodes);
		goto out;
	}
	if (plan->spec.train)
		mark_gradients(plan, wanted);
	for (int i = 0; i < nodes; i++)
		add_node_spans(plan, wanted, i, spans, &n);
	qsort(spans, (size_t)n, sizeof(*spans), by_size);
	plan->lasting_floats = place(spans, n, true);
	plan->temporary_floats = place(spans, n, false);
	for (int i = 0; i < nodes; i++) {
		struct jf_plan_node *p = &plan->nodes[i];
		p->grad_offset = plan->nodes[p->grad_root].grad_offset;
		size_t need = p->when == JF_NEVER ? 0 : jf_op_scratch_floats(plan->graph, i, p->partner, &plan->spec);
		plan->scratch_floats = need > plan->scratch_floats ? need : plan->scratch_floats;
	}
out:
	free(spans);
	free(wanted);
	return rc;
}

struct jf_plan *jf_plan_create(const struct jf_graph *graph, const struct jf_plan_spec *spec, struct jf_error *err) {
	struct jf_plan *plan;

	if (spec->batch < 1 || spec->micro_batch < 1 || spec->micro_batch > spec->batch ||
	    (spec->train && (spec->fixed || spec->shared || spec->micro_batch != spec->batch))) {
		jf_error_set(err, JF_EINVAL,
		    "plan: batch %d in micro-batches of %d does not fit the rest of the request", spec->batch,
		    spec->micro_batch);
		return NULL;
	}
	plan = calloc(1, sizeof(*plan));
	if (plan)
		plan->nodes = calloc((size_t)graph->n_nodes, sizeof(*plan->nodes));
	if (!plan || !plan->nodes) {
		jf_error_set(err, JF_ENOMEM, "out of memory for a plan of %d nodes", graph->n_nodes);
		jf_plan_destroy(plan);
		return NULL;
	}
	plan->graph = graph;
	plan->spec = *spec;
	mark_wanted(plan);
	mark_fixed_and_shared(plan);
	mark_fused(plan);
	mark_views(plan);
	size_nodes(plan);
	if (plan_memory(plan, err) != JF_OK) {
		jf_plan_destroy(plan);
		return NULL;
	}
	return plan;
}

int jf_plan_source(const struct jf_plan *plan, int node) {
	return node != JF_NONE && plan->nodes[node].view ? plan->graph->nodes[node].in[0] : node;
}

void jf_plan_destroy(struct jf_plan *plan) {
	if (!plan)
		return;
	free(plan->nodes);
	free(plan);
}

long long jf_plan_multiply_adds(const struct jf_plan *plan, enum jf_when when) {
	long long sum = 0;

	for (int i = 0; i < plan->graph->n_nodes; i++)
		if (plan->nodes[i].when == when)
			sum += plan->nodes[i].multiply_adds;
	return sum;
}
