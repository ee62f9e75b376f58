/* MNIST framing: MNIST's own pictures pass unchanged; the same digits drawn larger, on other papers, with other pens,
 * with noise and shadow come out nearly as they were; blank sheets are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/files/idx.h"
#include "core/pictures/framing.h"
#include "core/pictures/resample.h"

#define SIDE 28
#define PIXELS (SIDE * SIDE)

static struct jf_idx digits;

static int setup(void **state) {
	const char *top = getenv("top_srcdir");
	struct jf_error err = {0};
	char path[4096];

	(void)state;
	snprintf(path, sizeof(path), "%s/data/mnist/t10k-images-idx3-ubyte.gz", top ? top : ".");
	if (jf_idx_read(&digits, path, &err)) {
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

static int teardown(void **state) {
	(void)state;
	jf_idx_deinit(&digits);
	return 0;
}

static const struct jf_framing_options mnist = {JF_PREPROCESS_MNIST, JF_INVERT_AUTO};

/* Mean difference of two framed pictures in grey levels. */
static double difference(const float *a, const float *b, int n) {
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += fabs((double)a[i] - (double)b[i]) * 127.5;
	return sum / n;
}

static void test_mnist_unchanged(void **state) {
	int same = 0, close = 0, n = (int)digits.shape[0];

	(void)state;
	assert_int_equal(n, 10000);
	for (int i = 0; i < n; i++) {
		struct jf_image image = {SIDE, SIDE, 1, digits.values + (size_t)i * PIXELS};
		float framed[PIXELS], original[PIXELS];
		struct jf_framing_report report;

		assert_int_equal(jf_frame(framed, &report, &image, SIDE, SIDE, 1, &mnist, NULL), JF_OK);
		jf_bytes_to_floats(original, image.pixels, PIXELS);
		same += memcmp(framed, original, sizeof(framed)) == 0;
		close += difference(framed, original, PIXELS) < 0.5;
		assert_false(report.inverted);
	}
	print_message(
	    "%d of %d unchanged to the bit, %d differ by less than half a grey level on average\n", same, n, close);
	assert_true(same >= 9980);
	assert_true(close >= 9990);
}

/* --- digits drawn in other ways --- */

static uint64_t random_state;

static float uniform(void) {
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (float)(random_state >> 40) / (float)(1 << 24);
}

/* Roughly normal: the sum of 12 uniforms. */
static float noise(void) {
	float sum = -6;

	for (int i = 0; i < 12; i++)
		sum += uniform();
	return sum;
}

struct scene {
	const char *name;
	int height, width; /* of the picture */
	int scale;         /* source pixels a MNIST pixel */
	int top, left;     /* of the 28 x 28 field */
	float paper, ink;  /* grey levels */
	float noise;       /* standard deviation, levels */
	float shadow;      /* levels from the left side to the right */
	float specks;      /* share of pixels that are specks of ink */
	bool colour;       /* blue ink (grey level `ink` in red and green) on this paper */
	double limit;      /* mean difference from the original that is allowed, grey levels */
};

static const struct scene scenes[] = {
    {"black on white, the same size", 28, 28, 1, 0, 0, 255, 0, 0, 0, 0, false, 0.5},
    {"white on black, 10 times", 280, 280, 10, 0, 0, 0, 255, 0, 0, 0, false, 1.5},
    {"black on white, 10 times, off the middle", 400, 600, 10, 100, 300, 255, 0, 0, 0, 0, false, 1.5},
    {"in a corner of a large sheet", 2048, 2048, 12, 5, 5, 255, 0, 0, 0, 0, false, 8},
    {"as large as it may be", 2048, 2048, 73, 2, 2, 255, 0, 0, 0, 0, false, 2},
    {"grey pencil on grey paper", 300, 300, 10, 10, 10, 190, 130, 0, 0, 0, false, 1.5},
    {"faint pencil", 300, 300, 10, 10, 10, 250, 225, 0, 0, 0, false, 4},
    {"light chalk on a grey board", 300, 300, 10, 10, 10, 90, 180, 0, 0, 0, false, 1.5},
    {"noise", 300, 300, 10, 10, 10, 210, 40, 12, 0, 0, false, 5},
    {"much noise", 600, 600, 20, 20, 20, 190, 60, 25, 0, 0, false, 5},
    {"a shadow across the sheet", 300, 300, 10, 10, 10, 200, 40, 0, 40, 0, false, 4},
    {"a shadow and noise", 300, 300, 10, 10, 10, 200, 40, 6, 40, 0, false, 5},
    {"specks of dirt", 600, 600, 20, 20, 20, 255, 0, 0, 0, 0.002f, false, 5},
    {"blue ink on yellow paper", 300, 300, 10, 10, 10, 240, 30, 0, 0, 0, true, 2},
    {"three times as large, odd size", 101, 97, 3, 9, 11, 255, 0, 0, 0, 0, false, 2},
};

/* How much ink MNIST pixel (y, x) of digit has, 0 outside. */
static float ink_at(const uint8_t *digit, int y, int x) {
	return y >= 0 && y < SIDE && x >= 0 && x < SIDE ? (float)digit[y * SIDE + x] / 255 : 0;
}

static void draw(struct jf_image *image, const struct scene *scene, const uint8_t *digit) {
	int channels = scene->colour ? 3 : 1;

	assert_int_equal(jf_image_init(image, scene->height, scene->width, channels, NULL), JF_OK);
	for (int y = 0; y < scene->height; y++)
		for (int x = 0; x < scene->width; x++)
			for (int c = 0; c < channels; c++) {
				int v = y < scene->top ? -1 : (y - scene->top) / scene->scale;
				int u = x < scene->left ? -1 : (x - scene->left) / scene->scale;
				float amount = ink_at(digit, v, u);
				float paper = scene->paper, ink = scene->ink, level;

				if (c == 2) { /* blue: the ink's is high, the paper's low */
					paper = 120;
					ink = 200;
				}
				if (scene->specks > 0 && uniform() < scene->specks)
					amount = 1;
				level = paper + (ink - paper) * amount +
					scene->shadow * ((float)x / (float)scene->width - 0.5f);
				if (scene->noise > 0)
					level += scene->noise * noise();
				image->pixels[((size_t)y * (size_t)scene->width + (size_t)x) * (size_t)channels +
					      (size_t)c] = (uint8_t)fminf(fmaxf(level + 0.5f, 0), 255);
			}
}

static void test_scenes(void **state) {
	(void)state;
	for (size_t s = 0; s < sizeof(scenes) / sizeof(scenes[0]); s++) {
		const struct scene *scene = &scenes[s];
		int count = scene->height > 1000 ? 3 : 20, inverted = 0;
		double sum = 0, worst = 0;

		random_state = s + 1;
		for (int i = 0; i < count; i++) {
			const uint8_t *digit = digits.values + (size_t)i * PIXELS;
			struct jf_image image;
			struct jf_error err = {0};
			struct jf_framing_report report;
			float framed[PIXELS], original[PIXELS];
			double d;

			draw(&image, scene, digit);
			if (jf_frame(framed, &report, &image, SIDE, SIDE, 1, &mnist, &err))
				fail_msg("%s: %s", scene->name, err.message);
			jf_bytes_to_floats(original, digit, PIXELS);
			d = difference(framed, original, PIXELS);
			sum += d;
			worst = d > worst ? d : worst;
			inverted += report.inverted;
			jf_image_deinit(&image);
		}
		print_message("%-45s mean %.2f, worst %.2f of 255\n", scene->name, sum / count, worst);
		assert_true(sum / count <= scene->limit);
		assert_int_equal(inverted, scene->ink < scene->paper ? count : 0);
	}
}

/* --- photographs: what surrounds the digit, crosses it, and falls on it --- */

struct photo {
	const char *name;
	float paper, ink;
	int margin;    /* pixels of table around the sheet */
	int open;      /* sides without a table: 1 the left, 2 the right too, 3 the top too */
	float table;   /* grey level */
	float tilt;    /* of sheet and lines: pixels up a pixel to the right */
	int spacing;   /* pixels from ruled line to ruled line, 0 none */
	int thickness; /* of a line */
	float line;    /* grey level */
	bool squared;  /* lines both ways */
	bool over;     /* the lines lie over the ink */
	float fall;    /* share of the light that is missing at the bottom */
	float corner;  /* share of the light that a soft shadow in a corner takes */
	float noise;   /* standard deviation, levels */
	double limit;  /* mean difference from the original that is allowed, grey levels */
};

#define PHOTO_HEIGHT 400
#define PHOTO_WIDTH 320
#define PHOTO_SCALE 6

static const struct photo photos[] = {
    {.name = "a sheet on a dark table", .paper = 210, .ink = 50, .margin = 40, .table = 70, .limit = 2},
    {.name = "a sheet on a light table", .paper = 150, .ink = 20, .margin = 40, .table = 230, .limit = 2},
    {.name = "a sheet on a table, tilted",
	.paper = 210,
	.ink = 50,
	.margin = 40,
	.table = 70,
	.tilt = 0.1f,
	.noise = 3,
	.limit = 4},
    {.name = "a table's edge on one side",
	.paper = 210,
	.ink = 50,
	.margin = 50,
	.open = 3,
	.table = 70,
	.noise = 3,
	.limit = 4},
    {.name = "a board in a light frame", .paper = 60, .ink = 200, .margin = 25, .table = 240, .limit = 2},
    {.name = "a black frame", .paper = 255, .ink = 0, .margin = 4, .table = 0, .limit = 2},
    {.name = "light that falls off", .paper = 250, .ink = 20, .fall = 0.6f, .limit = 2},
    {.name = "light that falls off, noise", .paper = 220, .ink = 40, .fall = 0.5f, .noise = 3, .limit = 5},
    {.name = "a shadow in a corner", .paper = 210, .ink = 40, .corner = 0.6f, .noise = 3, .limit = 4},
    {.name = "ruled", .paper = 255, .ink = 0, .spacing = 25, .thickness = 1, .line = 150, .limit = 3},
    {.name = "ruled, the lines over the ink",
	.paper = 255,
	.ink = 0,
	.spacing = 25,
	.thickness = 1,
	.line = 150,
	.over = true,
	.limit = 3},
    {.name = "ruled, tilted by 3 degrees",
	.paper = 230,
	.ink = 40,
	.tilt = 0.05f,
	.spacing = 25,
	.thickness = 2,
	.line = 170,
	.noise = 3,
	.limit = 5},
    {.name = "squared",
	.paper = 210,
	.ink = 50,
	.spacing = 20,
	.thickness = 1,
	.line = 185,
	.squared = true,
	.noise = 2,
	.limit = 4},
    {.name = "a board with light squares",
	.paper = 60,
	.ink = 220,
	.spacing = 20,
	.thickness = 1,
	.line = 110,
	.squared = true,
	.noise = 2,
	.limit = 5},
    {.name = "squared, tilted, a shadow in a corner",
	.paper = 210,
	.ink = 50,
	.tilt = 0.03f,
	.spacing = 20,
	.thickness = 1,
	.line = 185,
	.squared = true,
	.corner = 0.6f,
	.noise = 2,
	.limit = 5},
    {.name = "squared, on a table",
	.paper = 210,
	.ink = 50,
	.margin = 40,
	.table = 70,
	.spacing = 20,
	.thickness = 1,
	.line = 185,
	.squared = true,
	.fall = 0.2f,
	.noise = 2,
	.limit = 5},
};

static bool on_line(const struct photo *photo, float at) {
	return photo->spacing > 0 &&
	       fmodf(at + 1000 * (float)photo->spacing, (float)photo->spacing) < (float)photo->thickness;
}

/* The level of a photograph's pixel, without noise. */
static float photo_level(const struct photo *photo, const uint8_t *digit, int y, int x) {
	int top = (PHOTO_HEIGHT - SIDE * PHOTO_SCALE) / 2, left = (PHOTO_WIDTH - SIDE * PHOTO_SCALE) / 2;
	float down = (float)y - PHOTO_HEIGHT / 2 + photo->tilt * ((float)x - PHOTO_WIDTH / 2);
	float right = (float)x - PHOTO_WIDTH / 2 - photo->tilt * ((float)y - PHOTO_HEIGHT / 2);
	float amount = ink_at(digit, y < top ? -1 : (y - top) / PHOTO_SCALE, x < left ? -1 : (x - left) / PHOTO_SCALE);
	float edge_y = PHOTO_HEIGHT / 2 - (float)photo->margin, edge_x = PHOTO_WIDTH / 2 - (float)photo->margin;
	float level = photo->paper, away;
	bool line = on_line(photo, down) || (photo->squared && on_line(photo, right));

	if (line && !photo->over)
		level = photo->line;
	level += (photo->ink - level) * amount;
	if (line && photo->over)
		level = photo->line;
	if (photo->margin > 0 && ((down < -edge_y && photo->open < 3) || down >= edge_y ||
				     (right < -edge_x && photo->open < 1) || (right >= edge_x && photo->open < 2)))
		level = photo->table;
	away = hypotf((float)(PHOTO_HEIGHT - y), (float)(PHOTO_WIDTH - x)) / 70;
	return level * (1 - photo->fall * (float)y / PHOTO_HEIGHT) * (1 - photo->corner * expf(-away * away));
}

static void test_photos(void **state) {
	(void)state;
	for (size_t p = 0; p < sizeof(photos) / sizeof(photos[0]); p++) {
		const struct photo *photo = &photos[p];
		double sum = 0, worst = 0;

		random_state = p + 1;
		for (int i = 0; i < 10; i++) {
			const uint8_t *digit = digits.values + (size_t)i * PIXELS;
			struct jf_image image;
			struct jf_framing_report report;
			struct jf_error err = {0};
			float framed[PIXELS], original[PIXELS];
			double d;

			assert_int_equal(jf_image_init(&image, PHOTO_HEIGHT, PHOTO_WIDTH, 1, NULL), JF_OK);
			for (int y = 0; y < PHOTO_HEIGHT; y++)
				for (int x = 0; x < PHOTO_WIDTH; x++) {
					float level = photo_level(photo, digit, y, x);

					if (photo->noise > 0)
						level += photo->noise * noise();
					image.pixels[y * PHOTO_WIDTH + x] = (uint8_t)fminf(fmaxf(level + 0.5f, 0), 255);
				}
			if (jf_frame(framed, &report, &image, SIDE, SIDE, 1, &mnist, &err))
				fail_msg("%s: %s", photo->name, err.message);
			jf_bytes_to_floats(original, digit, PIXELS);
			d = difference(framed, original, PIXELS);
			sum += d / 10;
			worst = d > worst ? d : worst;
			assert_int_equal(report.inverted, photo->ink < photo->paper);
			/* The digit's own box, and not the sheet's: MNIST's have 20 of the field's 28 pixels. */
			assert_true(report.ink_y > 100 && report.ink_y + report.ink_height < 300);
			assert_true(report.ink_x > 60 && report.ink_x + report.ink_width < 260);
			jf_image_deinit(&image);
		}
		print_message("%-45s mean %.2f, worst %.2f of 255\n", photo->name, sum, worst);
		assert_true(sum <= photo->limit);
	}
}

/* What only looks like a sheet, lines or a shadow is ink, as it always was. */
static void test_no_photo(void **state) {
	struct jf_image image;
	struct jf_framing_report report;
	float framed[PIXELS];

	(void)state;
	assert_int_equal(jf_image_init(&image, 300, 300, 1, NULL), JF_OK);
	/* A block with a hole: a digit's body, not a sheet. */
	memset(image.pixels, 255, jf_image_size(&image));
	for (int y = 40; y < 260; y++)
		for (int x = 70; x < 230; x++)
			if (y < 80 || y >= 220 || x < 110 || x >= 190)
				image.pixels[y * 300 + x] = 0;
	assert_int_equal(jf_frame(framed, &report, &image, SIDE, SIDE, 1, &mnist, NULL), JF_OK);
	assert_true(report.inverted && report.ink_y == 40 && report.ink_height == 220 && report.ink_width == 160);
	/* Two lines through the whole picture are no ruled paper. */
	memset(image.pixels, 255, jf_image_size(&image));
	for (int y = 100; y < 200; y += 60)
		memset(image.pixels + y * 300, 0, 2 * 300);
	assert_int_equal(jf_frame(framed, &report, &image, SIDE, SIDE, 1, &mnist, NULL), JF_OK);
	assert_true(report.ink_y == 100 && report.ink_height == 62 && report.ink_width == 300);
	/* Nothing but ruled lines: then they are what is drawn. */
	for (int y = 20; y < 300; y += 20)
		memset(image.pixels + y * 300, 0, 300);
	assert_int_equal(jf_frame(framed, &report, &image, SIDE, SIDE, 1, &mnist, NULL), JF_OK);
	assert_int_equal(report.ink_width, 300);
	jf_image_deinit(&image);
}

static void test_report(void **state) {
	/* A solid block of 40 x 20 at (30, 50) on a white sheet of 100 x 120: scaled by half to 20 x 10. */
	struct jf_image image;
	struct jf_framing_report report;
	float framed[3 * PIXELS];

	(void)state;
	assert_int_equal(jf_image_init(&image, 100, 120, 3, NULL), JF_OK);
	memset(image.pixels, 255, jf_image_size(&image));
	for (int y = 30; y < 70; y++)
		memset(image.pixels + (y * 120 + 50) * 3, 10, 20 * 3);
	assert_int_equal(jf_frame(framed, &report, &image, SIDE, SIDE, 3, &mnist, NULL), JF_OK);
	assert_true(report.inverted && report.resized && !report.thickened);
	assert_int_equal(report.source_height, 100);
	assert_int_equal(report.source_width, 120);
	assert_int_equal(report.source_channels, 3);
	assert_int_equal(report.ink_y, 30);
	assert_int_equal(report.ink_x, 50);
	assert_int_equal(report.ink_height, 40);
	assert_int_equal(report.ink_width, 20);
	assert_true(report.scale_y == 0.5f && report.scale_x == 0.5f);
	assert_true(report.shift_y == 4 && report.shift_x == 9);
	assert_true(report.paper == 255 && report.ink == 10);
	for (int y = 0; y < SIDE; y++)
		for (int x = 0; x < SIDE; x++)
			for (int c = 0; c < 3; c++)
				assert_true(framed[(y * SIDE + x) * 3 + c] ==
					    (y >= 4 && y < 24 && x >= 9 && x < 19 ? 1.0f : -1.0f));
	/* The other side, when it is asked for: the paper is brighter than nothing, so there is no light ink. */
	assert_int_equal(jf_frame(framed, NULL, &image, SIDE, SIDE, 3,
			     &(struct jf_framing_options){JF_PREPROCESS_MNIST, JF_INVERT_NO}, NULL),
	    JF_EEMPTY);
	assert_int_equal(jf_frame(framed, &report, &image, SIDE, SIDE, 3,
			     &(struct jf_framing_options){JF_PREPROCESS_MNIST, JF_INVERT_YES}, NULL),
	    JF_OK);
	assert_true(report.inverted);
	/* Another field: 20/28 of 56 x 28 is 40 x 20. */
	assert_int_equal(jf_frame(framed, &report, &image, 56, 28, 1, &mnist, NULL), JF_OK);
	assert_true(report.scale_y == 1.0f);
	assert_true(report.shift_y == 8 && report.shift_x == 4);
	jf_image_deinit(&image);
}

/* A hairline on a large sheet: full ink at its brightest, and thick enough to be a stroke. */
static void test_hairline(void **state) {
	struct jf_image image;
	struct jf_framing_report report;
	float framed[PIXELS];
	double mass = 0;
	float top = -1;

	(void)state;
	for (int thickness = 1; thickness <= 81; thickness += 20) {
		assert_int_equal(jf_image_init(&image, 1000, 1000, 1, NULL), JF_OK);
		memset(image.pixels, 255, jf_image_size(&image));
		for (int y = 100; y < 900; y++) /* a slanted line */
			memset(image.pixels + y * 1000 + 300 + y / 3, 0, (size_t)thickness);
		assert_int_equal(jf_frame(framed, &report, &image, SIDE, SIDE, 1, &mnist, NULL), JF_OK);
		assert_int_equal(report.thickened, thickness < 41);
		top = -1;
		mass = 0;
		for (int i = 0; i < PIXELS; i++) {
			top = fmaxf(top, framed[i]);
			mass += ((double)framed[i] + 1) / 2;
		}
		print_message("%d pixels thick: %.1f pixels of ink, brightest %.2f\n", thickness, mass, (double)top);
		assert_true(top > 0.95f);
		assert_true(mass > 20 && mass < 60); /* 20 pixels long, 1 to 3 wide */
		jf_image_deinit(&image);
	}
}

static void test_blank(void **state) {
	static const struct {
		const char *name;
		float paper, noise, shadow;
		enum jf_err code;
	} sheets[] = {
	    {"white", 255, 0, 0, JF_EEMPTY},
	    {"black", 0, 0, 0, JF_EEMPTY},
	    {"grey", 128, 0, 0, JF_EEMPTY},
	    {"noise", 200, 8, 0, JF_EEMPTY},
	    {"much noise", 128, 25, 0, JF_EEMPTY},
	    {"a shadow", 180, 0, 50, JF_EEMPTY},
	    {"a shadow and noise", 180, 5, 50, JF_EEMPTY},
	};
	static const int sizes[][2] = {{28, 28}, {300, 200}, {2048, 2048}, {1, 1}, {1, 500}};

	(void)state;
	for (size_t s = 0; s < sizeof(sheets) / sizeof(sheets[0]); s++)
		for (size_t z = 0; z < sizeof(sizes) / sizeof(sizes[0]); z++) {
			struct scene scene = {.height = sizes[z][0],
			    .width = sizes[z][1],
			    .scale = 1,
			    .top = 4000,
			    .paper = sheets[s].paper,
			    .noise = sheets[s].noise,
			    .shadow = sheets[s].shadow};
			struct jf_error err = {0};
			struct jf_image image;
			float framed[PIXELS];
			enum jf_err code;

			if (z > 2 && (sheets[s].noise > 0 || sheets[s].shadow > 0))
				continue;
			random_state = s;
			draw(&image, &scene, digits.values);
			code = jf_frame(framed, NULL, &image, SIDE, SIDE, 1, &mnist, &err);
			if (code != sheets[s].code)
				fail_msg("%s, %d x %d: %d, %s", sheets[s].name, sizes[z][0], sizes[z][1], (int)code,
				    err.message);
			assert_non_null(strstr(err.message, "blank"));
			jf_image_deinit(&image);
		}
}

static void test_none(void **state) {
	const struct jf_framing_options none = {JF_PREPROCESS_NONE, JF_INVERT_AUTO};
	const struct jf_framing_options inverted = {JF_PREPROCESS_NONE, JF_INVERT_YES};
	uint8_t pixels[] = {0, 51, 102, 255, 10, 20, 30, 40, 0, 0, 0, 0};
	struct jf_image image = {2, 4, 1, pixels};
	struct jf_framing_report report;
	float out[3 * 8];
	uint8_t bytes[24];

	(void)state;
	assert_int_equal(jf_frame(out, &report, &image, 2, 4, 1, &none, NULL), JF_OK);
	assert_false(report.resized || report.inverted);
	jf_floats_to_bytes(bytes, out, 8);
	assert_memory_equal(bytes, pixels, 8);
	assert_int_equal(jf_frame(out, &report, &image, 2, 4, 1, &inverted, NULL), JF_OK);
	assert_true(report.inverted);
	assert_true(out[0] == 1.0f && out[3] == -1.0f);
	/* Half the size: means of 2 x 2; each axis by itself. */
	assert_int_equal(jf_frame(out, &report, &image, 1, 2, 1, &none, NULL), JF_OK);
	assert_true(report.resized && report.scale_y == 0.5f && report.scale_x == 0.5f);
	assert_true(fabsf((out[0] + 1) * 127.5f - (0 + 51 + 10 + 20) / 4.0f) < 1e-3f);
	assert_true(fabsf((out[1] + 1) * 127.5f - (102 + 255 + 30 + 40) / 4.0f) < 1e-3f);
	/* Grey into a model of colour: repeated. Colour into grey: luma. Colour into colour: kept. */
	assert_int_equal(jf_frame(out, &report, &image, 2, 4, 3, &none, NULL), JF_OK);
	assert_true(out[3] == out[4] && out[4] == out[5]);
	image = (struct jf_image){2, 2, 3, pixels};
	assert_int_equal(jf_frame(out, &report, &image, 2, 2, 3, &none, NULL), JF_OK);
	jf_floats_to_bytes(bytes, out, 12);
	assert_memory_equal(bytes, pixels, 12);
	assert_int_equal(jf_frame(out, &report, &image, 2, 2, 1, &none, NULL), JF_OK);
	jf_floats_to_bytes(bytes, out, 4);
	assert_int_equal(bytes[0], jf_luma(0, 51, 102));
	/* A blank picture is a picture. */
	memset(pixels, 0, sizeof(pixels));
	assert_int_equal(jf_frame(out, &report, &image, 2, 2, 1, &none, NULL), JF_OK);
}

static void test_refused(void **state) {
	uint8_t pixels[4] = {0};
	struct jf_image image = {2, 2, 1, pixels}, nothing = {0};
	struct jf_error err = {0};
	float out[4];

	(void)state;
	assert_int_equal(jf_frame(out, NULL, &nothing, 2, 2, 1, &mnist, &err), JF_EINVAL);
	assert_int_equal(jf_frame(out, NULL, &image, 0, 2, 1, &mnist, &err), JF_EINVAL);
	assert_int_equal(jf_frame(out, NULL, &image, 2, 2, 2, &mnist, &err), JF_EINVAL);
	/* A model that learnt from light borders is shown them; one of ink on dark, or whatever is asked for, is as
	 * ever. */
	assert_int_equal(jf_invert_settle(JF_INVERT_AUTO, JF_PREPROCESS_NONE, JF_PAPER_ANY), JF_INVERT_NO);
	assert_int_equal(jf_invert_settle(JF_INVERT_AUTO, JF_PREPROCESS_NONE, JF_PAPER_DARK), JF_INVERT_AUTO);
	assert_int_equal(jf_invert_settle(JF_INVERT_AUTO, JF_PREPROCESS_MNIST, JF_PAPER_ANY), JF_INVERT_AUTO);
	assert_int_equal(jf_invert_settle(JF_INVERT_YES, JF_PREPROCESS_NONE, JF_PAPER_ANY), JF_INVERT_YES);
	assert_string_equal(jf_invert_name(JF_INVERT_YES), "yes");
	assert_string_equal(jf_preprocess_name(JF_PREPROCESS_NONE), "none");
}

static void test_resample(void **state) {
	static const float ramp[] = {0, 3, 6};
	float out[6];

	(void)state;
	/* 3 -> 2: (0 + 3/2) / 1.5, (3/2 + 6) / 1.5 */
	assert_int_equal(jf_resample(out, 1, 2, ramp, 1, 3, 1, NULL), JF_OK);
	assert_true(fabsf(out[0] - 1) < 1e-6f && fabsf(out[1] - 5) < 1e-6f);
	/* 3 -> 6: between the centres, the ends repeated */
	assert_int_equal(jf_resample(out, 6, 1, ramp, 3, 1, 1, NULL), JF_OK);
	for (int i = 0; i < 6; i++)
		assert_true(fabsf(out[i] - fminf(fmaxf(1.5f * (float)i - 0.75f, 0), 6)) < 1e-6f);
	assert_int_equal(jf_resample(out, 3, 1, ramp, 3, 1, 1, NULL), JF_OK);
	assert_memory_equal(out, ramp, sizeof(ramp));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mnist_unchanged),
	    cmocka_unit_test(test_scenes),
	    cmocka_unit_test(test_photos),
	    cmocka_unit_test(test_no_photo),
	    cmocka_unit_test(test_report),
	    cmocka_unit_test(test_hairline),
	    cmocka_unit_test(test_blank),
	    cmocka_unit_test(test_none),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_resample),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
