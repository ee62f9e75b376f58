#include "core/engine/network.h"

#include <stdarg.h>
#include <stdio.h>

#define GROUPS 8
#define TIME_FEATURES 64

struct jf_network_config jf_network_config_default(void) {
	return (struct jf_network_config){.height = 28,
	    .width = 28,
	    .image_channels = 1,
	    .classes = 10,
	    .channels = 16,
	    .blocks = 1,
	    .layers = 2,
	    .heads = 4,
	    .label_tokens = 8,
	    .augment = 0,
	    .head = JF_HEAD_ENDPOINT};
}

static enum jf_err check_range(const char *field, int value, int low, int high, struct jf_error *err) {
	if (value >= low && value <= high)
		return JF_OK;
	return jf_error_set(err, JF_EINVAL, "%s is %d; it must be %d to %d", field, value, low, high);
}

enum jf_err jf_network_config_check(const struct jf_network_config *c, struct jf_error *err) {
	const struct {
		const char *field;
		int value, low, high;
	} ranges[] = {
	    {"height", c->height, 8, 256},
	    {"width", c->width, 8, 256},
	    {"image_channels", c->image_channels, 1, 3},
	    {"classes", c->classes, 2, JF_NETWORK_MAX_CLASSES},
	    {"channels", c->channels, 8, 256},
	    {"blocks", c->blocks, 1, 8},
	    {"layers", c->layers, 1, 32},
	    {"heads", c->heads, 1, 64},
	    {"label_tokens", c->label_tokens, 1, 64},
	    {"augment", c->augment, 0, 64},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (check_range(ranges[i].field, ranges[i].value, ranges[i].low, ranges[i].high, err) != JF_OK)
			return JF_EINVAL;
	if (c->height % 4 || c->width % 4)
		return jf_error_set(
		    err, JF_EINVAL, "image size %d x %d: both must be multiples of 4", c->height, c->width);
	if (c->image_channels == 2)
		return jf_error_set(err, JF_EINVAL, "image_channels is 2; it must be 1 (grey) or 3 (RGB)");
	if (c->channels % GROUPS)
		return jf_error_set(err, JF_EINVAL, "channels is %d; it must be a multiple of %d", c->channels, GROUPS);
	if (4 * c->channels % c->heads)
		return jf_error_set(
		    err, JF_EINVAL, "heads is %d; it must divide the token width %d", c->heads, 4 * c->channels);
	if (c->head != JF_HEAD_ENDPOINT && c->head != JF_HEAD_VELOCITY)
		return jf_error_set(err, JF_EINVAL, "label_head is neither endpoint nor velocity");
	return JF_OK;
}

/* The nodes that several parts of the network read. */
struct trunk {
	struct jf_graph *g;
	const struct jf_network_config *c;
	int time_img, time_lab; /* tv_img, tv_lab */
	int silu_img;           /* s_img */
	int h0, h1;             /* skips */
	int img, lab;           /* token sets */
	int features;           /* JF_NONE before the first */
};

static const char *namef(char buffer[48], const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *namef(char buffer[48], const char *format, ...) {
	va_list args;

	va_start(args, format);
	vsnprintf(buffer, 48, format, args);
	va_end(args);
	return buffer;
}
#define NAME(...) namef((char[48]){0}, __VA_ARGS__)

static struct jf_shape vec(int channels) {
	return (struct jf_shape){1, 1, channels, false};
}

static struct jf_shape with_channels(const struct jf_graph *g, int node, int channels) {
	struct jf_shape shape = g->status == JF_OK ? g->nodes[node].shape : vec(1);

	shape.channels = channels;
	shape.padded = false;
	return shape;
}

static int time_vector(struct jf_graph *g, const char *name, int t, int width) {
	int x = jf_g_time_features(g, NAME("%s.features", name), t, TIME_FEATURES);

	x = jf_g_linear(g, NAME("%s.fc1", name), x, vec(width), JF_NONE, JF_INIT_FAN_IN);
	x = jf_g_silu(g, NAME("%s.silu", name), x);
	return jf_g_linear(g, NAME("%s.fc2", name), x, vec(width), JF_NONE, JF_INIT_FAN_IN);
}

/* x + conv(silu(norm(conv(silu(norm(x))) + time))), the residual block of doc/architecture.md. */
static int residual_block(struct jf_graph *g, const char *name, int x, int channels, int time) {
	int in = g->status == JF_OK ? g->nodes[x].shape.channels : channels;
	int vector = jf_g_linear(g, NAME("%s.time", name), time, vec(channels), JF_NONE, JF_INIT_FAN_IN);
	int skip = x;
	int h;

	h = jf_g_group_norm(g, NAME("%s.norm1", name), x, GROUPS, true, true);
	h = jf_g_conv3x3(g, NAME("%s.conv1", name), h, channels, 1, vector, JF_NONE, JF_INIT_FAN_IN);
	h = jf_g_group_norm(g, NAME("%s.norm2", name), h, GROUPS, true, true);
	if (in != channels)
		skip = jf_g_linear(g, NAME("%s.skip", name), x, with_channels(g, x, channels), JF_NONE, JF_INIT_FAN_IN);
	return jf_g_conv3x3(g, NAME("%s.conv2", name), h, channels, 1, JF_NONE, skip, JF_INIT_ZERO);
}

static int stage(struct trunk *n, const char *name, int x, int channels, int time) {
	for (int b = 0; b < n->c->blocks; b++)
		x = residual_block(n->g, NAME("%s.%d", name, b), x, channels, time);
	return x;
}

static int down(struct trunk *n, const char *name, int x, int channels, int stride) {
	x = jf_g_pad(n->g, NAME("%s.pad", name), x);
	return jf_g_conv3x3(n->g, name, x, channels, stride, JF_NONE, JF_NONE, JF_INIT_FAN_IN);
}

static void build_clocks(struct trunk *n) {
	struct jf_graph *g = n->g;
	int width = 4 * n->c->channels;
	int t_img = jf_g_input(g, "t_img", JF_INPUT_TIME_IMG, vec(1));
	int t_lab = jf_g_input(g, "t_lab", JF_INPUT_TIME_LAB, vec(1));

	n->time_img = time_vector(g, "img_time", t_img, width);
	n->time_lab = time_vector(g, "lab_time", t_lab, width);
	if (n->c->augment) {
		int a = jf_g_input(g, "augmentation", JF_INPUT_AUGMENT, vec(n->c->augment));
		n->time_img = jf_g_linear(g, "augment", a, vec(width), n->time_img, JF_INIT_FAN_IN);
	}
	n->silu_img = jf_g_silu(g, "img_time.out", n->time_img);
}

static void build_encoder(struct trunk *n) {
	const struct jf_network_config *c = n->c;
	struct jf_shape image = {c->height, c->width, c->image_channels, false};
	int x = jf_g_input(n->g, "image", JF_INPUT_IMAGE, image);

	x = down(n, "conv_in", x, c->channels, 1);
	n->h0 = stage(n, "enc1", x, c->channels, n->silu_img);
	n->h1 = stage(n, "enc2", down(n, "down1", n->h0, 2 * c->channels, 2), 2 * c->channels, n->silu_img);
	x = stage(n, "enc3", down(n, "down2", n->h1, 4 * c->channels, 2), 4 * c->channels, n->silu_img);
	n->img = jf_g_add_rows(n->g, "img_pos", x, n->time_img);
}

static void build_label_tokens(struct trunk *n) {
	struct jf_graph *g = n->g;
	int width = 4 * n->c->channels;
	int x = jf_g_input(g, "label", JF_INPUT_LABEL, vec(n->c->classes));

	x = jf_g_linear(g, "lab_in.fc1", x, vec(width), JF_NONE, JF_INIT_FAN_IN);
	x = jf_g_silu(g, "lab_in.silu", x);
	x = jf_g_linear(
	    g, "lab_in.fc2", x, (struct jf_shape){n->c->label_tokens, 1, width, false}, JF_NONE, JF_INIT_FAN_IN);
	n->lab = jf_g_add_rows(g, "lab_pos", x, n->time_lab);
}

static int branch_mlp(struct trunk *n, const char *branch, int x) {
	struct jf_graph *g = n->g;
	int width = 4 * n->c->channels;
	int h = jf_g_layer_norm(g, NAME("%s_norm2", branch), x);

	h = jf_g_linear(g, NAME("%s_fc1", branch), h, with_channels(g, h, 2 * width), JF_NONE, JF_INIT_FAN_IN);
	h = jf_g_silu(g, NAME("%s_silu", branch), h);
	return jf_g_linear(g, NAME("%s_fc2", branch), h, with_channels(g, x, width), x, JF_INIT_ZERO);
}

static void build_bottleneck_layer(struct trunk *n, int layer) {
	struct jf_graph *g = n->g;
	int width = 4 * n->c->channels;
	const char *img = NAME("mid%d.img", layer);
	const char *lab = NAME("mid%d.lab", layer);
	int qi = jf_g_layer_norm(g, NAME("%s_norm1", img), n->img);
	int ql = jf_g_layer_norm(g, NAME("%s_norm1", lab), n->lab);
	int ai, al;

	qi = jf_g_linear(g, NAME("%s_qkv", img), qi, with_channels(g, qi, 3 * width), JF_NONE, JF_INIT_FAN_IN);
	ql = jf_g_linear(g, NAME("%s_qkv", lab), ql, with_channels(g, ql, 3 * width), JF_NONE, JF_INIT_FAN_IN);
	ai = jf_g_attention(g, NAME("%s_attention", img), qi, qi, ql, n->c->heads);
	al = jf_g_attention(g, NAME("%s_attention", lab), ql, qi, ql, n->c->heads);
	n->img = jf_g_linear(g, NAME("%s_proj", img), ai, with_channels(g, ai, width), n->img, JF_INIT_ZERO);
	n->lab = jf_g_linear(g, NAME("%s_proj", lab), al, with_channels(g, al, width), n->lab, JF_INIT_ZERO);
	n->img = branch_mlp(n, img, n->img);
	n->lab = branch_mlp(n, lab, n->lab);
}

/* 1x1 convolution to 4 times `channels`, depth to space, then the skip of that resolution beside it. */
static int up(struct trunk *n, const char *name, int x, struct jf_shape out, int skip) {
	struct jf_shape wide = {out.rows / 2, out.columns / 2, 4 * out.channels, false};

	x = jf_g_linear(n->g, name, x, wide, JF_NONE, JF_INIT_FAN_IN);
	x = jf_g_depth_to_space(n->g, NAME("%s.space", name), x);
	return jf_g_concat(n->g, NAME("%s.concat", name), x, skip);
}

static int build_decoder(struct trunk *n) {
	struct jf_graph *g = n->g;
	const struct jf_network_config *c = n->c;
	int mean = jf_g_mean_rows(g, "lab_mean", n->lab);
	int s = jf_g_linear(g, "dec_label", mean, vec(4 * c->channels), n->time_img, JF_INIT_FAN_IN);
	int u;

	s = jf_g_silu(g, "dec_time", s);
	u = up(n, "up1", n->img, (struct jf_shape){c->height / 2, c->width / 2, 2 * c->channels, false}, n->h1);
	u = stage(n, "dec2", u, 2 * c->channels, s);
	u = up(n, "up2", u, (struct jf_shape){c->height, c->width, c->channels, false}, n->h0);
	u = stage(n, "dec1", u, c->channels, s);
	u = jf_g_group_norm(g, "norm_out", u, GROUPS, true, true);
	return jf_g_conv3x3(g, "conv_out", u, c->image_channels, 1, JF_NONE, JF_NONE, JF_INIT_ZERO);
}

static int build_label_head(struct trunk *n) {
	struct jf_graph *g = n->g;
	int x = jf_g_layer_norm(g, "head.norm", n->lab);

	x = jf_g_linear(g, "head.fc1", x, vec(4 * n->c->channels), JF_NONE, JF_INIT_FAN_IN);
	x = jf_g_silu(g, "head.silu", x);
	return jf_g_linear(g, "head.fc2", x, vec(n->c->classes), JF_NONE, JF_INIT_ZERO);
}

/* The mean of a token set, beside those collected so far. */
static void collect(struct trunk *n, const char *name, int tokens) {
	int mean = jf_g_mean_rows(n->g, NAME("features.%s", name), tokens);

	n->features =
	    n->features == JF_NONE ? mean : jf_g_concat(n->g, NAME("features.%s.concat", name), n->features, mean);
}

#define FEATURE_LAYERS 3 /* the first, the last and one half way */

static int feature_layers(const struct jf_network_config *config) {
	return config->layers < FEATURE_LAYERS ? config->layers : FEATURE_LAYERS;
}

static bool has_features(const struct jf_network_config *config, int layer) {
	int n = feature_layers(config);

	for (int i = 0; i < n; i++)
		if (layer == (n == 1 ? 0 : i * (config->layers - 1) / (n - 1)))
			return true;
	return false;
}

int jf_network_features(const struct jf_network_config *config) {
	return (1 + 2 + feature_layers(config) * 2 * 4) * config->channels;
}

/* The image's tokens are taken as they enter a layer: what the last layer makes of them, no label needs. */
static void build_bottleneck(struct trunk *n) {
	n->features = JF_NONE;
	collect(n, "enc1", n->h0);
	collect(n, "enc2", n->h1);
	for (int l = 0; l < n->c->layers; l++) {
		if (has_features(n->c, l))
			collect(n, NAME("img%d", l), n->img);
		build_bottleneck_layer(n, l);
		if (has_features(n->c, l))
			collect(n, NAME("lab%d", l), n->lab);
	}
}

size_t jf_network_image_floats(const struct jf_network_config *config) {
	return (size_t)config->height * (size_t)config->width * (size_t)config->image_channels;
}

struct jf_graph *jf_network_build(const struct jf_network_config *config, struct jf_error *err) {
	struct trunk n = {.c = config};

	if (jf_network_config_check(config, err) != JF_OK)
		return NULL;
	n.g = jf_graph_create();
	if (!n.g) {
		jf_error_set(err, JF_ENOMEM, "out of memory for the network's graph");
		return NULL;
	}
	build_clocks(&n);
	build_encoder(&n);
	build_label_tokens(&n);
	build_bottleneck(&n);
	n.g->outputs[JF_OUTPUT_FEATURES] = n.features;
	n.g->outputs[JF_OUTPUT_IMAGE] = build_decoder(&n);
	n.g->outputs[JF_OUTPUT_LABEL] = build_label_head(&n);
	if (n.g->status != JF_OK) {
		jf_error_set(err, n.g->status, "%s", n.g->error.message);
		jf_graph_destroy(n.g);
		return NULL;
	}
	return n.g;
}
