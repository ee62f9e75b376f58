#include "core/base/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
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

/* A number as its significant digits, without zeros at the end, and the power of ten of the first. */
struct decimal {
	char digits[12];
	int n, exponent;
};

/* How many digits will do, 6 to 9, and which they are, in double arithmetic: much faster than printing and reading
 * back. False when rounding may have decided, or the value is out of range. Powers of ten are exact up to 10^22. */
static bool find_digits(struct decimal *out, float value) {
	const double magnitude = fabs((double)value);
	double scale = 1e5, whole, back, limit = 1e6;
	int n = 6;
	uint32_t integer;

	if (!(magnitude > 1e-9 && magnitude < 1e5))
		return false;
	for (out->exponent = 0; magnitude * scale < 1e5; out->exponent--)
		scale *= 10;
	for (; magnitude * scale >= 1e6; out->exponent++)
		scale /= 10;
	for (;; n++, scale *= 10, limit *= 10) {
		whole = rint(magnitude * scale);
		back = whole / scale;
		if ((float)back == fabsf(value))
			break;
		if (n == 9)
			return false;
	}
	if (whole >= limit || fabs(magnitude * scale - whole) > 0.499 || (float)(back * (1 + 1e-15)) != fabsf(value) ||
	    (float)(back * (1 - 1e-15)) != fabsf(value))
		return false;
	integer = (uint32_t)whole;
	for (out->n = n; integer % 10 == 0; out->n--)
		integer /= 10;
	for (int i = out->n - 1; i >= 0; i--, integer /= 10)
		out->digits[i] = (char)('0' + integer % 10);
	return true;
}

static char *put_digits(char *to, const char *digits, int n) {
	memcpy(to, digits, (size_t)n);
	return to + n;
}

static char *put_zeros(char *to, int n) {
	for (int i = 0; i < n; i++)
		*to++ = '0';
	return to;
}

/* As "%g" does with that many digits or more; the exponent is -9 to 4. */
static char *write_decimal(char *to, const struct decimal *d) {
	const int ahead = d->exponent + 1; /* digits before the point */

	if (d->exponent < -4) {
		*to++ = d->digits[0];
		if (d->n > 1)
			*to++ = '.';
		to = put_digits(to, d->digits + 1, d->n - 1);
		to = put_digits(to, "e-0", 3);
		*to++ = (char)('0' - d->exponent);
	} else if (ahead <= 0) {
		to = put_zeros(put_digits(to, "0.", 2), -ahead);
		to = put_digits(to, d->digits, d->n);
	} else if (d->n <= ahead) {
		to = put_zeros(put_digits(to, d->digits, d->n), ahead - d->n);
	} else {
		to = put_digits(to, d->digits, ahead);
		*to++ = '.';
		to = put_digits(to, d->digits + ahead, d->n - ahead);
	}
	return to;
}

/* What needs care: by the C library, read back each time. single: as a float. */
static size_t print_slowly(char *text, double value, int fewest, int most, bool single) {
	char *comma;

	strcpy(text, "null");
	for (int digits = fewest; isfinite(value) && digits <= most; digits++) {
		snprintf(text, JF_NUMBER_TEXT, "%.*g", digits, value);
		if ((single ? (double)strtof(text, NULL) : strtod(text, NULL)) == value)
			break;
	}
	comma = strchr(text, ','); /* whatever the locale says */
	if (comma)
		*comma = '.';
	return strlen(text);
}

size_t jf_number_print_float(char *text, float value) {
	struct decimal decimal = {.n = 0};
	char *end = text;

	if (!find_digits(&decimal, value))
		return print_slowly(text, (double)value, 6, 9, true);
	if (value < 0)
		*end++ = '-';
	end = write_decimal(end, &decimal);
	*end = '\0';
	return (size_t)(end - text);
}

size_t jf_number_print_double(char *text, double value) {
	return print_slowly(text, value, 15, 17, false);
}

int jf_number_compare_floats(const void *a, const void *b) {
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}
