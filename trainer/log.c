#include "trainer/log.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"

#define JSON_EVERY 50 /* steps */
#define LINE_EVERY_S 30.0
#define BAR_EVERY_S 0.2
#define SMOOTHING 0.98

struct jf_log {
	struct jf_log_options options;
	FILE *file;
	bool file_failed; /* said once */
	bool terminal;
	bool bar_shown;
	struct jf_json_writer json;
	double image, label;         /* smoothed losses */
	double sum_image, sum_label; /* since the last JSON line */
	int summed;
	double started, idle, paused_at; /* seconds */
	double last_shown;
	uint64_t done; /* steps of this session */
};

struct jf_log *jf_log_open(const struct jf_log_options *options, struct jf_error *err) {
	struct jf_log *log = calloc(1, sizeof(*log));

	if (!log) {
		jf_error_set(err, JF_ENOMEM, "out of memory for the log");
		return NULL;
	}
	log->options = *options;
	jf_json_writer_init(&log->json);
	if (options->file && !(log->file = fopen(options->file, "ae"))) {
		jf_error_set(err, JF_EIO, "%s: %s", options->file, strerror(errno));
		jf_log_close(log);
		return NULL;
	}
	log->terminal = isatty(STDERR_FILENO) && !options->quiet;
	log->started = log->last_shown = jf_clock_s();
	return log;
}

static void clear_bar(struct jf_log *log) {
	if (log->bar_shown)
		fprintf(stderr, "\r\033[K");
	log->bar_shown = false;
}

void jf_log_close(struct jf_log *log) {
	if (!log)
		return;
	clear_bar(log);
	if (log->file)
		fclose(log->file);
	jf_json_writer_deinit(&log->json);
	free(log);
}

void jf_log_pause(struct jf_log *log) {
	log->paused_at = jf_clock_s();
}

void jf_log_continue(struct jf_log *log) {
	log->idle += jf_clock_s() - log->paused_at;
}

/* Images of all processes per second since the session began, evaluations left out. */
static double speed_of(const struct jf_log *log) {
	double spent = jf_clock_s() - log->started - log->idle;

	return spent > 0 ? (double)log->done * log->options.batch / spent : 0;
}

static void format_time(char *text, size_t size, double seconds) {
	long s = seconds < 0 || seconds > 1e8 ? 0 : lround(seconds);

	if (s >= 3600)
		snprintf(text, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(text, size, "%ld:%02ld", s / 60, s % 60);
}

/* "epoch 3.4/12  image 0.1834  label 0.0312  1021 img/s  ETA 41:20" */
static void format_status(char *text, size_t size, struct jf_log *log, const struct jf_log_step *step) {
	double speed = speed_of(log);
	char eta[32] = "-";

	if (speed > 0)
		format_time(eta, sizeof(eta), (double)(log->options.end - step->step) * log->options.batch / speed);
	snprintf(text, size, "epoch %.2f/%.4g  image %.4f  label %.4f  %.0f img/s  ETA %s",
	    (double)step->step / log->options.steps_per_epoch, (double)log->options.end / log->options.steps_per_epoch,
	    log->image, log->label, speed, eta);
}

static void draw_bar(struct jf_log *log, const struct jf_log_step *step) {
	char status[160], bar[64];
	struct winsize window = {0};
	int width = 80, room, filled;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
		width = window.ws_col;
	format_status(status, sizeof(status), log, step);
	room = width - (int)strlen(status) - 6;
	room = room > 40 ? 40 : room;
	if (room >= 4) {
		filled = (int)((double)room * (double)step->step / (double)log->options.end);
		for (int i = 0; i < room; i++)
			bar[i] = i < filled ? '=' : i == filled ? '>' : ' ';
		bar[room] = '\0';
		fprintf(stderr, "\r\033[K[%s] %s", bar, status);
	} else {
		fprintf(stderr, "\r\033[K%.*s", width - 1, status);
	}
	fflush(stderr);
	log->bar_shown = true;
}

static void show(struct jf_log *log, const struct jf_log_step *step) {
	double now = jf_clock_s();
	double epoch = floor((double)step->step / log->options.steps_per_epoch);
	bool turned = epoch > floor((double)(step->step - 1) / log->options.steps_per_epoch);
	char status[160];

	if (log->options.quiet)
		return;
	if (log->terminal) {
		if (now - log->last_shown < BAR_EVERY_S && step->step < log->options.end)
			return;
		draw_bar(log, step);
	} else {
		/* very short epochs give no line each */
		if (now - log->last_shown < (turned ? 1 : LINE_EVERY_S) && step->step < log->options.end)
			return;
		format_status(status, sizeof(status), log, step);
		fprintf(stderr, "%s\n", status);
	}
	log->last_shown = now;
}

void jf_log_step(struct jf_log *log, const struct jf_log_step *step) {
	double keep = log->done == 0 ? 0 : SMOOTHING;

	log->done++;
	log->image = keep * log->image + (1 - keep) * step->loss_image;
	log->label = keep * log->label + (1 - keep) * step->loss_label;
	log->sum_image += step->loss_image;
	log->sum_label += step->loss_label;
	log->summed++;
	if (step->step % JSON_EVERY == 0 || step->step == log->options.end) {
		struct jf_json_writer *w = jf_log_json_begin(log, "step");

		jf_json_put_unsigned(w, "step", step->step);
		jf_json_put_double(w, "epoch", (double)step->step / log->options.steps_per_epoch);
		jf_json_put_float(w, "loss_image", (float)(log->sum_image / log->summed));
		jf_json_put_float(w, "loss_label", (float)(log->sum_label / log->summed));
		jf_json_put_float(w, "gradient_norm", (float)step->gradient_norm);
		jf_json_put_float(w, "learning_rate", (float)step->rate);
		jf_json_put_float(w, "images_per_s", (float)speed_of(log));
		jf_log_json_end(log);
		log->sum_image = log->sum_label = 0;
		log->summed = 0;
	}
	show(log, step);
}

void jf_log_say(struct jf_log *log, bool always, const char *format, ...) {
	va_list args;

	if (log->options.quiet && !always)
		return;
	clear_bar(log);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

struct jf_json_writer *jf_log_json_begin(struct jf_log *log, const char *event) {
	jf_json_writer_reset(&log->json);
	jf_json_begin_object(&log->json, NULL);
	jf_json_put_string(&log->json, "event", event);
	return &log->json;
}

struct jf_json_writer *jf_log_json(struct jf_log *log) {
	return &log->json;
}

void jf_log_json_end(struct jf_log *log) {
	const char *text;

	jf_json_put_integer(&log->json, "time", (int64_t)time(NULL));
	jf_json_end_object(&log->json);
	text = jf_json_writer_text(&log->json);
	if (!log->file || log->file_failed || !text)
		return;
	if (fprintf(log->file, "%s\n", text) < 0 || fflush(log->file) != 0) {
		log->file_failed = true; /* a log that cannot be written stops no training */
		jf_log_say(log, true, "jointflow-train: %s: %s; the log ends here", log->options.file, strerror(errno));
	}
}

void jf_log_warn(struct jf_log *log, const char *format, ...) {
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	jf_log_say(log, true, "jointflow-train: warning: %s", text);
	jf_json_put_string(jf_log_json_begin(log, "warning"), "message", text);
	jf_log_json_end(log);
}
