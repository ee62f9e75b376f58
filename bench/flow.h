/* How dense the flow itself is at a point: the second way to a likelihood, which shares nothing with denoising errors
 * but the velocity.
 *
 * Source: Chen et al., arXiv:1806.07366, and Song et al., "Score-based generative modeling through stochastic
 * differential equations", arXiv:2011.13456, section 4.3: along dz/dt = v(z, t) from time t to pure noise at 1,
 * ln p_t(z) = ln N(z_1; 0, I) + int_t^1 tr dv/dz dt.
 *
 * What it says of an image: with noise e, z = (1 - t) x + t e, the mean over e of ln p_t(z) - ln N(z; (1 - t) x, t^2 I)
 * is what jf_scorer_score gives from t on (struct jf_score_args, from), when v is the mean velocity of the data whose
 * density p_t is. For a network, which is that only nearly, the two differ by what it lacks. */
#ifndef JF_BENCH_FLOW_H
#define JF_BENCH_FLOW_H

#include <stddef.h>
#include <stdint.h>

struct flow_field {
	size_t n;    /* numbers of a point */
	int at_once; /* points that one call takes at most; at least 3 */
	/* v out [count][n] at z [count][n], all at time t */
	void (*velocity)(void *context, float *v, const float *z, int count, float t);
	void *context;
};

/* ln p_t(z), by `steps` steps of the classical Runge-Kutta method of order 4, even in ln t. probes 0: the trace
 * exactly, up to the error of central differences, one pair of points for each coordinate; otherwise its mean over as
 * many random directions of signs (Hutchinson's estimate), which (seed, index) draw. NAN when memory is short. */
double flow_log_density(
    const struct flow_field *field, const float *z, double t, int steps, int probes, uint64_t seed, uint64_t index);

/* ln N(z; (1 - t) x, t^2 I) */
double flow_log_noise(const float *z, const float *x, size_t n, double t);

#endif
