/* Any bytes are a picture within the limits or an error with a message; what was read can be written and read again. */
#include <string.h>

#include "core/pictures/png.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct jf_error err = {0};
	struct jf_image image, again;
	uint8_t *encoded = NULL;
	size_t encoded_size;

	if (jf_png_decode(&image, data, size, &err)) {
		REQUIRE(!image.pixels && err.message[0]);
		return 0;
	}
	REQUIRE(image.width <= JF_PNG_MAX_SIDE && image.height <= JF_PNG_MAX_SIDE);
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
