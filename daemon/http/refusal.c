/* What the library refuses by itself, and does so badly that it is answered in its place. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/http/internal.h"

#define READINGS 16           /* of two numbers that must belong to the same moment */
#define CHUNK_HEAD_BYTES 1024 /* of a chunk's head; who sends more is refused once the library has no room */

/* Somebody must go on reading: a byte that is never read resets the
 * connection and destroys the answer on its way. TLS has no way in. */
void jf_refusal_answer(struct jf_connection *connection, int status) {
	struct jf_request *request = connection->request;
	struct jf_server *server = connection->server;
	struct jf_response *response = &request->response;
	bool has_head = connection->phase == JF_PHASE_BODY;
	char head[1024];
	struct iovec part[2];
	struct msghdr message = {.msg_iov = part, .msg_iovlen = 2};
	union {
		const char *constant;
		void *memory;
	} body;
	int n;

	jf_response_deinit(response);
	jf_response_init(response, status);
	server->handlers.unread(server->handlers.context, has_head ? request : NULL, status, response);
	n = snprintf(head, sizeof(head),
	    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
	    MHD_get_reason_phrase_for((unsigned)status),
	    jf_response_get(response, "Content-Type") ? jf_response_get(response, "Content-Type") : "text/plain",
	    response->size);
	body.constant = response->body;
	part[0] = (struct iovec){.iov_base = head, .iov_len = (size_t)n};
	part[1] = (struct iovec){.iov_base = body.memory, .iov_len = response->size};
	if (sendmsg(connection->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		request->sent = response->size;
	shutdown(connection->fd, SHUT_WR);
}

/* How much has been read from a connection so far; 0 when the kernel does not say (a Unix socket). */
static int64_t bytes_read(int fd) {
	struct tcp_info before, after;
	socklen_t size = sizeof(before);
	int waiting, i;

	memset(&before, 0, size);
	memset(&after, 0, size);
	for (i = 0; i < READINGS; i++) {
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &size) || ioctl(fd, FIONREAD, &waiting) ||
		    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &size))
			return 0;
		if (before.tcpi_bytes_received == after.tcpi_bytes_received)
			return (int64_t)after.tcpi_bytes_received - waiting;
	}
	return 0;
}

void jf_refusal_mark(struct jf_request *request) {
	if (request->declared < 0)
		request->read_before = bytes_read(request->connection->fd);
}

/* Whether the library, on this thread, may be refusing that connection at this moment, which it does not say: it has
 * read the head whole and not handed it over, or it reads a body in chunks: `chunk`. */
static bool is_candidate(const struct jf_connection *connection, bool chunk) {
	const struct jf_request *request = connection ? connection->request : NULL;

	return request && connection->phase == (chunk ? JF_PHASE_BODY : JF_PHASE_HEAD) &&
	       pthread_equal(request->thread, pthread_self()) && !(chunk && request->declared >= 0) &&
	       MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
}

/* With the lock held. */
static void refuse(struct jf_connection *connection, int status) {
	if (connection->request->aborted)
		return;
	connection->request->aborted = true;
	if (connection->request->tls)
		shutdown(connection->fd, SHUT_WR);
	else
		jf_refusal_answer(connection, status);
	jf_watch_linger(connection->server->watch, connection->fd, JF_LINGER_MS);
}

/* With the lock held: the head of some body's chunk has filled the library's memory for it. One thread serves many such
 * bodies. Of all but that one it passes on what it reads at once, so whoever has been read from since is sending a
 * chunk's head that is far too long, and is refused now if not by the library. */
static void refuse_chunks(struct jf_server *server) {
	struct jf_connection *connection, *only = NULL;
	int i, n = 0, n_long = 0;

	for (i = 0; i < server->n_slots; i++) {
		connection = server->connections[i];
		if (!is_candidate(connection, true))
			continue;
		n++;
		only = connection;
		if (bytes_read(connection->fd) - connection->request->read_before < CHUNK_HEAD_BYTES)
			continue;
		n_long++;
		refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE);
	}
	if (n == 1 && n_long == 0)
		refuse(only, MHD_HTTP_CONTENT_TOO_LARGE);
}

/* The library refuses a head that it has read whole (no room for its copy of the cookies, a Content-Length that is no
 * number) and then forgets that it did: it writes its answer's head twice. The head of a chunk that it has no room for
 * it takes for a fault of its own, 500. It says both in its log first, and there they are answered in its place; what
 * it sends afterwards has no way out. */
static void on_refusal(struct jf_server *server, int status) {
	int i;

	pthread_mutex_lock(&server->lock);
	if (status == MHD_HTTP_INTERNAL_SERVER_ERROR)
		refuse_chunks(server);
	else
		for (i = 0; i < server->n_slots; i++)
			if (is_candidate(server->connections[i], false))
				refuse(server->connections[i], status);
	pthread_mutex_unlock(&server->lock);
}

__attribute__((format(printf, 2, 0))) void jf_refusal_log(void *context, const char *format, va_list args) {
	static const char refusal[] = "Error processing request (HTTP response code is %u";
	struct jf_server *server = context;
	char text[512];
	va_list copy;
	size_t length;

	if (strncmp(format, refusal, sizeof(refusal) - 1) == 0) {
		va_copy(copy, args);
		on_refusal(server, (int)va_arg(copy, unsigned));
		va_end(copy);
	}
	vsnprintf(text, sizeof(text), format, args);
	length = strlen(text);
	if (length && text[length - 1] == '\n')
		text[length - 1] = '\0';
	server->handlers.log(server->handlers.context, text);
}
