/* What reading and writing a checkpoint share (checkpoint.c, checkpoint_write.c). Not for anybody else: the interface
 * is core/files/checkpoint.h, where the metadata are described. */
#ifndef JF_CORE_FILES_CHECKPOINT_PARTS_H
#define JF_CORE_FILES_CHECKPOINT_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/files/checkpoint.h"

#define JF_CHECKPOINT_FORMAT "jointflow" /* of metadata "format" */
#define JF_CHECKPOINT_FIELDS 10
#define JF_CHECKPOINT_OTHER_KEYS 9 /* ours besides the fields */

/* The configuration's fields by their metadata keys; one table for reading, writing and comparing. */
struct jf_checkpoint_field {
	const char *key;
	size_t offset; /* of an int in struct jf_network_config */
};
extern const struct jf_checkpoint_field jf_checkpoint_fields[JF_CHECKPOINT_FIELDS];

/* What metadata "label_head" says, by enum jf_label_head. */
extern const char *const jf_checkpoint_heads[];

int jf_checkpoint_field_value(const struct jf_network_config *config, size_t field);

/* Whether the key is one of the fields' or of the others that say something about the network; the rest are facts. */
bool jf_checkpoint_is_ours(const char *key);

/* A name that people will see: not empty, not endless, no control characters. JF_EFORMAT; `what` begins the message. */
enum jf_err jf_checkpoint_check_name(const char *what, const char *name, struct jf_error *err);

/* Of all classes: each name fit to be seen, none twice. JF_EFORMAT; the message begins with the class's number. */
enum jf_err jf_checkpoint_check_class_names(const char *const *names, int classes, struct jf_error *err);

/* What makes a model tell how familiar an image is: all of these tensors, or none. Shapes follow from the network.
 * Names are constant; the values are the familiarity's own. */
#define JF_CHECKPOINT_FAMILIARITY 4
void jf_checkpoint_familiarity_params(
    struct jf_param params[JF_CHECKPOINT_FAMILIARITY], const struct jf_network_config *config);
void jf_checkpoint_familiarity_values(
    float *values[JF_CHECKPOINT_FAMILIARITY], const struct jf_familiarity *familiarity);

#endif
