/* From a request's parameters to what the workers should do. */
#ifndef JF_DAEMON_API_ASK_H
#define JF_DAEMON_API_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/pictures/framing.h"
#include "core/questions/question.h"
#include "daemon/service/conf.h"

struct jf_call;
struct jf_job;
struct jf_model;
struct jf_morph;

/* What became of one picture of a classification. */
struct jf_ask_picture {
	int first; /* of the job's items; -1: it cannot be used */
	struct jf_framing_report framed;
	char fault[208]; /* why not */
};

/* A list of pictures that is decoded in pieces: what there is of it between two of them. */
struct jf_ask_reading {
	struct jf_model *model;          /* that they are framed for, referenced; NULL: nothing has begun */
	struct jf_ask_picture *pictures; /* owned [of the list] */
	float *pixels;                   /* owned [used][H][W][C] */
	int done, used;                  /* looked at; of these, can be used */
	double decode_ms;
};
void jf_ask_reading_deinit(struct jf_ask_reading *reading);

/* The parts of a request that its answer needs. */
struct jf_ask {
	enum jf_question question;
	enum jf_method method; /* classify */
	struct jf_sampler_args sampler;
	bool trace;
	bool seed_given;
	int64_t seed, index;
	int samples;            /* classify, score */
	float min_familiarity;  /* classify: below it there is no label */
	int count;              /* generate, sample, edit */
	float strength;         /* edit */
	bool counterfactual;    /* edit */
	int columns;            /* of the sheet; 0: nearly square */
	struct jf_blend blend;  /* blend; a mixture has rows of one column */
	struct jf_morph *morph; /* owned; NULL unless its positions are measured */
	int probes;             /* items of the job that only measure and stand before those that were asked for */
	int scale, gap;
	struct jf_framing_options framing;
	struct jf_ask_picture *pictures; /* classify, edit, score: owned */
	int n_pictures;
	bool list; /* they came as a list, and a list is the answer */
	double decode_ms;
};

/* The defaults; seed and, as it depends on the method, samples are not set. */
void jf_ask_defaults(struct jf_ask *ask, enum jf_question question, const struct jf_conf *conf);
/* Samples that this daemon's configuration and the method itself allow, and how many there are by default. */
int jf_ask_max_samples(const struct jf_conf *conf, enum jf_method method);
int jf_ask_default_samples(const struct jf_conf *conf, enum jf_method method);

/* Reads parameters and body into call->ask and makes the job that they ask for, all but its callbacks and deadline.
 * NULL after noting a problem. */
struct jf_job *jf_ask_parse(struct jf_call *call, enum jf_question question, struct jf_model *model);

#endif
