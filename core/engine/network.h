/* The joint network: its configuration, its graph and its parameters' names.
 * What the network is, block by block: doc/architecture.md. */
#ifndef JF_CORE_ENGINE_NETWORK_H
#define JF_CORE_ENGINE_NETWORK_H

#include "core/base/error.h"
#include "core/engine/graph.h"

#define JF_NETWORK_MAX_CLASSES 1000

/* How the label head's K outputs are to be read. */
enum jf_label_head {
	JF_HEAD_ENDPOINT, /* logits; E[y0] = 2 softmax - 1, v = (y_t - E[y0]) / t  (CatFlow, arXiv:2406.04843) */
	JF_HEAD_VELOCITY, /* the velocity itself, as in the write-up; E[y0] = y_t - t v */
};

struct jf_network_config {
	int height, width;  /* pixels; multiples of 4, 8 to 256 */
	int image_channels; /* 1 or 3 */
	int classes;        /* K, 2 to JF_NETWORK_MAX_CLASSES */
	int channels;       /* C at full resolution, a multiple of 8, 8 to 256; 2C at half, D = 4C at a quarter */
	int blocks;         /* residual blocks per level and side, 1 to 8 */
	int layers;         /* bottleneck layers, 1 to 32 */
	int heads;          /* attention heads; divides 4C */
	int label_tokens;   /* T, 1 to 64 */
	int augment;        /* size of the augmentation vector that conditions the image clock; 0 = none */
	enum jf_label_head head;
};

/* The starting network of the design: 28 x 28 x 1, 10 classes, C = 16, 1 block, 2 layers, 4 heads, 8 label tokens. */
struct jf_network_config jf_network_config_default(void);

/* Checks every range and divisibility; the message names the field. */
enum jf_err jf_network_config_check(const struct jf_network_config *config, struct jf_error *err);

/* Floats of one image: H x W x C. */
size_t jf_network_image_floats(const struct jf_network_config *config);

/* Floats of JF_OUTPUT_FEATURES: means over the pixels of the encoder's
 * two finer levels, and over the image's and the label's tokens at (at most) three bottleneck layers. */
int jf_network_features(const struct jf_network_config *config);

/* Inputs and outputs of the graph, by index. */
enum jf_network_input {
	JF_INPUT_IMAGE,    /* x_t [H][W][C] */
	JF_INPUT_LABEL,    /* y_t [K] */
	JF_INPUT_TIME_IMG, /* t_img [1] */
	JF_INPUT_TIME_LAB, /* t_lab [1] */
	JF_INPUT_AUGMENT,  /* [augment]; absent when augment == 0; zeros mean "a clean image" */
	JF_N_INPUTS
};
enum jf_network_output {
	JF_OUTPUT_IMAGE,    /* image velocity [H][W][C] */
	JF_OUTPUT_LABEL,    /* label head [K] */
	JF_OUTPUT_FEATURES, /* what core/engine/familiarity.h judges an image by; jf_network_features() floats */
	JF_N_OUTPUTS
};

/* Builds the graph; owned by the caller, freed with jf_graph_destroy. NULL on failure, *err says why. */
struct jf_graph *jf_network_build(const struct jf_network_config *config, struct jf_error *err);

#endif
