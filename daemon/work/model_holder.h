/* The model in force.
 *
 * A new checkpoint is loaded aside, self-tested and warmed up, then swapped in; jobs keep the model they were created
 * with by reference. Any failure keeps the old one. */
#ifndef JF_DAEMON_WORK_MODEL_HOLDER_H
#define JF_DAEMON_WORK_MODEL_HOLDER_H

#include <stdint.h>

#include "core/engine/model.h"

struct jf_model_holder;

struct jf_model_holder *jf_model_holder_create(void); /* empty; NULL when memory is short */
void jf_model_holder_destroy(struct jf_model_holder *holder);

/* The model in force with a new reference (jf_model_unref it), or NULL while none is loaded. Any thread. */
struct jf_model *jf_model_holder_get(struct jf_model_holder *holder);

/* Loads `path`, runs the self-test, calls prepare(context, model) (may be NULL; the workers' warm-up), swaps.
 * One caller at a time (main). On failure the old model stays and *err names file and cause. */
enum jf_err jf_model_holder_load(struct jf_model_holder *holder, const char *path,
    enum jf_err (*prepare)(void *context, struct jf_model *model, struct jf_error *err), void *context,
    struct jf_error *err);

/* Puts a model in force without a file (tests). Takes a reference. */
void jf_model_holder_set(struct jf_model_holder *holder, struct jf_model *model);

/* The self-test alone: a posterior, a generation and a joint sample on fixed inputs: all finite, probabilities sum to
 * 1, and the same bytes alone and in a batch. JF_ENUMERIC or JF_EINTERNAL. */
enum jf_err jf_model_self_test(struct jf_model *model, struct jf_error *err);

int64_t jf_model_holder_loaded_at(struct jf_model_holder *holder); /* seconds since the epoch; 0 = never */
int jf_model_holder_generation(struct jf_model_holder *holder);    /* 0 = empty, then 1, 2, ... */

#endif
