#include "core/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t jf_arena_footprint(size_t size_bytes) {
	if (size_bytes > SIZE_MAX - (JF_ARENA_ALIGN - 1))
		return SIZE_MAX;
	return (size_bytes + JF_ARENA_ALIGN - 1) / JF_ARENA_ALIGN * JF_ARENA_ALIGN;
}

struct jf_arena *jf_arena_create(size_t size_bytes) {
	size_t size = jf_arena_footprint(size_bytes);
	struct jf_arena *arena;

	if (size > PTRDIFF_MAX) /* no object may be larger */
		return NULL;
	arena = calloc(1, sizeof(*arena));
	if (!arena)
		return NULL;
	arena->base = aligned_alloc(JF_ARENA_ALIGN, size ? size : JF_ARENA_ALIGN);
	if (!arena->base) {
		free(arena);
		return NULL;
	}
	/* Touching every page now keeps page faults out of the first request. */
	memset(arena->base, 0, size);
	arena->size_bytes = size;
	return arena;
}

void jf_arena_destroy(struct jf_arena *arena) {
	if (!arena)
		return;
	free(arena->base);
	free(arena);
}

void *jf_arena_take(struct jf_arena *arena, size_t size_bytes) {
	size_t size = jf_arena_footprint(size_bytes);
	void *piece = arena->base + arena->used_bytes;

	if (size > arena->size_bytes - arena->used_bytes)
		return NULL;
	arena->used_bytes += size;
	if (arena->used_bytes > arena->peak_bytes)
		arena->peak_bytes = arena->used_bytes;
	return piece;
}

void jf_arena_reset(struct jf_arena *arena) {
	arena->used_bytes = 0;
}
