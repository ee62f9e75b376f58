/* What the tool prints: errors as GNU tools word them, progress, and the end of the program. */
#ifndef JF_CLI_REPORT_H
#define JF_CLI_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/questions/tasks.h"

#define CLI_EXIT_OK 0
#define CLI_EXIT_FAILURE 1 /* something could not be done */
#define CLI_EXIT_USAGE 2   /* the command line is wrong */

/* "jointflow: MESSAGE" on stderr. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, then "Try 'jointflow COMMAND --help' for more information."; NULL: only that line. Returns
 * CLI_EXIT_USAGE. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_usage_command(const char *command); /* the COMMAND of that line, NULL: none */

/* A failure from here on is the command line's fault, though only the model could tell: cli_fail then ends like
 * cli_usage. */
void cli_blame_usage(void);

/* Reports a failure and returns the exit status for it; only the first of several interrupts is reported. */
int cli_fail(const struct jf_error *err);

/* From now on SIGINT and SIGTERM set the flag, a second one ends the program at once. */
void cli_catch_signals(void);
const atomic_bool *cli_cancel_flag(void);

/* Flushes stdout, says when that failed, and ends a caught signal as its default would. Returns the exit status. */
int cli_finish(int status);

/* A progress line on stderr, when that is a terminal and `quiet` is false: makes options->progress draw it. */
struct cli_progress {
	const char *what;
	double start_s, drawn_s;
	bool shown;
};
void cli_progress_begin(struct cli_progress *progress, struct jf_task_options *options, const char *what, bool quiet);
void cli_progress_end(struct cli_progress *progress); /* wipes the line */

#endif
