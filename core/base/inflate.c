#include "core/base/inflate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK (1U << 20)

static enum jf_err open_file(gzFile *file, const char *path, struct jf_error *err) {
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return jf_error_set(err, JF_EIO, "%s: %s", path, strerror(errno));
	if (fstat(fd, &status) != 0 || S_ISDIR(status.st_mode)) {
		close(fd);
		return jf_error_set(err, JF_EIO, "%s: is not a file", path);
	}
	*file = gzdopen(fd, "rb");
	if (!*file) {
		close(fd);
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory", path);
	}
	gzbuffer(*file, 1U << 17);
	return JF_OK;
}

static enum jf_err read_failed(gzFile file, const char *path, size_t at, struct jf_error *err) {
	int code;
	const char *reason = gzerror(file, &code);

	if (code == Z_ERRNO)
		return jf_error_set(err, JF_EIO, "%s: read error after %zu bytes: %s", path, at, strerror(errno));
	return jf_error_set(err, JF_EFORMAT, "%s: damaged gzip stream after %zu unpacked bytes: %s", path, at, reason);
}

/* Doubles the buffer, at most to one byte above max_size (the byte that tells that the file is too large). */
static enum jf_err grow(unsigned char **data, size_t *room, const char *path, size_t max_size, struct jf_error *err) {
	size_t want = *room ? *room * 2 : CHUNK;
	unsigned char *more;

	if (want > max_size + 1)
		want = max_size + 1;
	if (want <= *room)
		return jf_error_set(err, JF_ELIMIT, "%s: more than %zu bytes unpacked", path, max_size);
	more = realloc(*data, want);
	if (!more)
		return jf_error_set(err, JF_ENOMEM, "%s: out of memory for %zu bytes", path, want);
	*data = more;
	*room = want;
	return JF_OK;
}

enum jf_err jf_inflate_file(
    unsigned char **data, size_t *size, const char *path, size_t max_size, struct jf_error *err) {
	unsigned char *bytes = NULL;
	size_t room = 0, used = 0;
	gzFile file = NULL;
	enum jf_err rc = open_file(&file, path, err);

	if (rc != JF_OK)
		return rc;
	for (;;) {
		int code, got;

		if (used == room && (rc = grow(&bytes, &room, path, max_size, err)) != JF_OK)
			goto out;
		got = gzread(file, bytes + used, (unsigned)(room - used < CHUNK ? room - used : CHUNK));
		if (got < 0) {
			rc = read_failed(file, path, used, err);
			goto out;
		}
		used += (size_t)got;
		if (got == 0) {
			gzerror(file, &code); /* a stream cut short ends like a file, but for this code */
			if (code != Z_OK)
				rc = read_failed(file, path, used, err);
			break;
		}
	}
	if (rc == JF_OK && used == 0)
		rc = jf_error_set(err, JF_EEMPTY, "%s: the file is empty", path);
	if (rc == JF_OK && used > max_size)
		rc = jf_error_set(err, JF_ELIMIT, "%s: more than %zu bytes unpacked", path, max_size);
out:
	if (gzclose_r(file) == Z_BUF_ERROR && rc == JF_OK)
		rc = jf_error_set(err, JF_EFORMAT, "%s: the gzip stream is cut short", path);
	if (rc == JF_OK) {
		*data = bytes;
		*size = used;
	} else {
		free(bytes);
	}
	return rc;
}

bool jf_inflate_raw(unsigned char *out, size_t size, const unsigned char *packed, size_t packed_size) {
	/* zlib reads through a pointer that may not be const */
	union {
		const unsigned char *ours;
		Bytef *theirs;
	} in = {packed};
	z_stream stream = {
	    .next_in = in.theirs, .avail_in = (uInt)packed_size, .next_out = out, .avail_out = (uInt)size};
	bool whole;

	if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
		return false;
	whole = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == size;
	inflateEnd(&stream);
	return whole;
}
