/* The network as ONNX: its graph, node by node, in standard operators, with the weights as constants.
 *
 * Images inside are [N][C][H][W], as ONNX's convolutions read them; at the border they are [N][H][W][C] with values
 * grey / 127.5 - 1, as everywhere in jointflow. */
#ifndef JF_CLI_ONNX_H
#define JF_CLI_ONNX_H

#include "core/engine/model.h"

enum onnx_part {
	/* P(label | image), what `method=posterior` answers: image -> probabilities [N][K], label [N] (int64). The
	 * label noise is that of the first draw, so the numbers are those of `jointflow classify`. */
	ONNX_POSTERIOR,
	/* One evaluation of the network: image, label [N][K], t_img [N], t_lab [N] -> image_velocity [N][H][W][C] and
	 * label_logits (or label_velocity) [N][K]. */
	ONNX_FIELD,
};

/* Writes one part to `path`, atomically. JF_EIO, JF_ENOMEM, JF_EINVAL (an operation that ONNX has no words for). */
enum jf_err onnx_export(const struct jf_model *model, enum onnx_part part, const char *path, struct jf_error *err);

#endif
