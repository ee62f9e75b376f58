/* multipart/form-data (RFC 7578), whole in memory. */
#ifndef JF_DAEMON_HTTP_MULTIPART_H
#define JF_DAEMON_HTTP_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"

#define JF_MAX_PARTS 160

struct jf_part {
	char name[64];         /* of the field */
	char content_type[64]; /* "" when absent */
	bool is_file;          /* it came with a file's name */
	const char *data;      /* borrowed from the body */
	size_t size;
};

/* Splits body at `boundary`. *n out: parts written to parts[max]. JF_EFORMAT says what is wrong: no boundary, a part
 * without a name, without an end, more parts than max; JF_ELIMIT a name that is too long. */
enum jf_err jf_multipart_parse(
    struct jf_part *parts, int *n, int max, const char *body, size_t size, const char *boundary, struct jf_error *err);

#endif
