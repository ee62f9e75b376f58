/* gzip compression. The daemon's one use of zlib. */
#ifndef JF_DAEMON_HTTP_DEFLATE_H
#define JF_DAEMON_HTTP_DEFLATE_H

#include <stddef.h>

/* malloc'd, the same bytes for the same input; NULL when memory is short. */
char *jf_gzip(const char *data, size_t size, size_t *compressed);

#endif
