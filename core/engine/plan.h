/* A plan: a graph plus three facts -- which outputs are wanted, which inputs stay fixed over the ODE steps, whether a
 * backward pass follows -- and what follows from them: what runs when, and where every value lies.
 *
 * Derived, never written by hand per task:
 *   pruning      nodes that no wanted output depends on never run
 *   hoisting     nodes that depend only on fixed inputs run once per request, not once per step
 *   time tables  nodes that depend only on inputs that the whole batch shares run for one sample, not for each
 *   fusion       attentions over the same keys and values are computed together; a group norm by the convolution
 *                that reads it, with statistics that the convolution before gathers
 *   views        what only a concatenation reads in another order is never written in that order by itself; what
 *                the backward pass would hand on unchanged is not copied
 *   memory       values whose lifetimes do not overlap share memory; what no phase leaves behind lies apart, so that
 * all plans of a thread can share it
 *
 * A batch is processed in micro-batches, so that temporary values stay in the cache: they have room for
 * `micro_batch` samples only; what outlives a phase has room for `batch`. */
#ifndef JF_CORE_ENGINE_PLAN_H
#define JF_CORE_ENGINE_PLAN_H

#include "core/base/error.h"
#include "core/engine/graph.h"

struct jf_plan_spec {
	unsigned outputs; /* bit o: output o is wanted */
	unsigned fixed;   /* bit i: input i keeps its value over all steps of a request */
	unsigned shared;  /* bit i: input i has one value for the whole batch */
	bool train;       /* keep what the backward pass needs and plan gradients; nothing may be fixed or shared */
	int batch;        /* samples at most */
	int micro_batch;  /* samples worked on at a time; training: equal to batch */
};

enum jf_when {
	JF_NEVER, /* pruned */
	JF_ONCE,  /* once per request: hoisted */
	JF_STEP,  /* every step */
};

#define JF_NO_OFFSET ((size_t)-1)

struct jf_plan_node {
	enum jf_when when;
	bool shared;       /* runs for one sample, read by all */
	bool lasts;        /* the value outlives its phase: it lies in lasting memory; always when training */
	int fused;         /* the node that computes this one along with itself, or JF_NONE */
	int partner;       /* the node that this one computes, or JF_NONE */
	bool gathers;      /* leaves the statistics of its channels to the group norms that read it */
	bool view;         /* has no memory and never runs: who reads it takes its input's value, in its order */
	int slots;         /* samples there is room for: 1, micro_batch or batch */
	size_t offset;     /* floats into lasting or temporary memory: value of slot 0; slots follow each other */
	size_t stride;     /* floats from slot to slot */
	size_t aux_offset; /* statistics and attention weights, [micro_batch or 1][aux_stride] */
	size_t aux_stride;
	size_t
	    grad_offset; /* training: gradient of the value (never padded), [batch][grad_stride]; else JF_NO_OFFSET */
	size_t grad_stride;
	int grad_root;              /* training: the node whose gradient's memory this one's shares, itself if none */
	bool accumulate[JF_MAX_IN]; /* training: the gradient of in[s] was written before this node's backward */
	long long multiply_adds;    /* of one sample's forward pass */
};

struct jf_plan {
	const struct jf_graph *graph; /* borrowed */
	struct jf_plan_spec spec;
	struct jf_plan_node *nodes; /* owned, [graph->n_nodes] */
	size_t lasting_floats;   /* values that outlive their phase; training: all values, statistics and gradients */
	size_t temporary_floats; /* the other values and statistics; nothing of them is left when a phase ends */
	size_t unplanned_floats; /* what they would take without sharing memory; for the curious */
	size_t scratch_floats;   /* the largest temporary need of any one op */
};

struct jf_plan *jf_plan_create(const struct jf_graph *graph, const struct jf_plan_spec *spec, struct jf_error *err);
void jf_plan_destroy(struct jf_plan *plan); /* NULL allowed */

/* The node whose value there is in memory: of a view what it is a view of, of any other the node itself (JF_NONE too).
 */
int jf_plan_source(const struct jf_plan *plan, int node);

/* Sums of multiply-adds of one sample over the nodes that run `when`. */
long long jf_plan_multiply_adds(const struct jf_plan *plan, enum jf_when when);

#endif
