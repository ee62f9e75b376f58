/* A static graph of operations on one sample.
 *
 * Built once, in topological order, then read-only. A plan decides what is computed when, and where in memory
 * (core/engine/plan.h). A shape is per sample: [rows][columns][channels]; a vector has rows = columns = 1, a
 * token set columns = 1. */
#ifndef JF_CORE_ENGINE_GRAPH_H
#define JF_CORE_ENGINE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"

enum jf_op {
	JF_OP_INPUT,         /* attr.input: which */
	JF_OP_TIME_FEATURES, /* t [1] -> [2 f]: cos, sin of 1000 t w_i, w_i = 10000^(-i / f) */
	JF_OP_LINEAR,        /* x [attr.m][k] W[k][n] + b (+ residual): params weight, bias; in: x, residual? */
	JF_OP_CONV3X3,       /* params weight [3][3][ci][co], bias; in: padded x, per-channel vector?, residual? */
	JF_OP_PAD,           /* copies an image into a zero-bordered one */
	JF_OP_GROUP_NORM,    /* params scale, bias; attr.silu, attr.pad */
	JF_OP_LAYER_NORM,    /* params scale, bias; per row */
	JF_OP_SILU,
	JF_OP_ADD_ROWS,       /* x[r][c] + positions[r][c] (param) + vector[c]; in: x, vector */
	JF_OP_ATTENTION,      /* in: query rows' qkv, first token set's qkv, second token set's qkv */
	JF_OP_CONCAT,         /* channels of a, then channels of b */
	JF_OP_DEPTH_TO_SPACE, /* [h][w][4c] -> [2h][2w][c]; source channel (2 dy + dx) c + i */
	JF_OP_MEAN_ROWS,      /* mean over rows and columns -> [c] */
	JF_N_OPS
};
const char *jf_op_name(enum jf_op op);

enum jf_init {
	JF_INIT_ZERO,
	JF_INIT_ONE,
	JF_INIT_FAN_IN, /* uniform in +-1 / sqrt(fan in) */
	JF_INIT_NORMAL, /* N(0, 0.02^2) */
};

struct jf_param {
	char name[48];
	int rank; /* 1 to 4 */
	int shape[4];
	size_t size;   /* floats */
	size_t offset; /* floats, into the flat parameter array */
	enum jf_init init;
	bool decay;    /* weight decay applies (matrices and kernels) */
	bool plain;    /* the forward pass reads it as it is; else packed, see jf_node */
	size_t packed; /* plain: float offset of its copy in the packed array */
};

struct jf_shape {
	int rows, columns, channels;
	bool padded; /* stored with a one-pixel zero border; only convolutions read it */
};

#define JF_MAX_IN 3
#define JF_MAX_PARAM 2
#define JF_NONE (-1)

struct jf_node {
	enum jf_op op;
	char name[48];
	int in[JF_MAX_IN];       /* node indices or JF_NONE */
	int param[JF_MAX_PARAM]; /* parameter indices or JF_NONE */
	struct jf_shape shape;
	struct {
		int input;          /* INPUT */
		int m, k, n;        /* LINEAR: rows, inner, outputs; CONV3X3: k = 9 ci, n = co */
		int stride;         /* CONV3X3 */
		bool narrow;        /* CONV3X3: of few outputs, which a kernel of their own takes unpacked */
		bool winograd;      /* CONV3X3: by Winograd, see core/kernels/winograd.h */
		bool winograd_back; /* and its data gradient */
		int groups;         /* GROUP_NORM */
		int heads;          /* ATTENTION */
		bool silu;          /* GROUP_NORM */
	} attr;
	size_t packed; /* float offset of the packed weight in the packed array (LINEAR, CONV3X3 unless narrow) */
	size_t packed_transposed; /* and of the packed weight of the data gradient in a training pack (both) */
};

#define JF_MAX_INPUTS 8
#define JF_MAX_OUTPUTS 4

struct jf_graph {
	struct jf_node *nodes;
	int n_nodes, cap_nodes;
	struct jf_param *params;
	int n_params, cap_params;
	size_t n_params_floats;
	size_t packed_floats;            /* size of the inference pack: all that a forward pass reads */
	size_t packed_transposed_floats; /* size of the additional training pack */
	int inputs[JF_MAX_INPUTS];       /* node index or JF_NONE */
	int outputs[JF_MAX_OUTPUTS];     /* node index or JF_NONE */
	enum jf_err status;              /* sticky: the first failure while building */
	struct jf_error error;
};

struct jf_graph *jf_graph_create(void); /* NULL when memory is short */
void jf_graph_destroy(struct jf_graph *graph);

/* Builders: each adds a node (and its parameters, named "<name>.weight" ...) and returns its index. After a failure
 * they return 0 and graph->status tells, so that a network is written without a check per line. */
int jf_g_input(struct jf_graph *g, const char *name, int which, struct jf_shape shape);
int jf_g_time_features(struct jf_graph *g, const char *name, int t, int features);
int jf_g_linear(struct jf_graph *g, const char *name, int x, struct jf_shape out, int residual, enum jf_init init);
int jf_g_conv3x3(
    struct jf_graph *g, const char *name, int x, int channels, int stride, int vector, int residual, enum jf_init init);
int jf_g_pad(struct jf_graph *g, const char *name, int x);
int jf_g_group_norm(struct jf_graph *g, const char *name, int x, int groups, bool silu, bool pad);
int jf_g_layer_norm(struct jf_graph *g, const char *name, int x);
int jf_g_silu(struct jf_graph *g, const char *name, int x);
int jf_g_add_rows(struct jf_graph *g, const char *name, int x, int vector);
int jf_g_attention(struct jf_graph *g, const char *name, int query, int first, int second, int heads);
int jf_g_concat(struct jf_graph *g, const char *name, int a, int b);
int jf_g_depth_to_space(struct jf_graph *g, const char *name, int x);
int jf_g_mean_rows(struct jf_graph *g, const char *name, int x);

/* Floats one sample of this shape takes, the border included. */
size_t jf_shape_floats(struct jf_shape shape);
/* Floats without the border. */
size_t jf_shape_count(struct jf_shape shape);

#endif
