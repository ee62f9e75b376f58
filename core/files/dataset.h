/* Labelled images in memory: IDX files or a folder of PNGs, the same way for the trainer and for `jointflow eval`.
 *
 * A path may be
 *   - a folder with IDX files under any of the published names, plain or .gz: train-images-idx3-ubyte,
 *     t10k-images.idx3-ubyte, emnist-letters-test-images-idx3-ubyte ... each beside its labels;
 *   - one IDX file of images; the labels' name follows from it;
 *   - a folder with one sub-folder of PNGs for each class, named by the class, or such folders under train/ and test/.
 * Class names: a file class-names.txt in the folder (one name a line), EMNIST's mapping, the sub-folders' names, or
 * the numbers. EMNIST's images lie on their side; they are set upright. */
#ifndef JF_CORE_FILES_DATASET_H
#define JF_CORE_FILES_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/digest.h"
#include "core/base/error.h"

#define JF_DATASET_MAX_CLASSES 1000
#define JF_DATASET_MAX_IMAGES ((size_t)50 * 1000 * 1000)

struct jf_dataset {
	int height, width, channels; /* multiples of 4, 8 to 256; 1 or 3 */
	int classes;                 /* 2 to 1000 */
	size_t n;                    /* images */
	uint8_t *pixels;             /* owned, [n][height][width][channels] */
	uint16_t *labels;            /* owned, [n], each below classes */
	char **class_names;          /* owned, [classes] */
	char digest[JF_SHA256_HEX];  /* SHA-256 over sizes, class names, labels and pixels */
};

enum jf_dataset_part {
	JF_DATASET_TRAIN,
	JF_DATASET_TEST,
};

/* Fills *out (deinit it), or leaves it {0}. JF_EIO, JF_EFORMAT (damaged, sizes that differ, labels out of range),
 * JF_ELIMIT, JF_EEMPTY, JF_EINVAL (sizes that the network cannot take); the message names file and place. */
enum jf_err jf_dataset_load(struct jf_dataset *out, const char *path, enum jf_dataset_part part, struct jf_error *err);

/* From two IDX files, named. labels_path NULL: derived from images_path ("images-idx3" -> "labels-idx1"). */
enum jf_err jf_dataset_load_idx(
    struct jf_dataset *out, const char *images_path, const char *labels_path, struct jf_error *err);

void jf_dataset_deinit(struct jf_dataset *dataset);

/* Bytes of one image. */
size_t jf_dataset_image_size(const struct jf_dataset *dataset);
/* out[height][width][channels] in [-1, 1]. */
void jf_dataset_image(const struct jf_dataset *dataset, size_t index, float *out);

/* order[n] becomes a permutation of 0 .. n - 1 that depends on (seed, round) alone (Fisher and Yates). n < 2^32. */
void jf_dataset_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t round);

/* Which images are trained on and which are held out: order[n] with the held-out ones as its last `holdout`. The same
 * for every run of a data set of n images, so that recipes are judged on the same images. */
void jf_dataset_split(uint32_t *order, size_t n);

#endif
