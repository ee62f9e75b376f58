/* Reading NumPy's .npy, versions 1 to 3, and the .npz archives of them, without trusting anything in them. */
#ifndef JF_CORE_FILES_NPY_READ_H
#define JF_CORE_FILES_NPY_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

#define JF_NPY_MAX_RANK 4
#define JF_NPY_MAX_MEMBERS 64

/* An array, inside the bytes that it was parsed from. */
struct jf_npy {
	int rank;
	size_t shape[JF_NPY_MAX_RANK];
	size_t n;  /* elements */
	char kind; /* 'u' unsigned, 'i' signed, 'f' float, 'b' boolean */
	int size;  /* bytes of an element: 1, 2, 4, 8 */
	bool big;  /* big-endian */
	const uint8_t *values;
};

/* JF_EFORMAT: not a .npy, cut short, an invalid header, an order that is not C's; JF_ELIMIT: more dimensions
 * than are taken. `name` begins messages. */
enum jf_err jf_npy_parse(struct jf_npy *out, const uint8_t *bytes, size_t size, const char *name, struct jf_error *err);

/* Element i of an array of integers; false when it does not fit. */
bool jf_npy_integer(const struct jf_npy *array, size_t i, int64_t *value);

/* A member of an archive: where it lies, packed or not. */
struct jf_npz_member {
	char name[64]; /* without ".npy" */
	size_t offset, packed, unpacked;
	bool deflated;
};

/* The directory of a ZIP archive's .npy members: members[JF_NPY_MAX_MEMBERS], *n. Encrypted, split and larger archives
 * than 4 GiB are refused. JF_EFORMAT, JF_ELIMIT. */
enum jf_err jf_npz_list(struct jf_npz_member *members, size_t *n, const uint8_t *bytes, size_t size, const char *name,
    struct jf_error *err);

/* One member's bytes: *out new (caller frees), member->unpacked of them. JF_EFORMAT, JF_ENOMEM. */
enum jf_err jf_npz_read(uint8_t **out, const struct jf_npz_member *member, const uint8_t *bytes, size_t size,
    const char *name, struct jf_error *err);

#endif
