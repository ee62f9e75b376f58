/* The training objective: where on the two clocks an example is put, and what the network owes there.
 *
 * z_t = (1 - t) z_0 + t e, e ~ N(0, I), one clock for each modality. Image: mean over pixels of (v - (e - z_0))^2.
 * Label: `label_weight` x cross-entropy of the endpoint (CatFlow, arXiv:2406.04843), or x the mean over classes of the
 * squared velocity error. A modality that is held (t = 0) owes nothing: its noise is not in what the network sees.
 * Sources: flow matching, arXiv:2210.02747; independent clocks, UniCon, arXiv:2410.11439. */
#ifndef JF_TRAINER_OBJECTIVE_H
#define JF_TRAINER_OBJECTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/engine/exec.h"
#include "core/engine/network.h"

enum jf_times {
	JF_TIMES_INDEPENDENT, /* t_img and t_lab drawn independently: the UniCon scheme */
	JF_TIMES_SHARED,      /* one clock for both */
	JF_TIMES_FLEXIBLE,    /* each example: joint, label given image, image given label, or unconditional image */
	JF_TIMES_MIXTURE,     /* part independent, part where the tasks live, as the shares say */
	JF_N_TIMES
};

enum jf_time_density {
	JF_DENSITY_UNIFORM,
	JF_DENSITY_ARCSINE,      /* t = sin^2(pi u / 2): more mass near 0 and 1 */
	JF_DENSITY_LOGIT_NORMAL, /* t = sigmoid(N(0, 1)): more mass in the middle */
	JF_N_DENSITIES
};

/* Shares of examples under JF_TIMES_MIXTURE, each 0 to 1, at most 1 together; the rest is independent. */
enum jf_share {
	JF_SHARE_IMAGE_GIVEN_LABEL, /* the label at 0 */
	JF_SHARE_JOINT,             /* one clock for both */
	JF_SHARE_LABEL_GIVEN_IMAGE, /* the image at 0; half of them with the label at 1 exactly: the posterior */
	JF_N_SHARES
};

struct jf_objective_options {
	enum jf_times times;
	enum jf_time_density density;
	float label_weight; /* 0.3 for the endpoint head, 1 for velocity */
	float image_shift; /* s > 0: the image's clock runs at s t / (1 + (s - 1) t), above 1 more noise; 1: as drawn */
	float shares[JF_N_SHARES]; /* of JF_TIMES_MIXTURE only */
	float guidance; /* 0 to below 1: where the label is held, the image's target moves by this much of what the
			   label changes, so that one evaluation draws as if guided; 0: as the data are */
};

/* times[0] = t_img, times[1] = t_lab of training example `sample` under `seed`. The shift is that of Esser et al.,
 * arXiv:2403.03206, eq. 23. */
void jf_objective_times(float times[2], const struct jf_objective_options *options, uint64_t seed, uint64_t sample);

/* One example of a training batch. */
struct jf_example {
	const float *image;   /* [H][W][C] in [-1, 1] */
	int label;            /* class index */
	const float *augment; /* [A], or NULL for zeros */
	uint64_t sample;      /* noise index, unique over the run */
};

struct jf_loss {
	double image, label;             /* sums over examples */
	double image_count, label_count; /* of those that owed something */
};

/* Writes the inputs of example `example` into slot i of the executor. */
void jf_objective_set_inputs(const struct jf_exec *exec, int i, const struct jf_example *example,
    const struct jf_network_config *config, const struct jf_objective_options *options, uint64_t seed);

/* Whether an example at these times learns to draw as if guided: the label at 0, the image not.
 * Source: model guidance, Tang et al., arXiv:2502.12154, eq. 10 with the network itself in the place of its average. */
bool jf_objective_is_guided(const struct jf_objective_options *options, const float times[2]);

/* The inputs of the same image without its label (noise at t_lab = 1): the evaluation that guidance compares with. */
void jf_objective_set_unlabelled(const struct jf_exec *exec, int i, const struct jf_example *example,
    const struct jf_network_config *config, const struct jf_objective_options *options, uint64_t seed);

/* After the forward step: adds the losses and writes the gradients of both outputs of slot i, each times `scale`
 * (1 / global batch). `target` is scratch for [H][W][C] or [K] floats, whichever is more.
 * unlabelled [H][W][C]: the image's velocity after jf_objective_set_unlabelled, or NULL where nothing is guided. */
void jf_objective_loss(const struct jf_exec *exec, int i, const struct jf_example *example, float scale,
    const struct jf_network_config *config, const struct jf_objective_options *options, uint64_t seed,
    const float *unlabelled, float *target, struct jf_loss *loss);

#endif
