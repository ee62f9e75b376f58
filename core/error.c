#include "core/error.h"

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
	char prefix[JF_ERROR_SIZE];
	char rest[JF_ERROR_SIZE];
	va_list args;
	int used;

	if (!err)
		return JF_EINTERNAL;
	va_start(args, format);
	vsnprintf(prefix, sizeof(prefix), format, args);
	va_end(args);
	memcpy(rest, err->message, sizeof(rest));
	rest[sizeof(rest) - 1] = '\0';
	used = snprintf(err->message, sizeof(err->message), "%s: ", prefix);
	if (used > 0 && (size_t)used < sizeof(err->message))
		snprintf(err->message + used, sizeof(err->message) - (size_t)used, "%s", rest);
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
