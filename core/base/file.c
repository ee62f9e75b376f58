#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- reading --- */

static int open_for_reading(const char *path) {
	if (strcmp(path, "-") == 0)
		return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Room to begin with: the size of a regular file, so that one read does, and something small for a pipe. */
static enum jf_err first_capacity(size_t *capacity, int fd, const char *path, size_t max_bytes, struct jf_error *err) {
	struct stat status;

	*capacity = 1 << 16;
	if (fstat(fd, &status) < 0)
		return jf_error_set(err, JF_EIO, "%s: cannot read: %m", path);
	if (S_ISDIR(status.st_mode))
		return jf_error_set(err, JF_EIO, "%s: is a folder", path);
	if (S_ISREG(status.st_mode) && (uintmax_t)status.st_size > max_bytes)
		return jf_error_set(err, JF_ELIMIT, "%s: %jd bytes, more than the limit of %zu", path,
		    (intmax_t)status.st_size, max_bytes);
	if (S_ISREG(status.st_mode) && status.st_size > 0)
		*capacity = (size_t)status.st_size;
	if (*capacity > max_bytes)
		*capacity = max_bytes;
	return JF_OK;
}

/* Reads to the end. The buffer holds capacity + 2 bytes: one shows that there is more, one is for the final NUL. */
static enum jf_err read_all(
    uint8_t **buffer, size_t *used, int fd, const char *path, size_t capacity, size_t max_bytes, struct jf_error *err) {
	*buffer = malloc(capacity + 2);
	if (!*buffer)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory (%zu bytes)", path, capacity);
	for (;;) {
		ssize_t got = read(fd, *buffer + *used, capacity + 1 - *used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return jf_error_set(err, JF_EIO, "%s: cannot read: %m", path);
		if (got == 0)
			return JF_OK;
		*used += (size_t)got;
		if (*used <= capacity)
			continue;
		if (capacity >= max_bytes)
			return jf_error_set(err, JF_ELIMIT, "%s: more than the limit of %zu bytes", path, max_bytes);
		capacity = capacity > max_bytes / 2 ? max_bytes : 2 * capacity;
		uint8_t *grown = realloc(*buffer, capacity + 2);
		if (!grown)
			return jf_error_set(err, JF_ENOMEM, "%s: out of memory (%zu bytes)", path, capacity);
		*buffer = grown;
	}
}

enum jf_err jf_file_read(uint8_t **data, size_t *size_bytes, const char *path, size_t max_bytes, struct jf_error *err) {
	enum jf_err status;
	uint8_t *buffer = NULL;
	size_t used = 0, capacity;
	int fd;

	*data = NULL;
	*size_bytes = 0;
	if (max_bytes > SIZE_MAX / 4)
		max_bytes = SIZE_MAX / 4;
	fd = open_for_reading(path);
	if (fd < 0)
		return jf_error_set(err, JF_EIO, "%s: cannot open: %m", path);
	status = first_capacity(&capacity, fd, path, max_bytes, err);
	if (!status)
		status = read_all(&buffer, &used, fd, path, capacity, max_bytes, err);
	close(fd);
	if (status) {
		free(buffer);
		return status;
	}
	buffer[used] = '\0';
	*data = buffer;
	*size_bytes = used;
	return JF_OK;
}

/* --- writing --- */

struct jf_file_writer {
	int fd;
	bool atomic;     /* a temporary file that commit renames; else the target itself */
	int failure;     /* errno of the first failed write, 0 so far */
	char *name;      /* as the caller said it, for messages */
	char *target;    /* what the name leads to: symbolic links followed */
	char *temporary; /* atomic only: in the target's folder */
};

static void free_writer(struct jf_file_writer *writer) {
	if (!writer)
		return;
	if (writer->fd >= 0)
		close(writer->fd);
	free(writer->name);
	free(writer->target);
	free(writer->temporary);
	free(writer);
}

/* "dir/name" -> "dir/.name.tmp". One fixed name, not a random one: what a killed process left behind is used again by
 * the next, instead of piling up. */
static char *temporary_name(const char *target) {
	const char *slash = strrchr(target, '/');
	int folder = slash ? (int)(slash + 1 - target) : 0;
	size_t size = strlen(target) + sizeof("..tmp");
	char *name = malloc(size);

	if (name)
		snprintf(name, size, "%.*s.%s.tmp", folder, target, target + folder);
	return name;
}

/* Opens and locks the temporary file. The lock keeps two writers of one target apart; a killed process's lock is gone
 * with it. Between open and lock another writer may have renamed the file away: then the name leads elsewhere, and we
 * try again. */
static int open_temporary(const char *path) {
	for (int attempt = 0; attempt < 100; attempt++) {
		struct stat opened, named;
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &opened) < 0)
			goto fail;
		if (lstat(path, &named) == 0 && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino) {
			/* Not ours, or linked to from elsewhere: somebody prepared it. */
			if (!S_ISREG(opened.st_mode) || opened.st_uid != geteuid() || opened.st_nlink != 1) {
				errno = EPERM;
				goto fail;
			}
			if (ftruncate(fd, 0) < 0)
				goto fail;
			return fd;
		}
		close(fd);
		continue;
	fail:;
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	errno = EBUSY;
	return -1;
}

static enum jf_err open_target(struct jf_file_writer *writer, struct jf_error *err) {
	struct stat old;
	bool exists = stat(writer->target, &old) == 0;

	if (exists && S_ISDIR(old.st_mode))
		return jf_error_set(err, JF_EIO, "%s: is a folder", writer->name);
	writer->atomic = !exists || S_ISREG(old.st_mode);
	if (!writer->atomic) {
		writer->fd = open(writer->target, O_WRONLY | O_CLOEXEC);
		if (writer->fd < 0)
			return jf_error_set(err, JF_EIO, "%s: cannot open for writing: %m", writer->name);
		return JF_OK;
	}
	writer->temporary = temporary_name(writer->target);
	if (!writer->temporary)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory", writer->name);
	writer->fd = open_temporary(writer->temporary);
	if (writer->fd < 0 && errno == EWOULDBLOCK)
		return jf_error_set(err, JF_EIO, "%s: another process is writing it right now", writer->name);
	if (writer->fd < 0)
		return jf_error_set(err, JF_EIO, "%s: cannot create %s: %m", writer->name, writer->temporary);
	/* A leftover may have other permissions than a new file would; an old target's are kept. */
	if (exists && fchmod(writer->fd, old.st_mode & 07777) < 0)
		return jf_error_set(
		    err, JF_EIO, "%s: cannot set permissions of %s: %m", writer->name, writer->temporary);
	return JF_OK;
}

struct jf_file_writer *jf_file_writer_open(const char *path, struct jf_error *err) {
	struct jf_file_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		goto no_memory;
	writer->fd = -1;
	writer->name = strdup(path);
	if (!writer->name)
		goto no_memory;
	if (strcmp(path, "-") == 0) {
		writer->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		if (writer->fd < 0) {
			jf_error_set(err, JF_EIO, "standard output: %m");
			goto fail;
		}
		return writer;
	}
	writer->target = realpath(path, NULL); /* NULL also when there is no such file yet */
	if (!writer->target)
		writer->target = strdup(path);
	if (!writer->target)
		goto no_memory;
	if (open_target(writer, err))
		goto fail;
	return writer;
no_memory:
	jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
fail:
	jf_file_writer_abort(writer);
	return NULL;
}

enum jf_err jf_file_writer_write(struct jf_file_writer *writer, const void *data, size_t size_bytes) {
	const uint8_t *at = data;

	while (size_bytes > 0 && !writer->failure) {
		size_t piece = size_bytes < INT_MAX / 2 ? size_bytes : INT_MAX / 2;
		ssize_t put = write(writer->fd, at, piece);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			writer->failure = errno;
			break;
		}
		at += put;
		size_bytes -= (size_t)put;
	}
	return writer->failure ? JF_EIO : JF_OK;
}

/* The rename itself is only safe on disk once its folder is. */
static int sync_folder(const char *path) {
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int result = fd < 0 ? -1 : fsync(fd);

	if (result < 0 && (errno == EINVAL || errno == EACCES))
		result = 0; /* a file system that cannot, a folder that we may write but not read */
	if (fd >= 0)
		close(fd);
	free(folder);
	return result;
}

enum jf_err jf_file_writer_commit(struct jf_file_writer *writer, struct jf_error *err) {
	enum jf_err status = JF_OK;

	errno = writer->failure;
	if (!errno && writer->atomic && fsync(writer->fd) < 0)
		writer->failure = errno;
	if (writer->failure) {
		errno = writer->failure;
		status = jf_error_set(err, JF_EIO, "%s: cannot write: %m", writer->name);
		goto out;
	}
	if (!writer->atomic)
		goto out;
	if (rename(writer->temporary, writer->target) < 0) {
		status = jf_error_set(err, JF_EIO, "%s: cannot rename %s: %m", writer->name, writer->temporary);
		goto out;
	}
	free(writer->temporary);
	writer->temporary = NULL;
	if (sync_folder(writer->target) < 0)
		status = jf_error_set(err, JF_EIO, "%s: cannot sync its folder: %m", writer->name);
out:
	jf_file_writer_abort(writer);
	return status;
}

void jf_file_writer_abort(struct jf_file_writer *writer) {
	if (writer && writer->temporary && writer->fd >= 0)
		unlink(writer->temporary);
	free_writer(writer);
}

enum jf_err jf_file_write(const char *path, const void *data, size_t size_bytes, struct jf_error *err) {
	struct jf_file_writer *writer = jf_file_writer_open(path, err);

	if (!writer)
		return err ? err->code : JF_EIO;
	jf_file_writer_write(writer, data, size_bytes);
	return jf_file_writer_commit(writer, err);
}

bool jf_file_in_tree(char *path, size_t size, const char *name) {
	char here[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", here, sizeof(here) - 1);

	if (length <= 0)
		return false;
	here[length] = '\0';
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(here, '/');

		if (!slash)
			return false;
		*slash = '\0';
		if (snprintf(path, size, "%s/configure.ac", here) >= (int)size || access(path, R_OK))
			continue;
		if (snprintf(path, size, "%s/%s", here, name) < (int)size && !access(path, R_OK))
			return true;
	}
	return false;
}
