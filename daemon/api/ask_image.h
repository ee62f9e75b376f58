/* The pictures of a request: taken from the body, decoded and framed. */
#ifndef JF_DAEMON_API_ASK_IMAGE_H
#define JF_DAEMON_API_ASK_IMAGE_H

#include "daemon/api/call.h"

/* A picture as received. */
struct jf_ask_image {
	const unsigned char *bytes; /* borrowed from the body, or owned; NULL: see fault */
	size_t size;
	unsigned char *owned;
	char fault[160]; /* why there are no bytes */
};

struct jf_ask_images {
	struct jf_ask_image *item; /* owned */
	int n;
	bool many; /* they came as a list, and a list is the answer */
	struct jf_ask_image mask;
	bool masked;
};

/* Takes in the body, parameters and pictures; at least one, or a problem is noted. An edit has exactly one, and may
 * have a mask besides. False after noting a problem that ends the reading. */
bool jf_ask_image_find(struct jf_call *call, struct jf_ask_images *images);
/* What decoding it weighs (daemon/api/heavy.h); 0 when it is refused before that. */
size_t jf_ask_image_weight(const struct jf_call *call, const struct jf_ask_image *image);
/* Decodes and frames one as call->ask.framing says: out [H][W][C]. Adds to call->ask.decode_ms. JF_ENOMEM, or another
 * error whose message says, in words for the client, why it cannot be used. */
enum jf_err jf_ask_image_frame(struct jf_call *call, float *out, struct jf_framing_report *report,
    const struct jf_ask_image *image, const struct jf_network_config *config, struct jf_error *err);
/* Decodes the mask of an edit: redraw out [H][W]. JF_ENOMEM, or another error whose message says, in words for the
 * client, why it cannot be used ("is ..."). */
enum jf_err jf_ask_image_mask(
    bool *redraw, const struct jf_ask_image *mask, const struct jf_network_config *config, struct jf_error *err);
/* Notes that the one picture of a request, or the i-th of several, cannot be used. Always false. */
bool jf_ask_image_refuse(struct jf_call *call, const struct jf_ask_images *images, int i, const char *why);
void jf_ask_image_deinit(struct jf_ask_images *images);

#endif
