/* Text forms used in HTTP: percent-encoding, media types, content negotiation. */
#ifndef JF_DAEMON_HTTP_TEXT_H
#define JF_DAEMON_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes %XX (and '+' as a space) in place of a copy: malloc'd text, or NULL when it is malformed, contains NUL or is
 * not UTF-8. */
char *jf_percent_decode(const char *text, size_t length, bool plus);

/* Whether a Content-Type is `type` ("image/png"), whatever its parameters. NULL: no. */
bool jf_media_type_is(const char *content_type, const char *type);
/* A parameter's value, unquoted; false when absent or malformed. */
bool jf_media_type_parameter(char *out, size_t size, const char *content_type, const char *name);

/* Which of offers[n] an Accept field likes best (RFC 9110, 12.5.1); ties go to the earlier offer, an absent field to
 * the first; -1: none. */
int jf_negotiate(const char *accept, const char *const *offers, int n);

/* Whether an Accept-Encoding field (NULL: absent) permits gzip and does not prefer the plain bytes (RFC 9110,
 * 12.5.3). */
bool jf_accepts_gzip(const char *accept_encoding);

#endif
