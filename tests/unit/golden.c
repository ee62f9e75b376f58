#include "tests/unit/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/engine/exec.h"

static void check(enum jf_err status, const struct jf_error *err) {
	if (status != JF_OK)
		fail_msg("%s", err->message);
}

static int number(const struct golden *g, const char *key) {
	const char *text = jf_safetensors_metadata(g->file, key);

	if (!text)
		fail_msg("%s has no metadata %s", jf_safetensors_origin(g->file), key);
	return (int)strtol(text, NULL, 10);
}

static float *tensor(const struct golden *g, const char *name, size_t count) {
	float *out = jf_alloc_floats(count);
	struct jf_error err;

	assert_non_null(out);
	check(jf_safetensors_read_f32(g->file, name, out, count, &err), &err);
	return out;
}

/* values() of make_golden.py */
static void fill(float *out, const struct jf_param *p) {
	const char *kind = strrchr(p->name, '.');
	uint32_t h0 = 2166136261u;
	double fan_in = 1.0;

	for (const char *c = p->name; *c; c++)
		h0 = (h0 ^ (unsigned char)*c) * 16777619u;
	for (int i = 0; i < p->rank - 1; i++)
		fan_in *= p->shape[i];
	for (size_t i = 0; i < p->size; i++) {
		uint32_t h = h0 + (uint32_t)i * 2654435761u;
		double u;

		h = (h ^ (h >> 16)) * 2246822507u;
		h = (h ^ (h >> 13)) * 3266489909u;
		h ^= h >> 16;
		u = h / 2147483648.0 - 1.0;
		if (!strcmp(kind, ".weight"))
			out[i] = (float)(u * (1.7 / sqrt(fan_in)));
		else if (!strcmp(kind, ".scale"))
			out[i] = (float)(1.0 + 0.3 * u);
		else if (!strcmp(kind, ".positions"))
			out[i] = (float)(0.5 * u);
		else
			out[i] = (float)(0.1 * u);
	}
}

static void read_config(struct golden *g) {
	g->config = (struct jf_network_config){.height = number(g, "height"),
	    .width = number(g, "width"),
	    .image_channels = number(g, "image_channels"),
	    .classes = number(g, "classes"),
	    .channels = number(g, "channels"),
	    .blocks = number(g, "blocks"),
	    .layers = number(g, "layers"),
	    .heads = number(g, "heads"),
	    .label_tokens = number(g, "label_tokens"),
	    .augment = number(g, "augment"),
	    .head = JF_HEAD_ENDPOINT};
	g->batch = number(g, "batch");
	g->largest_gradient = strtod(jf_safetensors_metadata(g->file, "largest_gradient"), NULL);
}

void golden_open(struct golden *g, const char *name) {
	const char *top = getenv("top_srcdir");
	size_t pixels, n, classes;
	struct jf_error err;
	char path[4096];

	memset(g, 0, sizeof(*g));
	snprintf(path, sizeof(path), "%s/tests/golden/%s.safetensors", top ? top : "..", name);
	g->file = jf_safetensors_open(path, &err);
	if (!g->file)
		fail_msg("%s", err.message);
	read_config(g);
	g->graph = jf_network_build(&g->config, &err);
	if (!g->graph)
		fail_msg("%s", err.message);
	/* the same number of parameters: the two networks have the same parts */
	assert_int_equal(g->graph->n_params_floats, number(g, "parameters"));
	g->params = jf_alloc_floats(g->graph->n_params_floats);
	assert_non_null(g->params);
	for (int i = 0; i < g->graph->n_params; i++)
		fill(g->params + g->graph->params[i].offset, &g->graph->params[i]);
	n = (size_t)g->batch;
	classes = (size_t)g->config.classes;
	pixels = jf_network_image_floats(&g->config);
	g->x = tensor(g, "x", n * pixels);
	g->y = tensor(g, "y", n * classes);
	g->t_img = tensor(g, "t_img", n);
	g->t_lab = tensor(g, "t_lab", n);
	g->target = tensor(g, "target", n * pixels);
	g->classes = tensor(g, "class", n);
	g->velocity = tensor(g, "velocity", n * pixels);
	g->logits = tensor(g, "logits", n * classes);
	if (g->config.augment)
		g->augment = tensor(g, "augment", n * (size_t)g->config.augment);
	check(jf_safetensors_read_f32(g->file, "loss", &g->loss, 1, &err), &err);
}

void golden_close(struct golden *g) {
	float *all[] = {
	    g->params, g->x, g->y, g->t_img, g->t_lab, g->augment, g->target, g->classes, g->velocity, g->logits};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
	jf_graph_destroy(g->graph);
	jf_safetensors_close(g->file);
	memset(g, 0, sizeof(*g));
}

const float *golden_gradient(const struct golden *g, const struct jf_param *param, size_t *count) {
	char name[64];
	const struct jf_tensor *t;

	snprintf(name, sizeof(name), "grad.%s", param->name);
	t = jf_safetensors_find(g->file, name);
	if (!t)
		fail_msg("no golden tensor %s", name);
	assert_int_equal(t->dtype, JF_DTYPE_F32);
	*count = t->size_bytes / sizeof(float);
	assert_true(*count == param->size || *count < param->size);
	return t->data;
}
