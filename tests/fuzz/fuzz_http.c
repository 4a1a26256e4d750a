// SPDX-License-Identifier: BSD-2-Clause
// fuzz_http.c - any bytes as a request to, or an answer from, an HTTP server.
/*
 * Input: one byte (bit 0: an answer, not a request), then the text.
 *
 * A request that is accepted names a path that cannot lead above the root, and
 * ends where it is said to end: less is no request, more changes nothing.
 */
#include "fuzz.h"

#include <string.h>

#include "reply.h"
#include "request.h"

static void check_path(const char *path)
{
	size_t len = strlen(path);

	FUZZ_CHECK(path[0] == '/' && len < REQUEST_PATH_MAX);
	FUZZ_CHECK(!strstr(path, "//") && !strstr(path, "/../") &&
		   !strstr(path, "/./"));
	FUZZ_CHECK(len < 2 || strcmp(path + len - 2, "/."));
	FUZZ_CHECK(len < 3 || strcmp(path + len - 3, "/.."));
	for (; *path; path++)
		FUZZ_CHECK((unsigned char)*path >= 0x20 && *path != 0x7f);
}

/* Parses the first len bytes in memory of just that size. */
static int parse(struct request *r, const uint8_t *data, size_t len)
{
	char *text = malloc(len ? len : 1);
	int n;

	memcpy(text, data, len);
	n = request_parse(r, text, len);
	free(text);
	return n;
}

static void fuzz_request(const uint8_t *data, size_t len)
{
	static struct request r, again;
	int n = parse(&r, data, len);

	if (n <= 0) {
		FUZZ_CHECK(!n || n == -400 || n == -405 || n == -414 ||
			   n == -431 || n == -505);
		return;
	}
	FUZZ_CHECK((size_t)n <= len && n <= REQUEST_MAX);
	check_path(r.path);
	FUZZ_CHECK(parse(&again, data, (size_t)n - 1) == 0);
	memset(&again, 0, sizeof(again));
	FUZZ_CHECK(parse(&again, data, (size_t)n) == n);
	FUZZ_CHECK(again.head == r.head && again.keep_alive == r.keep_alive &&
		   !strcmp(again.path, r.path));
}

static void fuzz_reply(const uint8_t *data, size_t len)
{
	char *text = malloc(len ? len : 1);
	struct reply r;
	int n;

	memcpy(text, data, len);
	n = reply_parse(&r, text, len);
	FUZZ_CHECK(n >= -1 && (n < 0 || (size_t)n <= len));
	if (n > 0)
		FUZZ_CHECK(r.status >= 0 && r.status <= 999);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1)
		fuzz_reply(data + 1, size - 1);
	else
		fuzz_request(data + 1, size - 1);
	return 0;
}
