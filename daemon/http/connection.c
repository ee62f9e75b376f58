/* Connections from the moment they are accepted: who may connect, and what is known of each. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "daemon/http/internal.h"

#define UNWELCOME_MS 2000
/* An address over its limit leaves the other half of them for probes and for who comes when all connections are
 * taken. */
#define UNWELCOME_CONNECTIONS (JF_SPARE_CONNECTIONS / 2)

static void read_peer(struct jf_peer *peer, const struct sockaddr *address) {
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const void *bytes = address;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(peer, 0, sizeof(*peer));
	if (address && address->sa_family == AF_INET) {
		memcpy(&v4, bytes, sizeof(v4));
		memcpy(peer->address, mapped, sizeof(mapped));
		memcpy(peer->address + 12, &v4.sin_addr, 4);
	} else if (address && address->sa_family == AF_INET6) {
		memcpy(&v6, bytes, sizeof(v6));
		memcpy(peer->address, &v6.sin6_addr, 16);
	} else {
		peer->is_unix = true;
		strcpy(peer->text, "unix");
		return;
	}
	if (memcmp(peer->address, mapped, sizeof(mapped)) == 0)
		inet_ntop(AF_INET, peer->address + 12, peer->text, sizeof(peer->text));
	else
		inet_ntop(AF_INET6, peer->address, peer->text, sizeof(peer->text));
}

static bool is_refused(const struct jf_connection *connection) {
	return connection->overflow || connection->welcome == JF_UNWELCOME;
}

/* How long the head of a connection's next request may take: who is only heard to be refused has no time to waste. */
int jf_server_head_ms(const struct jf_connection *connection) {
	int ms = connection->server->options.upload_timeout_ms;

	return is_refused(connection) && ms > UNWELCOME_MS ? UNWELCOME_MS : ms;
}

/* --- how many there are --- */

/* With the lock held. */
static bool has_room(const struct jf_server *server) {
	return server->n_welcome < server->options.max_connections || server->n_refused < JF_SPARE_CONNECTIONS;
}

bool jf_connection_room(void *context) {
	struct jf_server *server = context;

	pthread_mutex_lock(&server->lock);
	bool room = has_room(server);
	pthread_mutex_unlock(&server->lock);
	return room;
}

int jf_server_connections(struct jf_server *server) {
	pthread_mutex_lock(&server->lock);
	int n = server->n_welcome + server->n_refused;
	pthread_mutex_unlock(&server->lock);
	return n;
}

/* Asks what it may expect and counts it, of which there is one thread's at a time; false: it is to be closed. */
static bool welcome(struct jf_server *server, struct jf_connection *connection) {
	pthread_mutex_lock(&server->lock);
	bool may_be_refused = server->n_refused < UNWELCOME_CONNECTIONS;
	pthread_mutex_unlock(&server->lock);
	connection->welcome = server->handlers.connected(server->handlers.context, &connection->peer, may_be_refused);
	if (connection->welcome == JF_CLOSED)
		return false;
	pthread_mutex_lock(&server->lock);
	connection->overflow =
	    connection->welcome != JF_UNWELCOME && server->n_welcome >= server->options.max_connections;
	*(is_refused(connection) ? &server->n_refused : &server->n_welcome) += 1;
	server->n_silent++;
	pthread_mutex_unlock(&server->lock);
	return true;
}

/* It is closed, or will be without having been. */
static void farewell(struct jf_server *server, struct jf_connection *connection) {
	pthread_mutex_lock(&server->lock);
	bool had_room = has_room(server);
	*(is_refused(connection) ? &server->n_refused : &server->n_welcome) -= 1;
	server->n_silent -= !connection->asked;
	if (!had_room && server->acceptor)
		jf_acceptor_wake(server->acceptor);
	pthread_mutex_unlock(&server->lock);
	server->handlers.disconnected(server->handlers.context, &connection->peer);
	free(connection);
}

/* --- from the acceptor to the library --- */

/* With the lock held. */
static bool hand_over(struct jf_server *server, struct jf_connection *connection) {
	if (connection->fd >= server->n_handed) {
		int n = server->n_handed ? server->n_handed : 256;
		while (n <= connection->fd)
			n *= 2;
		struct jf_connection **grown = realloc(server->handed, (size_t)n * sizeof(struct jf_connection *));
		if (!grown)
			return false;
		memset(grown + server->n_handed, 0, (size_t)(n - server->n_handed) * sizeof(struct jf_connection *));
		server->handed = grown;
		server->n_handed = n;
	}
	server->handed[connection->fd] = connection;
	return true;
}

/* What was handed over under this descriptor and not begun with; it is the caller's now. NULL when nothing was. */
static struct jf_connection *take_back(struct jf_server *server, int fd) {
	struct jf_connection *connection = NULL;

	pthread_mutex_lock(&server->lock);
	if (fd >= 0 && fd < server->n_handed) {
		connection = server->handed[fd];
		server->handed[fd] = NULL;
	}
	pthread_mutex_unlock(&server->lock);
	return connection;
}

void jf_connection_forget(struct jf_server *server, int fd) {
	struct jf_connection *connection = take_back(server, fd);

	if (connection)
		farewell(server, connection);
}

void jf_connection_take(
    void *context, const struct jf_listener *listener, int fd, const struct sockaddr *address, socklen_t size) {
	struct jf_server *server = context;
	struct jf_connection *connection = calloc(1, sizeof(*connection));

	jf_connection_forget(server, fd); /* the library says nothing when it closes one because its memory is short */
	if (!connection) {
		close(fd);
		return;
	}
	connection->server = server;
	connection->fd = fd;
	read_peer(&connection->peer, address);
	if (!welcome(server, connection)) {
		free(connection);
		close(fd);
		return;
	}
	pthread_mutex_lock(&server->lock);
	bool handed = hand_over(server, connection);
	pthread_mutex_unlock(&server->lock);
	if (!handed) {
		farewell(server, connection);
		close(fd);
		return;
	}
	atomic_store(&server->taken_ns, jf_clock_ns());
	if (MHD_add_connection(server->daemons[server->options.tls && !listener->is_unix], fd, address, size) !=
	    MHD_YES)
		jf_connection_forget(server, fd); /* the library has closed it */
}

void jf_connection_forget_all(struct jf_server *server) {
	for (int fd = 0; fd < server->n_handed; fd++)
		jf_connection_forget(server, fd);
	free(server->handed);
}

/* --- what the library says --- */

static struct jf_connection *begin(struct jf_server *server, struct MHD_Connection *mhd) {
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct jf_connection *connection = take_back(server, info ? info->connect_fd : -1);

	if (!connection)
		return NULL;
	connection->slot = jf_watch_open(server->watch, connection->fd, &connection->ticket);
	if (connection->slot < 0) {
		farewell(server, connection);
		return NULL;
	}
	pthread_mutex_lock(&server->lock);
	server->connections[connection->slot] = connection;
	pthread_mutex_unlock(&server->lock);
	jf_watch_deadline(server->watch, connection->slot, jf_server_head_ms(connection));
	return connection;
}

static void end(struct jf_server *server, struct jf_connection *connection) {
	pthread_mutex_lock(&server->lock);
	server->connections[connection->slot] = NULL;
	jf_watch_close(server->watch, connection->slot);
	pthread_mutex_unlock(&server->lock);
	farewell(server, connection);
}

void jf_connection_notified(
    void *context, struct MHD_Connection *mhd, void **state, enum MHD_ConnectionNotificationCode code) {
	struct jf_server *server = context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*state = begin(server, mhd);
	else if (*state)
		end(server, *state);
}
