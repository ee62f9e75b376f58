/* What the HTTP side is made of, without a socket: text forms, forms, parameters, problems, guards, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/base64.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/questions/question.h"
#include "daemon/http/access.h"
#include "daemon/http/keys.h"
#include "daemon/http/limit.h"
#include "daemon/http/multipart.h"
#include "daemon/http/params.h"
#include "daemon/http/problem.h"
#include "daemon/http/response.h"
#include "daemon/http/text.h"

/* --- text --- */

static void percent_decoding(void **state) {
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
	    {"", ""},
	    {"abc", "abc"},
	    {"a+b", "a b"},
	    {"%41%7a", "Az"},
	    {"%C3%A9", "\xc3\xa9"},
	    {"%", NULL},
	    {"%4", NULL},
	    {"%4g", NULL},
	    {"a%00b", NULL},
	    {"%ff", NULL},
	    {"%ed%a0%80", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *out = jf_percent_decode(cases[i].in, strlen(cases[i].in), true);

		if (cases[i].out)
			assert_string_equal(out, cases[i].out);
		else
			assert_null(out);
		free(out);
	}
	char *plain = jf_percent_decode("a+b", 3, false);
	assert_string_equal(plain, "a+b");
	free(plain);
}

static void base64(void **state) {
	static const char *const bad[] = {
	    "A", "AAAAA", "A=", "AA=A", "AA===", "====", "AAA=A", "A%A=", "\x80\x80\x80\x80", "A===", "AB==", "AAB="};
	unsigned char data[64];
	size_t size;

	(void)state;
	for (size_t n = 0; n < sizeof(data); n++) {
		for (size_t i = 0; i < n; i++)
			data[i] = (unsigned char)(i * 37 + n);
		char *text = jf_base64_encode(data, n);
		unsigned char *back = jf_base64_decode(text, strlen(text), &size);

		assert_int_equal(size, n);
		assert_memory_equal(back, data, n);
		free(back);
		/* without padding, and with line breaks */
		text[strcspn(text, "=")] = '\0';
		back = jf_base64_decode(text, strlen(text), &size);
		assert_int_equal(size, n);
		free(back);
		free(text);
	}
	unsigned char *url = jf_base64_decode("-_-_\r\n +/+/", 11, &size);
	assert_non_null(url);
	assert_int_equal(size, 6);
	assert_memory_equal(url, url + 3, 3);
	free(url);
	/* longer than a piece, so that groups of four lie across its border */
	unsigned char large[5000];
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (unsigned char)(i * i >> 3);
	for (size_t n = sizeof(large) - 3; n <= sizeof(large); n++) {
		char *text = jf_base64_encode(large, n);
		unsigned char *back = jf_base64_decode(text, strlen(text), &size);

		assert_int_equal(size, n);
		assert_memory_equal(back, large, n);
		free(back);
		free(text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned char *out = jf_base64_decode(bad[i], strlen(bad[i]), &size);

		if (out)
			print_message("\"%s\" was taken\n", bad[i]);
		assert_null(out);
	}
}

static void encodings(void **state) {
	static const struct {
		const char *field;
		bool gzip;
	} table[] = {{NULL, false}, {"", false}, {"gzip", true}, {"GZip", true}, {"x-gzip", true}, {"br", false},
	    {"br;q=1, gzip;q=0.5", true}, {"gzip;q=0", false}, {"gzip;q=0.000", false}, {"gzip ; q=0.001", true},
	    {"*", true}, {"*;q=0", false}, {"gzip;q=0, *", false}, {"*;q=0, gzip", true}, {"identity", false},
	    {"identity;q=0.5, gzip;q=1", true}, {"identity, gzip;q=0.5", false}, {"identity;q=0, *", true},
	    {"notgzip, gzipped", false}, {"gzip;level=9", true}, {" , ,gzip", true}, {"*/gzip", false}};
	char many[1024] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (jf_accepts_gzip(table[i].field) != table[i].gzip)
			fail_msg("Accept-Encoding: %s", table[i].field ? table[i].field : "(absent)");
	/* however many come before it */
	for (int i = 0; i < 90; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "coding-%d,", i);
	assert_true(strlen(many) > 600);
	strcat(many, "gzip");
	assert_true(jf_accepts_gzip(many));
}

static void media_types(void **state) {
	char value[16];

	(void)state;
	assert_true(jf_media_type_is("image/png", "image/png"));
	assert_true(jf_media_type_is("Image/PNG ; x=1", "image/png"));
	assert_false(jf_media_type_is("image/pngx", "image/png"));
	assert_false(jf_media_type_is("image/pn", "image/png"));
	assert_false(jf_media_type_is(NULL, "image/png"));
	assert_true(jf_media_type_parameter(value, sizeof(value), "a/b; x=1; boundary=abc", "boundary"));
	assert_string_equal(value, "abc");
	assert_true(jf_media_type_parameter(value, sizeof(value), "a/b;BOUNDARY=\"a;\\\"b\"", "boundary"));
	assert_string_equal(value, "a;\"b");
	assert_false(jf_media_type_parameter(value, sizeof(value), "a/b; boundary=", "boundary"));
	assert_false(jf_media_type_parameter(value, sizeof(value), "a/b; boundary=\"abc", "boundary"));
	assert_false(jf_media_type_parameter(value, sizeof(value), "a/b; boundary=0123456789abcdef", "boundary"));
	assert_false(jf_media_type_parameter(value, sizeof(value), "a/b; xboundary=abc", "boundary"));
}

static void negotiation(void **state) {
	static const char *const offers[] = {"application/json", "image/png", "text/event-stream"};
	static const struct {
		const char *accept;
		int choice;
	} cases[] = {
	    {NULL, 0},
	    {"", 0},
	    {"*/*", 0},
	    {"image/png", 1},
	    {"image/*", 1},
	    {"text/event-stream", 2},
	    {"image/webp,image/*,*/*;q=0.8", 1},
	    {"application/json;q=0.1, image/png;q=0.2", 1},
	    {"*/*;q=0.5, application/json;q=0", 1},
	    {"image/png;q=0", -1},
	    {"*/*;q=0", -1},
	    {"text/html", -1},
	    {"nonsense", -1},
	    {",,;;=,", -1},
	    {"IMAGE/PNG", 1},
	    {"image/png ; q=0.3 , application/json ; q=0.300", 0},
	    {"text/*;q=1, */*;q=0.9", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(jf_negotiate(cases[i].accept, offers, 3), cases[i].choice);
}

static void multipart(void **state) {
	static const char body[] = "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"image\"; filename=x\r\n"
				   "Content-Type: image/png\r\n\r\nabc\r\n--no\r\ndef\r\n--b\r\n"
				   "content-disposition:form-data;name=empty\r\n\r\n\r\n--b--\r\nepilogue";
	struct jf_part parts[2];
	struct jf_error err;
	int n;

	(void)state;
	assert_int_equal(jf_multipart_parse(parts, &n, 2, body, sizeof(body) - 1, "b", &err), JF_OK);
	assert_int_equal(n, 2);
	assert_string_equal(parts[0].name, "image");
	assert_string_equal(parts[0].content_type, "image/png");
	assert_int_equal(parts[0].size, 14);
	assert_memory_equal(parts[0].data, "abc\r\n--no\r\ndef", 14);
	assert_string_equal(parts[1].name, "empty");
	assert_int_equal(parts[1].size, 0);
	assert_int_equal(jf_multipart_parse(parts, &n, 1, body, sizeof(body) - 1, "b", &err), JF_EFORMAT);
	/* cut anywhere before the last boundary it is refused, and nothing is read beyond the end */
	for (size_t size = 0; size < sizeof(body) - 13; size++) {
		char *copy = malloc(size + 1);

		assert_non_null(copy);
		memcpy(copy, body, size);
		copy[size] = '\0';
		assert_int_equal(jf_multipart_parse(parts, &n, 2, copy, size, "b", &err), JF_EFORMAT);
		free(copy);
	}
}

/* --- parameters and problems --- */

static void parameters(void **state) {
	static const char *const names[] = {"zero", "one", "two"};
	static const char *const colours[] = {"red", "green"};
	struct jf_problem problem = {0};
	struct jf_params params;
	float values[3], number = 0;
	int integer = -1, choice = -1, class = -1;
	bool flag = false;
	int64_t seed = 0;

	(void)state;
	jf_params_init(&params, &problem);
	assert_true(jf_params_add_query(&params, "i=5&f=1.5&b&c=green&k=two&w=one:0.25,2:1&&l=1,-2,3e0"));
	assert_true(jf_params_add_json(&params, "{\"s\": 9007199254740991, \"v\": {\"1\": 1}}", 38));
	assert_true(jf_params_int(&params, "i", &integer, 0, 5));
	assert_true(jf_params_float(&params, "f", &number, 0, 2));
	assert_true(jf_params_bool(&params, "b", &flag));
	assert_true(jf_params_choice(&params, "c", &choice, colours, 2));
	assert_true(jf_params_class(&params, "k", &class, 3, names));
	assert_true(jf_params_integer(&params, "s", &seed, 0, JF_MAX_SEED));
	assert_true(jf_params_weights(&params, "v", values, 3, names));
	assert_true(jf_params_weights(&params, "w", values, 3, names));
	assert_true(values[0] == 0 && values[1] == 0.25f && values[2] == 1);
	assert_true(jf_params_label(&params, "l", values, 3));
	assert_true(values[0] == 1 && values[1] == -2 && values[2] == 3);
	assert_true(jf_params_finish(&params));
	assert_int_equal(integer, 5);
	assert_true(number == 1.5f && flag && choice == 1 && class == 2 && seed == JF_MAX_SEED);
	jf_params_deinit(&params);
}

static void wrong_parameters(void **state) {
	struct jf_problem problem = {0};
	struct jf_params params;
	int integer = 7;

	(void)state;
	jf_params_init(&params, &problem);
	assert_true(jf_params_add_query(&params, "n=6&a%2Fb~c=1"));
	assert_false(jf_params_int(&params, "n", &integer, 0, 5));
	assert_int_equal(integer, 7);
	assert_false(jf_params_finish(&params));
	assert_int_equal(problem.type, JF_PROBLEM_INVALID);
	assert_int_equal(problem.n_errors, 2);
	assert_string_equal(problem.errors[0].pointer, "/n");
	assert_string_equal(problem.errors[1].pointer, "/a~1b~0c");
	jf_params_deinit(&params);
}

static void problem_document(void **state) {
	struct jf_problem problem = {0};
	struct jf_response response;
	struct jf_json *root;
	const char *text;
	size_t length;

	(void)state;
	jf_problem_field(&problem, "/x", "is \"wrong\"\n\xff");
	for (int i = 0; i < 50; i++)
		jf_problem_field(&problem, "/y", "is %0300d", i);
	problem.retry_after_s = 3;
	jf_problem_respond(&response, &problem, "/a b\x01\xff\"", "id");
	assert_int_equal(response.status, 422);
	assert_string_equal(jf_response_get(&response, "content-type"), "application/problem+json");
	assert_string_equal(jf_response_get(&response, "Retry-After"), "3");
	root = jf_json_parse(response.body, response.size, 4, NULL);
	assert_non_null(root);
	assert_int_equal(jf_json_size(jf_json_get(root, "errors")), JF_PROBLEM_ERRORS);
	assert_int_equal(jf_json_read_string(jf_json_get(root, "instance"), &text, &length, NULL), JF_OK);
	assert_string_equal(text, "/a%20b%01%FF%22");
	jf_json_free(root);
	jf_response_deinit(&response);
}

static void response_headers(void **state) {
	struct jf_response response;
	char huge[JF_RESPONSE_TEXT + 10];

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	jf_response_init(&response, 200);
	jf_response_header(&response, "A", "b\r\nInjected: %s", "yes");
	assert_string_equal(jf_response_get(&response, "a"), "b  Injected: yes");
	jf_response_header(&response, "Huge", "%s", huge);
	assert_null(jf_response_get(&response, "Huge"));
	for (int i = 0; i < 100; i++)
		jf_response_header(&response, "N", "%d", i);
	assert_int_equal(response.n_headers, JF_RESPONSE_HEADERS);
}

/* --- guards and limits --- */

static void hosts(void **state) {
	static const struct {
		const char *host, *allowed, *address;
		bool good;
	} cases[] = {
	    {"localhost", "", "127.0.0.1", true},
	    {"LOCALHOST:80", "", "127.0.0.1", true},
	    {"x.localhost", "", "127.0.0.1", true},
	    {".localhost", "", "127.0.0.1", false},
	    {"127.0.0.1:6767", "", "127.0.0.1", true},
	    {"[::1]:6767", "", "127.0.0.1", true},
	    {"192.0.2.1", "", "127.0.0.1", false},
	    {"192.0.2.1:80", "", "192.0.2.1", true},
	    {"192.0.2.1", "", "0.0.0.0", true},
	    {"[2001:db8::1]", "", "::", true},
	    {"evil.example", "", "0.0.0.0", false},
	    {"evil.example", "good.example", "0.0.0.0", false},
	    {"good.example:443", "other.example,good.example", "0.0.0.0", true},
	    {"localhost", "good.example", "127.0.0.1", false},
	    {"anything", "*", "127.0.0.1", true},
	    {"", "", "127.0.0.1", false},
	    {"localhost:", "", "127.0.0.1", true},
	    {"localhost:80x", "", "127.0.0.1", false},
	    {"a@localhost", "", "127.0.0.1", false},
	    {"[::1", "", "127.0.0.1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
		    jf_access_host_allowed(cases[i].host, cases[i].allowed, cases[i].address), cases[i].good);
	assert_false(jf_access_host_allowed(NULL, "", "127.0.0.1"));
}

static void forwarded(void **state) {
	static const struct {
		const char *field, *trusted, *client; /* NULL: none */
	} cases[] = {
	    {NULL, "10.0.0.1", NULL},
	    {"", "10.0.0.1", NULL},
	    {"192.0.2.1", "10.0.0.1", "192.0.2.1"},
	    {"1.1.1.1, 192.0.2.1", "10.0.0.1", "192.0.2.1"},
	    {"192.0.2.1,10.0.0.1", "10.0.0.1", "192.0.2.1"},
	    {"192.0.2.1, 10.0.0.2 ,10.0.0.1", "10.0.0.1,10.0.0.2", "192.0.2.1"},
	    {"rubbish", "10.0.0.1", NULL},
	    {"rubbish, 192.0.2.1", "10.0.0.1", "192.0.2.1"},
	    {"192.0.2.1, unknown", "10.0.0.1", NULL},
	    {"2001:db8::1", "10.0.0.1", "2001:db8::1"},
	    {",,,", "10.0.0.1", NULL},
	    {"192.0.2.1:4711", "10.0.0.1", "192.0.2.1"},
	    {"192.0.2.1:4711, 10.0.0.7:80", "10.0.0.0/8", "192.0.2.1"},
	    {"[2001:db8::1]:4711", "10.0.0.1", "2001:db8::1"},
	    {"[2001:db8::1]", "10.0.0.1", "2001:db8::1"},
	    {"192.0.2.1:port", "10.0.0.1", NULL},
	    {"[192.0.2.1", "10.0.0.1", NULL},
	    {"10.0.0.9, 10.0.0.8", "10.0.0.0/8", "10.0.0.9"},
	    {"::ffff:192.0.2.7", "10.0.0.1", "192.0.2.7"},
	    {"[::ffff:192.0.2.7]:80, ::ffff:10.0.0.1", "10.0.0.1", "192.0.2.7"},
	    {"2001:DB8:0::1", "10.0.0.1", "2001:db8::1"},
	};
	static const struct {
		const char *field, *trusted, *client;
	} fields[] = {
	    {NULL, "10.0.0.1", NULL},
	    {"", "10.0.0.1", NULL},
	    {"for=192.0.2.1", "10.0.0.1", "192.0.2.1"},
	    {"For=192.0.2.1;proto=https;by=10.0.0.1", "10.0.0.1", "192.0.2.1"},
	    {"proto=https; for=192.0.2.1", "10.0.0.1", "192.0.2.1"},
	    {"for=\"192.0.2.1:4711\"", "10.0.0.1", "192.0.2.1"},
	    {"for=\"[2001:db8::1]:4711\"", "10.0.0.1", "2001:db8::1"},
	    {"for=\"[2001:db8::1]\"", "10.0.0.1", "2001:db8::1"},
	    {"for=1.1.1.1, for=192.0.2.1", "10.0.0.1", "192.0.2.1"},
	    {"for=192.0.2.1, for=10.0.0.2", "10.0.0.0/8", "192.0.2.1"},
	    {"for=192.0.2.1,proto=https", "10.0.0.1", NULL}, /* the nearest proxy does not tell */
	    {"for=192.0.2.1, for=unknown", "10.0.0.1", NULL},
	    {"for=192.0.2.1, for=_secret", "10.0.0.1", NULL},
	    {"for=\"192.0.2.9:_p\", for=10.1.1.1", "10.0.0.0/8", "192.0.2.9"},
	    {"for=\"[2001:db8::9]:_a.B-_9\", for=\"10.1.1.1:_x\"", "10.0.0.0/8", "2001:db8::9"},
	    {"for=\"192.0.2.9:_\"", "10.0.0.1", NULL},
	    {"for=\"192.0.2.9:_p!\"", "10.0.0.1", NULL},
	    {"for=\"2001:db8::9:_p\"", "10.0.0.1", NULL},       /* where does the address end? */
	    {"for=\"1.1.1.1, for=192.0.2.1", "10.0.0.1", NULL}, /* a quote that nobody ends */
	    {"for=\"192.0.2.1,10.0.0.2\"", "10.0.0.1", NULL},
	    {"host=\"a, for=1.1.1.1\";for=192.0.2.1", "10.0.0.1", "192.0.2.1"},
	    {"xfor=192.0.2.1", "10.0.0.1", NULL},
	    {"for", "10.0.0.1", NULL},
	    {"=;,=", "10.0.0.1", NULL},
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool found = jf_access_forwarded_for(out, sizeof(out), cases[i].field, cases[i].trusted);

		assert_int_equal(found, cases[i].client != NULL);
		if (found)
			assert_string_equal(out, cases[i].client);
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		bool found = jf_access_forwarded(out, sizeof(out), fields[i].field, fields[i].trusted);

		if (found != (fields[i].client != NULL))
			fail_msg("%s: %s", fields[i].field, found ? out : "nothing");
		if (found)
			assert_string_equal(out, fields[i].client);
	}
}

static void keys(void **state) {
	char path[] = "/tmp/jointflow-keys-XXXXXX";
	static const char text[] = "# comment\r\n\r\n0123456789abcdef  \r\nfedcba9876543210";
	struct jf_error err;
	struct jf_keys *list;

	(void)state;
	list = jf_keys_load("", &err);
	assert_true(jf_keys_allow(list, NULL, NULL));
	jf_keys_destroy(list);
	assert_true(mkstemp(path) >= 0);
	assert_int_equal(jf_file_write(path, text, sizeof(text) - 1, &err), JF_OK);
	list = jf_keys_load(path, &err);
	assert_non_null(list);
	assert_true(jf_keys_allow(list, "Bearer 0123456789abcdef", NULL));
	assert_true(jf_keys_allow(list, NULL, "fedcba9876543210"));
	assert_false(jf_keys_allow(list, NULL, NULL));
	assert_false(jf_keys_allow(list, "0123456789abcdef", NULL));
	assert_false(jf_keys_allow(list, NULL, "0123456789abcde"));
	assert_false(jf_keys_allow(list, "Bearer wrong", "# comment"));
	assert_false(jf_keys_allow(list, NULL, ""));
	jf_keys_destroy(list);
	assert_int_equal(jf_file_write(path, "0123456789abcdef\nshort\n", 23, &err), JF_OK);
	assert_null(jf_keys_load(path, &err));
	assert_non_null(strstr(err.message, ":2:"));
	assert_null(strstr(err.message, "short"));
	remove(path);
	assert_null(jf_keys_load(path, &err));
	assert_int_equal(err.code, JF_EIO);
}

static void rate(void **state) {
	struct jf_limit *limit = jf_limit_create(2, 3, 2);
	uint8_t a[16] = {0}, b[16] = {0};

	(void)state;
	memcpy(a + 10, "\xff\xff\xc0\x00\x02\x01", 6);
	memcpy(b + 10, "\xff\xff\xc0\x00\x02\x02", 6);
	for (int i = 0; i < 3; i++)
		assert_int_equal(jf_limit_request(limit, a, 1000), 0);
	assert_int_equal(jf_limit_request(limit, a, 1000), 1);
	assert_int_equal(jf_limit_request(limit, b, 1000), 0);
	assert_int_equal(jf_limit_request(limit, a, 1400), 1);
	assert_int_equal(jf_limit_request(limit, a, 1600), 0);
	assert_int_equal(jf_limit_request(limit, a, 1600), 1);
	assert_int_equal(jf_limit_request(limit, a, 100000), 0);
	assert_int_equal(jf_limit_connect(limit, a, 1, 0), JF_LIMIT_WITHIN);
	assert_int_equal(jf_limit_connect(limit, a, 1, 0), JF_LIMIT_WITHIN);
	assert_int_equal(jf_limit_connect(limit, a, 0, 0), JF_LIMIT_BEYOND);
	assert_int_equal(jf_limit_connect(limit, a, 1, 0), JF_LIMIT_ABOVE);
	assert_int_equal(jf_limit_connect(limit, a, 1, 0), JF_LIMIT_BEYOND);
	assert_int_equal(jf_limit_connect(limit, b, 1, 0), JF_LIMIT_WITHIN);
	jf_limit_disconnect(limit, a); /* who is beyond is not counted: this is the one above */
	assert_int_equal(jf_limit_connect(limit, a, 0, 0), JF_LIMIT_BEYOND);
	jf_limit_disconnect(limit, a);
	jf_limit_disconnect(limit, a);
	assert_int_equal(jf_limit_connect(limit, a, 0, 0), JF_LIMIT_WITHIN);
	/* a flood of addresses neither grows the table nor forgets who is connected */
	for (uint32_t i = 0; i < 200000; i++) {
		uint8_t many[16] = {0x20, 1};

		memcpy(many + 2, &i, sizeof(i));
		assert_int_equal(jf_limit_request(limit, many, 100000 + i / 1000), 0);
	}
	assert_int_equal(jf_limit_connect(limit, a, 0, 200000), JF_LIMIT_WITHIN);
	assert_int_equal(jf_limit_connect(limit, a, 0, 200000), JF_LIMIT_BEYOND);
	jf_limit_destroy(limit);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(percent_decoding),
	    cmocka_unit_test(base64),
	    cmocka_unit_test(encodings),
	    cmocka_unit_test(media_types),
	    cmocka_unit_test(negotiation),
	    cmocka_unit_test(multipart),
	    cmocka_unit_test(parameters),
	    cmocka_unit_test(wrong_parameters),
	    cmocka_unit_test(problem_document),
	    cmocka_unit_test(response_headers),
	    cmocka_unit_test(hosts),
	    cmocka_unit_test(forwarded),
	    cmocka_unit_test(keys),
	    cmocka_unit_test(rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
