/* One HTTP response as plain data: status, header fields, body. */
#ifndef JF_DAEMON_HTTP_RESPONSE_H
#define JF_DAEMON_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"

#define JF_RESPONSE_HEADERS 24
#define JF_RESPONSE_TEXT 3072

struct jf_response {
	int status;
	const char *body; /* NULL: none */
	size_t size;
	bool owned;    /* body is malloc'd and freed by whoever takes the response; otherwise it lives for ever */
	bool stream;   /* the body follows piece by piece (jf_request_write); body is NULL */
	bool close;    /* the connection ends with this response */
	int n_headers; /* name at text + name[i], value at text + value[i]; both NUL-terminated */
	size_t used;
	unsigned short name[JF_RESPONSE_HEADERS], value[JF_RESPONSE_HEADERS];
	char text[JF_RESPONSE_TEXT];
};

void jf_response_init(struct jf_response *response, int status);
/* Frees an owned body. */
void jf_response_deinit(struct jf_response *response);

/* Adds a header field. Control characters in the value become spaces (no response splitting); a field that does not fit
 * is left out. */
void jf_response_header(struct jf_response *response, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *jf_response_get(const struct jf_response *response, const char *name); /* borrowed; NULL when absent */

/* Steals `body` (malloc'd). */
void jf_response_own(struct jf_response *response, const char *content_type, char *body, size_t size);
/* Borrows `body`, which must outlive the server. */
void jf_response_borrow(struct jf_response *response, const char *content_type, const char *body, size_t size);

#endif
