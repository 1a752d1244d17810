// SPDX-License-Identifier: GPL-2.0
/*
 * Unix sockets, the restore.  The coordinator makes all of them: both ends of a connection at once, by socketpair(2)
 * or, if one end has its name from a listening socket, by connecting to that.  What waits in them is sent when all
 * processes exist, so that messages have their senders' pids; only then come shut down directions and sizes.
 */
#include <errno.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../restore.h"
#include "unix.h"

struct rst_sk {
	uint32_t id;
	const UnixSkEntry *e;
	const CrkFileEntry *extra;
	int fd;				/* held; -1: not made */
	int other;			/* held: the end that was closed; -1 */
	size_t nr_sent;			/* messages */
	bool remove;			/* its file was removed: takes it away again */
};

struct rst_sks {
	struct rst_sk *sks;
	size_t nr;
	struct rst_sk **listeners;
	size_t nr_listeners;
	struct crk_unix_packet *packets;
	bool loaded, complete;
};

static struct rst_sks *rst_sks(struct crk_rst *r)
{
	return crk_restore_state(r, &crk_file_unix, sizeof(struct rst_sks));
}

/* kinds of what is known */
static const char kind_id, kind_ino;

static struct rst_sk *by_id(struct crk_rst *r, uint32_t id)
{
	return crk_restore_known(r, &kind_id, id, 0);
}

static struct rst_sk *by_ino(struct crk_rst *r, uint32_t ino)
{
	return ino ? crk_restore_known(r, &kind_ino, ino, 0) : NULL;
}

static bool same_name(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len && a->len == b->len && !memcmp(a->data, b->data, a->len);
}

/* the listening socket that @sk was accepted from, as its name shows */
static struct rst_sk *listener_of(struct rst_sks *s, const struct rst_sk *sk)
{
	size_t i;

	for (i = 0; i < s->nr_listeners; i++)
		if (s->listeners[i] != sk && same_name(&s->listeners[i]->e->name, &sk->e->name))
			return s->listeners[i];
	return NULL;
}

static bool has_path(const UnixSkEntry *e)
{
	return e->name.len && e->name.data[0];
}

/* ---- plan ---- */

static int load(struct crk_rst *r, struct rst_sks *s)
{
	FileEntry **fe = crk_restore_files(r);
	struct crk_unix_packet *p;
	size_t i, nr = 0;
	int err = 0;

	s->loaded = true;
	for (i = 0; fe[i]; i++)
		nr += fe[i]->type == FD_TYPES__UNIXSK;
	s->sks = crk_restore_alloc(r, nr * sizeof(*s->sks));
	s->listeners = crk_restore_alloc(r, nr * sizeof(struct rst_sk *));
	if (!s->sks || !s->listeners)
		return -ENOMEM;
	for (i = 0; fe[i]; i++)
		if (fe[i]->type == FD_TYPES__UNIXSK)
			s->sks[s->nr++] = (struct rst_sk){ .id = fe[i]->id, .e = fe[i]->usk,
				.extra = crk_rfile_extra(r, fe[i]->id), .fd = -1, .other = -1 };
	for (i = 0; i < s->nr && !err; i++) {
		struct rst_sk *sk = &s->sks[i];

		if (sk->e->state == UNIX_LISTEN)
			s->listeners[s->nr_listeners++] = sk;
		err = crk_restore_know(r, &kind_id, sk->id, 0, sk);
		if (!err && !by_ino(r, sk->e->ino))
			err = crk_restore_know(r, &kind_ino, sk->e->ino, 0, sk);
	}
	err = err ?: crk_unix_queue_load(r, &s->packets);
	for (p = s->packets; p && !err; p = p->next)
		for (i = 0; i < p->nr_rights && !err; i++)
			err = crk_rfile_use(r, p->rights[i]);
	return err;
}

static int address_of(const UnixSkEntry *e, struct sockaddr_un *sa, socklen_t *len_ret)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (e->name.len > sizeof(sa->sun_path))
		return -EBADMSG;
	memcpy(sa->sun_path, e->name.data, e->name.len);
	*len_ret = offsetof(struct sockaddr_un, sun_path) + e->name.len;
	return 0;
}

/* bind(2) and connect(2) from the directory that a relative name starts from */
static int at_name(int (*call)(int fd, const struct sockaddr *sa, socklen_t len), int fd, const UnixSkEntry *e)
{
	_cleanup_close_ int cwd = -1;
	struct sockaddr_un sa;
	socklen_t len;
	int err;

	err = address_of(e, &sa, &len);
	if (err)
		return err;
	if (e->name_dir && has_path(e) && sa.sun_path[0] != '/') {
		cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (cwd < 0 || chdir(e->name_dir))
			return -errno;
	}
	err = call(fd, (struct sockaddr *)&sa, len) ? -errno : 0;
	if (cwd >= 0 && fchdir(cwd) && !err)
		err = -errno;
	return err;
}

static void name_text(const UnixSkEntry *e, char *text, size_t size)
{
	int len = min(e->name.len, (size_t)108);

	if (has_path(e))
		snprintf(text, size, "%s%s%.*s", e->name_dir && e->name.data[0] != '/' ? e->name_dir : "",
			 e->name_dir && e->name.data[0] != '/' ? "/" : "", len, (const char *)e->name.data);
	else
		snprintf(text, size, "@%.*s", max(len - 1, 0), (const char *)e->name.data + 1);
}

static int name_check(struct crk_rst *r, const struct rst_sk *sk)
{
	_cleanup_close_ int fd = socket(AF_UNIX, sk->e->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char who[64], name[PATH_MAX + 128];
	struct stat st;
	int err;

	if (fd < 0)
		return crk_err(-errno, "cannot make a socket");
	name_text(sk->e, name, sizeof(name));
	if (!has_path(sk->e)) {
		err = at_name(bind, fd, sk->e);
		return err ? crk_err(err, "%s: name '%s'", crk_rfile_who(r, sk->id, who), name) : 0;
	}
	if (lstat(name, &st)) {
		if (errno == ENOENT)
			return 0;
		return crk_err(-errno, "%s: '%s'", crk_rfile_who(r, sk->id, who), name);
	}
	if (sk->e->has_deleted && sk->e->deleted)
		return crk_fail(-EEXIST, "%s: '%s', the name it had before its file was removed, is taken",
				crk_rfile_who(r, sk->id, who), name);
	if (!S_ISSOCK(st.st_mode))
		return crk_fail(-EEXIST, "%s: '%s' is no socket any more", crk_rfile_who(r, sk->id, who), name);
	err = at_name(connect, fd, sk->e);
	if (err == -ECONNREFUSED || err == -ENOENT)
		return 0;
	return crk_fail(-EADDRINUSE, "%s: '%s' is the socket of another process", crk_rfile_who(r, sk->id, who), name);
}

int crk_unix_plan(struct crk_rst *r, const FileEntry *fe)
{
	struct rst_sks *s = rst_sks(r);
	struct rst_sk *sk;
	char who[64];
	int err;

	if (!s)
		return -ENOMEM;
	if (!s->loaded) {
		err = load(r, s);
		if (err)
			return err;
	}
	sk = by_id(r, fe->id);
	if (sk->e->peer && !by_ino(r, sk->e->peer))
		return crk_fail(-ENOTCONN, "%s: the peer of socket:[%u] is not in the images", crk_rfile_who(r, fe->id, who),
				sk->e->ino);
	return sk->e->name.len && !listener_of(s, sk) ? name_check(r, sk) : 0;
}

/* ---- sockets ---- */

static int sk_err(int err, const struct rst_sk *sk, const char *what)
{
	return crk_err(err, "socket:[%u] (id %u): cannot %s", sk->e->ino, sk->id, what);
}

static int sk_new(const struct rst_sk *sk, int *ret)
{
	*ret = socket(AF_UNIX, sk->e->type | SOCK_CLOEXEC, 0);
	return *ret < 0 ? sk_err(-errno, sk, "create") : 0;
}

/* its own name, not one that it got by being accepted */
static int sk_bind(struct crk_rst *r, struct rst_sk *sk, int fd)
{
	const UnixSkEntry *e = sk->e;
	char name[PATH_MAX + 128];
	int err;

	if (!e->name.len || listener_of(rst_sks(r), sk))
		return 0;
	name_text(e, name, sizeof(name));
	if (has_path(e)) {
		/* of the socket that was there before, as the plan has seen; then there is one after a failure too */
		err = unlink(name) ? crk_undo_name(r, name) : 0;
		if (err)
			return err;
		sk->remove = e->has_deleted && e->deleted;
	}
	err = at_name(bind, fd, e);
	if (!err && has_path(e) && e->file_perms &&
	    (chown(name, e->file_perms->uid, e->file_perms->gid) || chmod(name, e->file_perms->mode & 07777)))
		err = -errno;
	return err ? crk_err(err, "socket:[%u] (id %u): cannot bind to '%s'", e->ino, sk->id, name) : 0;
}

/* @client is connected to what @listener accepts */
static int connect_pair(struct crk_rst *r, const struct rst_sk *listener, struct rst_sk *client, int fds[2])
{
	int lfd, err;

	err = crk_rfile_get(r, listener->id, &lfd);
	if (err)
		return err;
	fds[1] = -1;
	fds[0] = socket(AF_UNIX, listener->e->type | SOCK_CLOEXEC, 0);
	err = fds[0] < 0 ? sk_err(-errno, listener, "create") : 0;
	if (!err && client)
		err = sk_bind(r, client, fds[0]);
	if (!err) {
		err = at_name(connect, fds[0], listener->e);
		if (err)
			sk_err(err, listener, "connect to it");
	}
	if (!err) {
		fds[1] = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
		err = fds[1] < 0 ? sk_err(-errno, listener, "accept from it") : 0;
	}
	if (err && fds[0] >= 0)
		close(fds[0]);
	return err;
}

/* two connected sockets; @b is NULL if that end was closed */
static int pair_make(struct crk_rst *r, struct rst_sk *a, struct rst_sk *b)
{
	struct rst_sks *s = rst_sks(r);
	struct rst_sk *listener = listener_of(s, a), *swap;
	int fds[2], err;

	if (!listener && b && (listener = listener_of(s, b))) {
		swap = a;
		a = b;
		b = swap;
	}
	if (listener) {
		err = connect_pair(r, listener, b, fds);
		if (err)
			return err;
		/* a: the accepted one, b: the one that connected; either may be the closed one */
		err = crk_fd_hold(r, fds[1], &a->fd);
		return crk_fd_hold(r, fds[0], b ? &b->fd : &a->other) ?: err;
	}
	if (socketpair(AF_UNIX, a->e->type | SOCK_CLOEXEC, 0, fds))
		return sk_err(-errno, a, "create");
	err = crk_fd_hold(r, fds[0], &a->fd);
	err = crk_fd_hold(r, fds[1], b ? &b->fd : &a->other) ?: err;
	err = err ?: sk_bind(r, a, a->fd);
	return err ?: b ? sk_bind(r, b, b->fd) : 0;
}

static int single_make(struct crk_rst *r, struct rst_sk *sk, struct rst_sk *peer)
{
	int fd, err;

	err = sk_new(sk, &fd);
	err = err ?: crk_fd_hold(r, fd, &sk->fd);
	err = err ?: sk_bind(r, sk, sk->fd);
	if (!err && sk->e->state == UNIX_LISTEN && listen(sk->fd, sk->e->backlog))
		return sk_err(-errno, sk, "listen");
	if (err || !peer)
		return err;
	/* datagrams to one that does not send back */
	err = crk_rfile_get(r, peer->id, &fd);
	if (err)
		return err;
	err = peer->e->name.len ? at_name(connect, sk->fd, peer->e) : -EDESTADDRREQ;
	return err ? sk_err(err, sk, "connect it to its peer") : 0;
}

int crk_unix_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	struct rst_sk *sk = by_id(r, fe->id), *peer = by_ino(r, sk->e->peer);
	int err = 0;

	if (sk->fd < 0) {
		if (peer && peer->e->peer == sk->e->ino && peer != sk)
			err = pair_make(r, sk, peer);
		else if (sk->extra && sk->extra->has_sk_closed_by)
			err = pair_make(r, sk, NULL);
		else
			err = single_make(r, sk, peer == sk ? NULL : peer);
	}
	if (err)
		return err;
	*ret = fcntl(sk->fd, F_DUPFD_CLOEXEC, 0);
	err = *ret < 0 ? -errno : 0;
	return err ? sk_err(err, sk, "open") : 0;
}

/* ---- when all are there ---- */

/* who sends to @sk what waits in it: its peer, the end that was closed, or anybody */
static int sender_of(struct crk_rst *r, const struct rst_sk *sk, int *temp, int *fd_ret, bool *addressed_ret)
{
	struct rst_sks *s = rst_sks(r);
	const struct rst_sk *peer = by_ino(r, sk->e->peer);
	const SkMessage *m = sk->extra && sk->nr_sent < sk->extra->n_sk_messages ?
		sk->extra->sk_messages[sk->nr_sent] : NULL;
	size_t i;

	*addressed_ret = false;
	if (sk->other >= 0) {
		*fd_ret = sk->other;
		return 0;
	}
	if (peer) {
		*fd_ret = peer->fd;
		*addressed_ret = peer->e->peer != sk->e->ino;
		return 0;
	}
	*addressed_ret = true;
	for (i = 0; m && m->has_from && i < s->nr; i++) {
		if (same_name(&m->from, &s->sks[i].e->name) && s->sks[i].fd >= 0 && !listener_of(s, &s->sks[i])) {
			*fd_ret = s->sks[i].fd;
			return 0;
		}
	}
	/* its name is lost if it had one */
	*temp = socket(AF_UNIX, sk->e->type | SOCK_CLOEXEC, 0);
	*fd_ret = *temp;
	return *temp < 0 ? -errno : 0;
}

static int packet_send(struct crk_rst *r, const struct crk_unix_packet *p)
{
	struct rst_sk *sk = by_id(r, p->id_for);
	_cleanup_close_ int temp = -1;
	const int large = 1 << 30;
	struct sockaddr_un to;
	socklen_t len = 0;
	bool addressed;
	int fd, err;

	if (!sk)
		return crk_fail(-EBADMSG, "sk-queues.img: socket id %u is not in files.img", p->id_for);
	err = sender_of(r, sk, &temp, &fd, &addressed);
	if (!err && addressed)
		err = sk->e->name.len ? address_of(sk->e, &to, &len) : -EDESTADDRREQ;
	/* no more than was there, but the sender's limit may be the smaller one; it is set again later */
	if (!err && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)))
		err = -errno;
	err = err ?: crk_unix_queue_send(r, p, sk->nr_sent, fd, &to, len);
	sk->nr_sent++;
	return err ? sk_err(err, sk, "put in what waited in it") : 0;
}

static int sk_complete(struct rst_sk *sk)
{
	char name[PATH_MAX + 128];
	uint32_t how = sk->e->has_shutdown ? sk->e->shutdown : 0;
	int err;

	if (sk->fd < 0)
		return 0;
	/* closed, with those that are held, while something is unread: ECONNRESET */
	if (sk->other >= 0 && sk->extra->sk_closed_by == 2 && send(sk->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return sk_err(-errno, sk, "break the connection");
	if (sk->remove) {
		name_text(sk->e, name, sizeof(name));
		unlink(name);
	}
	if (how && sk->other < 0 && shutdown(sk->fd, how - 1))
		return sk_err(-errno, sk, "shut it down");
	err = crk_unix_opts_set(sk->fd, sk->e->opts);
	if (!err && sk->extra && sk->extra->has_sk_peek_off &&
	    setsockopt(sk->fd, SOL_SOCKET, SO_PEEK_OFF, &sk->extra->sk_peek_off, sizeof(int)))
		err = -errno;
	err = err ?: crk_fd_setfl(sk->fd, sk->e->flags);
	return err ? sk_err(err, sk, "set its options") : 0;
}

/* all sockets at the first of them */
int crk_unix_complete(struct crk_rst *r, const FileEntry *fe, int fd)
{
	struct rst_sks *s = rst_sks(r);
	const struct crk_unix_packet *p;
	struct rst_sk *sk;
	size_t i;
	int err = 0;

	(void)fe;
	(void)fd;
	if (s->complete)
		return 0;
	s->complete = true;
	for (i = 0; i < s->nr && !err; i++) {
		sk = s->sks[i].extra && s->sks[i].extra->has_sk_waits_at ?
			by_id(r, s->sks[i].extra->sk_waits_at) : NULL;
		if (sk) {
			err = at_name(connect, s->sks[i].fd, sk->e);
			if (err)
				sk_err(err, &s->sks[i], "connect it again");
		}
	}
	for (p = s->packets; p && !err; p = p->next)
		err = packet_send(r, p);
	for (i = 0; i < s->nr && !err; i++)
		err = sk_complete(&s->sks[i]);
	return err;
}
