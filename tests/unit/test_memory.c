/* Memory that runs out: the 1st, 2nd, 3rd ... allocation of a call fails. The call must say so, leave its outputs
 * empty, and lose nothing (AddressSanitizer's build counts). The linker routes our own allocations through here
 * (--wrap); those inside libraries are theirs (jansson 2.14 does not survive all of its own). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/files/checkpoint.h"
#include "core/files/npy.h"
#include "core/files/safetensors.h"
#include "core/pictures/framing.h"
#include "core/pictures/png.h"
#include "core/pictures/sheet.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

static long left = -1; /* allocations until one fails; negative: none does */

static int due(void) {
	return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t size) {
	return due() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
	return due() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size) {
	return due() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text) {
	return due() ? NULL : __real_strdup(text);
}

static char path[64];
static uint8_t *checkpoint, *png;
static size_t checkpoint_size, png_size;
static struct jf_model *model;
static uint8_t pixels[100 * 90 * 3];
static struct jf_image picture = {100, 90, 3, pixels};
static float floats[28 * 28 * 3];
static const struct jf_framing_options mnist = {JF_PREPROCESS_MNIST, JF_INVERT_AUTO};

static int setup(void **state) {
	struct jf_network_config config = jf_network_config_default();

	(void)state;
	config.height = config.width = 8;
	config.channels = 8;
	config.layers = 1;
	model = jf_model_create(&config, 1, NULL);
	strcpy(path, "/tmp/jf-memory-XXXXXX");
	close(mkstemp(path));
	for (size_t i = 0; i < sizeof(pixels); i++)
		pixels[i] = i / 270 > 30 && i / 270 < 60 && i % 270 > 120 && i % 270 < 123 ? 255 : 0;
	return !model || jf_model_set_fact(model, "epochs", "3") || jf_checkpoint_save(model, path, NULL) ||
	       jf_file_read(&checkpoint, &checkpoint_size, path, 1 << 26, NULL) ||
	       jf_png_encode(&png, &png_size, &picture, NULL);
}

static int teardown(void **state) {
	(void)state;
	unlink(path);
	free(checkpoint);
	free(png);
	jf_model_unref(model);
	return 0;
}

/* --- one call each: JF_OK or what it failed with --- */

static enum jf_err load_checkpoint(struct jf_error *err) {
	struct jf_model *loaded = jf_checkpoint_load(path, err);

	jf_model_unref(loaded);
	return loaded ? JF_OK : err->code;
}

static enum jf_err save_checkpoint(struct jf_error *err) {
	return jf_checkpoint_save(model, path, err);
}

static enum jf_err parse_safetensors(struct jf_error *err) {
	struct jf_safetensors *file = jf_safetensors_parse(checkpoint, checkpoint_size, "f", err);

	jf_safetensors_close(file);
	return file ? JF_OK : err->code;
}

static enum jf_err encode_safetensors(struct jf_error *err) {
	struct jf_tensor tensor = JF_TENSOR_1D("a", JF_DTYPE_F32, floats, 7);
	uint8_t *data;
	size_t size;
	enum jf_err status = jf_safetensors_encode(&data, &size, &tensor, 1, NULL, 0, err);

	assert_int_equal(data == NULL, status != JF_OK);
	free(data);
	return status;
}

static enum jf_err decode_png(struct jf_error *err) {
	struct jf_image image;
	enum jf_err status = jf_png_decode(&image, png, png_size, err);

	assert_int_equal(image.pixels == NULL, status != JF_OK);
	jf_image_deinit(&image);
	return status;
}

static enum jf_err write_png(struct jf_error *err) {
	return jf_png_write(&picture, path, err);
}

static enum jf_err frame(struct jf_error *err) {
	return jf_frame(floats, NULL, &picture, 28, 28, 3, &mnist, err);
}

/* 3 x 2 pixels with alpha, to be turned. */
static const char turned[] =
    "\211\120\116\107\015\012\032\012\000\000\000\015\111\110\104\122\000\000\000\003\000\000\000\002\010\006"
    "\000\000\000\235\164\146\032\000\000\000\032\145\130\111\146\115\115\000\052\000\000\000\010\000\001\001"
    "\022\000\003\000\000\000\001\000\006\000\000\000\000\000\000\326\147\113\151\000\000\000\043\111\104\101"
    "\124\170\332\143\140\120\365\312\237\262\363\036\263\206\157\321\164\206\350\206\245\247\336\213\130\306"
    "\065\257\070\373\011\000\176\202\013\131\006\031\301\162\000\000\000\000\111\105\116\104\256\102\140\202";

static enum jf_err frame_packed(struct jf_error *err) {
	const struct jf_framing_options none = {JF_PREPROCESS_NONE, JF_INVERT_AUTO};

	return jf_frame_picture(floats, NULL, turned, sizeof(turned) - 1, 0, 28, 28, 3, &none, err);
}

static enum jf_err frame_hairline(struct jf_error *err) {
	struct jf_image image = {0};
	enum jf_err status = jf_image_init(&image, 600, 600, 1, err);

	for (int i = 50; !status && i < 550; i++)
		image.pixels[i * 600 + i] = image.pixels[i * 600 + i + 1] = 255;
	if (!status)
		status = jf_frame(floats, NULL, &image, 28, 28, 1, &mnist, err);
	jf_image_deinit(&image);
	return status;
}

/* A bar on a ruled sheet in light that falls off, on a dark table. */
static enum jf_err frame_photo(struct jf_error *err) {
	struct jf_image image = {0};
	enum jf_err status = jf_image_init(&image, 120, 120, 1, err);

	for (int y = 12; !status && y < 108; y++)
		for (int x = 12; x < 108; x++) {
			int paper = 250 - x, line = y % 12 == 0 ? 3 : 0;

			image.pixels[y * 120 + x] = (uint8_t)(y > 40 && y < 80 && x > 55 && x < 63 ? 0 : paper - line);
		}
	if (!status)
		status = jf_frame(floats, NULL, &image, 28, 28, 1, &mnist, err);
	jf_image_deinit(&image);
	return status;
}

static enum jf_err make_sheet(struct jf_error *err) {
	struct jf_sheet_options options = jf_sheet_options_default();
	struct jf_image sheet;
	enum jf_err status = jf_sheet(&sheet, floats, 3, 28, 28, 1, &options, err);

	assert_int_equal(sheet.pixels == NULL, status != JF_OK);
	jf_image_deinit(&sheet);
	return status;
}

static enum jf_err write_npy(struct jf_error *err) {
	return jf_npy_write(path, floats, 3, 28, 28, 1, err);
}

static enum jf_err write_json(struct jf_error *err) {
	struct jf_json_writer w;
	char *text;
	enum jf_err status;

	(void)err;
	jf_json_writer_init(&w);
	jf_json_begin_array(&w, NULL);
	for (int i = 0; i < 1000; i++)
		jf_json_put_string(&w, NULL, "a string to make it long");
	jf_json_end_array(&w);
	status = jf_json_writer_take(&w, &text, NULL);
	assert_int_equal(text == NULL, status != JF_OK);
	free(text);
	return status;
}

static const struct {
	const char *name;
	enum jf_err (*run)(struct jf_error *err);
	int least; /* allocations it is known to make */
} calls[] = {
    {"load a checkpoint", load_checkpoint, 15},
    {"parse safetensors", parse_safetensors, 4},
    {"encode safetensors", encode_safetensors, 4},
    {"decode a PNG", decode_png, 2},
    {"write a PNG", write_png, 4},
    {"frame a picture", frame, 5},
    {"frame a packed picture", frame_packed, 8},
    {"frame a hairline", frame_hairline, 8},
    {"frame a photograph", frame_photo, 30},
    {"make a sheet", make_sheet, 2},
    {"write .npy", write_npy, 3},
    {"write JSON", write_json, 3},
    {"save a checkpoint", save_checkpoint, 6},
};

static void test_every_allocation(void **state) {
	(void)state;
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		int n = 0;

		for (;; n++) {
			struct jf_error err = {0};
			enum jf_err status;

			assert_true(n < 10000);
			left = n;
			status = calls[c].run(&err);
			if (left >= 0) { /* it needed fewer: this time nothing failed */
				left = -1;
				assert_int_equal(status, JF_OK);
				break;
			}
			left = -1;
			if (status != JF_ENOMEM)
				fail_msg("%s, allocation %d: %d, %s", calls[c].name, n, (int)status, err.message);
		}
		print_message("%s: each of %d allocations failed once\n", calls[c].name, n);
		assert_true(n >= calls[c].least);
		left = -1;
		assert_int_equal(calls[c].run(&(struct jf_error){0}), JF_OK);
		assert_int_equal(jf_checkpoint_save(model, path, NULL), JF_OK); /* what the next one finds at path */
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_allocation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
