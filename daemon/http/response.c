#include "daemon/http/response.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void jf_response_init(struct jf_response *response, int status) {
	response->status = status;
	response->body = NULL;
	response->size = 0;
	response->owned = response->stream = response->close = false;
	response->n_headers = 0;
	response->used = 0;
}

void jf_response_deinit(struct jf_response *response) {
	union {
		const char *constant;
		char *memory;
	} body = {.constant = response->body};

	if (response->owned)
		free(body.memory);
	response->body = NULL;
	response->size = 0;
	response->owned = false;
}

void jf_response_header(struct jf_response *response, const char *name, const char *format, ...) {
	size_t name_size = strlen(name) + 1, left = sizeof(response->text) - response->used;
	char *value;
	va_list args;
	int n;

	if (response->n_headers == JF_RESPONSE_HEADERS || name_size >= left)
		return;
	value = response->text + response->used + name_size;
	va_start(args, format);
	n = vsnprintf(value, left - name_size, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= left - name_size)
		return;
	memcpy(response->text + response->used, name, name_size);
	response->name[response->n_headers] = (unsigned short)response->used;
	response->value[response->n_headers] = (unsigned short)(response->used + name_size);
	response->n_headers++;
	response->used += name_size + (size_t)n + 1;
	for (; *value; value++)
		if ((unsigned char)*value < 0x20 || *value == 0x7f)
			*value = ' ';
}

const char *jf_response_get(const struct jf_response *response, const char *name) {
	int i;

	for (i = 0; i < response->n_headers; i++)
		if (strcasecmp(response->text + response->name[i], name) == 0)
			return response->text + response->value[i];
	return NULL;
}

void jf_response_own(struct jf_response *response, const char *content_type, char *body, size_t size) {
	jf_response_borrow(response, content_type, body, size);
	response->owned = true;
}

void jf_response_borrow(struct jf_response *response, const char *content_type, const char *body, size_t size) {
	jf_response_deinit(response);
	response->body = body;
	response->size = size;
	if (content_type)
		jf_response_header(response, "Content-Type", "%s", content_type);
}
