// SPDX-License-Identifier: BSD-2-Clause
// config.c - apply, save, wait, rpc and completion.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/topology.h"
#include "tools/glenctl/glenctl.h"

/*
 * apply
 */

const char apply_help[] =
	"Makes the running switches, modules and ports equal to a YAML file and\n"
	"says what it changed. What is equal already is not touched; ports that\n"
	"programs opened by themselves stay. All is checked before anything\n"
	"changes, and a mistake is named with its line. FILE - is standard\n"
	"input. docs/topology.md describes the file; glenctl save writes one.\n"
	"\nOptions:\n"
	"  --dry-run    only say what would change\n"
	"\nExamples:\n"
	"  glenctl apply lab.yaml --dry-run\n"
	"  glenctl apply lab.yaml\n"
	"  ssh other glenctl save | glenctl apply -\n";

/*
 * call() of config.apply; an error that says which member of the configuration
 * it is about (error.data.path) gets the file's line in front.
 */
static int call_apply(struct ctl *ctl, const struct topology *t, json_t *params,
		      json_t **result)
{
	struct glen_error error = { 0 };
	struct config_where where = { "" };
	const char *path;
	json_t *answer = NULL;
	int ret, err = 0;

	ret = call(ctl, "version", NULL, CALL_TIMEOUT_MS, NULL);
	if (ret) {
		json_decref(params);
		return ret;
	}
	ret = rpc_send(&ctl->rpc, "config.apply", params, NULL, 0,
		       CALL_TIMEOUT_MS, &error);
	while (!ret) {
		json_decref(answer);
		ret = rpc_recv(&ctl->rpc, &answer, CALL_TIMEOUT_MS, &error);
		if (ret) {
			answer = NULL;
			break;
		}
		if (rpc_answer(&ctl->rpc, answer, result, &err, &error))
			break;
	}
	path = json_string_value(json_object_get(
		json_object_get(json_object_get(answer, "error"), "data"),
		"path"));
	if (err && path) {
		snprintf(where.path, sizeof(where.path), "%s", path);
		topology_locate(t, &where, &error);
	}
	json_decref(answer);
	if (ret)
		return complain(ret == -ETIMEDOUT ? EXIT_TIMEOUT :
						    EXIT_UNREACHABLE,
				"glend did not answer: %s", error.text);
	if (err)
		return complain(EXIT_REFUSED, "%s", error.text);
	return EXIT_OK;
}

static int parse_apply(const struct ctl *ctl, int argc, char **argv,
		       bool *dry_run)
{
	static const struct option longs[] = {
		{ "dry-run", no_argument, NULL, 'd' },
		{ 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "n", longs, NULL)) != -1) {
		if (c == '?')
			return bad_option(ctl, argv);
		*dry_run = true;
	}
	return check_args(ctl, argc - optind + 1, 1, 1);
}

int apply_run(struct ctl *ctl, int argc, char **argv)
{
	struct glen_error error = { 0 };
	struct topology *t;
	json_t *result = NULL, *change;
	bool dry_run = false;
	size_t i;
	int ret;

	ret = parse_apply(ctl, argc, argv, &dry_run);
	if (ret)
		return ret;
	ret = topology_load(argv[optind], &t, &error);
	if (ret)
		return complain(EXIT_REFUSED, "%s", error.text);
	ret = call_apply(ctl, t,
			 json_pack("{s:O, s:b}", "config", t->config, "dry_run",
				   dry_run),
			 &result);
	topology_destroy(t);
	if (ret)
		return ret;
	if (ctl->json)
		return print_json(result);
	json_array_foreach(json_object_get(result, "changes"), i, change)
		printf("%s%s\n", dry_run ? "would have " : "",
		       json_string_value(change));
	if (!json_array_size(json_object_get(result, "changes")))
		puts("nothing to change");
	json_decref(result);
	return EXIT_OK;
}

/*
 * save
 */

const char save_help[] =
	"Writes the configured switches and ports as YAML, for glenctl apply or\n"
	"glend --config; to standard output if no FILE is given. An existing\n"
	"file is replaced as a whole or not at all.\n"
	"\nExamples:\n"
	"  glenctl save\n"
	"  glenctl save /etc/glen/glen.yaml\n";

/* Returns 0 or -errno. */
static int write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += n;
	}
	return 0;
}

/* Writes a new file beside path and renames it. Returns 0 or -errno. */
static int replace_file(const char *path, mode_t mode, const char *text)
{
	char *temp;
	int fd, ret;

	if (asprintf(&temp, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		goto out_free;
	}
	ret = write_all(fd, text);
	if (!ret && (fchmod(fd, mode) || fsync(fd) || rename(temp, path)))
		ret = -errno;
	close(fd);
	if (ret)
		unlink(temp);
out_free:
	free(temp);
	return ret;
}

/*
 * Writes a file: one that is there is replaced, behind its symbolic links and
 * with its mode. What is no file, a pipe or /dev/stdout, must stay what it is.
 */
static int save_file(const char *path, const char *text)
{
	struct stat st;
	char *real;
	int fd, ret;

	if (stat(path, &st))
		return errno == ENOENT ? replace_file(path, 0644, text) :
					 -errno;
	if (S_ISREG(st.st_mode)) {
		real = realpath(path, NULL);
		/* /proc/self/fd/1 of a redirection may have no name at all. */
		ret = real ? replace_file(real, st.st_mode & 0777, text) :
			     -errno;
		free(real);
		if (ret != -ENOENT)
			return ret;
	}
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write_all(fd, text);
	close(fd);
	return ret;
}

int save_run(struct ctl *ctl, int argc, char **argv)
{
	json_t *config;
	char *text;
	int ret;

	ret = no_options(ctl, argc, argv, 0, 1);
	if (!ret)
		ret = call(ctl, "config.get", NULL, CALL_TIMEOUT_MS, &config);
	if (ret)
		return ret;
	if (ctl->json)
		text = json_dumps(config, JSON_INDENT(2));
	else
		text = topology_format(config);
	json_decref(config);
	if (!text)
		return complain(EXIT_REFUSED, "out of memory");
	if (argc < 2) {
		fputs(text, stdout);
		if (ctl->json)
			putchar('\n');
	} else {
		ret = save_file(argv[1], text);
		if (ret)
			ret = complain(EXIT_REFUSED, "cannot write %s: %s",
				       argv[1], strerror(-ret));
	}
	free(text);
	return ret;
}

/*
 * wait
 */

const char wait_help[] =
	"Returns as soon as the port exists and its link is up. Exit code 4\n"
	"when the time is over.\n"
	"\nOptions:\n"
	"  --timeout SECONDS    how long to wait (default: no limit)\n"
	"\nExample:\n"
	"  glenctl wait vale0:guest --timeout 10 && echo up\n";

int wait_run(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ 0 },
	};
	double seconds = -1;
	json_t *params, *result;
	int c, ret = 0, timeout_ms = -1;

	opterr = 0;
	while (!ret && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == '?')
			return bad_option(ctl, argv);
		ret = parse_seconds(ctl, "--timeout", optarg, 0, 1000000,
				    &seconds);
	}
	if (!ret)
		ret = check_args(ctl, argc - optind + 1, 1, 1);
	if (ret)
		return ret;
	if (seconds >= 0)
		timeout_ms = seconds * 1000;
	params = json_pack("{s:s, s:i}", "port", argv[optind], "timeout_ms",
			   timeout_ms);
	/* glend ends the wait; glenctl only if glend hangs. */
	ret = call(ctl, "port.wait", params,
		   timeout_ms < 0 ? -1 : timeout_ms + CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	if (ctl->json)
		return print_json(result);
	json_decref(result);
	return EXIT_OK;
}

/*
 * rpc
 */

const char rpc_help[] =
	"Calls a method of the control protocol (docs/control.md) and prints\n"
	"its result as JSON.\n"
	"\nExamples:\n"
	"  glenctl rpc version\n"
	"  glenctl rpc port.show '{\"port\": \"vale0:a\"}'\n";

int rpc_run(struct ctl *ctl, int argc, char **argv)
{
	json_t *params = NULL, *result;
	json_error_t error;
	int ret = no_options(ctl, argc, argv, 1, 2);

	if (ret)
		return ret;
	if (argc > 2) {
		params = json_loads(argv[2], JSON_REJECT_DUPLICATES, &error);
		if (!params)
			return bad_usage(ctl,
					 "parameters are not JSON: %s "
					 "(column %d)",
					 error.text, error.column);
	}
	ret = call(ctl, argv[1], params, -1, &result);
	return ret ? ret : print_json(result);
}

/*
 * completion
 */

static const char bash_help[] = "Prints completion for bash.\n"
				"\nExample:\n"
				"  source <(glenctl completion bash)\n";

static int bash_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 0, 0);

	if (!ret)
		fputs(completion_bash, stdout);
	return ret;
}

const struct command completion_commands[] = {
	{ "bash", "", "for bash", bash_help, bash_run, NULL },
	{ NULL },
};
