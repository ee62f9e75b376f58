/* Any text is a configuration or an error of one line; what is accepted prints as text that is accepted and prints the
 * same. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "daemon/service/conf.h"
#include "tests/fuzz/fuzz.h"

static char *print(const struct jf_conf *conf, size_t *size) {
	char *text = NULL;
	FILE *out = open_memstream(&text, size);
	REQUIRE(out);
	jf_conf_print(conf, out);
	REQUIRE(fclose(out) == 0);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct jf_conf conf, again;
	struct jf_error err = {0};
	REQUIRE(jf_conf_init(&conf, &err) == JF_OK);
	if (jf_conf_parse(&conf, "f", (const char *)data, size, &err) != JF_OK) {
		REQUIRE(err.message[0] && !strchr(err.message, '\n'));
	} else {
		size_t length = 0, length_again = 0;
		char *text = print(&conf, &length), *text_again = NULL;
		jf_conf_check(&conf, &err);
		REQUIRE(jf_conf_init(&again, &err) == JF_OK);
		REQUIRE(jf_conf_parse(&again, "f", text, length, &err) == JF_OK);
		text_again = print(&again, &length_again);
		REQUIRE(length == length_again && memcmp(text, text_again, length) == 0);
		jf_conf_deinit(&again);
		free(text);
		free(text_again);
	}
	jf_conf_deinit(&conf);
	return 0;
}
