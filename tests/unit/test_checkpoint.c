/* Checkpoints: what is saved is loaded; wrong metadata and tensors, with the message; damage at every byte of the
 * header and in the data. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/files/checkpoint.h"
#include "core/files/safetensors.h"

/* The smallest network there is. */
static const struct jf_network_config small = {.height = 8,
    .width = 8,
    .image_channels = 1,
    .classes = 3,
    .channels = 8,
    .blocks = 1,
    .layers = 1,
    .heads = 4,
    .label_tokens = 2,
    .augment = 0,
    .head = JF_HEAD_VELOCITY};

static const float bias[3] = {0.25f, -1.5f, 1e-9f};
static char path[64];
static uint8_t *bytes; /* a good checkpoint */
static size_t size;

static struct jf_model *make(void) {
	static const char *const names[] = {"T-shirt/top", "Hose \xc3\xa4\"\\", "\xe4\xb8\x83"};
	struct jf_model *model = jf_model_create(&small, 7, NULL);

	assert_non_null(model);
	assert_int_equal(jf_model_set_class_names(model, names), JF_OK);
	assert_int_equal(jf_model_set_name(model, "small"), JF_OK);
	assert_int_equal(jf_model_set_fact(model, "epochs", "12"), JF_OK);
	assert_int_equal(jf_model_set_fact(model, "licence", "Apache-2.0,\n\"free\""), JF_OK);
	model->temperature = 1.1f;
	model->label_bias = malloc(sizeof(bias));
	memcpy(model->label_bias, bias, sizeof(bias));
	return model;
}

static int setup(void **state) {
	struct jf_model *model = make();

	(void)state;
	strcpy(path, "/tmp/jf-checkpoint-XXXXXX");
	close(mkstemp(path));
	if (jf_checkpoint_save(model, path, NULL) || jf_file_read(&bytes, &size, path, 1 << 26, NULL))
		return -1;
	jf_model_unref(model);
	return 0;
}

static int teardown(void **state) {
	(void)state;
	unlink(path);
	free(bytes);
	return 0;
}

static const char *fact(const struct jf_model *model, const char *key) {
	for (size_t i = 0; i < model->n_facts; i++)
		if (strcmp(model->facts[i].key, key) == 0)
			return model->facts[i].value;
	return NULL;
}

static void digest(char out[JF_SHA256_HEX]) {
	uint8_t *content;
	size_t length;

	assert_int_equal(jf_file_read(&content, &length, path, 1 << 24, NULL), JF_OK);
	jf_sha256_hex(out, content, length);
	free(content);
}

static void test_round_trip(void **state) {
	struct jf_model *saved = make(), *loaded;
	struct jf_error err = {0};
	char checksum[JF_SHA256_HEX];

	(void)state;
	loaded = jf_checkpoint_load(path, &err);
	if (!loaded)
		fail_msg("%s", err.message);
	assert_memory_equal(&loaded->config, &small, sizeof(small));
	assert_memory_equal(loaded->params, saved->params, saved->graph->n_params_floats * sizeof(float));
	for (int k = 0; k < small.classes; k++)
		assert_string_equal(loaded->class_names[k], saved->class_names[k]);
	assert_string_equal(loaded->name, "small");
	assert_true(loaded->temperature == 1.1f);
	assert_memory_equal(loaded->label_bias, bias, sizeof(bias));
	assert_int_equal(loaded->n_facts, 2);
	assert_string_equal(fact(loaded, "epochs"), "12");
	assert_string_equal(fact(loaded, "licence"), "Apache-2.0,\n\"free\"");
	digest(checksum);
	assert_string_equal(loaded->checksum, checksum);
	/* packed as a fresh model's */
	assert_memory_equal(loaded->packed, saved->packed, saved->graph->packed_floats * sizeof(float));
	/* the same bytes again, and from memory */
	assert_int_equal(jf_checkpoint_save(loaded, path, &err), JF_OK);
	jf_model_unref(loaded);
	digest(checksum);
	loaded = jf_checkpoint_load_buffer(bytes, size, "memory", &err);
	assert_non_null(loaded);
	assert_string_equal(loaded->checksum, checksum);
	jf_model_unref(loaded);
	jf_model_unref(saved);
}

/* --- one thing wrong at a time --- */

struct change {
	const char *key, *value; /* metadata: NULL value takes it away */
	const char *tensor;      /* a tensor to change: */
	enum { KEEP, DROP, RENAME, FLAT, SHORT, HALF, NOT_A_NUMBER, ENDLESS } how;
	enum jf_err code;
	const char *message;
};

static const struct change changes[] = {
    {NULL, NULL, NULL, KEEP, JF_OK, ""},
    {"temperature", NULL, NULL, KEEP, JF_OK, ""},
    {"label_bias", NULL, NULL, KEEP, JF_OK, ""},
    {"label_bias", "0.5 0.25", NULL, KEEP, JF_EFORMAT, "metadata \"label_bias\": number 2 of 3 is not one"},
    {"label_bias", "1 2 3 4", NULL, KEEP, JF_EFORMAT, "metadata \"label_bias\": number 3 of 3"},
    {"label_bias", "1 nan 3", NULL, KEEP, JF_EFORMAT, "metadata \"label_bias\": number 2 of 3"},
    {"label_bias", "101 0 0", NULL, KEEP, JF_EFORMAT, "is not one from -100 to 100"},
    {"label_bias", "", NULL, KEEP, JF_EFORMAT, "metadata \"label_bias\": number 1 of 3"},
    {"note", "anything", NULL, KEEP, JF_OK, ""},
    {"format", NULL, NULL, KEEP, JF_EFORMAT, "f: not a jointflow checkpoint"},
    {"format", "pt", NULL, KEEP, JF_EFORMAT, "f: not a jointflow checkpoint"},
    {"format_version", NULL, NULL, KEEP, JF_EFORMAT, "f: metadata \"format_version\" is missing"},
    {"format_version", "2", NULL, KEEP, JF_EFORMAT, "f: checkpoint format_version 2; this program reads 1"},
    {"height", NULL, NULL, KEEP, JF_EFORMAT, "f: metadata \"height\" is missing"},
    {"height", "8 ", NULL, KEEP, JF_EFORMAT, "f: metadata \"height\": \"8 \" is not a number"},
    {"height", "-8", NULL, KEEP, JF_EFORMAT, "is not a number"},
    {"height", "0x8", NULL, KEEP, JF_EFORMAT, "is not a number"},
    {"height", "", NULL, KEEP, JF_EFORMAT, "is not a number"},
    {"height", "99999999999", NULL, KEEP, JF_EFORMAT, "is not a number"},
    {"height", "0", NULL, KEEP, JF_EFORMAT, "f: metadata: height is 0"},
    {"height", "9", NULL, KEEP, JF_EFORMAT, "multiples of 4"},
    {"channels", "999999999", NULL, KEEP, JF_EFORMAT, "f: metadata: channels is 999999999"},
    {"layers", "2", NULL, KEEP, JF_EFORMAT, "f: tensor mid1."},
    {"heads", "5", NULL, KEEP, JF_EFORMAT, "heads is 5"},
    {"classes", "4", NULL, KEEP, JF_EFORMAT, "shape [3, 32], expected [4, 32]"},
    {"label_head", "softmax", NULL, KEEP, JF_EFORMAT, "\"softmax\" is neither endpoint nor velocity"},
    {"class_names", NULL, NULL, KEEP, JF_EFORMAT, "metadata \"class_names\" is missing"},
    {"class_names", "a,b,c", NULL, KEEP, JF_EFORMAT, "metadata \"class_names\": JSON: line 1"},
    {"class_names", "[\"a\",\"b\"]", NULL, KEEP, JF_EFORMAT, "\"class_names\": must be an array of 3 strings"},
    {"class_names", "{}", NULL, KEEP, JF_EFORMAT, "must be an array of 3 strings"},
    {"class_names", "[\"a\",\"b\",3]", NULL, KEEP, JF_EFORMAT, "\"class_names\": [2]: must be a string, not 3"},
    {"class_names", "[\"a\",\"b\",\"\"]", NULL, KEEP, JF_EFORMAT, "[2] has 0 bytes"},
    {"class_names", "[\"a\",\"b\",\"a\"]", NULL, KEEP, JF_EFORMAT, "[0] and [2] are both \"a\""},
    {"class_names", "[\"a\",\"b\",\"\\u001b[2J\"]", NULL, KEEP, JF_EFORMAT, "[2] has a control character"},
    {"class_names", "[[\"a\"],\"b\",\"c\"]", NULL, KEEP, JF_ELIMIT, "nested deeper"},
    {"name", NULL, NULL, KEEP, JF_EFORMAT, "metadata \"name\" is missing"},
    {"name", "", NULL, KEEP, JF_EFORMAT, "metadata \"name\" has 0 bytes"},
    {"temperature", "0", NULL, KEEP, JF_EFORMAT, "metadata \"temperature\": \"0\" is not a number from 0.01 to 100"},
    {"temperature", "nan", NULL, KEEP, JF_EFORMAT, "is not a number from"},
    {"temperature", "", NULL, KEEP, JF_EFORMAT, "is not a number from"},
    {"temperature", "1e999", NULL, KEEP, JF_EFORMAT, "is not a number from"},
    {NULL, NULL, "conv_in.weight", DROP, JF_EFORMAT, "f: tensor conv_in.weight is missing"},
    {NULL, NULL, "conv_in.weight", RENAME, JF_EFORMAT, "f: tensor stranger is not part of this network"},
    {NULL, NULL, "conv_in.weight", FLAT, JF_EFORMAT, "f: tensor conv_in.weight: shape [72], expected [3, 3, 1, 8]"},
    {NULL, NULL, "conv_in.weight", SHORT, JF_EFORMAT,
	"tensor conv_in.weight: shape [2, 3, 1, 8], expected [3, 3, 1, 8]"},
    {NULL, NULL, "conv_in.weight", HALF, JF_EFORMAT, "f: tensor conv_in.weight: dtype F16, expected F32"},
    {NULL, NULL, "conv_in.weight", NOT_A_NUMBER, JF_ENUMERIC, "f: tensor conv_in.weight: element 3 is NaN"},
    {NULL, NULL, "head.fc2.bias", ENDLESS, JF_ENUMERIC, "f: tensor head.fc2.bias: element 2 is infinite"},
};

static size_t change_tensors(struct jf_tensor *out, const struct jf_safetensors *file, const struct change *change) {
	static float values[72];
	size_t n = 0;

	for (size_t i = 0; i < jf_safetensors_count(file); i++) {
		struct jf_tensor *tensor = &out[n++];

		*tensor = *jf_safetensors_at(file, i);
		if (!change->tensor || strcmp(tensor->name, change->tensor) != 0)
			continue;
		assert_true(tensor->size_bytes <= sizeof(values));
		memcpy(values, tensor->data, tensor->size_bytes);
		switch (change->how) {
		case KEEP:
			break;
		case DROP:
			n--;
			break;
		case RENAME:
			tensor->name = "stranger";
			break;
		case FLAT:
			tensor->rank = 1;
			tensor->shape[0] = 72;
			break;
		case SHORT:
			tensor->shape[0] = 2;
			break;
		case HALF:
			tensor->dtype = JF_DTYPE_F16;
			break;
		case NOT_A_NUMBER:
			values[3] = NAN;
			tensor->data = values;
			break;
		case ENDLESS:
			values[2] = -INFINITY;
			tensor->data = values;
			break;
		}
	}
	return n;
}

static size_t change_metadata(struct jf_metadata *out, const struct jf_safetensors *file, const struct change *change) {
	size_t n = 0;
	bool found = false;

	for (size_t i = 0; i < jf_safetensors_metadata_count(file); i++) {
		out[n] = *jf_safetensors_metadata_at(file, i);
		if (change->key && strcmp(out[n].key, change->key) == 0) {
			found = true;
			if (!change->value)
				continue;
			out[n].value = change->value;
		}
		n++;
	}
	if (change->key && change->value && !found)
		out[n++] = (struct jf_metadata){change->key, change->value};
	return n;
}

static void test_changes(void **state) {
	struct jf_safetensors *file = jf_safetensors_parse(bytes, size, "good", NULL);
	struct jf_tensor *tensors = calloc(jf_safetensors_count(file), sizeof(*tensors));
	struct jf_metadata *metadata = calloc(jf_safetensors_metadata_count(file) + 1, sizeof(*metadata));

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		size_t n_tensors = change_tensors(tensors, file, &changes[i]);
		size_t n_metadata = change_metadata(metadata, file, &changes[i]);
		struct jf_error err = {0};
		struct jf_model *model;
		uint8_t *data;
		size_t changed_size;

		assert_int_equal(
		    jf_safetensors_encode(&data, &changed_size, tensors, n_tensors, metadata, n_metadata, &err), JF_OK);
		model = jf_checkpoint_load_buffer(data, changed_size, "f", &err);
		if (err.code != changes[i].code || !strstr(err.message, changes[i].message) ||
		    (model == NULL) != (changes[i].code != JF_OK))
			fail_msg("change %zu (%s): %d, %s", i, changes[i].message, (int)err.code, err.message);
		jf_model_unref(model);
		free(data);
	}
	free(metadata);
	free(tensors);
	jf_safetensors_close(file);
}

/* --- damage --- */

/* Cut at every byte of the header, and here and there in the data. */
static void test_truncated(void **state) {
	uint64_t header;

	(void)state;
	memcpy(&header, bytes, 8);
	for (size_t cut = 0; cut < size; cut += cut <= 8 + header ? 1 : 997) {
		uint8_t *copy = malloc(cut ? cut : 1);
		struct jf_error err = {0};

		memcpy(copy, bytes, cut);
		assert_null(jf_checkpoint_load_buffer(copy, cut, "cut", &err));
		assert_ptr_equal(strstr(err.message, "cut: "), err.message);
		assert_non_null(strstr(err.message, "truncated"));
		free(copy);
	}
}

/* One bit of every byte of the header flipped (a different one in each), and every bit of some floats. */
static void test_flipped(void **state) {
	size_t loaded = 0, refused = 0;
	uint64_t header;

	(void)state;
	memcpy(&header, bytes, 8);
	for (size_t at = 0; at < 8 + header + 64; at++)
		for (unsigned bit = at < 8 + header ? at * 7 % 8 : 0; bit < (at < 8 + header ? at * 7 % 8 + 1 : 8);
		     bit++) {
			struct jf_error err = {0};
			struct jf_model *model;

			bytes[at] ^= (uint8_t)(1u << bit);
			model = jf_checkpoint_load_buffer(bytes, size, "flipped", &err);
			bytes[at] ^= (uint8_t)(1u << bit);
			if (!model)
				assert_ptr_equal(strstr(err.message, "flipped: "), err.message);
			refused += model == NULL;
			loaded += model != NULL;
			jf_model_unref(model);
		}
	print_message("%zu refused; %zu changed a fact, a name or a number's value only\n", refused, loaded);
	assert_true(refused > 4 * loaded);
}

static void test_files(void **state) {
	struct jf_error err = {0};

	(void)state;
	assert_null(jf_checkpoint_load("/nowhere/m.safetensors", &err));
	assert_int_equal(err.code, JF_EIO);
	assert_string_equal(err.message, "/nowhere/m.safetensors: cannot open: No such file or directory");
	assert_null(jf_checkpoint_load("/dev/null", &err));
	assert_int_equal(err.code, JF_EFORMAT);
	assert_null(jf_checkpoint_load("/tmp", &err));
	assert_string_equal(err.message, "/tmp: is a folder");
	assert_null(jf_checkpoint_load("/nowhere", NULL));
}

static void test_save_refused(void **state) {
	struct jf_model *model = make();
	struct jf_error err = {0};
	char before[JF_SHA256_HEX], after[JF_SHA256_HEX];

	(void)state;
	digest(before);
	model->params[model->graph->params[0].offset + 5] = NAN;
	assert_int_equal(jf_checkpoint_save(model, path, &err), JF_ENUMERIC);
	assert_ptr_equal(strstr(err.message, path), err.message);
	assert_non_null(strstr(err.message, "element 5 is not finite"));
	model->params[model->graph->params[0].offset + 5] = 0;
	assert_int_equal(jf_checkpoint_save(model, "/dev/full", &err), JF_EIO);
	assert_string_equal(err.message, "/dev/full: cannot write: No space left on device");
	assert_int_equal(jf_model_set_fact(model, "channels", "9"), JF_OK);
	assert_int_equal(jf_checkpoint_save(model, path, &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "a fact cannot be named \"channels\""));
	digest(after);
	assert_string_equal(before, after);
	jf_model_unref(model);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_changes),
	    cmocka_unit_test(test_truncated),
	    cmocka_unit_test(test_flipped),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_save_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
