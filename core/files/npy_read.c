#include "core/files/npy_read.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/inflate.h"

#define MAX_HEADER 4096
#define END_SIZE 22   /* of the record that ends a ZIP archive */
#define ENTRY_SIZE 46 /* of a directory entry without its name */
#define LOCAL_SIZE 30
#define MAX_COMMENT 65535
#define MAX_RATIO 1032 /* deflate cannot do better */

/* --- .npy --- */

/* What follows 'KEY': in the header, a Python dictionary as text; NULL when it is missing. */
static const char *value_of(const char *header, const char *key) {
	const char *at = strstr(header, key);

	if (!at)
		return NULL;
	at += strlen(key);
	at += strspn(at, " ");
	if (*at++ != ':')
		return NULL;
	return at + strspn(at, " ");
}

static bool parse_type(struct jf_npy *out, const char *text) {
	if (!text || text[0] != '\'' || !text[1] || !strchr("|<>=", text[1]) || !text[2] || !strchr("uifb", text[2]) ||
	    !strchr("1248", text[3]) || !text[3] || text[4] != '\'')
		return false;
	out->big = text[1] == '>';
	out->kind = text[2];
	out->size = text[3] - '0';
	return true;
}

static bool parse_shape(struct jf_npy *out, const char *text) {
	if (!text || *text++ != '(')
		return false;
	out->n = 1;
	for (;;) {
		unsigned long long side = 0;

		text += strspn(text, " ");
		if (*text == ')')
			return true;
		if (*text < '0' || *text > '9' || out->rank == JF_NPY_MAX_RANK)
			return false;
		for (; *text >= '0' && *text <= '9'; text++)
			if (side > (1ULL << 40))
				return false;
			else
				side = side * 10 + (unsigned)(*text - '0');
		out->shape[out->rank++] = (size_t)side;
		if (__builtin_mul_overflow(out->n, (size_t)side, &out->n))
			return false;
		text += strspn(text, " ");
		if (*text == ',')
			text++;
		else if (*text != ')')
			return false;
	}
}

enum jf_err jf_npy_parse(
    struct jf_npy *out, const uint8_t *bytes, size_t size, const char *name, struct jf_error *err) {
	char header[MAX_HEADER + 1];
	size_t prefix, length, total;
	const char *order;

	memset(out, 0, sizeof(*out));
	if (size < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0)
		return jf_error_set(err, JF_EFORMAT, "%s: is not a NumPy array (.npy)", name);
	if (bytes[6] < 1 || bytes[6] > 3)
		return jf_error_set(err, JF_EFORMAT, "%s: .npy version %d; 1 to 3 are read", name, bytes[6]);
	prefix = bytes[6] == 1 ? 10 : 12;
	length = (size_t)jf_little_endian(bytes + 8, bytes[6] == 1 ? 2 : 4);
	if (length > MAX_HEADER || length > size - prefix)
		return jf_error_set(err, JF_EFORMAT, "%s: the .npy header says it has %zu bytes", name, length);
	memcpy(header, bytes + prefix, length);
	header[length] = '\0';
	if (strlen(header) != length)
		return jf_error_set(err, JF_EFORMAT, "%s: the .npy header holds a zero byte", name);
	if (!parse_type(out, value_of(header, "'descr'")))
		return jf_error_set(err, JF_EFORMAT, "%s: not an array of plain numbers: %.60s", name, header);
	order = value_of(header, "'fortran_order'");
	if (!order || strncmp(order, "False", 5) != 0)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: is in Fortran's order; save numpy.ascontiguousarray(array)", name);
	if (!parse_shape(out, value_of(header, "'shape'")))
		return jf_error_set(
		    err, JF_EFORMAT, "%s: no shape of at most %d dimensions: %.60s", name, JF_NPY_MAX_RANK, header);
	if (__builtin_mul_overflow(out->n, (size_t)out->size, &total) || size - prefix - length < total)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: is cut short: %zu numbers of %d bytes are promised", name, out->n, out->size);
	out->values = bytes + prefix + length;
	return JF_OK;
}

bool jf_npy_integer(const struct jf_npy *array, size_t i, int64_t *value) {
	const uint8_t *at = array->values + i * (size_t)array->size;
	uint8_t turned[8];
	uint64_t bits;

	if (array->kind != 'u' && array->kind != 'i')
		return false;
	for (int k = 0; k < array->size; k++)
		turned[k] = array->big ? at[array->size - 1 - k] : at[k];
	bits = jf_little_endian(turned, array->size);
	if (array->kind == 'i' && array->size < 8 && bits >> (8 * array->size - 1))
		bits |= UINT64_MAX << (8 * array->size);
	if (array->kind == 'u' && bits > INT64_MAX)
		return false;
	memcpy(value, &bits, sizeof(bits));
	return true;
}

/* --- .npz --- */

static const uint8_t *find_end(const uint8_t *bytes, size_t size) {
	size_t least = size > END_SIZE + MAX_COMMENT ? size - END_SIZE - MAX_COMMENT : 0;

	if (size < END_SIZE)
		return NULL;
	for (size_t at = size - END_SIZE + 1; at-- > least;)
		if (memcmp(bytes + at, "PK\5\6", 4) == 0)
			return bytes + at;
	return NULL;
}

/* The next entry of the directory into *out; false when it lies outside or cannot be read. */
static bool take_entry(struct jf_npz_member *out, bool *wanted, size_t *at, const uint8_t *bytes, size_t size) {
	const uint8_t *entry = bytes + *at;
	size_t name, skip;
	unsigned flags, method;

	if (*at > size || size - *at < ENTRY_SIZE || memcmp(entry, "PK\1\2", 4) != 0)
		return false;
	flags = (unsigned)jf_little_endian(entry + 8, 2);
	method = (unsigned)jf_little_endian(entry + 10, 2);
	out->packed = (size_t)jf_little_endian(entry + 20, 4);
	out->unpacked = (size_t)jf_little_endian(entry + 24, 4);
	name = (size_t)jf_little_endian(entry + 28, 2);
	skip = name + (size_t)jf_little_endian(entry + 30, 2) + (size_t)jf_little_endian(entry + 32, 2);
	out->offset = (size_t)jf_little_endian(entry + 42, 4);
	if (size - *at - ENTRY_SIZE < skip)
		return false;
	*at += ENTRY_SIZE + skip;
	*wanted = name > 4 && name - 4 < sizeof(out->name) && memcmp(entry + ENTRY_SIZE + name - 4, ".npy", 4) == 0;
	if (!*wanted)
		return true;
	memcpy(out->name, entry + ENTRY_SIZE, name - 4);
	out->name[name - 4] = '\0';
	out->deflated = method == 8;
	return (flags & 1) == 0 && (method == 0 || method == 8) && out->packed != UINT32_MAX &&
	       out->unpacked != UINT32_MAX && out->offset != UINT32_MAX;
}

enum jf_err jf_npz_list(struct jf_npz_member *members, size_t *n, const uint8_t *bytes, size_t size, const char *name,
    struct jf_error *err) {
	const uint8_t *end = find_end(bytes, size);
	size_t entries, at;

	*n = 0;
	if (!end)
		return jf_error_set(err, JF_EFORMAT, "%s: is not a .npz: no directory of a ZIP archive", name);
	entries = (size_t)jf_little_endian(end + 10, 2);
	at = (size_t)jf_little_endian(end + 16, 4);
	for (size_t i = 0; i < entries; i++) {
		bool wanted = false;

		if (*n == JF_NPY_MAX_MEMBERS)
			return jf_error_set(err, JF_ELIMIT, "%s: more than %d arrays", name, JF_NPY_MAX_MEMBERS);
		if (!take_entry(&members[*n], &wanted, &at, bytes, size))
			return jf_error_set(err, JF_EFORMAT,
			    "%s: entry %zu of the ZIP directory is damaged, encrypted or larger than 4 GiB", name,
			    i + 1);
		*n += wanted;
	}
	return JF_OK;
}

enum jf_err jf_npz_read(uint8_t **out, const struct jf_npz_member *member, const uint8_t *bytes, size_t size,
    const char *name, struct jf_error *err) {
	const uint8_t *local = bytes + member->offset;
	size_t at;

	*out = NULL;
	if (member->offset > size || size - member->offset < LOCAL_SIZE || memcmp(local, "PK\3\4", 4) != 0)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: array '%s' is not where the directory says", name, member->name);
	at = member->offset + LOCAL_SIZE + (size_t)jf_little_endian(local + 26, 2) +
	     (size_t)jf_little_endian(local + 28, 2);
	if (at > size || size - at < member->packed ||
	    (member->deflated ? member->unpacked / MAX_RATIO > member->packed : member->unpacked != member->packed))
		return jf_error_set(err, JF_EFORMAT, "%s: array '%s' is cut short", name, member->name);
	*out = malloc(member->unpacked ? member->unpacked : 1);
	if (!*out)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory for array '%s'", name, member->name);
	if (!member->deflated) {
		memcpy(*out, bytes + at, member->unpacked);
		return JF_OK;
	}
	if (jf_inflate_raw(*out, member->unpacked, bytes + at, member->packed))
		return JF_OK;
	free(*out);
	*out = NULL;
	return jf_error_set(err, JF_EFORMAT, "%s: array '%s' is damaged", name, member->name);
}
