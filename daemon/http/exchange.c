/* One request from its first line to its last byte. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/clock.h"
#include "daemon/http/internal.h"
#include "daemon/http/limit.h"

#define SLOWEST_READER 16384 /* bytes a second */
#define SMALL_BODY 65536     /* bytes: is not counted */
#include "daemon/work/job.h"

struct jf_request *jf_request_ref(struct jf_request *request) {
	atomic_fetch_add(&request->references, 1);
	return request;
}

void jf_request_drop_body(struct jf_request *request) {
	if (request->counted) {
		pthread_mutex_lock(&request->server->lock);
		request->server->body_bytes -= request->counted;
		request->counted = 0;
		pthread_mutex_unlock(&request->server->lock);
	}
	free(request->body);
	request->body = NULL;
	request->size = request->capacity = 0;
}

void jf_request_unref(struct jf_request *request) {
	if (atomic_fetch_sub(&request->references, 1) != 1)
		return;
	if (request->user)
		request->server->handlers.release(request->server->handlers.context, request->user);
	jf_response_deinit(&request->response);
	free(request->stream);
	jf_request_drop_body(request);
	free(request->fields);
	free(request->target);
	free(request);
}

/* --- the head --- */

void *jf_exchange_uri(void *context, const char *uri, struct MHD_Connection *mhd) {
	struct jf_server *server = context;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct jf_connection *connection = info ? info->socket_context : NULL;
	struct jf_request *request;

	if (!connection || !(request = calloc(1, sizeof(*request))))
		return NULL;
	atomic_init(&request->references, 1);
	request->server = server;
	request->max_body = server->options.max_body_bytes;
	request->mhd = mhd;
	request->connection = connection;
	request->peer = connection->peer;
	request->thread = pthread_self();
	request->tls = server->options.tls && !connection->peer.is_unix;
	request->unwelcome = connection->welcome == JF_UNWELCOME;
	request->overflow = connection->overflow;
	request->started_ns = jf_clock_ns();
	request->path = request->query = "";
	request->target = strdup(uri ? uri : "");
	if (!request->target) {
		free(request);
		return NULL;
	}
	pthread_mutex_lock(&server->lock);
	connection->phase = JF_PHASE_HEAD;
	connection->request = request;
	jf_watch_deadline(server->watch, connection->slot, jf_server_head_ms(connection));
	pthread_mutex_unlock(&server->lock);
	return request;
}

/* --- answering --- */

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t max) {
	struct jf_request *request = context;
	struct jf_server *server = request->server;
	ssize_t result = 0;
	size_t n;

	(void)position;
	pthread_mutex_lock(&server->lock);
	if (request->stream_size) {
		n = request->stream_size < max ? request->stream_size : max;
		memcpy(out, request->stream + request->stream_start, n);
		request->stream_start += n;
		request->stream_size -= n;
		request->sent += n;
		result = (ssize_t)n;
	} else if (request->stream_ended) {
		result = MHD_CONTENT_READER_END_OF_STREAM;
	} else if (server->stopping || request->hung_up) {
		result = MHD_CONTENT_READER_END_WITH_ERROR;
	} else {
		MHD_suspend_connection(request->mhd);
		request->suspended = true;
		jf_watch_hangup(server->watch, request->connection->slot, true);
	}
	pthread_mutex_unlock(&server->lock);
	return result;
}

static void release_stream(void *context) {
	jf_request_unref(context);
}

static struct MHD_Response *make_response(struct jf_request *request, struct jf_response *from) {
	struct MHD_Response *response;
	union {
		const char *constant;
		void *memory;
	} body = {.constant = from->body ? from->body : ""};
	int i;

	if (from->stream)
		response = MHD_create_response_from_callback(
		    MHD_SIZE_UNKNOWN, 16384, read_stream, jf_request_ref(request), release_stream);
	else if (from->owned)
		response = MHD_create_response_from_buffer_with_free_callback(from->size, body.memory, free);
	else
		response = MHD_create_response_from_buffer(from->size, body.memory, MHD_RESPMEM_PERSISTENT);
	if (!response) {
		if (from->stream)
			jf_request_unref(request);
		return NULL;
	}
	from->owned = false;
	for (i = 0; i < from->n_headers; i++)
		MHD_add_response_header(response, from->text + from->name[i], from->text + from->value[i]);
	return response;
}

static bool half_closed(int fd) {
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* How long a client may take for what is being sent. */
static int sending_ms(const struct jf_server *server, size_t size) {
	return server->options.idle_timeout_ms + (int)(size * 1000 / SLOWEST_READER);
}

/* On the network thread: hands the answer to the library. `early`: the body has not been read. */
static enum MHD_Result queue(struct jf_request *request, bool early) {
	struct jf_server *server = request->server;
	struct jf_connection *connection = request->connection;
	/* Before the lock is taken, which all threads want: the answer is settled, and the connection is this thread's.
	 */
	struct MHD_Response *response = make_response(request, &request->response);
	bool last = half_closed(connection->fd), sending;
	enum MHD_Result result = MHD_NO;

	if (!response)
		return MHD_NO;
	request->response.body = NULL; /* the library's now */
	pthread_mutex_lock(&server->lock);
	sending = !request->aborted;
	if (sending) {
		connection->phase = JF_PHASE_SENDING;
		request->queued = true;
		/* nothing comes after half of a close; the library may have missed it */
		request->response.close = request->response.close || last || server->draining;
		if (!request->is_head && !request->response.stream)
			request->sent = request->response.size;
		jf_watch_deadline(server->watch, connection->slot,
		    !request->response.stream || request->stream_ended
			? sending_ms(server, request->response.size + request->stream_size)
			: -1);
		if (early)
			jf_watch_linger(server->watch, connection->fd, JF_LINGER_MS);
	}
	pthread_mutex_unlock(&server->lock);
	if (sending && request->response.close)
		MHD_add_response_header(response, "Connection", "close");
	if (sending && request->response.stream) /* a reader may pause: the job's deadline and ours are limit enough */
		MHD_set_connection_option(request->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	if (sending) /* may run read_stream at once, which takes the lock */
		result = MHD_queue_response(request->mhd, (unsigned)request->response.status, response);
	MHD_destroy_response(response);
	return result;
}

bool jf_request_reply(struct jf_request *request, struct jf_response *response) {
	struct jf_server *server = request->server;
	bool taken = false;

	pthread_mutex_lock(&server->lock);
	if (!request->replied && request->connection && !request->aborted) {
		request->response = *response;
		response->owned = false;
		request->replied = taken = true;
		if (request->hung_up)
			request->response.status = 499;
		if (request->connection->phase == JF_PHASE_WORK)
			jf_watch_deadline(server->watch, request->connection->slot, -1);
		jf_resume(request);
	}
	pthread_mutex_unlock(&server->lock);
	jf_response_deinit(response);
	return taken;
}

static bool stream_reserve(struct jf_request *request, size_t more) {
	size_t capacity = request->stream_capacity ? request->stream_capacity : 16384;
	char *grown;

	if (request->stream_start) {
		memmove(request->stream, request->stream + request->stream_start, request->stream_size);
		request->stream_start = 0;
	}
	while (capacity < request->stream_size + more)
		capacity *= 2;
	if (capacity == request->stream_capacity)
		return true;
	grown = realloc(request->stream, capacity);
	if (!grown)
		return false;
	request->stream = grown;
	request->stream_capacity = capacity;
	return true;
}

bool jf_request_write(struct jf_request *request, const void *data, size_t size, bool droppable) {
	struct jf_server *server = request->server;
	bool written = false;

	pthread_mutex_lock(&server->lock);
	if (request->connection && !request->stream_ended && !request->hung_up &&
	    !(droppable && request->stream_size + size > JF_STREAM_LAG) && stream_reserve(request, size)) {
		memcpy(request->stream + request->stream_size, data, size);
		request->stream_size += size;
		if (request->queued)
			jf_resume(request);
		written = true;
	}
	pthread_mutex_unlock(&server->lock);
	return written;
}

void jf_request_end(struct jf_request *request, int status) {
	struct jf_server *server = request->server;

	pthread_mutex_lock(&server->lock);
	request->stream_ended = true;
	request->outcome = status;
	if (request->connection && request->queued) {
		jf_watch_deadline(server->watch, request->connection->slot, sending_ms(server, request->stream_size));
		jf_resume(request);
	}
	pthread_mutex_unlock(&server->lock);
}

/* --- the library's calls --- */

static enum MHD_Result begin(struct jf_request *request, const char *method, const char *version) {
	struct jf_server *server = request->server;
	enum jf_framing_fault fault;
	bool aborted, early;

	pthread_mutex_lock(&server->lock);
	aborted = request->aborted;
	pthread_mutex_unlock(&server->lock);
	if (aborted)
		return MHD_NO; /* it came too late: its 408 is under way */
	strncpy(request->method, method, sizeof(request->method) - 1);
	request->is_head = strcmp(method, "HEAD") == 0;
	request->takes_interim = strcmp(version, "HTTP/1.1") == 0;
	fault = jf_exchange_read_head(request, method, version);
	if (!jf_exchange_split_target(request) && fault == JF_FRAMING_FINE)
		fault = JF_FRAMING_TARGET;
	request->begun = true;
	pthread_mutex_lock(&server->lock);
	server->in_flight++;
	server->n_silent -= !request->connection->asked;
	request->connection->asked = true;
	pthread_mutex_unlock(&server->lock);
	server->handlers.begin(server->handlers.context, request, fault);

	pthread_mutex_lock(&server->lock);
	aborted = request->aborted;
	request->connection->phase = JF_PHASE_BODY;
	request->discard = request->replied;
	/* An answer before the body is read ends the connection, so a small body is read and thrown away instead. */
	early = request->replied &&
		(request->declared < 0 || request->declared > JF_DISCARD_LIMIT ||
		    (request->declared && jf_request_header(request, "Expect")) || fault != JF_FRAMING_FINE);
	pthread_mutex_unlock(&server->lock);
	if (aborted)
		return MHD_NO;
	jf_refusal_mark(request);
	return early ? queue(request, request->declared != 0) : MHD_YES;
}

/* With the lock held: what the bodies of this connection's address hold. */
static size_t held_by(const struct jf_server *server, const struct jf_peer *peer) {
	size_t bytes = 0;
	int i;

	for (i = 0; i < server->n_slots; i++)
		if (server->connections[i] && server->connections[i]->request &&
		    jf_limit_same_client(server->connections[i]->peer.address, peer->address))
			bytes += server->connections[i]->request->counted;
	return bytes;
}

/* Counts a body that has grown to `capacity`; false when that is more than its address, or all together, may hold. */
static bool count_body(struct jf_request *request, size_t capacity) {
	struct jf_server *server = request->server;
	size_t growth = capacity - request->counted;
	bool good;

	if (capacity <= SMALL_BODY)
		return true;
	pthread_mutex_lock(&server->lock);
	good = server->body_bytes + growth <= server->options.all_bodies_bytes;
	if (good && request->connection->welcome != JF_WELCOME_SHARED)
		good = held_by(server, &request->peer) + growth <= server->options.address_bodies_bytes;
	if (good) {
		server->body_bytes += growth;
		request->counted = capacity;
	}
	pthread_mutex_unlock(&server->lock);
	return good;
}

/* Room for `more` bytes and a NUL; false when memory or a share is used up. */
static bool reserve_body(struct jf_request *request, size_t more) {
	size_t capacity = request->capacity ? 2 * request->capacity : 4096;
	char *grown;

	if (request->size + more + 1 <= request->capacity)
		return true;
	if (request->declared > 0 && capacity > (size_t)request->declared + 1)
		capacity = (size_t)request->declared + 1;
	while (capacity < request->size + more + 1)
		capacity *= 2;
	if (!count_body(request, capacity) || !(grown = realloc(request->body, capacity)))
		return false;
	request->body = grown;
	request->capacity = capacity;
	return true;
}

static void keep_body(struct jf_request *request, const char *data, size_t size) {
	if (request->discard || request->too_large || request->crowded)
		return;
	request->too_large = size > request->max_body - request->size;
	request->crowded = !request->too_large && !reserve_body(request, size);
	if (request->too_large || request->crowded) {
		jf_request_drop_body(request);
		return;
	}
	memcpy(request->body + request->size, data, size);
	request->size += size;
	request->body[request->size] = '\0';
}

/* The body is complete, or a suspended request goes on. */
static enum MHD_Result go_on(struct jf_request *request) {
	struct jf_server *server = request->server;
	bool replied, first;

	pthread_mutex_lock(&server->lock);
	if (request->aborted || request->queued) {
		pthread_mutex_unlock(&server->lock);
		return request->aborted ? MHD_NO : MHD_YES;
	}
	first = !request->handled && !request->replied;
	request->handled = true;
	if (first) {
		request->connection->phase = JF_PHASE_WORK;
		jf_watch_deadline(server->watch, request->connection->slot, -1);
	}
	pthread_mutex_unlock(&server->lock);
	if (first)
		server->handlers.handle(server->handlers.context, request);

	pthread_mutex_lock(&server->lock);
	replied = request->replied;
	if (!replied && server->stopping) {
		jf_response_init(&request->response, 503);
		request->replied = replied = true;
	}
	/* The library remembers what it waited for when it suspends. Here that would be more to read, so once resumed
	 * it would read first, and the end of a half-closed stream makes it give up. On the next round it waits for
	 * us. */
	if (!replied && !first) {
		MHD_suspend_connection(request->mhd);
		request->suspended = true;
		jf_watch_hangup(server->watch, request->connection->slot, true);
	}
	pthread_mutex_unlock(&server->lock);
	return replied ? queue(request, false) : MHD_YES;
}

/* Around what the library calls: for jf_server_alive. Returns what leave needs. */
static int enter(struct jf_server *server) {
	long long now = jf_clock_ns();
	int i;

	for (i = 0; i < JF_MAX_INSIDE; i++) {
		long long expected = 0;

		if (atomic_load_explicit(&server->inside_ns[i], memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong(&server->inside_ns[i], &expected, now))
			break;
	}
	return i;
}

static void leave(struct jf_server *server, int place) {
	if (place < JF_MAX_INSIDE)
		atomic_store(&server->inside_ns[place], 0);
}

static enum MHD_Result handle_part(
    struct jf_request *request, const char *method, const char *version, const char *upload, size_t *upload_size) {
	size_t size = *upload_size;

	if (!request->begun)
		return begin(request, method, version);
	if (size) {
		*upload_size = 0;
		keep_body(request, upload, size);
		jf_refusal_mark(request);
		return MHD_YES;
	}
	return go_on(request);
}

enum MHD_Result jf_exchange_handler(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **state) {
	struct jf_server *server = context;
	struct jf_request *request = *state;
	enum MHD_Result result;
	int place;

	(void)url;
	if (!request)
		return jf_pulse_answer(mhd);
	place = enter(server);
	jf_resume_behind(request);
	result = handle_part(request, method, version, upload, upload_size);
	leave(server, place);
	return result;
}

void jf_exchange_completed(
    void *context, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode code) {
	struct jf_server *server = context;
	struct jf_request *request = *state;
	struct jf_connection *connection;
	bool trouble;

	(void)mhd;
	if (!request)
		return;
	*state = NULL;
	jf_resume_behind(request);
	pthread_mutex_lock(&server->lock);
	connection = request->connection;
	connection->phase = JF_PHASE_IDLE;
	connection->request = NULL;
	request->connection = NULL;
	trouble = request->deferred && !request->hung_up &&
		  (!request->replied || (request->response.stream && !request->stream_ended));
	/* the library's own limit on silence: nothing could be sent for so long */
	if (request->queued && code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
		request->cut = true;
	if ((code != MHD_REQUEST_TERMINATED_COMPLETED_OK && !request->aborted) || request->cut ||
	    (request->queued && request->response.stream && (!request->stream_ended || request->stream_size > 0)))
		request->response.status = 499;
	else if (request->response.stream && request->outcome)
		request->response.status = request->outcome;
	if (request->begun)
		server->in_flight--;
	jf_watch_deadline(
	    server->watch, connection->slot, server->options.idle_timeout_ms + server->options.upload_timeout_ms);
	pthread_mutex_unlock(&server->lock);
	if (trouble)
		server->handlers.trouble(server->handlers.context, request, JF_TROUBLE_HUNG_UP);
	if (request->begun)
		server->handlers.finished(server->handlers.context, request);
	jf_request_unref(request);
}
