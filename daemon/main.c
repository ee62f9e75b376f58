/* jointflowd: starts everything, then waits for signals. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/kernels/kernels.h"
#include "daemon/api/api.h"
#include "daemon/service/conf.h"
#include "daemon/service/listen.h"
#include "daemon/service/log.h"
#include "daemon/service/metrics.h"
#include "daemon/service/service.h"
#include "daemon/setup.h"
#include "daemon/work/model_holder.h"
#include "daemon/work/scheduler.h"

#define IDLE_POLL_MS 10000 /* without a watchdog: how often the status line is refreshed */
#define DRAIN_POLL_MS 20
#define LAST_WORDS_MS 500
#define LARGE_BLOCK (256 << 10) /* bytes; blocks from here on go back to the system when they are freed */

struct daemon {
	struct jf_conf_request request;
	struct jf_conf conf;
	struct jf_listeners listeners;
	struct jf_metrics *metrics;
	struct jf_scheduler *scheduler;
	struct jf_model_holder *holder;
	struct jf_http *http;
	char refused[256]; /* why the last reload failed; "" when it did not */
};

/* --- start --- */

static void refresh_metrics(void *context) {
	struct daemon *d = context;
	jf_scheduler_publish(d->scheduler);
	for (int level = JF_LOG_ERROR; level <= JF_LOG_WARNING; level++)
		jf_metric_set(d->metrics, JF_METRIC_LOG_MESSAGES, (double)jf_log_count((enum jf_log_level)level),
		    JF_LABELS(jf_log_level_name((enum jf_log_level)level)));
	jf_metric_set(d->metrics, JF_METRIC_LOG_DROPPED, (double)jf_log_dropped(), NULL);
}

static void describe_model(struct daemon *d, char *status, size_t size) {
	struct jf_model *model = jf_model_holder_get(d->holder);
	char number[32];
	snprintf(status, size, "no model");
	if (!model)
		return;
	snprintf(status, size, "serving %s %.8s on %s%s%s", model->name, model->checksum, d->listeners.item[0].name,
	    *d->refused ? "; the last reload failed: " : "", d->refused);
	snprintf(number, sizeof(number), "%zu", model->graph->n_params_floats);
	jf_metric_clear(d->metrics, JF_METRIC_MODEL_INFO);
	jf_metric_set(d->metrics, JF_METRIC_MODEL_INFO, 1, JF_LABELS(model->name, model->checksum, number));
	jf_metric_set(d->metrics, JF_METRIC_MODEL_LOADED, (double)jf_model_holder_loaded_at(d->holder), NULL);
	jf_model_unref(model);
}

/* A counter of predictions for each label, at zero; see daemon/service/metrics.h. */
static void announce_labels(struct daemon *d) {
	struct jf_model *model = jf_model_holder_get(d->holder);
	char label[32];
	for (int k = 0; model && k < model->config.classes; k++) {
		snprintf(label, sizeof(label), "%d", k);
		jf_metric_add(d->metrics, JF_METRIC_PREDICTIONS, 0, JF_LABELS(label));
	}
	jf_model_unref(model);
}

/* The model is in force from here on; the workers have prepared for it. Cannot fail. */
static void use_model(struct daemon *d, struct jf_model *model) {
	char status[512];
	jf_model_holder_set(d->holder, model);
	jf_scheduler_commit(d->scheduler);
	malloc_trim(0); /* what the model before took goes back to the system */
	announce_labels(d);
	describe_model(d, status, sizeof(status));
	jf_log(JF_LOG_NOTICE, NULL, "model %s loaded, self-test passed, %d workers ready; %s", d->conf.model,
	    d->conf.workers, status);
}

/* Signals come as bytes through a pipe. Not a signalfd with everything blocked: a signal that a thread takes which has
 * not blocked it (one that a library or a preload starts before main) would end the process. */
static int signal_pipe[2] = {-1, -1};

static void on_signal(int signal) {
	int saved = errno;
	unsigned char number = (unsigned char)signal;
	if (write(signal_pipe[1], &number, 1) != 1) {
		/* the pipe is full of signals already */
	}
	errno = saved;
}

static enum jf_err catch_signals(struct jf_error *err) {
	static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigemptyset(&action.sa_mask);
	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return jf_error_set(err, JF_EIO, "cannot make a pipe: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigaction(numbers[i], &action, NULL) != 0)
			return jf_error_set(
			    err, JF_EINTERNAL, "cannot catch %s: %s", strsignal(numbers[i]), strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	return JF_OK;
}

static enum jf_err start_workers(struct daemon *d, struct jf_error *err) {
	d->metrics = jf_metrics_create();
	d->holder = jf_model_holder_create();
	if (!d->metrics || !d->holder)
		return jf_error_set(err, JF_ENOMEM, "out of memory");
	jf_metric_add(d->metrics, JF_METRIC_RELOADS, 0, JF_LABELS("success"));
	jf_metric_add(d->metrics, JF_METRIC_RELOADS, 0, JF_LABELS("failure"));
	jf_metric_set(d->metrics, JF_METRIC_BUILD_INFO, 1, JF_LABELS(PACKAGE_VERSION, __VERSION__, jf_kernels()->name));
	struct jf_scheduler_options options = {.workers = d->conf.workers,
	    .max_batch = d->conf.max_batch,
	    .capacity = d->conf.queue_capacity,
	    .max_queue_delay_us = d->conf.max_queue_delay_us,
	    .ageing_ms = d->conf.ageing_ms,
	    .metrics = d->metrics};
	d->scheduler = jf_scheduler_create(&options, err);
	if (!d->scheduler)
		return err->code;
	jf_metrics_set_hook(d->metrics, refresh_metrics, d);
	return JF_OK;
}

static enum jf_err start_http(struct daemon *d, bool ready, struct jf_error *err) {
	struct jf_http_parts parts = {.conf = &d->conf,
	    .scheduler = d->scheduler,
	    .holder = d->holder,
	    .metrics = d->metrics,
	    .listeners = &d->listeners,
	    .ready = ready};
	struct jf_secrets secrets;
	enum jf_err rc = jf_secrets_load(&secrets, &d->conf, err);
	if (rc != JF_OK)
		return rc;
	d->http = jf_http_start(&parts, &secrets, err);
	if (!d->http)
		return err->code;
	for (int i = 0; i < d->listeners.n; i++)
		jf_log(JF_LOG_NOTICE, NULL, "listening on %s%s", d->listeners.item[i].name,
		    d->listeners.item[i].passed ? " (passed by the service manager)" : "");
	return JF_OK;
}

static enum jf_err start_model(struct daemon *d, struct jf_error *err) {
	struct jf_model *model = NULL;
	enum jf_err rc = jf_setup_open_model(&model, &d->conf, err);
	if (rc == JF_OK)
		rc = jf_scheduler_prepare(d->scheduler, model, err);
	if (rc == JF_OK)
		use_model(d, model);
	jf_model_unref(model);
	return rc;
}

/* Our own sockets answer /livez and 503 while the model loads. Those of the service manager hold the requests that
 * start us: these wait a moment longer and are then answered. */
static enum jf_err start_serving(struct daemon *d, struct jf_error *err) {
	bool passed = d->listeners.item[0].passed;
	enum jf_err rc = start_workers(d, err);
	if (rc == JF_OK && passed)
		rc = start_model(d, err);
	if (rc == JF_OK)
		rc = start_http(d, passed, err);
	if (rc == JF_OK && !passed)
		rc = start_model(d, err);
	return rc;
}

static void tell_ready(struct daemon *d) {
	char status[512];
	describe_model(d, status, sizeof(status));
	if (jf_service_ready(status) != JF_OK)
		jf_log(JF_LOG_WARNING, NULL, "cannot tell the service manager that we are ready");
}

static enum jf_err start(struct daemon *d, struct jf_error *err) {
	jf_setup_workers(&d->conf);
	enum jf_err rc = catch_signals(err);
	if (rc == JF_OK)
		rc = jf_listen_open(&d->listeners, &d->conf, err);
	if (rc == JF_OK)
		rc = jf_setup_descriptors(&d->conf, d->listeners.n, err);
	if (rc == JF_OK)
		rc = start_serving(d, err);
	if (rc != JF_OK)
		return rc;
	for (int i = 0; i < d->listeners.n; i++)
		if (d->listeners.item[i].open && *d->conf.key_file && !*d->conf.tls_cert)
			jf_log(JF_LOG_WARNING, NULL,
			    "%s: keys travel unencrypted; set tls_cert and tls_key, or put TLS in front",
			    d->listeners.item[i].name);
	jf_metric_set(d->metrics, JF_METRIC_READY, 1, NULL);
	jf_http_set_ready(d->http, true);
	tell_ready(d);
	return JF_OK;
}

/* --- reload --- */

/* The listeners stay as they are, so a reload must not take the keys away from under an open one. */
static enum jf_err check_open(const struct daemon *d, const struct jf_conf *fresh, struct jf_error *err) {
	for (int i = 0; i < d->listeners.n; i++)
		if (d->listeners.item[i].open && !*fresh->key_file && !d->conf.allow_unauthenticated)
			return jf_error_set(err, JF_EINVAL,
			    "key_file: cannot be removed while listening on %s, which other machines can reach",
			    d->listeners.item[i].name);
	return JF_OK;
}

/* From here on nothing can fail: all of it is in force at once. */
static void use_setup(struct daemon *d, struct jf_setup *fresh) {
	char ignored[512];
	jf_setup_workers(&fresh->conf);
	jf_conf_apply(&d->conf, &fresh->conf, ignored, sizeof(ignored));
	jf_http_use_secrets(d->http, &fresh->secrets);
	jf_log_set_level(d->conf.log_level);
	jf_log_set_access(d->conf.access_log);
	use_model(d, fresh->model);
	jf_setup_warn_of_secrets(&d->conf);
	jf_setup_warn_of_copies(&d->conf);
	if (*ignored)
		jf_log(JF_LOG_WARNING, NULL, "these changes need a restart: %s", ignored);
}

static enum jf_err try_reload(struct daemon *d, struct jf_error *err) {
	struct jf_setup fresh;
	enum jf_err rc = jf_setup_open(&fresh, &d->request, err);
	if (rc != JF_OK)
		return rc;
	rc = check_open(d, &fresh.conf, err);
	if (rc == JF_OK)
		rc = jf_scheduler_prepare(d->scheduler, fresh.model, err);
	*d->refused = '\0';
	if (rc == JF_OK)
		use_setup(d, &fresh);
	jf_setup_deinit(&fresh);
	return rc;
}

static void reload(struct daemon *d) {
	struct jf_error error = {.code = JF_OK};
	jf_log(JF_LOG_NOTICE, NULL, "reloading");
	jf_service_reloading("reloading");
	enum jf_err rc = try_reload(d, &error);
	snprintf(d->refused, sizeof(d->refused), "%.250s", rc == JF_OK ? "" : error.message);
	if (rc != JF_OK)
		jf_log(JF_LOG_ERROR, NULL, "reload failed, the old settings stay in force: %s", error.message);
	else
		jf_log(JF_LOG_NOTICE, NULL, "reloaded");
	jf_metric_add(d->metrics, JF_METRIC_RELOADS, 1, JF_LABELS(rc == JF_OK ? "success" : "failure"));
	tell_ready(d);
	jf_service_reloaded(rc == JF_OK);
}

/* --- run and stop --- */

/* The next signal, waiting up to timeout_ms; 0: none came. */
static int next_signal(int timeout_ms) {
	unsigned char number = 0;
	struct pollfd fd = {.fd = signal_pipe[0], .events = POLLIN};
	if (poll(&fd, 1, timeout_ms) <= 0 || read(signal_pipe[0], &number, 1) != 1)
		return 0;
	return number;
}

/* Only progress of the workers and an HTTP side that responds feed the watchdog: a daemon that answers /livez and
 * computes nothing is restarted, and one that answers nobody. */
static void feed_watchdog(const struct daemon *d, int64_t *fed_ns, int interval_ms) {
	int64_t now = jf_clock_ns();
	if (interval_ms == 0 || now - *fed_ns < (int64_t)interval_ms * 1000000)
		return;
	*fed_ns = now;
	bool working = jf_scheduler_alive(d->scheduler, d->conf.watchdog_stall_ms);
	if (working && jf_http_alive(d->http, d->conf.watchdog_stall_ms))
		jf_service_watchdog();
	else
		jf_log(JF_LOG_ERROR, NULL, "%s has made no progress for %d ms: no watchdog messages are sent",
		    working ? "a thread that serves HTTP" : "a worker or the timer of deadlines",
		    d->conf.watchdog_stall_ms);
}

static void tell_status(struct daemon *d) {
	struct jf_scheduler_stats stats;
	char status[512];
	describe_model(d, status, sizeof(status));
	jf_scheduler_stats(d->scheduler, &stats);
	jf_service_status("%s; %d of %d workers busy, %d jobs outstanding", status, stats.workers_busy, stats.workers,
	    stats.jobs_outstanding);
}

static void run(struct daemon *d) {
	int watchdog_ms = jf_service_watchdog_interval_ms();
	int64_t fed_ns = 0, told_ns = jf_clock_ns();
	for (;;) {
		int signal = next_signal(watchdog_ms && watchdog_ms < IDLE_POLL_MS ? watchdog_ms : IDLE_POLL_MS);
		if (signal == SIGTERM || signal == SIGINT) {
			jf_log(JF_LOG_NOTICE, NULL, "%s: finishing admitted requests", strsignal(signal));
			return;
		}
		if (signal == SIGHUP)
			reload(d);
		feed_watchdog(d, &fed_ns, watchdog_ms);
		if (jf_clock_ns() - told_ns >= IDLE_POLL_MS * INT64_C(1000000)) {
			told_ns = jf_clock_ns();
			tell_status(d);
		}
	}
}

/* Waits until everything admitted is answered, the limit has passed (false), or a second signal quits at once. */
static bool drain(struct daemon *d) {
	int watchdog_ms = jf_service_watchdog_interval_ms();
	int64_t fed_ns = 0, until = jf_clock_ns() + (int64_t)d->conf.drain_timeout_ms * 1000000;
	jf_http_drain(d->http);
	jf_scheduler_drain(d->scheduler);
	jf_metric_set(d->metrics, JF_METRIC_READY, 0, NULL);
	jf_service_stopping("finishing admitted requests");
	for (bool closed = false;;) {
		struct jf_scheduler_stats stats;
		jf_scheduler_stats(d->scheduler, &stats);
		if (stats.jobs_outstanding == 0 && !closed) {
			jf_http_close(d->http);
			jf_listen_close(&d->listeners, &d->conf);
			closed = true;
		}
		if (stats.jobs_outstanding == 0 && !jf_http_busy(d->http))
			return true;
		if (jf_clock_ns() >= until)
			return false;
		int signal = next_signal(DRAIN_POLL_MS);
		if (signal == SIGTERM || signal == SIGINT) {
			jf_log(JF_LOG_WARNING, NULL, "second signal: quitting at once, %d jobs unfinished",
			    stats.jobs_outstanding);
			_exit(EX_UNAVAILABLE);
		}
		feed_watchdog(d, &fed_ns, watchdog_ms);
	}
}

static void stop(struct daemon *d) {
	if (d->metrics)
		jf_metrics_set_hook(d->metrics, NULL, NULL);
	if (d->scheduler)
		jf_scheduler_stop(d->scheduler);
	jf_http_stop(d->http);
	jf_scheduler_destroy(d->scheduler);
	jf_model_holder_destroy(d->holder);
	jf_metrics_destroy(d->metrics);
	jf_listen_close(&d->listeners, &d->conf);
	jf_conf_deinit(&d->conf);
}

/* Then glibc must not reserve 64 MB of it for the small blocks of each thread (an arena): in 150 MB the second one
 * leaves too little to encode a picture, and whether a second one is made depends on which threads allocate at the same
 * time. */
static bool address_space_is_limited(void) {
	struct rlimit limit;
	return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

static int serve(struct daemon *d) {
	struct jf_error error = {.code = JF_OK};
	/* Fixed, because glibc raises them with the largest block that was ever freed: then old samplers, and what the
	 * largest picture took, stay in the heap. */
	mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BLOCK);
	if (address_space_is_limited())
		mallopt(M_ARENA_MAX, 1);
	jf_log_init(d->conf.log_level, d->conf.log_format);
	jf_log_set_access(d->conf.access_log);
	jf_log(JF_LOG_NOTICE, NULL, "jointflowd " PACKAGE_VERSION " starts, kernels %s", jf_kernels()->name);
	jf_setup_warn_of_variables();
	jf_setup_warn_of_secrets(&d->conf);
	if (start(d, &error) != JF_OK) {
		jf_log(JF_LOG_ERROR, NULL, "cannot start: %s", error.message);
		jf_service_status("cannot start: %.400s", error.message);
		stop(d);
		jf_service_flush(LAST_WORDS_MS);
		return error.code == JF_EINVAL ? EX_CONFIG : EXIT_FAILURE;
	}
	run(d);
	if (!drain(d))
		jf_log(JF_LOG_WARNING, NULL, "drain_timeout_ms has passed: cancelling unfinished requests");
	stop(d);
	jf_log(JF_LOG_NOTICE, NULL, "stopped");
	jf_service_flush(LAST_WORDS_MS);
	return EXIT_SUCCESS;
}

static int check(const struct daemon *d) {
	struct jf_error error = {.code = JF_OK};
	struct jf_setup setup;
	jf_setup_warn_of_variables();
	if (jf_setup_open(&setup, &d->request, &error) != JF_OK) {
		jf_setup_complain(&error, "");
		return EX_CONFIG;
	}
	jf_setup_warn_of_secrets(&setup.conf);
	bool good = jf_setup_check_start(&setup.conf, &error) == JF_OK;
	jf_setup_deinit(&setup);
	if (!good)
		jf_setup_complain(&error, "");
	else
		puts("jointflowd: the configuration is valid");
	return good ? EXIT_SUCCESS : EX_CONFIG;
}

static int act(struct daemon *d) {
	struct jf_error error = {.code = JF_OK};
	switch (d->request.action) {
	case JF_CONF_PRINT_FILE:
		jf_conf_print_file(stdout);
		return EXIT_SUCCESS;
	case JF_CONF_PRINT_MAN:
		jf_conf_print_man(stdout);
		return EXIT_SUCCESS;
	case JF_CONF_HELP:
		jf_conf_print_help(stdout);
		return EXIT_SUCCESS;
	case JF_CONF_VERSION:
		puts("jointflowd " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	case JF_CONF_RUN:
	case JF_CONF_PRINT:
	case JF_CONF_CHECK:
		break;
	}
	if (d->request.action == JF_CONF_CHECK)
		return check(d);
	if (jf_setup_load(&d->conf, &d->request, &error) != JF_OK) {
		jf_setup_complain(&error, "");
		return EX_CONFIG;
	}
	if (d->request.action == JF_CONF_RUN)
		return serve(d);
	jf_conf_print(&d->conf, stdout);
	jf_conf_deinit(&d->conf);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
	struct daemon daemon = {.request.argc = 0};
	struct jf_error error = {.code = JF_OK};
	if (jf_conf_parse_argv(&daemon.request, argc, argv, &error) != JF_OK) {
		jf_setup_complain(&error, " (--help lists the options)");
		return EX_USAGE;
	}
	int status = act(&daemon);
	return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}
