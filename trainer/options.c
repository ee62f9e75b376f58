#include "config.h"

#include "trainer/options.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/option.h"

/* The types of the table: those of core/base/option.h, and our own. */
enum {
	T_GROUP = JF_OPTION_SECTION,
	T_TEXT = JF_OPTION_TEXT,
	T_INT = JF_OPTION_INT,
	T_REAL = JF_OPTION_REAL,
	T_SEED = JF_OPTION_SEED,
	T_FLAG = JF_OPTION_FLAG,
	T_CHOICE = JF_OPTION_CHOICE,
	T_LIST = JF_OPTION_OWN,
	T_SHARES,
	T_SIZE,
	T_HELP,
	T_VERSION,
};

/* What a resumed run may change. */
enum keep {
	FREE,   /* anything: names of files, evaluations, threads */
	RECIPE, /* with --extend only */
	FIXED,  /* never */
};

#define AT(field) offsetof(struct jf_train_options, field)

/* The tail of a row, which only other tables need, is left out. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const struct jf_option table[] = {
    {.type = T_GROUP, .help = "Data"},
    {"data", 'd', T_TEXT, FREE, "PATH", AT(data), 0, 0, NULL,
	"training data: a folder with IDX files, an IDX file of images, or a folder with one sub-folder of pictures "
	"per class; or NumPy arrays (.npz, .npy)"},
    {"labels", 0, T_TEXT, FREE, "FILE", AT(labels), 0, 0, NULL,
	"file of labels (IDX or .npy), when its name does not follow"},
    {"test", 0, T_TEXT, FREE, "PATH", AT(test), 0, 0, NULL, "data on which the finished model is measured once"},
    {"validation", 0, T_TEXT, FREE, "PATH", AT(validation), 0, 0, NULL,
	"data kept back for evaluation, in place of a part of --data"},
    {"size", 0, T_SIZE, FREE, "WxH", AT(size), 0, 0, NULL,
	"make all pictures this size, by area averaging; without it they must agree"},
    {"grey", 0, T_FLAG, FREE, NULL, AT(grey), 0, 0, NULL, "make all pictures grey; without it they must agree"},
    {"colour", 0, T_FLAG, FREE, NULL, AT(colour), 0, 0, NULL, "make all pictures coloured"},
    {"preprocess", 0, T_CHOICE, FREE, "auto|mnist|none", AT(preprocess), 0, 0, "auto",
	"how a picture becomes an input when the model is used: mnist finds and centres the ink, none only scales; "
	"auto: mnist if the training images are framed so"},
    {"name", 0, T_TEXT, FREE, "NAME", AT(name), 0, 0, NULL, "the model's name; by default that of the data"},
    {"holdout", 0, T_INT, FIXED, "N", AT(holdout), 0, 1e8, "auto",
	"images kept back for evaluation, the same share of every class; auto: 10 %, at most 5000"},
    {.type = T_GROUP, .help = "Training"},
    {"epochs", 'e', T_REAL, RECIPE, "N", AT(epochs), 0, 1e6, "auto",
	"passes over the data; parts are allowed; auto: as many as --steps needs"},
    {"steps", 0, T_INT, RECIPE, "N", AT(steps), 1, 1e9, "auto",
	"length of the run in steps; auto: what --epochs says, and without it 12 epochs, at least 4000 steps"},
    {"batch", 'b', T_INT, FIXED, "N", AT(batch), 1, 65536, "auto",
	"images per step, over all processes; auto: 128, or 64 for fewer than 20000 images"},
    {"lr", 0, T_REAL, RECIPE, "RATE", AT(lr), 0, 10, "auto",
	"highest learning rate; auto: 0.002, or 0.004 for fewer than 20000 images"},
    {"warmup", 0, T_INT, RECIPE, "STEPS", AT(warmup), 0, 1e9, "auto",
	"steps until the highest rate; auto: 300, at most a tenth of the run"},
    {"weight-decay", 0, T_REAL, RECIPE, "X", AT(weight_decay), 0, 10, "auto",
	"AdamW's decay of matrices; auto: 0.01, or 0.05 for fewer than 20000 images"},
    {"clip", 0, T_REAL, RECIPE, "NORM", AT(clip), 0, 1e9, "1", "longest gradient; 0: no limit"},
    {"ema", 0, T_LIST, FIXED, "X,X...", AT(ema), 0, 1, "0.999,0.9995",
	"decay of the weights' running means; the best ships"},
    {"ship", 0, T_CHOICE, FIXED, "best|last", AT(ship), 0, 0, "best",
	"best: the latest state whose loss on the labels kept back is as good as the least; last: the run's end, which "
	"often draws better"},
    {"seed", 's', T_SEED, FIXED, "N", AT(seed), 0, 0, "1",
	"random seed; it determines the initial weights, the noise, the order and the distortions"},
    {"threads", 'j', T_INT, FREE, "N", AT(threads), 0, 256, "0", "compute threads; 0: one for each CPU"},
    {"time-limit", 0, T_REAL, FREE, "SECONDS", AT(limit_s), 0, 1e9, "0",
	"save the state and stop after this time; 0: never"},
    {.type = T_GROUP, .help = "Network"},
    {"channels", 0, T_INT, FIXED, "C", AT(channels), 8, 256, "16", "channels at full resolution, a multiple of 8"},
    {"blocks", 0, T_INT, FIXED, "N", AT(blocks), 1, 8, "1", "residual blocks per level and side"},
    {"layers", 0, T_INT, FIXED, "N", AT(layers), 1, 32, "2", "bottleneck layers"},
    {"heads", 0, T_INT, FIXED, "N", AT(heads), 1, 256, "4", "attention heads"},
    {"label-tokens", 0, T_INT, FIXED, "N", AT(label_tokens), 1, 64, "8", "tokens that stand for the label"},
    {.type = T_GROUP, .help = "Objective"},
    {"times", 0, T_CHOICE, RECIPE, "independent|shared|flexible|mixture", AT(times), 0, 0, "mixture",
	"how the two clocks are drawn: mixture, for every question; independent, any pair; shared, joint samples "
	"alone; flexible, the questions alone"},
    {"time-density", 0, T_CHOICE, RECIPE, "uniform|arcsine|logit-normal", AT(density), 0, 0, "uniform",
	"how often which time"},
    {"shares", 0, T_SHARES, RECIPE, "A,B,C", AT(shares), 0, 1, "0.4,0.1,0.4",
	"of mixture: image given label, joint, label given image; the rest is independent"},
    {"image-shift", 0, T_REAL, RECIPE, "S", AT(image_shift), 0.01, 100, "1",
	"moves the image's clock: above 1 to more noise, below 1 to less"},
    {"guidance", 0, T_REAL, RECIPE, "W", AT(guidance), 0, 0.9, "0",
	"teach the network to draw as if guided by 1 / (1 - W), in one evaluation: fewer wrong images, less variety"},
    {"label-loss", 0, T_CHOICE, FIXED, "endpoint|velocity", AT(head), 0, 0, "endpoint",
	"cross-entropy of the endpoint, or squared error of the velocity"},
    {"label-weight", 0, T_REAL, RECIPE, "X", AT(label_weight), -1, 1000, "-1",
	"weight of the label's loss; -1: 0.3 for endpoint, 1 for velocity"},
    {"augment", 0, T_REAL, FIXED, "STRENGTH", AT(augment), 0, 4, "auto",
	"random distortions, told to the network; 1: 15 degrees, 2 pixels of 28, 10 %; auto: 1 for fewer than 5000 "
	"images (0.5 with --augment-what=all), 0.5 for fewer than 20000, else 0"},
    {"augment-probability", 0, T_REAL, RECIPE, "P", AT(augment_probability), 0, 1, "auto",
	"share of images that are distorted; auto: all for fewer than 5000 images and --augment-what=labels, else "
	"0.5"},
    {"augment-what", 0, T_CHOICE, RECIPE, "all|labels", AT(augment_what), 0, 0, "labels",
	"labels: only examples that ask for the label of a whole image, so that drawing learns from clean ones"},
    {.type = T_GROUP, .help = "Files"},
    {"init", 0, T_TEXT, FREE, "FILE", AT(init), 0, 0, NULL,
	"start from this model's weights; more --layers and --blocks than it has change nothing at first"},
    {"output", 'o', T_TEXT, FREE, "FILE", AT(output), 0, 0, "model.safetensors", "the trained model"},
    {"state", 0, T_TEXT, FREE, "FILE", AT(state), 0, 0, NULL,
	"the training state; by default the output's name + .state"},
    {"save-every", 0, T_REAL, FREE, "MINUTES", AT(save_every_min), 0, 1e6, "3", "how often the state is saved"},
    {"resume", 'r', T_FLAG, FREE, NULL, AT(resume), 0, 0, NULL, "go on from the state, if there is one"},
    {"extend", 0, T_FLAG, FREE, NULL, AT(extend), 0, 0, NULL,
	"with --resume: another --epochs, and other rates, from here on"},
    {"log", 0, T_TEXT, FREE, "FILE", AT(log), 0, 0, NULL, "append JSON lines"},
    {.type = T_GROUP, .help = "Evaluation on the images kept back"},
    {"eval-every", 0, T_INT, FREE, "EPOCHS", AT(eval_every), 0, 1e6, "0", "how often; 0: at the end only"},
    {"eval-drawn", 0, T_INT, FREE, "N", AT(eval_drawn), 0, 10000, "20", "images drawn per class"},
    {"eval-steps", 0, T_INT, FREE, "N", AT(eval_steps), 1, 1000, "20", "solver steps of an image or a label"},
    {"eval-ode", 0, T_INT, FREE, "N", AT(eval_ode), 0, 1e8, "1000", "images whose label is also integrated"},
    {"sheet", 0, T_TEXT, FREE, "FILE.png", AT(sheet), 0, 0, NULL, "a picture of drawn images at every evaluation"},
    {.type = T_GROUP, .help = "Other"},
    {"quiet", 'q', T_FLAG, FREE, NULL, AT(quiet), 0, 0, NULL, "no progress"},
    {"help", 'h', T_HELP, FREE, NULL, 0, 0, 0, NULL, "display this help and exit"},
    {"version", 'V', T_VERSION, FREE, NULL, 0, 0, 0, NULL, "output version information and exit"},
};

#define N_ENTRIES ((int)(sizeof(table) / sizeof(table[0])))

static void print_help(void) {
	printf("Usage: jointflow-train --data PATH [OPTION]...\n"
	       "Train a joint model of images and labels.\n");
	jf_option_help(stdout, table, N_ENTRIES, 0);
	printf("\nSIGINT and SIGTERM save the state and stop; --resume goes on, with the same result bit for bit.\n"
	       "A run under mpirun divides each batch among the processes.\n"
	       "Exit status: 0 finished, 1 failed, 2 wrong usage, 3 stopped before the end with its state saved.\n");
}

static enum jf_err parse_shares(const struct jf_option *e, const char *text, float *out, struct jf_error *err) {
	double sum = 0;
	char *end = NULL;

	for (int i = 0; i < JF_N_SHARES; i++) {
		const char *at = i == 0 ? text : end + 1;
		double value = strtod(at, &end);

		if (end == at || *end != (i + 1 < JF_N_SHARES ? ',' : '\0') || !(value >= e->min && value <= e->max))
			return jf_error_set(err, JF_EINVAL,
			    "--%s: '%s' is not %d numbers from %g to %g with commas between", e->name, text,
			    JF_N_SHARES, e->min, e->max);
		out[i] = (float)value;
		sum += value;
	}
	if (sum > 1 + 1e-6)
		return jf_error_set(err, JF_EINVAL, "--%s: '%s' is more than 1 together", e->name, text);
	return JF_OK;
}

/* "32x24": width x height, as people say it. */
static enum jf_err parse_size(const struct jf_option *e, const char *text, int *out, struct jf_error *err) {
	int width = 0, height = 0, used = 0;

	if (sscanf(text, "%4dx%4d%n", &width, &height, &used) != 2 || text[used])
		return jf_error_set(err, JF_EINVAL, "--%s: '%s' is not WIDTHxHEIGHT, as in 32x32", e->name, text);
	if (width < 8 || width > 256 || height < 8 || height > 256 || width % 4 || height % 4)
		return jf_error_set(
		    err, JF_EINVAL, "--%s: each side must be a multiple of 4 from 8 to 256, not '%s'", e->name, text);
	out[0] = height;
	out[1] = width;
	return JF_OK;
}

/* Whether a number's option may be left to the program, and the number is. */
static bool may_be_auto(const struct jf_option *e) {
	return (e->type == T_INT || e->type == T_REAL) && e->fallback && strcmp(e->fallback, "auto") == 0;
}

static bool is_auto(const struct jf_option *e, const void *field) {
	return may_be_auto(e) && (e->type == T_INT ? *(const int *)field < 0 : *(const double *)field < 0);
}

static enum jf_err parse_list(
    const struct jf_option *e, const char *text, struct jf_train_options *out, struct jf_error *err) {
	out->n_ema = 0;
	for (const char *at = text;;) {
		char *end;
		double value = strtod(at, &end);

		if (end == at || (*end && *end != ',') || !(value > e->min && value < e->max))
			return jf_error_set(err, JF_EINVAL, "--%s: '%s' is not a list of numbers between %g and %g",
			    e->name, text, e->min, e->max);
		if (out->n_ema == JF_MAX_EMA)
			return jf_error_set(err, JF_EINVAL, "--%s: at most %d numbers", e->name, JF_MAX_EMA);
		out->ema[out->n_ema++] = (float)value;
		if (!*end)
			return JF_OK;
		at = end + 1;
	}
}

static enum jf_err set(
    const struct jf_option *e, const char *text, struct jf_train_options *out, struct jf_error *err) {
	void *field = (char *)out + e->offset;

	if (may_be_auto(e) && strcmp(text, "auto") == 0) {
		if (e->type == T_INT)
			*(int *)field = JF_AUTO;
		else
			*(double *)field = JF_AUTO;
		return JF_OK;
	}
	switch (e->type) {
	case T_SIZE:
		return parse_size(e, text, field, err);
	case T_LIST:
		return parse_list(e, text, out, err);
	case T_SHARES:
		return parse_shares(e, text, field, err);
	case T_TEXT:
		if (!*text)
			return jf_error_set(err, JF_EINVAL, "--%s: must not be empty", e->name);
		break;
	}
	return jf_option_error(err, e, jf_option_set(out, e, text), text);
}

static enum jf_err check(struct jf_train_options *out, struct jf_error *err) {
	char *state = NULL;

	if (!out->data)
		return jf_error_set(err, JF_EINVAL, "--data is missing");
	if (out->extend && !out->resume)
		return jf_error_set(err, JF_EINVAL, "--extend goes with --resume");
	if (out->epochs == 0)
		return jf_error_set(err, JF_EINVAL, "--epochs: must be above 0");
	if (out->steps > 0 && out->epochs > 0)
		return jf_error_set(err, JF_EINVAL, "--steps and --epochs both say how long the run is; give one");
	if (out->grey && out->colour)
		return jf_error_set(err, JF_EINVAL, "--grey and --colour are mutually exclusive");
	if (out->validation && out->holdout > 0)
		return jf_error_set(err, JF_EINVAL, "--validation and --holdout both say what is kept back; give one");
	if (out->sheet && out->eval_drawn == 0)
		return jf_error_set(err, JF_EINVAL, "--sheet shows what was drawn, and --eval-drawn=0 draws nothing");
	if (out->label_weight < 0)
		out->label_weight = out->head == JF_HEAD_ENDPOINT ? 0.3 : 1;
	if (out->state ? asprintf(&state, "%s", out->state) < 0 : asprintf(&state, "%s.state", out->output) < 0)
		return jf_error_set(err, JF_ENOMEM, "out of memory");
	out->state = state;
	return JF_OK;
}

enum jf_options_outcome jf_options_parse(struct jf_train_options *out, int argc, char **argv, struct jf_error *err) {
	struct jf_option_walk walk;
	enum jf_option_step step;

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < N_ENTRIES; i++)
		if (table[i].fallback && set(&table[i], table[i].fallback, out, err) != JF_OK)
			return JF_OPTIONS_WRONG;
	jf_option_walk_begin(&walk, argc, argv);
	jf_option_walk_add(&walk, table, N_ENTRIES, 0);
	while ((step = jf_option_walk_next(&walk)) != JF_OPTION_END) {
		if (step != JF_OPTION_GIVEN) {
			jf_option_walk_error(err, &walk, step);
			return JF_OPTIONS_WRONG;
		}
		if (walk.option->type == T_HELP) {
			print_help();
			return JF_OPTIONS_DONE;
		}
		if (walk.option->type == T_VERSION) {
			printf("jointflow-train (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
			return JF_OPTIONS_DONE;
		}
		if (set(walk.option, walk.text, out, err) != JF_OK)
			return JF_OPTIONS_WRONG;
	}
	if (optind < argc) {
		jf_error_set(err, JF_EINVAL, "unexpected argument '%s'", argv[optind]);
		return JF_OPTIONS_WRONG;
	}
	return check(out, err) == JF_OK ? JF_OPTIONS_RUN : JF_OPTIONS_WRONG;
}

void jf_options_deinit(struct jf_train_options *options) {
	free(options->state);
	options->state = NULL;
}

/* Equal text means equal options: %.9g reads back as the same bits of a float. */
static void format(char *text, size_t size, const struct jf_option *e, const struct jf_train_options *options) {
	size_t used = 0;

	switch (e->type) {
	case T_LIST:
		for (int i = 0; i < options->n_ema && used < size; i++)
			used +=
			    (size_t)snprintf(text + used, size - used, "%s%.9g", i ? "," : "", (double)options->ema[i]);
		break;
	case T_SHARES:
		for (int i = 0; i < JF_N_SHARES && used < size; i++)
			used += (size_t)snprintf(
			    text + used, size - used, "%s%.9g", i ? "," : "", (double)options->shares[i]);
		break;
	default:
		if (is_auto(e, (const char *)options + e->offset))
			snprintf(text, size, "auto");
		else
			jf_option_format(text, size, options, e);
	}
}

void jf_options_facts(const struct jf_train_options *options, struct jf_options_facts *facts) {
	facts->n = 0;
	for (int i = 0; i < N_ENTRIES && facts->n < JF_OPTIONS_MAX_FACTS; i++) {
		if (table[i].tag == FREE)
			continue;
		snprintf(facts->key[facts->n], sizeof(facts->key[0]), "option.%s", table[i].name);
		format(facts->value[facts->n], sizeof(facts->value[0]), &table[i], options);
		facts->metadata[facts->n].key = facts->key[facts->n];
		facts->metadata[facts->n].value = facts->value[facts->n];
		facts->n++;
	}
}

enum jf_err jf_options_match(
    const struct jf_train_options *options, const struct jf_safetensors *stored, struct jf_error *err) {
	char key[40], mine[96];

	for (int i = 0; i < N_ENTRIES; i++) {
		const struct jf_option *e = &table[i];
		const char *theirs;

		if (e->tag == FREE || (e->tag == RECIPE && options->extend))
			continue;
		snprintf(key, sizeof(key), "option.%s", e->name);
		format(mine, sizeof(mine), e, options);
		theirs = jf_safetensors_metadata(stored, key);
		if (!theirs)
			return jf_error_set(err, JF_EFORMAT,
			    "%s: was saved by a version of jointflow-train that had no --%s: go on with that version, "
			    "or "
			    "begin anew with another --state (--init takes the weights of a finished model)",
			    jf_safetensors_origin(stored), e->name);
		if (strcmp(theirs, mine) != 0)
			return jf_error_set(err, JF_EINVAL, "%s: was made with --%s=%s, not %s%s",
			    jf_safetensors_origin(stored), e->name, theirs, mine,
			    e->tag == RECIPE ? " (--extend allows the change)" : "");
	}
	return JF_OK;
}
