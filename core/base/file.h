/* Reading whole files, and writing them so that a reader sees either the old or the new one, never a part. */
#ifndef JF_CORE_BASE_FILE_H
#define JF_CORE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* Reads a whole file (or pipe; "-" is standard input) of at most max_bytes.
 * *data out: malloc'd, caller frees, followed by one NUL byte that *size_bytes does not count; NULL on failure.
 * JF_EIO (names file and cause), JF_ELIMIT (longer than max_bytes), JF_ENOMEM. */
enum jf_err jf_file_read(uint8_t **data, size_t *size_bytes, const char *path, size_t max_bytes, struct jf_error *err);

/* Whether this program runs in its source tree (TREE/program or TREE/build/program, TREE having configure.ac) and TREE
 * has the file: its path is written to `path`. */
bool jf_file_in_tree(char *path, size_t size, const char *name);

/* Atomic replacement: everything goes to a temporary file in the same folder; commit does fsync, rename, fsync of the
 * folder. Until then, and on every failure, an old file of that name stays as it was. A symbolic link is followed, a
 * target that is not a regular file (a pipe, /dev/stdout) is written directly.
 * The first failure is kept: later writes do nothing and commit returns it. */
struct jf_file_writer;
struct jf_file_writer *jf_file_writer_open(const char *path, struct jf_error *err); /* NULL: *err says why */
enum jf_err jf_file_writer_write(struct jf_file_writer *writer, const void *data, size_t size_bytes);
/* Always ends and frees the writer. JF_EIO names file and cause ("No space left on device"). */
enum jf_err jf_file_writer_commit(struct jf_file_writer *writer, struct jf_error *err);
void jf_file_writer_abort(struct jf_file_writer *writer); /* removes the temporary file, frees; NULL allowed */

/* The three calls above for one buffer. */
enum jf_err jf_file_write(const char *path, const void *data, size_t size_bytes, struct jf_error *err);

#endif
