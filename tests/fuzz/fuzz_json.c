/* Any text is a value of at most the depth asked for or an error; strings are UTF-8 without NUL. */
#include <string.h>

#include "core/base/json.h"
#include "tests/fuzz/fuzz.h"

#define DEPTH 8

static void walk(const struct jf_json *value, int depth) {
	struct jf_json_member member = {0};
	const char *text;
	size_t length;

	if (!jf_json_read_string(value, &text, &length, NULL))
		REQUIRE(strlen(text) == length && jf_utf8_valid(text, length));
	if (jf_json_type(value) == JF_JSON_ARRAY || jf_json_type(value) == JF_JSON_OBJECT)
		REQUIRE(depth < DEPTH);
	if (jf_json_type(value) == JF_JSON_ARRAY)
		for (size_t i = 0; i < jf_json_size(value); i++)
			walk(jf_json_at(value, i), depth + 1);
	if (jf_json_type(value) == JF_JSON_OBJECT)
		while (jf_json_next(value, &member))
			walk(member.value, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct jf_error err = {0};
	struct jf_json *root = jf_json_parse((const char *)data, size, DEPTH, &err);

	if (root)
		walk(root, 0);
	else
		REQUIRE(err.message[0] && !strchr(err.message, '\n'));
	jf_json_free(root);
	return 0;
}
