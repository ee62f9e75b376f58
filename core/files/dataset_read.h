/* The two kinds of data sets behind core/files/dataset.h. */
#ifndef JF_CORE_FILES_DATASET_READ_H
#define JF_CORE_FILES_DATASET_READ_H

#include <stdbool.h>

#include "core/files/dataset.h"

/* Class folders of PNGs. Fills all of *out but the digest; the caller deinits on failure too. */
enum jf_err jf_dataset_read_folder(struct jf_dataset *out, const char *path, struct jf_error *err);

/* Whether `path` has at least two sub-folders (and so may be a data set of class folders). */
bool jf_dataset_has_class_folders(const char *path);

/* Finds the IDX file of images for `part` in a folder: *found (new, caller frees), NULL when there is none.
 * JF_EINVAL when several data sets lie there. */
enum jf_err jf_dataset_find_idx(char **found, const char *path, enum jf_dataset_part part, struct jf_error *err);

/* Images and labels from IDX; all of *out but the digest. */
enum jf_err jf_dataset_read_idx(
    struct jf_dataset *out, const char *images_path, const char *labels_path, struct jf_error *err);

/* Checks sizes and class count against what the network takes. `name` begins the message. */
enum jf_err jf_dataset_check_shape(int height, int width, int channels, const char *name, struct jf_error *err);

/* names[classes] = "0", "1" ... where NULL. */
enum jf_err jf_dataset_default_names(struct jf_dataset *out, struct jf_error *err);

#endif
