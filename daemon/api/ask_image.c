#include "daemon/api/ask_image.h"

#include <inttypes.h>
#include <limits.h>
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
	    "is not a known name for a file: the picture's field is image (curl -F "
	    "image=@FILE)");
	return true;
}

/* Room for one more picture, or NULL after noting a problem. */
static struct jf_ask_image *add(struct jf_call *call, struct jf_ask_images *images) {
	int max = call->http->parts.conf->max_count;
	struct jf_ask_image *grown;

	if (images->n == max) {
		jf_problem_field(&call->problem, "/images", "has more than %d pictures", max);
		return NULL;
	}
	grown = realloc(images->item, (size_t)(images->n + 1) * sizeof(*grown));
	if (!grown) {
		jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.");
		return NULL;
	}
	images->item = grown;
	grown[images->n] = (struct jf_ask_image){0};
	return &grown[images->n++];
}

static bool add_bytes(struct jf_call *call, struct jf_ask_images *images, const char *data, size_t size) {
	struct jf_ask_image *image = add(call, images);

	if (!image)
		return false;
	image->bytes = (const unsigned char *)data;
	image->size = size;
	return true;
}

static bool takes_mask(const struct jf_call *call) {
	return call->ask.question == JF_QUESTION_EDIT;
}

/* Parts named image, or images for a list whatever its length. */
static bool from_parts(
    struct jf_call *call, struct jf_ask_images *images, const char *body, size_t size, const char *type) {
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
		bool list = strcmp(parts[i].name, "images") == 0;

		if (takes_mask(call) && strcmp(parts[i].name, "mask") == 0) {
			if (images->masked)
				return jf_problem_field(&call->problem, "/mask", "is given twice");
			images->masked = true;
			images->mask.bytes = (const unsigned char *)parts[i].data;
			images->mask.size = parts[i].size;
			continue;
		}
		if (list || strcmp(parts[i].name, "image") == 0) {
			if (!add_bytes(call, images, parts[i].data, parts[i].size))
				return false;
			images->many = images->many || list || images->n > 1;
			continue;
		}
		if (is_misnamed(call, &parts[i]))
			continue;
		if (!jf_params_add_text(&call->params, parts[i].name, parts[i].data, parts[i].size) &&
		    call->problem.type != JF_PROBLEM_INVALID)
			return false;
	}
	return true;
}

/* "<base64>" or "data:image/png;base64,<base64>"; the bytes say what they are, whatever type is declared. */
static void from_text(struct jf_ask_image *image, const char *text, size_t length) {
	const char *comma;

	if (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0) {
		snprintf(image->fault, sizeof(image->fault),
		    "is an address, \"%.60s\"; this server fetches nothing: send the picture itself", text);
		return;
	}
	if (strncasecmp(text, "data:", 5) == 0) {
		comma = memchr(text, ',', length);
		if (!comma || comma - text < 12 || strncasecmp(comma - 7, ";base64", 7) != 0) {
			snprintf(image->fault, sizeof(image->fault), "is a data URL without ;base64,");
			return;
		}
		length -= (size_t)(comma + 1 - text);
		text = comma + 1;
	}
	image->owned = jf_base64_decode(text, length, &image->size);
	image->bytes = image->owned;
	if (!image->owned)
		snprintf(image->fault, sizeof(image->fault), "is not base64");
}

/* {"images": [...]} */
static bool from_list(struct jf_call *call, struct jf_ask_images *images) {
	const struct jf_json *list = jf_json_get(call->params.root, "images");
	struct jf_error err = {0};
	const char *text;
	size_t length;

	jf_params_touch(&call->params, "images");
	jf_params_touch(&call->params, "image");
	if (jf_params_has(&call->params, "image"))
		return jf_problem_field(&call->problem, "/image", "cannot be given together with images");
	if (jf_json_type(list) != JF_JSON_ARRAY || jf_json_size(list) == 0)
		return jf_problem_field(&call->problem, "/images", "must be an array of pictures in base64");
	images->many = true;
	for (size_t i = 0; i < jf_json_size(list); i++) {
		struct jf_ask_image *image = add(call, images);

		if (!image)
			return false;
		if (jf_json_read_string(jf_json_at(list, i), &text, &length, &err) == JF_OK)
			from_text(image, text, length);
		else
			snprintf(image->fault, sizeof(image->fault), "%.150s", err.message);
	}
	return true;
}

static void mask_from_field(struct jf_call *call, struct jf_ask_images *images) {
	const char *text;
	size_t length;

	if (images->masked || !jf_params_string(&call->params, "mask", &text, &length))
		return;
	images->masked = true;
	from_text(&images->mask, text, length);
}

/* Pictures in the fields of a JSON object, or of a form that holds no file. */
static bool from_fields(struct jf_call *call, struct jf_ask_images *images) {
	struct jf_ask_image *image;
	const char *text;
	size_t length;

	if (call->params.root && jf_params_has(&call->params, "images"))
		return from_list(call, images);
	if (!jf_params_string(&call->params, "image", &text, &length))
		return true;
	image = add(call, images);
	if (!image)
		return false;
	from_text(image, text, length);
	if (*image->fault)
		jf_problem_field(&call->problem, "/image", "%s", image->fault);
	return true;
}

bool jf_ask_image_find(struct jf_call *call, struct jf_ask_images *images) {
	const char *type = jf_request_header(call->request, "Content-Type");
	const char *body;
	size_t size;

	body = jf_request_body(call->request, &size);
	if (type && jf_media_type_is(type, "multipart/form-data")) {
		if (!from_parts(call, images, body, size, type))
			return false;
	} else if (type && (jf_media_type_is(type, "image/png") || jf_media_type_is(type, "image/jpeg"))) {
		if (!add_bytes(call, images, body, size))
			return false;
	} else if (size && !jf_params_add_json(&call->params, body, size) && !call->params.root) {
		return false;
	}
	if (takes_mask(call))
		mask_from_field(call, images);
	if (images->n == 0 && !from_fields(call, images))
		return false;
	if (images->many && call->ask.question == JF_QUESTION_EDIT)
		return jf_problem_field(&call->problem, "/image", "is one picture: an edit takes no list");
	if (images->n == 0 && !call->problem.set)
		jf_problem_field(&call->problem, "/image", "is missing");
	return true;
}

bool jf_ask_image_refuse(struct jf_call *call, const struct jf_ask_images *images, int i, const char *why) {
	char pointer[32] = "/image";

	if (images->many)
		snprintf(pointer, sizeof(pointer), "/images/%d", i);
	if (images->many)
		jf_problem_set(&call->problem, JF_PROBLEM_IMAGE, "None of the pictures can be used.");
	else
		jf_problem_set(&call->problem, JF_PROBLEM_IMAGE, "The picture cannot be used: %.250s.", why);
	return jf_problem_field(&call->problem, pointer, "%.180s", why);
}

/* A body that is not a picture we can read: says what it is instead, and what to do. */
static enum jf_err refuse_other(const struct jf_ask_image *image, struct jf_error *err) {
	const char *what = jf_picture_guess(image->bytes, image->size);

	if (!what)
		return jf_error_set(err, JF_EFORMAT, "it is not a " JF_PICTURE_KINDS);
	if (strcmp(what, "a text") == 0)
		return jf_error_set(err, JF_EFORMAT,
		    "it is not a " JF_PICTURE_KINDS
		    " but the text \"%.*s\"; to send a file, curl wants a @ before its name: -F image=@FILE",
		    (int)(image->size < 40 ? image->size : 40), (const char *)image->bytes);
	if (strcmp(what, "an address") == 0)
		return jf_error_set(err, JF_EFORMAT,
		    "it is not a " JF_PICTURE_KINDS
		    " but an address; this server fetches nothing: send the picture itself");
	if (strstr(what, "base64") || strcmp(what, "a data URL") == 0)
		return jf_error_set(err, JF_EFORMAT,
		    "it is %s; send the file's bytes here, or base64 as the field image of a JSON object", what);
	return jf_error_set(
	    err, JF_EFORMAT, "it is not a " JF_PICTURE_KINDS " but %s; save it as one of these and send that", what);
}

/* Whether it says of itself that it is larger than this daemon takes. A PNG does so before it is decoded; a JPEG's
 * decoder looks at it first and reads large ones reduced. */
static bool is_oversized(
    const struct jf_call *call, const struct jf_ask_image *image, uint32_t *width, uint32_t *height) {
	uint32_t max = (uint32_t)call->http->parts.conf->max_image_side;

	return jf_png_is(image->bytes, image->size) &&
	       jf_png_size(width, height, image->bytes, image->size, NULL) == JF_OK && (*width > max || *height > max);
}

size_t jf_ask_image_weight(const struct jf_call *call, const struct jf_ask_image *image) {
	uint32_t width, height;

	if (!image->bytes || is_oversized(call, image, &width, &height))
		return 0;
	return jf_heavy_weight(jf_picture_pixels(image->bytes, image->size));
}

enum jf_err jf_ask_image_frame(struct jf_call *call, float *out, struct jf_framing_report *report,
    const struct jf_ask_image *image, const struct jf_network_config *config, struct jf_error *err) {
	int max = call->http->parts.conf->max_image_side;
	int64_t start = jf_clock_ns();
	uint32_t width, height;
	enum jf_err rc;

	if (!image->bytes)
		return jf_error_set(err, JF_EFORMAT, "%s", image->fault);
	if (!jf_picture_is(image->bytes, image->size))
		return refuse_other(image, err);
	if (is_oversized(call, image, &width, &height))
		return jf_error_set(err, JF_ELIMIT, "it is %" PRIu32 " x %" PRIu32 " pixels, at most %d x %d are taken",
		    width, height, max, max);
	rc = jf_frame_picture(out, report, image->bytes, image->size, max, config->height, config->width,
	    config->image_channels, &call->ask.framing, err);
	call->ask.decode_ms += (double)(jf_clock_ns() - start) * 1e-6;
	return rc;
}

enum jf_err jf_ask_image_mask(
    bool *redraw, const struct jf_ask_image *mask, const struct jf_network_config *config, struct jf_error *err) {
	struct jf_image decoded = {0};
	uint32_t width, height;
	enum jf_err rc;

	if (!mask->bytes)
		return jf_error_set(err, JF_EFORMAT, "%s", mask->fault);
	if (!jf_png_is(mask->bytes, mask->size))
		return jf_error_set(err, JF_EFORMAT, "is not a PNG");
	/* by its head first: a large one is not decoded */
	if (jf_png_size(&width, &height, mask->bytes, mask->size, NULL) == JF_OK && width <= INT_MAX &&
	    height <= INT_MAX) {
		rc = jf_edit_check_mask((int)height, (int)width, config->height, config->width, err);
		if (rc != JF_OK)
			return rc;
	}
	rc = jf_png_decode(&decoded, mask->bytes, mask->size, err);
	if (rc != JF_OK)
		jf_error_prefix(err, "cannot be read");
	else
		rc = jf_edit_mask(redraw, &decoded, config->height, config->width, err);
	jf_image_deinit(&decoded);
	return rc;
}

void jf_ask_image_deinit(struct jf_ask_images *images) {
	for (int i = 0; i < images->n; i++)
		free(images->item[i].owned);
	free(images->item);
	free(images->mask.owned);
	*images = (struct jf_ask_images){0};
}
