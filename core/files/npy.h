/* NumPy's .npy, version 1.0: uint8 [N][H][W], or [N][H][W][C] when C > 1. */
#ifndef JF_CORE_FILES_NPY_H
#define JF_CORE_FILES_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* images [n][height][width][channels] in [-1, 1]. *data out: malloc'd, caller frees; NULL on failure (JF_EINVAL,
 * JF_ENOMEM). */
enum jf_err jf_npy_encode(uint8_t **data, size_t *size_bytes, const float *images, int n, int height, int width,
    int channels, struct jf_error *err);

/* The same to a file, atomically (core/base/file.h). */
enum jf_err jf_npy_write(
    const char *path, const float *images, int n, int height, int width, int channels, struct jf_error *err);

#endif
