/* From a request's parameters to what the workers shall do. */
#ifndef JF_DAEMON_API_ASK_H
#define JF_DAEMON_API_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/pictures/framing.h"
#include "core/questions/question.h"

struct jf_call;
struct jf_job;

/* What a request asks, as far as its answer must know. */
struct jf_ask {
	enum jf_question question;
	enum jf_method method; /* classify */
	struct jf_sampler_args sampler;
	bool trace;
	bool seed_given;
	int64_t seed, index;
	int samples;           /* classify */
	int columns;           /* of the sheet; 0: nearly square */
	struct jf_blend blend; /* blend; a mixture has rows of one column */
	int scale, gap;
	struct jf_framing_options framing;
	struct jf_framing_report framed;
	double decode_ms;
};

/* Reads parameters and body into call->ask and makes the job that they ask for, all but its callbacks and deadline.
 * NULL after noting a problem. */
struct jf_job *jf_ask_parse(struct jf_call *call, enum jf_question question, struct jf_model *model);

#endif
