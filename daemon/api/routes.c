#include "daemon/api/routes.h"

#include <string.h>

#include "daemon/api/endpoints.h"
#include "daemon/api/info.h"
#include "daemon/api/page.h"
#include "daemon/api/v2.h"

#define JSON_ONLY .get_offers = {JF_AS_JSON}, .n_get = 1, .post_offers = {JF_AS_JSON}, .n_post = 1
#define PICTURE                                                          \
	.get_offers = {JF_AS_PNG, JF_AS_JSON, JF_AS_STREAM}, .n_get = 3, \
	.post_offers = {JF_AS_JSON, JF_AS_PNG, JF_AS_STREAM}, .n_post = 3
#define TASK(name, verbs, more, ...)                            \
	{"/v1/" name, "/v1/" name, verbs, more, __VA_ARGS__}, { \
		"/" name, "/v1/" name, verbs, more, __VA_ARGS__ \
	}

/* clang-format off: a table reads by its columns */
static const struct jf_route routes[] = {
    TASK("classify", JF_POST, JF_ROUTE_PICTURE_BODY | JF_ROUTE_LARGE_BODY, .post_offers = {JF_AS_JSON, JF_AS_STREAM},
	.n_post = 2, .handle = jf_endpoint_classify),
    TASK("generate", JF_GET | JF_POST, 0, PICTURE, .handle = jf_endpoint_generate),
    TASK("blend", JF_GET | JF_POST, 0, PICTURE, .handle = jf_endpoint_blend),
    TASK("sample", JF_POST, 0, .post_offers = {JF_AS_JSON, JF_AS_PNG, JF_AS_STREAM}, .n_post = 3,
	.handle = jf_endpoint_sample),
    TASK("edit", JF_POST, JF_ROUTE_PICTURE_BODY | JF_ROUTE_LARGE_BODY,
	.post_offers = {JF_AS_JSON, JF_AS_PNG, JF_AS_STREAM}, .n_post = 3, .handle = jf_endpoint_edit),
    TASK("score", JF_POST, JF_ROUTE_PICTURE_BODY | JF_ROUTE_LARGE_BODY, .post_offers = {JF_AS_JSON}, .n_post = 1,
	.handle = jf_endpoint_score),
    TASK("model", JF_GET, 0, JSON_ONLY, .handle = jf_info_model),
    {"/v1/version", "/version", JF_GET, JF_ROUTE_OPEN, JSON_ONLY, .handle = jf_info_version},
    {"/version", "/version", JF_GET, JF_ROUTE_OPEN, JSON_ONLY, .handle = jf_info_version},
    {"/v1/openapi.json", "/openapi.json", JF_GET, JF_ROUTE_OPEN, JSON_ONLY, .handle = jf_info_openapi},
    {"/openapi.json", "/openapi.json", JF_GET, JF_ROUTE_OPEN, JSON_ONLY, .handle = jf_info_openapi},
    {"/livez", "/livez", JF_GET, JF_ROUTE_PROBE, JSON_ONLY, .handle = jf_info_livez},
    {"/readyz", "/readyz", JF_GET, JF_ROUTE_PROBE, JSON_ONLY, .handle = jf_info_readyz},
    {"/health", "/health", JF_GET, JF_ROUTE_PROBE, JSON_ONLY, .handle = jf_info_health},
    {"/metrics", "/metrics", JF_GET, JF_ROUTE_METRICS | JF_ROUTE_ANY_ACCEPT, .get_offers = {JF_AS_TEXT}, .n_get = 1,
	.handle = jf_info_metrics},
    {"/v2", "/v2", JF_GET, 0, JSON_ONLY, .handle = jf_v2_server},
    {"/v2/health/live", "/v2/health/live", JF_GET, JF_ROUTE_PROBE, JSON_ONLY, .handle = jf_v2_live},
    {"/v2/health/ready", "/v2/health/ready", JF_GET, JF_ROUTE_PROBE, JSON_ONLY, .handle = jf_v2_ready},
    {"/v2/models/{}", "/v2/models/{model}", JF_GET, 0, JSON_ONLY, .handle = jf_v2_model},
    {"/v2/models/{}/ready", "/v2/models/{model}/ready", JF_GET, 0, JSON_ONLY, .handle = jf_v2_model_ready},
    {"/v2/models/{}/infer", "/v2/models/{model}/infer", JF_POST, JF_ROUTE_BINARY_BODY | JF_ROUTE_LARGE_BODY, JSON_ONLY,
	.handle = jf_v2_infer},
    {"/v2/models/{}/versions/1", "/v2/models/{model}", JF_GET, 0, JSON_ONLY, .handle = jf_v2_model},
    {"/v2/models/{}/versions/1/ready", "/v2/models/{model}/ready", JF_GET, 0, JSON_ONLY, .handle = jf_v2_model_ready},
    {"/v2/models/{}/versions/1/infer", "/v2/models/{model}/infer", JF_POST, JF_ROUTE_BINARY_BODY | JF_ROUTE_LARGE_BODY,
	JSON_ONLY, .handle = jf_v2_infer},
    /* last: whatever file the page has */
    {"/*", "/", JF_GET, JF_ROUTE_OPEN | JF_ROUTE_ANY_ACCEPT, .get_offers = {JF_AS_HTML}, .n_get = 1,
	.handle = jf_page_serve},
};
/* clang-format on */

static bool matches(const char *pattern, const char *path, char *tail, size_t size) {
	size_t length;

	*tail = '\0';
	for (; *pattern; pattern++, path++) {
		if (*pattern == '*') {
			length = strlen(path);
			if (length >= size)
				return false;
			memcpy(tail, path, length + 1);
			return true;
		}
		if (pattern[0] == '{' && pattern[1] == '}') {
			length = strcspn(path, "/");
			if (length == 0 || length >= size)
				return false;
			memcpy(tail, path, length);
			tail[length] = '\0';
			path += length - 1;
			pattern++;
			continue;
		}
		if (*pattern != *path)
			return false;
	}
	return *path == '\0';
}

const struct jf_route *jf_route_find(const char *path, char *tail, size_t size) {
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (matches(routes[i].pattern, path, tail, size))
			return &routes[i];
	return NULL;
}

void jf_routes_announce(struct jf_metrics *metrics) {
	static const char *const verbs[] = {"GET", "POST"};
	static const char *const codes[] = {"200", "500", "503"};
	size_t i;
	int verb, code;

	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		for (verb = 0; verb < 2; verb++)
			for (code = 0; code < 3 && (routes[i].methods & (verb ? JF_POST : JF_GET)); code++)
				jf_metric_add(metrics, JF_METRIC_HTTP_REQUESTS, 0,
				    JF_LABELS(routes[i].label, verbs[verb], codes[code]));
}
