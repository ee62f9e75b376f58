/* The image of a classification: out of the body, through PNG and framing. */
#include <stdlib.h>
#include <string.h>

#include "core/pictures/png.h"
#include "daemon/api/call.h"
#include "daemon/http/multipart.h"
#include "daemon/http/text.h"

static bool from_parts(struct jf_call *call, const char *body, size_t size, const char *type) {
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
			if (!jf_params_add_text(&call->params, parts[i].name, parts[i].data, parts[i].size) &&
			    call->problem.type != JF_PROBLEM_INVALID)
				return false;
		} else if (call->ask.image) {
			jf_problem_field(&call->problem, "/image", "is given twice");
		} else {
			call->ask.image = parts[i].data;
			call->ask.image_size = parts[i].size;
		}
	}
	return true;
}

/* {"image": "<base64>"} or "data:image/png;base64,<base64>" */
static bool from_text(struct jf_call *call) {
	const char *text, *comma;
	size_t length;

	if (!jf_params_string(&call->params, "image", &text, &length))
		return !call->problem.set;
	if (strncmp(text, "data:", 5) == 0) {
		comma = memchr(text, ',', length);
		if (!comma || comma - text < 7 || strncmp(comma - 7, ";base64", 7) != 0)
			return jf_problem_field(&call->problem, "/image", "is a data URL without ;base64,");
		if (!jf_media_type_is(text + 5, "image/png"))
			return jf_problem_field(
			    &call->problem, "/image", "is a data URL of another type than image/png");
		length -= (size_t)(comma + 1 - text);
		text = comma + 1;
	}
	call->ask.owned_image = jf_base64_decode(text, length, &call->ask.image_size);
	if (!call->ask.owned_image)
		return jf_problem_field(&call->problem, "/image", "is not base64");
	call->ask.image = (const char *)call->ask.owned_image;
	return true;
}

bool jf_ask_image_begin(struct jf_call *call) {
	const char *type = jf_request_header(call->request, "Content-Type");
	const char *body;
	size_t size;

	body = jf_request_body(call->request, &size);
	if (type && jf_media_type_is(type, "multipart/form-data")) {
		if (!from_parts(call, body, size, type))
			return false;
	} else if (type && jf_media_type_is(type, "image/png")) {
		call->ask.image = body;
		call->ask.image_size = size;
	} else if (size && !jf_params_add_json(&call->params, body, size) && !call->params.root) {
		return false;
	}
	if (!call->ask.image)
		from_text(call);
	if (!call->ask.image && !call->problem.set)
		jf_problem_field(&call->problem, "/image", "is missing");
	return true;
}

static unsigned long big_endian(const unsigned char *p) {
	return (unsigned long)p[0] << 24 | (unsigned long)p[1] << 16 | (unsigned long)p[2] << 8 | p[3];
}

static bool unusable(struct jf_call *call, const char *message) {
	jf_problem_set(&call->problem, JF_PROBLEM_IMAGE, "The picture cannot be used: %.250s.", message);
	return jf_problem_field(&call->problem, "/image", "%.180s", message);
}

bool jf_ask_image_end(struct jf_call *call, const struct jf_model *model, struct jf_ask_inputs *inputs) {
	const struct jf_network_config *config = &model->config;
	unsigned long max = (unsigned long)call->http->parts.conf->max_image_side;
	const unsigned char *bytes = (const unsigned char *)call->ask.image;
	struct jf_image image = {0};
	struct jf_error err = {0};
	int64_t start = jf_job_now_ns();
	enum jf_err code;

	if (!jf_png_is(bytes, call->ask.image_size))
		return unusable(call, "it is not a PNG");
	if (call->ask.image_size >= 24 && (big_endian(bytes + 16) > max || big_endian(bytes + 20) > max)) {
		jf_error_set(&err, JF_ELIMIT, "it is %lu x %lu pixels, at most %lu x %lu are taken",
		    big_endian(bytes + 16), big_endian(bytes + 20), max, max);
		return unusable(call, err.message);
	}
	code = jf_png_decode(&image, bytes, call->ask.image_size, &err);
	if (code != JF_OK)
		return code == JF_ENOMEM ? jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.")
					 : unusable(call, err.message);
	inputs->image = calloc(jf_network_image_floats(config), sizeof(float));
	code = inputs->image ? jf_frame(inputs->image, &call->ask.framed, &image, config->height, config->width,
				   config->image_channels, &call->ask.framing, &err)
			     : jf_error_set(&err, JF_ENOMEM, "out of memory");
	jf_image_deinit(&image);
	call->ask.decode_ms = (double)(jf_job_now_ns() - start) * 1e-6;
	if (code == JF_OK)
		return true;
	return code == JF_ENOMEM ? jf_problem_set(&call->problem, JF_PROBLEM_INTERNAL, "Out of memory.")
				 : unusable(call, err.message);
}
