/* Forward of each op on a run of samples, and what the planner must know of each. */
#ifndef JF_CORE_ENGINE_OPS_H
#define JF_CORE_ENGINE_OPS_H

#include "core/engine/exec.h"
#include "core/engine/graph.h"

/* Does the backward pass of `op` read the value of its input number `slot`? */
bool jf_op_backward_reads(enum jf_op op, int slot);
/* Is what the backward pass of `op` gives its input number `slot` the gradient that it was given itself? (A padded
 * copy's too, but all that read one add to its original's at once.) */
bool jf_op_hands_on(enum jf_op op, int slot);
/* Floats of statistics a sample's forward pass leaves for the backward pass. `partner`: the node that is computed along
 * with this one, or JF_NONE. */
size_t jf_op_aux_floats(const struct jf_graph *graph, int node, int partner, const struct jf_plan_spec *spec);
/* Floats of temporary memory. */
size_t jf_op_scratch_floats(const struct jf_graph *graph, int node, int partner, const struct jf_plan_spec *spec);
/* Multiply-adds of one sample's forward pass (products only; norms and the like count 0). */
long long jf_op_multiply_adds(const struct jf_graph *graph, int node);

/* Samples first .. first + count - 1 of the batch; all of them lie in one micro-batch. */
void jf_op_forward(struct jf_exec *exec, int node, int first, int count);

#endif
