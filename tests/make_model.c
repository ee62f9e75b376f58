/* make_model FILE [start] [KEY=NUMBER]...: writes a small untrained checkpoint for tests of the programs.
 *
 * Keys: height, width, image_channels, classes, channels, blocks, layers, heads, label_tokens, augment, seed,
 * and names=A,B,... for the classes. Without
 * them: 28 x 28 x 1, 10 classes, the smallest network. All parameters are random, the zero-initialised ones too, so
 * that its answers depend on everything they should depend on.
 *
 * "start" makes the starting network that a training begins with, but for a little noise on each parameter. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/files/checkpoint.h"

static int set(struct jf_network_config *config, unsigned long *seed, const char *text) {
	const struct {
		const char *key;
		int *field;
	} keys[] = {{"height", &config->height}, {"width", &config->width}, {"image_channels", &config->image_channels},
	    {"classes", &config->classes}, {"channels", &config->channels}, {"blocks", &config->blocks},
	    {"layers", &config->layers}, {"heads", &config->heads}, {"label_tokens", &config->label_tokens},
	    {"augment", &config->augment}};
	const char *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : 0;
	char *end;
	unsigned long value = equals ? strtoul(equals + 1, &end, 10) : 0;

	if (!equals || end == equals + 1 || *end || value > 1000000)
		return 0;
	if (length == 4 && !strncmp(text, "seed", 4)) {
		*seed = value;
		return 1;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strlen(keys[i].key) == length && !strncmp(text, keys[i].key, length)) {
			*keys[i].field = (int)value;
			return 1;
		}
	}
	return 0;
}

static void randomise(struct jf_model *model, unsigned long seed) {
	for (int i = 0; i < model->graph->n_params; i++) {
		const struct jf_param *p = &model->graph->params[i];
		float *values = model->params + p->offset;
		double fan_in = p->rank > 1 ? (double)p->size / p->shape[p->rank - 1] : 100.0;
		float centre = p->init == JF_INIT_ONE ? 1.0f : 0.0f;

		jf_rng_normal(values, p->size, seed, JF_STREAM_INIT, (uint64_t)i);
		for (size_t j = 0; j < p->size; j++)
			values[j] = centre + values[j] * (float)(1.0 / sqrt(fan_in));
	}
}

static int disturb(struct jf_model *model, unsigned long seed) {
	size_t n = model->graph->n_params_floats;
	float *noise = malloc(n * sizeof(*noise));

	if (!noise)
		return 0;
	jf_rng_normal(noise, n, seed, JF_STREAM_INIT, 1);
	for (size_t i = 0; i < n; i++)
		model->params[i] += 0.02f * noise[i];
	free(noise);
	return 1;
}

/* "names=A,B,..." -> exactly as many as there are classes */
static int set_names(struct jf_model *model, char *text) {
	char *names[1000], *rest = NULL;
	int n = 0;

	for (char *name = strtok_r(text, ",", &rest); name && n < 1000; name = strtok_r(NULL, ",", &rest))
		names[n++] = name;
	return n == model->config.classes && !jf_model_set_class_names(model, (const char *const *)names);
}

int main(int argc, char **argv) {
	struct jf_network_config config = jf_network_config_default();
	struct jf_model *model;
	struct jf_error err = {0};
	unsigned long seed = 1;
	char *names = NULL;
	int start = argc > 2 && !strcmp(argv[2], "start");

	if (!start) {
		config.channels = 8;
		config.layers = 1;
		config.heads = 2;
		config.label_tokens = 2;
	}
	for (int i = 2 + start; i < argc; i++) {
		if (!strncmp(argv[i], "names=", 6)) {
			names = argv[i] + 6;
		} else if (!set(&config, &seed, argv[i])) {
			fprintf(stderr, "make_model: what is '%s'?\n", argv[i]);
			return 2;
		}
	}
	if (argc < 2) {
		fprintf(stderr, "usage: make_model FILE [start] [KEY=NUMBER]...\n");
		return 2;
	}
	model = jf_model_create(&config, seed, &err);
	if (model && start && !disturb(model, seed)) {
		fprintf(stderr, "make_model: out of memory\n");
		return 1;
	}
	if (model && !start)
		randomise(model, seed);
	if (model && names && !set_names(model, names)) {
		fprintf(stderr, "make_model: names must be one for each class\n");
		return 2;
	}
	if (!model || jf_model_set_name(model, "untrained") || jf_model_set_fact(model, "made_by", "make_model") ||
	    jf_checkpoint_save(model, argv[1], &err)) {
		fprintf(stderr, "make_model: %s\n", err.message);
		jf_model_unref(model);
		return 1;
	}
	jf_model_unref(model);
	return 0;
}
