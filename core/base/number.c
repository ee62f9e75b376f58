#include "core/base/number.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool jf_number_parse(double *out, const char *text) {
	char *end;
	double value;

	if (!*text || strspn(text, "+-0123456789.eE") != strlen(text))
		return false;
	value = strtod(text, &end);
	if (*end || !isfinite(value))
		return false;
	*out = value;
	return true;
}

bool jf_number_parse_integer(int64_t *out, const char *text) {
	char *end;
	long long value;

	if (!*text || strspn(text, "+-0123456789") != strlen(text))
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (*end || errno)
		return false;
	*out = value;
	return true;
}

int jf_number_compare_floats(const void *a, const void *b) {
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}
