/* Quasi-flat zones of a picture (Soille, "Constrained connectivity for hierarchical image partitioning and
 * simplification", PAMI 2008): neighbours whose levels differ by at most a small step belong together, however far a
 * zone drifts from one end to the other. Soft light and shadow stay within a zone; the edge of a stroke, a sheet or a
 * frame ends it. */
#ifndef JF_CORE_PICTURES_ZONES_H
#define JF_CORE_PICTURES_ZONES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"

#define JF_ZONES_SIDE 128 /* cells a side, at most: a larger picture is averaged, which also quietens its noise */

struct jf_zones {
	int height, width, n;
	float *grey;     /* owned, [height][width]: levels */
	uint32_t *zone;  /* owned, [height][width]: which zone, 0 to n - 1 */
	uint32_t *cells; /* owned, [n]: how many cells it has */
	uint32_t *rim;   /* owned, [n]: how many of them lie on the picture's border */
	uint32_t *queue; /* owned, [height * width]: for walks */
};

/* grey [height][width], 0 to 255. JF_ENOMEM; on failure *zones is {0}. */
enum jf_err jf_zones_find(struct jf_zones *zones, const float *grey, int height, int width, struct jf_error *err);
void jf_zones_deinit(struct jf_zones *zones);

/* The zone with the most of count [n] (cells or rim) but zone `besides` (-1: none); -1 when there is no other. */
int jf_zones_most(const struct jf_zones *zones, const uint32_t *count, int besides);

/* inside [height][width]: 1 on the zone and in its holes, 0 where one gets to from the picture's border without
 * crossing it. Returns how many cells are inside. */
uint32_t jf_zones_fill(const struct jf_zones *zones, uint8_t *inside, int zone);

#endif
