/* The model in force.
 *
 * A new checkpoint is loaded and self-tested on the side, the workers prepare for it, and then it is swapped in; jobs
 * keep the model they were created with by reference. */
#ifndef JF_DAEMON_WORK_MODEL_HOLDER_H
#define JF_DAEMON_WORK_MODEL_HOLDER_H

#include <stdint.h>

#include "core/engine/model.h"

struct jf_model_holder;

struct jf_model_holder *jf_model_holder_create(void); /* empty; NULL when memory is short */
void jf_model_holder_destroy(struct jf_model_holder *holder);

/* The model in force with a new reference (jf_model_unref it), or NULL while none is loaded. Any thread. */
struct jf_model *jf_model_holder_get(struct jf_model_holder *holder);

/* A model from a file, self-tested, for jf_model_holder_set once everything else is ready too. NULL and an error that
 * names the file when it is not one or does not compute. */
enum jf_err jf_model_open(struct jf_model **out, const char *path, struct jf_error *err);

/* Puts a model in force; jobs that name the one before keep it. Takes a reference. Cannot fail. */
void jf_model_holder_set(struct jf_model_holder *holder, struct jf_model *model);

/* The self-test alone: a posterior, a generation and a joint sample on fixed inputs: all finite, probabilities sum to
 * 1, and the same bytes alone and in a batch. JF_ENUMERIC or JF_EINTERNAL. */
enum jf_err jf_model_self_test(struct jf_model *model, struct jf_error *err);

int64_t jf_model_holder_loaded_at(struct jf_model_holder *holder); /* seconds since the epoch; 0 = never */

#endif
