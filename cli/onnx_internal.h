/* What the two halves of the export share: onnx.c walks the graph, onnx_nodes.c knows each operation. */
#ifndef JF_CLI_ONNX_INTERNAL_H
#define JF_CLI_ONNX_INTERNAL_H

#include <stdbool.h>

#include "cli/onnx.h"
#include "cli/onnx_file.h"

/* What represents a node's value: [N][C] for a single row, [N][rows][C] for tokens, [N][C][H][W] for an image. Values
 * that depend on constants alone keep a batch of one, so that whoever reads the file can compute them once; `batched`
 * ones have all N. */
struct value {
	const char *name;
	bool batched;
};

struct export {
	struct onnx *onnx;
	const struct jf_model *model;
	const struct jf_graph *graph;
	struct value *values; /* [graph->n_nodes] */
	bool *wanted;         /* [graph->n_nodes]: an output depends on it */
	enum onnx_part part;
};

/* Appends the operators of node i, whose inputs have been exported, and names its value in e->values. JF_EINVAL: ONNX
 * has no such operation; JF_ENOMEM. */
enum jf_err onnx_export_node(struct export *e, int i, struct jf_error *err);

static inline const struct jf_node *node_of(const struct export *e, int i) {
	return &e->graph->nodes[i];
}

/* Operators of one and two inputs, and [N][C][H][W] and the like with other axes first. */
static inline const char *op1(struct export *e, const struct jf_node *node, const char *type, const char *a) {
	return onnx_op(e->onnx, node->name, type, a, NULL);
}

static inline const char *op2(
    struct export *e, const struct jf_node *node, const char *type, const char *a, const char *b) {
	return onnx_op(e->onnx, node->name, type, a, b, NULL);
}

/* The first n of the axes a, b, c, d. */
const char *onnx_transpose(
    struct export *e, const struct jf_node *node, const char *x, int n, int64_t a, int64_t b, int64_t c, int64_t d);

#endif
