/* The Open Inference Protocol, version 2, REST: the classifier as KServe and Triton clients know it.
 *
 * Input "image": FP32 [n, height, width, channels] (or [n, height * width * channels]) in [-1, 1], ink +1 on -1.
 * Outputs "probabilities" FP32 [n, K] and "label" INT64 [n].
 * Source: https://kserve.github.io/website/latest/modelserving/data_plane/v2_protocol/ */
#ifndef JF_DAEMON_API_V2_H
#define JF_DAEMON_API_V2_H

struct jf_call;

void jf_v2_server(struct jf_call *call);
void jf_v2_live(struct jf_call *call);
void jf_v2_ready(struct jf_call *call);
void jf_v2_model(struct jf_call *call);
void jf_v2_model_ready(struct jf_call *call);
void jf_v2_infer(struct jf_call *call);

#endif
