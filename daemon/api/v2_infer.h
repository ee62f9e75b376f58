/* An inference by the Open Inference Protocol: tensors in JSON, or raw behind it (the binary tensor data extension). */
#ifndef JF_DAEMON_API_V2_INFER_H
#define JF_DAEMON_API_V2_INFER_H

#include <stdbool.h>

struct jf_call;
struct jf_job;
struct jf_model;

/* The last one only when it is asked for, and of a calibrated model. */
enum jf_v2_tensor { JF_V2_PROBABILITIES, JF_V2_LABEL, JF_V2_FAMILIARITY, JF_N_V2_TENSORS };

#define JF_V2_MAX_OUTPUTS 8

/* The outputs that are wanted, in the order of the answer. */
struct jf_v2_outputs {
	int n;
	struct {
		enum jf_v2_tensor tensor;
		bool binary;
		int classes; /* 0: the values; else the best so many as "value:index:name" (the classification
				extension) */
	} item[JF_V2_MAX_OUTPUTS];
};

const char *jf_v2_tensor_name(enum jf_v2_tensor tensor); /* "probabilities", "label", "familiarity" */

/* Reads the body: call->outputs, and the job for the images. NULL after noting a problem. */
struct jf_job *jf_v2_infer_parse(struct jf_call *call, struct jf_model *model);
/* Answers with the outputs of a finished job. */
void jf_v2_infer_reply(struct jf_call *call, const struct jf_job *job);

#endif
