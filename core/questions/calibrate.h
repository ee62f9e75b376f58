/* What a trained model learns about its training set without a change of its weights: what its pictures look like, so
 * that it can say how familiar another is, and how often each class comes, so that joint samples come as often. */
#ifndef JF_CORE_QUESTIONS_CALIBRATE_H
#define JF_CORE_QUESTIONS_CALIBRATE_H

#include "core/files/dataset.h"
#include "core/questions/tasks.h"

#define JF_CALIBRATE_IMAGES 20000 /* that a fit looks at, at most */
#define JF_CALIBRATE_NOISES 2048  /* from which P(label) is fitted, at most; no more than there are images */

/* Sets model->familiarity, replacing what was there; the weights stay. The classes' centres and the covariance come
 * from the first n_train images of `order` (JF_CALIBRATE_IMAGES at most, evenly chosen), the quantiles from the
 * n_holdout that follow: jf_dataset_split has the order. The data set's sizes and classes must be the model's. The
 * model must not be shared yet. JF_EINVAL when there are too few images (core/engine/familiarity.h), JF_ENOMEM,
 * JF_ENUMERIC, JF_ECANCELED; the model is then unchanged. */
enum jf_err jf_calibrate(struct jf_model *model, const struct jf_dataset *dataset, const uint32_t *order,
    size_t n_train, size_t n_holdout, const struct jf_task_options *options, struct jf_error *err);

/* Sets model->label_bias: the mean of P(label) over noises becomes the classes' shares of the first n_train images of
 * `order`, each class counted as half an image more. The network knows P(label) at (1, 1) to a point or two only, since
 * few of a training's examples lie there. The model must not be shared yet. JF_EINVAL (no images), JF_ENOMEM,
 * JF_ECANCELED; the model is then unchanged. */
enum jf_err jf_calibrate_labels(struct jf_model *model, const struct jf_dataset *dataset, const uint32_t *order,
    size_t n_train, const struct jf_task_options *options, struct jf_error *err);

#endif
