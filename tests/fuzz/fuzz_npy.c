/* Any bytes are a .npz or .npy data set within the limits or an error with a message. */
#include "core/files/dataset_read.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct jf_error err = {0};
	struct jf_dataset set;

	if (jf_dataset_parse_npy(&set, data, size, "f", "/nowhere", JF_DATASET_TRAIN, &err)) {
		REQUIRE(!set.pixels && !set.labels && err.message[0]);
		return 0;
	}
	REQUIRE(set.n > 0 && set.classes >= 1 && set.classes <= JF_DATASET_MAX_CLASSES);
	for (size_t i = 0; i < set.n; i++)
		REQUIRE(set.labels[i] < set.classes);
	jf_dataset_deinit(&set);
	return 0;
}
