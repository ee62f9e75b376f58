/* Parts of a JSON answer that are the same wherever they are given. */
#ifndef JF_CORE_QUESTIONS_ANSWER_H
#define JF_CORE_QUESTIONS_ANSWER_H

#include "core/base/json.h"
#include "core/engine/model.h"
#include "core/engine/sampler.h"
#include "core/pictures/framing.h"

/* label, name, confidence, probabilities: of one row of probabilities [K], where `label` was chosen. */
void jf_answer_put_label(
    struct jf_json_writer *writer, const struct jf_model *model, int label, const float *probabilities);
/* label, name, confidence, probabilities of an edited image's posterior [K], beside label_values [K], under which it
 * was drawn, reached (whether the posterior names that label) and strength. */
void jf_answer_put_edited(struct jf_json_writer *writer, const struct jf_model *model, const float *label,
    const float *probabilities, float strength);
/* "original": {...}: the posterior [K] of the picture that an edit began with. */
void jf_answer_put_original(struct jf_json_writer *writer, const struct jf_model *model, const float *probabilities);
/* label, name, confidence, probabilities by Bayes' rule [K]; log_p, bits_per_dimension and their standard errors of
 * P(image); log_p_given_label and log_p_given_label_errors [K]; posterior [K], and the largest difference from it.
 * log_p and errors are [K + 1], as jf_scorer_score gives them. */
void jf_answer_put_score(struct jf_json_writer *writer, const struct jf_model *model, const double *log_p,
    const double *errors, const float *probabilities, const float *posterior);
/* The same of a picture that is not to be given a label: label and name are null, the rest stays. */
void jf_answer_put_no_label(
    struct jf_json_writer *writer, const struct jf_model *model, int label, const float *probabilities);
/* familiarity, unfamiliar (below `unfamiliar_below`); nothing when it is negative: the model is not calibrated. */
void jf_answer_put_familiarity(struct jf_json_writer *writer, float familiarity, double unfamiliar_below);
/* votes: [K] */
void jf_answer_put_votes(struct jf_json_writer *writer, const int *votes, int classes);
/* guidance, and guidance_low and guidance_high where it acts at all. */
void jf_answer_put_guidance(struct jf_json_writer *writer, const struct jf_sampler_args *sampler);
/* The members of "preprocess", inside the object that the caller has begun. */
void jf_answer_put_framing(struct jf_json_writer *writer, const struct jf_framing_report *report);
/* "model": {...}: which one answered. */
void jf_answer_put_model(struct jf_json_writer *writer, const struct jf_model *model);

#endif
