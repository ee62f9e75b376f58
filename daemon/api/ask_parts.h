/* What several questions share, for the files that each read one (daemon/api/ask*.c). */
#ifndef JF_DAEMON_API_ASK_PARTS_H
#define JF_DAEMON_API_ASK_PARTS_H

#include "daemon/api/ask_image.h"
#include "daemon/api/call.h"

/* Each reads its parameters into call->ask and notes what is wrong with them. */
void jf_ask_read_sampler(struct jf_call *call); /* steps, solver, guidance */
void jf_ask_read_seed(struct jf_call *call);    /* seed, index */
void jf_ask_read_picture(struct jf_call *call); /* scale, gap */
void jf_ask_read_framing(struct jf_call *call, const struct jf_model *model);
/* One of digit, label and weights into label [K]. */
void jf_ask_read_label(struct jf_call *call, const struct jf_model *model, float *label);

/* A job for n items with room for that many input images and labels; items have the request's noises and the first
 * image and label. NULL after noting a problem. */
struct jf_job *jf_ask_new_job(
    struct jf_call *call, struct jf_model *model, enum jf_job_kind kind, int n, int images, int labels);
/* The job, or NULL when anything was wrong, or when its picture is not for this thread. */
struct jf_job *jf_ask_checked(struct jf_call *call, struct jf_job *job);

/* The job that looks at all of these pictures; NULL after noting a problem, or when it runs again (call->heavy). */
struct jf_job *jf_ask_list(struct jf_call *call, struct jf_model *model, const struct jf_ask_images *images);

/* An edit; as jf_ask_parse. */
struct jf_job *jf_ask_edit(struct jf_call *call, struct jf_model *model);

#endif
