// SPDX-License-Identifier: BSD-2-Clause
// api_kloop_apart.c - loops that other processes run, in whatever namespace.
#include "csb.h"

#include <sched.h>

POINT(kloop_stop_from_another_process)
{
	static struct csb c;
	struct loop l;
	pid_t pid;

	csb_up(&c, "vale%:a");
	loop_up(&l, &c, NULL);
	csb_send(&c, 1);
	until(&c.ktoa[0].hwcur, 1);
	pid = fork();
	if (!pid) {
		WORKS(stop(c.p.fd));
		child_exit();
	}
	reap(pid);
	pthread_join(l.thread, NULL);
	EQ(l.result, 0);
}

/* A process that is killed inside, and not waited for, runs no loop. */
POINT(kloop_killed)
{
	static struct csb c;
	struct csb *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct loop l;
	pid_t pid;

	CHECK(shared != MAP_FAILED);
	csb_up(shared, "vale%:a");
	pid = fork();
	if (!pid) {
		start(shared->p.fd, 10, NULL);
		_exit(1);
	}
	csb_send(shared, 3);
	until(&shared->ktoa[0].hwcur, 3);
	FAILS(EBUSY, start(shared->p.fd, 10, NULL));
	WORKS(kill(pid, SIGKILL));
	WORKS(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT));
	WORKS(stop(shared->p.fd));
	WORKS(start(shared->p.fd, 10, NULL)); /* that STOP was for this one */
	c.p = shared->p;
	WORKS(csb_enable(&c));
	EQ(c.atok[0].head, 3);
	loop_up(&l, &c, NULL);
	csb_send(&c, 1);
	until(&c.ktoa[0].hwcur, 4);
	loop_down(&l);
}

static void needs_pid_namespaces(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(unshare(CLONE_NEWPID) ? 1 : 0);
	WORKS(waitpid(pid, &status, 0));
	if (status)
		skip("there are no pid namespaces to be had");
}

/* A child whose child is 1 in a pid namespace of its own, and runs a loop. */
static pid_t loop_far(struct csb *shared, pid_t *far)
{
	pid_t near = fork(), pid;

	if (near)
		return near;
	WORKS(unshare(CLONE_NEWPID));
	pid = fork();
	if (!pid) {
		start(shared->p.fd, 10, NULL);
		_exit(1);
	}
	__atomic_store_n(far, pid, __ATOMIC_RELEASE);
	waitpid(pid, NULL, 0);
	_exit(0);
}

/* A thread id of another pid namespace is another thread's here. */
POINT(kloop_killed_in_a_namespace)
{
	struct csb *shared = mmap(NULL, 2 * sizeof(*shared),
				  PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t *far = (pid_t *)(shared + 1), near;

	CHECK(shared != MAP_FAILED);
	needs_pid_namespaces();
	csb_up(shared, "vale%:a");
	near = loop_far(shared, far);
	csb_send(shared, 3);
	until(&shared->ktoa[0].hwcur, 3);
	/* From here on it is in no ring. */
	until(&shared->ktoa[0].hwtail, 2);
	while (!__atomic_load_n(far, __ATOMIC_ACQUIRE))
		usleep(1000);
	FAILS(EBUSY, csb_enable(shared));
	WORKS(kill(*far, SIGKILL));
	WORKS(waitid(P_PID, (id_t)near, NULL, WEXITED | WNOWAIT));
	WORKS(csb_enable(shared));
}

/* There our thread ids are nobody's. */
POINT(kloop_seen_from_a_namespace)
{
	static struct csb c;
	struct loop l;
	pid_t pid;

	needs_pid_namespaces();
	csb_up(&c, "vale%:a");
	loop_up(&l, &c, NULL);
	csb_send(&c, 1);
	until(&c.ktoa[0].hwcur, 1);
	pid = fork();
	if (!pid) {
		WORKS(unshare(CLONE_NEWPID));
		pid = fork();
		if (!pid)
			FAILS(EBUSY, csb_enable(&c));
		else
			reap(pid);
		child_exit();
	}
	reap(pid);
	loop_down(&l);
}
