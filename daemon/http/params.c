#include "daemon/http/params.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/number.h"
#include "core/questions/question.h"
#include "daemon/http/text.h"

#define MAX_DEPTH 16
#define POINTER_SIZE 112

void jf_params_init(struct jf_params *params, struct jf_problem *problem) {
	memset(params, 0, sizeof(*params));
	params->problem = problem;
}

void jf_params_forget_json(struct jf_params *params) {
	int i;

	for (i = 0; i < params->n; i++)
		params->item[i].json = NULL;
	jf_json_free(params->root);
	params->root = NULL;
}

void jf_params_deinit(struct jf_params *params) {
	int i;

	for (i = 0; i < params->n; i++) {
		free(params->item[i].name);
		free(params->item[i].text);
	}
	jf_json_free(params->root);
	params->root = NULL;
	params->n = 0;
}

/* --- taking in --- */

/* "/name" with RFC 6901's escapes, then "/rest" when there is one. */
static void make_pointer(char out[POINTER_SIZE], const char *name, const char *rest) {
	const char *part = name;
	size_t used = 0;

	for (;;) {
		out[used++] = '/';
		for (; *part && used + 4 < POINTER_SIZE; part++) {
			if (*part == '~' || *part == '/') {
				out[used++] = '~';
				out[used++] = *part == '~' ? '0' : '1';
			} else {
				out[used++] = *part;
			}
		}
		if (!rest || used + 4 >= POINTER_SIZE)
			break;
		part = rest;
		rest = NULL;
	}
	out[used] = '\0';
}

static bool wrong(struct jf_params *params, const char *name, const char *message) {
	char pointer[POINTER_SIZE];

	make_pointer(pointer, name, NULL);
	return jf_problem_field(params->problem, pointer, "%s", message);
}

static struct jf_param_value *find(const struct jf_params *params, const char *name) {
	int i;

	for (i = 0; i < params->n; i++)
		if (strcmp(params->item[i].name, name) == 0)
			return (struct jf_param_value *)(uintptr_t)&params->item[i];
	return NULL;
}

/* Steals name and text. */
static bool add(struct jf_params *params, char *name, char *text, const struct jf_json *json) {
	if (!name || (!text && !json)) {
		jf_problem_set(params->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
	} else if (find(params, name)) {
		wrong(params, name, "is given twice");
	} else if (params->n == JF_MAX_PARAMS) {
		jf_problem_set(params->problem, JF_PROBLEM_MALFORMED, "More than %d fields.", JF_MAX_PARAMS);
	} else {
		params->item[params->n++] = (struct jf_param_value){.name = name, .text = text, .json = json};
		return true;
	}
	free(name);
	free(text);
	return false;
}

bool jf_params_add_query(struct jf_params *params, const char *query) {
	const char *end, *mark;
	char *name, *value;
	bool good = true;

	for (; *query; query = *end ? end + 1 : end) {
		end = query + strcspn(query, "&");
		if (end == query)
			continue;
		mark = memchr(query, '=', (size_t)(end - query));
		name = jf_percent_decode(query, (size_t)((mark ? mark : end) - query), true);
		value = mark ? jf_percent_decode(mark + 1, (size_t)(end - mark - 1), true) : strdup("");
		if (!name || !value) {
			free(name);
			free(value);
			return jf_problem_set(params->problem, JF_PROBLEM_MALFORMED,
			    "The query has a malformed percent-encoding, a NUL or text that is not UTF-8.");
		}
		good = add(params, name, value, NULL) && good;
	}
	return good;
}

bool jf_params_add_json(struct jf_params *params, const char *text, size_t size_bytes) {
	struct jf_json_member member = {0};
	struct jf_error err = {0};
	bool good = true;

	if (size_bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark, as some editors write it */
		text += 3;
		size_bytes -= 3;
	}
	/* what is too deep is malformed in the first place, and refused before a tree is made */
	if (!jf_json_is_modest(text, size_bytes) && jf_json_depth(text, size_bytes) <= MAX_DEPTH)
		return jf_problem_set(params->problem, JF_PROBLEM_TOO_LARGE,
		    "The body has too many values for its size: as JSON they would take more than %d times its %zu "
		    "bytes and %zu KiB of memory. Send numbers flat rather than nested, or in several requests.",
		    JF_JSON_FACTOR, size_bytes, JF_JSON_ALLOWANCE >> 10);
	params->root = jf_json_parse(text, size_bytes, MAX_DEPTH, &err);
	if (!params->root)
		return jf_problem_set(params->problem,
		    err.code == JF_ENOMEM ? JF_PROBLEM_INTERNAL : JF_PROBLEM_MALFORMED, "The body is not JSON: %.250s.",
		    err.message);
	if (jf_json_type(params->root) != JF_JSON_OBJECT) {
		jf_problem_field(
		    params->problem, "", "must be an object, not %s", jf_json_type_name(jf_json_type(params->root)));
		return false;
	}
	while (jf_json_next(params->root, &member))
		if (jf_json_type(member.value) != JF_JSON_NULL) /* as good as absent: what generated clients send */
			good = add(params, strdup(member.key), NULL, member.value) && good;
	return good;
}

bool jf_params_add_text(struct jf_params *params, const char *name, const char *text, size_t size_bytes) {
	if (memchr(text, '\0', size_bytes) || !jf_utf8_valid(text, size_bytes) || !jf_utf8_valid(name, strlen(name)))
		return jf_problem_set(
		    params->problem, JF_PROBLEM_MALFORMED, "A form field contains NUL or is not UTF-8.");
	return add(params, strdup(name), strndup(text, size_bytes), NULL);
}

/* --- values in text --- */

static enum jf_err text_integer(const char *text, int64_t *out, int64_t min, int64_t max, struct jf_error *err) {
	int64_t value;

	if (!jf_number_parse_integer(&value, text))
		return jf_error_set(err, JF_EFORMAT, "%smust be an integer from %lld to %lld, not \"%.40s\"",
		    *text && !text[strspn(text, "0123456789")] ? "is too large: it " : "", (long long)min,
		    (long long)max, text);
	if (value < min || value > max)
		return jf_error_set(err, JF_EINVAL, "must be an integer from %lld to %lld, not %.40s", (long long)min,
		    (long long)max, text);
	*out = value;
	return JF_OK;
}

/* Languages with one type of numbers write 42.0 for 42. */
static enum jf_err json_integer(
    const struct jf_json *json, int64_t *out, int64_t min, int64_t max, struct jf_error *err) {
	double number;

	if (jf_json_type(json) != JF_JSON_REAL ||
	    jf_json_read_number(json, &number, -DBL_MAX, DBL_MAX, NULL) != JF_OK || number != floor(number))
		return jf_json_read_integer(json, out, min, max, err);
	if (number < (double)min || number > (double)max)
		return jf_error_set(err, JF_EINVAL, "is too %s: it must be an integer from %lld to %lld",
		    number < (double)min ? "small" : "large", (long long)min, (long long)max);
	*out = (int64_t)number;
	return JF_OK;
}

static enum jf_err read_number(
    const struct jf_json *json, const char *text, double *out, double min, double max, struct jf_error *err) {
	double value;

	if (json)
		return jf_json_read_number(json, out, min, max, err);
	if (!text)
		text = "";
	if (!jf_number_parse(&value, text))
		return jf_error_set(err, JF_EFORMAT, "must be a number from %g to %g, not \"%.40s\"", min, max, text);
	if (value < min || value > max)
		return jf_error_set(err, JF_EINVAL, "must be a number from %g to %g, not %.40s", min, max, text);
	*out = value;
	return JF_OK;
}

/* --- readers --- */

static struct jf_param_value *take(struct jf_params *params, const char *name) {
	struct jf_param_value *value = find(params, name);

	if (value)
		value->used = true;
	return value;
}

bool jf_params_has(const struct jf_params *params, const char *name) {
	return find(params, name) != NULL;
}

bool jf_params_integer(struct jf_params *params, const char *name, int64_t *out, int64_t min, int64_t max) {
	struct jf_param_value *value = take(params, name);
	struct jf_error err = {0};
	enum jf_err code;

	if (!value)
		return false;
	code = value->json ? json_integer(value->json, out, min, max, &err)
			   : text_integer(value->text, out, min, max, &err);
	return code == JF_OK || wrong(params, name, err.message);
}

bool jf_params_int(struct jf_params *params, const char *name, int *out, int min, int max) {
	int64_t value;

	if (!jf_params_integer(params, name, &value, min, max))
		return false;
	*out = (int)value;
	return true;
}

bool jf_params_float(struct jf_params *params, const char *name, float *out, double min, double max) {
	struct jf_param_value *value = take(params, name);
	struct jf_error err = {0};
	double number;

	if (!value)
		return false;
	if (read_number(value->json, value->text, &number, min, max, &err) != JF_OK)
		return wrong(params, name, err.message);
	*out = (float)number;
	return true;
}

bool jf_params_bool(struct jf_params *params, const char *name, bool *out) {
	/* true and false in turn; "?trace" alone means yes */
	static const char *const words[] = {
	    "true", "false", "yes", "no", "on", "off", "1", "0", "t", "f", "y", "n", ""};
	struct jf_param_value *value = take(params, name);
	struct jf_error err = {0};
	char message[80];
	size_t i;

	if (!value)
		return false;
	if (value->json)
		return jf_json_read_bool(value->json, out, &err) == JF_OK || wrong(params, name, err.message);
	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcasecmp(value->text, words[i]) == 0) {
			*out = i % 2 == 0;
			return true;
		}
	snprintf(message, sizeof(message), "must be true or false, not \"%.40s\"", value->text);
	return wrong(params, name, message);
}

bool jf_params_string(struct jf_params *params, const char *name, const char **out, size_t *length) {
	struct jf_param_value *value = take(params, name);
	struct jf_error err = {0};

	if (!value)
		return false;
	if (value->json)
		return jf_json_read_string(value->json, out, length, &err) == JF_OK || wrong(params, name, err.message);
	*out = value->text;
	*length = strlen(value->text);
	return true;
}

bool jf_params_choice(struct jf_params *params, const char *name, int *out, const char *const *names, int n) {
	char message[200] = "must be one of";
	const char *text;
	size_t length;
	int i;

	if (!jf_params_string(params, name, &text, &length))
		return false;
	for (i = 0; i < n; i++) {
		if (strcmp(names[i], text) == 0) {
			*out = i;
			return true;
		}
		snprintf(message + strlen(message), sizeof(message) - strlen(message), "%s %s", i ? "," : "", names[i]);
	}
	snprintf(message + strlen(message), sizeof(message) - strlen(message), ", not \"%.40s\"", text);
	return wrong(params, name, message);
}

bool jf_params_class(struct jf_params *params, const char *name, int *out, int n, const char *const *class_names) {
	struct jf_param_value *value = find(params, name);
	struct jf_error err = {0};
	char number_text[24];
	const char *text;
	int64_t number;
	size_t length;

	if (value && value->json && jf_json_type(value->json) != JF_JSON_STRING) {
		if (json_integer(value->json, &number, -JF_MAX_SEED, JF_MAX_SEED, NULL) != JF_OK)
			return jf_params_int(params, name, out, 0, n - 1); /* which says what is wrong */
		value->used = true;
		snprintf(number_text, sizeof(number_text), "%lld", (long long)number);
		text = number_text; /* a number means the same wherever it is written */
	} else if (!jf_params_string(params, name, &text, &length)) {
		return false;
	}
	return jf_class_parse(out, text, class_names, n, &err) == JF_OK || wrong(params, name, err.message);
}

/* One number inside a field: the entry or member `part`. */
static bool part_number(struct jf_params *params, const char *name, const char *part, const struct jf_json *json,
    float *out, double min, double max) {
	char pointer[POINTER_SIZE];
	struct jf_error err = {0};
	double number;

	make_pointer(pointer, name, part);
	if (jf_json_read_number(json, &number, min, max, &err) != JF_OK)
		return jf_problem_field(params->problem, pointer, "%s", err.message);
	*out = (float)number;
	return true;
}

bool jf_params_label(struct jf_params *params, const char *name, float *out, int n) {
	struct jf_param_value *value = take(params, name);
	struct jf_error err = {0};
	char part[16];

	if (!value)
		return false;
	if (value->text)
		return jf_label_parse(out, value->text, n, &err) == JF_OK || wrong(params, name, err.message);
	if (jf_json_type(value->json) != JF_JSON_ARRAY || jf_json_size(value->json) != (size_t)n) {
		jf_error_set(&err, JF_EINVAL, "must be an array of %d numbers, not %s", n,
		    jf_json_type_name(jf_json_type(value->json)));
		if (jf_json_type(value->json) == JF_JSON_ARRAY)
			jf_error_set(
			    &err, JF_EINVAL, "must have exactly %d numbers, not %zu", n, jf_json_size(value->json));
		return wrong(params, name, err.message);
	}
	for (int i = 0; i < n; i++) {
		snprintf(part, sizeof(part), "%d", i);
		if (!part_number(
			params, name, part, jf_json_at(value->json, (size_t)i), &out[i], -JF_MAX_LABEL, JF_MAX_LABEL))
			return false;
	}
	return true;
}

static bool json_weights(struct jf_params *params, const char *name, float *out, int n, const char *const *class_names,
    const struct jf_json *json) {
	struct jf_json_member member = {0};
	char pointer[POINTER_SIZE];
	struct jf_error err = {0};
	int class;

	for (int k = 0; k < n; k++)
		out[k] = -1; /* not named */
	while (jf_json_next(json, &member)) {
		enum jf_err code = jf_class_parse(&class, member.key, class_names, n, &err);

		if (code == JF_OK && out[class] >= 0)
			code = jf_error_set(&err, JF_EINVAL, "names class %d twice", class);
		make_pointer(pointer, name, member.key);
		if (code != JF_OK)
			return jf_problem_field(params->problem, pointer, "%s", err.message);
		if (!part_number(params, name, member.key, member.value, &out[class], 0, JF_MAX_WEIGHT))
			return false;
	}
	for (int k = 0; k < n; k++)
		out[k] = fmaxf(out[k], 0);
	return true;
}

bool jf_params_weights(struct jf_params *params, const char *name, float *out, int n, const char *const *class_names) {
	struct jf_param_value *value = take(params, name);
	struct jf_error err = {0};

	if (!value)
		return false;
	if (value->text)
		return jf_weights_parse(out, value->text, class_names, n, &err) == JF_OK ||
		       wrong(params, name, err.message);
	if (jf_json_type(value->json) != JF_JSON_OBJECT)
		return wrong(params, name, "must be an object from class to weight, such as {\"6\": 0.5, \"7\": 0.5}");
	if (jf_json_size(value->json) == 0)
		return wrong(params, name, "must name at least one class");
	return json_weights(params, name, out, n, class_names, value->json);
}

void jf_params_touch(struct jf_params *params, const char *name) {
	take(params, name);
}

bool jf_params_finish(struct jf_params *params) {
	int i;

	for (i = 0; i < params->n; i++)
		if (!params->item[i].used)
			wrong(params, params->item[i].name, "is not a known field of this request");
	return !params->problem->set;
}
