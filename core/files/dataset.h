/* Labelled images in memory: IDX files, a folder of PNGs and JPEGs or NumPy arrays, the same way for the trainer and
 * for `jointflow eval`.
 *
 * A path may be
 *   - a folder with IDX files under any of the published names, plain or .gz: train-images-idx3-ubyte,
 *     t10k-images.idx3-ubyte, emnist-letters-test-images-idx3-ubyte ... each beside its labels;
 *   - one IDX file of images; the labels' name follows from it;
 *   - a folder with one sub-folder of PNGs and JPEGs for each class, named by the class, or such folders under train/,
 *     test/ and val/ (or valid/, validation/);
 *   - a .npz with arrays of images and labels, or a .npy of images beside one of labels: core/files/dataset_npy.c.
 * Hidden files and __MACOSX are passed over in silence, other files in a class folder are counted and named.
 * Class names: a file class-names.txt in the folder (one name a line), EMNIST's mapping, the sub-folders' names, or
 * the numbers. EMNIST's images lie on their side; they are set upright. */
#ifndef JF_CORE_FILES_DATASET_H
#define JF_CORE_FILES_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/engine/network.h"

#define JF_DATASET_MAX_CLASSES JF_NETWORK_MAX_CLASSES /* more could not be learnt */
#define JF_DATASET_MAX_IMAGES ((size_t)50 * 1000 * 1000)

struct jf_dataset {
	int height, width, channels; /* multiples of 4, 8 to 256; 1 or 3 */
	int classes;                 /* 2 to JF_DATASET_MAX_CLASSES */
	size_t n;                    /* images */
	uint8_t *pixels;             /* owned, [n][height][width][channels] */
	uint16_t *labels;            /* owned, [n], each below classes */
	char **class_names;          /* owned, [classes] */
	bool numbered;               /* the names are numbers, because nothing named the classes */
	char digest[JF_SHA256_HEX];  /* SHA-256 over sizes, class names, labels and pixels */
};

enum jf_dataset_part {
	JF_DATASET_TRAIN,
	JF_DATASET_TEST,
	JF_DATASET_VALIDATION, /* val/ of a folder of parts; of anything else as JF_DATASET_TEST */
};

/* What pictures are made into. Another size is stretched by area averaging, as JF_PREPROCESS_NONE does. */
struct jf_dataset_form {
	int height, width; /* 0: as they are, and all must agree */
	int channels;      /* 1 grey, 3 colour; 0: as they are, and all must agree */
	/* NULL, or called with a line for people: files passed over, and each picture that cannot be used. */
	void (*tell)(void *context, const char *line);
	void *tell_context;
};

/* Fills *out (deinit it), or leaves it {0}. form NULL: as they are. JF_EIO, JF_EFORMAT (damaged, sizes that differ,
 * labels out of range), JF_ELIMIT, JF_EEMPTY, JF_EINVAL (sizes that the network cannot take); the message names file
 * and place. Of pictures that cannot be used it names the first and their number, form->tell hears of all. */
enum jf_err jf_dataset_load(struct jf_dataset *out, const char *path, enum jf_dataset_part part,
    const struct jf_dataset_form *form, struct jf_error *err);

/* Whether `path` is a folder of parts (train/ ...) with one for validation. */
bool jf_dataset_has_validation(const char *path);

/* From two files, IDX or .npy, named. labels_path NULL: derived from images_path ("images-idx3" -> "labels-idx1"). */
enum jf_err jf_dataset_load_pair(struct jf_dataset *out, const char *images_path, const char *labels_path,
    const struct jf_dataset_form *form, struct jf_error *err);

void jf_dataset_deinit(struct jf_dataset *dataset);

/* Bytes of one image. */
size_t jf_dataset_image_size(const struct jf_dataset *dataset);
/* out[height][width][channels] in [-1, 1]. index < n. */
void jf_dataset_image(const struct jf_dataset *dataset, size_t index, float *out);

/* order[n] becomes a permutation of 0 .. n - 1 that depends on (seed, round) alone (Fisher and Yates). n < 2^32. */
void jf_dataset_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t round);

/* Which images are trained on and which are held out: order[n] with the held-out ones as its last `holdout`, as many of
 * each class as its share of the whole. The same for every run of a data set, so that recipes are judged on the same
 * images. holdout at most n. JF_ENOMEM. */
enum jf_err jf_dataset_split(uint32_t *order, const struct jf_dataset *dataset, size_t holdout, struct jf_error *err);
/* How many of n images are held out unless somebody says otherwise: a tenth, at most 5000. */
size_t jf_dataset_holdout(size_t n);

/* Labels that count from 0 without gaps, as training data must have where nothing names the classes: JF_EINVAL names a
 * label that is alone (255, say) or a first class that no image has (labels 1 to 10). `name` begins the message. */
enum jf_err jf_dataset_check_labels(const struct jf_dataset *dataset, const char *name, struct jf_error *err);

/* Gives the data set the classes of a model: each of its classes becomes the one of the same name, and classes may be
 * missing. Labels that nothing names are the model's numbers. JF_EINVAL names a class that is unknown; the data set is
 * then unchanged. JF_ENOMEM. */
enum jf_err jf_dataset_match(
    struct jf_dataset *dataset, char *const *class_names, int classes, const char *name, struct jf_error *err);

/* Adds the images of `more`, whose sizes must be the same and whose classes must match (jf_dataset_match); the digest
 * becomes one of both. JF_EINVAL, JF_ENOMEM. */
enum jf_err jf_dataset_append(
    struct jf_dataset *dataset, const struct jf_dataset *more, const char *name, struct jf_error *err);

#endif
