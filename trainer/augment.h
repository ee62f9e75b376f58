/* Random distortions of training images, told to the network.
 *
 * A distorted image comes with the vector of what was done to it, which conditions the image clock; zeros mean "clean".
 * So the classifier learns from more than the data, and drawing (with zeros) stays clean.
 * Source: Karras et al., arXiv:2206.00364, appendix F.2. */
#ifndef JF_TRAINER_AUGMENT_H
#define JF_TRAINER_AUGMENT_H

#include <stdint.h>

/* rotation, shift across, shift down, scale, aspect, shear, elastic; each about -1 to 1 at strength 1. */
#define JF_AUGMENT_SIZE 7

struct jf_augment_options {
	float strength;    /* 0: never; 1: up to 15 degrees, 1/14 of the side, 10 % scale and aspect, 0.15 shear, 1 px
			      elastic */
	float probability; /* that an image is distorted at all, 0 to 1 */
};

/* image [height][width][channels] in [-1, 1] -> out (another array) and vector[JF_AUGMENT_SIZE]. Bilinear; beyond the
 * edge the edge goes on. What happens depends on (seed, sample) alone. */
void jf_augment(float *out, float *vector, const float *image, int height, int width, int channels,
    const struct jf_augment_options *options, uint64_t seed, uint64_t sample);

#endif
