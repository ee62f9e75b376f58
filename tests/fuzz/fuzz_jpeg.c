/* Any bytes are a picture within the limits or an error with a message. */
#include "core/pictures/jpeg.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct jf_error err = {0};
	struct jf_image image;

	if (jf_rows_collect(&image, jf_jpeg_rows, data, size, &err)) {
		REQUIRE(!image.pixels && err.message[0]);
		return 0;
	}
	REQUIRE(image.width <= JF_JPEG_REDUCE_ABOVE && image.height <= JF_JPEG_REDUCE_ABOVE);
	REQUIRE(image.channels == 1 || image.channels == 3);
	jf_image_deinit(&image);
	return 0;
}
