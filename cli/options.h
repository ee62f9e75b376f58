/* The command line: one table of all options, from which parsing and --help come. */
#ifndef JF_CLI_OPTIONS_H
#define JF_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/pictures/framing.h"
#include "core/questions/question.h"

#define CLI_MAX_IMAGES 100000 /* of one call: keeps a slip of the finger from asking for terabytes */

/* A set of commands, as bits. */
enum cli_command {
	CLI_CLASSIFY = 1 << 0,
	CLI_GENERATE = 1 << 1,
	CLI_BLEND = 1 << 2,
	CLI_SAMPLE = 1 << 3,
	CLI_EVAL = 1 << 4,
	CLI_INFO = 1 << 5,
	CLI_EXPORT = 1 << 6,
	CLI_EDIT = 1 << 7,
	CLI_SCORE = 1 << 8,
	CLI_CALIBRATE = 1 << 9,
};

enum cli_plan {
	CLI_PLAN_CLASSIFY,
	CLI_PLAN_GENERATE,
	CLI_PLAN_SAMPLE,
	CLI_PLAN_TRAIN,
};

/* What the options say. Strings are borrowed from argv. An integer that was not given is 0, a text NULL: the command
 * knows its default. */
struct cli_args {
	bool help, version;
	bool json, csv, quiet;
	const char *model;
	const char *output;
	const char *class, *digit, *label, *weights; /* generate, edit: at most one of them */
	const char *mask;
	const char *from, *to;
	const char *data, *against;
	bool matrix, generate, onnx, counterfactual, all;
	bool plan_given;
	int plan;                    /* enum cli_plan */
	int method, invert, spacing; /* enums */
	int preprocess;              /* enum jf_preprocess; -1: the model's */
	int solver;                  /* enum; -1: not given */
	int steps, samples, top;
	int count, rows, columns, scale, limit, repeats, draws, holdout;
	int threads, batch;
	double guidance, guidance_low, guidance_high;
	double strength; /* 0: not given */
	uint64_t seed;
	char **operands; /* what is not an option; borrowed, in argv */
	int n_operands;
};

/* Parses argv (argv[0] is the command's name) and permutes it. False when the command line is wrong; the message is
 * already on stderr then. */
bool cli_options_parse(struct cli_args *args, int argc, char **argv, enum cli_command command);

/* The option lines of --help. */
void cli_options_help(FILE *out, enum cli_command command);

#endif
