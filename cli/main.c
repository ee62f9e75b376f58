/* jointflow: every question, and what there is to know about a model, from a terminal. */
#include "config.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report.h"

static const struct command {
	const char *name;
	enum cli_command bit;
	int (*run)(const struct cli_args *args);
	const char *operands;
	const char *summary;
	const char *text; /* of --help */
} commands[] = {
    {"classify", CLI_CLASSIFY, cli_classify, " IMAGE...", "say which class each PNG picture shows",
	"Says which class each PNG picture shows (-: standard input), and how sure the model is."},
    {"generate", CLI_GENERATE, cli_generate, "", "draw images of a class, of all classes or of a mixture",
	"Draws images of a class, of a mixture of classes, or of every class in turn."},
    {"blend", CLI_BLEND, cli_blend, "", "draw what lies between two classes",
	"Draws a morph from one class to another, or the sheet of all pairs."},
    {"sample", CLI_SAMPLE, cli_sample, "", "draw images together with their labels",
	"Draws pairs of image and label from the joint distribution, and prints the labels."},
    {"edit", CLI_EDIT, cli_edit, " IMAGE", "draw a picture again: as another class, in variations, or in part",
	"Draws a picture again (-: standard input): as another class, in variations of its own, or only where a\n"
	"mask says. With --counterfactual: with the least change that makes the model see the class asked for."},
    {"eval", CLI_EVAL, cli_eval, "", "measure a model on test data, or by what it draws",
	"Measures accuracy, calibration and speed on test data, and how well drawn images match their label."},
    {"info", CLI_INFO, cli_info, "", "say what a model is, and what is computed when",
	"Says what a model is: sizes, classes, facts about its training. With --plan: which part of the network\n"
	"runs once, which at every step and which never, with multiply-adds and bytes."},
    {"export", CLI_EXPORT, cli_export, "", "write the model for other programs (ONNX)",
	"Writes the model as ONNX (operator set 17): posterior.onnx, P(label | image), and field.onnx, one evaluation\n"
	"of the whole network."},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_version(void) {
	printf("jointflow %s\n", PACKAGE_VERSION);
}

static void print_help(void) {
	printf("Usage: jointflow COMMAND [OPTION]...\n"
	       "One network for images and labels: classifies, draws and blends them.\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	printf("\n      --help     print this and exit\n      --version  print the version and exit\n\n"
	       "'jointflow COMMAND --help' tells the options of a command.\n"
	       "The model is --model FILE, else $JOINTFLOW_MODEL, else the one that ships.\n"
	       "Exit status: 0 done, 1 something failed, 2 the command line makes no sense.\n");
}

static void print_command_help(const struct command *command) {
	printf("Usage: jointflow %s [OPTION]...%s\n%s\n\n", command->name, command->operands, command->text);
	cli_options_help(stdout, command->bit);
}

static int run_command(const struct command *command, int argc, char **argv) {
	static char program[] = "jointflow";
	struct cli_args args;

	cli_usage_command(command->name);
	argv[0] = program; /* what getopt's messages begin with */
	if (!cli_options_parse(&args, argc, argv, command->bit))
		return CLI_EXIT_USAGE;
	if (args.help) {
		print_command_help(command);
		return CLI_EXIT_OK;
	}
	if (args.version) {
		print_version();
		return CLI_EXIT_OK;
	}
	cli_catch_signals();
	return command->run(&args);
}

static int run(int argc, char **argv) {
	if (argc < 2)
		return cli_usage("missing command");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help();
		return CLI_EXIT_OK;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		print_version();
		return CLI_EXIT_OK;
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(argv[1], commands[i].name))
			return run_command(&commands[i], argc - 1, argv + 1);
	}
	return cli_usage("no such command: '%s'", argv[1]);
}

int main(int argc, char **argv) {
	setlocale(LC_CTYPE, "");
	return cli_finish(run(argc, argv));
}
