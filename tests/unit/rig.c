#include "tests/unit/rig.h"

#include "core/base/rng.h"

struct jf_model *rig_model(const struct jf_network_config *config, unsigned seed) {
	struct jf_error err;
	struct jf_model *model = jf_model_create(config, seed, &err);

	if (!model)
		return NULL;
	for (int i = 0; i < model->graph->n_params; i++) {
		const struct jf_param *p = &model->graph->params[i];
		float *values = model->params + p->offset;

		if (p->init != JF_INIT_ZERO || p->rank < 2)
			continue;
		jf_rng_normal(values, p->size, seed, JF_STREAM_INIT, 1000 + (uint64_t)i);
		for (size_t j = 0; j < p->size; j++)
			values[j] *= 0.1f;
	}
	if (jf_model_pack(model, &err) != JF_OK) {
		jf_model_unref(model);
		return NULL;
	}
	return model;
}
