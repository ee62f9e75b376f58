/* Handlers of the questions. */
#ifndef JF_DAEMON_API_ENDPOINTS_H
#define JF_DAEMON_API_ENDPOINTS_H

struct jf_call;

void jf_endpoint_classify(struct jf_call *call);
void jf_endpoint_generate(struct jf_call *call);
void jf_endpoint_blend(struct jf_call *call);
void jf_endpoint_sample(struct jf_call *call);
void jf_endpoint_edit(struct jf_call *call);
void jf_endpoint_score(struct jf_call *call);

#endif
