/* SHA-256 against the published examples of FIPS 180-4; comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

static void test_a_million(void **state) {
	struct jf_digest *digest = jf_digest_create();
	char hex[JF_SHA256_HEX], piece[1000];

	(void)state;
	assert_non_null(digest);
	memset(piece, 'a', sizeof(piece));
	for (int i = 0; i < 1000; i++)
		jf_digest_update(digest, piece, sizeof(piece));
	jf_digest_hex(digest, hex);
	assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	jf_digest_destroy(digest);
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
	    cmocka_unit_test(test_a_million),
	    cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
