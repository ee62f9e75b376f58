#include "core/engine/exec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/engine/ops.h"
#include "core/engine/ops_internal.h"
#include "core/kernels/kernels.h"
#include "core/kernels/winograd.h"

/* Memory of several such pages is asked for in them, where the kernel has them: a network walks through all of its
 * values and weights again and again, and that spares most of the address translations. */
#define HUGE_PAGE ((size_t)2 << 20)

float *jf_alloc_floats(size_t count) {
	size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
	bool large = bytes >= 2 * HUGE_PAGE;
	void *memory;

	if (count > SIZE_MAX / sizeof(float) - 64 ||
	    posix_memalign(&memory, large ? HUGE_PAGE : 64, bytes ? bytes : 64) != 0)
		return NULL;
	if (large)
		(void)madvise(memory, bytes, MADV_HUGEPAGE);
	return memset(memory, 0, bytes);
}

struct jf_workspace *jf_workspace_create(void) {
	return calloc(1, sizeof(struct jf_workspace));
}

void jf_workspace_destroy(struct jf_workspace *workspace) {
	if (!workspace)
		return;
	free(workspace->floats);
	free(workspace);
}

/* Nobody is in the middle of a phase, so what it held is of no use. */
static bool reserve(struct jf_workspace *workspace, size_t floats) {
	float *more;

	if (floats <= workspace->size)
		return true;
	more = jf_alloc_floats(floats);
	if (!more)
		return false;
	free(workspace->floats);
	workspace->floats = more;
	workspace->size = floats;
	return true;
}

struct jf_exec *jf_exec_create_in(
    struct jf_workspace *workspace, const struct jf_plan *plan, const float *packed, struct jf_error *err) {
	const size_t temporary = plan->temporary_floats + plan->scratch_floats;
	struct jf_exec *exec = calloc(1, sizeof(*exec));

	if (exec) {
		exec->owns_workspace = !workspace;
		exec->workspace = workspace ? workspace : jf_workspace_create();
		exec->lasting = jf_alloc_floats(plan->lasting_floats);
	}
	if (!exec || !exec->lasting || !exec->workspace || !reserve(exec->workspace, temporary)) {
		jf_error_set(err, JF_ENOMEM, "out of memory for a batch of %d (%zu bytes)", plan->spec.batch,
		    (plan->lasting_floats + temporary) * sizeof(float));
		jf_exec_destroy(exec);
		return NULL;
	}
	exec->graph = plan->graph;
	exec->plan = plan;
	exec->kernels = jf_kernels();
	exec->packed = packed;
	return exec;
}

struct jf_exec *jf_exec_create(const struct jf_plan *plan, const float *params, const float *packed,
    const float *packed_transposed, float *grads, struct jf_error *err) {
	struct jf_exec *exec = jf_exec_create_in(NULL, plan, packed, err);

	if (!exec)
		return NULL;
	exec->params = params;
	exec->packed_transposed = packed_transposed;
	exec->grads = grads;
	return exec;
}

void jf_exec_destroy(struct jf_exec *exec) {
	if (!exec)
		return;
	free(exec->lasting);
	if (exec->owns_workspace)
		jf_workspace_destroy(exec->workspace);
	free(exec);
}

static int used(const struct jf_exec *exec, int node) {
	return node != JF_NONE && exec->plan->nodes[node].when != JF_NEVER;
}

float *jf_exec_input(const struct jf_exec *exec, int input, int i) {
	int node = exec->graph->inputs[input];
	return used(exec, node) ? op_value(exec, node, i) : NULL;
}

const float *jf_exec_output(const struct jf_exec *exec, int output, int i) {
	int node = exec->graph->outputs[output];
	return used(exec, node) ? op_value(exec, node, i) : NULL;
}

float *jf_exec_output_grad(const struct jf_exec *exec, int output, int i) {
	int node = exec->graph->outputs[output];
	return used(exec, node) ? op_grad(exec, node, i) : NULL;
}

static bool runs(const struct jf_plan *plan, int node, enum jf_when when) {
	return plan->nodes[node].when == when && plan->nodes[node].fused == JF_NONE && !plan->nodes[node].view;
}

static void run_phase(struct jf_exec *exec, enum jf_when when, int n) {
	const struct jf_plan *plan = exec->plan;
	int micro = plan->spec.micro_batch;

	exec->temporary = exec->workspace->floats;
	exec->scratch = exec->temporary + plan->temporary_floats;
	/* What the whole batch shares depends on nothing else, so it can go first. */
	for (int i = 0; i < exec->graph->n_nodes; i++)
		if (runs(plan, i, when) && plan->nodes[i].shared)
			jf_op_forward(exec, i, 0, 1);
	for (int first = 0; first < n; first += micro)
		for (int i = 0; i < exec->graph->n_nodes; i++)
			if (runs(plan, i, when) && !plan->nodes[i].shared)
				jf_op_forward(exec, i, first, n - first < micro ? n - first : micro);
}

void jf_exec_once(struct jf_exec *exec, int n) {
	run_phase(exec, JF_ONCE, n);
}

void jf_exec_step(struct jf_exec *exec, int n) {
	run_phase(exec, JF_STEP, n);
}

void jf_exec_move(struct jf_exec *exec, int to, int from) {
	const struct jf_plan *plan = exec->plan;

	if (to == from)
		return;
	for (int i = 0; i < exec->graph->n_nodes; i++) {
		const struct jf_plan_node *p = &plan->nodes[i];
		if (p->when != JF_NEVER && p->slots == plan->spec.batch && !p->shared)
			memcpy(op_value(exec, i, to), op_value(exec, i, from), p->stride * sizeof(float));
	}
}

void jf_exec_pack(const struct jf_graph *graph, float *packed, const float *params) {
	for (int i = 0; i < graph->n_params; i++) {
		const struct jf_param *p = &graph->params[i];
		if (p->plain)
			memcpy(packed + p->packed, params + p->offset, p->size * sizeof(float));
	}
	for (int i = 0; i < graph->n_nodes; i++) {
		const struct jf_node *n = &graph->nodes[i];
		if (n->op == JF_OP_CONV3X3 && n->attr.winograd)
			jf_winograd_pack(
			    packed + n->packed, params + graph->params[n->param[0]].offset, n->attr.k / 9, n->attr.n);
		else if (n->op == JF_OP_LINEAR || (n->op == JF_OP_CONV3X3 && !n->attr.narrow))
			jf_pack(packed + n->packed, params + graph->params[n->param[0]].offset, n->attr.k, n->attr.n);
	}
}

void jf_exec_pack_transposed(const struct jf_graph *graph, float *packed, const float *params) {
	for (int i = 0; i < graph->n_nodes; i++) {
		const struct jf_node *n = &graph->nodes[i];
		if (n->op == JF_OP_CONV3X3 && n->attr.winograd_back)
			jf_winograd_pack_transposed(packed + n->packed_transposed,
			    params + graph->params[n->param[0]].offset, n->attr.k / 9, n->attr.n);
		else if (n->op == JF_OP_CONV3X3)
			(n->attr.stride == 1 ? jf_pack_conv_transposed : jf_pack_conv_strided)(
			    packed + n->packed_transposed, params + graph->params[n->param[0]].offset, n->attr.k / 9,
			    n->attr.n);
		if (n->op == JF_OP_LINEAR)
			jf_pack_transposed(packed + n->packed_transposed, params + graph->params[n->param[0]].offset,
			    n->attr.k, n->attr.n);
	}
}
