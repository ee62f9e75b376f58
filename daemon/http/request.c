/* What a request's head says. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/clock.h"
#include "daemon/http/internal.h"
#include "daemon/work/job.h"

/* --- the head --- */

bool jf_exchange_split_target(struct jf_request *request) {
	char *start = request->target, *mark;

	request->query = "";
	request->path = "/";
	if (*start != '/') {
		if (strncasecmp(start, "http://", 7) != 0 && strncasecmp(start, "https://", 8) != 0)
			return false;
		start = strchr(start, ':') + 3;
		request->authority = start;
		start += strcspn(start, "/?");
		if (*start != '/')
			return false;
		/* make room for the NUL that ends the authority */
		memmove(request->target, request->authority, (size_t)(start - request->authority));
		request->target[start - request->authority] = '\0';
		request->authority = request->target;
	}
	mark = strchr(start, '?');
	if (mark) {
		*mark = '\0';
		request->query = mark + 1;
	}
	request->path = start;
	return true;
}

struct head {
	int fields, lengths, encodings, hosts, types, authorizations;
	bool bad_name, chunked, hidden;
	const char *end; /* of the field before: its NUL */
};

static bool is_token(const char *name) {
	if (!*name)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("!#$%&'*+-.^_`|~", *name))
			return false;
	return true;
}

/* Whether there is nothing between a value's end and what comes next but the ends of lines, which the library
 * overwrites with NULs. A NUL that was sent looks like the end of the value, and what follows it would be hidden. */
static bool is_line_end(const char *from, const char *to, int max) {
	if (to < from || to - from > 65536)
		return true; /* the library has copied one of them (a folded line); such a field is refused anyway */
	for (; from < to; from++)
		if (*from == '\0' || *from == '\r' || *from == '\n')
			max--;
		else if (*from != ' ' && *from != '\t')
			return false;
	return max >= 0;
}

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
	struct head *head = context;

	(void)kind;
	head->fields++;
	if (head->end && !is_line_end(head->end, name, 2))
		head->hidden = true;
	head->end = value ? value + strlen(value) : NULL;
	if (!is_token(name))
		head->bad_name = true;
	if (strcasecmp(name, "Content-Length") == 0)
		head->lengths++;
	else if (strcasecmp(name, "Transfer-Encoding") == 0) {
		head->encodings++;
		head->chunked = value && strcasecmp(value, "chunked") == 0;
	} else if (strncasecmp(name, "Content-Length", 14) == 0 || strncasecmp(name, "Transfer-Encoding", 17) == 0)
		head->bad_name = true; /* the library glues the text of a folded line to the field's name */
	else if (strcasecmp(name, "Host") == 0)
		head->hosts++;
	else if (strcasecmp(name, "Content-Type") == 0)
		head->types++;
	else if (strcasecmp(name, "Authorization") == 0 || strcasecmp(name, "X-API-Key") == 0)
		head->authorizations++;
	return MHD_YES;
}

/* The first line and all fields. */
static size_t head_bytes(struct jf_request *request) {
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return info ? info->header_size : 0;
}

enum jf_framing_fault jf_exchange_read_head(struct jf_request *request, const char *method, const char *version) {
	struct head head = {0};
	const char *length;
	size_t size;

	MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, count_header, &head);
	length = jf_request_header(request, "Content-Length");
	if (head.encodings)
		request->declared = -1;
	else
		request->declared = length ? strtoll(length, NULL, 10) : 0; /* the library has checked its digits */
	size = head_bytes(request);
	if (size > JF_MAX_HEAD_BYTES)
		return JF_FRAMING_SIZE;
	if (head.fields > JF_MAX_HEAD_FIELDS)
		return JF_FRAMING_FIELDS;
	if (head.hidden || (head.end && size > 0 && !is_line_end(head.end, method + size, 4)))
		return JF_FRAMING_NUL;
	if (head.lengths > 1 || (head.lengths && head.encodings) || head.encodings > 1)
		return JF_FRAMING_LENGTHS;
	if (head.encodings && !head.chunked)
		return JF_FRAMING_ENCODING;
	if (head.bad_name || head.types > 1 || head.authorizations > 1)
		return JF_FRAMING_HEADER;
	if (head.hosts > 1 || (head.hosts == 0 && strcmp(version, "HTTP/1.0") != 0))
		return JF_FRAMING_HOST;
	return JF_FRAMING_FINE;
}

/* --- accessors --- */

const char *jf_request_method(const struct jf_request *request) {
	return request->method;
}

const char *jf_request_path(const struct jf_request *request) {
	return request->path;
}

const char *jf_request_query(const struct jf_request *request) {
	return request->query;
}

static enum MHD_Result count_field(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
	(void)kind;
	*(size_t *)context += strlen(name) + strlen(value ? value : "") + 2;
	return MHD_YES;
}

static enum MHD_Result keep_field(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
	char **end = context;

	(void)kind;
	*end = stpcpy(*end, name) + 1;
	*end = stpcpy(*end, value ? value : "") + 1;
	return MHD_YES;
}

bool jf_request_keep_fields(struct jf_request *request) {
	size_t size = 1;
	char *end;

	if (request->fields)
		return true;
	MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, count_field, &size);
	end = request->fields = malloc(size);
	if (!end)
		return false;
	MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, keep_field, &end);
	*end = '\0';
	return true;
}

static const char *kept_value(const char *name) {
	return name + strlen(name) + 1;
}

static const char *kept_next(const char *name) {
	const char *value = kept_value(name);

	return value + strlen(value) + 1;
}

const char *jf_request_header(const struct jf_request *request, const char *name) {
	if (request->authority && strcasecmp(name, "Host") == 0)
		return request->authority; /* RFC 9112, 3.2.2: an absolute target outranks the field */
	for (const char *kept = request->fields; kept && *kept; kept = kept_next(kept))
		if (strcasecmp(kept, name) == 0)
			return kept_value(kept);
	if (request->fields)
		return NULL;
	return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

struct all_fields {
	const char *name;
	char *out;
	size_t size, used;
	bool found, cut;
};

static enum MHD_Result add_field(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
	struct all_fields *all = context;
	size_t length, excess;

	(void)kind;
	if (strcasecmp(name, all->name) != 0)
		return MHD_YES;
	length = value ? strlen(value) : 0;
	if (length + 3 > all->size) { /* 3: separator and NUL */
		value += length + 3 - all->size;
		length = all->size - 3;
		all->cut = true;
	}
	excess = all->used + length + 3 > all->size ? all->used + length + 3 - all->size : 0;
	all->cut = all->cut || excess;
	memmove(all->out, all->out + excess, all->used - excess);
	all->used -= excess;
	all->used += (size_t)snprintf(
	    all->out + all->used, all->size - all->used, "%s%s", all->found ? ", " : "", length ? value : "");
	all->found = true;
	return MHD_YES;
}

bool jf_request_header_all(const struct jf_request *request, const char *name, char *out, size_t size) {
	struct all_fields all = {.name = name, .out = out, .size = size};

	*out = '\0';
	for (const char *kept = request->fields; kept && *kept; kept = kept_next(kept))
		add_field(&all, MHD_HEADER_KIND, kept, kept_value(kept));
	if (!request->fields)
		MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, add_field, &all);
	if (all.cut)
		*out = '?'; /* half an entry must not pass for a whole one */
	return all.found;
}

const struct jf_peer *jf_request_peer(const struct jf_request *request) {
	return &request->peer;
}

bool jf_request_overflow(const struct jf_request *request) {
	return request->overflow;
}

bool jf_request_unwelcome(const struct jf_request *request) {
	return request->unwelcome;
}

int64_t jf_request_declared(const struct jf_request *request) {
	return request->declared;
}

const char *jf_request_body(const struct jf_request *request, size_t *size) {
	*size = request->size;
	return request->body ? request->body : "";
}

void jf_request_limit_body(struct jf_request *request, size_t bytes) {
	request->max_body = bytes;
}

size_t jf_request_body_limit(const struct jf_request *request) {
	return request->max_body;
}

bool jf_request_too_large(const struct jf_request *request) {
	return request->too_large;
}

bool jf_request_crowded(const struct jf_request *request) {
	return request->crowded;
}

void jf_request_set_user(struct jf_request *request, void *user) {
	request->user = user;
}

void *jf_request_user(const struct jf_request *request) {
	return request->user;
}

int jf_request_status(const struct jf_request *request) {
	return request->response.status;
}

const char *jf_request_why_unsent(const struct jf_request *request) {
	if (request->response.status != 499)
		return NULL;
	return request->cut ? "the client read too slowly" : "the client left";
}

size_t jf_request_sent_bytes(const struct jf_request *request) {
	return request->sent;
}

double jf_request_age_ms(const struct jf_request *request) {
	return (double)(jf_clock_ns() - request->started_ns) * 1e-6;
}

void jf_request_defer(struct jf_request *request) {
	if (!request->deferred) /* another thread may read it once it has been deferred */
		request->deferred = true;
	jf_request_ref(request);
}

void jf_request_deadline(struct jf_request *request, int in_ms) {
	pthread_mutex_lock(&request->server->lock);
	if (request->connection && !request->replied)
		jf_watch_deadline(request->server->watch, request->connection->slot, in_ms);
	pthread_mutex_unlock(&request->server->lock);
}
