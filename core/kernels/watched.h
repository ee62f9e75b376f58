/* What a sanitizer sees of the innermost loops; part of body.h.
 *
 * A loop whose every load and store is checked for itself takes ten times as long, and the tests spend most of their
 * time there. Such a loop is JF_UNWATCHED and says before it starts which memory it reads and writes: the same bytes
 * are checked, all at once. Only where JF_WATCH_TILES is defined (configure.ac): the portable kernels are checked
 * access by access as ever. Without a sanitizer nothing of this is left. */
#ifndef JF_CORE_KERNELS_WATCHED_H
#define JF_CORE_KERNELS_WATCHED_H

#include <stddef.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define WATCHED_ADDRESS
#endif
#if __has_feature(thread_sanitizer)
#define WATCHED_THREAD
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WATCHED_ADDRESS
#endif
#ifdef __SANITIZE_THREAD__
#define WATCHED_THREAD
#endif

#if defined JF_WATCH_TILES && defined WATCHED_ADDRESS
#define JF_UNWATCHED __attribute__((no_sanitize("address")))
void *__asan_region_is_poisoned(void *begin, size_t size);
/* The access itself is what AddressSanitizer reports. */
static inline void watch_read(const float *begin, size_t n) {
	const volatile char *bad = __asan_region_is_poisoned((void *)(size_t)begin, n * sizeof(float));
	if (bad)
		(void)*bad;
}
static inline void watch_write(float *begin, size_t n) {
	volatile char *bad = __asan_region_is_poisoned(begin, n * sizeof(float));
	if (bad)
		*bad = 0;
}
#elif defined JF_WATCH_TILES && defined WATCHED_THREAD
#define JF_UNWATCHED __attribute__((no_sanitize("thread")))
void __tsan_read_range(void *begin, unsigned long size);
void __tsan_write_range(void *begin, unsigned long size);
static inline void watch_read(const float *begin, size_t n) {
	__tsan_read_range((void *)(size_t)begin, n * sizeof(float));
}
static inline void watch_write(float *begin, size_t n) {
	__tsan_write_range(begin, n * sizeof(float));
}
#else
#define JF_UNWATCHED
static inline void watch_read(const float *begin, size_t n) {
	(void)begin;
	(void)n;
}
static inline void watch_write(float *begin, size_t n) {
	(void)begin;
	(void)n;
}
#endif

#endif
