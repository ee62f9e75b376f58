/* Runs a plan: forward by phases, backward as the reverse walk.
 * One executor belongs to one thread and never allocates after creation. What outlives a phase (plan.h) is its own; the
 * rest lies in a workspace, which it has for itself or shares with other executors of its thread. */
#ifndef JF_CORE_ENGINE_EXEC_H
#define JF_CORE_ENGINE_EXEC_H

#include "core/base/error.h"
#include "core/engine/plan.h"

struct jf_kernels;

/* Temporary memory of the executors of one thread: as much as the one that needs most. */
struct jf_workspace {
	float *floats; /* owned */
	size_t size;   /* floats */
};
struct jf_workspace *jf_workspace_create(void);            /* NULL when memory is short */
void jf_workspace_destroy(struct jf_workspace *workspace); /* NULL allowed; after all that use it */

struct jf_exec {
	const struct jf_graph *graph;
	const struct jf_plan *plan;
	const struct jf_kernels *kernels;
	const float *params;            /* borrowed, training only, [graph->n_params_floats] */
	const float *packed;            /* borrowed, [graph->packed_floats] */
	const float *packed_transposed; /* borrowed, training only */
	float *grads;                   /* borrowed, training only, [graph->n_params_floats]; backward adds to it */
	float *lasting;                 /* owned */
	struct jf_workspace *workspace; /* borrowed, or owned */
	bool owns_workspace;
	float *temporary, *scratch; /* the workspace's, while a phase runs */
};

/* The plan and all arrays are borrowed and must outlive the executor. packed_transposed and grads: NULL unless the
 * plan trains. NULL on failure. */
struct jf_exec *jf_exec_create(const struct jf_plan *plan, const float *params, const float *packed,
    const float *packed_transposed, float *grads, struct jf_error *err);
/* Forward only, for a plan that does not train. workspace: borrowed, of the thread that runs it; NULL: one of its own.
 */
struct jf_exec *jf_exec_create_in(
    struct jf_workspace *workspace, const struct jf_plan *plan, const float *packed, struct jf_error *err);
void jf_exec_destroy(struct jf_exec *exec); /* NULL allowed */

/* Where the caller writes input `input` of sample i (shared inputs: i = 0) / reads output `output` / writes the
 * gradient of output `output`. NULL when the plan has no use for it. Valid until the executor goes. Inputs keep their
 * value until they are overwritten. */
float *jf_exec_input(const struct jf_exec *exec, int input, int i);
const float *jf_exec_output(const struct jf_exec *exec, int output, int i);
float *jf_exec_output_grad(const struct jf_exec *exec, int output, int i);

/* Runs the hoisted nodes, resp. those of a step, for samples 0 .. n - 1. */
void jf_exec_once(struct jf_exec *exec, int n);
void jf_exec_step(struct jf_exec *exec, int n);
/* Backward for the n samples of the last jf_exec_step; the gradients of all wanted outputs must be written before.
 * In libgradients.a (core/engine/ops_backward.c): it calls OpenBLAS, which answering questions does without. */
void jf_exec_backward(struct jf_exec *exec, int n);

/* Moves everything that outlives a phase (inputs, hoisted values, outputs) of sample `from` to sample `to`. */
void jf_exec_move(struct jf_exec *exec, int to, int from);

/* All that a forward pass reads, weights of linear and convolution nodes packed: out [graph->packed_floats], 64-byte
 * aligned. */
void jf_exec_pack(const struct jf_graph *graph, float *packed, const float *params);
/* Packed weights of the data gradients: out [graph->packed_transposed_floats], 64-byte aligned. */
void jf_exec_pack_transposed(const struct jf_graph *graph, float *packed, const float *params);

/* 64-byte aligned, zeroed memory for `count` floats, freed with free(); NULL when there is none. */
float *jf_alloc_floats(size_t count);

#endif
