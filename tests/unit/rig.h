/* What several unit tests of the engine need: small networks whose outputs are not zero. */
#ifndef JF_TESTS_RIG_H
#define JF_TESTS_RIG_H

#include "core/engine/model.h"

/* 12 x 8 grey, 5 classes, C = 8, T = 3. */
static inline struct jf_network_config rig_config(void) {
	struct jf_network_config c = jf_network_config_default();

	c.height = 12;
	c.width = 8;
	c.classes = 5;
	c.channels = 8;
	c.label_tokens = 3;
	return c;
}

/* A model whose zero-initialised layers are filled too. NULL when memory is short. */
struct jf_model *rig_model(const struct jf_network_config *config, unsigned seed);

#endif
