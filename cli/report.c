#include "cli/report.h"
#include "core/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *command_name;
static bool usage_to_blame;
static atomic_bool cancelled;
static volatile sig_atomic_t caught_signal;

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args) {
	fflush(stdout);
	fputs("jointflow: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void cli_error(const char *format, ...) {
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void cli_usage_command(const char *command) {
	command_name = command;
}

int cli_usage(const char *format, ...) {
	va_list args;

	if (format) {
		va_start(args, format);
		say(format, args);
		va_end(args);
	}
	fprintf(stderr, "Try 'jointflow %s%s--help' for more information.\n", command_name ? command_name : "",
	    command_name ? " " : "");
	return CLI_EXIT_USAGE;
}

void cli_blame_usage(void) {
	usage_to_blame = true;
}

int cli_fail(const struct jf_error *err) {
	if (usage_to_blame)
		return cli_usage("%s", err->message);
	if (err->code == JF_ECANCELED)
		cli_error("interrupted");
	else
		cli_error("%s", err->message[0] ? err->message : jf_err_phrase(err->code));
	return CLI_EXIT_FAILURE;
}

static void on_signal(int number) {
	caught_signal = number;
	atomic_store(&cancelled, true);
}

void cli_catch_signals(void) {
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

const atomic_bool *cli_cancel_flag(void) {
	return &cancelled;
}

int cli_finish(int status) {
	bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fflush(stdout) || failed || (close(STDOUT_FILENO) && errno != EBADF)) {
		/* a reader that has gone away (head) is nobody's fault */
		if (errno != EPIPE)
			cli_error("write error%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
		status = status ? status : CLI_EXIT_FAILURE;
	}
	if (caught_signal && status) {
		signal(caught_signal, SIG_DFL);
		raise(caught_signal);
	}
	return status;
}

static void draw(void *context, int done, int total) {
	struct cli_progress *progress = context;
	double now = jf_clock_s();
	double spent = now - progress->start_s;
	double left = done ? spent / done * (total - done) : 0.0;

	if (done != total && now - progress->drawn_s < 0.1)
		return;
	progress->drawn_s = now;
	progress->shown = true;
	fprintf(stderr, "\r%s: %d of %d, %.0f a second, %.0f:%02.0f left\033[K", progress->what, done, total,
	    spent > 0 ? done / spent : 0.0, (double)((long)left / 60), (double)((long)left % 60));
	fflush(stderr);
}

void cli_progress_begin(struct cli_progress *progress, struct jf_task_options *options, const char *what, bool quiet) {
	*progress = (struct cli_progress){.what = what, .start_s = jf_clock_s()};
	options->progress = NULL;
	options->progress_context = progress;
	if (!quiet && isatty(STDERR_FILENO))
		options->progress = draw;
}

void cli_progress_end(struct cli_progress *progress) {
	if (progress->shown) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
}
