/* make_model SEED FILE: a checkpoint of the starting network with random weights, none of them zero, for tests of the
 * programs that need not know digits. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "core/files/checkpoint.h"

int main(int argc, char **argv) {
	struct jf_error error = {.code = JF_EINVAL, .message = "usage: make_model SEED FILE"};
	struct jf_network_config config = jf_network_config_default();
	struct jf_model *model = NULL;
	float *noise = NULL;
	int status = 1;
	if (argc != 3)
		goto out;
	uint64_t seed = strtoull(argv[1], NULL, 10);
	model = jf_model_create(&config, seed, &error);
	if (!model)
		goto out;
	size_t n = model->graph->n_params_floats;
	noise = malloc(n * sizeof(*noise));
	if (!noise)
		goto out;
	jf_rng_normal(noise, n, seed, JF_STREAM_INIT, 1);
	for (size_t i = 0; i < n; i++)
		model->params[i] += 0.02f * noise[i];
	if (jf_checkpoint_save(model, argv[2], &error) == JF_OK)
		status = 0;
out:
	if (status)
		fprintf(stderr, "make_model: %s\n", error.message);
	free(noise);
	jf_model_unref(model);
	return status;
}
