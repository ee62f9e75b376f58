#include "core/pictures/picture.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/file.h"
#include "core/pictures/jpeg.h"
#include "core/pictures/png.h"

bool jf_picture_is(const void *data, size_t size_bytes) {
	return jf_png_is(data, size_bytes) || jf_jpeg_is(data, size_bytes);
}

/* --- what else it may be --- */

static const struct {
	bool text;
	size_t at;
	const char *bytes; /* compared without regard to case */
	const char *what;
} beginnings[] = {
    {false, 0, "GIF8", "a GIF"},
    {false, 8, "WEBP", "a WebP picture"},
    {false, 4, "ftypavif", "an AVIF picture"},
    {false, 4, "ftypheic", "a HEIC picture"},
    {false, 4, "ftypheix", "a HEIC picture"},
    {false, 4, "ftypmif1", "a HEIC picture"},
    {false, 0, "BM", "a BMP"},
    {false, 0, "II*", "a TIFF"},
    {false, 0, "MM", "a TIFF"},
    {false, 0, "%PDF", "a PDF"},
    {false, 0, "PK\3\4", "a ZIP archive"},
    {false, 0, "\x1f\x8b", "gzip data"},
    {false, 0, "\xff\x0a", "a JPEG XL picture"},
    {false, 4, "JXL ", "a JPEG XL picture"},
    {true, 0, "<!doctype html", "an HTML page"},
    {true, 0, "<html", "an HTML page"},
    {true, 0, "<", "an XML or HTML text"},
    {true, 0, "{", "a JSON text"},
    {true, 0, "data:", "a data URL"},
    {true, 0, "http://", "an address"},
    {true, 0, "https://", "an address"},
    {true, 0, "iVBORw0KGgo", "a PNG in base64"},
    {true, 0, "/9j/", "a JPEG in base64"},
};

static bool is_text(const unsigned char *bytes, size_t size) {
	size_t n = size < 256 ? size : 256;

	for (size_t i = 0; i < n; i++)
		if (bytes[i] == 0x7f || (bytes[i] < 0x20 && !strchr("\t\n\r\f", bytes[i])) || bytes[i] == 0)
			return false;
	return true;
}

static bool contains(const unsigned char *bytes, size_t size, const char *word) {
	size_t length = strlen(word);

	for (size_t i = 0; i + length <= size && i < 1024; i++)
		if (strncasecmp((const char *)bytes + i, word, length) == 0)
			return true;
	return false;
}

const char *jf_picture_guess(const void *data, size_t size_bytes) {
	const unsigned char *bytes = data;
	bool text = is_text(bytes, size_bytes);

	if (size_bytes == 0)
		return "empty";
	if (text)
		for (; size_bytes && strchr(" \t\n\r", *bytes); size_bytes--)
			bytes++;
	if (size_bytes && *bytes == '<' && contains(bytes, size_bytes, "<svg"))
		return "an SVG drawing";
	for (size_t i = 0; i < sizeof(beginnings) / sizeof(*beginnings); i++) {
		size_t length = strlen(beginnings[i].bytes);

		/* A short binary file may look like text; four letters are no coincidence, two may be. */
		if ((beginnings[i].text == text || length >= 4) && size_bytes >= beginnings[i].at + length &&
		    strncasecmp((const char *)bytes + beginnings[i].at, beginnings[i].bytes, length) == 0)
			return beginnings[i].what;
	}
	return text ? "a text" : NULL;
}

/* --- what it takes to read --- */

size_t jf_picture_pixels(const void *data, size_t size_bytes) {
	uint32_t width, height;

	if (jf_png_is(data, size_bytes))
		return jf_png_size(&width, &height, data, size_bytes, NULL) == JF_OK ? (size_t)width * height : 0;
	return jf_jpeg_pixels(data, size_bytes);
}

bool jf_picture_is_named(const char *name) {
	static const char *const endings[] = {".png", ".jpg", ".jpeg", ".jpe", ".jfif"};
	size_t length = strlen(name);

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		size_t n = strlen(endings[i]);

		if (length > n && strcasecmp(name + length - n, endings[i]) == 0)
			return true;
	}
	return false;
}

enum jf_err jf_picture_rows(const struct jf_rows *rows, const void *data, size_t size_bytes, struct jf_error *err) {
	const char *what;

	if (size_bytes == 0)
		return jf_error_set(err, JF_EFORMAT, "not a " JF_PICTURE_KINDS ": empty");
	if (jf_png_is(data, size_bytes))
		return jf_png_rows(rows, data, size_bytes, err);
	if (jf_jpeg_is(data, size_bytes))
		return jf_jpeg_rows(rows, data, size_bytes, err);
	what = jf_picture_guess(data, size_bytes);
	if (what)
		return jf_error_set(err, JF_EFORMAT, "not a " JF_PICTURE_KINDS " but %s", what);
	return jf_error_set(err, JF_EFORMAT, "not a " JF_PICTURE_KINDS ": it begins like neither");
}

enum jf_err jf_picture_read(struct jf_image *out, const char *path, struct jf_error *err) {
	uint8_t *data;
	size_t size;
	enum jf_err rc;

	*out = (struct jf_image){0};
	rc = jf_file_read(&data, &size, path, JF_PICTURE_MAX_BYTES, err);
	if (rc != JF_OK)
		return rc;
	rc = jf_rows_collect(out, jf_picture_rows, data, size, err);
	if (rc != JF_OK)
		jf_error_prefix(err, "%s", path);
	free(data);
	return rc;
}
