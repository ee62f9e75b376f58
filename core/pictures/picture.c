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

enum jf_err jf_picture_decode(struct jf_image *out, const void *data, size_t size_bytes, struct jf_error *err) {
	*out = (struct jf_image){0};
	if (size_bytes == 0)
		return jf_error_set(err, JF_EFORMAT, "not a " JF_PICTURE_KINDS ": empty");
	if (jf_png_is(data, size_bytes))
		return jf_png_decode(out, data, size_bytes, err);
	if (jf_jpeg_is(data, size_bytes))
		return jf_jpeg_decode(out, data, size_bytes, err);
	return jf_error_set(err, JF_EFORMAT, "not a " JF_PICTURE_KINDS ": it begins as neither does");
}

enum jf_err jf_picture_read(struct jf_image *out, const char *path, struct jf_error *err) {
	uint8_t *data;
	size_t size;
	enum jf_err rc;

	*out = (struct jf_image){0};
	rc = jf_file_read(&data, &size, path, JF_PICTURE_MAX_BYTES, err);
	if (rc != JF_OK)
		return rc;
	rc = jf_picture_decode(out, data, size, err);
	if (rc != JF_OK)
		jf_error_prefix(err, "%s", path);
	free(data);
	return rc;
}
