/* Any bytes are an IDX array whose values all lie in the file, or an error with a message. */
#include <string.h>

#include "core/files/idx.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	unsigned char *bytes = malloc(size ? size : 1);
	struct jf_error err = {0};
	struct jf_idx idx;
	size_t count = 1, sum = 0;

	REQUIRE(bytes);
	memcpy(bytes, data, size);
	if (jf_idx_parse(&idx, bytes, size, "input", &err)) {
		REQUIRE(!idx.memory && err.message[0]);
		free(bytes);
		return 0;
	}
	for (int i = 0; i < idx.rank; i++)
		count *= idx.shape[i];
	REQUIRE(idx.rank >= 1 && count > 0 && idx.values >= bytes && idx.values + count == bytes + size);
	for (size_t i = 0; i < count; i++)
		sum += idx.values[i];
	REQUIRE(sum <= count * 255);
	jf_idx_deinit(&idx);
	return 0;
}
