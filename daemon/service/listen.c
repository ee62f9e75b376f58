#include "daemon/service/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/service/log.h"
#include "daemon/service/service.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

/* Fills name, port, is_unix, open from the bound socket. */
static enum jf_err describe(struct jf_listener *listener, struct jf_error *err) {
	union address address;
	socklen_t size = sizeof(address);
	char text[INET6_ADDRSTRLEN] = "?";
	memset(&address, 0, sizeof(address));
	if (getsockname(listener->fd, &address.any, &size) != 0)
		return jf_error_set(err, JF_EIO, "a listening socket has no name: %s", strerror(errno));
	if (address.any.sa_family == AF_UNIX) {
		listener->is_unix = true;
		snprintf(listener->name, sizeof(listener->name), "unix:%.107s", address.local.sun_path);
		return JF_OK;
	}
	if (address.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof(text));
		listener->port = ntohs(address.v6.sin6_port);
		snprintf(listener->name, sizeof(listener->name), "[%s]:%d", text, listener->port);
	} else if (address.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof(text));
		listener->port = ntohs(address.v4.sin_port);
		snprintf(listener->name, sizeof(listener->name), "%s:%d", text, listener->port);
	} else {
		return jf_error_set(
		    err, JF_EINVAL, "descriptor %d is neither an internet nor a Unix socket", listener->fd);
	}
	listener->open = !jf_conf_is_loopback(text);
	return JF_OK;
}

static enum jf_err add(struct jf_listeners *listeners, int fd, bool passed, struct jf_error *err) {
	struct jf_listener *listener = &listeners->item[listeners->n];
	*listener = (struct jf_listener){.fd = fd, .passed = passed};
	listeners->n++;
	return describe(listener, err);
}

/* New socket, bound and listening; -1 with *err. ipv6_only: :: and addresses mapped into IPv6 take no IPv4. */
static int bind_and_listen(
    const union address *address, socklen_t size, bool ipv6_only, int backlog, const char *name, struct jf_error *err) {
	int on = 1, only = ipv6_only;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		goto failed;
	if (address->any.sa_family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		goto failed;
	if (address->any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) != 0)
		goto failed;
	if (bind(fd, &address->any, size) != 0 || listen(fd, backlog) != 0)
		goto failed;
	return fd;
failed:
	jf_error_set(err, JF_EIO, "cannot listen on %s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int open_tcp(const char *text, bool ipv6_only, const struct jf_conf *conf, struct jf_error *err) {
	union address address;
	char name[128];
	memset(&address, 0, sizeof(address));
	snprintf(name, sizeof(name), "%.60s port %d", text, conf->listen_port);
	if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = htons((uint16_t)conf->listen_port);
		return bind_and_listen(&address, sizeof(address.v4), false, conf->listen_backlog, name, err);
	}
	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) != 1) {
		jf_error_set(err, JF_EINVAL, "cannot listen on %s: not an address", name);
		return -1;
	}
	address.v6.sin6_family = AF_INET6;
	address.v6.sin6_port = htons((uint16_t)conf->listen_port);
	if (IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr))
		ipv6_only = false;
	return bind_and_listen(&address, sizeof(address.v6), ipv6_only, conf->listen_backlog, name, err);
}

/* Every address of the list. */
static enum jf_err open_addresses(struct jf_listeners *listeners, const struct jf_conf *conf, struct jf_error *err) {
	const char *list = conf->listen_address;
	char item[64];
	enum jf_err rc = JF_OK;
	/* :: and an IPv4 address on one port exclude each other unless :: leaves IPv4 alone. */
	bool ipv6_only = conf->listen_ipv6_only || strchr(list, '.') != NULL;
	while (rc == JF_OK && jf_conf_list_next(&list, item, sizeof(item))) {
		if (listeners->n == JF_MAX_LISTEN - 1) /* one is left for listen_path */
			return jf_error_set(
			    err, JF_ELIMIT, "listen_address: at most %d addresses are taken", JF_MAX_LISTEN - 1);
		int fd = open_tcp(item, ipv6_only, conf, err);
		rc = fd < 0 ? JF_EIO : add(listeners, fd, false, err);
	}
	return rc;
}

/* Removes a socket file that nobody answers on (a killed daemon's); leaves everything else alone. */
static void remove_stale(const union address *address) {
	struct stat status;
	if (lstat(address->local.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
		return;
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return;
	if (connect(probe, &address->any, sizeof(address->local)) != 0 && errno == ECONNREFUSED)
		unlink(address->local.sun_path);
	close(probe);
}

static int open_unix(const struct jf_conf *conf, struct jf_error *err) {
	union address address;
	memset(&address, 0, sizeof(address));
	address.local.sun_family = AF_UNIX;
	snprintf(address.local.sun_path, sizeof(address.local.sun_path), "%s", conf->listen_path);
	remove_stale(&address);
	int fd = bind_and_listen(&address, sizeof(address.local), false, conf->listen_backlog, conf->listen_path, err);
	/* Whatever the umask: who may connect is the folder's business. */
	if (fd >= 0 && chmod(conf->listen_path, 0666) != 0) {
		jf_error_set(err, JF_EIO, "cannot open %s to other users: %s", conf->listen_path, strerror(errno));
		unlink(conf->listen_path);
		close(fd);
		return -1;
	}
	return fd;
}

static enum jf_err take_passed(struct jf_listeners *listeners, const struct jf_conf *conf, struct jf_error *err) {
	int fds[JF_MAX_LISTEN];
	int n = jf_service_listen_fds(fds, JF_MAX_LISTEN, err);
	if (n < 0)
		return err ? err->code : JF_EINVAL;
	for (int i = 0; i < n; i++) {
		enum jf_err rc = add(listeners, fds[i], true, err);
		if (rc != JF_OK)
			return rc;
		if (listeners->item[i].open && !*conf->key_file && !conf->allow_unauthenticated)
			return jf_error_set(err, JF_EINVAL,
			    "the service manager passed %s, which other machines can reach, and no key_file is set; "
			    "set one, or say allow_unauthenticated = yes if something in front checks access",
			    listeners->item[i].name);
	}
	return JF_OK;
}

enum jf_err jf_listen_open(struct jf_listeners *listeners, const struct jf_conf *conf, struct jf_error *err) {
	listeners->n = 0;
	enum jf_err rc = take_passed(listeners, conf, err);
	if (rc != JF_OK || listeners->n > 0)
		return rc;
	rc = open_addresses(listeners, conf, err);
	if (rc == JF_OK && *conf->listen_path) {
		int fd = open_unix(conf, err);
		rc = fd < 0 ? JF_EIO : add(listeners, fd, false, err);
	}
	if (rc == JF_OK && listeners->n == 0)
		rc =
		    jf_error_set(err, JF_EINVAL, "nothing to listen on: listen_address and listen_path are both empty");
	if (rc != JF_OK)
		jf_listen_close(listeners, conf);
	return rc;
}

enum jf_err jf_listen_check(const struct jf_conf *conf, struct jf_error *err) {
	const char *path = conf->listen_path, *slash = strrchr(path, '/');
	struct stat status;
	char folder[128];
	if (!*path)
		return JF_OK;
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + (slash == path) : 1, slash ? path : ".");
	if (access(folder, W_OK | X_OK) != 0) {
		if (errno != ENOENT || strncmp(folder, "/run/", 5) != 0)
			return jf_error_set(err, JF_EIO, "listen_path: no socket can be made in the folder %s: %s",
			    folder, strerror(errno));
		jf_log(JF_LOG_WARNING, NULL,
		    "listen_path: the folder %s is not there now; the start fails unless the service manager makes it "
		    "(RuntimeDirectory)",
		    folder);
	} else if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode)) {
		return jf_error_set(
		    err, JF_EIO, "listen_path: %s is there already, is not a socket, and is left alone", path);
	}
	return JF_OK;
}

void jf_listen_close(struct jf_listeners *listeners, const struct jf_conf *conf) {
	for (int i = 0; i < listeners->n; i++) {
		struct jf_listener *listener = &listeners->item[i];
		if (listener->fd < 0)
			continue;
		if (listener->is_unix && !listener->passed)
			unlink(conf->listen_path);
		close(listener->fd);
		listener->fd = -1;
	}
}
