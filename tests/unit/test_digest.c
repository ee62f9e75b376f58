/* SHA-256 against the published examples of FIPS 180-4; comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/digest.h"

static const struct {
	const char *text, *hex;
} known[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_known_answers(void **state) {
	struct jf_digest *digest = jf_digest_create();
	char hex[JF_SHA256_HEX];

	(void)state;
	assert_non_null(digest);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		jf_sha256_hex(hex, known[i].text, strlen(known[i].text));
		assert_string_equal(hex, known[i].hex);
		for (const char *c = known[i].text; *c; c++)
			jf_digest_update(digest, c, 1);
		jf_digest_hex(digest, hex); /* and it starts again */
		assert_string_equal(hex, known[i].hex);
	}
	jf_digest_destroy(digest);
	jf_digest_destroy(NULL);
}

static void test_file(void **state) {
	char path[] = "/tmp/jf-digest-XXXXXX";
	char hex[JF_SHA256_HEX];
	struct jf_error err = {0};
	FILE *file = fdopen(mkstemp(path), "w");

	(void)state;
	assert_non_null(file);
	for (int i = 0; i < 1000000; i++)
		fputc('a', file);
	fclose(file);
	assert_int_equal(jf_sha256_file(hex, path, &err), JF_OK);
	assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	unlink(path);
	assert_int_equal(jf_sha256_file(hex, path, &err), JF_EIO);
	assert_string_equal(hex, "");
	assert_non_null(strstr(err.message, path));
	assert_non_null(strstr(err.message, "No such file"));
	assert_int_equal(jf_sha256_file(hex, "/tmp", &err), JF_EIO);
}

static void test_equal(void **state) {
	(void)state;
	assert_true(jf_equal_constant_time("secret", "secret", 6));
	assert_false(jf_equal_constant_time("secret", "secreT", 6));
	assert_false(jf_equal_constant_time("Secret", "secret", 6));
	assert_true(jf_equal_constant_time("a", "b", 0));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_answers),
	    cmocka_unit_test(test_file),
	    cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
