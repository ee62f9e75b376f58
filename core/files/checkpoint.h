/* A model in a safetensors file.
 *
 * Tensors: the network's parameters, F32, by name and shape as core/engine/network.h builds them; no others.
 * Metadata (all strings): format = "jointflow", format_version = "1"; height, width, image_channels, classes, channels,
 * blocks, layers, heads, label_tokens, augment as decimals; label_head = "endpoint" | "velocity"; class_names, a JSON
 * array of K strings; name; temperature; preprocess, "mnist" (also when it is missing) or "none"; paper, "dark" (also
 * when it is missing) or "any"; label_bias, K numbers with spaces between, when the model was calibrated; and any
 * further keys, which become the model's facts. */
#ifndef JF_CORE_FILES_CHECKPOINT_H
#define JF_CORE_FILES_CHECKPOINT_H

#include <stddef.h>

#include "core/base/error.h"
#include "core/engine/model.h"

#define JF_CHECKPOINT_VERSION 1

/* A new model (one reference, packed for inference, checksum set); unref with jf_model_unref. NULL on failure with one
 * message naming file and tensor or key: JF_EIO, JF_EFORMAT (malformed; a missing, unknown or misshaped tensor),
 * JF_ELIMIT, JF_ENUMERIC (a value is not finite), JF_ENOMEM. */
struct jf_model *jf_checkpoint_load(const char *path, struct jf_error *err);

/* The same from memory; origin begins every message; data is not kept. */
struct jf_model *jf_checkpoint_load_buffer(
    const void *data, size_t size_bytes, const char *origin, struct jf_error *err);

/* The metadata key of the first field in which two networks differ, and both values (of label_head enum
 * jf_label_head); NULL when they are the same, so that one's parameters fit the other. Borrowed, constant. */
const char *jf_checkpoint_difference(
    const struct jf_network_config *a, const struct jf_network_config *b, int *of_a, int *of_b);

/* Whether the names of the model and of its classes are such as load accepts: 1 to 256 bytes without control
 * characters, no class twice. JF_EFORMAT names the one at fault. A long training asks this before it begins. */
enum jf_err jf_checkpoint_check_names(const struct jf_model *model, struct jf_error *err);

/* Saves atomically: on any failure an old file of that name stays as it was. JF_EIO, JF_ENUMERIC (a parameter is not
 * finite: nothing is written), JF_EINVAL (a fact has a key of ours), JF_EFORMAT (jf_checkpoint_check_names),
 * JF_ENOMEM. */
enum jf_err jf_checkpoint_save(const struct jf_model *model, const char *path, struct jf_error *err);

#endif
