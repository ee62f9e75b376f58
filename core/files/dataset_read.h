/* The kinds of data sets behind core/files/dataset.h. */
#ifndef JF_CORE_FILES_DATASET_READ_H
#define JF_CORE_FILES_DATASET_READ_H

#include <stdbool.h>

#include "core/files/dataset.h"
#include "core/pictures/image.h"

#define JF_DATASET_CLASS_NAMES "class-names.txt"

/* The digest, of all that the data set is. */
enum jf_err jf_dataset_finish(struct jf_dataset *out, struct jf_error *err);

/* Class folders of pictures, in the wanted form. Fills all of *out but the digest; the caller deinits on failure too.
 */
enum jf_err jf_dataset_read_folder(
    struct jf_dataset *out, const char *path, const struct jf_dataset_form *form, struct jf_error *err);

/* Whether `path` has at least so many sub-folders (and so may be a data set of class folders). */
bool jf_dataset_has_class_folders(const char *path, size_t least);

/* The sub-folder of `part` when `path` is a folder of parts (nothing but train, test, val, valid, validation, and train
 * among them), else `path` itself: *folder, new. JF_EEMPTY when the part is missing. */
enum jf_err jf_dataset_find_part(char **folder, const char *path, enum jf_dataset_part part, struct jf_error *err);

/* A picture's pixels in the form, out[form->height * form->width * form->channels], none of them 0. JF_ENOMEM. */
enum jf_err jf_dataset_fit(
    uint8_t *out, const struct jf_image *image, const struct jf_dataset_form *form, struct jf_error *err);

/* NumPy arrays; all of *out but the digest. labels_path NULL: derived from the name; a .npz needs none. *out is {0} on
 * failure. */
enum jf_err jf_dataset_read_npy(
    struct jf_dataset *out, const char *path, const char *labels_path, enum jf_dataset_part part, struct jf_error *err);
/* The same of a file in memory; the labels of a .npy are still read from theirs. */
enum jf_err jf_dataset_parse_npy(struct jf_dataset *out, const uint8_t *bytes, size_t size, const char *path,
    const char *labels_path, enum jf_dataset_part part, struct jf_error *err);
bool jf_dataset_is_npy(const char *path);

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
