/* The one entry point of a fuzz target. With --enable-fuzz libFuzzer calls it; without, replay.c does, once for every
 * file of the corpus. A target aborts when a promise is broken; the sanitizers watch the rest. */
#ifndef JF_TESTS_FUZZ_H
#define JF_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(promise) ((promise) ? (void)0 : abort())

#endif
