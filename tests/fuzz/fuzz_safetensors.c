/* Any bytes are a file whose tensors lie inside it, one after the other, or an error; then the same as a checkpoint. */
#include "core/files/checkpoint.h"
#include "core/files/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct jf_error err = {0};
	struct jf_safetensors *file = jf_safetensors_parse(data, size, "input", &err);
	volatile uint8_t last = 0;

	if (!file) {
		REQUIRE(err.message[0]);
		return 0;
	}
	for (size_t i = 0; i < jf_safetensors_count(file); i++) {
		const struct jf_tensor *tensor = jf_safetensors_at(file, i);
		const uint8_t *bytes = tensor->data;

		REQUIRE(jf_safetensors_find(file, tensor->name) == tensor);
		REQUIRE(bytes >= data && bytes + tensor->size_bytes <= data + size);
		if (tensor->size_bytes > 0)
			last = bytes[tensor->size_bytes - 1];
	}
	(void)last;
	jf_safetensors_close(file);
	jf_model_unref(jf_checkpoint_load_buffer(data, size, "input", &err));
	return 0;
}
