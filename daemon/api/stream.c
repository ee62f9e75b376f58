#include "daemon/api/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jf_stream_start(struct jf_call *call) {
	struct jf_response response;

	jf_response_init(&response, 200);
	response.stream = true;
	jf_response_header(&response, "Content-Type", "text/event-stream");
	jf_response_header(&response, "X-Accel-Buffering", "no"); /* nginx would collect events otherwise */
	jf_call_reply(call, &response);
}

bool jf_stream_send(struct jf_call *call, const char *event, const char *data, bool droppable) {
	size_t size = strlen(event) + strlen(data) + 32;
	char *text = malloc(size);
	bool sent;
	int n;

	if (!text)
		return false;
	n = snprintf(text, size, "event: %s\ndata: %s\n\n", event, data);
	sent = jf_request_write(call->request, text, (size_t)n, droppable);
	free(text);
	return sent;
}

void jf_stream_end(struct jf_call *call, const char *event, const char *data, int status) {
	if (!jf_stream_send(call, event, data, false)) {
		/* gone, or no memory for a large one: a small one may still pass, so that nobody takes the end for a
		 * result */
		jf_stream_send(call, "error", "{}", false);
		status = 500;
	}
	jf_request_end(call->request, status);
}
