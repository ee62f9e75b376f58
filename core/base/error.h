/* Error codes and the error record.
 *
 * Every fallible function returns enum jf_err and, where a sentence helps, fills a struct jf_error in the caller's
 * memory. The record has fixed buffers, so reporting never allocates and cannot fail. */
#ifndef JF_CORE_BASE_ERROR_H
#define JF_CORE_BASE_ERROR_H

enum jf_err {
	JF_OK = 0,
	JF_EINVAL,    /* an argument is outside what the function accepts */
	JF_ENOMEM,    /* memory could not be had */
	JF_EIO,       /* reading or writing failed (disk full, no such file, permission) */
	JF_EFORMAT,   /* the data is not what its format allows (checkpoint, PNG, IDX, JSON) */
	JF_ELIMIT,    /* well formed, but above a limit of ours */
	JF_EEMPTY,    /* nothing to work on: a blank image, an empty data set */
	JF_ECANCELED, /* the caller's cancel flag or deadline */
	JF_ENUMERIC,  /* NaN or infinity where a number was due */
	JF_EINTERNAL, /* a bug of ours */
};

#define JF_ERROR_SIZE 512

struct jf_error {
	enum jf_err code;
	char message[JF_ERROR_SIZE]; /* one line, no trailing newline, names cause and place */
};

/* Fills *err (may be NULL) and returns `code`, so that callers write `return jf_error_set(err, JF_EIO, "...")`.
 * Overlong messages are cut. */
enum jf_err jf_error_set(struct jf_error *err, enum jf_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prefixes the message that is already there with "prefix: "; returns err->code (JF_EINTERNAL when err is NULL). */
enum jf_err jf_error_prefix(struct jf_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A fixed phrase for a code, e.g. "invalid argument"; never NULL. */
const char *jf_err_phrase(enum jf_err code);

#endif
