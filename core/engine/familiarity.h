/* How familiar an image looks: the share of the images held out from training that are no more typical than it.
 *
 * Typical is what lies close, in the token means that the posterior's own pass computes (JF_OUTPUT_FEATURES), to the
 * centre of a class: squared Mahalanobis distance to the nearest centre with one covariance for all classes (Lee et
 * al., arXiv:1807.03888). Its quantiles on images that were not used for the fit turn the distance into a share, so
 * that one in a hundred pictures of the kind that was learned falls below 0.01. Fixed order of sums in double: the same
 * bytes on every machine. */
#ifndef JF_CORE_ENGINE_FAMILIARITY_H
#define JF_CORE_ENGINE_FAMILIARITY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

#define JF_FAMILIARITY_QUANTILES 1001
#define JF_FAMILIARITY_MIN 100 /* images that a fit, and its quantiles, take at least */

struct jf_familiarity {
	int features, classes;
	float *mean;      /* owned, [features]: of the images of the fit */
	float *whitening; /* [features][features], row i holds what feature i adds to each coordinate; zero below the
			   * diagonal: the inverse of the covariance's Cholesky factor, transposed */
	float *centres;   /* [classes][features], in the whitened coordinates */
	float *quantiles; /* [JF_FAMILIARITY_QUANTILES], rising: of the held-out images' distances */
};

/* Zeroed; NULL when memory is short or the sizes are not above 0. */
struct jf_familiarity *jf_familiarity_create(int features, int classes);
void jf_familiarity_destroy(struct jf_familiarity *familiarity); /* NULL allowed */

/* The share of the held-out images that are at least as far away as x [features], 0 to 1; interpolated between the
 * quantiles. 0 when a feature is not finite. */
float jf_familiarity_of(const struct jf_familiarity *familiarity, const float *x);
/* The same of n images at once, x [n][features], into shares [n]: several share each reading of the whitening. */
void jf_familiarity_of_all(const struct jf_familiarity *familiarity, float *shares, const float *x, int n);

/* Fits mean, whitening and centres to x [n][features], y [n] below classes. A class without images has no centre of
 * its own (it gets the mean's). JF_EINVAL with fewer than JF_FAMILIARITY_MIN images, JF_ENUMERIC when one is not
 * finite, JF_ENOMEM. */
enum jf_err jf_familiarity_fit(
    struct jf_familiarity *familiarity, const float *x, const uint16_t *y, size_t n, struct jf_error *err);
/* Then the quantiles, from images that the fit has not seen. Errors as above. */
enum jf_err jf_familiarity_calibrate(
    struct jf_familiarity *familiarity, const float *x, size_t n, struct jf_error *err);

#endif
