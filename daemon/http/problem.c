#include "daemon/http/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"

static const struct {
	int status;
	const char *slug, *title;
} table[] = {
#define ROW(id, status, slug, title) {status, slug, title},
    JF_PROBLEM_TABLE(ROW)
#undef ROW
};

bool jf_problem_set(struct jf_problem *problem, enum jf_problem_type type, const char *format, ...) {
	va_list args;

	if (problem->set)
		return false;
	problem->set = true;
	problem->type = type;
	va_start(args, format);
	vsnprintf(problem->detail, sizeof(problem->detail), format, args);
	va_end(args);
	return false;
}

bool jf_problem_field(struct jf_problem *problem, const char *pointer, const char *format, ...) {
	va_list args;

	if (!problem->set)
		jf_problem_set(problem, JF_PROBLEM_INVALID, "The fields named in \"errors\" are not valid.");
	if (problem->n_errors == JF_PROBLEM_ERRORS)
		return false;
	snprintf(problem->errors[problem->n_errors].pointer, sizeof(problem->errors[0].pointer), "%s", pointer);
	va_start(args, format);
	vsnprintf(problem->errors[problem->n_errors].detail, sizeof(problem->errors[0].detail), format, args);
	va_end(args);
	problem->n_errors++;
	return false;
}

int jf_problem_status(enum jf_problem_type type) {
	return table[type].status;
}

/* The path as a URI reference: what RFC 3986 does not allow is percent-encoded. */
static void put_instance(char *out, size_t size, const char *path) {
	static const char hex[] = "0123456789ABCDEF";
	size_t used = 0;

	for (; *path && used + 4 < size; path++) {
		if ((unsigned char)*path > 0x20 && (unsigned char)*path < 0x7f && !strchr("\"<>\\^`{|}", *path)) {
			out[used++] = *path;
			continue;
		}
		out[used++] = '%';
		out[used++] = hex[(unsigned char)*path >> 4];
		out[used++] = hex[*path & 15];
	}
	out[used] = '\0';
}

/* The one member that clients of the Open Inference Protocol look for. */
static void put_v2_error(struct jf_json_writer *writer, const struct jf_problem *problem) {
	char text[sizeof(problem->detail) + sizeof(problem->errors[0])];

	snprintf(text, sizeof(text), "%s", problem->detail);
	if (problem->n_errors)
		snprintf(text, sizeof(text), "%s %s", problem->errors[0].pointer, problem->errors[0].detail);
	jf_json_put_string(writer, "error", text);
}

char *jf_problem_text(const struct jf_problem *problem, const char *instance, const char *request_id, size_t *length) {
	struct jf_json_writer writer;
	char text[512];
	char *out;
	int i;

	jf_json_writer_init(&writer);
	jf_json_begin_object(&writer, NULL);
	snprintf(text, sizeof(text), "urn:jointflow:problem:%s", table[problem->type].slug);
	jf_json_put_string(&writer, "type", text);
	jf_json_put_string(&writer, "title", table[problem->type].title);
	jf_json_put_integer(&writer, "status", table[problem->type].status);
	jf_json_put_string(&writer, "detail", problem->detail);
	put_instance(text, sizeof(text), instance);
	jf_json_put_string(&writer, "instance", text);
	jf_json_put_string(&writer, "request_id", request_id);
	if (strncmp(instance, "/v2", 3) == 0)
		put_v2_error(&writer, problem);
	if (problem->n_errors) {
		jf_json_begin_array(&writer, "errors");
		for (i = 0; i < problem->n_errors; i++) {
			jf_json_begin_object(&writer, NULL);
			jf_json_put_string(&writer, "pointer", problem->errors[i].pointer);
			jf_json_put_string(&writer, "detail", problem->errors[i].detail);
			jf_json_end_object(&writer);
		}
		jf_json_end_array(&writer);
	}
	jf_json_end_object(&writer);
	if (jf_json_writer_take(&writer, &out, length) != JF_OK)
		out = NULL;
	jf_json_writer_deinit(&writer);
	return out;
}

void jf_problem_respond(
    struct jf_response *response, const struct jf_problem *problem, const char *instance, const char *request_id) {
	size_t length = 0;
	char *text;

	jf_response_init(response, table[problem->type].status);
	text = jf_problem_text(problem, instance, request_id, &length);
	if (text)
		jf_response_own(response, "application/problem+json", text, length);
	jf_response_header(response, "Cache-Control", "no-store");
	if (problem->retry_after_s > 0)
		jf_response_header(response, "Retry-After", "%d", problem->retry_after_s);
	if (problem->allow)
		jf_response_header(response, "Allow", "%s", problem->allow);
	if (problem->type == JF_PROBLEM_UNAUTHORIZED)
		jf_response_header(response, "WWW-Authenticate", "Bearer realm=\"jointflow\"");
}
