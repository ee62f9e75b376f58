#include "cli/options.h"

#include <stddef.h>

#include "cli/report.h"
#include "core/base/option.h"
#include "core/engine/familiarity.h"
#include "core/questions/score.h"

static const char *const plans[] = {[CLI_PLAN_CLASSIFY] = "classify",
    [CLI_PLAN_GENERATE] = "generate",
    [CLI_PLAN_SAMPLE] = "sample",
    [CLI_PLAN_TRAIN] = "train",
    NULL};

#define ALL (EVERY_JSON | CLI_EXPORT | CLI_CALIBRATE)
#define EVERY_JSON (CLI_CLASSIFY | CLI_GENERATE | CLI_BLEND | CLI_SAMPLE | CLI_EDIT | CLI_SCORE | CLI_EVAL | CLI_INFO)
#define DRAWS_IMAGES (CLI_GENERATE | CLI_BLEND | CLI_SAMPLE | CLI_EDIT)
#define SOLVES (DRAWS_IMAGES | CLI_CLASSIFY | CLI_EVAL)
#define COMPUTES (SOLVES | CLI_CALIBRATE)
#define AT(field) offsetof(struct cli_args, field)

static const struct jf_option table[] = {
    {"class", 'k', JF_OPTION_TEXT, CLI_GENERATE, "CLASS", AT(class), 0, 0, NULL,
	.help = "draw this class, by name or number (default: every class)"},
    {"class", 'k', JF_OPTION_TEXT, CLI_EDIT, "CLASS", AT(class), 0, 0, NULL,
	.help = "draw it as this class, by name or number (default: what the model sees in it)"},
    {"digit", 'd', JF_OPTION_TEXT, CLI_GENERATE | CLI_EDIT, "CLASS", AT(digit), 0, 0, NULL,
	.help = "the same as --class"},
    {"weights", 'w', JF_OPTION_TEXT, CLI_GENERATE | CLI_EDIT, "CLASS=W,...", AT(weights), 0, 0, NULL,
	.help = "draw a mixture, as in 6=0.5,7=0.5; weights are 0 to " JF_TEXT_OF(JF_MAX_WEIGHT)},
    {"label", 'l', JF_OPTION_TEXT, CLI_GENERATE | CLI_EDIT, "NUMBERS", AT(label), 0, 0, NULL,
	.help = "draw this label vector: one number per class, -1 for no, 1 for yes,\nanything from -" JF_TEXT_OF(
	    JF_MAX_LABEL) " to " JF_TEXT_OF(JF_MAX_LABEL) " between and beyond"},
    {"strength", 't', JF_OPTION_REAL, CLI_EDIT, "T", AT(strength), JF_MIN_STRENGTH, 1, NULL,
	.help = "how much noise goes on the picture before it is drawn again: 0.1 changes little,\n1 forgets it "
		"(default: " JF_TEXT_OF(JF_DEFAULT_STRENGTH) ")"},
    {"counterfactual", 'F', JF_OPTION_FLAG, CLI_EDIT, NULL, AT(counterfactual), 0, 0, NULL,
	.help = "find the least strength at which the model sees the class asked for"},
    {"mask", 'K', JF_OPTION_TEXT, CLI_EDIT, "FILE", AT(mask), 0, 0, NULL,
	.help =
	    "a PNG of the model's size: light pixels are drawn anew, dark ones kept\n(default: all are drawn anew)"},
    {"repeats", 'R', JF_OPTION_INT, CLI_EDIT, "N", AT(repeats), 1, JF_MAX_REPEATS, NULL,
	.help = "repeat each step N times, so that what is drawn fits what is kept\n(default: " JF_TEXT_OF(
	    JF_DEFAULT_REPEATS) ")"},
    {"from", 'f', JF_OPTION_TEXT, CLI_BLEND, "CLASS", AT(from), 0, 0, NULL, .help = "what the morph starts with"},
    {"to", 't', JF_OPTION_TEXT, CLI_BLEND, "CLASS", AT(to), 0, 0, NULL, .help = "what it ends with"},
    {"matrix", 'M', JF_OPTION_FLAG, CLI_BLEND, NULL, AT(matrix), 0, 0, NULL,
	.help = "draw every class blended half and half with every other, instead of a morph"},
    {"rows", 'r', JF_OPTION_INT, CLI_BLEND, "N", AT(rows), 1, 1000, NULL,
	.help = "rows of the morph, each from its own noise (default: " JF_TEXT_OF(JF_DEFAULT_ROWS) ")"},
    {"columns", 'c', JF_OPTION_INT, CLI_BLEND, "N", AT(columns), 2, 1000, NULL,
	.help = "steps of the morph (default: " JF_TEXT_OF(JF_DEFAULT_COLUMNS) ")"},
    {"spacing", 'a', JF_OPTION_CHOICE, CLI_BLEND, "NAME", AT(spacing), 0, 0, NULL,
	.help = "even: equal steps of the picture, measured first; label: equal steps of the label\n(default: even)",
	.choices = jf_spacing_names},
    {"columns", 'c', JF_OPTION_INT, CLI_GENERATE | CLI_SAMPLE | CLI_EDIT, "N", AT(columns), 1, 1000, NULL,
	.help = "columns of the sheet (default: nearly square)"},
    {"count", 'n', JF_OPTION_INT, CLI_GENERATE, "N", AT(count), 1, CLI_MAX_IMAGES, NULL,
	.help = "images of each class asked for (default: " JF_TEXT_OF(JF_DEFAULT_COUNT) ")"},
    {"count", 'n', JF_OPTION_INT, CLI_SAMPLE, "N", AT(count), 1, CLI_MAX_IMAGES, NULL,
	.help = "pairs of image and label (default: " JF_TEXT_OF(JF_DEFAULT_COUNT) ")"},
    {"count", 'n', JF_OPTION_INT, CLI_EDIT, "N", AT(count), 1, CLI_MAX_IMAGES, NULL,
	.help = "versions of the picture (default: " JF_TEXT_OF(JF_DEFAULT_COUNT) ")"},
    {"data", 'd', JF_OPTION_TEXT, CLI_EVAL, "PATH", AT(data), 0, 0, NULL,
	.help = "test data: IDX files, NumPy arrays, or one sub-folder of pictures per class,\nnamed like the model's "
		"classes"},
    {"data", 'd', JF_OPTION_TEXT, CLI_CALIBRATE, "PATH", AT(data), 0, 0, NULL,
	.help = "what the model was trained on, as jointflow-train reads it"},
    {"holdout", 'H', JF_OPTION_INT, CLI_CALIBRATE, "N", AT(holdout), JF_FAMILIARITY_MIN, 1e9, NULL,
	.help = "images held out from training (default: a tenth, at most 5000)"},
    {"output", 'o', JF_OPTION_TEXT, CLI_CALIBRATE, "FILE", AT(output), 0, 0, NULL,
	.help = "the checkpoint to write; may be the same as --model"},
    {"against", 'a', JF_OPTION_TEXT, CLI_EVAL, "PATH", AT(against), 0, 0, NULL,
	.help = "data that should look unfamiliar: measure how well it is told apart from --data"},
    {"limit", 'L', JF_OPTION_INT, CLI_EVAL, "N", AT(limit), 1, 1e9, NULL,
	.help = "only the first N images of the data"},
    {"generate", 'g', JF_OPTION_FLAG, CLI_EVAL, NULL, AT(generate), 0, 0, NULL,
	.help = "judge drawn images by the model's own posterior: how often it sees the label"},
    {"count", 'n', JF_OPTION_INT, CLI_EVAL, "N", AT(count), 1, CLI_MAX_IMAGES, NULL,
	.help = "images per class for --generate (default: 100)"},
    {"method", 'M', JF_OPTION_CHOICE, CLI_CLASSIFY | CLI_EVAL, "NAME", AT(method), 0, 0, NULL,
	.help = "posterior: one evaluation; sample: integrate the label; likelihood: under which\nclass noise comes "
		"off the picture best (default: posterior)",
	.choices = jf_method_names},
    {"samples", 'S', JF_OPTION_INT, CLI_CLASSIFY | CLI_EVAL, "N", AT(samples), 1, JF_MAX_VOTES, NULL,
	.help = "posterior: label noises averaged (default: 1);\nsample: labels drawn for each image, which vote "
		"(default: " JF_TEXT_OF(JF_DEFAULT_VOTES) ");\nlikelihood: draws of time and noise, an even number "
							  "(default: " JF_TEXT_OF(JF_DEFAULT_SCORE_DRAWS) ")"},
    {"draws", 'D', JF_OPTION_INT, CLI_SCORE, "N", AT(draws), 2, JF_MAX_SCORE_DRAWS, NULL,
	.help = "draws of time and noise, an even number (default: " JF_TEXT_OF(JF_DEFAULT_SCORE_DRAWS) ")"},
    {"all", 'a', JF_OPTION_FLAG, CLI_SCORE, NULL, AT(all), 0, 0, NULL, .help = "print every class's likelihood too"},
    {"top", 'T', JF_OPTION_INT, CLI_CLASSIFY, "N", AT(top), 1, 1000, NULL,
	.help = "print the N likeliest classes (default: 1)"},
    {"preprocess", 'p', JF_OPTION_CHOICE, CLI_CLASSIFY | CLI_EDIT | CLI_SCORE, "NAME", AT(preprocess), 0, 0, NULL,
	.help =
	    "mnist: find the ink, scale and centre it; none: only scale it\n(default: what the model was trained with)",
	.choices = jf_preprocess_names},
    {"invert", 'i', JF_OPTION_CHOICE, CLI_CLASSIFY | CLI_EDIT | CLI_SCORE, "WHEN", AT(invert), 0, 0, NULL,
	.help = "turn dark on light into light on dark: auto, yes or no (default: auto)", .choices = jf_invert_names},
    {"steps", 's', JF_OPTION_INT, SOLVES, "N", AT(steps), 1, JF_MAX_STEPS, NULL,
	.help = "steps of the solver (default: " JF_TEXT_OF(JF_DEFAULT_STEPS) ")"},
    {"solver", 'x', JF_OPTION_CHOICE, SOLVES, "NAME", AT(solver), 0, 0, NULL,
	.help = "euler, midpoint, heun or ancestral (default: euler for labels, ancestral for images)",
	.choices = jf_solver_names},
    {"guidance", 'G', JF_OPTION_REAL, CLI_GENERATE | CLI_BLEND | CLI_EDIT | CLI_EVAL, "G", AT(guidance), 0,
	JF_MAX_GUIDANCE, NULL, .help = "above 1 exaggerates the label (default: " JF_TEXT_OF(JF_DEFAULT_GUIDANCE) ")"},
    {"guidance-low", 0, JF_OPTION_REAL, CLI_GENERATE | CLI_BLEND | CLI_EDIT | CLI_EVAL, "T", AT(guidance_low), 0, 1,
	NULL, .help = "guidance acts down to this time (default: 0)"},
    {"guidance-high", 0, JF_OPTION_REAL, CLI_GENERATE | CLI_BLEND | CLI_EDIT | CLI_EVAL, "T", AT(guidance_high), 0, 1,
	NULL, .help = "and from this time on; t falls from 1 to 0 (default: 1)"},
    {"seed", 'e', JF_OPTION_SEED, SOLVES | CLI_SCORE, "N", AT(seed), 0, 0, NULL,
	.help = "the same seed gives the same result (default: 0)"},
    {"output", 'o', JF_OPTION_TEXT, DRAWS_IMAGES, "NAME", AT(output), 0, 0, NULL,
	.help = "NAME.png: one sheet, FOLDER/: single PNGs, NAME.npy: a NumPy array,\n-: a sheet to standard output "
		"(default: COMMAND.png)"},
    {"onnx", 'O', JF_OPTION_FLAG, CLI_EXPORT, NULL, AT(onnx), 0, 0, NULL, .help = "write ONNX"},
    {"output", 'o', JF_OPTION_TEXT, CLI_EXPORT, "FOLDER", AT(output), 0, 0, NULL,
	.help = "the folder for posterior.onnx and field.onnx (default: .)"},
    {"scale", 'z', JF_OPTION_INT, DRAWS_IMAGES, "N", AT(scale), 1, JF_MAX_SCALE, NULL,
	.help =
	    "PNG: every pixel becomes N x N (default: " JF_TEXT_OF(JF_DEFAULT_SCALE) " in a sheet, 1 in single PNGs)"},
    {"plan", 'p', JF_OPTION_CHOICE, CLI_INFO, "TASK", AT(plan), 0, 0, NULL,
	.help = "show which parts run when, for classify, generate, sample or train", .choices = plans},
    {"model", 'm', JF_OPTION_TEXT, ALL, "FILE", AT(model), 0, 0, NULL,
	.help = "the checkpoint (default: $JOINTFLOW_MODEL or the one that ships)"},
    {"threads", 'j', JF_OPTION_INT, COMPUTES, "N", AT(threads), 1, 256, NULL,
	.help = "threads (default: one per processor, at most 16)"},
    {"batch", 'b', JF_OPTION_INT, COMPUTES, "N", AT(batch), 1, JF_MAX_BATCH, NULL,
	.help = "images a thread works on at a time (default: 16)"},
    {"json", 'J', JF_OPTION_FLAG, EVERY_JSON, NULL, AT(json), 0, 0, NULL, .help = "print JSON"},
    {"csv", 'C', JF_OPTION_FLAG, CLI_CLASSIFY, NULL, AT(csv), 0, 0, NULL,
	.help = "print CSV: a line of names, then a line for each picture"},
    {"quiet", 'q', JF_OPTION_FLAG, COMPUTES | CLI_EXPORT, NULL, AT(quiet), 0, 0, NULL,
	.help = "print no progress and no line about what was written"},
    {"help", 'h', JF_OPTION_FLAG, ALL, NULL, AT(help), 0, 0, NULL, .help = "print this and exit"},
    {"version", 'V', JF_OPTION_FLAG, ALL, NULL, AT(version), 0, 0, NULL, .help = "print the version and exit"},
};
#define N_ROWS ((int)(sizeof(table) / sizeof(table[0])))

static enum jf_err take(struct cli_args *args, const struct jf_option_walk *walk, struct jf_error *err) {
	if (walk->option->offset == AT(plan))
		args->plan_given = true;
	return jf_option_error(err, walk->option, jf_option_set(args, walk->option, walk->text), walk->text);
}

bool cli_options_parse(struct cli_args *args, int argc, char **argv, enum cli_command command) {
	struct jf_option_walk walk;
	enum jf_option_step step;
	struct jf_error error;

	*args = (struct cli_args){.guidance = JF_DEFAULT_GUIDANCE, .guidance_high = 1, .solver = -1, .preprocess = -1};
	jf_option_walk_begin(&walk, argc, argv);
	jf_option_walk_add(&walk, table, N_ROWS, command);
	while ((step = jf_option_walk_next(&walk)) != JF_OPTION_END) {
		enum jf_err rc =
		    step == JF_OPTION_GIVEN ? take(args, &walk, &error) : jf_option_walk_error(&error, &walk, step);

		if (rc != JF_OK) {
			cli_usage("%s", error.message);
			return false;
		}
	}
	if (args->samples > jf_samples_max((enum jf_method)args->method)) {
		cli_usage("--samples is at most %d with --method=%s, not %d",
		    jf_samples_max((enum jf_method)args->method), jf_method_names[args->method], args->samples);
		return false;
	}
	if (args->samples % jf_samples_unit((enum jf_method)args->method)) {
		cli_usage(
		    "--samples must be even with --method=%s, not %d", jf_method_names[args->method], args->samples);
		return false;
	}
	if (args->guidance_low > args->guidance_high) {
		cli_usage("--guidance-low=%g is above --guidance-high=%g", args->guidance_low, args->guidance_high);
		return false;
	}
	args->operands = argv + optind;
	args->n_operands = argc - optind;
	return true;
}

void cli_options_help(FILE *out, enum cli_command command) {
	jf_option_help(out, table, N_ROWS, command);
}
