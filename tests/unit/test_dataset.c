/* Data sets: IDX under its published names, plain and gzip, damaged in every way; class folders of PNGs. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "core/files/dataset.h"
#include "core/files/idx.h"
#include "core/pictures/image.h"
#include "core/pictures/png.h"

static char folder[64];
static char path_buffer[8][512];

/* A path in the scratch folder; eight may be in use. */
__attribute__((format(printf, 1, 2))) static const char *at(const char *format, ...) {
	static int turn;
	char *path = path_buffer[turn = (turn + 1) % 8];
	int used = snprintf(path, sizeof(path_buffer[0]), "%s/", folder);
	va_list args;

	va_start(args, format);
	vsnprintf(path + used, sizeof(path_buffer[0]) - (size_t)used, format, args);
	va_end(args);
	return path;
}

static int set_up(void **state) {
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/jf-dataset-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void write_file(const char *path, const void *data, size_t size) {
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	fclose(file);
}

static void write_text(const char *path, const char *text) {
	write_file(path, text, strlen(text));
}

static void write_gzip(const char *path, const void *data, size_t size) {
	gzFile file = gzopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(gzwrite(file, data, (unsigned)size), size);
	gzclose(file);
}

/* n images of side x side whose pixel (y, x) is 10 i + (y * side + x) % 200; returns its size. */
static size_t make_images(unsigned char *out, int n, int side) {
	unsigned char header[16] = {0, 0, 8, 3, 0, 0, (unsigned char)(n >> 8), (unsigned char)n, 0, 0, 0,
	    (unsigned char)side, 0, 0, 0, (unsigned char)side};

	memcpy(out, header, 16);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < side * side; j++)
			out[16 + i * side * side + j] = (unsigned char)(10 * i + j % 200);
	return 16 + (size_t)(n * side * side);
}

static size_t make_labels(unsigned char *out, int n, int classes, int first) {
	unsigned char header[8] = {0, 0, 8, 1, 0, 0, (unsigned char)(n >> 8), (unsigned char)n};

	memcpy(out, header, 8);
	for (int i = 0; i < n; i++)
		out[8 + i] = (unsigned char)(i % classes + first);
	return 8 + (size_t)n;
}

enum { N = 6, SIDE = 8 };
static unsigned char images[16 + N * SIDE * SIDE + 64], labels[8 + N + 64];
static size_t images_size, labels_size;

static void make_small(void) {
	images_size = make_images(images, N, SIDE);
	labels_size = make_labels(labels, N, 3, 0);
}

static void expect_small(const struct jf_dataset *d) {
	float image[SIDE * SIDE];

	assert_int_equal(d->n, N);
	assert_int_equal(d->height, SIDE);
	assert_int_equal(d->width, SIDE);
	assert_int_equal(d->channels, 1);
	assert_int_equal(d->classes, 3);
	assert_string_equal(d->class_names[2], "2");
	assert_memory_equal(d->pixels, images + 16, N * SIDE * SIDE);
	for (int i = 0; i < N; i++)
		assert_int_equal(d->labels[i], i % 3);
	jf_dataset_image(d, 1, image);
	assert_true(image[0] == 10 / 127.5F - 1);
	assert_int_equal(strlen(d->digest), 64);
}

static void test_published_names(void **state) {
	static const char *const train[][2] = {
	    {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
	    {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"},
	    {"train-images.idx3-ubyte", "train-labels.idx1-ubyte"},
	    {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"},
	    {"train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"},
	    {"fashion-train-images-idx3-ubyte.gz", "fashion-train-labels-idx1-ubyte.gz"},
	};
	struct jf_dataset d;
	struct jf_error err = {0};
	char first[65] = "";

	(void)state;
	make_small();
	for (size_t i = 0; i < sizeof(train) / sizeof(train[0]); i++) {
		(strstr(train[i][0], ".gz") ? write_gzip : write_file)(at("%s", train[i][0]), images, images_size);
		(strstr(train[i][1], ".gz") ? write_gzip : write_file)(at("%s", train[i][1]), labels, labels_size);
		if (jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err) != JF_OK)
			fail_msg("%s: %s", train[i][0], err.message);
		expect_small(&d);
		if (i)
			assert_string_equal(first, d.digest);
		strcpy(first, d.digest);
		jf_dataset_deinit(&d);
		/* the test set is not there; the folder says what it looked for */
		assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TEST, NULL, &err), JF_EEMPTY);
		assert_non_null(strstr(err.message, "t10k-images"));
		unlink(at("%s", train[i][0]));
		unlink(at("%s", train[i][1]));
	}
	write_gzip(at("t10k-images-idx3-ubyte.gz"), images, images_size);
	write_gzip(at("t10k-labels-idx1-ubyte.gz"), labels, labels_size);
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TEST, NULL, &err), JF_OK);
	expect_small(&d);
	jf_dataset_deinit(&d);
	assert_int_equal(jf_dataset_load(&d, at("t10k-images-idx3-ubyte.gz"), JF_DATASET_TRAIN, NULL, &err), JF_OK);
	jf_dataset_deinit(&d);
	assert_int_equal(
	    jf_dataset_load_pair(&d, at("t10k-images-idx3-ubyte.gz"), at("t10k-labels-idx1-ubyte.gz"), NULL, &err),
	    JF_OK);
	jf_dataset_deinit(&d);
	assert_int_equal(jf_dataset_load(&d, at("nowhere"), JF_DATASET_TRAIN, NULL, &err), JF_EIO);
	assert_non_null(strstr(err.message, "nowhere: No such file"));
}

/* Letters are counted from 1, lie on their side and have a mapping; two data sets in one folder must be told apart. */
static void test_emnist(void **state) {
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	make_small();
	labels_size = make_labels(labels, N, 3, 1);
	write_gzip(at("emnist-letters-train-images-idx3-ubyte.gz"), images, images_size);
	write_gzip(at("emnist-letters-train-labels-idx1-ubyte.gz"), labels, labels_size);
	write_text(at("emnist-letters-mapping.txt"), "1 65 97\n2 66 98\n3 67 99\n4 68 100\n");
	if (jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err) != JF_OK)
		fail_msg("%s", err.message);
	assert_int_equal(d.classes, 4); /* the mapping knows of one that no image has */
	assert_string_equal(d.class_names[0], "A");
	assert_string_equal(d.class_names[3], "D");
	assert_int_equal(d.labels[4], 1);
	assert_int_equal(d.pixels[1], images[16 + SIDE]); /* upright */
	assert_int_equal(d.pixels[SIDE * 3 + 5], images[16 + SIDE * 5 + 3]);
	jf_dataset_deinit(&d);

	write_text(at("emnist-letters-mapping.txt"), "1 65\n3 66\n");
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "mapping.txt:2"));
	write_text(at("emnist-letters-mapping.txt"), "1 65\n2 66\n");
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "names 2 classes"));
	unlink(at("emnist-letters-mapping.txt"));

	labels[8 + 2] = 0;
	write_gzip(at("emnist-letters-train-labels-idx1-ubyte.gz"), labels, labels_size);
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "label 0 of image 2"));

	write_gzip(at("emnist-digits-train-images-idx3-ubyte.gz"), images, images_size);
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "several data sets"));
}

static void test_class_names(void **state) {
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	make_small();
	write_file(at("train-images-idx3-ubyte"), images, images_size);
	write_file(at("train-labels-idx1-ubyte"), labels, labels_size);
	write_text(at("class-names.txt"), "shirt\r\nshoe\nbag\n\n");
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_OK);
	assert_int_equal(d.classes, 3);
	assert_string_equal(d.class_names[0], "shirt");
	assert_string_equal(d.class_names[2], "bag");
	jf_dataset_deinit(&d);
	write_text(at("class-names.txt"), "a\nb\nc\nd\n"); /* a class without images */
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_OK);
	assert_int_equal(d.classes, 4);
	jf_dataset_deinit(&d);
	write_text(at("class-names.txt"), "a\nb\n");
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "2 names, but the labels have 3 classes"));
}

/* One damage a line: where, what, and the words of the message. */
static void test_damage(void **state) {
	static const struct {
		int in_labels, offset, value; /* offset -1: cut to `value` bytes; -2: `value` bytes more */
		enum jf_err code;
		const char *words;
	} damages[] = {
	    {0, 0, 1, JF_EFORMAT, "is not an IDX file"},
	    {0, 2, 0x0d, JF_EFORMAT, "IDX type 0x0d"},
	    {0, 3, 0, JF_EFORMAT, "IDX rank 0"},
	    {0, 3, 9, JF_EFORMAT, "IDX rank 9"},
	    {0, 3, 1, JF_EFORMAT, "promises"},
	    {0, 7, 5, JF_EFORMAT, "promises 320 bytes of values, the file has 384"},
	    {0, 7, 7, JF_EFORMAT, "promises 448 bytes"},
	    {0, 7, 0, JF_EEMPTY, "size 1 of the IDX header is 0"},
	    {0, 4, 255, JF_ELIMIT, "more than"},
	    {0, 8, 255, JF_ELIMIT, "more than"},
	    {0, -1, 0, JF_EEMPTY, "empty"},
	    {0, -1, 3, JF_EFORMAT, "is not an IDX file"},
	    {0, -1, 10, JF_EFORMAT, "ends inside the IDX header (10 of 16"},
	    {0, -1, 16, JF_EFORMAT, "the file has 0"},
	    {0, -1, 200, JF_EFORMAT, "the file has 184"},
	    {0, -2, 1, JF_EFORMAT, "the file has 385"},
	    {1, 3, 2, JF_EFORMAT, "promises"},
	    {1, 7, 5, JF_EFORMAT, "promises 5"},
	    {1, -1, 4, JF_EFORMAT, "ends inside the IDX header"},
	};
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		for (int packed = 0; packed < 2; packed++) {
			const char *suffix = packed ? ".gz" : "";
			unsigned char *target = damages[i].in_labels ? labels : images;
			size_t *size = damages[i].in_labels ? &labels_size : &images_size;

			make_small();
			if (damages[i].offset == -1)
				*size = (size_t)damages[i].value;
			else if (damages[i].offset == -2)
				*size += (size_t)damages[i].value;
			else
				target[damages[i].offset] = (unsigned char)damages[i].value;
			(packed ? write_gzip : write_file)(
			    at("train-images-idx3-ubyte%s", suffix), images, images_size);
			(packed ? write_gzip : write_file)(
			    at("train-labels-idx1-ubyte%s", suffix), labels, labels_size);
			assert_int_equal(
			    jf_dataset_load(&d, at("train-images-idx3-ubyte%s", suffix), JF_DATASET_TRAIN, NULL, &err),
			    damages[i].code);
			if (!strstr(err.message, damages[i].words) || !strstr(err.message, folder))
				fail_msg("damage %zu: \"%s\" does not say \"%s\"", i, err.message, damages[i].words);
			assert_null(d.pixels);
			assert_null(d.labels);
			assert_null(d.class_names);
		}
	}
}

static void test_wrong_pairs(void **state) {
	struct jf_dataset d;
	struct jf_error err = {0};
	unsigned char few[16];
	size_t few_size = make_labels(few, 5, 3, 0);

	(void)state;
	make_small();
	write_file(at("train-images-idx3-ubyte"), images, images_size);
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EIO);
	assert_non_null(strstr(err.message, "train-labels-idx1-ubyte: No such file"));
	write_file(at("train-labels-idx1-ubyte"), few, few_size);
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "5 labels for 6 images"));
	write_file(
	    at("train-labels-idx1-ubyte"), images, images_size); /* images where labels belong, and the other way */
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "labels have rank 1"));
	write_file(at("train-images-idx3-ubyte"), labels, labels_size);
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "images have rank 3"));
	write_file(at("train-images-idx3-ubyte"), images, images_size);
	memset(labels + 8, 0, N);
	write_file(at("train-labels-idx1-ubyte"), labels, labels_size);
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "at least 2 classes"));
	images_size = make_images(images, 6, 6);
	write_file(at("train-images-idx3-ubyte"), images, images_size);
	assert_int_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "6 x 6 pixels"));
	write_file(at("pictures"), images, images_size);
	assert_int_equal(jf_dataset_load(&d, at("pictures"), JF_DATASET_TRAIN, NULL, &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "cannot tell the name of the labels"));
}

/* A gzip stream cut at every byte, and with every byte flipped: an error or (when only the header's time or the like
 * changed) the same data; never anything else. */
static void test_gzip_damage(void **state) {
	unsigned char packed[2048], broken[2048];
	struct jf_dataset d;
	struct jf_error err = {0};
	size_t size;
	int errors = 0;
	FILE *file;

	(void)state;
	make_small();
	write_file(at("train-labels-idx1-ubyte"), labels, labels_size);
	write_gzip(at("train-images-idx3-ubyte.gz"), images, images_size);
	file = fopen(at("train-images-idx3-ubyte.gz"), "rb");
	size = fread(packed, 1, sizeof(packed), file);
	fclose(file);
	assert_true(size > 20 && size < sizeof(packed));
	for (size_t cut = 0; cut < size; cut++) {
		write_file(at("train-images-idx3-ubyte.gz"), packed, cut);
		assert_int_not_equal(jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err), JF_OK);
		assert_non_null(strstr(err.message, "train-images-idx3-ubyte.gz: "));
	}
	for (size_t i = 0; i < size; i++) {
		memcpy(broken, packed, size);
		broken[i] ^= 0x55;
		write_file(at("train-images-idx3-ubyte.gz"), broken, size);
		if (jf_dataset_load(&d, folder, JF_DATASET_TRAIN, NULL, &err) == JF_OK) {
			expect_small(&d);
			jf_dataset_deinit(&d);
		} else {
			errors++;
		}
	}
	assert_true((size_t)errors > size - 10); /* all but the header's time, flags and system */
}

static void write_png(const char *path, int height, int width, int channels, int value) {
	struct jf_image image;
	struct jf_error err;

	assert_int_equal(jf_image_init(&image, height, width, channels, &err), JF_OK);
	memset(image.pixels, value, jf_image_size(&image));
	assert_int_equal(jf_png_write(&image, path, &err), JF_OK);
	jf_image_deinit(&image);
}

static void make_class_folders(const char *top, int channels) {
	static const char *const names[] = {"10", "2", "cat"};

	mkdir(at("%s", top), 0755);
	for (int c = 0; c < 3; c++) {
		mkdir(at("%s/%s", top, names[c]), 0755);
		for (int i = 0; i <= c; i++)
			write_png(at("%s/%s/%d.png", top, names[c], i), 8, 12, channels, 50 * c + i);
	}
}

static void test_folder(void **state) {
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	make_class_folders("set", 3);
	write_text(at("set/2/notes.txt"), "x");
	write_text(at("set/2/.hidden.png"), "x");
	if (jf_dataset_load(&d, at("set"), JF_DATASET_TRAIN, NULL, &err) != JF_OK)
		fail_msg("%s", err.message);
	assert_int_equal(d.n, 6);
	assert_int_equal(d.height, 8);
	assert_int_equal(d.width, 12);
	assert_int_equal(d.channels, 3);
	assert_int_equal(d.classes, 3);
	assert_string_equal(d.class_names[0], "2"); /* 2 before 10 */
	assert_string_equal(d.class_names[1], "10");
	assert_string_equal(d.class_names[2], "cat");
	assert_int_equal(d.labels[0], 0);
	assert_int_equal(d.labels[2], 1);
	assert_int_equal(d.labels[5], 2);
	assert_int_equal(d.pixels[0], 50);
	assert_int_equal(d.pixels[5 * 8 * 12 * 3], 102);
	jf_dataset_deinit(&d);

	write_png(at("set/cat/odd.png"), 8, 16, 3, 0);
	assert_int_equal(jf_dataset_load(&d, at("set"), JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "set/cat/odd.png: is 16 x 8 with 3 channel(s)"));
	assert_non_null(strstr(err.message, "set/2/0.png is 12 x 8"));
	write_png(at("set/cat/odd.png"), 8, 12, 1, 0);
	assert_int_equal(jf_dataset_load(&d, at("set"), JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "odd.png: is 12 x 8 with 1 channel"));
	write_text(at("set/cat/odd.png"), "no picture");
	assert_int_equal(jf_dataset_load(&d, at("set"), JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "odd.png"));
	unlink(at("set/cat/odd.png"));
	mkdir(at("set/empty"), 0755);
	assert_int_equal(jf_dataset_load(&d, at("set"), JF_DATASET_TRAIN, NULL, &err), JF_EEMPTY);
	assert_non_null(strstr(err.message, "set/empty: no PNG files"));
}

static void test_folder_parts(void **state) {
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	mkdir(at("parts"), 0755);
	make_class_folders("parts/train", 1);
	make_class_folders("parts/test", 1);
	unlink(at("parts/test/cat/1.png"));
	assert_int_equal(jf_dataset_load(&d, at("parts"), JF_DATASET_TRAIN, NULL, &err), JF_OK);
	assert_int_equal(d.n, 6);
	jf_dataset_deinit(&d);
	assert_int_equal(jf_dataset_load(&d, at("parts"), JF_DATASET_TEST, NULL, &err), JF_OK);
	assert_int_equal(d.n, 5);
	assert_int_equal(d.channels, 1);
	jf_dataset_deinit(&d);
	mkdir(at("none"), 0755);
	assert_int_equal(jf_dataset_load(&d, at("none"), JF_DATASET_TRAIN, NULL, &err), JF_EEMPTY);
	assert_non_null(strstr(err.message, "neither IDX files"));
}

static void test_shuffle(void **state) {
	enum { COUNT = 1000 };
	uint32_t a[COUNT], b[COUNT];
	unsigned char seen[COUNT] = {0};
	int fixed = 0, same = 0;

	(void)state;
	jf_dataset_shuffle(a, COUNT, 1, 0);
	for (int i = 0; i < COUNT; i++) {
		assert_in_range(a[i], 0, COUNT - 1);
		assert_int_equal(seen[a[i]]++, 0);
		fixed += a[i] == (uint32_t)i;
	}
	assert_true(fixed < 10); /* 1 is expected */
	jf_dataset_shuffle(b, COUNT, 1, 0);
	assert_memory_equal(a, b, sizeof(a));
	jf_dataset_shuffle(b, COUNT, 1, 1);
	for (int i = 0; i < COUNT; i++)
		same += a[i] == b[i];
	assert_true(same < 10);
	/* all 6 orders of 3 come up, about equally often */
	int counts[27] = {0};
	for (uint32_t round = 0; round < 6000; round++) {
		jf_dataset_shuffle(a, 3, 9, round);
		counts[a[0] * 9 + a[1] * 3 + a[2]]++;
	}
	int orders = 0;
	for (int i = 0; i < 27; i++)
		if (counts[i]) {
			orders++;
			assert_in_range(counts[i], 850, 1150);
		}
	assert_int_equal(orders, 6);
}

/* Every class keeps back its share, the same images every time, and each image is either trained on or kept back. */
static void test_split(void **state) {
	enum { COUNT = 1000, HELD = 103 };
	uint16_t label[COUNT];
	uint32_t a[COUNT], b[COUNT];
	unsigned char seen[COUNT] = {0};
	size_t held[4] = {0};
	struct jf_dataset d = {.n = COUNT, .classes = 4, .labels = label};
	struct jf_error err = {0};

	(void)state;
	for (int i = 0; i < COUNT; i++)
		label[i] = i < 700 ? 0 : i < 950 ? 1 : i < 990 ? 2 : 3;
	assert_int_equal(jf_dataset_split(a, &d, HELD, &err), JF_OK);
	assert_int_equal(jf_dataset_split(b, &d, HELD, &err), JF_OK);
	assert_memory_equal(a, b, sizeof(a));
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(seen[a[i]]++, 0);
	for (int i = COUNT - HELD; i < COUNT; i++)
		held[label[a[i]]]++;
	assert_in_range(held[0], 72, 73); /* 72.1, 25.75, 4.12, 1.03 */
	assert_in_range(held[1], 25, 26);
	assert_in_range(held[2], 4, 5);
	assert_in_range(held[3], 1, 2);
	assert_int_equal(jf_dataset_split(a, &d, 0, &err), JF_OK);
	assert_int_equal(jf_dataset_split(a, &d, COUNT, &err), JF_OK);
}

static void set_labels(struct jf_dataset *d, const int *label, size_t n, int classes, bool numbered) {
	memset(d, 0, sizeof(*d));
	d->n = n;
	d->classes = classes;
	d->numbered = numbered;
	d->labels = malloc(n * sizeof(*d->labels));
	d->class_names = calloc((size_t)classes, sizeof(*d->class_names));
	for (size_t i = 0; i < n; i++)
		d->labels[i] = (uint16_t)label[i];
	for (int k = 0; k < classes; k++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", k);
		d->class_names[k] = strdup(name);
	}
}

/* A label 255 does not silently make 256 classes, nor labels from 1 to 10 eleven. */
static void test_labels_count_from_0(void **state) {
	static const int stray[] = {0, 1, 2, 1, 255}, from1[] = {1, 2, 3, 3, 2}, good[] = {2, 1, 0, 1, 0};
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	set_labels(&d, stray, 5, 256, true);
	assert_int_equal(jf_dataset_check_labels(&d, "f", &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "f: 1 image has the label 255, and no image has label 3"));
	jf_dataset_deinit(&d);
	set_labels(&d, from1, 5, 4, true);
	assert_int_equal(jf_dataset_check_labels(&d, "f", &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "f: no image has label 0, the largest is 3"));
	d.numbered = false; /* somebody has named four classes */
	assert_int_equal(jf_dataset_check_labels(&d, "f", &err), JF_OK);
	jf_dataset_deinit(&d);
	set_labels(&d, good, 5, 3, true);
	assert_int_equal(jf_dataset_check_labels(&d, "f", &err), JF_OK);
	jf_dataset_deinit(&d);
}

static char ant[] = "ant", bee[] = "bee", cat[] = "cat";
static char *names_of[] = {ant, bee, cat};

/* By name, whatever the order, with classes missing; a name that the model has not is refused and named. */
static void test_match(void **state) {
	static const int label[] = {0, 1, 1, 0};
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	set_labels(&d, label, 4, 2, false);
	free(d.class_names[0]);
	free(d.class_names[1]);
	d.class_names[0] = strdup("cat");
	d.class_names[1] = strdup("ant");
	assert_int_equal(jf_dataset_match(&d, names_of, 3, "f", &err), JF_OK);
	assert_int_equal(d.classes, 3);
	assert_int_equal(d.labels[0], 2);
	assert_int_equal(d.labels[1], 0);
	assert_string_equal(d.class_names[1], "bee");
	jf_dataset_deinit(&d);

	set_labels(&d, label, 4, 2, false);
	assert_int_equal(jf_dataset_match(&d, names_of, 3, "f", &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "f: class '0' is not one of the model's (ant, bee, cat)"));
	assert_int_equal(d.labels[1], 1);
	d.numbered = true; /* labels that nothing names are the model's numbers */
	assert_int_equal(jf_dataset_match(&d, names_of, 3, "f", &err), JF_OK);
	assert_int_equal(d.labels[1], 1);
	jf_dataset_deinit(&d);
	set_labels(&d, (const int[]){0, 3}, 2, 4, true);
	assert_int_equal(jf_dataset_match(&d, names_of, 3, "f", &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "class '3' is not one"));
	jf_dataset_deinit(&d);
}

static char heard[4096];
static void hear(void *context, const char *line) {
	(void)context;
	snprintf(heard + strlen(heard), sizeof(heard) - strlen(heard), "%s\n", line);
}

/* Pictures of any size and colour, told into one form; other files counted and named; all that cannot be read is named
 * at once; what machines leave behind is passed over in silence. */
static void test_form(void **state) {
	const struct jf_dataset_form form = {.height = 8, .width = 16, .channels = 1, .tell = hear};
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	make_class_folders("form", 3);
	write_png(at("form/cat/large.png"), 100, 40, 1, 77);
	write_text(at("form/cat/a.gif"), "x");
	write_text(at("form/cat/b.txt"), "x");
	write_text(at("form/cat/.DS_Store"), "x");
	mkdir(at("form/__MACOSX"), 0755);
	write_text(at("form/__MACOSX/._0.png"), "x");
	*heard = '\0';
	if (jf_dataset_load(&d, at("form"), JF_DATASET_TRAIN, &form, &err) != JF_OK)
		fail_msg("%s", err.message);
	assert_int_equal(d.n, 7);
	assert_int_equal(d.classes, 3);
	assert_int_equal(d.width, 16);
	assert_int_equal(d.height, 8);
	assert_int_equal(d.channels, 1);
	assert_int_equal(d.pixels[6 * 128], 77);
	assert_int_equal(d.pixels[6 * 128 + 127], 77);
	assert_non_null(strstr(heard, "form/cat: 2 files are neither PNG nor JPEG, skipped: a.gif, b.txt\n"));
	assert_null(strstr(heard, "DS_Store"));
	jf_dataset_deinit(&d);

	write_text(at("form/2/bad.png"), "x");
	write_text(at("form/10/worse.jpg"), "x");
	*heard = '\0';
	assert_int_equal(jf_dataset_load(&d, at("form"), JF_DATASET_TRAIN, &form, &err), JF_EFORMAT);
	assert_non_null(strstr(heard, "form/2/bad.png: not a PNG or JPEG"));
	assert_non_null(strstr(heard, "form/10/worse.jpg: not a PNG or JPEG"));
	assert_non_null(strstr(err.message, "2 pictures cannot be used; the first: "));
	unlink(at("form/2/bad.png"));
	unlink(at("form/10/worse.jpg"));
	/* without a form the message says what makes them alike */
	assert_int_equal(jf_dataset_load(&d, at("form"), JF_DATASET_TRAIN, NULL, &err), JF_EFORMAT);
	assert_non_null(strstr(err.message, "(--size=WxH with --grey or --colour makes them alike)"));
}

static void test_parts(void **state) {
	static const char *const words[] = {"val", "valid", "validation"};
	struct jf_dataset d;
	struct jf_error err = {0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		char name[64];

		snprintf(name, sizeof(name), "layout%d", i);
		mkdir(at("%s", name), 0755);
		snprintf(name, sizeof(name), "layout%d/train", i);
		make_class_folders(name, 1);
		assert_int_equal(jf_dataset_load(&d, at("layout%d", i), JF_DATASET_TEST, NULL, &err), JF_EEMPTY);
		assert_non_null(strstr(err.message, "has no folder test beside train"));
		assert_false(jf_dataset_has_validation(at("layout%d", i)));
		snprintf(name, sizeof(name), "layout%d/%s", i, words[i]);
		make_class_folders(name, 1);
		unlink(at("%s/cat/2.png", name));
		assert_true(jf_dataset_has_validation(at("layout%d", i)));
		assert_int_equal(jf_dataset_load(&d, at("layout%d", i), JF_DATASET_TRAIN, NULL, &err), JF_OK);
		assert_int_equal(d.n, 6);
		jf_dataset_deinit(&d);
		assert_int_equal(jf_dataset_load(&d, at("layout%d", i), JF_DATASET_VALIDATION, NULL, &err), JF_OK);
		assert_int_equal(d.n, 5);
		jf_dataset_deinit(&d);
	}
	/* a class may be called train, where others are no parts */
	make_class_folders("vehicles", 1);
	rename(at("vehicles/cat"), at("vehicles/train"));
	assert_int_equal(jf_dataset_load(&d, at("vehicles"), JF_DATASET_TRAIN, NULL, &err), JF_OK);
	assert_int_equal(d.classes, 3);
	jf_dataset_deinit(&d);
}

static void test_append(void **state) {
	struct jf_dataset d, more;
	struct jf_error err = {0};
	char digest[JF_SHA256_HEX];

	(void)state;
	make_class_folders("one", 1);
	make_class_folders("more", 1);
	make_class_folders("colour", 3);
	assert_int_equal(jf_dataset_load(&d, at("one"), JF_DATASET_TRAIN, NULL, &err), JF_OK);
	assert_int_equal(jf_dataset_load(&more, at("more"), JF_DATASET_TRAIN, NULL, &err), JF_OK);
	memcpy(digest, d.digest, sizeof(digest));
	assert_int_equal(jf_dataset_append(&d, &more, "more", &err), JF_OK);
	assert_int_equal(d.n, 12);
	assert_int_equal(d.labels[11], 2);
	assert_memory_equal(d.pixels + 6 * 96, more.pixels, 6 * 96);
	assert_string_not_equal(digest, d.digest);
	jf_dataset_deinit(&more);
	assert_int_equal(jf_dataset_load(&more, at("colour"), JF_DATASET_TRAIN, NULL, &err), JF_OK);
	assert_int_equal(jf_dataset_append(&d, &more, "colour", &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "colour: pictures of 12 x 8 with 3 channel(s)"));
	jf_dataset_deinit(&more);
	jf_dataset_deinit(&d);
}

static void test_real(void **state) {
	const char *top = getenv("top_srcdir");
	char path[512];
	struct jf_dataset d;
	struct jf_error err = {0};
	int counts[10] = {0};

	(void)state;
	snprintf(path, sizeof(path), "%s/data/mnist", top ? top : ".");
	if (jf_dataset_load(&d, path, JF_DATASET_TEST, NULL, &err) != JF_OK)
		fail_msg("%s", err.message);
	assert_int_equal(d.n, 10000);
	assert_int_equal(d.classes, 10);
	for (size_t i = 0; i < d.n; i++)
		counts[d.labels[i]]++;
	assert_int_equal(counts[0], 980); /* as published */
	assert_int_equal(counts[1], 1135);
	assert_int_equal(d.labels[0], 7);
	jf_dataset_deinit(&d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
	    TEST(test_published_names),
	    TEST(test_emnist),
	    TEST(test_class_names),
	    TEST(test_damage),
	    TEST(test_wrong_pairs),
	    TEST(test_gzip_damage),
	    TEST(test_folder),
	    TEST(test_folder_parts),
	    cmocka_unit_test(test_shuffle),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_labels_count_from_0),
	    cmocka_unit_test(test_match),
	    TEST(test_form),
	    TEST(test_parts),
	    TEST(test_append),
	    cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
