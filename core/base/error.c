#include "core/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum jf_err jf_error_set(struct jf_error *err, enum jf_err code, const char *format, ...) {
	va_list args;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	return code;
}

enum jf_err jf_error_prefix(struct jf_error *err, const char *format, ...) {
	char rest[JF_ERROR_SIZE];
	va_list args;
	size_t used;

	if (!err)
		return JF_EINTERNAL;
	memcpy(rest, err->message, sizeof(rest));
	rest[sizeof(rest) - 1] = '\0';
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	used = strlen(err->message);
	/* Cut where the record ends. */
	for (const char *p = ": "; *p && used < sizeof(err->message) - 1; p++)
		err->message[used++] = *p;
	for (const char *p = rest; *p && used < sizeof(err->message) - 1; p++)
		err->message[used++] = *p;
	err->message[used] = '\0';
	return err->code;
}

const char *jf_err_phrase(enum jf_err code) {
	static const char *const phrase[] = {
	    [JF_OK] = "success",
	    [JF_EINVAL] = "invalid argument",
	    [JF_ENOMEM] = "out of memory",
	    [JF_EIO] = "input/output error",
	    [JF_EFORMAT] = "malformed data",
	    [JF_ELIMIT] = "limit exceeded",
	    [JF_EEMPTY] = "nothing to work on",
	    [JF_ECANCELED] = "cancelled",
	    [JF_ENUMERIC] = "not a finite number",
	    [JF_EINTERNAL] = "internal error",
	};
	if ((unsigned)code >= sizeof(phrase) / sizeof(phrase[0]) || !phrase[code])
		return "unknown error";
	return phrase[code];
}
