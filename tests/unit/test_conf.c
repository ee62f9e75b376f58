/* The configuration: table, file, environment, command line, checks, reload, printed forms. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/service/conf.h"
#include "daemon/service/conf_table.h"

static char folder[] = "/tmp/jf_conf_XXXXXX";
static char file_path[64];
static char program[] = "jointflowd";

static void write_file(const char *text) {
	FILE *file = fopen(file_path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static enum jf_err load(struct jf_conf *conf, struct jf_error *err, int argc, char *const *argv) {
	struct jf_conf_request request;
	enum jf_err rc = jf_conf_parse_argv(&request, argc, argv, err);
	if (rc == JF_OK) {
		if (!request.path)
			request.path = file_path;
		rc = jf_conf_load(conf, &request, err);
	}
	return rc;
}

static void test_table(void **state) {
	struct jf_error error;
	struct jf_conf conf;
	(void)state;
	assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
	assert_int_equal(jf_conf_check(&conf, &error), JF_OK);
	for (int i = 0; i < jf_conf_n_keys; i++) {
		const struct jf_option *key = &jf_conf_keys[i];
		/* The man page takes the text as it is: no mark-up, and sentences that end. */
		assert_null(strchr(key->help, '\\'));
		assert_true(key->help[0] != '.' && key->help[0] != '\'');
		assert_null(strstr(key->help, " ."));
		assert_true(key->help[strlen(key->help) - 1] == '.');
		assert_ptr_equal(jf_conf_find(key->name), key);
		for (int j = 0; j < i; j++) {
			assert_string_not_equal(key->name, jf_conf_keys[j].name);
			assert_true(key->offset != jf_conf_keys[j].offset);
		}
		/* Every default is a value that the parser takes and prints alike. */
		assert_int_equal(jf_conf_set(&conf, key->name, key->fallback, &error), JF_OK);
	}
	assert_string_equal(conf.listen_address, "127.0.0.1");
	assert_int_equal(conf.listen_port, 6767);
	assert_int_equal(conf.max_body_bytes, 8 << 20);
	assert_int_equal(conf.log_level, JF_LOG_INFO);
	assert_false(conf.allow_unauthenticated);
	jf_conf_deinit(&conf);
}

/* Input and what comes of it, side by side. */
static void test_values(void **state) {
	static const struct {
		const char *key, *value;
		const char *error; /* NULL: accepted */
	} cases[] = {
	    {"workers", "0", NULL},
	    {"workers", "256", NULL},
	    {"workers", "257", "workers: 0 to 256 expected, got '257'"},
	    {"workers", "-1", "workers: 0 to 256 expected, got '-1'"},
	    {"workers", "12abc", "workers: 0 to 256 expected, got '12abc'"},
	    {"workers", "", "workers: 0 to 256 expected, got ''"},
	    {"workers", "+4", "workers: 0 to 256 expected, got '+4'"},
	    {"workers", "1.5", "workers: 0 to 256 expected, got '1.5'"},
	    {"workers", "0x10", "workers: 0 to 256 expected, got '0x10'"},
	    {"workers", "99999999999999999999", "workers: 0 to 256 expected, got '99999999999999999999'"},
	    {"max_body_bytes", "1024", NULL},
	    {"max_body_bytes", "64K", NULL},
	    {"max_body_bytes", "1G", NULL},
	    {"max_body_bytes", "2G", "max_body_bytes: 1024 to 1073741824 expected, got '2G'"},
	    {"max_body_bytes", "1k", "max_body_bytes: 1024 to 1073741824 expected, got '1k'"},
	    {"max_body_bytes", "8MB", "max_body_bytes: 1024 to 1073741824 expected, got '8MB'"},
	    {"max_body_bytes", "9223372036854775807G",
		"max_body_bytes: 1024 to 1073741824 expected, got '9223372036854775807G'"},
	    {"workers", "1K", "workers: 0 to 256 expected, got '1K'"},
	    {"access_log", "yes", NULL},
	    {"access_log", "no", NULL},
	    {"access_log", "true", "access_log: yes or no expected, got 'true'"},
	    {"access_log", "YES", "access_log: yes or no expected, got 'YES'"},
	    {"log_level", "debug", NULL},
	    {"log_level", "7", "log_level: error, warning, notice, info or debug expected, got '7'"},
	    {"log_format", "json", NULL},
	    {"log_format", "", "log_format: auto, text, journal or json expected, got ''"},
	    {"allowed_hosts", "", NULL},
	    {"allowed_hosts", "a.example , b.example", NULL},
	    {"allowed_hosts", "a,,b", "allowed_hosts: an empty item in the list 'a,,b'"},
	    {"allowed_hosts", "a,", "allowed_hosts: an empty item in the list 'a,'"},
	    {"allowed_hosts", " ", "allowed_hosts: an empty item in the list ' '"},
	    {"model", "a\tb", "model: a control character in the value"},
	    {"no_such_key", "1", "unknown key 'no_such_key'"},
	    {"", "1", "unknown key ''"},
	};
	struct jf_conf conf;
	struct jf_error error;
	(void)state;
	assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		error.message[0] = '\0';
		enum jf_err rc = jf_conf_set(&conf, cases[i].key, cases[i].value, &error);
		assert_int_equal(rc, cases[i].error ? JF_EFORMAT : JF_OK);
		assert_string_equal(error.message, cases[i].error ? cases[i].error : "");
	}
	assert_string_equal(conf.allowed_hosts, "a.example,b.example");
	assert_int_equal(conf.max_body_bytes, 1 << 30);
	jf_conf_deinit(&conf);
}

static void test_file(void **state) {
	static const struct {
		const char *text, *error;
	} cases[] = {
	    {"", NULL},
	    {"\n\n# nothing\n   # indented\n", NULL},
	    {"workers = 3", NULL},
	    {"workers=3\r\n\tlisten_port   =   0   \r\n", NULL},
	    {"listen_address =\n", NULL},
	    {"cors_origins = https://a.example, https://b.example:8443\n", NULL},
	    {"# one\nworkers 3\n", "f:2: 'key = value' expected, got 'workers 3'"},
	    {"workers = 3\nworker = 4\n", "f:2: unknown key 'worker'"},
	    {"Workers = 3\n", "f:1: unknown key 'Workers'"},
	    {"listen-port = 3\n", "f:1: unknown key 'listen-port'"},
	    {"= 3\n", "f:1: unknown key ''"},
	    {"[daemon]\nworkers = 3\n", "f:1: 'key = value' expected, got '[daemon]'"},
	    {"workers = 3 # cores\n", "f:1: workers: 0 to 256 expected, got '3 # cores'"},
	    {"workers = 3\n\nworkers = 4\n", "f:3: workers: set already on line 1"},
	    {"\xef\xbb\xbfworkers = 3\n", NULL},
	    {"workers = 3\n\xef\xbb\xbfhttp_threads = 3\n", "f:2: unknown key '\xef\xbb\xbfhttp_threads'"},
	};
	struct jf_error error;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jf_conf conf;
		assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
		error.message[0] = '\0';
		enum jf_err rc = jf_conf_parse(&conf, "f", cases[i].text, strlen(cases[i].text), &error);
		assert_int_equal(rc, cases[i].error ? JF_EFORMAT : JF_OK);
		assert_string_equal(error.message, cases[i].error ? cases[i].error : "");
		jf_conf_deinit(&conf);
	}
	struct jf_conf conf;
	assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
	assert_int_equal(jf_conf_parse(&conf, "f", "workers = 1\0\n", 13, &error), JF_EFORMAT);
	assert_non_null(strstr(error.message, "NUL"));
	jf_conf_deinit(&conf);
}

static void test_precedence(void **state) {
	char words[4][32] = {"--workers=5", "--max-batch", "7", "--listen_port=0"};
	char *argv[] = {program, words[0], words[1], words[2], words[3], NULL};
	struct jf_conf conf;
	struct jf_error error;
	(void)state;
	write_file("workers = 3\nmax_batch = 3\nmax_steps = 33\nmax_samples = 3\n");
	setenv("JOINTFLOWD_MAX_STEPS", "44", 1);
	setenv("JOINTFLOWD_WORKERS", "4", 1);
	setenv("JOINTFLOWD_SERVICE_HOST", "10.0.0.1", 1); /* an orchestrator's */
	assert_int_equal(load(&conf, &error, 5, argv), JF_OK);
	assert_int_equal(conf.workers, 5);     /* command line before environment before file */
	assert_int_equal(conf.max_steps, 44);  /* environment before file */
	assert_int_equal(conf.max_samples, 3); /* file before default */
	assert_int_equal(conf.max_batch, 7);
	assert_int_equal(conf.max_count, 128); /* default */
	assert_int_equal(conf.listen_port, 0); /* both spellings */
	jf_conf_deinit(&conf);

	setenv("JOINTFLOWD_MAX_STEPS", "many", 1);
	assert_int_equal(load(&conf, &error, 1, argv), JF_EFORMAT);
	assert_string_equal(
	    error.message, "environment variable JOINTFLOWD_MAX_STEPS: max_steps: 1 to 1000 expected, got 'many'");
	unsetenv("JOINTFLOWD_MAX_STEPS");
	unsetenv("JOINTFLOWD_WORKERS");
	unsetenv("JOINTFLOWD_SERVICE_HOST");
}

static void test_command_line(void **state) {
	static const struct {
		const char *argument;
		enum jf_err code;
		const char *error;
	} cases[] = {
	    {"--no-such=1", JF_EINVAL, "option '--no-such=1': unknown, ambiguous or without a value of its own"},
	    {"--workers", JF_EINVAL, "option '--workers' needs a value"},
	    {"--workers=x", JF_EFORMAT, "option --workers: workers: 0 to 256 expected, got 'x'"},
	    {"-w", JF_EINVAL, "option '-w': unknown, ambiguous or without a value of its own"},
	    {"--help=1", JF_EINVAL, "option '--help=1': unknown, ambiguous or without a value of its own"},
	    {"extra", JF_EINVAL, "unexpected argument 'extra'"},
	    {"--print-config=html", JF_EINVAL, "--print-config: file or man expected, got 'html'"},
	    {"--config=/nonexistent/x", JF_EIO, NULL},
	};
	static const struct {
		const char *argument;
		enum jf_conf_action action;
	} actions[] = {{"--workers=2", JF_CONF_RUN}, {"--print-config", JF_CONF_PRINT}, {"--help", JF_CONF_HELP},
	    {"--print-config=file", JF_CONF_PRINT_FILE}, {"--print-config=man", JF_CONF_PRINT_MAN},
	    {"--check-config", JF_CONF_CHECK}, {"--version", JF_CONF_VERSION}};
	struct jf_error error;
	(void)state;
	write_file("");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char argument[64];
		char *argv[] = {program, argument, NULL};
		struct jf_conf conf;
		snprintf(argument, sizeof(argument), "%s", cases[i].argument);
		assert_int_equal(load(&conf, &error, 2, argv), cases[i].code);
		if (cases[i].error)
			assert_string_equal(error.message, cases[i].error);
	}
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		char argument[64];
		char *argv[] = {program, argument, NULL};
		struct jf_conf_request request;
		snprintf(argument, sizeof(argument), "%s", actions[i].argument);
		assert_int_equal(jf_conf_parse_argv(&request, 2, argv, &error), JF_OK);
		assert_int_equal(request.action, actions[i].action);
	}
}

static void test_checks(void **state) {
	static const struct {
		const char *text, *part; /* part of the sentence; NULL: fine */
	} cases[] = {
	    {"listen_address = ::1", NULL},
	    {"listen_address = 127.8.9.1", NULL},
	    {"listen_address = ::ffff:127.0.0.1", NULL},
	    {"listen_address = localhost", "not a numeric"},
	    {"listen_address = 0.0.0.0", "other machines can reach 0.0.0.0 and no key_file is set"},
	    {"listen_address = ::", "other machines can reach :: and no key_file is set"},
	    {"listen_address = ::ffff:10.0.0.1", "other machines can reach"},
	    {"listen_address = 0.0.0.0\nkey_file = /etc/keys", NULL},
	    {"listen_address = 0.0.0.0\nallow_unauthenticated = yes", NULL},
	    {"tls_cert = /a.pem", "tls_key is not"},
	    {"tls_key = /a.pem", "tls_cert is not"},
	    {"tls_key = /a.pem\ntls_cert = /b.pem", NULL},
	    {"default_steps = 300", "default_steps (300) is above max_steps (200)"},
	    {"max_connections = 10", "max_connections_per_client (256) is above max_connections (10)"},
	    {"model =", "a checkpoint is needed"},
	    {"allowed_hosts = example.org:80", "leave out the port"},
	    {"allowed_hosts = example.org, 10.0.0.1, [::1], ::1", NULL},
	    {"allowed_hosts = [example.org]", "is not a host name"},
	    {"cors_origins = https://a.example/", "is not an origin"},
	    {"cors_origins = a.example", "is not an origin"},
	    {"cors_origins = *", "lets every web page"},
	    {"cors_origins = *\nallow_unauthenticated = yes", NULL},
	    {"cors_origins = https://*.example.org, http://localhost:*, https://*.example.org:8443", NULL},
	    {"cors_origins = https://a.*.example.org", "a star may stand for subdomains"},
	    {"cors_origins = https://*example.org", "a star may stand for subdomains"},
	    {"cors_origins = https://*", "a star may stand for subdomains"},
	    {"cors_origins = https://*.", "is not an origin"},
	    {"cors_origins = https://:80", "is not an origin"},
	    {"cors_origins = http://localhost:8*", "a star may stand for subdomains"},
	    {"cors_origins = *\nkey_file = /k", NULL},
	    {"listen_address = 127.0.0.1, ::1", NULL},
	    {"listen_address = 127.0.0.1, here", "'here' is not a numeric"},
	    {"listen_address = 127.0.0.1, 10.0.0.1", "other machines can reach 10.0.0.1 and no key_file is set"},
	    {"trusted_proxies = 10.0.0.1, proxy", "'proxy' is not a numeric address"},
	    {"trusted_proxies = 10.0.0.0/8, 2001:db8::/32, 0.0.0.0/0, ::1/128", NULL},
	    {"trusted_proxies = 10.0.0.0/33", "'10.0.0.0/33' is not"},
	    {"trusted_proxies = ::/129", "'::/129' is not"},
	    {"trusted_proxies = 10.0.0.0/", "'10.0.0.0/' is not"},
	    {"trusted_proxies = 10.0.0.0/8x", "'10.0.0.0/8x' is not"},
	    {"max_queue_delay_us = 1000000\nrequest_timeout_ms = 100", "nothing would finish"},
	};
	struct jf_error error;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jf_conf conf;
		assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
		assert_int_equal(jf_conf_parse(&conf, "f", cases[i].text, strlen(cases[i].text), &error), JF_OK);
		enum jf_err rc = jf_conf_check(&conf, &error);
		assert_int_equal(rc, cases[i].part ? JF_EINVAL : JF_OK);
		if (cases[i].part && !strstr(error.message, cases[i].part))
			fail_msg("'%s' is not in '%s'", cases[i].part, error.message);
		jf_conf_deinit(&conf);
	}
	char path[200];
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	struct jf_conf conf;
	assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
	assert_int_equal(jf_conf_set(&conf, "listen_path", path, &error), JF_OK);
	assert_int_equal(jf_conf_check(&conf, &error), JF_EINVAL);
	jf_conf_deinit(&conf);
}

static void test_apply(void **state) {
	struct jf_conf conf, fresh;
	struct jf_error error;
	char ignored[256];
	(void)state;
	assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
	assert_int_equal(jf_conf_init(&fresh, &error), JF_OK);
	assert_int_equal(jf_conf_set(&fresh, "model", "/other", &error), JF_OK);
	assert_int_equal(jf_conf_set(&fresh, "log_level", "debug", &error), JF_OK);
	assert_int_equal(jf_conf_set(&fresh, "workers", "9", &error), JF_OK);
	assert_int_equal(jf_conf_set(&fresh, "tls_cert", "/cert", &error), JF_OK);
	jf_conf_apply(&conf, &fresh, ignored, sizeof(ignored));
	assert_string_equal(conf.model, "/other");
	assert_int_equal(conf.log_level, JF_LOG_DEBUG);
	assert_int_equal(conf.workers, 0);
	assert_string_equal(ignored, "workers, tls_cert");

	/* a certificate that is there may move; it may not go */
	assert_int_equal(jf_conf_set(&conf, "tls_cert", "/cert", &error), JF_OK);
	assert_int_equal(jf_conf_set(&fresh, "tls_cert", "/renewed", &error), JF_OK);
	jf_conf_apply(&conf, &fresh, ignored, sizeof(ignored));
	assert_string_equal(conf.tls_cert, "/renewed");
	assert_string_equal(ignored, "workers");
	assert_int_equal(jf_conf_set(&fresh, "tls_cert", "", &error), JF_OK);
	jf_conf_apply(&conf, &fresh, ignored, sizeof(ignored));
	assert_string_equal(conf.tls_cert, "/renewed");
	assert_string_equal(ignored, "workers, tls_cert");
	jf_conf_deinit(&conf);
	jf_conf_deinit(&fresh);
}

/* What is printed can be read back: --print-config, and the file with its keys uncommented. */
static void test_round_trip(void **state) {
	struct jf_conf conf, again;
	struct jf_error error;
	char *text = NULL, *text_again = NULL;
	size_t size = 0, size_again = 0;
	(void)state;
	assert_int_equal(jf_conf_init(&conf, &error), JF_OK);
	assert_int_equal(jf_conf_set(&conf, "allowed_hosts", "a, b", &error), JF_OK);
	assert_int_equal(jf_conf_set(&conf, "max_body_bytes", "1M", &error), JF_OK);
	FILE *out = open_memstream(&text, &size);
	jf_conf_print(&conf, out);
	fclose(out);
	assert_int_equal(jf_conf_init(&again, &error), JF_OK);
	assert_int_equal(jf_conf_parse(&again, "f", text, size, &error), JF_OK);
	out = open_memstream(&text_again, &size_again);
	jf_conf_print(&again, out);
	fclose(out);
	assert_string_equal(text, text_again);
	free(text);
	free(text_again);
	jf_conf_deinit(&conf);
	jf_conf_deinit(&again);

	out = open_memstream(&text, &size);
	jf_conf_print_file(out);
	fclose(out);
	int keys = 0;
	for (char *c = text; c && *c; c = strchr(c, '\n'), c += c != NULL)
		if (c[0] == '#' && c[1] >= 'a' && c[1] <= 'z') {
			*c = ' ';
			keys++;
		}
	assert_int_equal(keys, jf_conf_n_keys);
	assert_int_equal(jf_conf_init(&again, &error), JF_OK);
	assert_int_equal(jf_conf_parse(&again, "f", text, size, &error), JF_OK);
	free(text);
	jf_conf_deinit(&again);
}

static void test_lists(void **state) {
	(void)state;
	assert_true(jf_conf_list_has("a,b.c,d", "B.C"));
	assert_true(jf_conf_list_has("a", "a"));
	assert_false(jf_conf_list_has("ab,c", "a"));
	assert_false(jf_conf_list_has("", "a"));
	assert_false(jf_conf_list_has("a,b", "a,b"));
}

static void test_networks(void **state) {
	static const struct {
		const char *list, *address;
		bool in;
	} cases[] = {
	    {"10.0.0.1", "10.0.0.1", true},
	    {"10.0.0.1", "10.0.0.2", false},
	    {"", "10.0.0.1", false},
	    {"192.0.2.1,10.0.0.0/8", "10.255.1.2", true},
	    {"10.0.0.0/8", "11.0.0.1", false},
	    {"10.1.2.3/31", "10.1.2.2", true}, /* what lies beyond the bits does not count */
	    {"10.1.2.3/31", "10.1.2.4", false},
	    {"10.0.0.0/0", "192.0.2.1", true},
	    {"10.0.0.0/0", "2001:db8::1", false},
	    {"::ffff:10.0.0.1", "10.0.0.1", true},
	    {"10.0.0.1", "::ffff:10.0.0.1", true},
	    {"2001:db8::/33", "2001:db8:7fff::1", true},
	    {"2001:db8::/33", "2001:db8:8000::1", false},
	    {"2001:DB8:0::1", "2001:db8::1", true}, /* one address, written in two ways */
	    {"::/0", "2001:db8::1", true},
	    {"10.0.0.0/8", "10.0.0.0/8", false},
	    {"10.0.0.0/8", "unix", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (jf_conf_list_covers(cases[i].list, cases[i].address) != cases[i].in)
			fail_msg("'%s', %s", cases[i].list, cases[i].address);
}

static void test_unknown_variables(void **state) {
	static const struct {
		const char *entry;
		bool unknown;
	} cases[] = {
	    {"JOINTFLOWD_MAX_STEPS=4", false},
	    {"JOINTFLOWD_MAX_STEP=4", true},
	    {"JOINTFLOWD_MAX_STEPS_=4", true},
	    {"JOINTFLOWD_PORT=80", true},
	    {"JOINTFLOWD_=x", true},
	    {"JOINTFLOW_ISA=base", false},
	    {"PATH=/bin", false},
	    /* Kubernetes, for a service called jointflowd or jointflowd-two */
	    {"JOINTFLOWD_SERVICE_HOST=10.0.0.1", false},
	    {"JOINTFLOWD_SERVICE_PORT=80", false},
	    {"JOINTFLOWD_SERVICE_PORT_HTTP=80", false},
	    {"JOINTFLOWD_PORT=tcp://10.0.0.1:80", false},
	    {"JOINTFLOWD_PORT_80_TCP=tcp://10.0.0.1:80", false},
	    {"JOINTFLOWD_TWO_PORT_80_TCP_ADDR=10.0.0.1", false},
	    {"JOINTFLOWD_TWO_SERVICE_HOST=10.0.0.1", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (jf_conf_unknown_variable(cases[i].entry) != cases[i].unknown)
			fail_msg("%s", cases[i].entry);
}

static int make_folder(void **state) {
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(file_path, sizeof(file_path), "%s/conf", folder);
	return 0;
}

static int remove_folder(void **state) {
	(void)state;
	unlink(file_path);
	return rmdir(folder);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_file),
	    cmocka_unit_test(test_precedence),
	    cmocka_unit_test(test_command_line),
	    cmocka_unit_test(test_checks),
	    cmocka_unit_test(test_apply),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_networks),
	    cmocka_unit_test(test_unknown_variables),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
