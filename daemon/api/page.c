#include "daemon/api/page.h"

#include "daemon/api/call.h"
#include "daemon/http/text.h"

void jf_page_serve(struct jf_call *call) {
	const struct jf_asset *asset = jf_assets_find(call->http->assets, call->tail);
	bool packed;
	struct jf_response response;
	const char *etag;

	if (!asset) {
		jf_call_fail_with(call, JF_PROBLEM_NOT_FOUND, "There is nothing at this path.");
		return;
	}
	packed = asset->gzip && jf_accepts_gzip(jf_request_header(call->request, "Accept-Encoding"));
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
