#include "core/base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/number.h"

/* struct jf_json is never defined: a pointer to it is a json_t pointer that the rest of the program cannot look
 * into. */
static const json_t *inside(const struct jf_json *value) {
	return (const json_t *)(const void *)value;
}

static const struct jf_json *outside(const json_t *value) {
	return (const struct jf_json *)(const void *)value;
}

/* --- reading --- */

/* What a text is made of, malformed or not: marks outside of strings. */
struct marks {
	int deepest; /* nesting; jansson's own limit is fixed at 2048 */
	size_t arrays, objects, commas, colons, strings;
};

static void count_marks(struct marks *marks, const char *text, size_t size_bytes) {
	bool in_string = false;
	int depth = 0;

	*marks = (struct marks){0};
	for (size_t i = 0; i < size_bytes; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		if (in_string)
			continue;
		marks->strings += c == '"';
		marks->arrays += c == '[';
		marks->objects += c == '{';
		marks->commas += c == ',';
		marks->colons += c == ':';
		if (c == '[' || c == '{')
			marks->deepest = ++depth > marks->deepest ? depth : marks->deepest;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
	}
}

/* What jansson takes from malloc on 64 bits, bookkeeping included: for a number 32 bytes, for a string 48 more and its
 * text, for a member its pair and its places in the table. */
#define ARRAY_BYTES 128
#define OBJECT_BYTES 288
#define VALUE_BYTES 32
#define STRING_BYTES 48
#define MEMBER_BYTES 80

int jf_json_depth(const char *text, size_t size_bytes) {
	struct marks marks;

	count_marks(&marks, text, size_bytes);
	return marks.deepest;
}

bool jf_json_is_modest(const char *text, size_t size_bytes) {
	struct marks marks;
	size_t values, places = 8;

	count_marks(&marks, text, size_bytes);
	values = marks.commas + marks.arrays + marks.objects + 1;
	while (places < values)
		places *= 2;
	/* An array's table doubles, and for a moment there are two of them. */
	return marks.arrays * ARRAY_BYTES + marks.objects * OBJECT_BYTES + values * VALUE_BYTES + 12 * places +
		   marks.strings * STRING_BYTES + marks.colons * MEMBER_BYTES <=
	       JF_JSON_FACTOR * size_bytes + JF_JSON_ALLOWANCE;
}

struct jf_json *jf_json_parse(const char *text, size_t size_bytes, int max_depth, struct jf_error *err) {
	struct marks marks;
	json_error_t error;
	json_t *root;

	/* jansson takes a NUL byte for the end of the text and would not see what follows. */
	if (memchr(text, '\0', size_bytes)) {
		jf_error_set(err, JF_EFORMAT, "JSON: a NUL byte in the text");
		return NULL;
	}
	count_marks(&marks, text, size_bytes);
	if (marks.deepest > max_depth) {
		jf_error_set(err, JF_ELIMIT, "JSON: nested deeper than %d levels", max_depth);
		return NULL;
	}
	root = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	/* An integer beyond int64 is JSON all the same: as a real it reaches the field, whose range refuses it. */
	if (!root && json_error_code(&error) == json_error_numeric_overflow)
		root = json_loadb(
		    text, size_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
	if (root)
		return (struct jf_json *)(void *)root;
	/* Where an allocation fails below the parser, jansson gives up without a word. */
	if (json_error_code(&error) == json_error_out_of_memory || !error.text[0]) {
		jf_error_set(err, JF_ENOMEM, "JSON: out of memory");
		return NULL;
	}
	for (char *c = error.text; *c; c++) /* it quotes the input: keep the message one line */
		if ((unsigned char)*c < ' ')
			*c = ' ';
	jf_error_set(err, JF_EFORMAT, "JSON: line %d, column %d: %s", error.line, error.column, error.text);
	return NULL;
}

void jf_json_free(struct jf_json *root) {
	json_decref((json_t *)(void *)root);
}

enum jf_json_type jf_json_type(const struct jf_json *value) {
	switch (json_typeof(inside(value))) {
	case JSON_OBJECT:
		return JF_JSON_OBJECT;
	case JSON_ARRAY:
		return JF_JSON_ARRAY;
	case JSON_STRING:
		return JF_JSON_STRING;
	case JSON_INTEGER:
		return JF_JSON_INTEGER;
	case JSON_REAL:
		return JF_JSON_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return JF_JSON_BOOL;
	case JSON_NULL:
		break;
	}
	return JF_JSON_NULL;
}

const char *jf_json_type_name(enum jf_json_type type) {
	static const char *const name[] = {
	    [JF_JSON_NULL] = "null",
	    [JF_JSON_BOOL] = "true or false",
	    [JF_JSON_INTEGER] = "an integer",
	    [JF_JSON_REAL] = "a number",
	    [JF_JSON_STRING] = "a string",
	    [JF_JSON_ARRAY] = "an array",
	    [JF_JSON_OBJECT] = "an object",
	};

	return (unsigned)type < sizeof(name) / sizeof(name[0]) ? name[type] : "an unknown value";
}

size_t jf_json_size(const struct jf_json *value) {
	const json_t *json = inside(value);

	return json_is_array(json) ? json_array_size(json) : json_object_size(json); /* 0 when it is neither */
}

const struct jf_json *jf_json_at(const struct jf_json *array, size_t i) {
	return outside(json_array_get(inside(array), i));
}

const struct jf_json *jf_json_get(const struct jf_json *object, const char *key) {
	return outside(json_object_get(inside(object), key));
}

bool jf_json_next(const struct jf_json *object, struct jf_json_member *member) {
	/* jansson's iterators want a json_t that may be changed; nothing here does. */
	json_t *json = (json_t *)(uintptr_t)object;

	member->iterator = member->iterator ? json_object_iter_next(json, member->iterator) : json_object_iter(json);
	if (!member->iterator)
		return false;
	member->key = json_object_iter_key(member->iterator);
	member->value = outside(json_object_iter_value(member->iterator));
	return true;
}

static enum jf_err wrong_type(const struct jf_json *value, const char *wanted, struct jf_error *err) {
	const json_t *json = inside(value);

	if (json_is_string(json))
		return jf_error_set(
		    err, JF_EFORMAT, "must be %s, not the string \"%.40s\"", wanted, json_string_value(json));
	if (json_is_real(json) && fabs(json_real_value(json)) < 1e15 && fmod(json_real_value(json), 1.0) == 0.0)
		return jf_error_set(err, JF_EFORMAT, "must be %s, not %.1f", wanted, json_real_value(json));
	if (json_is_number(json))
		return jf_error_set(err, JF_EFORMAT, "must be %s, not %.15g", wanted, json_number_value(json));
	if (json_is_boolean(json))
		return jf_error_set(
		    err, JF_EFORMAT, "must be %s, not %s", wanted, json_is_true(json) ? "true" : "false");
	return jf_error_set(err, JF_EFORMAT, "must be %s, not %s", wanted, jf_json_type_name(jf_json_type(value)));
}

enum jf_err jf_json_read_integer(
    const struct jf_json *value, int64_t *out, int64_t min, int64_t max, struct jf_error *err) {
	int64_t number;

	if (!json_is_integer(inside(value)))
		return wrong_type(value, "an integer", err);
	number = json_integer_value(inside(value));
	if (number < min || number > max)
		return jf_error_set(err, JF_EINVAL, "must be an integer from %" PRId64 " to %" PRId64 ", not %" PRId64,
		    min, max, number);
	*out = number;
	return JF_OK;
}

enum jf_err jf_json_read_number(
    const struct jf_json *value, double *out, double min, double max, struct jf_error *err) {
	double number;

	if (!json_is_number(inside(value)))
		return wrong_type(value, "a number", err);
	number = json_number_value(inside(value));
	if (!isfinite(number) || number < min || number > max)
		return jf_error_set(err, JF_EINVAL, "must be a number from %g to %g, not %g", min, max, number);
	*out = number;
	return JF_OK;
}

enum jf_err jf_json_read_bool(const struct jf_json *value, bool *out, struct jf_error *err) {
	if (!json_is_boolean(inside(value)))
		return wrong_type(value, "true or false", err);
	*out = json_is_true(inside(value));
	return JF_OK;
}

enum jf_err jf_json_read_string(const struct jf_json *value, const char **out, size_t *length, struct jf_error *err) {
	if (!json_is_string(inside(value)))
		return wrong_type(value, "a string", err);
	*out = json_string_value(inside(value));
	if (length)
		*length = json_string_length(inside(value));
	return JF_OK;
}

/* --- UTF-8 --- */

/* Bytes of the well-formed character at s (0: it is not one). */
static size_t utf8_length(const char *text, size_t left) {
	const unsigned char *s = (const unsigned char *)text;
	size_t length;

	if (left == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		length = 2;
	else if (s[0] >= 0xE0 && s[0] <= 0xEF)
		length = 3;
	else if (s[0] >= 0xF0 && s[0] <= 0xF4)
		length = 4;
	else
		return 0;
	if (length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90)) /* overlong */
		return 0;
	if ((s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF4 && s[1] > 0x8F)) /* a surrogate; above U+10FFFF */
		return 0;
	return length;
}

bool jf_utf8_valid(const char *text, size_t size_bytes) {
	while (size_bytes > 0) {
		size_t length = utf8_length(text, size_bytes);

		if (length == 0)
			return false;
		text += length;
		size_bytes -= length;
	}
	return true;
}

/* --- writing --- */

void jf_json_writer_init(struct jf_json_writer *writer) {
	*writer = (struct jf_json_writer){0};
}

void jf_json_writer_deinit(struct jf_json_writer *writer) {
	free(writer->text);
	*writer = (struct jf_json_writer){0};
}

void jf_json_writer_reset(struct jf_json_writer *writer) {
	writer->length = 0;
	writer->failed = false;
	writer->separator = false;
	if (writer->text)
		writer->text[0] = '\0';
}

enum jf_err jf_json_writer_take(struct jf_json_writer *writer, char **text, size_t *length) {
	bool failed = writer->failed || !writer->text;

	*text = NULL;
	if (length)
		*length = 0;
	if (!failed) {
		*text = writer->text;
		if (length)
			*length = writer->length;
		writer->text = NULL;
	}
	jf_json_writer_deinit(writer);
	return failed ? JF_ENOMEM : JF_OK;
}

const char *jf_json_writer_text(const struct jf_json_writer *writer) {
	return writer->failed ? NULL : writer->text;
}

static void append(struct jf_json_writer *w, const char *bytes, size_t n) {
	if (w->failed)
		return;
	if (n >= w->capacity - w->length) { /* one byte more for the NUL */
		size_t capacity = 2 * w->capacity + n + 256;
		char *grown = capacity < n ? NULL : realloc(w->text, capacity);

		if (!grown) {
			w->failed = true;
			return;
		}
		w->text = grown;
		w->capacity = capacity;
	}
	memcpy(w->text + w->length, bytes, n);
	w->length += n;
	w->text[w->length] = '\0';
}

static void append_escaped(struct jf_json_writer *w, unsigned char c) {
	static const char names[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	char text[8];

	if (c == '"' || c == '\\')
		snprintf(text, sizeof(text), "\\%c", c);
	else if (c < sizeof(names) && names[c])
		snprintf(text, sizeof(text), "\\%c", names[c]);
	else
		snprintf(text, sizeof(text), "\\u%04x", c);
	append(w, text, strlen(text));
}

static void append_string(struct jf_json_writer *w, const char *value) {
	size_t left = strlen(value);
	size_t plain = 0; /* bytes seen that go out as they are */

	append(w, "\"", 1);
	while (left > plain) {
		unsigned char c = (unsigned char)value[plain];
		size_t length = utf8_length(value + plain, left - plain);

		if (length > 0 && c >= 0x20 && c != '"' && c != '\\') {
			plain += length;
			continue;
		}
		append(w, value, plain);
		if (length > 0)
			append_escaped(w, c);
		else
			append(w, "\xEF\xBF\xBD", 3); /* U+FFFD */
		value += plain + 1;
		left -= plain + 1;
		plain = 0;
	}
	append(w, value, plain);
	append(w, "\"", 1);
}

/* The comma that is due, and the key. */
static void begin_value(struct jf_json_writer *w, const char *key) {
	if (w->separator)
		append(w, ",", 1);
	w->separator = true;
	if (key) {
		append_string(w, key);
		append(w, ":", 1);
	}
}

void jf_json_begin_object(struct jf_json_writer *writer, const char *key) {
	begin_value(writer, key);
	append(writer, "{", 1);
	writer->separator = false;
}

void jf_json_end_object(struct jf_json_writer *writer) {
	append(writer, "}", 1);
	writer->separator = true;
}

void jf_json_begin_array(struct jf_json_writer *writer, const char *key) {
	begin_value(writer, key);
	append(writer, "[", 1);
	writer->separator = false;
}

void jf_json_end_array(struct jf_json_writer *writer) {
	append(writer, "]", 1);
	writer->separator = true;
}

void jf_json_put_raw(struct jf_json_writer *writer, const char *key, const char *json) {
	begin_value(writer, key);
	append(writer, json, strlen(json));
}

void jf_json_put_string(struct jf_json_writer *writer, const char *key, const char *value) {
	if (!value) {
		jf_json_put_raw(writer, key, "null");
		return;
	}
	begin_value(writer, key);
	append_string(writer, value);
}

void jf_json_put_integer(struct jf_json_writer *writer, const char *key, int64_t value) {
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	jf_json_put_raw(writer, key, text);
}

void jf_json_put_unsigned(struct jf_json_writer *writer, const char *key, uint64_t value) {
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	jf_json_put_raw(writer, key, text);
}

void jf_json_put_double(struct jf_json_writer *writer, const char *key, double value) {
	char text[JF_NUMBER_TEXT];

	begin_value(writer, key);
	append(writer, text, jf_number_print_double(text, value));
}

void jf_json_put_float(struct jf_json_writer *writer, const char *key, float value) {
	char text[JF_NUMBER_TEXT];

	begin_value(writer, key);
	append(writer, text, jf_number_print_float(text, value));
}

void jf_json_put_bool(struct jf_json_writer *writer, const char *key, bool value) {
	jf_json_put_raw(writer, key, value ? "true" : "false");
}

void jf_json_put_floats(struct jf_json_writer *writer, const char *key, const float *values, size_t n) {
	jf_json_begin_array(writer, key);
	for (size_t i = 0; i < n; i++)
		jf_json_put_float(writer, NULL, values[i]);
	jf_json_end_array(writer);
}
