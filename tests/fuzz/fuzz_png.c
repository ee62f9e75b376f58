/* Any bytes are a picture within the limits or an error with a message; what was read can be written and read again. */
#include <string.h>

#include "core/pictures/framing.h"
#include "core/pictures/png.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static float out[28 * 28 * 3], same[28 * 28 * 3];
	const struct jf_framing_options none = {JF_PREPROCESS_NONE, JF_INVERT_NO};
	struct jf_framing_report report;
	struct jf_error err = {0};
	struct jf_image image, again;
	uint8_t *encoded = NULL;
	size_t encoded_size;

	if (jf_png_decode(&image, data, size, &err)) {
		REQUIRE(!image.pixels && err.message[0]);
		return 0;
	}
	REQUIRE(image.width <= JF_PNG_MAX_SIDE && image.height <= JF_PNG_MAX_SIDE);
	/* framed as its rows come it is the same picture */
	REQUIRE(jf_frame_picture(out, &report, data, size, 0, 28, 28, 3, &none, &err) == JF_OK);
	REQUIRE(report.source_height == image.height && report.source_width == image.width);
	REQUIRE(jf_frame(same, NULL, &image, 28, 28, 3, &none, &err) == JF_OK);
	for (int i = 0; i < 28 * 28 * 3; i++)
		REQUIRE(out[i] >= -1.0f && out[i] <= 1.0f && out[i] - same[i] < 1e-4f && same[i] - out[i] < 1e-4f);
	if (jf_image_size(&image) <= 1 << 16) {
		REQUIRE(!jf_png_encode(&encoded, &encoded_size, &image, &err));
		REQUIRE(!jf_png_decode(&again, encoded, encoded_size, &err));
		REQUIRE(memcmp(again.pixels, image.pixels, jf_image_size(&image)) == 0);
		jf_image_deinit(&again);
	}
	free(encoded);
	jf_image_deinit(&image);
	return 0;
}
