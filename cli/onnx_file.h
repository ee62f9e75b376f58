/* An ONNX model under construction: operators, constants, inputs and outputs, written at the end as one file.
 *
 * The one wrapper of protobuf-c. Schema: cli/onnx.proto; IR version 8, operator set 17.
 * The first failure (of memory) is kept: later calls do nothing, return "" and onnx_write returns it. */
#ifndef JF_CLI_ONNX_FILE_H
#define JF_CLI_ONNX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

struct onnx;
struct onnx *onnx_create(const char *name); /* the graph's name, copied; NULL when memory is short */
void onnx_destroy(struct onnx *onnx);       /* NULL allowed */

/* All names that are returned live as long as the model. */

/* A copy of the text that a format gives. */
const char *onnx_name(struct onnx *onnx, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds an operator with the inputs that are named up to a NULL; returns its output's name, made of `node`. */
const char *onnx_op(struct onnx *onnx, const char *node, const char *type, ...) __attribute__((sentinel));

/* Attributes of the operator that was added last. */
void onnx_attribute_int(struct onnx *onnx, const char *name, int64_t value);
void onnx_attribute_ints(struct onnx *onnx, const char *name, int n, const int64_t *values);
void onnx_attribute_float(struct onnx *onnx, const char *name, float value);
void onnx_attribute_text(struct onnx *onnx, const char *name, const char *value);

/* Gives the operator added last an output with this name instead of its own. */
void onnx_rename(struct onnx *onnx, const char *name);

/* Constants, copied. dims [rank]; an int64 constant is a vector. name NULL: one is made up. They return the name. */
const char *onnx_floats(struct onnx *onnx, const char *name, int rank, const int64_t *dims, const float *values);
const char *onnx_ints(struct onnx *onnx, const char *name, int n, const int64_t *values);

enum onnx_type { ONNX_FLOAT, ONNX_INT64 };
/* An input or output [N][dims...], N any batch; rank counts dims without N. */
void onnx_input(struct onnx *onnx, const char *name, const char *doc, int rank, const int64_t *dims);
void onnx_output(
    struct onnx *onnx, const char *name, const char *doc, enum onnx_type type, int rank, const int64_t *dims);

/* A fact about the model; copied. */
void onnx_metadata(struct onnx *onnx, const char *key, const char *value);

/* Writes the file atomically. JF_EIO, JF_ENOMEM. */
enum jf_err onnx_write(struct onnx *onnx, const char *path, const char *doc, struct jf_error *err);

#endif
