/* jointflow: asks a model every question it can answer, and describes it, from a terminal. */
#include "config.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "core/kernels/kernels.h"

static const struct command {
	const char *name;
	enum cli_command bit;
	int (*run)(const struct cli_args *args);
	const char *operands;
	const char *summary;
	const char *text; /* of --help */
} commands[] = {
    {"classify", CLI_CLASSIFY, cli_classify, " IMAGE...", "say which class each picture shows",
	"Says which class each picture (PNG or JPEG) shows, and how sure the model is. - reads standard input."},
    {"generate", CLI_GENERATE, cli_generate, "", "draw images of a class, of all classes or of a mixture",
	"Draws images of a class, of a mixture of classes, or of every class in turn."},
    {"blend", CLI_BLEND, cli_blend, "", "draw what lies between two classes",
	"Draws a morph from one class to another, or the sheet of all pairs."},
    {"sample", CLI_SAMPLE, cli_sample, "", "draw images together with their labels",
	"Draws pairs of image and label from the joint distribution, and prints the labels."},
    {"edit", CLI_EDIT, cli_edit, " IMAGE", "redraw a picture as another class, in variations, or in part",
	"Redraws a picture: as another class, as variations of itself, or only where a mask allows. - reads\n"
	"standard input. --counterfactual makes the smallest change after which the model sees the class asked for."},
    {"score", CLI_SCORE, cli_score, " IMAGE...", "say how likely each picture is, and under which class",
	"Says how likely each picture is, as bits per dimension and ln P(image), and what Bayes' rule makes of its\n"
	"likelihood under every class. - reads standard input. Slow: one evaluation for each class and draw."},
    {"eval", CLI_EVAL, cli_eval, "", "measure a model on test data, or by what it draws",
	"Measures accuracy, calibration and speed on test data, and how well drawn images match their label."},
    {"info", CLI_INFO, cli_info, "", "describe a model, and what it computes when",
	"Describes a model: sizes, classes, facts about its training. --plan shows which parts of the network run\n"
	"once, which at every step and which never, with their multiply-adds and bytes."},
    {"calibrate", CLI_CALIBRATE, cli_calibrate, "", "teach a model what its training data look like",
	"Writes a copy of the model that says with every classification how familiar the picture is: the share of\n"
	"the training set's held-out images that are at most this typical. Its joint samples show each class as\n"
	"often as the training set. The weights stay as they are.\n"
	"jointflow-train does it at the end of a training."},
    {"export", CLI_EXPORT, cli_export, "", "write the model for other programs (ONNX)",
	"Writes the model as ONNX (operator set 17): posterior.onnx, P(label | image), and field.onnx, one evaluation\n"
	"of the whole network."},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name) {
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name) {
	return cli_usage("unknown command '%s'", name);
}

static void print_version(void) {
	printf("jointflow %s\n", PACKAGE_VERSION);
}

static void print_help(void) {
	printf("Usage: jointflow COMMAND [OPTION]...\n"
	       "One network for images and labels: it classifies, draws, blends and edits.\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	printf("\n      --help     print this and exit\n      --version  print the version and exit\n\n"
	       "'jointflow COMMAND --help' or 'jointflow help COMMAND' lists the options of a command.\n"
	       "The model is the one given by --model, else by $JOINTFLOW_MODEL, else the one that ships.\n"
	       "Exit status: 0 done, 1 something failed, 2 the command line is wrong.\n");
}

static void print_command_help(const struct command *command) {
	printf("Usage: jointflow %s [OPTION]...%s\n%s\n\n", command->name, command->operands, command->text);
	cli_options_help(stdout, command->bit);
}

static int run_command(const struct command *command, int argc, char **argv) {
	static char program[] = "jointflow";
	struct cli_args args;
	char text[128];

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
	if (jf_kernels_complaint(text, sizeof(text)))
		cli_error("warning: %s", text);
	cli_catch_signals();
	return command->run(&args);
}

/* Of the command that is named, or of all. */
static int run_help(int argc, char **argv) {
	const struct command *command = argc > 2 ? find_command(argv[2]) : NULL;

	if (argc > 2 && !command)
		return unknown_command(argv[2]);
	if (command)
		print_command_help(command);
	else
		print_help();
	return CLI_EXIT_OK;
}

static int run(int argc, char **argv) {
	const struct command *command;

	if (argc < 2)
		return cli_usage("missing command");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return run_help(argc, argv);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		print_version();
		return CLI_EXIT_OK;
	}
	if (argv[1][0] == '-')
		return cli_usage("unknown option '%s'; options go after the command", argv[1]);
	command = find_command(argv[1]);
	return command ? run_command(command, argc - 1, argv + 1) : unknown_command(argv[1]);
}

int main(int argc, char **argv) {
	setlocale(LC_CTYPE, "");
	return cli_finish(run(argc, argv));
}
