/* How likely an image is: log P(image) and log P(image | label) by denoising errors, forward evaluations only.
 *
 * Source: Kong, Brekelmans and Ver Steeg, "Information-theoretic diffusion", arXiv:2302.03792: for images whose pixels
 * take one of 256 levels, -ln P(x) = 1/2 int_0^inf E_n |x - x^(x + s n)|^2 d(1 / s^2), exactly when x^ is the best
 * denoiser and as an upper bound on average with any other. In the clock of this flow s = t / (1 - t), x^ = z - t v,
 * and the integral becomes int_0^1 |x - x^|^2 / t^2 (1 - t) / t dt, |x - x^| / t being the error of the velocity.
 *
 * Training puts noise on the 256 levels as they are, -1 to 1 in steps of 2 / 255, and adds nothing to them. Scoring
 * does not either: what it gives is the probability of the levels themselves, no density, so that bits per dimension
 * are those that a code for the picture would take (-log2 P / number of pixels), comparable with what is published for
 * models of the same pixels. Any x^ makes a bound, so where the noise is small a better one than the network's
 * is used: below t = 0.1 black where x^ is within the noise of it, and below t = 0.004, where the levels stand apart,
 * the mean of the levels given z. Below t = 0.0008 a level is read off its noisy value without fail, and nothing is
 * left to count. */
#ifndef JF_CORE_QUESTIONS_SCORE_H
#define JF_CORE_QUESTIONS_SCORE_H

#include <stdbool.h>

#include "core/base/error.h"
#include "core/engine/model.h"

#define JF_MAX_SCORE_DRAWS 4096
#define JF_DEFAULT_SCORE_DRAWS 64

struct jf_scorer;
struct jf_workspace;

/* How an image is scored. */
struct jf_score_args {
	int draws;                      /* of time and noise; even, 2 to JF_MAX_SCORE_DRAWS */
	uint64_t seed, index;           /* draw d has the noise (seed, index + d) */
	bool (*between)(void *context); /* NULL, or asked after each draw but the last whether to go on */
	void *context;
	/* jf_scorer_score: 0, or the time from which on noise counts, below 1. Then in place of ln P(image) comes what
	 * is known of it at that noise: the mean of ln p_t(z) - ln p_t(z | image). */
	double from;
};

/* Belongs to one thread; the model is referenced. NULL on failure. */
struct jf_scorer *jf_scorer_create(struct jf_model *model, struct jf_error *err);
/* With the temporary memory of a workspace, as a sampler's (core/engine/sampler.h). */
struct jf_scorer *jf_scorer_create_in(struct jf_workspace *workspace, struct jf_model *model, struct jf_error *err);
void jf_scorer_destroy(struct jf_scorer *scorer); /* NULL allowed */

/* Both out [K + 1], nats: ln P(image | class k), and in the last place ln P(image), the network being told no label;
 * and their standard errors, from the differences of neighbouring draws. image [H][W][C] in [-1, 1]. Each draw is one
 * for all K + 1 alike, so what they have in common cancels between them; times are spread evenly over their
 * distribution, half of it even in t and half in ln t. JF_EINVAL, JF_ENUMERIC; JF_ECANCELED when `between` said so. */
enum jf_err jf_scorer_score(struct jf_scorer *scorer, double *log_p, double *errors, const float *image,
    const struct jf_score_args *args, struct jf_error *err);

/* P(label | image) out [K] by Bayes' rule, every class being as likely before, from the part of ln P(image | class)
 * that noise above t = 0.2 tells: the integral above from there to 1, with its own weight. Below, where nearly all of
 * ln P(image) and its error come from, a network's errors differ between classes by less than they vary. Times follow
 * t (1 - t), as the differences do, and draws come in pairs of one time with a noise and its negative, in which what is
 * odd in the noise cancels. Errors as jf_scorer_score. (Diffusion classifiers: Li et al., arXiv:2303.16203.) */
enum jf_err jf_scorer_classify(struct jf_scorer *scorer, float *probabilities, const float *image,
    const struct jf_score_args *args, struct jf_error *err);

/* Bits per dimension of a logarithm in nats. */
double jf_score_bits(double log_p, const struct jf_network_config *config);

/* P(label | image) out [K] by Bayes' rule from ln P(image | class) [K], every class being as likely before. */
void jf_score_bayes(float *probabilities, const double *log_p, int classes);

#endif
