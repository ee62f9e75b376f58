#include "config.h"

#include "daemon/http/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "daemon/http/text.h"

#define MAX_BOUNDARY 70 /* RFC 2046 */
#define MAX_LINE 1024

/* One header line of a part into *part. */
static enum jf_err read_line(struct jf_part *part, const char *line, size_t length, struct jf_error *err) {
	char text[MAX_LINE];
	const char *value;

	if (length >= sizeof(text) || memchr(line, '\0', length))
		return jf_error_set(err, JF_EFORMAT, "a part's header line is too long or contains NUL");
	memcpy(text, line, length);
	text[length] = '\0';
	value = strchr(text, ':');
	if (!value)
		return jf_error_set(err, JF_EFORMAT, "a part's header line has no colon");
	value += 1 + strspn(value + 1, " \t");
	if (strncasecmp(text, "Content-Disposition:", 20) == 0) {
		if (!jf_media_type_is(value, "form-data"))
			return jf_error_set(err, JF_EFORMAT, "a part's Content-Disposition is not form-data");
		if (!jf_media_type_parameter(part->name, sizeof(part->name), value, "name") || !*part->name)
			return jf_error_set(err, JF_EFORMAT,
			    "a part's name is missing, malformed or longer than %zu characters",
			    sizeof(part->name) - 1);
		part->is_file = strcasestr(value, "filename=") || strcasestr(value, "filename*=");
	} else if (strncasecmp(text, "Content-Type:", 13) == 0) {
		snprintf(part->content_type, sizeof(part->content_type), "%s", value);
	} else if (strncasecmp(text, "Content-Transfer-Encoding:", 26) == 0 && strcasecmp(value, "binary") != 0 &&
		   strcasecmp(value, "8bit") != 0 && strcasecmp(value, "7bit") != 0) {
		return jf_error_set(
		    err, JF_EFORMAT, "a part has Content-Transfer-Encoding %.40s, which is not supported", value);
	}
	return JF_OK;
}

/* The part's header; *at moves to its first data byte. */
static enum jf_err read_head(struct jf_part *part, const char **at, const char *end, struct jf_error *err) {
	const char *line = *at, *stop;
	enum jf_err code;

	memset(part, 0, sizeof(*part));
	for (;;) {
		stop = memmem(line, (size_t)(end - line), "\r\n", 2);
		if (!stop)
			return jf_error_set(err, JF_EFORMAT, "a part's header has no end");
		if (stop == line)
			break;
		code = read_line(part, line, (size_t)(stop - line), err);
		if (code != JF_OK)
			return code;
		line = stop + 2;
	}
	if (!*part->name)
		return jf_error_set(err, JF_EFORMAT, "a part has no Content-Disposition with a name");
	*at = stop + 2;
	return JF_OK;
}

enum jf_err jf_multipart_parse(
    struct jf_part *parts, int *n, int max, const char *body, size_t size, const char *boundary, struct jf_error *err) {
	const char *end = body + size, *at, *next;
	char mark[MAX_BOUNDARY + 5]; /* CR LF - - boundary */
	size_t length;
	enum jf_err code;

	*n = 0;
	if (!*boundary || strlen(boundary) > MAX_BOUNDARY)
		return jf_error_set(err, JF_EFORMAT, "the boundary has 1 to %d characters", MAX_BOUNDARY);
	length = (size_t)snprintf(mark, sizeof(mark), "\r\n--%s", boundary);
	/* the first one may stand at the very beginning, without its line break */
	if (size >= length - 2 && memcmp(body, mark + 2, length - 2) == 0)
		at = body + length - 2;
	else if ((at = memmem(body, size, mark, length)))
		at += length;
	else
		return jf_error_set(err, JF_EFORMAT, "the boundary does not occur in the body");
	for (;;) {
		if (end - at >= 2 && memcmp(at, "--", 2) == 0)
			return JF_OK; /* what follows the last boundary is an epilogue */
		at += at < end ? strspn(at, " \t") : 0;
		if (end - at < 2 || memcmp(at, "\r\n", 2) != 0)
			return jf_error_set(err, JF_EFORMAT, "a boundary line does not end as it should");
		at += 2;
		if (*n == max)
			return jf_error_set(err, JF_EFORMAT, "more than %d parts", max);
		code = read_head(&parts[*n], &at, end, err);
		if (code != JF_OK)
			return code;
		/* an empty part: its boundary's line break is the one that ended the header */
		next = memmem(at - 2, (size_t)(end - at) + 2, mark, length);
		if (!next)
			return jf_error_set(
			    err, JF_EFORMAT, "part \"%s\" has no end: the closing boundary is missing", parts[*n].name);
		parts[*n].data = at;
		parts[*n].size = next < at ? 0 : (size_t)(next - at);
		(*n)++;
		at = next + length;
	}
}
