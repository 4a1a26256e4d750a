// SPDX-License-Identifier: BSD-2-Clause
// corpus.c - runs a fuzz target over its corpus, without a fuzzer.
/*
 * corpus_foo DIRECTORY: every file once as it is, then MUTATIONS random
 * changes of files (environment FUZZ_MUTATIONS), from a random seed that is
 * printed (environment FUZZ_SEED repeats one). Output is TAP. A crash ends the
 * program; the input at hand is printed in hex before.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	MUTATIONS = 20000,
	MILLISECONDS = 1500, /* for all mutations */
	INPUT_MAX = 1 << 20,
};

struct input {
	uint8_t *data;
	size_t size;
	char name[256];
};

static const struct input *now; /* the signal handler prints it */
static struct input *inputs;
static size_t n_inputs;
static uint64_t random_state;

/* xorshift64* */
static uint32_t random_u32(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dull) >> 32;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Sanitizers report the other signals themselves. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	defined(SANITIZED)
static const int signals[] = { SIGABRT };
#else
static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
#endif

/* Only async-signal-safe calls. */
static void print_input(int signal_number)
{
	static const char digits[] = "0123456789abcdef";
	char line[3];

	(void)!write(1, "\n# crashed on ", 14);
	(void)!write(1, now->name, strlen(now->name));
	(void)!write(1, ", in hex: ", 10);
	for (size_t i = 0; i < now->size && i < 65536; i++) {
		line[0] = digits[now->data[i] >> 4];
		line[1] = digits[now->data[i] & 15];
		(void)!write(1, line, 2);
	}
	(void)!write(1, "\n", 1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* Runs a copy of exactly its size, so that ASan sees a read beyond it. */
static void run(const struct input *input)
{
	uint8_t *copy = malloc(input->size ? input->size : 1);

	if (!copy)
		abort();
	memcpy(copy, input->data, input->size);
	now = input;
	LLVMFuzzerTestOneInput(copy, input->size);
	free(copy);
}

static int read_file(const char *dir, const char *name)
{
	struct input *input, *more;
	char path[4096];
	struct stat st;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	if (st.st_size > INPUT_MAX)
		return -EFBIG;
	file = fopen(path, "rb");
	more = realloc(inputs, (n_inputs + 1) * sizeof(*inputs));
	if (!file || !more)
		return -ENOMEM;
	inputs = more;
	input = &inputs[n_inputs++];
	snprintf(input->name, sizeof(input->name), "%s", name);
	input->data = malloc(st.st_size + 1);
	input->size = fread(input->data, 1, st.st_size, file);
	fclose(file);
	return 0;
}

static int read_dir(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir)))
		err = read_file(path, entry->d_name);
	closedir(dir);
	return err;
}

/* Changes a few bytes, cuts, repeats or joins. */
static void mutate(struct input *out)
{
	const struct input *from = &inputs[random_u32() % n_inputs];
	const struct input *with = &inputs[random_u32() % n_inputs];
	uint32_t n_changes = random_u32() % 8;

	memcpy(out->data, from->data, from->size);
	out->size = from->size;
	snprintf(out->name, sizeof(out->name), "a change of %.200s",
		 from->name);
	if (random_u32() % 4 == 0 && out->size)
		out->size = random_u32() % (out->size + 1);
	if (random_u32() % 4 == 0 && with->size) {
		size_t off = random_u32() % with->size;

		memcpy(out->data + out->size, with->data + off,
		       with->size - off);
		out->size += with->size - off;
	}
	for (uint32_t i = 0; i < n_changes && out->size; i++) {
		uint8_t *byte = &out->data[random_u32() % out->size];
		static const uint8_t edges[] = { 0,   1,   0x7f, 0x80, 0xff,
						 '"', '{', '[',	 ':',  '\n' };

		switch (random_u32() % 3) {
		case 0:
			*byte ^= 1 << random_u32() % 8;
			break;
		case 1:
			*byte = random_u32();
			break;
		default:
			*byte = edges[random_u32() % sizeof(edges)];
		}
	}
}

static void run_mutations(void)
{
	const char *want = getenv("FUZZ_MUTATIONS");
	const char *seed = getenv("FUZZ_SEED");
	uint64_t n = want ? strtoull(want, NULL, 0) : MUTATIONS;
	uint64_t end = clock_ns() + MILLISECONDS * 1000000ull;
	struct input out = { .data = malloc(2 * INPUT_MAX) };
	uint64_t done = 0;

	random_state = seed ? strtoull(seed, NULL, 0) : clock_ns() | 1;
	printf("# FUZZ_SEED=%" PRIu64 "\n", random_state);
	fflush(stdout);
	while (done < n && (want || clock_ns() < end)) {
		mutate(&out);
		run(&out);
		done++;
	}
	free(out.data);
	printf("# %" PRIu64 " mutations\n", done);
}

int main(int argc, char **argv)
{
	int err = argc == 2 ? read_dir(argv[1]) : -EINVAL;

	printf("1..2\n");
	if (err || !n_inputs) {
		printf("Bail out! %s: %s\n", argc == 2 ? argv[1] : "usage",
		       err ? strerror(-err) : "an empty corpus");
		return 1;
	}
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], print_input);
	for (size_t i = 0; i < n_inputs; i++)
		run(&inputs[i]);
	printf("ok 1 - %zu files of the corpus\n", n_inputs);
	fflush(stdout);
	run_mutations();
	printf("ok 2 - mutations of them\n");
	for (size_t i = 0; i < n_inputs; i++)
		free(inputs[i].data);
	free(inputs);
	return 0;
}
