/* The bump allocator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/arena.h"

static void test_take_and_reset(void **state) {
	struct jf_arena *arena = jf_arena_create(1000);
	unsigned char *a, *b;

	(void)state;
	assert_non_null(arena);
	assert_int_equal(arena->size_bytes, 1024);
	a = jf_arena_take(arena, 1);
	b = jf_arena_take(arena, 960);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal((uintptr_t)a % JF_ARENA_ALIGN, 0);
	assert_ptr_equal(b, a + JF_ARENA_ALIGN);
	memset(b, 1, 960);
	assert_null(jf_arena_take(arena, 1));
	assert_non_null(jf_arena_take(arena, 0));
	jf_arena_reset(arena);
	assert_ptr_equal(jf_arena_take(arena, 1024), a);
	assert_int_equal(arena->peak_bytes, 1024);
	jf_arena_destroy(arena);
	jf_arena_destroy(NULL);
}

static void test_limits(void **state) {
	struct jf_arena *arena = jf_arena_create(0);

	(void)state;
	assert_non_null(arena);
	assert_null(jf_arena_take(arena, 1));
	assert_null(jf_arena_take(arena, SIZE_MAX));
	jf_arena_destroy(arena);
	assert_null(jf_arena_create(SIZE_MAX));
	assert_null(jf_arena_create(SIZE_MAX / 2));
	assert_int_equal(jf_arena_footprint(SIZE_MAX), SIZE_MAX);
	assert_int_equal(jf_arena_footprint(0), 0);
	assert_int_equal(jf_arena_footprint(65), 128);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_take_and_reset),
	    cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
