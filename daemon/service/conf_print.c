/* The table in its four written forms. */
#include <stdlib.h>
#include <string.h>

#include "daemon/service/conf_table.h"

/* Breaks text at spaces into lines of at most `width` columns, each after `indent`. */
static void print_wrapped(FILE *out, const char *indent, const char *text, size_t width) {
	size_t room = width - strlen(indent);
	while (*text) {
		size_t length = strlen(text);
		if (length > room) {
			length = room;
			while (length > 0 && text[length] != ' ')
				length--;
			if (length == 0)
				length = strcspn(text, " ");
		}
		fprintf(out, "%s%.*s\n", indent, (int)length, text);
		text += length;
		while (*text == ' ')
			text++;
	}
}

static void describe(const struct jf_option *key, char *out, size_t size) {
	char range[160];
	jf_option_range(range, sizeof(range), key);
	if (key->type == JF_OPTION_STRING || key->type == JF_OPTION_LIST)
		snprintf(out, size, "%s", range);
	else
		snprintf(out, size, "%s%s%s", range, *key->unit ? " " : "", key->unit);
	if (key->tag & (JF_CONF_RELOAD | JF_CONF_RELOAD_SET))
		strncat(out, "; a reload applies it", size - strlen(out) - 1);
	if (key->tag & JF_CONF_RELOAD_SET)
		strncat(out, " unless it was or becomes empty", size - strlen(out) - 1);
}

static bool starts_section(int i) {
	return i == 0 || strcmp(jf_conf_keys[i].section, jf_conf_keys[i - 1].section) != 0;
}

void jf_conf_print(const struct jf_conf *conf, FILE *out) {
	for (int i = 0; i < jf_conf_n_keys; i++) {
		const struct jf_option *key = &jf_conf_keys[i];
		char value[32];
		if (jf_conf_is_string(key)) {
			fprintf(out, "%s = %s\n", key->name, jf_conf_string(conf, key));
			continue;
		}
		jf_option_format(value, sizeof(value), conf, key);
		fprintf(out, "%s = %s\n", key->name, value);
	}
}

void jf_conf_print_file(FILE *out) {
	fputs("# jointflowd.conf: every key, commented out, with its default. See jointflowd.conf(5).\n"
	      "# Environment (JOINTFLOWD_LISTEN_PORT=...) and command line (--listen-port=...) override this file.\n"
	      "# \"jointflowd --check-config\" says whether it is right; \"systemctl reload jointflowd\" applies the "
	      "keys that\n"
	      "# say so.\n",
	    out);
	for (int i = 0; i < jf_conf_n_keys; i++) {
		const struct jf_option *key = &jf_conf_keys[i];
		char facts[256];
		if (starts_section(i))
			fprintf(out, "\n# --- %s ---\n", key->section);
		fputc('\n', out);
		print_wrapped(out, "# ", key->help, 100);
		describe(key, facts, sizeof(facts));
		fprintf(out, "# (%s)\n#%s =%s%s\n", facts, key->name, *key->fallback ? " " : "", key->fallback);
	}
}

/* mdoc needs backslashes doubled and no line that starts with a dot or a quote; the texts have none of these, the test
 * of the table says so. Sentences start on a line of their own, as mdoc wants. */
static void print_sentences(FILE *out, const char *text) {
	while (*text) {
		const char *end = strstr(text, ". ");
		size_t length = end ? (size_t)(end - text) + 1 : strlen(text);
		fprintf(out, "%.*s\n", (int)length, text);
		text += length;
		while (*text == ' ')
			text++;
	}
}

void jf_conf_print_man(FILE *out) {
	for (int i = 0; i < jf_conf_n_keys; i++) {
		const struct jf_option *key = &jf_conf_keys[i];
		char facts[256];
		describe(key, facts, sizeof(facts));
		if (starts_section(i))
			fprintf(out, "%s.Ss %s\n.Bl -tag -width Ds\n", i ? ".El\n" : "", key->section);
		fprintf(out, ".It Cm %s No = Ar value\n", key->name);
		print_sentences(out, key->help);
		fprintf(out, "Allowed: %s.\n", facts);
		if (*key->fallback)
			fprintf(out, "Default:\n.Ql %s .\n", key->fallback);
		else
			fputs("Default: empty.\n", out);
	}
	fputs(".El\n", out);
}

void jf_conf_print_help(FILE *out) {
	fputs("Usage: jointflowd [--config=FILE] [--KEY=VALUE ...]\n"
	      "Answers questions about images and labels over HTTP, by default on 127.0.0.1:6767.\n"
	      "\n"
	      "  --config=FILE         read this file instead of " JF_SYSCONFDIR "/jointflowd.conf\n"
	      "  --check-config        say whether the configuration is valid, and exit\n"
	      "  --print-config        print the values in force, and exit\n"
	      "  --print-config=file   print a configuration file with every key and its default\n"
	      "  --print-config=man    print the keys as mdoc for jointflowd.conf(5)\n"
	      "  --help, --version     print this, or the version, and exit\n"
	      "\n"
	      "Keys, with their defaults. As environment variables: JOINTFLOWD_KEY.\n",
	    out);
	for (int i = 0; i < jf_conf_n_keys; i++) {
		const struct jf_option *key = &jf_conf_keys[i];
		char facts[256], name[40];
		snprintf(name, sizeof(name), "%s", key->name);
		for (char *c = name; *c; c++)
			if (*c == '_')
				*c = '-';
		if (starts_section(i))
			fprintf(out, "\n%s:\n", key->section);
		describe(key, facts, sizeof(facts));
		fprintf(out, "  --%s=%s   (%s)\n", name, key->fallback, facts);
		print_wrapped(out, "      ", key->help, 100);
	}
}
