/* Numbers as people write them in options, queries and files: decimal, the whole text, no blanks, no hex, no inf, no
 * nan. */
#ifndef JF_CORE_BASE_NUMBER_H
#define JF_CORE_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False when the text is not such a number or does not fit; *out is untouched then. */
bool jf_number_parse(double *out, const char *text);
bool jf_number_parse_integer(int64_t *out, const char *text);

#define JF_NUMBER_TEXT 40
/* As few significant digits as read back to the same number, but not fewer than 6 are tried, as "%.*g" writes them in
 * the C locale; "null" when the value is not finite. text [JF_NUMBER_TEXT]; returns its length. */
size_t jf_number_print_float(char *text, float value);
/* The same, and not fewer than 15. */
size_t jf_number_print_double(char *text, double value);

/* qsort's comparison of two floats, rising; neither is NaN. */
int jf_number_compare_floats(const void *a, const void *b);

#endif
