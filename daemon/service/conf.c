#include "daemon/service/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/file.h"
#include "daemon/service/conf_table.h"

#define MAX_FILE_BYTES (1 << 20)
#define MAX_KEYS 128

enum jf_err jf_conf_init(struct jf_conf *conf, struct jf_error *err) {
	memset(conf, 0, sizeof(*conf));
	for (int i = 0; i < jf_conf_n_keys; i++) {
		enum jf_err rc = jf_conf_assign(conf, &jf_conf_keys[i], jf_conf_keys[i].fallback, err);
		if (rc != JF_OK) {
			jf_conf_deinit(conf);
			return rc;
		}
	}
	return JF_OK;
}

void jf_conf_deinit(struct jf_conf *conf) {
	for (int i = 0; i < jf_conf_n_keys; i++)
		if (jf_conf_is_string(&jf_conf_keys[i]))
			free(*(char **)jf_conf_at(conf, &jf_conf_keys[i]));
	memset(conf, 0, sizeof(*conf));
}

enum jf_err jf_conf_set(struct jf_conf *conf, const char *name, const char *value, struct jf_error *err) {
	const struct jf_option *key = jf_conf_find(name);
	if (!key)
		return jf_error_set(err, JF_EFORMAT, "unknown key '%.60s'", name);
	return jf_conf_assign(conf, key, value, err);
}

/* --- file --- */

static char *trim(char *text) {
	while (*text == ' ' || *text == '\t')
		text++;
	size_t length = strlen(text);
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t' || text[length - 1] == '\r'))
		text[--length] = '\0';
	return text;
}

/* One line, NUL-terminated, changed in place; seen[k]: the line that set key k. */
static enum jf_err parse_line(struct jf_conf *conf, char *line, int number, int *seen, struct jf_error *err) {
	char *text = trim(line);
	if (*text == '\0' || *text == '#')
		return JF_OK;
	char *equals = strchr(text, '=');
	if (!equals)
		return jf_error_set(err, JF_EFORMAT, "'key = value' expected, got '%.80s'", text);
	*equals = '\0';
	const char *name = trim(text), *value = trim(equals + 1);
	/* In the file a key has one spelling, so that searching finds it. */
	const struct jf_option *key = strchr(name, '-') ? NULL : jf_conf_find(name);
	if (!key)
		return jf_error_set(err, JF_EFORMAT, "unknown key '%.60s'", name);
	int *before = &seen[key - jf_conf_keys];
	if (*before)
		return jf_error_set(err, JF_EFORMAT, "%s: set already on line %d", key->name, *before);
	*before = number;
	return jf_conf_assign(conf, key, value, err);
}

enum jf_err jf_conf_parse(struct jf_conf *conf, const char *name, const char *text, size_t size, struct jf_error *err) {
	enum jf_err rc = JF_OK;
	int seen[MAX_KEYS] = {0};
	if (memchr(text, '\0', size))
		return jf_error_set(err, JF_EFORMAT, "%s: a NUL byte: not a text file", name);
	char *copy = malloc(size + 1);
	if (!copy)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory", name);
	memcpy(copy, text, size);
	copy[size] = '\0';
	int number = 1;
	char *first =
	    copy + (strncmp(copy, "\xef\xbb\xbf", 3) == 0 ? 3 : 0); /* some editors begin with a byte order mark */
	for (char *line = first; line; number++) {
		char *end = strchr(line, '\n');
		if (end)
			*end = '\0';
		rc = parse_line(conf, line, number, seen, err);
		if (rc != JF_OK) {
			jf_error_prefix(err, "%s:%d", name, number);
			break;
		}
		line = end ? end + 1 : NULL;
	}
	free(copy);
	return rc;
}

static enum jf_err load_file(struct jf_conf *conf, const char *path, bool must_exist, struct jf_error *err) {
	unsigned char *bytes = NULL;
	size_t size = 0;
	if (!must_exist) {
		FILE *probe = fopen(path, "re");
		if (!probe && errno == ENOENT)
			return JF_OK;
		if (probe)
			fclose(probe);
	}
	enum jf_err rc = jf_file_read(&bytes, &size, path, MAX_FILE_BYTES, err);
	if (rc == JF_OK)
		rc = jf_conf_parse(conf, path, (const char *)bytes, size, err);
	free(bytes);
	return rc;
}

/* --- environment --- */

#define PREFIX "JOINTFLOWD_"

/* A key's name in the environment. */
static void variable_name(char *name, size_t size, const struct jf_option *key) {
	size_t at = (size_t)snprintf(name, size, PREFIX);
	for (const char *c = key->name; *c && at + 1 < size; c++)
		name[at++] = (char)toupper((unsigned char)*c);
	name[at] = '\0';
}

bool jf_conf_unknown_variable(const char *entry) {
	size_t length = strcspn(entry, "=");
	char name[80];
	if (strncmp(entry, PREFIX, strlen(PREFIX)) != 0)
		return false;
	for (int i = 0; i < jf_conf_n_keys; i++) {
		variable_name(name, sizeof(name), &jf_conf_keys[i]);
		if (strlen(name) == length && strncmp(entry, name, length) == 0)
			return false;
	}
	/* Source: Kubernetes, "Service", environment variables: NAME_SERVICE_HOST, NAME_SERVICE_PORT[_X],
	 * NAME_PORT=tcp://..., NAME_PORT_6767_TCP[_X]. */
	snprintf(name, sizeof(name), "%.*s", (int)length, entry);
	if (strstr(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT"))
		return false;
	const char *port = strstr(name, "_PORT");
	bool is_address = port && port[5] == '\0' && strstr(entry + length, "://");
	bool is_numbered = port && port[5] == '_' && isdigit((unsigned char)port[6]);
	return !is_address && !is_numbered;
}

/* Only names of the table are looked up: an orchestrator puts variables of its own under our prefix
 * (JOINTFLOWD_SERVICE_HOST), so an unknown one cannot be an error. */
static enum jf_err load_environment(struct jf_conf *conf, struct jf_error *err) {
	for (int i = 0; i < jf_conf_n_keys; i++) {
		char name[80];
		variable_name(name, sizeof(name), &jf_conf_keys[i]);
		const char *value = getenv(name);
		if (!value)
			continue;
		enum jf_err rc = jf_conf_assign(conf, &jf_conf_keys[i], value, err);
		if (rc != JF_OK) {
			jf_error_prefix(err, "environment variable %s", name);
			return rc;
		}
	}
	return JF_OK;
}

/* --- command line --- */

/* An unknown key. */
enum { ACTION_CONFIG = JF_OPTION_OWN, ACTION_PRINT, ACTION_CHECK, ACTION_HELP, ACTION_VERSION };

static const struct jf_option actions[] = {
    {.name = "config", .type = ACTION_CONFIG, .argument = "FILE"},
    {.name = "print-config", .type = ACTION_PRINT, .argument = "[FORM]"},
    {.name = "check-config", .type = ACTION_CHECK},
    {.name = "help", .type = ACTION_HELP},
    {.name = "version", .type = ACTION_VERSION},
};
#define N_ACTIONS ((int)(sizeof(actions) / sizeof(actions[0])))

static enum jf_err take_action(struct jf_conf_request *request, int action, const char *value, struct jf_error *err) {
	switch (action) {
	case ACTION_CONFIG:
		request->path = value;
		return JF_OK;
	case ACTION_CHECK:
		request->action = JF_CONF_CHECK;
		return JF_OK;
	case ACTION_HELP:
		request->action = JF_CONF_HELP;
		return JF_OK;
	case ACTION_VERSION:
		request->action = JF_CONF_VERSION;
		return JF_OK;
	default:
		break;
	}
	if (!value)
		request->action = JF_CONF_PRINT;
	else if (strcmp(value, "file") == 0)
		request->action = JF_CONF_PRINT_FILE;
	else if (strcmp(value, "man") == 0)
		request->action = JF_CONF_PRINT_MAN;
	else
		return jf_error_set(err, JF_EINVAL, "--print-config: file or man expected, got '%.40s'", value);
	return JF_OK;
}

/* Walks the command line; either argument may be NULL: actions go to request, values to conf. */
static enum jf_err walk_argv(
    struct jf_conf_request *request, struct jf_conf *conf, int argc, char *const *argv, struct jf_error *err) {
	struct jf_option_walk walk;
	enum jf_option_step step;
	enum jf_err rc;
	jf_option_walk_begin(&walk, argc, argv);
	jf_option_walk_add(&walk, actions, N_ACTIONS, 0);
	jf_option_walk_add(&walk, jf_conf_keys, jf_conf_n_keys, 0);
	while ((step = jf_option_walk_next(&walk)) != JF_OPTION_END) {
		if (step == JF_OPTION_UNKNOWN)
			return jf_error_set(err, JF_EINVAL,
			    "option '%.60s': unknown, ambiguous or without a value of its own", walk.text);
		if (step == JF_OPTION_BARE)
			return jf_error_set(err, JF_EINVAL, "option '%.60s' needs a value", walk.text);
		bool is_key = walk.option->type < JF_OPTION_OWN;
		rc = JF_OK;
		if (is_key && conf)
			rc = jf_conf_assign(conf, walk.option, walk.text, err);
		else if (!is_key && request)
			rc = take_action(request, walk.option->type, walk.text, err);
		if (rc != JF_OK && is_key)
			jf_error_prefix(err, "option --%s", walk.name);
		if (rc != JF_OK)
			return rc;
	}
	if (optind < argc)
		return jf_error_set(err, JF_EINVAL, "unexpected argument '%.60s'", argv[optind]);
	return JF_OK;
}

enum jf_err jf_conf_parse_argv(struct jf_conf_request *request, int argc, char *const *argv, struct jf_error *err) {
	*request = (struct jf_conf_request){.action = JF_CONF_RUN, .argc = argc, .argv = argv};
	return walk_argv(request, NULL, argc, argv, err);
}

/* --- all together --- */

enum jf_err jf_conf_load(struct jf_conf *conf, const struct jf_conf_request *request, struct jf_error *err) {
	enum jf_err rc = jf_conf_init(conf, err);
	if (rc != JF_OK)
		return rc;
	rc = load_file(
	    conf, request->path ? request->path : JF_SYSCONFDIR "/jointflowd.conf", request->path != NULL, err);
	if (rc == JF_OK)
		rc = load_environment(conf, err);
	if (rc == JF_OK && request->argc > 0)
		rc = walk_argv(NULL, conf, request->argc, request->argv, err);
	if (rc == JF_OK)
		rc = jf_conf_check(conf, err);
	if (rc != JF_OK)
		jf_conf_deinit(conf);
	return rc;
}

static bool differs(const struct jf_conf *a, const struct jf_conf *b, const struct jf_option *key) {
	char number[2][32];
	if (jf_conf_is_string(key))
		return strcmp(jf_conf_string(a, key), jf_conf_string(b, key)) != 0;
	jf_option_format(number[0], sizeof(number[0]), a, key);
	jf_option_format(number[1], sizeof(number[1]), b, key);
	return strcmp(number[0], number[1]) != 0;
}

static void exchange(struct jf_conf *a, struct jf_conf *b, const struct jf_option *key) {
	size_t size = jf_conf_is_string(key)        ? sizeof(char *)
		      : key->type == JF_OPTION_BOOL ? sizeof(bool)
						    : sizeof(int);
	char kept[sizeof(char *)];
	memcpy(kept, jf_conf_at(a, key), size);
	memcpy(jf_conf_at(a, key), jf_conf_at(b, key), size);
	memcpy(jf_conf_at(b, key), kept, size);
}

void jf_conf_apply(struct jf_conf *conf, struct jf_conf *fresh, char *ignored, size_t ignored_size) {
	size_t used = 0;
	ignored[0] = '\0';
	for (int i = 0; i < jf_conf_n_keys; i++) {
		const struct jf_option *key = &jf_conf_keys[i];
		if (!differs(conf, fresh, key))
			continue;
		if ((key->tag & JF_CONF_RELOAD) ||
		    ((key->tag & JF_CONF_RELOAD_SET) && *jf_conf_string(conf, key) && *jf_conf_string(fresh, key)))
			exchange(conf, fresh, key);
		else if (used < ignored_size)
			used +=
			    (size_t)snprintf(ignored + used, ignored_size - used, "%s%s", used ? ", " : "", key->name);
	}
}
