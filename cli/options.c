#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"

enum type {
	TYPE_FLAG,    /* bool */
	TYPE_INTEGER, /* int in [min, max] */
	TYPE_NUMBER,  /* double in [min, max] */
	TYPE_SEED,    /* uint64_t */
	TYPE_TEXT,    /* const char * */
	TYPE_CHOICE,  /* int, an index into choices */
};

struct option_row {
	const char *name;
	char letter; /* 0: none */
	enum type type;
	size_t offset;        /* of the field in struct cli_args */
	const char *argument; /* its name in --help; NULL for a flag */
	double min, max;
	const char *const *choices;
	unsigned commands; /* which take it */
	const char *help;
};

static const char *const plans[] = {[CLI_PLAN_CLASSIFY] = "classify",
    [CLI_PLAN_GENERATE] = "generate",
    [CLI_PLAN_SAMPLE] = "sample",
    [CLI_PLAN_TRAIN] = "train",
    NULL};

#define ALL (EVERY_JSON | CLI_EXPORT)
#define EVERY_JSON (CLI_CLASSIFY | CLI_GENERATE | CLI_BLEND | CLI_SAMPLE | CLI_EVAL | CLI_INFO)
#define DRAWS_IMAGES (CLI_GENERATE | CLI_BLEND | CLI_SAMPLE)
#define COMPUTES (DRAWS_IMAGES | CLI_CLASSIFY | CLI_EVAL)
#define AT(field) offsetof(struct cli_args, field)

static const struct option_row table[] = {
    {"digit", 'd', TYPE_TEXT, AT(digit), "CLASS", 0, 0, NULL, CLI_GENERATE,
	"draw this class, by name or number (default: every class)"},
    {"weights", 'w', TYPE_TEXT, AT(weights), "CLASS=W,...", 0, 0, NULL, CLI_GENERATE,
	"draw a mixture, as in 6=0.5,7=0.5; weights are 0 to " JF_TEXT_OF(JF_MAX_WEIGHT)},
    {"label", 'l', TYPE_TEXT, AT(label), "NUMBERS", 0, 0, NULL, CLI_GENERATE,
	"draw this label vector: one number a class, -1 for no, 1 for yes,\nanything from -" JF_TEXT_OF(
	    JF_MAX_LABEL) " to " JF_TEXT_OF(JF_MAX_LABEL) " between and beyond"},
    {"from", 'f', TYPE_TEXT, AT(from), "CLASS", 0, 0, NULL, CLI_BLEND, "what the morph starts with"},
    {"to", 't', TYPE_TEXT, AT(to), "CLASS", 0, 0, NULL, CLI_BLEND, "what it ends with"},
    {"matrix", 'M', TYPE_FLAG, AT(matrix), NULL, 0, 0, NULL, CLI_BLEND,
	"instead: every class blended half and half with every class"},
    {"rows", 'r', TYPE_INTEGER, AT(rows), "N", 1, 1000, NULL, CLI_BLEND,
	"rows of the morph, each from its own noise (default: " JF_TEXT_OF(JF_DEFAULT_ROWS) ")"},
    {"columns", 'c', TYPE_INTEGER, AT(columns), "N", 2, 1000, NULL, CLI_BLEND,
	"steps of the morph (default: " JF_TEXT_OF(JF_DEFAULT_COLUMNS) ")"},
    {"columns", 'c', TYPE_INTEGER, AT(columns), "N", 1, 1000, NULL, CLI_GENERATE | CLI_SAMPLE,
	"columns of the sheet (default: nearly square)"},
    {"count", 'n', TYPE_INTEGER, AT(count), "N", 1, CLI_MAX_IMAGES, NULL, CLI_GENERATE,
	"images of each class asked for (default: " JF_TEXT_OF(JF_DEFAULT_COUNT) ")"},
    {"count", 'n', TYPE_INTEGER, AT(count), "N", 1, CLI_MAX_IMAGES, NULL, CLI_SAMPLE,
	"pairs of image and label (default: " JF_TEXT_OF(JF_DEFAULT_COUNT) ")"},
    {"data", 'd', TYPE_TEXT, AT(data), "PATH", 0, 0, NULL, CLI_EVAL,
	"test data: a folder with IDX files or with one sub-folder of PNGs a class"},
    {"limit", 'L', TYPE_INTEGER, AT(limit), "N", 1, 1e9, NULL, CLI_EVAL, "only the first N images of the data"},
    {"generate", 'g', TYPE_FLAG, AT(generate), NULL, 0, 0, NULL, CLI_EVAL,
	"judge drawn images by the posterior: how often it sees the label"},
    {"count", 'n', TYPE_INTEGER, AT(count), "N", 1, CLI_MAX_IMAGES, NULL, CLI_EVAL,
	"images a class for --generate (default: 100)"},
    {"method", 'M', TYPE_CHOICE, AT(method), "NAME", 0, 0, jf_method_names, CLI_CLASSIFY | CLI_EVAL,
	"posterior: one evaluation; sample: integrate the label (default: posterior)"},
    {"samples", 'S', TYPE_INTEGER, AT(samples), "N", 1, JF_MAX_VOTES, NULL, CLI_CLASSIFY | CLI_EVAL,
	"posterior: label noises averaged (default: 1);\nsample: labels drawn for each image, which vote "
	"(default: " JF_TEXT_OF(JF_DEFAULT_VOTES) ")"},
    {"top", 'T', TYPE_INTEGER, AT(top), "N", 1, 1000, NULL, CLI_CLASSIFY, "print the N likeliest classes (default: 1)"},
    {"preprocess", 'p', TYPE_CHOICE, AT(preprocess), "NAME", 0, 0, jf_preprocess_names, CLI_CLASSIFY,
	"mnist: find the ink, scale and centre it; none: as it is (default: mnist)"},
    {"invert", 'i', TYPE_CHOICE, AT(invert), "WHEN", 0, 0, jf_invert_names, CLI_CLASSIFY,
	"turn dark on light into light on dark: auto, yes or no (default: auto)"},
    {"steps", 's', TYPE_INTEGER, AT(steps), "N", 1, JF_MAX_STEPS, NULL, COMPUTES,
	"steps of the solver (default: " JF_TEXT_OF(JF_DEFAULT_STEPS) ")"},
    {"solver", 'x', TYPE_CHOICE, AT(solver), "NAME", 0, 0, jf_solver_names, COMPUTES,
	"euler, midpoint, heun or ancestral (default: euler for labels, ancestral for images)"},
    {"guidance", 'G', TYPE_NUMBER, AT(guidance), "G", 0, JF_MAX_GUIDANCE, NULL, CLI_GENERATE | CLI_BLEND | CLI_EVAL,
	"above 1 exaggerates the label (default: " JF_TEXT_OF(JF_DEFAULT_GUIDANCE) ")"},
    {"seed", 'e', TYPE_SEED, AT(seed), "N", 0, 0, NULL, COMPUTES, "the same seed gives the same result (default: 0)"},
    {"output", 'o', TYPE_TEXT, AT(output), "NAME", 0, 0, NULL, DRAWS_IMAGES,
	"NAME.png: one sheet, FOLDER/: single PNGs, NAME.npy: a NumPy array,\n-: a sheet to standard output (default: "
	"COMMAND.png)"},
    {"onnx", 'O', TYPE_FLAG, AT(onnx), NULL, 0, 0, NULL, CLI_EXPORT, "write ONNX"},
    {"output", 'o', TYPE_TEXT, AT(output), "FOLDER", 0, 0, NULL, CLI_EXPORT,
	"the folder for posterior.onnx and field.onnx (default: .)"},
    {"scale", 'z', TYPE_INTEGER, AT(scale), "N", 1, JF_MAX_SCALE, NULL, DRAWS_IMAGES,
	"PNG: every pixel becomes N x N (default: " JF_TEXT_OF(JF_DEFAULT_SCALE) " in a sheet, 1 in single PNGs)"},
    {"plan", 'p', TYPE_CHOICE, AT(plan), "TASK", 0, 0, plans, CLI_INFO,
	"what is computed when: classify, generate, sample or train"},
    {"model", 'm', TYPE_TEXT, AT(model), "FILE", 0, 0, NULL, ALL,
	"the checkpoint (default: $JOINTFLOW_MODEL or the one that ships)"},
    {"threads", 'j', TYPE_INTEGER, AT(threads), "N", 1, 256, NULL, COMPUTES,
	"threads (default: one a processor, at most 16)"},
    {"batch", 'b', TYPE_INTEGER, AT(batch), "N", 1, JF_MAX_BATCH, NULL, COMPUTES,
	"images a thread works on at a time (default: 16)"},
    {"json", 'J', TYPE_FLAG, AT(json), NULL, 0, 0, NULL, EVERY_JSON, "print JSON"},
    {"quiet", 'q', TYPE_FLAG, AT(quiet), NULL, 0, 0, NULL, COMPUTES | CLI_EXPORT,
	"no progress, and no line about what was written"},
    {"help", 'h', TYPE_FLAG, AT(help), NULL, 0, 0, NULL, ALL, "print this and exit"},
    {"version", 'V', TYPE_FLAG, AT(version), NULL, 0, 0, NULL, ALL, "print the version and exit"},
};
#define N_ROWS (sizeof(table) / sizeof(table[0]))
#define LONG_ONLY 256 /* getopt's value for row i is LONG_ONLY + i */

static bool parse_integer(int *out, const struct option_row *row, const char *text) {
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (end == text || *end || errno || (double)value < row->min || (double)value > row->max) {
		cli_usage("--%s needs a whole number from %.0f to %.0f, not '%s'", row->name, row->min, row->max, text);
		return false;
	}
	*out = (int)value;
	return true;
}

static bool parse_number(double *out, const struct option_row *row, const char *text) {
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value) || value < row->min || value > row->max) {
		cli_usage("--%s needs a number from %g to %g, not '%s'", row->name, row->min, row->max, text);
		return false;
	}
	*out = value;
	return true;
}

static bool parse_seed(uint64_t *out, const struct option_row *row, const char *text) {
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno) {
		cli_usage("--%s needs a whole number from 0 to 2^64 - 1, not '%s'", row->name, text);
		return false;
	}
	return true;
}

static bool parse_choice(int *out, const struct option_row *row, const char *text) {
	char list[128] = "";
	size_t used = 0;

	for (int i = 0; row->choices[i]; i++) {
		if (!strcmp(row->choices[i], text)) {
			*out = i;
			return true;
		}
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", row->choices[i]);
	}
	cli_usage("--%s is one of %s, not '%s'", row->name, list, text);
	return false;
}

static bool apply(struct cli_args *args, const struct option_row *row, char *text) {
	void *field = (char *)args + row->offset;

	switch (row->type) {
	case TYPE_FLAG:
		*(bool *)field = true;
		return true;
	case TYPE_INTEGER:
		return parse_integer(field, row, text);
	case TYPE_NUMBER:
		return parse_number(field, row, text);
	case TYPE_SEED:
		return parse_seed(field, row, text);
	case TYPE_TEXT:
		*(const char **)field = text;
		return true;
	case TYPE_CHOICE:
		if (row->offset == AT(plan))
			args->plan_given = true;
		return parse_choice(field, row, text);
	}
	return false;
}

static const struct option_row *row_of(int got, enum cli_command command) {
	if (got >= LONG_ONLY)
		return &table[got - LONG_ONLY];
	for (size_t i = 0; i < N_ROWS; i++) {
		if ((table[i].commands & command) && table[i].letter == got)
			return &table[i];
	}
	return NULL;
}

bool cli_options_parse(struct cli_args *args, int argc, char **argv, enum cli_command command) {
	struct option longs[N_ROWS + 1] = {{0}};
	char letters[2 * N_ROWS + 2] = "";
	size_t n_longs = 0, n_letters = 0;
	int got;

	for (size_t i = 0; i < N_ROWS; i++) {
		int has = table[i].argument ? required_argument : no_argument;

		if (!(table[i].commands & command))
			continue;
		longs[n_longs++] = (struct option){table[i].name, has, NULL, LONG_ONLY + (int)i};
		letters[n_letters++] = table[i].letter;
		if (table[i].argument)
			letters[n_letters++] = ':';
	}
	*args = (struct cli_args){.guidance = JF_DEFAULT_GUIDANCE, .solver = -1};
	optind = 0;
	while ((got = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct option_row *row = got == '?' ? NULL : row_of(got, command);

		if (!row) { /* getopt_long has said what is wrong */
			cli_usage(NULL);
			return false;
		}
		if (!apply(args, row, optarg))
			return false;
	}
	if (args->samples > jf_samples_max((enum jf_method)args->method)) {
		cli_usage("--samples is at most %d with --method=%s, not %d",
		    jf_samples_max((enum jf_method)args->method), jf_method_names[args->method], args->samples);
		return false;
	}
	args->operands = argv + optind;
	args->n_operands = argc - optind;
	return true;
}

void cli_options_help(FILE *out, enum cli_command command) {
	for (size_t i = 0; i < N_ROWS; i++) {
		char name[64];
		const char *line = table[i].help;

		if (!(table[i].commands & command))
			continue;
		snprintf(name, sizeof(name), "--%s%s%s", table[i].name, table[i].argument ? "=" : "",
		    table[i].argument ? table[i].argument : "");
		fprintf(out, "  -%c, %-22s ", table[i].letter, name);
		for (const char *next; (next = strchr(line, '\n')); line = next + 1)
			fprintf(out, "%.*s\n%*s", (int)(next - line), line, 29, "");
		fprintf(out, "%s\n", line);
	}
}
