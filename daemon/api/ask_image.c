#include "daemon/api/ask_image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/base64.h"
#include "core/base/clock.h"
#include "core/pictures/picture.h"
#include "core/pictures/png.h"
#include "daemon/api/heavy.h"
#include "daemon/http/multipart.h"
#include "daemon/http/text.h"

/* A file in a field of another name: notes what is expected. */
static bool is_misnamed(struct jf_call *call, const struct jf_part *part) {
	char pointer[sizeof(part->name) + 1];

	if (!part->is_file && !jf_picture_is(part->data, part->size))
		return false;
	snprintf(pointer, sizeof(pointer), "/%.63s", part->name);
	jf_problem_field(&call->problem, pointer,
	    "is a field with a file, and none is known by this name: the picture's field is image (curl -F "
	    "image=@FILE)");
	return true;
}

static bool from_parts(
    struct jf_call *call, struct jf_ask_image *image, const char *body, size_t size, const char *type) {
	struct jf_part parts[JF_MAX_PARTS];
	struct jf_error err = {0};
	char boundary[80];
	int n, i;

	if (!jf_media_type_parameter(boundary, sizeof(boundary), type, "boundary"))
		return jf_problem_set(&call->problem, JF_PROBLEM_MALFORMED,
		    "multipart/form-data needs a boundary of 1 to 70 characters.");
	if (jf_multipart_parse(parts, &n, JF_MAX_PARTS, body, size, boundary, &err) != JF_OK)
		return jf_problem_set(
		    &call->problem, JF_PROBLEM_MALFORMED, "The form is malformed: %.250s.", err.message);
	for (i = 0; i < n; i++) {
		if (strcmp(parts[i].name, "image") != 0) {
			if (is_misnamed(call, &parts[i]))
				continue;
			if (!jf_params_add_text(&call->params, parts[i].name, parts[i].data, parts[i].size) &&
			    call->problem.type != JF_PROBLEM_INVALID)
				return false;
		} else if (image->bytes) {
			jf_problem_field(&call->problem, "/image", "is given twice");
		} else {
			image->bytes = (const unsigned char *)parts[i].data;
			image->size = parts[i].size;
		}
	}
	return true;
}

/* {"image": "<base64>"} or "data:image/png;base64,<base64>"; the bytes say what they are, whatever type is declared */
static bool from_text(struct jf_call *call, struct jf_ask_image *image) {
	const char *text, *comma;
	size_t length;

	if (!jf_params_string(&call->params, "image", &text, &length))
		return !call->problem.set;
	if (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0)
		return jf_problem_field(&call->problem, "/image",
		    "is an address, \"%.60s\"; this server fetches nothing: send the picture itself", text);
	if (strncasecmp(text, "data:", 5) == 0) {
		comma = memchr(text, ',', length);
		if (!comma || comma - text < 12 || strncasecmp(comma - 7, ";base64", 7) != 0)
			return jf_problem_field(&call->problem, "/image", "is a data URL without ;base64,");
		length -= (size_t)(comma + 1 - text);
		text = comma + 1;
	}
	image->owned = jf_base64_decode(text, length, &image->size);
	if (!image->owned)
		return jf_problem_field(&call->problem, "/image", "is not base64");
	image->bytes = image->owned;
	return true;
}

bool jf_ask_image_find(struct jf_call *call, struct jf_ask_image *image) {
	const char *type = jf_request_header(call->request, "Content-Type");
	const char *body;
	size_t size;

	body = jf_request_body(call->request, &size);
	if (type && jf_media_type_is(type, "multipart/form-data")) {
		if (!from_parts(call, image, body, size, type))
			return false;
	} else if (type && (jf_media_type_is(type, "image/png") || jf_media_type_is(type, "image/jpeg"))) {
		image->bytes = (const unsigned char *)body;
		image->size = size;
	} else if (size && !jf_params_add_json(&call->params, body, size) && !call->params.root) {
		return false;
	}
	if (!image->bytes)
		from_text(call, image);
	if (!image->bytes && !call->problem.set)
		jf_problem_field(&call->problem, "/image", "is missing");
	return true;
}

static bool unusable(struct jf_call *call, const char *message) {
	jf_problem_set(&call->problem, JF_PROBLEM_IMAGE, "The picture cannot be used: %.250s.", message);
	return jf_problem_field(&call->problem, "/image", "%.180s", message);
}

/* What is no picture we read: says what it is instead, and what to do. */
static bool refuse_other(struct jf_call *call, const struct jf_ask_image *image) {
	const char *what = jf_picture_guess(image->bytes, image->size);
	char message[200];

	if (!what)
		return unusable(call, "it is not a " JF_PICTURE_KINDS);
	if (strcmp(what, "a text") == 0)
		snprintf(message, sizeof(message),
		    "it is not a " JF_PICTURE_KINDS
		    " but the text \"%.*s\"; to send a file, curl wants a @ before its name: "
		    "-F image=@FILE",
		    (int)(image->size < 40 ? image->size : 40), (const char *)image->bytes);
	else if (strcmp(what, "an address") == 0)
		snprintf(message, sizeof(message),
		    "it is not a " JF_PICTURE_KINDS
		    " but an address; this server fetches nothing: send the picture itself");
	else if (strstr(what, "base64") || strcmp(what, "a data URL") == 0)
		snprintf(message, sizeof(message),
		    "it is %s; send the file's bytes here, or base64 as the field image of a JSON object", what);
	else
		snprintf(message, sizeof(message),
		    "it is not a " JF_PICTURE_KINDS " but %s; save it as one of these and send that", what);
	return unusable(call, message);
}

bool jf_ask_image_frame(
    struct jf_call *call, float *out, const struct jf_ask_image *image, const struct jf_network_config *config) {
	unsigned long max = (unsigned long)call->http->parts.conf->max_image_side;
	struct jf_image decoded = {0};
	struct jf_error err = {0};
	int64_t start = jf_clock_ns();
	uint32_t width, height;
	enum jf_err code;

	if (!jf_picture_is(image->bytes, image->size))
		return refuse_other(call, image);
	/* A PNG says its size before it is decoded; a JPEG's decoder looks at it first and reads large ones reduced. */
	if (jf_png_is(image->bytes, image->size) &&
	    jf_png_size(&width, &height, image->bytes, image->size, NULL) == JF_OK && (width > max || height > max)) {
		jf_error_set(&err, JF_ELIMIT, "it is %" PRIu32 " x %" PRIu32 " pixels, at most %lu x %lu are taken",
		    width, height, max, max);
		return unusable(call, err.message);
	}
	call->heavy = jf_picture_pixels(image->bytes, image->size);
	if (jf_heavy_is(call, call->heavy))
		return false;
	call->heavy = 0;
	code = jf_picture_decode(&decoded, image->bytes, image->size, &err);
	if (code == JF_OK && ((unsigned long)decoded.width > max || (unsigned long)decoded.height > max))
		code = jf_error_set(&err, JF_ELIMIT, "it is %d x %d pixels, at most %lu x %lu are taken", decoded.width,
		    decoded.height, max, max);
	if (code == JF_OK)
		code = jf_frame(out, &call->ask.framed, &decoded, config->height, config->width, config->image_channels,
		    &call->ask.framing, &err);
	jf_image_deinit(&decoded);
	call->ask.decode_ms = (double)(jf_clock_ns() - start) * 1e-6;
	if (code == JF_OK)
		return true;
	return code == JF_ENOMEM ? jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.")
				 : unusable(call, err.message);
}

void jf_ask_image_deinit(struct jf_ask_image *image) {
	free(image->owned);
	*image = (struct jf_ask_image){0};
}
