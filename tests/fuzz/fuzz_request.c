/* What a request brings, after its framing: the first byte chooses a form, a query, a JSON object, base64 or header
 * fields. Whatever comes, it is taken or refused with a problem that makes a document; parts lie inside the body. */
#include "config.h"

#include <string.h>

#include "core/base/base64.h"
#include "core/base/json.h"
#include "daemon/http/access.h"
#include "daemon/http/multipart.h"
#include "daemon/http/params.h"
#include "daemon/http/text.h"
#include "tests/fuzz/fuzz.h"

static void form(const char *text, size_t size) {
	struct jf_part parts[JF_MAX_PARTS];
	struct jf_error err = {0};
	int n = 0, i;

	if (jf_multipart_parse(parts, &n, JF_MAX_PARTS, text, size, "b", &err) != JF_OK)
		REQUIRE(err.message[0]);
	for (i = 0; i < n; i++)
		REQUIRE(parts[i].data >= text && parts[i].data + parts[i].size <= text + size && parts[i].name[0]);
}

static void fields(const char *text, size_t size, bool json) {
	static const char *const names[] = {"zero", "one", "two"};
	struct jf_problem problem = {0};
	struct jf_params params;
	struct jf_json *document;
	float values[3], number;
	const char *string;
	char *out;
	int64_t integer = 0;
	size_t length;
	int index = 0;
	bool flag, good;

	jf_params_init(&params, &problem);
	good = json ? jf_params_add_json(&params, text, size) : jf_params_add_query(&params, text);
	if (jf_params_integer(&params, "i", &integer, -5, 5))
		REQUIRE(integer >= -5 && integer <= 5);
	if (jf_params_float(&params, "f", &number, 0, 1))
		REQUIRE(number >= 0 && number <= 1);
	jf_params_bool(&params, "b", &flag);
	jf_params_string(&params, "s", &string, &length);
	if (jf_params_choice(&params, "c", &index, names, 3) || jf_params_class(&params, "k", &index, 3, names))
		REQUIRE(index >= 0 && index < 3);
	jf_params_label(&params, "l", values, 3);
	jf_params_weights(&params, "w", values, 3, names);
	good = jf_params_finish(&params) && good;
	REQUIRE(good != problem.set);
	if (problem.set) {
		out = jf_problem_text(&problem, text, "id", &length);
		document = out ? jf_json_parse(out, length, 8, NULL) : NULL;
		REQUIRE(document);
		jf_json_free(document);
		free(out);
	}
	jf_params_deinit(&params);
}

static void headers(const char *text) {
	static const char *const offers[] = {"application/json", "image/png"};
	char out[64];

	REQUIRE(jf_negotiate(text, offers, 2) < 2);
	jf_media_type_is(text, "image/png");
	jf_media_type_parameter(out, sizeof(out), text, "boundary");
	jf_access_host_allowed(text, "", "127.0.0.1");
	jf_access_cross_site("POST", NULL, NULL, text, "localhost", "");
	jf_access_forwarded_for(out, sizeof(out), text, "127.0.0.1");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	char *text = malloc(size + 1);
	unsigned char *bytes;
	size_t length;

	REQUIRE(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (size && data[0] == 'f')
		form(text + 1, size - 1);
	else if (size && (data[0] == 'q' || data[0] == 'j'))
		fields(text + 1, size - 1, data[0] == 'j');
	else if (size && data[0] == 'h')
		headers(text + 1);
	bytes = jf_base64_decode(text, size, &length);
	REQUIRE(!bytes || length <= size);
	free(bytes);
	free(text);
	return 0;
}
