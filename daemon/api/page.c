#include "daemon/api/page.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/http/text.h"

/* Whether the client takes gzip at all (RFC 9110, 12.5.3). */
static bool takes_gzip(const char *field) {
	static const char *const offers[] = {"coding/gzip"};
	char list[512] = "";
	size_t used = 0;
	const char *p = field;

	/* the media-type negotiation does codings too, once they look like types */
	while (p && *p) {
		size_t length = strcspn(p, ",");
		const char *start = p + strspn(p, " \t");
		size_t n = (size_t)(p + length - start);

		if (start < p + length && used + n + 16 < sizeof(list)) {
			if (used)
				list[used++] = ',';
			if (*start == '*')
				memcpy(list + used, "*/", 2), used += 2;
			else
				memcpy(list + used, "coding/", 7), used += 7;
			memcpy(list + used, start, n);
			used += n;
			list[used] = '\0';
		}
		p += length + (p[length] == ',');
	}
	return used && jf_negotiate(list, offers, 1) == 0;
}

void jf_page_serve(struct jf_call *call) {
	const struct jf_asset *asset = jf_assets_find(call->http->assets, call->tail);
	bool packed;
	struct jf_response response;
	const char *etag;

	if (!asset) {
		jf_call_fail_with(call, JF_PROBLEM_NOT_FOUND, "There is nothing at this path.");
		return;
	}
	packed = asset->gzip && takes_gzip(jf_request_header(call->request, "Accept-Encoding"));
	etag = packed ? asset->gzip_etag : asset->etag;
	if (jf_call_not_modified(call, etag, "no-cache"))
		return;
	jf_response_init(&response, 200);
	jf_response_borrow(&response, asset->content_type, packed ? asset->gzip : asset->data,
	    packed ? asset->gzip_size : asset->size);
	if (packed)
		jf_response_header(&response, "Content-Encoding", "gzip");
	jf_response_header(&response, "ETag", "%s", etag);
	jf_response_header(&response, "Cache-Control", "no-cache");
	jf_call_reply(call, &response);
}
