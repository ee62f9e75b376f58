/* Whether the library's threads serve connections: each is handed one from time to time, and must answer it.
 *
 * The library tells nothing about its threads, and one that hangs outside of our handlers shows in nothing but silence.
 * The connection is half of a socket pair. Nobody was told of it (jf_connection_take), so it is counted nowhere, logged
 * nowhere, subject to no limit, and a stop does not wait for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/internal.h"

static const char question[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

/* The same socket under a descriptor that is i modulo n; -1 and closed when there is none. */
static int move(int fd, int i, int n) {
	while (fd >= 0 && fd % n != i) {
		int moved = fcntl(fd, F_DUPFD_CLOEXEC, fd + (i - fd % n + n) % n);
		close(fd);
		fd = moved;
	}
	return fd;
}

/* The library chooses the thread by the descriptor, modulo the number of threads. False when descriptors or memory are
 * short, which says nothing about the thread. */
static bool ask(struct jf_server *server, struct MHD_Daemon *daemon, int thread, int *ours) {
	struct sockaddr address = {.sa_family = AF_UNIX};
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return false;
	int theirs = move(pair[1], thread, server->options.threads);
	*ours = pair[0];
	if (theirs >= 0) {
		jf_connection_forget(server, theirs);
		if (send(*ours, question, sizeof(question) - 1, MSG_NOSIGNAL) == sizeof(question) - 1) {
			if (MHD_add_connection(daemon, theirs, &address, sizeof(address.sa_family)) == MHD_YES)
				return true; /* it is closed by the library, also when it was not taken */
		} else {
			close(theirs);
		}
	}
	close(*ours);
	*ours = -1;
	return false;
}

/* An answer, or the end: one that speaks TLS is not content with the question. Both come from its thread. */
static bool has_answered(int fd) {
	char text[512];
	return recv(fd, text, sizeof(text), MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

static bool is_alive(
    struct jf_server *server, struct jf_pulse *pulse, struct MHD_Daemon *daemon, int thread, int stall_ms) {
	if (pulse->fd >= 0 && has_answered(pulse->fd)) {
		close(pulse->fd);
		pulse->fd = -1;
		jf_beat_answer(&pulse->beat);
	}
	if (jf_beat_ask(&pulse->beat, stall_ms) && !ask(server, daemon, thread, &pulse->fd))
		jf_beat_answer(&pulse->beat);
	return jf_beat_is_alive(&pulse->beat, stall_ms);
}

enum jf_err jf_pulse_create(struct jf_server *server, struct jf_error *err) {
	int n = 2 * server->options.threads;
	server->pulses = calloc((size_t)n, sizeof(*server->pulses));
	if (!server->pulses)
		return jf_error_set(err, JF_ENOMEM, "no memory for %d network threads", n);
	for (int i = 0; i < n; i++)
		server->pulses[i].fd = -1;
	return JF_OK;
}

void jf_pulse_destroy(struct jf_server *server) {
	for (int i = 0; server->pulses && i < 2 * server->options.threads; i++)
		if (server->pulses[i].fd >= 0)
			close(server->pulses[i].fd);
	free(server->pulses);
}

bool jf_pulse_alive(struct jf_server *server, int stall_ms) {
	int threads = server->options.threads;
	bool alive = true;
	for (int i = 0; i < 2 * threads; i++)
		if (server->daemons[i / threads]) /* each is asked, also when another is known to hang */
			alive =
			    is_alive(server, &server->pulses[i], server->daemons[i / threads], i % threads, stall_ms) &&
			    alive;
	return alive;
}

enum MHD_Result jf_pulse_answer(struct MHD_Connection *mhd) {
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	if (!info || info->socket_context)
		return MHD_NO; /* a request for which there was no memory */
	struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Connection", "close");
	enum MHD_Result result = MHD_queue_response(mhd, MHD_HTTP_SERVICE_UNAVAILABLE, response);
	MHD_destroy_response(response);
	return result;
}
