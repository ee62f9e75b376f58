/* The picture of a classification: out of the body, through PNG and framing. */
#ifndef JF_DAEMON_API_ASK_IMAGE_H
#define JF_DAEMON_API_ASK_IMAGE_H

#include "daemon/api/call.h"

/* A picture as it came. */
struct jf_ask_image {
	const unsigned char *bytes; /* borrowed from the body, or owned; NULL: none came */
	size_t size;
	unsigned char *owned;
};

/* Takes in the body, parameters and picture. False after noting a problem that nothing more can be read after. */
bool jf_ask_image_find(struct jf_call *call, struct jf_ask_image *image);
/* Decodes and frames it as call->ask.framing says: out [H][W][C]. Fills call->ask.framed and decode_ms. False after
 * noting a problem, or a picture too large for this thread in call->heavy. */
bool jf_ask_image_frame(
    struct jf_call *call, float *out, const struct jf_ask_image *image, const struct jf_network_config *config);
void jf_ask_image_deinit(struct jf_ask_image *image);

#endif
