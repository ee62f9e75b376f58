/* What the daemon says about itself: model, version, health, metrics, the API's description. */
#ifndef JF_DAEMON_API_INFO_H
#define JF_DAEMON_API_INFO_H

struct jf_call;

void jf_info_model(struct jf_call *call);
void jf_info_version(struct jf_call *call);
void jf_info_openapi(struct jf_call *call);
void jf_info_livez(struct jf_call *call);
void jf_info_readyz(struct jf_call *call);
void jf_info_health(struct jf_call *call);
void jf_info_metrics(struct jf_call *call);

#endif
