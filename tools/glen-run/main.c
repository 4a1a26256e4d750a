// SPDX-License-Identifier: BSD-2-Clause
// main.c - glen-run: runs a program for netmap or libpcap on glen.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/glen/glen.h"
#include "lib/rpc.h"

enum {
	EXIT_USAGE = 2,
	EXIT_SETUP = 125, /* as env(1) and others that run a program */
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	START_MS = 15000, /* for a private glend to listen */
};

/* A glend of our own. */
struct own_glend {
	char dir[64];
	char socket[96], log[96];
	pid_t pid; /* 0: none */
};

static volatile sig_atomic_t child; /* who gets our signals */

static int fail(int status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int fail(int status, const char *format, ...)
{
	va_list args;

	fputs("glen-run: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

static void usage(FILE *to)
{
	fputs("usage: glen-run [options] PROGRAM [ARGUMENT...]\n"
	      "\n"
	      "Runs a program that is written for netmap: its /dev/netmap is "
	      "a port of glend,\n"
	      "switches are those that glenctl shows. A program for libpcap "
	      "may use the device\n"
	      "glen:SWITCH:PORT.\n"
	      "\n"
	      "  -s, --socket PATH  glend's control socket (default: "
	      "$GLEN_SOCKET, else as\n"
	      "                     glend's)\n"
	      "  -w, --swap         ports of one region exchange buffers where "
	      "packets were copied:\n"
	      "                     a slot may name another buffer after a "
	      "sync\n"
	      "  -p, --private      start a glend for this program alone; it "
	      "ends with it\n"
	      "  -l, --log FILE     append messages of the library to FILE\n"
	      "  -h, --help\n"
	      "  -V, --version\n"
	      "\n"
	      "Examples:\n"
	      "  glen-run pkt-gen -i vale0:a -f tx\n"
	      "  glen-run --private sh -c 'pkt-gen -i vale0:a -f rx & pkt-gen "
	      "-i vale0:b -f tx'\n",
	      to);
}

/* Directory of this program. */
static bool own_dir(char *dir, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", dir, size - 1);

	if (n <= 0)
		return false;
	dir[n] = 0;
	dirname(dir);
	return true;
}

/* Where a file is: beside this program's build directory, or installed. */
static bool find_file(char *path, const char *const *places, unsigned n)
{
	char dir[PATH_MAX / 2], rough[PATH_MAX];

	for (unsigned i = 0; i < n; i++) {
		if (*places[i] == '/') {
			snprintf(rough, sizeof(rough), "%s", places[i]);
		} else {
			if (!own_dir(dir, sizeof(dir)))
				continue;
			snprintf(rough, sizeof(rough), "%s/%s", dir, places[i]);
		}
		if (realpath(rough, path) && !access(path, R_OK))
			return true;
	}
	return false;
}

/* What is to be preloaded, as LD_PRELOAD wants it: for programs that use netmap
 * and for those that use libpcap. list has room for both. 0 or EXIT_SETUP. */
static int find_libraries(char *list)
{
	static const struct {
		const char *name;
		const char *places[3];
	} libraries[] = {
		{ "libglen-netmap.so",
		  { "../netmap/libglen-netmap.so", /* a build directory */
		    GLEN_NETMAP_DIR "/libglen-netmap.so",
		    /* An installation that was moved. */
		    "../" GLEN_NETMAP_RELATIVE "/libglen-netmap.so" } },
		{ "libglen-pcap.so",
		  { "../netmap/libglen-pcap.so",
		    GLEN_LIB_DIR "/libglen-pcap.so",
		    "../" GLEN_LIB_RELATIVE "/libglen-pcap.so" } },
	};
	char path[PATH_MAX];

	for (unsigned i = 0; i < 2; i++) {
		if (!find_file(path, libraries[i].places, 3))
			return fail(EXIT_SETUP,
				    "cannot find %s; is glen installed as a "
				    "whole?",
				    libraries[i].name);
		if (strpbrk(path, ": "))
			return fail(EXIT_SETUP,
				    "%s: the path of what is to be preloaded "
				    "must not have spaces or colons; install "
				    "glen elsewhere",
				    path);
		list += sprintf(list, "%s%s", i ? ":" : "", path);
	}
	return 0;
}

static bool find_glend(char *path)
{
	const char *const places[] = { "../glend", GLEND_DIR "/glend",
				       "../sbin/glend" };

	return find_file(path, places, sizeof(places) / sizeof(places[0]));
}

/*
 * A library that was built with a sanitizer needs its runtime, which must come
 * first, unless the program brings it.
 */
#ifdef GLEN_SANITIZER_RUNTIME
static bool has_runtime(const char *program)
{
	static const char mark[] = GLEN_SANITIZER_MARK;
	char path[PATH_MAX];
	bool has = false;
	struct stat st;
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s", program);
	if (!strchr(program, '/')) {
		const char *dirs = getenv("PATH");

		while (dirs && *dirs) {
			size_t n = strcspn(dirs, ":");

			snprintf(path, sizeof(path), "%.*s/%s", (int)n, dirs,
				 program);
			if (!access(path, X_OK))
				break;
			dirs += n + (dirs[n] == ':');
		}
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p != MAP_FAILED) {
		has = memmem(p, (size_t)st.st_size, mark, sizeof(mark) - 1);
		munmap(p, (size_t)st.st_size);
	}
	close(fd);
	return has;
}

/* What a program leaks that was not built with it is not ours to say. */
static int skip_leaks(void)
{
	const char *before = getenv("ASAN_OPTIONS");
	char *value;
	int err;

	if (asprintf(&value, "%s%sdetect_leaks=0", before ? before : "",
		     before && *before ? ":" : "") < 0)
		return -1;
	err = setenv("ASAN_OPTIONS", value, 1);
	free(value);
	return err;
}
#endif

/* Puts the libraries in front of what is preloaded already. */
static int set_preload(const char *list, const char *program)
{
	const char *before = getenv("LD_PRELOAD"), *runtime = "";
	char *value;
	int err;

#ifdef GLEN_SANITIZER_RUNTIME
	if (!has_runtime(program)) {
		runtime = GLEN_SANITIZER_RUNTIME ":";
		if (skip_leaks())
			return fail(EXIT_SETUP, "out of memory");
	}
#endif
	if (asprintf(&value, "%s%s%s%s", runtime, list,
		     before && *before ? ":" : "", before ? before : "") < 0)
		return fail(EXIT_SETUP, "out of memory");
	err = setenv("LD_PRELOAD", value, 1);
	free(value);
	return err ? fail(EXIT_SETUP, "out of memory") : 0;
}

/* Does a glend answer? It says what to do if none does. */
static int check_glend(void)
{
	struct glen_error error;
	json_t *result = NULL;
	struct rpc r;
	int err = rpc_open(&r, NULL, 0, &error);

	if (!err)
		err = rpc_call(&r, "version", NULL, NULL, 0, &result, 5000,
			       &error);
	json_decref(result);
	rpc_close(&r);
	if (!err)
		return 0;
	return fail(EXIT_SETUP, "%s; or let glen-run start one with --private",
		    error.text);
}

static void print_log(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		fputs(line, stderr);
	if (f)
		fclose(f);
}

static void end_glend(struct own_glend *g)
{
	const char *const names[] = { "glend.sock", "glend.log",
				      "glend.sock.state" };
	char path[128];
	int status;

	if (g->pid > 0) {
		kill(g->pid, SIGINT);
		while (waitpid(g->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	for (unsigned i = 0; *g->dir && i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", g->dir, names[i]);
		unlink(path);
	}
	if (*g->dir)
		rmdir(g->dir);
}

static void run_glend(const struct own_glend *g, const char *path)
{
	int fd = open(g->log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	pid_t parent = getppid();

	prctl(PR_SET_PDEATHSIG, SIGINT);
	if (getppid() != parent)
		_exit(0);
	/* Ctrl-C is for the program; glend ends after it. */
	setpgid(0, 0);
	if (fd >= 0) {
		dup2(fd, 1);
		dup2(fd, 2);
	}
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		dup2(fd, 0);
	execl(path, "glend", "--socket", g->socket, "--no-state", (char *)NULL);
	_exit(EXIT_NOT_FOUND);
}

static int start_glend(struct own_glend *g)
{
	char path[PATH_MAX];
	struct glen_error error;
	int64_t tries = START_MS / 50;
	struct rpc r;

	if (!find_glend(path))
		return fail(EXIT_SETUP, "cannot find glend");
	strcpy(g->dir, "/tmp/glen-run-XXXXXX");
	if (!mkdtemp(g->dir)) {
		*g->dir = 0;
		return fail(EXIT_SETUP, "cannot make a directory in /tmp: %s",
			    strerror(errno));
	}
	snprintf(g->socket, sizeof(g->socket), "%s/glend.sock", g->dir);
	snprintf(g->log, sizeof(g->log), "%s/glend.log", g->dir);
	g->pid = fork();
	if (g->pid < 0)
		return fail(EXIT_SETUP, "fork: %s", strerror(errno));
	if (!g->pid)
		run_glend(g, path);
	while (rpc_open(&r, g->socket, 50, &error)) {
		int status;

		if (waitpid(g->pid, &status, WNOHANG) == g->pid) {
			g->pid = 0;
			print_log(g->log);
			return fail(EXIT_SETUP, "the private glend ended at "
						"once");
		}
		if (!--tries)
			return fail(EXIT_SETUP, "%s", error.text);
	}
	rpc_close(&r);
	setenv("GLEN_SOCKET", g->socket, 1);
	return 0;
}

static int run_program(char **argv)
{
	int err;

	execvp(argv[0], argv);
	err = errno;
	return fail(err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN,
		    "cannot run %s: %s", argv[0], strerror(err));
}

/* The library is silent about a log that it cannot write. */
static int check_log(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return fail(EXIT_SETUP, "cannot write to the log %s: %s", path,
			    strerror(errno));
	close(fd);
	return 0;
}

static void pass_on(int number)
{
	if (child > 0)
		kill((pid_t)child, number);
}

/* Runs the program as a child, and passes signals on to it. */
static int run_and_wait(char **argv)
{
	const int signals[] = { SIGINT,	 SIGTERM, SIGHUP,
				SIGQUIT, SIGUSR1, SIGUSR2 };
	struct sigaction pass = { .sa_handler = pass_on,
				  .sa_flags = SA_RESTART };
	const unsigned n = sizeof(signals) / sizeof(signals[0]);
	sigset_t set, old;
	int status;
	pid_t pid;

	sigemptyset(&set);
	for (unsigned i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, &old);
	pid = fork();
	if (!pid) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		_exit(run_program(argv));
	}
	if (pid < 0)
		return fail(EXIT_SETUP, "fork: %s", strerror(errno));
	child = pid;
	for (unsigned i = 0; i < n; i++)
		sigaction(signals[i], &pass, NULL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	child = 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}

/* The libraries are for the program, not for glend. */
static int with_own_glend(const char *list, char **argv)
{
	struct own_glend g = { .pid = 0 };
	int status = start_glend(&g);

	if (!status)
		status = set_preload(list, argv[0]);
	if (!status)
		status = run_and_wait(argv);
	end_glend(&g);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "swap", no_argument, NULL, 'w' },
		{ "private", no_argument, NULL, 'p' },
		{ "log", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	char path[PATH_MAX], log[PATH_MAX] = "", list[2 * PATH_MAX];
	bool own = false;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "+s:wpl:hV", options, NULL)) !=
	       -1) {
		switch (opt) {
		case 's':
			setenv("GLEN_SOCKET", optarg, 1);
			break;
		case 'w':
			setenv("GLEN_NETMAP_SWAP", "1", 1);
			break;
		case 'p':
			own = true;
			break;
		case 'l':
			/* Programs may change their directory. */
			if (*optarg == '/' || !getcwd(path, sizeof(path)))
				*path = 0;
			snprintf(log, sizeof(log), "%.2000s%s%.2000s", path,
				 *path ? "/" : "", optarg);
			setenv("GLEN_NETMAP_LOG", log, 1);
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			printf("glen-run %s\n", GLEN_VERSION);
			return 0;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	status = *log ? check_log(log) : 0;
	if (!status)
		status = find_libraries(list);
	if (!status && own)
		return with_own_glend(list, argv + optind);
	if (!status)
		status = check_glend();
	if (!status)
		status = set_preload(list, argv[optind]);
	return status ? status : run_program(argv + optind);
}
