#include "daemon/http/params.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/text.h"

#define MAX_DEPTH 16
#define POINTER_SIZE 112

void jf_params_init(struct jf_params *params, struct jf_problem *problem) {
	memset(params, 0, sizeof(*params));
	params->problem = problem;
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

/* --- taking in -------------------------------------------------------------------------------------------------------
 */

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
		good = add(params, strdup(member.key), NULL, member.value) && good;
	return good;
}

bool jf_params_add_text(struct jf_params *params, const char *name, const char *text, size_t size_bytes) {
	if (memchr(text, '\0', size_bytes) || !jf_utf8_valid(text, size_bytes) || !jf_utf8_valid(name, strlen(name)))
		return jf_problem_set(
		    params->problem, JF_PROBLEM_MALFORMED, "A form field contains NUL or is not UTF-8.");
	return add(params, strdup(name), strndup(text, size_bytes), NULL);
}

/* --- values in text --------------------------------------------------------------------------------------------------
 */

static bool text_number(const char *text, double *out) {
	char *end;

	if (!*text || strspn(text, "+-0123456789.eE") != strlen(text))
		return false; /* no blanks, no hex, no inf, no nan */
	errno = 0;
	*out = strtod(text, &end);
	return *end == '\0' && isfinite(*out);
}

static enum jf_err text_integer(const char *text, int64_t *out, int64_t min, int64_t max, struct jf_error *err) {
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (!*text || *end || strspn(text, "+-0123456789") != strlen(text))
		return jf_error_set(err, JF_EFORMAT, "must be an integer from %lld to %lld, not \"%.40s\"",
		    (long long)min, (long long)max, text);
	if (errno || value < min || value > max)
		return jf_error_set(err, JF_EINVAL, "must be an integer from %lld to %lld, not %.40s", (long long)min,
		    (long long)max, text);
	*out = value;
	return JF_OK;
}

static enum jf_err read_number(
    const struct jf_json *json, const char *text, double *out, double min, double max, struct jf_error *err) {
	double value;

	if (json)
		return jf_json_read_number(json, out, min, max, err);
	if (!text)
		text = "";
	if (!text_number(text, &value))
		return jf_error_set(err, JF_EFORMAT, "must be a number from %g to %g, not \"%.40s\"", min, max, text);
	if (value < min || value > max)
		return jf_error_set(err, JF_EINVAL, "must be a number from %g to %g, not %.40s", min, max, text);
	*out = value;
	return JF_OK;
}

/* --- readers ---------------------------------------------------------------------------------------------------------
 */

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
	code = value->json ? jf_json_read_integer(value->json, out, min, max, &err)
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
	struct jf_param_value *value = take(params, name);
	struct jf_error err = {0};

	if (!value)
		return false;
	if (value->json)
		return jf_json_read_bool(value->json, out, &err) == JF_OK || wrong(params, name, err.message);
	if (!*value->text || strcmp(value->text, "true") == 0 || strcmp(value->text, "1") == 0 ||
	    strcmp(value->text, "yes") == 0)
		*out = true; /* "?trace" alone means yes */
	else if (strcmp(value->text, "false") == 0 || strcmp(value->text, "0") == 0 || strcmp(value->text, "no") == 0)
		*out = false;
	else
		return wrong(params, name, "must be true or false");
	return true;
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
	return wrong(params, name, message);
}

static int class_of(const char *text, int n, const char *const *class_names) {
	int64_t index;
	int i;

	for (i = 0; i < n; i++)
		if (strcmp(class_names[i], text) == 0)
			return i;
	return text_integer(text, &index, 0, n - 1, NULL) == JF_OK ? (int)index : -1;
}

bool jf_params_class(struct jf_params *params, const char *name, int *out, int n, const char *const *class_names) {
	struct jf_param_value *value = find(params, name);
	char message[128];
	const char *text;
	size_t length;
	int class;

	if (value && value->json && jf_json_type(value->json) != JF_JSON_STRING)
		return jf_params_int(params, name, out, 0, n - 1);
	if (!jf_params_string(params, name, &text, &length))
		return false;
	class = class_of(text, n, class_names);
	if (class < 0) {
		snprintf(
		    message, sizeof(message), "must be a class from 0 to %d or its name, not \"%.40s\"", n - 1, text);
		return wrong(params, name, message);
	}
	*out = class;
	return true;
}

/* Calls each for every comma-separated part of text (cut in place of a copy); false when it said so once. */
static bool each_part(struct jf_params *params, const char *name, const char *text,
    bool (*each)(struct jf_params *params, const char *name, int i, char *part, void *context), void *context) {
	char *copy = strdup(text), *part = copy, *comma;
	bool good = copy != NULL;
	int i = 0;

	while (good && part) {
		comma = strchr(part, ',');
		if (comma)
			*comma = '\0';
		good = each(params, name, i++, part, context);
		part = comma ? comma + 1 : NULL;
	}
	free(copy);
	return good;
}

struct target {
	float *out;
	int n, count;
	double min, max;
	const char *const *class_names;
};

static bool put_float(
    struct jf_params *params, const char *name, int i, const struct jf_json *json, const char *text, struct target *t) {
	char index[16], pointer[POINTER_SIZE];
	struct jf_error err = {0};
	double number;

	snprintf(index, sizeof(index), "%d", i);
	if (read_number(json, text, &number, t->min, t->max, &err) != JF_OK) {
		make_pointer(pointer, name, index);
		return jf_problem_field(params->problem, pointer, "%s", err.message);
	}
	if (i < t->n)
		t->out[i] = (float)number;
	t->count = i + 1;
	return true;
}

static bool float_part(struct jf_params *params, const char *name, int i, char *part, void *context) {
	return put_float(params, name, i, NULL, part, context);
}

bool jf_params_floats(struct jf_params *params, const char *name, float *out, int n, double min, double max) {
	struct jf_param_value *value = take(params, name);
	struct target t = {.out = out, .n = n, .min = min, .max = max};
	char message[80];
	bool good = true;
	int i;

	if (!value)
		return false;
	if (value->text) {
		good = each_part(params, name, value->text, float_part, &t);
	} else if (jf_json_type(value->json) != JF_JSON_ARRAY) {
		snprintf(message, sizeof(message), "must be an array of %d numbers, not %s", n,
		    jf_json_type_name(jf_json_type(value->json)));
		return wrong(params, name, message);
	} else {
		for (i = 0; i < (int)jf_json_size(value->json) && i <= n && good; i++)
			good = put_float(params, name, i, jf_json_at(value->json, (size_t)i), NULL, &t);
	}
	if (good && t.count != n) {
		snprintf(message, sizeof(message), "must have exactly %d numbers", n);
		return wrong(params, name, message);
	}
	return good;
}

static bool put_weight(struct jf_params *params, const char *name, const char *key, const struct jf_json *json,
    const char *text, struct target *t) {
	int class = class_of(key, t->n, t->class_names);
	char pointer[POINTER_SIZE];
	struct jf_error err = {0};
	double number;

	make_pointer(pointer, name, key);
	if (class < 0)
		return jf_problem_field(params->problem, pointer, "is no class: 0 to %d or a class name", t->n - 1);
	if (read_number(json, text, &number, t->min, t->max, &err) != JF_OK)
		return jf_problem_field(params->problem, pointer, "%s", err.message);
	t->out[class] = (float)number;
	t->count++;
	return true;
}

static bool weight_part(struct jf_params *params, const char *name, int i, char *part, void *context) {
	char *colon = strrchr(part, ':');

	(void)i;
	if (!colon)
		return wrong(params, name, "must look like 6:0.5,7:0.5");
	*colon = '\0';
	return put_weight(params, name, part, NULL, colon + 1, context);
}

bool jf_params_weights(
    struct jf_params *params, const char *name, float *out, int n, const char *const *class_names, double max) {
	struct jf_param_value *value = take(params, name);
	struct target t = {.out = out, .n = n, .min = 0, .max = max, .class_names = class_names};
	struct jf_json_member member = {0};
	bool good = true;

	if (!value)
		return false;
	memset(out, 0, (size_t)n * sizeof(*out));
	if (value->text) {
		good = each_part(params, name, value->text, weight_part, &t);
	} else if (jf_json_type(value->json) != JF_JSON_OBJECT) {
		return wrong(params, name, "must be an object from class to weight, such as {\"6\": 0.5, \"7\": 0.5}");
	} else {
		while (good && jf_json_next(value->json, &member))
			good = put_weight(params, name, member.key, member.value, NULL, &t);
	}
	if (good && t.count == 0)
		return wrong(params, name, "must name at least one class");
	return good;
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
