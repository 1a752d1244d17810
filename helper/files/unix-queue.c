// SPDX-License-Identifier: GPL-2.0
/*
 * Messages waiting in unix sockets.  They are read with MSG_PEEK at a moving SO_PEEK_OFF, so that the queue stays; the
 * offset is the socket's, so it is put back whatever happens to the helper.  One message of sk-queues.img is what one
 * sendmsg() put in: a packet, or a piece of a stream.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "unix.h"

#define QUEUE_BUFFER	(256UL << 10)
#define MAX_RIGHTS	253		/* SCM_MAX_FD */

struct message {
	struct message *next;
	char *data;
	size_t room;
	ssize_t len;			/* negative: there was none */
	int fds[MAX_RIGHTS];
	size_t nr_fds;
	struct ucred cred;
	bool has_cred;
	struct sockaddr_un from;
	socklen_t from_len;
};

/* one message; 1, or 0 if there is none */
static int peek(int fd, struct message *m)
{
	char control[CMSG_SPACE(sizeof(int) * MAX_RIGHTS) + CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { .iov_base = m->data, .iov_len = m->room };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control), .msg_name = &m->from, .msg_namelen = sizeof(m->from) };
	struct cmsghdr *c;

	m->nr_fds = 0;
	m->has_cred = false;
	m->len = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
	if (m->len < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			m->nr_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(m->fds, CMSG_DATA(c), m->nr_fds * sizeof(int));
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			m->has_cred = true;
			memcpy(&m->cred, CMSG_DATA(c), sizeof(m->cred));
		}
	}
	m->from_len = msg.msg_namelen;
	return 1;
}

static int message_dump(struct crk_dump *d, const struct crk_dfile *f, struct message *m)
{
	SkPacketEntry e = SK_PACKET_ENTRY__INIT;
	ScmEntry scm = SCM_ENTRY__INIT, *scms[] = { &scm };
	uint32_t ids[MAX_RIGHTS];
	CrkFileEntry *extra = crk_dfile_extra(d, f);
	SkMessage *sk = dump_msg(d, SkMessage, sk_message__init), **more;
	struct crk_img *img;
	int err = 0, err2;
	size_t i, nr_fds;

	for (i = 0; i < m->nr_fds; i++) {
		err2 = err ?: crk_files_dump_fd(d, f, m->fds[i], &ids[i]);
		close(m->fds[i]);
		err = err ?: err2;
	}
	nr_fds = m->nr_fds;
	m->nr_fds = 0;
	if (err || !extra || !sk)
		return err ?: -ENOMEM;
	e.id_for = f->id;
	e.length = m->len;
	if (nr_fds) {
		scm.type = SCM_RIGHTS;
		scm.rights = ids;
		scm.n_rights = nr_fds;
		e.scm = scms;
		e.n_scm = 1;
	}
	if (m->has_cred && m->cred.pid) {
		sk->has_pid = sk->has_uid = sk->has_gid = true;
		sk->pid = m->cred.pid;
		sk->uid = m->cred.uid;
		sk->gid = m->cred.gid;
	}
	if (m->from_len > offsetof(struct sockaddr_un, sun_path)) {
		sk->has_from = true;
		sk->from.len = m->from_len - offsetof(struct sockaddr_un, sun_path);
		sk->from.data = crk_dump_alloc(d, sk->from.len);
		if (!sk->from.data)
			return -ENOMEM;
		memcpy(sk->from.data, m->from.sun_path, sk->from.len);
	}
	/* room doubles at powers of two */
	if (!(extra->n_sk_messages & (extra->n_sk_messages - 1))) {
		more = crk_dump_alloc(d, (extra->n_sk_messages * 2 + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		if (extra->n_sk_messages)
			memcpy(more, extra->sk_messages, extra->n_sk_messages * sizeof(*more));
		extra->sk_messages = more;
	}
	extra->sk_messages[extra->n_sk_messages++] = sk;
	err = crk_dump_img(d, CRK_IMG_SK_QUEUES, &img);
	err = err ?: crk_img_put(img, &e.base);
	return err ?: crk_img_put_raw(img, m->data, m->len);
}

static int peek_off_set(int fd, int off)
{
	return setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) ? -errno : 0;
}

static void close_fds(struct message *m)
{
	while (m->nr_fds)
		close(m->fds[--m->nr_fds]);
}

static void message_free(struct message *m)
{
	close_fds(m);
	free(m->data);
	free(m);
}

static int room_for(struct message *m, size_t len)
{
	char *more = realloc(m->data, len);

	if (!more)
		return crk_oom();
	m->data = more;
	m->room = len;
	return 0;
}

/* what waits in a socket */
struct queue {
	int fd, type;
	uint32_t *lens;			/* of the pieces of a stream */
	size_t nr_lens, left;		/* bytes of them that nobody has read */
	struct message *first, **end;
};

/* a message of the queue, with this much room */
static int queue_add(struct queue *q, size_t room, struct message **ret)
{
	struct message *m = calloc(1, sizeof(*m));

	if (!m)
		return crk_oom();
	m->len = -1;
	*q->end = m;
	q->end = &m->next;
	*ret = m;
	return room_for(m, room);
}

/*
 * A peek at a stream that ends where plain bytes end brings the descriptors of those behind them.  So one byte more is
 * asked for: the bytes that descriptors come with end a read, plain ones don't.
 */
static int stream_peek(struct queue *q)
{
	size_t i, done = 0, off = 0, len;
	struct message *m;
	int ret;

	for (i = 0; i < q->nr_lens; i++)
		done += q->lens[i];
	if (done < q->left)
		return -EBADMSG;
	done -= q->left;		/* has been read */
	for (i = 0; i < q->nr_lens && off < q->left; i++) {
		if (done >= q->lens[i])
			return -EBADMSG;
		len = q->lens[i] - done;
		done = 0;
		ret = queue_add(q, len + 1, &m);
		ret = ret ?: peek_off_set(q->fd, off);
		ret = ret ?: peek(q->fd, m);
		if (ret <= 0 || m->len < (ssize_t)len)
			return ret < 0 ? ret : -EBADMSG;
		if (m->len > (ssize_t)len)
			close_fds(m);
		m->len = len;
		off += len;
	}
	return 0;
}

static int packets_peek(struct queue *q)
{
	struct message *m;
	int ret, off = 0;

	ret = peek_off_set(q->fd, 0);
	while (!ret) {
		ret = queue_add(q, QUEUE_BUFFER, &m);
		ret = ret ?: peek(q->fd, m);
		if (ret > 0 && (size_t)m->len > m->room) {
			close_fds(m);
			ret = room_for(m, m->len);
			ret = ret ?: peek_off_set(q->fd, off);
			ret = ret ?: peek(q->fd, m);
		}
		/* the end of packets whose sender is gone; a datagram may be empty */
		if (ret > 0 && !m->len && q->type != SOCK_DGRAM)
			m->len = -1;
		if (ret < 0 || m->len < 0)
			break;
		off += m->len;
		ret = m->len ? room_for(m, m->len) : 0;
	}
	return ret;
}

static int queue_peek(void *arg)
{
	struct queue *q = arg;
	socklen_t len = sizeof(int);
	int off, ret, err;

	if (getsockopt(q->fd, SOL_SOCKET, SO_PEEK_OFF, &off, &len))
		return -errno;
	ret = q->type == SOCK_STREAM ? stream_peek(q) : packets_peek(q);
	err = peek_off_set(q->fd, off);
	return ret < 0 ? ret : err;
}

int crk_unix_queue_dump(struct crk_dump *d, const struct crk_dfile *f, int fd, int type)
{
	struct queue q = { .fd = fd, .type = type, .end = &q.first };
	struct message *m, *next;
	int ret = 0, left;

	if (type == SOCK_STREAM) {
		/* an error may wait at the end of the queue, and reading there would take it */
		ret = ioctl(fd, SIOCINQ, &left) ? -errno : 0;
		if (ret || !left)
			return ret ? crk_dfile_err(ret, f, "cannot tell how much waits in it") : 0;
		q.left = left;
		ret = crk_dev_queue(d->dev, fd, &q.lens, &q.nr_lens);
	}
	ret = ret ?: crk_shielded(queue_peek, &q);
	for (m = q.first; m; m = next) {
		next = m->next;
		if (ret >= 0 && m->len >= 0)
			ret = message_dump(d, f, m);
		message_free(m);
	}
	free(q.lens);
	return ret < 0 ? crk_dfile_err(ret, f, "cannot read what waits in it") : 0;
}

/* ---- restore ---- */

int crk_unix_queue_load(struct crk_rst *r, struct crk_unix_packet **list_ret)
{
	struct crk_unix_packet **tail = list_ret, *p;
	struct crk_img *img;
	ProtobufCMessage *msg;
	size_t i, nr;
	int ret, err;

	ret = crk_img_open(r->dir, CRK_IMG_SK_QUEUES, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		SkPacketEntry *e = (SkPacketEntry *)msg;

		nr = e->n_scm ? e->scm[0]->n_rights : 0;
		p = e->length <= crk_img_left(img) && nr <= MAX_RIGHTS ?
			crk_restore_alloc(r, sizeof(*p) + nr * sizeof(uint32_t) + e->length) : NULL;
		if (!p) {
			sk_packet_entry__free_unpacked(e, NULL);
			ret = crk_fail(-EBADMSG, "sk-queues.img makes no sense");
			break;
		}
		p->id_for = e->id_for;
		p->length = e->length;
		p->rights = (uint32_t *)(p + 1);
		p->nr_rights = nr;
		for (i = 0; i < nr; i++)
			p->rights[i] = e->scm[0]->rights[i];
		p->data = (char *)(p->rights + nr);
		sk_packet_entry__free_unpacked(e, NULL);
		*tail = p;
		tail = &p->next;
		ret = crk_img_get_raw(img, p->data, p->length);
		if (ret)
			break;
	}
	err = crk_img_close(img);
	return ret ?: err;
}

static int send_one(int fd, struct msghdr *msg)
{
	ssize_t n;

	do
		n = sendmsg(fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (size_t)n == msg->msg_iov->iov_len ? 0 : -EMSGSIZE;
}

int crk_unix_queue_send(struct crk_rst *r, const struct crk_unix_packet *p, size_t n, int fd,
			const struct sockaddr_un *to, socklen_t to_len)
{
	const CrkFileEntry *extra = crk_rfile_extra(r, p->id_for);
	const SkMessage *sk = extra && n < extra->n_sk_messages ? extra->sk_messages[n] : NULL;
	char control[CMSG_SPACE(sizeof(int) * MAX_RIGHTS) + CMSG_SPACE(sizeof(struct ucred))] = {};
	struct iovec iov = { .iov_base = p->data, .iov_len = p->length };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control), .msg_name = (void *)to, .msg_namelen = to_len };
	int fds[MAX_RIGHTS], err;
	struct cmsghdr *c;
	size_t i, used = 0;

	c = CMSG_FIRSTHDR(&msg);
	if (p->nr_rights) {
		for (i = 0; i < p->nr_rights; i++) {
			err = crk_rfile_get(r, p->rights[i], &fds[i]);
			if (err)
				return err;
		}
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(p->nr_rights * sizeof(int));
		memcpy(CMSG_DATA(c), fds, p->nr_rights * sizeof(int));
		used += CMSG_SPACE(p->nr_rights * sizeof(int));
		c = (void *)(control + used);
	}
	if (sk && sk->has_pid) {
		/* a sender that is gone cannot be named again */
		struct ucred cred = { kill(sk->pid, 0) && errno == ESRCH ? getpid() : sk->pid, sk->uid, sk->gid };

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof(cred));
		memcpy(CMSG_DATA(c), &cred, sizeof(cred));
		used += CMSG_SPACE(sizeof(cred));
	}
	msg.msg_controllen = used;
	if (!used)
		msg.msg_control = NULL;
	return send_one(fd, &msg);
}
