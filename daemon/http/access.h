/* Where a request claims to come from, and whether it is allowed to: the Host allow-list, cross-site checks, CORS,
 * forwarded addresses. */
#ifndef JF_DAEMON_HTTP_ACCESS_H
#define JF_DAEMON_HTTP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

/* Whether `host` (the Host field, with or without port) names us. allowed: the configured list; when it is empty, any
 * loopback name or address, and `address` (the one we listen on; every literal address when that is a wildcard). */
bool jf_access_host_allowed(const char *host, const char *allowed, const char *address);

/* Whether a browser sent this from another site's page: Sec-Fetch-Site says so, or, where that is absent, Origin's
 * host and port differ from Host. origins: the CORS list, whose members are welcome; with "*" everybody is. Navigation
 * by GET (Sec-Fetch-Mode: navigate) is not a cross-site request. */
bool jf_access_cross_site(
    const char *method, const char *site, const char *mode, const char *origin, const char *host, const char *origins);

/* Whether CORS answers this origin. An entry of the list is "*", an origin, or one with a star in place of its
 * subdomains or its port: https on *.example.org, http on localhost:* (any port, or none). */
bool jf_access_origin_allowed(const char *origin, const char *origins);

/* A traceparent field of W3C Trace Context (https://www.w3.org/TR/trace-context/, 3.2): NULL, or anything else,
 * gives false. */
bool jf_access_traceparent(const char *field);

/* The client's address behind a trusted proxy: the last entry of X-Forwarded-For that is not a trusted proxy itself,
 * without its port, and as IPv4 where it is that mapped into IPv6. trusted: a list of addresses and networks. Writes
 * `out` (text of an address) and returns true; false when the field is absent or its last entry is not an address. */
bool jf_access_forwarded_for(char *out, size_t size, const char *forwarded, const char *trusted);
/* The same from Forwarded (RFC 7239). */
bool jf_access_forwarded(char *out, size_t size, const char *forwarded, const char *trusted);

#endif
