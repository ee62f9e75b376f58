/* What the parts of the sampler share (sampler.c: its life; sampler_step.c: evaluations and solvers). */
#ifndef JF_CORE_ENGINE_SAMPLER_INTERNAL_H
#define JF_CORE_ENGINE_SAMPLER_INTERNAL_H

#include "core/engine/exec.h"
#include "core/engine/sampler.h"

#define JF_IMAGE_STEP_SHIFT 2.0f

struct jf_sampler {
	struct jf_model *model;
	enum jf_task task;
	int max_batch;
	struct jf_plan *plan;
	struct jf_exec *exec;
	struct jf_sampler_args args;
	int n;                         /* trajectories */
	int step;                      /* steps done, each with all its repeats */
	int repeat;                    /* repeats of the next step that are done */
	bool guided;                   /* slot n + i is trajectory i without its label */
	size_t image_size, label_size; /* floats of a state that is integrated; 0 where that modality is held */
	size_t state_size;             /* their sum */
	float *start;              /* [max_batch][state_size] state at the start of a second-order step; fresh noise */
	float *velocity;           /* [max_batch][state_size] */
	float *probabilities;      /* [max_batch][K] */
	float *familiarity;        /* [max_batch] */
	bool judged;               /* familiarity is that of the images; else it is worked out when asked for */
	uint64_t *seeds, *indices; /* [max_batch] the noise of each */
	float *kept;               /* generate: [max_batch][image_size], the image that pixels are kept from */
	bool *redraw;              /* generate: [max_batch][H * W] */
	bool *keeps;               /* [max_batch]: some of its pixels are kept */
};

static inline float *sampler_image(const struct jf_sampler *s, int i) {
	return jf_exec_input(s->exec, JF_INPUT_IMAGE, i);
}

static inline float *sampler_label(const struct jf_sampler *s, int i) {
	return jf_exec_input(s->exec, JF_INPUT_LABEL, i);
}

static inline void sampler_set_input(struct jf_sampler *s, int input, int slot, float value) {
	float *at = jf_exec_input(s->exec, input, slot);

	if (at)
		*at = value;
}

/* JF_ENUMERIC, with sample and element, when one of the values is not finite. */
enum jf_err jf_sampler_check_finite(const float *values, size_t n, const char *what, int i, struct jf_error *err);

/* One evaluation of the network at time t: velocity out [n][state_size], image first; probabilities of the label. */
void jf_sampler_evaluate(struct jf_sampler *s, float t, float *velocity);

/* The time after `step` steps; the same of an image's steps, before a sampler is there. */
float jf_sampler_time_at(const struct jf_sampler *s, int step);
float jf_image_time_at(const struct jf_sampler_args *args, int step);

/* Whether guidance acts at time t. */
bool jf_sampler_guides(const struct jf_sampler_args *args, float t);

#endif
