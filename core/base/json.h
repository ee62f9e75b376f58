/* JSON, strictly. The one wrapper of jansson (reading); writing is a text writer of our own.
 *
 * Reading: a tree, borrowed values. Duplicate keys, trailing bytes, \u0000, invalid UTF-8 and depth over the caller's
 * limit are errors. Writing: append-only with a sticky error, so that no call needs a check; ask once at the end. */
#ifndef JF_CORE_BASE_JSON_H
#define JF_CORE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* --- reading --- */
struct jf_json; /* one value; all but the root are borrowed from the root */

enum jf_json_type {
	JF_JSON_NULL,
	JF_JSON_BOOL,
	JF_JSON_INTEGER, /* written without fraction and exponent; where one does not fit int64, all are JF_JSON_REAL */
	JF_JSON_REAL,
	JF_JSON_STRING,
	JF_JSON_ARRAY,
	JF_JSON_OBJECT,
};

/* Parses exactly one value of any type. max_depth: nesting of arrays and objects, 1 to 1000. NULL on failure:
 * JF_EFORMAT (the message has line and column), JF_ELIMIT (too deep), JF_ENOMEM (as far as jansson tells). */
struct jf_json *jf_json_parse(const char *text, size_t size_bytes, int max_depth, struct jf_error *err);

/* What parsing a text would take, well-formed or not, without parsing it: how deep arrays and objects nest, and whether
 * its tree takes at most JF_JSON_FACTOR times the text and JF_JSON_ALLOWANCE bytes (an upper estimate). A few bytes of
 * text may otherwise become a hundred in memory: "{},{},{}". */
#define JF_JSON_FACTOR 7
#define JF_JSON_ALLOWANCE ((size_t)3500 << 10)
int jf_json_depth(const char *text, size_t size_bytes);
bool jf_json_is_modest(const char *text, size_t size_bytes);

void jf_json_free(struct jf_json *root); /* the root only; NULL allowed */

enum jf_json_type jf_json_type(const struct jf_json *value);
const char *jf_json_type_name(enum jf_json_type type); /* "a number", "a string" ... for messages */
size_t jf_json_size(const struct jf_json *value);      /* elements of an array or object; 0 for others */
const struct jf_json *jf_json_at(const struct jf_json *array, size_t i);          /* NULL outside */
const struct jf_json *jf_json_get(const struct jf_json *object, const char *key); /* NULL when absent */

/* Walks an object's members in the order of the text:
 *   struct jf_json_member m = {0}; while (jf_json_next(object, &m)) use(m.key, m.value); */
struct jf_json_member {
	const char *key;
	const struct jf_json *value;
	void *iterator;
};
bool jf_json_next(const struct jf_json *object, struct jf_json_member *member);

/* Typed access: JF_OK, or JF_EFORMAT (wrong type) / JF_EINVAL (outside [min, max], not finite) with a message such as
 * "must be an integer from 1 to 1000, not 2000" (no name in it: the caller prefixes). out is untouched on failure.
 * A number accepts integers too; an integer accepts no 3.0. Strings are borrowed, UTF-8, without NUL inside. */
enum jf_err jf_json_read_integer(
    const struct jf_json *value, int64_t *out, int64_t min, int64_t max, struct jf_error *err);
enum jf_err jf_json_read_number(const struct jf_json *value, double *out, double min, double max, struct jf_error *err);
enum jf_err jf_json_read_bool(const struct jf_json *value, bool *out, struct jf_error *err);
enum jf_err jf_json_read_string(const struct jf_json *value, const char **out, size_t *length, struct jf_error *err);

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates). */
bool jf_utf8_valid(const char *text, size_t size_bytes);

/* --- writing --- */

/* Compact text: no spaces, no final newline. `key` is the member's name inside an object and NULL in an array or at the
 * root. Strings must be UTF-8 (bytes that are not become U+FFFD). Numbers that are not finite become null. */
struct jf_json_writer {
	char *text; /* owned */
	size_t length, capacity;
	bool failed;    /* memory was short: everything after is ignored */
	bool separator; /* a comma is due before the next value */
};
void jf_json_writer_init(struct jf_json_writer *writer);
void jf_json_writer_deinit(struct jf_json_writer *writer);
void jf_json_writer_reset(struct jf_json_writer *writer); /* empty again, memory kept */
/* The text, NUL-terminated, and its length; *text is the caller's to free and the writer is empty again. JF_ENOMEM. */
enum jf_err jf_json_writer_take(struct jf_json_writer *writer, char **text, size_t *length);
/* Borrowed until the next call; NULL when memory was short. */
const char *jf_json_writer_text(const struct jf_json_writer *writer);

void jf_json_begin_object(struct jf_json_writer *writer, const char *key);
void jf_json_end_object(struct jf_json_writer *writer);
void jf_json_begin_array(struct jf_json_writer *writer, const char *key);
void jf_json_end_array(struct jf_json_writer *writer);
void jf_json_put_string(struct jf_json_writer *writer, const char *key, const char *value); /* NULL: null */
void jf_json_put_integer(struct jf_json_writer *writer, const char *key, int64_t value);
void jf_json_put_unsigned(struct jf_json_writer *writer, const char *key, uint64_t value);
void jf_json_put_double(struct jf_json_writer *writer, const char *key, double value); /* shortest that reads back */
void jf_json_put_float(struct jf_json_writer *writer, const char *key, float value);   /* the same for a float */
void jf_json_put_bool(struct jf_json_writer *writer, const char *key, bool value);
void jf_json_put_floats(struct jf_json_writer *writer, const char *key, const float *values, size_t n); /* an array */
/* Appends text that is JSON already. */
void jf_json_put_raw(struct jf_json_writer *writer, const char *key, const char *json);

#endif
