/* The parameters of a request, wherever they came from: query, JSON object or form fields.
 *
 * Readers take a value by name, check type and range, and note what is wrong in the problem; a field that nobody read
 * is an unknown field. A reader returns true when the field is there and good; *out is untouched otherwise, so it holds
 * the default. A JSON null counts as absent. From the query and from forms everything is text: "20", "true", "-1,1",
 * "6:0.5,7:0.5". */
#ifndef JF_DAEMON_HTTP_PARAMS_H
#define JF_DAEMON_HTTP_PARAMS_H

#include <stdint.h>

#include "core/base/json.h"
#include "daemon/http/problem.h"

#define JF_MAX_PARAMS 32

struct jf_param_value {
	char *name;                 /* owned */
	char *text;                 /* owned; NULL when json is set */
	const struct jf_json *json; /* borrowed from root */
	bool used;
};

struct jf_params {
	struct jf_param_value item[JF_MAX_PARAMS];
	int n;
	struct jf_json *root; /* owned */
	struct jf_problem *problem;
};

void jf_params_init(struct jf_params *params, struct jf_problem *problem);
void jf_params_deinit(struct jf_params *params);
/* Frees the tree early; whatever was read stays. */
void jf_params_forget_json(struct jf_params *params);

/* Each returns false after noting a problem: 400 for bad percent-encoding, UTF-8 or JSON, 422 for a field given
 * twice. */
bool jf_params_add_query(struct jf_params *params, const char *query);
bool jf_params_add_json(struct jf_params *params, const char *text, size_t size_bytes);
bool jf_params_add_text(struct jf_params *params, const char *name, const char *text, size_t size_bytes);

bool jf_params_has(const struct jf_params *params, const char *name);
bool jf_params_integer(struct jf_params *params, const char *name, int64_t *out, int64_t min, int64_t max);
bool jf_params_int(struct jf_params *params, const char *name, int *out, int min, int max);
bool jf_params_float(struct jf_params *params, const char *name, float *out, double min, double max);
bool jf_params_bool(struct jf_params *params, const char *name, bool *out);
/* Borrowed; length in bytes. */
bool jf_params_string(struct jf_params *params, const char *name, const char **out, size_t *length);
/* *out: index into names[n]. */
bool jf_params_choice(struct jf_params *params, const char *name, int *out, const char *const *names, int n);
/* A label vector of n numbers, as an array or as text (core/questions/question.h has the grammar and the limits). */
bool jf_params_label(struct jf_params *params, const char *name, float *out, int n);
/* A mixture: an object from class to weight, {"6": 0.5, "seven": 0.5}, or the same as text. out[n]: 0 for classes that
 * are not named. */
bool jf_params_weights(struct jf_params *params, const char *name, float *out, int n, const char *const *class_names);
/* A class by its name or number. */
bool jf_params_class(struct jf_params *params, const char *name, int *out, int n, const char *const *class_names);

/* Marks a field as known, for one that is read in another way. */
void jf_params_touch(struct jf_params *params, const char *name);

/* Notes every field that no reader asked for; false when anything is wrong by now. */
bool jf_params_finish(struct jf_params *params);

#endif
