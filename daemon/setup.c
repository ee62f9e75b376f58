#include "config.h"

#include "daemon/setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/kernels/kernels.h"
#include "daemon/service/listen.h"
#include "daemon/service/log.h"
#include "daemon/service/process.h"
#include "daemon/service/service.h"

/* Descriptors that are no connections: standard streams, listeners, each network thread's epoll set, event and the pair
 * by which it is asked whether it is alive, files that are being read, refused uploads that linger. */
#define OTHER_DESCRIPTORS 64
#define DESCRIPTORS_A_THREAD 4
#define THREADS_OF 2 /* http_threads plain, and as many for TLS */
#define FEWEST_CONNECTIONS 8

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- paths --- */

static bool is_file(const char *path) {
	struct stat status;
	return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static enum jf_err resolve_model(struct jf_conf *conf, struct jf_error *err) {
	char path[4096], name[4096];
	if (strchr(conf->model, '/'))
		return JF_OK;
	snprintf(path, sizeof(path), "./%s", conf->model);
	snprintf(name, sizeof(name), "models/%s", conf->model);
	if (!is_file(path) && !jf_file_in_tree(path, sizeof(path), name))
		snprintf(path, sizeof(path), "%s/%.2048s", JF_PKGDATADIR, name);
	return jf_conf_set(conf, "model", path, err);
}

static enum jf_err resolve_paths(struct jf_conf *conf, struct jf_error *err) {
	const struct {
		const char *key, *value;
	} secrets[] = {{"key_file", conf->key_file}, {"tls_cert", conf->tls_cert}, {"tls_key", conf->tls_key}};
	char path[4096];
	enum jf_err rc = resolve_model(conf, err);
	for (size_t i = 0; i < COUNT(secrets) && rc == JF_OK; i++)
		if (*secrets[i].value && jf_service_credential(path, sizeof(path), secrets[i].value))
			rc = jf_conf_set(conf, secrets[i].key, path, err);
	return rc;
}

enum jf_err jf_setup_load(struct jf_conf *conf, const struct jf_conf_request *request, struct jf_error *err) {
	enum jf_err rc = jf_conf_load(conf, request, err);
	if (rc != JF_OK)
		return rc;
	rc = resolve_paths(conf, err);
	if (rc != JF_OK)
		jf_conf_deinit(conf);
	return rc;
}

/* --- check --- */

/* A name without a slash may lead to three places, and an error names the last of them. */
static enum jf_err tell_first_place(const struct jf_conf *conf, struct jf_error *err) {
	const char installed[] = JF_PKGDATADIR "/models/", *name = conf->model + sizeof(installed) - 1;
	char folder[4096], message[JF_ERROR_SIZE];
	if (strncmp(conf->model, installed, sizeof(installed) - 1) != 0 || strchr(name, '/') || is_file(conf->model) ||
	    is_file(name) || !getcwd(folder, sizeof(folder)))
		return err->code;
	memcpy(message, err->message, sizeof(message));
	return jf_error_set(
	    err, err->code, "%.300s; nor is there a file %.60s in the current folder, %.120s", message, name, folder);
}

static enum jf_err check_readable(const struct jf_conf *conf, struct jf_error *err) {
	const struct {
		const char *key, *path;
	} files[] = {{"model", conf->model}, {"key_file", conf->key_file}, {"tls_cert", conf->tls_cert},
	    {"tls_key", conf->tls_key}, {"web_root", conf->web_root}};
	for (size_t i = 0; i < COUNT(files); i++)
		if (*files[i].path && access(files[i].path, R_OK) != 0) {
			jf_error_set(
			    err, JF_EIO, "%s: cannot read %.400s: %s", files[i].key, files[i].path, strerror(errno));
			return i == 0 ? tell_first_place(conf, err) : JF_EIO;
		}
	return JF_OK;
}

enum jf_err jf_setup_open_model(struct jf_model **out, const struct jf_conf *conf, struct jf_error *err) {
	enum jf_err rc = jf_model_open(out, conf->model, err);
	if (rc != JF_OK) {
		jf_error_prefix(err, "model");
		tell_first_place(conf, err);
	}
	return rc;
}

/* systemd 252 hides credentials from the check that ExecReload makes (which has MAINPID), so their names have led
 * nowhere. There is nothing to check: they are the copies that the daemon has started with. */
static enum jf_err skip_hidden(struct jf_conf *conf, struct jf_error *err) {
	enum jf_err rc = JF_OK;
	if (!getenv("MAINPID"))
		return JF_OK;
	if (*conf->key_file && !strchr(conf->key_file, '/'))
		rc = jf_conf_set(conf, "key_file", "", err);
	if (rc == JF_OK && *conf->tls_cert && (!strchr(conf->tls_cert, '/') || !strchr(conf->tls_key, '/'))) {
		rc = jf_conf_set(conf, "tls_cert", "", err);
		if (rc == JF_OK)
			rc = jf_conf_set(conf, "tls_key", "", err);
	}
	return rc;
}

enum jf_err jf_setup_open(struct jf_setup *setup, const struct jf_conf_request *request, struct jf_error *err) {
	*setup = (struct jf_setup){.model = NULL};
	enum jf_err rc = jf_setup_load(&setup->conf, request, err);
	if (rc != JF_OK)
		return rc;
	if (request->action == JF_CONF_CHECK)
		rc = skip_hidden(&setup->conf, err);
	if (rc == JF_OK)
		rc = check_readable(&setup->conf, err);
	if (rc == JF_OK)
		rc = jf_secrets_load(&setup->secrets, &setup->conf, err);
	if (rc == JF_OK)
		rc = jf_setup_open_model(&setup->model, &setup->conf, err);
	if (rc != JF_OK)
		jf_setup_deinit(setup);
	return rc;
}

void jf_setup_deinit(struct jf_setup *setup) {
	jf_model_unref(setup->model);
	jf_secrets_deinit(&setup->secrets);
	jf_conf_deinit(&setup->conf);
}

/* --- what this process may use --- */

void jf_setup_workers(struct jf_conf *conf) {
	if (conf->workers == 0)
		conf->workers = jf_process_cpus("");
}

enum jf_err jf_setup_descriptors(struct jf_conf *conf, int n_listeners, struct jf_error *err) {
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return JF_OK;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	if (limit.rlim_cur > 1 << 30)
		return JF_OK;
	long others = OTHER_DESCRIPTORS + n_listeners + (long)conf->http_threads * THREADS_OF * DESCRIPTORS_A_THREAD;
	long room = (long)limit.rlim_cur - others;
	if (room >= conf->max_connections)
		return JF_OK;
	if (room < FEWEST_CONNECTIONS)
		return jf_error_set(err, JF_ELIMIT,
		    "only %ld descriptors may be open and %ld are needed for anything but connections; raise the limit "
		    "(ulimit -n, LimitNOFILE)",
		    (long)limit.rlim_cur, others);
	jf_log(JF_LOG_WARNING, NULL,
	    "max_connections = %d would need %ld descriptors and only %ld may be open (ulimit -n, LimitNOFILE): at "
	    "most %ld connections are taken",
	    conf->max_connections, others + (long)conf->max_connections, (long)limit.rlim_cur, room);
	conf->max_connections = (int)room;
	if (conf->max_connections_per_client > conf->max_connections)
		conf->max_connections_per_client = conf->max_connections;
	return JF_OK;
}

enum jf_err jf_setup_check_start(struct jf_conf *conf, struct jf_error *err) {
	const char *list = conf->listen_address;
	char item[64];
	int n_listeners = *conf->listen_path != '\0';
	while (jf_conf_list_next(&list, item, sizeof(item)))
		n_listeners++;
	enum jf_err rc = jf_setup_descriptors(conf, n_listeners, err);
	return rc == JF_OK ? jf_listen_check(conf, err) : rc;
}

/* --- complaints --- */

void jf_setup_complain(const struct jf_error *error, const char *hint) {
	if (jf_log_to_journal())
		jf_log(JF_LOG_ERROR, NULL, "%s%s", error->message, hint);
	else
		fprintf(stderr, "jointflowd: %s%s\n", error->message, hint);
}

void jf_setup_warn_of_variables(void) {
	extern char **environ;
	char text[128];
	for (char **entry = environ; entry && *entry; entry++)
		if (jf_conf_unknown_variable(*entry))
			jf_log(JF_LOG_WARNING, NULL,
			    "environment variable %.*s: there is no such key, so it has no effect",
			    (int)strcspn(*entry, "="), *entry);
	if (jf_kernels_complaint(text, sizeof(text)))
		jf_log(JF_LOG_WARNING, NULL, "environment variable %s", text);
}

void jf_setup_warn_of_secrets(const struct jf_conf *conf) {
	const struct {
		const char *key, *path;
		mode_t bad; /* bits that it must not have */
	} files[] = {{"key_file", conf->key_file, S_IROTH | S_IWOTH}, {"tls_key", conf->tls_key, S_IROTH | S_IWOTH},
	    {"tls_cert", conf->tls_cert, S_IWOTH}};
	struct stat status;
	for (size_t i = 0; i < COUNT(files); i++)
		if (*files[i].path && stat(files[i].path, &status) == 0 && S_ISREG(status.st_mode) &&
		    status.st_mode & files[i].bad)
			jf_log(JF_LOG_WARNING, NULL,
			    "%s: every user of this machine can %s %.400s (mode %04o); run: chmod o-%s %.400s",
			    files[i].key, status.st_mode & S_IWOTH ? "change" : "read", files[i].path,
			    (unsigned)status.st_mode & 07777, files[i].bad & S_IROTH ? "rw" : "w", files[i].path);
}

void jf_setup_warn_of_copies(const struct jf_conf *conf) {
	const struct {
		const char *key, *path, *meaning;
	} files[] = {{"key_file", conf->key_file, "a key revoked since then is still accepted"},
	    {"tls_cert", conf->tls_cert, "a certificate renewed since then is not in use"}};
	for (size_t i = 0; i < COUNT(files); i++)
		if (jf_service_is_credential(files[i].path))
			jf_log(JF_LOG_WARNING, NULL,
			    "%s: %.400s is a copy made when the service started, so %s; restart the service now, and "
			    "see \"Secrets\" in jointflowd(8) for files that a reload reads",
			    files[i].key, files[i].path, files[i].meaning);
}
