/* A block of memory that is taken once and handed out piece by piece.
 *
 * Each worker has its own, so there is no locking, and nothing is allocated after warm-up: pieces are never freed one
 * by one, jf_arena_reset takes all of them back. */
#ifndef JF_CORE_BASE_ARENA_H
#define JF_CORE_BASE_ARENA_H

#include <stddef.h>

#define JF_ARENA_ALIGN 64 /* bytes; a cache line and an AVX-512 register */

struct jf_arena {
	unsigned char *base; /* JF_ARENA_ALIGN aligned */
	size_t size_bytes, used_bytes, peak_bytes;
};

/* size_bytes is rounded up to a multiple of JF_ARENA_ALIGN; contents start as zeros. NULL when memory is short. */
struct jf_arena *jf_arena_create(size_t size_bytes);
void jf_arena_destroy(struct jf_arena *arena); /* NULL allowed */

/* A piece of size_bytes, JF_ARENA_ALIGN aligned, contents unspecified; borrowed until the next reset.
 * NULL when the rest of the block is too small. A piece of 0 bytes is a valid pointer that must not be read. */
void *jf_arena_take(struct jf_arena *arena, size_t size_bytes);
void jf_arena_reset(struct jf_arena *arena);

/* What a piece of size_bytes takes of the block, for sizing it; saturates at SIZE_MAX. */
size_t jf_arena_footprint(size_t size_bytes);

#endif
