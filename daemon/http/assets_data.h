/* Files that were embedded at build time by daemon/embed.sh. */
#ifndef JF_DAEMON_HTTP_ASSETS_DATA_H
#define JF_DAEMON_HTTP_ASSETS_DATA_H

#include <stddef.h>

struct jf_embedded {
	const char *path; /* from the source folder: "web/index.html", "doc/openapi.json" */
	const unsigned char *data;
	size_t size;
};
extern const struct jf_embedded jf_embedded[];
extern const int jf_n_embedded;

#endif
