/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz.h - how fuzz targets are written and run. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H
/*
 * Each parser of foreign bytes has a target fuzz_foo.c that defines
 * LLVMFuzzerTestOneInput() and a corpus of at least one file in corpus/foo/.
 * A line in meson.build builds it twice:
 *
 *  - With any compiler and the main() of corpus.c, as a test "corpus-foo" in
 *    the suite unit: all files of the corpus, then random changes of them.
 *  - With clang's libFuzzer: "make fuzz FUZZ=foo TIME=60", or all targets for
 *    a short while with "make check SUITE=fuzz". What libFuzzer finds lands in
 *    build-fuzz/crash-foo-*; a file that once failed joins the corpus.
 *
 * A target starts from the same state at every call, returns 0, frees what it
 * took, and checks what must hold afterwards with FUZZ_CHECK(): a target that
 * only looks for crashes misses half.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                  \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, \
				__LINE__, #condition);                         \
			abort();                                               \
		}                                                              \
	} while (0)

#endif
