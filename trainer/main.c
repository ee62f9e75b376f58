/* jointflow-train: learns a joint model of images and labels. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels/blas.h"
#include "trainer/mpi.h"
#include "trainer/options.h"
#include "trainer/run.h"

enum { EXIT_USAGE = 2, EXIT_STOPPED = 3 };

static atomic_bool stop_asked;

static void on_stop(int signal_number) {
	(void)signal_number;
	atomic_store(&stop_asked, true);
}

/* A signal that is ignored from the start (nohup, a shell's background job) stays ignored. */
static void stop_on(int signal_number) {
	struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART | (int)SA_RESETHAND}, old;

	sigemptyset(&action.sa_mask);
	if (sigaction(signal_number, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(signal_number, &action, NULL);
}

static void set_signals(void) {
	stop_on(SIGINT); /* a second one ends the program at once */
	stop_on(SIGTERM);
	stop_on(SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write() */
}

/* The words of the command, quoted where a shell would need it. NULL when memory is short. */
static char *join(int argc, char **argv) {
	size_t size = 1, used = 0;
	char *line;

	for (int i = 0; i < argc; i++)
		size += strlen(argv[i]) + 3;
	line = malloc(size);
	if (!line)
		return NULL;
	line[0] = '\0';
	for (int i = 0; i < argc; i++) {
		const char *quote = !*argv[i] || strpbrk(argv[i], " \t\n\"'\\$&|;<>()*?[]#~`") ? "'" : "";

		used += (size_t)snprintf(line + used, size - used, "%s%s%s%s", i ? " " : "", quote, argv[i], quote);
	}
	return line;
}

int main(int argc, char **argv) {
	static const int status[] = {
	    [JF_RUN_FINISHED] = EXIT_SUCCESS, [JF_RUN_FAILED] = EXIT_FAILURE, [JF_RUN_STOPPED] = EXIT_STOPPED};
	struct jf_train_options options;
	struct jf_error err = {0};
	enum jf_options_outcome parsed;
	enum jf_run_outcome outcome;
	struct jf_mpi mpi;
	char report[256], *command_line;

	jf_blas_guard(argv, report, sizeof(report));
	jf_blas_set_threads_one();
	command_line = join(argc, argv);
	parsed = jf_options_parse(&options, argc, argv, &err);
	if (parsed == JF_OPTIONS_WRONG)
		fprintf(
		    stderr, "jointflow-train: %s\nTry 'jointflow-train --help' for more information.\n", err.message);
	if (parsed != JF_OPTIONS_RUN || !command_line) {
		free(command_line);
		return parsed == JF_OPTIONS_DONE    ? EXIT_SUCCESS
		       : parsed == JF_OPTIONS_WRONG ? EXIT_USAGE
						    : EXIT_FAILURE;
	}
	mpi = jf_mpi_init(&argc, &argv);
	set_signals();
	outcome = jf_run(&options, &mpi, &stop_asked, command_line, &err);
	if (outcome == JF_RUN_FAILED) {
		fprintf(stderr, "jointflow-train: %s\n", err.message);
		if (mpi.size > 1)
			jf_mpi_abort(EXIT_FAILURE);
	}
	jf_mpi_finish();
	jf_options_deinit(&options);
	free(command_line);
	return status[outcome];
}
