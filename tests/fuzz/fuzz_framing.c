/* Height, width, options, then pixels (repeated as needed): a framed picture in [-1, 1], or a refusal. */
#include "core/pictures/framing.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static float out[28 * 28 * 3];
	struct jf_framing_options options;
	struct jf_framing_report report;
	struct jf_image image;
	enum jf_err code;

	if (size < 4 || jf_image_init(&image, 1 + data[0] % 128, 1 + data[1] % 128, data[2] & 1 ? 3 : 1, NULL))
		return 0;
	options.preprocess = data[2] & 2 ? JF_PREPROCESS_NONE : JF_PREPROCESS_MNIST;
	options.invert = (enum jf_invert)((data[2] >> 2) % JF_N_INVERT);
	for (size_t i = 0; i < jf_image_size(&image); i++)
		image.pixels[i] = data[3 + i % (size - 3)];
	code = jf_frame(out, &report, &image, 28, 28, data[2] & 16 ? 3 : 1, &options, NULL);
	REQUIRE(code == JF_OK || code == JF_EEMPTY);
	for (int i = 0; code == JF_OK && i < 28 * 28 * (data[2] & 16 ? 3 : 1); i++)
		REQUIRE(out[i] >= -1.0f && out[i] <= 1.0f);
	if (code == JF_OK) {
		REQUIRE(report.ink_y >= 0 && report.ink_y + report.ink_height <= image.height && report.ink_height > 0);
		REQUIRE(report.ink_x >= 0 && report.ink_x + report.ink_width <= image.width && report.ink_width > 0);
	}
	jf_image_deinit(&image);
	return 0;
}
