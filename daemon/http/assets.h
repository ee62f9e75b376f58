/* The page's files: embedded at build time, or read from web_root. */
#ifndef JF_DAEMON_HTTP_ASSETS_H
#define JF_DAEMON_HTTP_ASSETS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"

struct jf_assets;

struct jf_asset {
	const char *path; /* "index.html", "app.js"; relative, '/' between folders */
	const char *content_type;
	const char *data; /* lives as long as the assets */
	size_t size;
	const char *gzip; /* compressed; NULL when that would not be smaller */
	size_t gzip_size;
	char etag[68], gzip_etag[68]; /* with quotes; strong */
};

/* web_root "": the embedded files. Otherwise every regular file below that folder is read now (hidden ones are left
 * out, at most 1000 files of 16 MiB; links are not followed). NULL on failure: JF_EIO, JF_ELIMIT, JF_ENOMEM. */
struct jf_assets *jf_assets_load(const char *web_root, struct jf_error *err);
void jf_assets_destroy(struct jf_assets *assets); /* NULL allowed */

/* By path without a leading slash; "" is "index.html", and "docs" finds docs.html. NULL when there is none. */
const struct jf_asset *jf_assets_find(const struct jf_assets *assets, const char *path);

#endif
