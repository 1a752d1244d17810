// SPDX-License-Identifier: GPL-2.0
/*
 * Unix sockets, the dump: names, peers, options, what waits in them.  A socket whose peer lives outside of the dump is
 * refused, and so is a connection that waits to be accepted and has already sent something, which nobody can read.
 */
#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unix.h"

static bool unix_probe(const struct crk_dfile *f)
{
	int family = 0;
	socklen_t len = sizeof(family);

	return S_ISSOCK(f->st.st_mode) && !(f->facts->f_flags & O_PATH) &&
		!getsockopt(f->fd, SOL_SOCKET, SO_DOMAIN, &family, &len) && family == AF_UNIX;
}

struct dump_sk {
	struct dump_sk *next;		/* in the order they were found */
	const struct crk_dfile *f;
	UnixSkEntry *e;
	struct crk_unix_diag diag;
	bool held;			/* f->fd stays open */
};

struct dump_sks {
	struct dump_sk *first, **tail;
};

static struct dump_sks *dump_sks(struct crk_dump *d)
{
	struct dump_sks *s = crk_dump_state(d, &crk_file_unix, sizeof(*s));

	if (s && !s->tail)
		s->tail = &s->first;
	return s;
}

/* directory a relative name starts from: that of the process, if the name leads to the socket from there */
static int name_dir_find(struct crk_dump *d, const struct crk_dfile *f, const char *name, UnixSkEntry *e, struct stat *st)
{
	_cleanup_close_ int cwd = openat(f->proc->procfd, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *path = NULL;
	int err;

	if (cwd < 0)
		return crk_dfile_err(-errno, f, "cannot read the working directory");
	/* removed, or bound from elsewhere, which is no more than a guess less */
	if (fstatat(cwd, name, st, AT_SYMLINK_NOFOLLOW))
		st->st_mode = 0;
	err = read_link_at(f->proc->procfd, "cwd", &path);
	if (err)
		return crk_dfile_err(err, f, "cannot read the working directory");
	e->name_dir = crk_dump_strdup(d, path);
	return e->name_dir ? 0 : -ENOMEM;
}

static int file_dump(struct crk_dump *d, const struct crk_dfile *f, const struct crk_unix_diag *diag, UnixSkEntry *e)
{
	FilePermsEntry *perms = dump_msg(d, FilePermsEntry, file_perms_entry__init);
	char name[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1] = "";
	struct stat st = {};
	int err = 0;

	if (!perms)
		return -ENOMEM;
	memcpy(name, e->name.data, min(e->name.len, sizeof(name) - 1));
	if (name[0] != '/') {
		err = name_dir_find(d, f, name, e, &st);
		if (err)
			return err;
	} else if (lstat(name, &st)) {
		st.st_mode = 0;
	}
	if (!S_ISSOCK(st.st_mode) || (uint32_t)st.st_ino != diag->file_ino) {
		e->has_deleted = e->deleted = true;
		return 0;
	}
	perms->mode = st.st_mode;
	perms->uid = st.st_uid;
	perms->gid = st.st_gid;
	e->file_perms = perms;
	return 0;
}

static int name_dump(struct crk_dump *d, const struct crk_dfile *f, const struct crk_unix_diag *diag, UnixSkEntry *e)
{
	struct sockaddr_un sa = {};
	socklen_t len = sizeof(sa);

	if (getsockname(f->fd, (struct sockaddr *)&sa, &len))
		return crk_dfile_err(-errno, f, "cannot read its name");
	e->name.len = len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;
	e->name.len = min(e->name.len, sizeof(sa.sun_path));
	e->name.data = crk_dump_alloc(d, e->name.len + 1);
	if (!e->name.data)
		return -ENOMEM;
	memcpy(e->name.data, sa.sun_path, e->name.len);
	return e->name.len && sa.sun_path[0] ? file_dump(d, f, diag, e) : 0;
}

static struct dump_sk *by_ino(struct crk_dump *d, uint32_t ino)
{
	return crk_dump_known(d, &crk_file_unix, ino, 0);
}

static int unix_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	UnixSkEntry *e = dump_msg(d, UnixSkEntry, unix_sk_entry__init);
	struct dump_sk *sk = crk_dump_alloc(d, sizeof(*sk));
	struct dump_sks *s = dump_sks(d);
	struct pollfd pfd = { .fd = f->fd };
	CrkFileEntry *extra;
	socklen_t len;
	int err, peek_off;

	if (!e || !sk || !s)
		return -ENOMEM;
	err = crk_unix_diag(f->st.st_ino, &sk->diag);
	if (err) {
		crk_dfile_err(err, f, "sock_diag does not know this socket");
		if (err == -ENOENT)
			crk_hint("the kernel needs CONFIG_UNIX_DIAG (module unix_diag)");
		return err;
	}
	sk->f = f;
	sk->e = e;
	e->id = f->id;
	e->ino = f->st.st_ino;
	e->type = sk->diag.type;
	e->state = sk->diag.state;
	e->flags = f->facts->f_flags & ~O_CLOEXEC;
	e->backlog = sk->diag.backlog;
	e->peer = sk->diag.peer;
	e->has_shutdown = sk->diag.shutdown;
	e->shutdown = sk->diag.shutdown;
	e->fown = crk_dfile_fown(d, f);
	fe->usk = e;
	if (!e->fown)
		return -ENOMEM;
	err = name_dump(d, f, &sk->diag, e);
	err = err ?: crk_unix_opts_dump(d, f, &e->opts);
	if (err)
		return err;
	len = sizeof(peek_off);
	if (!getsockopt(f->fd, SOL_SOCKET, SO_PEEK_OFF, &peek_off, &len) && peek_off >= 0) {
		extra = crk_dfile_extra(d, f);
		if (!extra)
			return -ENOMEM;
		extra->has_sk_peek_off = true;
		extra->sk_peek_off = peek_off;
	}
	if (sk->diag.has_peer && !e->peer) {
		/* POLLERR: ECONNRESET waits */
		poll(&pfd, 1, 0);
		extra = crk_dfile_extra(d, f);
		if (!extra)
			return -ENOMEM;
		extra->has_sk_closed_by = true;
		extra->sk_closed_by = pfd.revents & POLLERR ? 2 : 1;
		if (extra->sk_closed_by == 2 && e->type != SOCK_STREAM)
			return crk_dfile_refuse(f, "an error waits in it, which looking for messages would take");
	}
	*s->tail = sk;
	s->tail = &sk->next;
	return by_ino(d, e->ino) ? 0 : crk_dump_know(d, &crk_file_unix, e->ino, 0, sk);
}

/* ---- when all sockets are known ---- */

static int listener_check(struct crk_dump *d, const struct dump_sk *sk)
{
	uint32_t i;

	if (sk->diag.nr_waiting > ARRAY_SIZE(sk->diag.waiting))
		return crk_dfile_refuse(sk->f, "%u connections wait to be accepted", sk->diag.nr_waiting);
	for (i = 0; i < sk->diag.nr_waiting; i++)
		if (!by_ino(d, sk->diag.waiting[i]))
			return crk_dfile_refuse(sk->f, "a connection from outside of the dump waits to be accepted");
	return 0;
}

/* is it one that waits to be accepted?  It has a peer that has no inode yet */
static struct dump_sk *waits_at(struct dump_sks *s, const struct dump_sk *sk)
{
	struct dump_sk *listener;
	uint32_t i;

	for (listener = s->first; listener; listener = listener->next)
		for (i = 0; i < listener->diag.nr_waiting; i++)
			if (listener->diag.waiting[i] == sk->e->ino)
				return listener;
	return NULL;
}

static int peer_check(struct crk_dump *d, struct dump_sks *s, const struct dump_sk *sk, int fd)
{
	struct dump_sk *listener;
	CrkFileEntry *extra;
	int unread = 0, err;

	if (sk->e->peer) {
		if (by_ino(d, sk->e->peer))
			return 0;
		err = crk_dfile_refuse(sk->f, "its peer socket:[%u] is outside of the dump", sk->e->peer);
		crk_hint("dump both processes together, or close the connection before the dump");
		return err;
	}
	listener = sk->e->state == UNIX_ESTABLISHED ? waits_at(s, sk) : NULL;
	if (!listener)
		return 0;
	if (!ioctl(fd, SIOCOUTQ, &unread) && unread)
		return crk_dfile_refuse(sk->f, "waits to be accepted, and what it has sent cannot be read before that");
	extra = crk_dfile_extra(d, sk->f);
	if (!extra)
		return -ENOMEM;
	extra->has_sk_closed_by = false;
	extra->has_sk_waits_at = true;
	extra->sk_waits_at = listener->e->id;
	return 0;
}

static int sk_finish(struct crk_dump *d, struct dump_sks *s, const struct dump_sk *sk, bool queue)
{
	const struct crk_dfile *f = sk->f;
	_cleanup_close_ int again = -1;
	int fd = f->fd;

	if (fd < 0) {
		again = fd = crk_dump_getfd(d, f->proc, f->facts->fd);
		if (fd < 0)
			return crk_dfile_err(-errno, f, "cannot be read");
	}
	if (sk->e->state == UNIX_LISTEN)
		return queue ? 0 : listener_check(d, sk);
	if (!queue)
		return peer_check(d, s, sk, fd);
	/* a socket that never was connected has no queue and says so by an error */
	if (sk->e->type != SOCK_DGRAM && sk->e->state != UNIX_ESTABLISHED)
		return 0;
	return crk_unix_queue_dump(d, f, fd, sk->e->type);
}

static int unix_finish(struct crk_dump *d)
{
	struct dump_sks *s = dump_sks(d);
	struct dump_sk *sk;
	int err = s ? 0 : -ENOMEM;

	/* queues may bring more sockets, which come to the end of the list: peers after all of them */
	for (sk = s ? s->first : NULL; sk && !err; sk = sk->next)
		err = sk_finish(d, s, sk, true);
	for (sk = s ? s->first : NULL; sk && !err; sk = sk->next)
		err = sk_finish(d, s, sk, false);
	return err;
}

const struct crk_file_ops crk_file_unix = {
	.name	= "unix socket",
	.type	= FD_TYPES__UNIXSK,
	.probe	= unix_probe,
	.dump	= unix_dump,
	.finish	= unix_finish,
	.plan	= crk_unix_plan,
	.open	= crk_unix_open,
	.complete = crk_unix_complete,
};
