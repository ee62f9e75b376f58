/* A table of options: the name of each, its possible values, and where its value goes. Parsing, printing and walking a
 * command line, for the three programs and the daemon's configuration file. */
#ifndef JF_CORE_BASE_OPTION_H
#define JF_CORE_BASE_OPTION_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/base/error.h"

enum jf_option_type {
	JF_OPTION_FLAG,    /* bool: true when the option is there; has no value */
	JF_OPTION_BOOL,    /* bool: yes or no */
	JF_OPTION_INT,     /* int from min to max */
	JF_OPTION_BYTES,   /* the same; K, M or G may follow */
	JF_OPTION_REAL,    /* double from min to max */
	JF_OPTION_SEED,    /* uint64_t */
	JF_OPTION_TEXT,    /* const char *, borrowed */
	JF_OPTION_STRING,  /* char *, owned by the struct, never NULL; no control characters */
	JF_OPTION_LIST,    /* the same with commas between items, which are trimmed: "a,b" */
	JF_OPTION_CHOICE,  /* int (or an enum): index of the word */
	JF_OPTION_SECTION, /* no option: `help` is the title of those that follow */
	JF_OPTION_OWN,     /* from here on: types that the program parses and prints itself */
};

struct jf_option {
	const char *name; /* in a configuration file with '_', on the command line with '-' */
	int letter;       /* 0: none */
	int type;         /* enum jf_option_type */
	unsigned tag;     /* the program's own, such as which commands take it */
	/* Its value's name in --help; NULL: it has none there. Of a choice without `choices` the words: "yes|no". */
	const char *argument;
	size_t offset; /* of its field */
	double min, max;
	const char *fallback;       /* the value, as text, when nothing is said; NULL: the field stays as it is */
	const char *help;           /* a '\n' begins a line */
	const char *const *choices; /* ends with NULL */
	/* what only the daemon's configuration has */
	const char *section, *unit;
};

enum jf_option_fault {
	JF_OPTION_FINE,
	JF_OPTION_NO_NUMBER,
	JF_OPTION_NOT_WHOLE,
	JF_OPTION_OUTSIDE, /* min to max */
	JF_OPTION_NO_CHOICE,
	JF_OPTION_NEITHER, /* yes nor no */
	JF_OPTION_EMPTY_ITEM,
	JF_OPTION_CONTROL, /* a control character */
	JF_OPTION_NO_MEMORY,
};

/* Stores the value in its field of the struct `fields`, which is unchanged on any fault. */
enum jf_option_fault jf_option_set(void *fields, const struct jf_option *option, const char *text);
/* A sentence for it, as the command line words it: "--steps: 0 is outside 1 to 1000". */
enum jf_err jf_option_error(
    struct jf_error *err, const struct jf_option *option, enum jf_option_fault fault, const char *text);

/* The value as text that jf_option_set reads back as the same; "" for flags, TEXT and the program's own types. */
void jf_option_format(char *text, size_t size, const void *fields, const struct jf_option *option);
/* What is allowed, in words: "0 to 256", "yes or no", "error, warning or notice". */
void jf_option_range(char *text, size_t size, const struct jf_option *option);

/* The lines of --help; of options with one of the tags, or of all when tags is 0. */
void jf_option_help(FILE *out, const struct jf_option *options, int n, unsigned tags);

/* --- a walk along the command line --- */

#define JF_OPTION_MAX 160 /* options of one walk */

struct jf_option_walk {
	const struct jf_option *options[JF_OPTION_MAX];
	int n;
	int argc;
	char *const *argv;
	const struct jf_option *option; /* the one that was met */
	const char *name;               /* its name, with '-' */
	const char *text; /* its value; NULL when it has none. Of UNKNOWN and BARE the option as it was written */
	char names[JF_OPTION_MAX][40]; /* with '-' */
	char letter[3];
	struct option longs[2 * JF_OPTION_MAX + 1];
	char shorts[2 * JF_OPTION_MAX + 3];
};

enum jf_option_step {
	JF_OPTION_GIVEN,   /* walk->option, with walk->text */
	JF_OPTION_UNKNOWN, /* or ambiguous, or with a value that it does not take */
	JF_OPTION_BARE,    /* without the value that it needs */
	JF_OPTION_END,     /* the operands begin at argv[optind] */
};

/* From the beginning; argv[0] is the program. Operands may stand anywhere: argv is reordered. */
void jf_option_walk_begin(struct jf_option_walk *walk, int argc, char *const *argv);
/* Adds options with one of the tags (0: all) before the first step. FLAGs, and the program's own types without
 * `argument`, take no value; if `argument` begins with '[', the value is optional. */
void jf_option_walk_add(struct jf_option_walk *walk, const struct jf_option *options, int n, unsigned tags);
enum jf_option_step jf_option_walk_next(struct jf_option_walk *walk);
/* A sentence for the step UNKNOWN or BARE. */
enum jf_err jf_option_walk_error(struct jf_error *err, const struct jf_option_walk *walk, enum jf_option_step step);

#endif
