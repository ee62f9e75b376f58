/* How good a model in training is, on images that it does not train on. */
#ifndef JF_TRAINER_EVALUATE_H
#define JF_TRAINER_EVALUATE_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/engine/model.h"
#include "core/files/dataset.h"
#include "core/questions/quality.h"

struct jf_evaluate_options {
	int threads;
	int steps; /* of label and image ODEs */
	int drawn; /* images drawn per class; 0: none */
	int ode;   /* how many of the images have their label integrated; 0: none */
	const atomic_bool *cancel;
	uint64_t *confusion; /* NULL, or [classes][classes] as jf_metrics_compute fills it */
};

struct jf_evaluation {
	struct jf_metrics posterior; /* one evaluation of the network, accuracy, NLL, ECE */
	float temperature;   /* near the one that gives the posterior its least NLL; nearer to 1 the fewer errors */
	double loss;         /* NLL where the network is less sure if that is better: states are compared by it */
	double commonest;    /* share of the commonest class: what answering it always would score */
	double ode_accuracy; /* of the label ODE, one noise draw; NAN when not run */
	/* of one draw from the posterior, on the same images: what the label ODE ought to score */
	double draw_accuracy;
	double drawn_agreement; /* share of images drawn from a label that the posterior gives that label; NAN */
	double seconds;
};

/* Measures a packed model on images[order[0]] ... images[order[n - 1]] of the data set (order NULL: the first n).
 * drawn: out, new ([classes][options->drawn] images, caller frees) or NULL when not wanted; *drawn is NULL when none
 * were drawn. n = 0: only drawing. JF_ECANCELED when options->cancel became true. */
enum jf_err jf_evaluate(struct jf_evaluation *out, float **drawn, struct jf_model *model,
    const struct jf_dataset *dataset, const uint32_t *order, size_t n, const struct jf_evaluate_options *options,
    struct jf_error *err);

/* By how much a later state's loss may exceed the least so far and still be preferred: drawing, which no held-out loss
 * measures, goes on improving when the label's loss has levelled out. A tenth of the least loss, less the nearer that
 * is to knowing nothing (ln K). */
double jf_evaluate_slack(double least, int classes);

/* Saves a picture of drawn images: a row for each of the first 20 classes, up to 20 columns. */
enum jf_err jf_evaluate_sheet(
    const char *path, const float *drawn, const struct jf_dataset *dataset, int per_class, struct jf_error *err);

#endif
