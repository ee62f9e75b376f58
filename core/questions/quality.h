/* How good classifications are. */
#ifndef JF_CORE_QUESTIONS_QUALITY_H
#define JF_CORE_QUESTIONS_QUALITY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

#define JF_ECE_BINS 15

struct jf_metrics {
	size_t n;
	double accuracy; /* share of images whose most probable class (the first of equals) is the right one, 0 to 1 */
	double nll;      /* mean of -ln P(right class), nats; a probability below 1e-30 counts as that */
	double ece;      /* expected calibration error, 0 to 1 */
};

/* probabilities [n][classes], labels [n] below classes. confusion: out [classes][classes], row = right class, column =
 * answer, counts; or NULL. ECE: 15 bins of equal width over the answer's probability, mean of |accuracy - confidence|
 * weighted by the bin's share. n = 0 gives zeros.
 * Source: Guo et al., "On calibration of modern neural networks", arXiv:1706.04599. */
void jf_metrics_compute(struct jf_metrics *out, uint64_t *confusion, const float *probabilities, const uint16_t *labels,
    size_t n, int classes);

/* The temperature T in [0.05, 20] whose softmax(ln p / T) has the least NLL on these images (the logits differ from
 * ln p by a constant that softmax ignores): golden section over ln T. *nll: that least NLL; or NULL. JF_EINVAL when n =
 * 0 or classes < 2, JF_ENUMERIC when a probability is not finite or negative. Source: as above, section 4.2. */
enum jf_err jf_metrics_fit_temperature(float *temperature, double *nll, const float *probabilities,
    const uint16_t *labels, size_t n, int classes, struct jf_error *err);

/* The chance that a value of `above` [n] is larger than one of `below` [m], equal ones counting half; 0 when either is
 * empty. *error: its standard error. Both arrays are sorted in place. Source: Hanley and McNeil, "The meaning and use
 * of the area under a receiver operating characteristic curve", Radiology 143 (1982), pages 29-36. */
double jf_auroc(float *above, size_t n, float *below, size_t m, double *error);

#endif
