/* The HTTP server as main sees it. One wrapper around libmicrohttpd. */
#ifndef JF_DAEMON_API_API_H
#define JF_DAEMON_API_API_H

#include "daemon/http/secrets.h"
#include "daemon/service/conf.h"
#include "daemon/service/listen.h"
#include "daemon/service/metrics.h"
#include "daemon/work/model_holder.h"
#include "daemon/work/scheduler.h"

struct jf_http;

/* What the server uses; all borrowed, all outlive it. */
struct jf_http_parts {
	const struct jf_conf *conf;
	struct jf_scheduler *scheduler;
	struct jf_model_holder *holder;
	struct jf_metrics *metrics;
	const struct jf_listeners *listeners;
	bool ready; /* the model is in force: no request shall get 503 "loading" */
};

/* Starts answering on all listeners, perhaps before a model is there: /livez is up, everything that needs the model
 * answers 503 "loading", /readyz 503, until jf_http_set_ready(true). Takes over what is in *secrets in any case. NULL
 * on failure, *err says why. */
struct jf_http *jf_http_start(const struct jf_http_parts *parts, struct jf_secrets *secrets, struct jf_error *err);
void jf_http_set_ready(struct jf_http *http, bool ready);

/* Puts other keys and another certificate in force from the next request and connection on; a NULL certificate
 * leaves the one in use. Takes over what is in *secrets; cannot fail. */
void jf_http_use_secrets(struct jf_http *http, struct jf_secrets *secrets);

/* SIGTERM: /readyz 503, new work 503 "draining", responses say Connection: close. Sockets of the service manager are
 * left to our successor; new connections to our own are answered like that until jf_http_close. */
void jf_http_drain(struct jf_http *http);
/* Whether no thread of it has been busy with one thing, or shown no sign of life, for longer than stall_ms. To be
 * called regularly, see jf_server_alive. */
bool jf_http_alive(struct jf_http *http, int stall_ms);
/* Takes the connections that have arrived on our own sockets and accepts no more; the caller closes the sockets. */
void jf_http_close(struct jf_http *http);
/* Requests are being answered, or may be on their way on connections that were just accepted. */
bool jf_http_busy(struct jf_http *http);
/* Stops the threads and closes what is left; the scheduler has been stopped, so no job is outstanding. NULL allowed. */
void jf_http_stop(struct jf_http *http);

#endif
