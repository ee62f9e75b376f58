#include "daemon/http/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/json.h"

static int hex_value(char c) {
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *jf_percent_decode(const char *text, size_t length, bool plus) {
	char *out = malloc(length + 1);
	size_t i, used = 0;
	int c;

	if (!out)
		return NULL;
	for (i = 0; i < length; i++) {
		c = text[i] == '+' && plus ? ' ' : text[i];
		if (c == '%') {
			if (i + 2 >= length || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
				goto bad;
			c = hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]);
			i += 2;
		}
		if (c == 0)
			goto bad;
		out[used++] = (char)c;
	}
	out[used] = '\0';
	if (jf_utf8_valid(out, used))
		return out;
bad:
	free(out);
	return NULL;
}

/* --- media types --- */

bool jf_media_type_is(const char *content_type, const char *type) {
	size_t length = strlen(type);

	if (!content_type || strncasecmp(content_type, type, length) != 0)
		return false;
	content_type += length;
	content_type += strspn(content_type, " \t");
	return *content_type == '\0' || *content_type == ';';
}

bool jf_media_type_parameter(char *out, size_t size, const char *content_type, const char *name) {
	const char *p = content_type;
	size_t length, used = 0;

	while (p && (p = strchr(p, ';'))) {
		p += 1 + strspn(p + 1, " \t");
		length = strcspn(p, "=;");
		if (p[length] != '=' || strlen(name) != length || strncasecmp(p, name, length) != 0)
			continue;
		p += length + 1;
		if (*p != '"') {
			used = strcspn(p, "; \t");
			if (used == 0 || used >= size)
				return false;
			memcpy(out, p, used);
			out[used] = '\0';
			return true;
		}
		for (p++; *p && *p != '"'; p++) {
			if (*p == '\\' && p[1])
				p++;
			if (used + 1 >= size)
				return false;
			out[used++] = *p;
		}
		out[used] = '\0';
		return *p == '"';
	}
	return false;
}

/* How well one range of an Accept field fits a type: 0 not, 1 for any type, 2 for any subtype, 3 exactly. */
static int fit(const char *range, size_t length, const char *type) {
	size_t slash = (size_t)(strchr(type, '/') - type);

	while (length && (range[length - 1] == ' ' || range[length - 1] == '\t'))
		length--;
	if (length == 3 && strncmp(range, "*/*", 3) == 0)
		return 1;
	if (length == slash + 2 && range[length - 1] == '*' && strncasecmp(range, type, slash + 1) == 0)
		return 2;
	return length == strlen(type) && strncasecmp(range, type, length) == 0 ? 3 : 0;
}

/* The q parameter of a range, 0 to 1000; 1000 when absent. */
static int quality(const char *range, const char *end) {
	const char *p = memchr(range, ';', (size_t)(end - range));
	int value = 0, digit, scale = 1000;

	for (; p; p = memchr(p, ';', (size_t)(end - p))) {
		p++;
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if (end - p < 3 || (*p != 'q' && *p != 'Q') || p[1] != '=')
			continue;
		for (p += 2; p < end && (isdigit((unsigned char)*p) || *p == '.'); p++) {
			if (*p == '.')
				continue;
			digit = *p - '0';
			value += digit * scale;
			scale /= 10;
		}
		return value > 1000 ? 1000 : value;
	}
	return 1000;
}

static int quality_of(const char *accept, const char *type) {
	const char *p = accept, *end;
	int best_fit = 0, best = 0, f;

	for (; *p; p = *end ? end + 1 : end) {
		p += strspn(p, " \t");
		end = p + strcspn(p, ",");
		f = fit(p, strcspn(p, ";,"), type);
		if (f > best_fit) {
			best_fit = f;
			best = quality(p, end);
		}
	}
	return best;
}

int jf_negotiate(const char *accept, const char *const *offers, int n) {
	int best = -1, best_quality = 0, i, q;

	if (!accept || !*accept)
		return 0;
	for (i = 0; i < n; i++) {
		q = quality_of(accept, offers[i]);
		if (q > best_quality) {
			best_quality = q;
			best = i;
		}
	}
	return best;
}

/* q of one content coding, 0 to 1000; -1 when the field says nothing about it. */
static int coding_quality(const char *field, const char *coding) {
	const char *p = field, *end;
	int any = -1;

	for (; *p; p = *end ? end + 1 : end) {
		size_t length;

		p += strspn(p, " \t");
		end = p + strcspn(p, ",");
		length = strcspn(p, ";, \t");
		if (length == strlen(coding) && strncasecmp(p, coding, length) == 0)
			return quality(p, end);
		if (length == 1 && *p == '*')
			any = quality(p, end);
	}
	return any;
}

bool jf_accepts_gzip(const char *accept_encoding) {
	int gzip, identity;

	if (!accept_encoding)
		return false;
	gzip = coding_quality(accept_encoding, "gzip");
	if (gzip < 0)
		gzip = coding_quality(accept_encoding, "x-gzip");
	identity = coding_quality(accept_encoding, "identity");
	return gzip > 0 && gzip >= identity;
}
