// SPDX-License-Identifier: BSD-2-Clause
// session.c - a connection to a front end, from its begin to its end.
#include "port/vhost_user/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/discard.h"
#include "lib/error.h"

const char vhost_memory_is_gone[] =
	"memory that the front end shared is gone: its file was cut shorter, "
	"or its file system (tmpfs, hugetlbfs) is full";

void vhost_session_end(struct vhost_port *vp, const char *reason)
{
	if (!vhost_connected(vp))
		return;
	if (reason)
		error_set(&vp->last_error, -ECONNRESET, "%s", reason);
	port_log(vp->port, "the connection has ended: %s",
		 reason ? reason : "the front end closed it");
	loop_del(vp->loop, &vp->source);
	vhost_queues_forget(vp);
	vhost_memory_fini(&vp->memory);
	vhost_unmap(&vp->log_map);
	vp->log = NULL;
	vhost_inflight_forget(vp);
	if (vp->inflight_fd >= 0)
		close(vp->inflight_fd);
	discard_connection(vp->bin, vp->request_fd);
	vp->inflight_fd = vp->request_fd = -1;
	vhost_link_fini(&vp->link);
	vp->features = vp->protocol = 0;
	vp->status = 0;
	vp->has_status = false;
	vp->mtu = 0;
	port_peer_mtu(vp->port, 0);
	vp->source.fd = -1;
	atomic_store(&vp->port->caps, 0);
	atomic_store(&vp->memory_gone, false);
	vhost_socket_again(vp);
}

/* Waits for what the link needs next. */
static void watch(struct vhost_port *vp)
{
	uint32_t events = vp->link.out_len ? EPOLLOUT : EPOLLIN;

	if (events == vp->watched)
		return;
	loop_set(vp->loop, &vp->source, events);
	vp->watched = events;
}

/* Answers the message that was handled with err. 0, or -errno: it is over. */
static int answer(struct vhost_port *vp, int err, bool replies, int fd,
		  const char **why)
{
	struct vhost_message *m = &vp->link.in;

	if (replies)
		return vhost_link_reply(&vp->link, fd, why);
	if (m->flags & VHOST_NEED_REPLY &&
	    vhost_has_protocol(vp, VHOST_PROTOCOL_REPLY_ACK)) {
		if (err) {
			vp->last_error = vp->error;
			port_log(vp->port, "refused: %s", vp->error.text);
		}
		m->u64 = err != 0;
		m->size = sizeof(m->u64);
		return vhost_link_reply(&vp->link, -1, why);
	}
	/* A request that is not known is not one that would be relied on. */
	if (err && err != -EOPNOTSUPP)
		*why = vp->error.text;
	return err == -EOPNOTSUPP ? 0 : err;
}

/* Handles one message, if there is one. 1, 0: none, -errno: it is over. */
static int one_message(struct vhost_port *vp, const char **why)
{
	bool replies;
	int fd, err;

	if (discard_is_full(vp->bin)) {
		*why = "it sent descriptors that cannot be closed: who serves "
		       "their files does not answer";
		return -EPROTO;
	}
	err = vhost_link_read(&vp->link, why);
	if (err <= 0)
		return err;
	vp->heard = true;
	err = vhost_handle(vp, &replies, &fd);
	if (atomic_load(&vp->memory_gone)) {
		*why = vhost_memory_is_gone;
		return -EFAULT;
	}
	err = answer(vp, err, replies, fd, why);
	vhost_link_next(&vp->link);
	return err ?: 1;
}

static void on_socket(void *arg, uint32_t events)
{
	struct vhost_port *vp = arg;
	const char *why = "";
	int err = vhost_link_flush(&vp->link, &why);

	for (unsigned i = 0; !err && i < VHOST_TURN_MAX; i++) {
		err = one_message(vp, &why);
		if (!err)
			break;
		if (err > 0)
			err = 0;
	}
	if (err < 0) {
		char reason[sizeof(vp->last_error.text)];

		/* It may lie in what is cleared. */
		snprintf(reason, sizeof(reason), "%s", why);
		vhost_session_end(vp, err == -ENOTCONN ? NULL : reason);
		return;
	}
	watch(vp);
}

void vhost_session_begin(struct vhost_port *vp, int fd)
{
	socklen_t len = sizeof(vp->peer);

	memset(&vp->peer, 0, sizeof(vp->peer));
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &vp->peer, &len);
	vhost_link_init(&vp->link, fd, vp->bin);
	vp->source = (struct loop_source){ fd, on_socket, vp };
	vp->watched = EPOLLIN;
	vp->since_ms = vhost_now_ms();
	vp->heard = vp->useful = false;
	vp->connections++;
	port_log(vp->port, "process %d of uid %d has connected",
		 (int)vp->peer.pid, (int)vp->peer.uid);
	atomic_store(&vp->memory_gone, false);
	if (loop_add(vp->loop, &vp->source, EPOLLIN))
		vhost_session_end(vp, "the connection cannot be watched: out "
				      "of memory");
}

void vhost_session_tick(struct vhost_port *vp)
{
	const char *problem = NULL;

	if (vhost_connected(vp) &&
	    vhost_link_since(&vp->link) >= VHOST_STALL_MS)
		vhost_session_end(vp, vp->link.out_len ?
					      "the front end does not read "
					      "replies" :
					      "the front end sent part of a "
					      "message and stopped");
	if (vhost_connected(vp))
		problem = vhost_problem(vp);
	if (problem && problem != vp->problem)
		port_log(vp->port, "%s", problem);
	vp->problem = problem;
}
