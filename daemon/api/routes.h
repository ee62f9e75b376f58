/* Which handler answers which path. */
#ifndef JF_DAEMON_API_ROUTES_H
#define JF_DAEMON_API_ROUTES_H

#include "daemon/api/call.h"

enum {
	JF_GET = 1, /* and HEAD */
	JF_POST = 2,
};
enum {
	JF_ROUTE_OPEN = 1,         /* no key needed */
	JF_ROUTE_PROBE = 2,        /* no key, no Host check, no rate limit */
	JF_ROUTE_METRICS = 4,      /* open when metrics_public */
	JF_ROUTE_PICTURE_BODY = 8, /* takes image/png, image/jpeg and multipart/form-data beside JSON */
	JF_ROUTE_ANY_ACCEPT = 16,
	JF_ROUTE_BINARY_BODY = 32, /* takes application/octet-stream and no type at all beside JSON */
	JF_ROUTE_LARGE_BODY = 64,  /* takes a body of max_body_bytes; the others take what fits a few parameters */
};

struct jf_route {
	const char *pattern; /* "/v1/classify"; "*" at the end: any rest; "{}": one segment */
	const char *label;   /* the route in metrics and problems */
	int methods, flags;
	enum jf_representation get_offers[3], post_offers[3]; /* best first */
	int n_get, n_post;
	void (*handle)(struct jf_call *call);
};

/* The route for a decoded path; tail is filled. NULL: none. */
const struct jf_route *jf_route_find(const char *path, char *tail, size_t size);

/* Makes the counters of requests for every route, at zero; see daemon/service/metrics.h. */
void jf_routes_announce(struct jf_metrics *metrics);

#endif
