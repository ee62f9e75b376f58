#include "core/base/option.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* --- choices: an array of words, or words with bars between --- */

/* The word number i and its length; NULL when there is none. */
static const char *choice_at(const struct jf_option *option, int i, size_t *length) {
	const char *word = option->argument;

	if (option->choices) {
		word = option->choices[i];
		*length = word ? strlen(word) : 0;
		return word;
	}
	for (; i > 0 && word; i--) {
		word = strchr(word, '|');
		word = word ? word + 1 : NULL;
	}
	*length = word ? strcspn(word, "|") : 0;
	return word;
}

/* All words; `last` goes before the last one. */
static void list_choices(
    char *text, size_t size, const struct jf_option *option, const char *between, const char *last) {
	size_t used = 0, length, next;
	const char *word;

	text[0] = '\0';
	for (int i = 0; (word = choice_at(option, i, &length)) && used < size; i++) {
		const char *gap = i == 0 ? "" : choice_at(option, i + 1, &next) ? between : last;

		used += (size_t)snprintf(text + used, size - used, "%s%.*s", gap, (int)length, word);
	}
}

/* --- from text --- */

static enum jf_option_fault check_range(const struct jf_option *option, double value) {
	return value >= option->min && value <= option->max ? JF_OPTION_FINE : JF_OPTION_OUTSIDE;
}

static enum jf_option_fault parse_real(double *out, const struct jf_option *option, const char *text) {
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	if (end == text || *end || errno || !isfinite(*out) || isspace((unsigned char)*text))
		return JF_OPTION_NO_NUMBER;
	return check_range(option, *out);
}

static enum jf_option_fault parse_int(int *out, const struct jf_option *option, const char *text) {
	enum jf_option_fault fault;
	long long value, unit = 1;
	double real;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (end == text || isspace((unsigned char)*text) || *text == '+')
		return JF_OPTION_NO_NUMBER;
	if (option->type == JF_OPTION_BYTES && *end) {
		unit = *end == 'K' ? 1 << 10 : *end == 'M' ? 1 << 20 : *end == 'G' ? 1 << 30 : 0;
		end++;
	}
	if (*end || unit == 0)
		return parse_real(&real, option, text) == JF_OPTION_NO_NUMBER ? JF_OPTION_NO_NUMBER
									      : JF_OPTION_NOT_WHOLE;
	if (errno || __builtin_mul_overflow(value, unit, &value))
		return JF_OPTION_OUTSIDE;
	fault = check_range(option, (double)value);
	if (fault == JF_OPTION_FINE)
		*out = (int)value;
	return fault;
}

static enum jf_option_fault parse_seed(uint64_t *out, const char *text) {
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end)
		return JF_OPTION_NOT_WHOLE;
	if (errno)
		return JF_OPTION_OUTSIDE;
	*out = value;
	return JF_OPTION_FINE;
}

static enum jf_option_fault parse_choice(int *out, const struct jf_option *option, const char *text) {
	size_t length;
	const char *word;

	for (int i = 0; (word = choice_at(option, i, &length)); i++)
		if (strlen(text) == length && strncmp(word, text, length) == 0) {
			*out = i;
			return JF_OPTION_FINE;
		}
	return JF_OPTION_NO_CHOICE;
}

/* "a, b" -> "a,b" */
static enum jf_option_fault tidy_list(char *list, const char *text) {
	char *to = list;

	while (*text) {
		size_t length = strcspn(text, ",");
		const char *next = text + length + (text[length] == ',');
		bool last = text[length] == '\0';

		while (length > 0 && isspace((unsigned char)*text))
			text++, length--;
		while (length > 0 && isspace((unsigned char)text[length - 1]))
			length--;
		if (length == 0 || (!last && *next == '\0'))
			return JF_OPTION_EMPTY_ITEM;
		memcpy(to, text, length);
		to += length;
		if (!last)
			*to++ = ',';
		text = next;
	}
	*to = '\0';
	return JF_OPTION_FINE;
}

static enum jf_option_fault parse_string(char **out, const struct jf_option *option, const char *text) {
	enum jf_option_fault fault = JF_OPTION_FINE;
	char *copy;

	for (const char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			return JF_OPTION_CONTROL;
	copy = strdup(text);
	if (!copy)
		return JF_OPTION_NO_MEMORY;
	if (option->type == JF_OPTION_LIST)
		fault = tidy_list(copy, text);
	if (fault != JF_OPTION_FINE) {
		free(copy);
		return fault;
	}
	free(*out);
	*out = copy;
	return JF_OPTION_FINE;
}

static enum jf_option_fault parse_bool(bool *out, const char *text) {
	bool yes = strcmp(text, "yes") == 0;

	if (!yes && strcmp(text, "no") != 0)
		return JF_OPTION_NEITHER;
	*out = yes;
	return JF_OPTION_FINE;
}

enum jf_option_fault jf_option_set(void *fields, const struct jf_option *option, const char *text) {
	void *field = (char *)fields + option->offset;
	enum jf_option_fault fault;
	double real;

	switch (option->type) {
	case JF_OPTION_FLAG:
		*(bool *)field = true;
		return JF_OPTION_FINE;
	case JF_OPTION_BOOL:
		return parse_bool(field, text);
	case JF_OPTION_INT:
	case JF_OPTION_BYTES:
		return parse_int(field, option, text);
	case JF_OPTION_REAL:
		fault = parse_real(&real, option, text);
		if (fault == JF_OPTION_FINE)
			*(double *)field = real;
		return fault;
	case JF_OPTION_SEED:
		return parse_seed(field, text);
	case JF_OPTION_TEXT:
		*(const char **)field = text;
		return JF_OPTION_FINE;
	case JF_OPTION_STRING:
	case JF_OPTION_LIST:
		return parse_string(field, option, text);
	case JF_OPTION_CHOICE:
		return parse_choice(field, option, text);
	default:
		return JF_OPTION_FINE;
	}
}

enum jf_err jf_option_error(
    struct jf_error *err, const struct jf_option *option, enum jf_option_fault fault, const char *text) {
	char words[160];

	switch (fault) {
	case JF_OPTION_FINE:
		return JF_OK;
	case JF_OPTION_NO_NUMBER:
		return jf_error_set(err, JF_EINVAL, "--%s: '%.80s' is not a number", option->name, text);
	case JF_OPTION_NOT_WHOLE:
		return jf_error_set(err, JF_EINVAL, "--%s: '%.80s' is not a whole number", option->name, text);
	case JF_OPTION_OUTSIDE:
		jf_option_range(words, sizeof(words), option);
		return jf_error_set(err, JF_EINVAL, "--%s: %.80s is outside %s", option->name, text, words);
	case JF_OPTION_NO_CHOICE:
		list_choices(words, sizeof(words), option, option->choices ? ", " : "|", option->choices ? ", " : "|");
		return jf_error_set(err, JF_EINVAL, "--%s: '%.80s' is none of %s", option->name, text, words);
	case JF_OPTION_NO_MEMORY:
		return jf_error_set(err, JF_ENOMEM, "--%s: out of memory", option->name);
	default:
		jf_option_range(words, sizeof(words), option);
		return jf_error_set(err, JF_EINVAL, "--%s: %s expected, got '%.80s'", option->name, words, text);
	}
}

/* --- to text --- */

void jf_option_format(char *text, size_t size, const void *fields, const struct jf_option *option) {
	const void *field = (const char *)fields + option->offset;
	const char *word;
	size_t length;

	switch (option->type) {
	case JF_OPTION_BOOL:
		snprintf(text, size, "%s", *(const bool *)field ? "yes" : "no");
		break;
	case JF_OPTION_INT:
	case JF_OPTION_BYTES:
		snprintf(text, size, "%d", *(const int *)field);
		break;
	case JF_OPTION_REAL:
		snprintf(text, size, "%.15g", *(const double *)field);
		break;
	case JF_OPTION_SEED:
		snprintf(text, size, "%llu", (unsigned long long)*(const uint64_t *)field);
		break;
	case JF_OPTION_STRING:
	case JF_OPTION_LIST:
		snprintf(text, size, "%s", *(char *const *)field);
		break;
	case JF_OPTION_CHOICE:
		word = choice_at(option, *(const int *)field, &length);
		snprintf(text, size, "%.*s", (int)length, word ? word : "");
		break;
	default:
		text[0] = '\0';
	}
}

void jf_option_range(char *text, size_t size, const struct jf_option *option) {
	switch (option->type) {
	case JF_OPTION_BOOL:
		snprintf(text, size, "yes or no");
		break;
	case JF_OPTION_SEED:
		snprintf(text, size, "0 to 2^64 - 1");
		break;
	case JF_OPTION_LIST:
		snprintf(text, size, "a comma-separated list");
		break;
	case JF_OPTION_CHOICE:
		list_choices(text, size, option, ", ", " or ");
		break;
	case JF_OPTION_INT:
	case JF_OPTION_BYTES:
	case JF_OPTION_REAL:
		snprintf(text, size, "%.12g to %.12g", option->min, option->max);
		break;
	default:
		snprintf(text, size, "text");
	}
}

#define HELP_COLUMN 29

static void print_one(FILE *out, const struct jf_option *option) {
	const char *line = option->help;
	char left[96];

	snprintf(left, sizeof(left), option->letter ? "  -%c, --%s%s%s" : "  %.0d    --%s%s%s", option->letter,
	    option->name, option->argument ? "=" : "", option->argument ? option->argument : "");
	if (strlen(left) < HELP_COLUMN - 1)
		fprintf(out, "%-*s", HELP_COLUMN, left);
	else
		fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
	for (const char *next; (next = strchr(line, '\n')); line = next + 1)
		fprintf(out, "%.*s\n%*s", (int)(next - line), line, HELP_COLUMN, "");
	fputs(line, out);
	if (option->fallback)
		fprintf(out, " [%s]", option->fallback);
	fputc('\n', out);
}

void jf_option_help(FILE *out, const struct jf_option *options, int n, unsigned tags) {
	for (int i = 0; i < n; i++) {
		if (tags && !(options[i].tag & tags))
			continue;
		if (options[i].type == JF_OPTION_SECTION)
			fprintf(out, "\n%s:\n", options[i].help);
		else
			print_one(out, &options[i]);
	}
}

/* --- the walk --- */

#define LONG_VALUE 256 /* getopt's value for option i is LONG_VALUE + i, or its letter */

void jf_option_walk_begin(struct jf_option_walk *walk, int argc, char *const *argv) {
	walk->n = 0;
	walk->shorts[0] = '\0'; /* made at the first step */
	walk->argc = argc;
	walk->argv = argv;
}

void jf_option_walk_add(struct jf_option_walk *walk, const struct jf_option *options, int n, unsigned tags) {
	for (int i = 0; i < n && walk->n < JF_OPTION_MAX; i++)
		if (options[i].type != JF_OPTION_SECTION && (!tags || options[i].tag & tags))
			walk->options[walk->n++] = &options[i];
}

/* getopt's two views of the options: every name as written and with dashes, and the letters. */
static void make_getopt(struct jf_option_walk *walk) {
	struct option *longs = walk->longs;
	char *shorts = walk->shorts;

	*shorts++ = ':';
	for (int i = 0; i < walk->n; i++) {
		const struct jf_option *option = walk->options[i];
		bool bare = option->type == JF_OPTION_FLAG || (option->type >= JF_OPTION_OWN && !option->argument);
		bool optional = option->argument && option->argument[0] == '[';
		int has = bare ? no_argument : optional ? optional_argument : required_argument;

		snprintf(walk->names[i], sizeof(walk->names[i]), "%s", option->name);
		for (char *c = walk->names[i]; *c; c++)
			if (*c == '_')
				*c = '-';
		*longs++ = (struct option){walk->names[i], has, NULL, LONG_VALUE + i};
		if (strcmp(walk->names[i], option->name) != 0)
			*longs++ = (struct option){option->name, has, NULL, LONG_VALUE + i};
		if (option->letter)
			*shorts++ = (char)option->letter;
		if (option->letter && has != no_argument)
			*shorts++ = ':';
	}
	*longs = (struct option){0};
	*shorts = '\0';
	opterr = 0;
	optind = 0; /* the GNU way to start afresh */
}

enum jf_option_step jf_option_walk_next(struct jf_option_walk *walk) {
	int got;

	if (!walk->shorts[0])
		make_getopt(walk);
	got = getopt_long(walk->argc, walk->argv, walk->shorts, walk->longs, NULL);
	if (got == -1)
		return JF_OPTION_END;
	if (got == '?' || got == ':') {
		snprintf(walk->letter, sizeof(walk->letter), "-%c", optopt);
		walk->text = optopt > 0 && optopt < LONG_VALUE ? walk->letter : walk->argv[optind - 1];
		return got == ':' ? JF_OPTION_BARE : JF_OPTION_UNKNOWN;
	}
	for (int i = 0; i < walk->n; i++)
		if (got == LONG_VALUE + i || got == walk->options[i]->letter) {
			walk->option = walk->options[i];
			walk->name = walk->names[i];
		}
	walk->text = optarg;
	return JF_OPTION_GIVEN;
}

enum jf_err jf_option_walk_error(struct jf_error *err, const struct jf_option_walk *walk, enum jf_option_step step) {
	const char *given = walk->text;
	size_t length = strcspn(given, "="), used = 0;
	char names[200] = "";
	int n = 0;

	if (step == JF_OPTION_BARE)
		return jf_error_set(err, JF_EINVAL, "option '%.80s' needs an argument", given);
	for (int i = 0; i < walk->n && length > 2; i++) {
		if (strncmp(given, "--", 2) != 0 || strncmp(walk->names[i], given + 2, length - 2) != 0)
			continue;
		if (used < sizeof(names))
			used += (size_t)snprintf(
			    names + used, sizeof(names) - used, "%s--%s", n ? ", " : "", walk->names[i]);
		n++;
	}
	if (n > 1)
		return jf_error_set(err, JF_EINVAL, "option '%.80s' is ambiguous: %s", given, names);
	if (n == 1)
		return jf_error_set(err, JF_EINVAL, "option '%.80s': %s takes no argument", given, names);
	return jf_error_set(err, JF_EINVAL, "unknown option '%.80s'", given);
}
