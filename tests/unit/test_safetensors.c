/* safetensors: what is written is read back; malformed files, with the reason the message must give; damage
 * anywhere. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/files/safetensors.h"

/* --- malformed files: a header, the bytes of data after it, what must be said --- */

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define B "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}"
#define T(dtype, shape, offsets) "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct {
	const char *header;
	size_t data_bytes;
	enum jf_err code;
	const char *message;
} headers[] = {
    {"{" A "," B "}", 16, JF_OK, ""},
    {"{" B "," A "}", 16, JF_OK, ""},
    {"{}", 0, JF_OK, ""},
    {"{}      ", 0, JF_OK, ""},
    {"{\"__metadata__\":{}," A "}", 8, JF_OK, ""},
    {"{\"__metadata__\":{\"k\":\"v\"}}", 0, JF_OK, ""},
    {T("F32", "[]", "[0,4]"), 4, JF_OK, ""},
    {T("F32", "[0,4]", "[0,0]"), 0, JF_OK, ""},
    {T("BF16", "[1,2,1,2,1,1,1,1]", "[0,8]"), 8, JF_OK, ""},
    /* the JSON itself */
    {"", 0, JF_EFORMAT, "does not begin with {"},
    {"[]", 0, JF_EFORMAT, "does not begin with {"},
    {" {}", 0, JF_EFORMAT, "does not begin with {"},
    {"{\"a\":", 0, JF_EFORMAT, "header: JSON: line 1"},
    {"{} x", 0, JF_EFORMAT, "end of file expected"},
    {"{" A "," A "}", 8, JF_EFORMAT, "duplicate object key"},
    {"{\"a\\u0000b\":1}", 0, JF_EFORMAT, "NUL byte in object key"},
    {"{\"\xff\":1}", 0, JF_EFORMAT, "unable to decode byte 0xff"},
    {"{\"a\":[[[[[[1]]]]]]}", 0, JF_ELIMIT, "nested deeper than 3 levels"},
    /* metadata */
    {"{\"__metadata__\":[]}", 0, JF_EFORMAT, "__metadata__ must be an object, not an array"},
    {"{\"__metadata__\":{\"epochs\":12}}", 0, JF_EFORMAT, "__metadata__: \"epochs\": must be a string, not 12"},
    {"{\"__metadata__\":{\"a\":{}}}", 0, JF_EFORMAT, "must be a string, not an object"},
    /* a tensor's fields */
    {"{\"a\":1}", 0, JF_EFORMAT, "tensor a: must be an object, not an integer"},
    {"{\"\":{}}", 0, JF_EFORMAT, "a name must not be empty"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, JF_EFORMAT, "tensor a: data_offsets is missing"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, JF_EFORMAT, "tensor a: dtype is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, JF_EFORMAT, "tensor a: shape is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, JF_EFORMAT, "unknown key \"x\""},
    {T("F33", "[2]", "[0,8]"), 8, JF_EFORMAT, "tensor a: dtype \"F33\" is not known"},
    {T("f32", "[2]", "[0,8]"), 8, JF_EFORMAT, "dtype \"f32\" is not known"},
    {"{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, JF_EFORMAT, "dtype: must be a string"},
    {T("F32", "2", "[0,8]"), 8, JF_EFORMAT, "shape must be an array, not an integer"},
    {T("F32", "[2.0]", "[0,8]"), 8, JF_EFORMAT, "shape[0]: must be an integer, not 2.0"},
    {T("F32", "[-2]", "[0,8]"), 8, JF_EFORMAT, "shape[0]: must be an integer from 0"},
    {T("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, JF_ELIMIT, "9 dimensions"},
    {T("F32", "[99999999999999999999]", "[0,8]"), 8, JF_EFORMAT, "must be an integer, not 1e+20"},
    /* products that overflow 64 bits, also past a zero */
    {T("F32", "[4611686018427387904]", "[0,0]"), 0, JF_EFORMAT, "the number of bytes overflows"},
    {T("F32", "[2147483648,2147483648]", "[0,0]"), 0, JF_EFORMAT, "the number of bytes overflows"},
    {T("F32", "[4294967296,4294967296]", "[0,0]"), 0, JF_EFORMAT, "the number of bytes overflows"},
    {T("U8", "[4294967296,4294967296,0]", "[0,0]"), 0, JF_EFORMAT, "the number of bytes overflows"},
    {T("U8", "[0,4294967296,4294967296]", "[0,0]"), 0, JF_EFORMAT, "the number of bytes overflows"},
    /* offsets */
    {T("F32", "[2]", "[0]"), 8, JF_EFORMAT, "data_offsets must be an array of 2 integers"},
    {T("F32", "[2]", "{}"), 8, JF_EFORMAT, "data_offsets must be an array of 2 integers"},
    {T("F32", "[2]", "[0,\"8\"]"), 8, JF_EFORMAT, "data_offsets[1]: must be an integer, not the string \"8\""},
    {T("F32", "[2]", "[-8,0]"), 8, JF_EFORMAT, "data_offsets[0]: must be an integer from 0"},
    {T("F32", "[2]", "[8,0]"), 8, JF_EFORMAT, "run backwards"},
    {T("F32", "[2]", "[0,8]"), 7, JF_EFORMAT, "its data ends at byte 8 of 7: truncated or a wrong offset"},
    {T("F32", "[2]", "[0,9223372036854775807]"), 8, JF_EFORMAT, "ends at byte 9223372036854775807 of 8"},
    {T("F32", "[3]", "[0,8]"), 8, JF_EFORMAT, "shape and dtype make 12 bytes, data_offsets 8"},
    {T("F64", "[2]", "[0,8]"), 8, JF_EFORMAT, "shape and dtype make 16 bytes, data_offsets 8"},
    {T("F32", "[1]", "[2,6]"), 6, JF_EFORMAT, "not a multiple of F32's 4"},
    {T("F32", "[2]", "[4,12]"), 12, JF_EFORMAT, "4 bytes before tensor a belong to no tensor"},
    {T("F32", "[2]", "[0,8]"), 9, JF_EFORMAT, "1 bytes at the end belong to no tensor"},
    {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, JF_EFORMAT,
	"tensors a and b overlap"},
    {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, JF_EFORMAT,
	"tensors a and b overlap"},
    {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, JF_EFORMAT,
	"tensors a and b overlap"},
    {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]}}", 20, JF_EFORMAT,
	"4 bytes before tensor b"},
    {"{}", 4, JF_EFORMAT, "4 bytes at the end belong to no tensor"},
    /* names that a terminal would act on */
    {"{\"\\u001b[2Jx\":1}", 0, JF_EFORMAT, "tensor ?[2Jx: must be an object"},
};

/* Exactly the size in malloc'd memory, so that ASan sees every read past it. */
static uint8_t *build(size_t *size, const char *header, uint64_t length, size_t data_bytes) {
	size_t header_bytes = strlen(header);
	uint8_t *file;

	*size = 8 + header_bytes + data_bytes;
	file = calloc(1, *size);
	assert_non_null(file);
	memcpy(file, &length, 8);
	memcpy(file + 8, header, header_bytes);
	return file;
}

static void test_headers(void **state) {
	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct jf_error err = {0};
		size_t size;
		uint8_t *data = build(&size, headers[i].header, strlen(headers[i].header), headers[i].data_bytes);
		struct jf_safetensors *file = jf_safetensors_parse(data, size, "bad.safetensors", &err);

		if (err.code != headers[i].code || !strstr(err.message, headers[i].message) ||
		    (file == NULL) != (headers[i].code != JF_OK))
			fail_msg("%s: %d, %s", headers[i].header, (int)err.code, err.message);
		if (!file)
			assert_ptr_equal(strstr(err.message, "bad.safetensors: "), err.message);
		jf_safetensors_close(file);
		file = jf_safetensors_parse(data, size, "x", NULL); /* nobody asks why */
		assert_int_equal(file == NULL, headers[i].code != JF_OK);
		jf_safetensors_close(file);
		free(data);
	}
}

static void test_lengths(void **state) {
	static const struct {
		uint64_t length;
		enum jf_err code;
		const char *message;
	} cases[] = {
	    {3, JF_EFORMAT, "truncated: the header has 3 bytes, 2 are left"},
	    {1, JF_EFORMAT, "does not begin"},
	    {0, JF_EFORMAT, "does not begin"},
	    {16 << 20, JF_EFORMAT, "truncated: the header has 16777216 bytes"},
	    {(16 << 20) + 1, JF_ELIMIT, "a header of 16777217 bytes; the limit is 16777216"},
	    {INT64_MAX, JF_ELIMIT, "a header of 9223372036854775807 bytes"},
	    {UINT64_MAX, JF_ELIMIT, "a header of 18446744073709551615 bytes"},
	    {UINT64_MAX - 7, JF_ELIMIT, "a header of"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jf_error err = {0};
		size_t size;
		uint8_t *data = build(&size, "{}", cases[i].length, 0);

		assert_null(jf_safetensors_parse(data, size, "f", &err));
		assert_int_equal(err.code, cases[i].code);
		assert_non_null(strstr(err.message, cases[i].message));
		free(data);
	}
	for (size_t size = 0; size < 8; size++) {
		struct jf_error err = {0};
		uint8_t *data = calloc(1, size + 1);

		assert_null(jf_safetensors_parse(data, size, "f", &err));
		assert_non_null(strstr(err.message, "truncated"));
		free(data);
	}
}

/* --- writing and reading back --- */

static const float floats[6] = {0.5f, -1.25f, 3e-39f, 3.4e38f, -0.0f, 1};
static const uint64_t counts[2] = {UINT64_MAX, 12345678901234567u};
static const int64_t signs[1] = {INT64_MIN};
static const uint8_t bytes[3] = {0, 127, 255};
static const struct jf_tensor tensors[] = {
    {.name = "bytes", .dtype = JF_DTYPE_U8, .rank = 1, .shape = {3}, .data = bytes},
    {.name = "weights \xc3\xa4\"\\", .dtype = JF_DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = floats},
    {.name = "counts", .dtype = JF_DTYPE_U64, .rank = 1, .shape = {2}, .data = counts},
    {.name = "sign", .dtype = JF_DTYPE_I64, .rank = 0, .data = signs},
    {.name = "empty", .dtype = JF_DTYPE_F32, .rank = 2, .shape = {0, 7}},
};
#define N_TENSORS (sizeof(tensors) / sizeof(tensors[0]))
static const struct jf_metadata metadata[] = {{"format", "test"}, {"text", "two\nlines, \"quoted\""}, {"", ""}};
#define N_METADATA (sizeof(metadata) / sizeof(metadata[0]))

static void check_values(
    const struct jf_safetensors *file, const char *name, enum jf_dtype dtype, const void *values, size_t size) {
	const struct jf_tensor *tensor = jf_safetensors_find(file, name);

	assert_non_null(tensor);
	assert_int_equal(tensor->dtype, dtype);
	assert_int_equal(tensor->size_bytes, size);
	assert_memory_equal(tensor->data, values, size);
}

static void check_content(const struct jf_safetensors *file) {
	struct jf_error err = {0};
	const struct jf_tensor *tensor;
	float f[6];

	assert_int_equal(jf_safetensors_count(file), N_TENSORS);
	assert_int_equal(jf_safetensors_metadata_count(file), N_METADATA);
	for (size_t i = 0; i < N_METADATA; i++) {
		assert_string_equal(jf_safetensors_metadata_at(file, i)->key, metadata[i].key);
		assert_string_equal(jf_safetensors_metadata(file, metadata[i].key), metadata[i].value);
	}
	assert_null(jf_safetensors_metadata(file, "absent"));
	assert_null(jf_safetensors_metadata_at(file, N_METADATA));
	tensor = jf_safetensors_find(file, tensors[1].name);
	assert_non_null(tensor);
	assert_int_equal(tensor->rank, 2);
	assert_int_equal(tensor->shape[0], 2);
	assert_int_equal(tensor->shape[1], 3);
	assert_int_equal(jf_safetensors_read_f32(file, tensors[1].name, f, 6, &err), JF_OK);
	assert_memory_equal(f, floats, sizeof(f));
	check_values(file, "counts", JF_DTYPE_U64, counts, sizeof(counts));
	check_values(file, "sign", JF_DTYPE_I64, &(int64_t){INT64_MIN}, sizeof(int64_t));
	check_values(file, "bytes", JF_DTYPE_U8, bytes, sizeof(bytes));
	assert_int_equal(jf_safetensors_read_f32(file, "empty", NULL, 0, &err), JF_OK);
	for (size_t i = 0; i + 1 < N_TENSORS; i++)
		assert_true((const char *)jf_safetensors_at(file, i)->data <=
			    (const char *)jf_safetensors_at(file, i + 1)->data);
	assert_null(jf_safetensors_at(file, N_TENSORS));
	/* What the readers refuse. */
	assert_int_equal(jf_safetensors_read_f32(file, "absent", f, 1, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, ": tensor absent is missing"));
	assert_int_equal(jf_safetensors_read_f32(file, "counts", f, 2, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, ": tensor counts: dtype U64, expected F32"));
	assert_int_equal(jf_safetensors_read_f32(file, tensors[1].name, f, 1, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, ": 6 elements, expected 1"));
}

static void test_round_trip(void **state) {
	char path[] = "/tmp/jf-st-XXXXXX";
	char checksum[JF_SHA256_HEX];
	struct jf_error err = {0};
	struct jf_safetensors *file;
	uint8_t *data, *saved;
	size_t size, saved_size;
	uint64_t header;

	(void)state;
	assert_int_equal(jf_safetensors_encode(&data, &size, tensors, N_TENSORS, metadata, N_METADATA, &err), JF_OK);
	memcpy(&header, data, 8);
	assert_int_equal(header % 8, 0);
	file = jf_safetensors_parse(data, size, "memory", &err);
	assert_non_null(file);
	assert_string_equal(jf_safetensors_origin(file), "memory");
	check_content(file);
	jf_sha256_hex(checksum, data, size);
	assert_string_equal(jf_safetensors_checksum(file), checksum);
	jf_safetensors_close(file);
	close(mkstemp(path));
	assert_int_equal(jf_safetensors_save(path, tensors, N_TENSORS, metadata, N_METADATA, &err), JF_OK);
	assert_int_equal(jf_file_read(&saved, &saved_size, path, 1 << 20, &err), JF_OK);
	assert_int_equal(saved_size, size);
	assert_memory_equal(saved, data, size);
	file = jf_safetensors_open(path, &err);
	assert_non_null(file);
	check_content(file);
	jf_safetensors_close(file);
	jf_safetensors_close(NULL);
	unlink(path);
	assert_null(jf_safetensors_open(path, &err));
	assert_int_equal(err.code, JF_EIO);
	free(saved);
	free(data);
}

static void test_not_finite(void **state) {
	static const float values[] = {NAN, INFINITY, -INFINITY};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		float data[3] = {1, values[i], 2};
		struct jf_tensor tensor = JF_TENSOR_1D("w", JF_DTYPE_F32, data, 3);
		struct jf_error err = {0};
		struct jf_safetensors *file;
		uint8_t *encoded;
		size_t size;
		float out[3];

		assert_int_equal(jf_safetensors_encode(&encoded, &size, &tensor, 1, NULL, 0, &err), JF_OK);
		file = jf_safetensors_parse(encoded, size, "f", &err);
		assert_non_null(file);
		assert_int_equal(jf_safetensors_read_f32(file, "w", out, 3, &err), JF_ENUMERIC);
		assert_string_equal(
		    err.message, i ? "f: tensor w: element 1 is infinite" : "f: tensor w: element 1 is NaN");
		jf_safetensors_close(file);
		free(encoded);
	}
}

static void test_write_refused(void **state) {
	static const float one = 1;
	static const struct {
		struct jf_tensor tensors[2];
		size_t n;
		struct jf_metadata metadata[2];
		size_t n_metadata;
		const char *message;
	} cases[] = {
	    {{{.name = "", .dtype = JF_DTYPE_F32, .data = &one}}, 1, {{0}}, 0, "cannot be named \"\""},
	    {{{.name = "__metadata__", .dtype = JF_DTYPE_F32, .data = &one}}, 1, {{0}}, 0, "cannot be named"},
	    {{{.name = "\xff", .dtype = JF_DTYPE_F32, .data = &one}}, 1, {{0}}, 0, "cannot be named"},
	    {{{.name = "a", .dtype = JF_N_DTYPES, .data = &one}}, 1, {{0}}, 0, "tensor a: dtype"},
	    {{{.name = "a", .dtype = JF_DTYPE_F32, .rank = 9, .data = &one}}, 1, {{0}}, 0, "rank 9"},
	    {{{.name = "a", .dtype = JF_DTYPE_F32, .rank = 2, .shape = {INT64_MAX, 4}}}, 1, {{0}}, 0, "overflows"},
	    {{{.name = "a", .dtype = JF_DTYPE_F32, .rank = 1, .shape = {INT64_MAX / 4}}}, 1, {{0}}, 0,
		"a file may have"},
	    {{{.name = "a", .dtype = JF_DTYPE_F32, .data = &one}, {.name = "a", .dtype = JF_DTYPE_F32, .data = &one}},
		2, {{0}}, 0, "two tensors are named a"},
	    {{{0}}, 0, {{"k", "\xc3"}}, 1, "metadata \"k\" is not UTF-8"},
	    {{{0}}, 0, {{"k", "1"}, {"k", "2"}}, 2, "two metadata keys are named \"k\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jf_error err = {0};
		uint8_t *data;
		size_t size;

		assert_int_not_equal(jf_safetensors_encode(&data, &size, cases[i].tensors, cases[i].n,
					 cases[i].metadata, cases[i].n_metadata, &err),
		    JF_OK);
		assert_null(data);
		if (!strstr(err.message, cases[i].message))
			fail_msg("case %zu: %s", i, err.message);
		assert_int_not_equal(jf_safetensors_save("/nowhere/x", cases[i].tensors, cases[i].n, cases[i].metadata,
					 cases[i].n_metadata, &err),
		    JF_OK);
	}
}

/* --- damage --- */

/* Cut at every byte: refused every time. */
static void test_truncated(void **state) {
	struct jf_error err;
	uint8_t *data;
	size_t size;

	(void)state;
	assert_int_equal(jf_safetensors_encode(&data, &size, tensors, N_TENSORS, metadata, N_METADATA, &err), JF_OK);
	for (size_t cut = 0; cut < size; cut++) {
		uint8_t *copy = malloc(cut ? cut : 1);

		memcpy(copy, data, cut);
		err = (struct jf_error){0};
		assert_null(jf_safetensors_parse(copy, cut, "f", &err));
		assert_non_null(strstr(err.message, "truncated"));
		free(copy);
	}
	free(data);
}

/* Every bit flipped by itself: refused, or read as something that still covers every byte; never a crash. */
static void test_flipped(void **state) {
	size_t size, accepted = 0;
	uint8_t *data;

	(void)state;
	assert_int_equal(jf_safetensors_encode(&data, &size, tensors, N_TENSORS, metadata, N_METADATA, NULL), JF_OK);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		struct jf_error err = {0};
		struct jf_safetensors *file;

		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		file = jf_safetensors_parse(data, size, "f", &err);
		if (file) {
			size_t total = 0;

			for (size_t i = 0; i < jf_safetensors_count(file); i++)
				total += jf_safetensors_at(file, i)->size_bytes;
			assert_int_equal(total, 24 + 24 + 3);
			accepted++;
		} else {
			assert_int_not_equal(err.code, JF_OK);
			assert_int_not_equal(err.message[0], '\0');
		}
		jf_safetensors_close(file);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	print_message("%zu of %zu flips change only a name, a text or a number's value\n", accepted, 8 * size);
	free(data);
}

static void test_disk_full(void **state) {
	static float big[4096];
	struct jf_tensor tensor = JF_TENSOR_1D("big", JF_DTYPE_F32, big, 4096);
	char path[] = "/tmp/jf-st-XXXXXX";
	struct jf_error err = {0};
	struct rlimit old, small;
	struct jf_safetensors *file;

	(void)state;
	assert_int_equal(jf_safetensors_save("/dev/full", &tensor, 1, NULL, 0, &err), JF_EIO);
	assert_string_equal(err.message, "/dev/full: cannot write: No space left on device");
	close(mkstemp(path));
	assert_int_equal(jf_safetensors_save(path, tensors, N_TENSORS, metadata, N_METADATA, &err), JF_OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 8192;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(jf_safetensors_save(path, &tensor, 1, NULL, 0, &err), JF_EIO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_ptr_equal(strstr(err.message, path), err.message);
	file = jf_safetensors_open(path, &err);
	assert_non_null(file);
	check_content(file);
	jf_safetensors_close(file);
	unlink(path);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_not_finite),
	    cmocka_unit_test(test_write_refused),
	    cmocka_unit_test(test_truncated),
	    cmocka_unit_test(test_flipped),
	    cmocka_unit_test(test_disk_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
