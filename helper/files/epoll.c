// SPDX-License-Identifier: GPL-2.0
/*
 * epoll_create(2) and what is watched.  The kernel knows a watched file together with the number it had when it was
 * added; the number may since have been closed or reused.  So the file is found by kcmp(2), and added again under its
 * number, which it gets for that moment if it does not have it.  What is ready is found out anew.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"

static bool epoll_probe(const struct crk_dfile *f)
{
	return !strcmp(f->link, "anon_inode:[eventpoll]");
}

/* ---- dump ---- */

/* an epoll file whose watched files are to be found when all files are known */
struct dump_epoll {
	struct dump_epoll *next;
	const struct crk_dfile *f;
	EventpollFileEntry *e;
	bool done;
};

static int slots_parse(struct crk_dump *d, const struct crk_dfile *f, const char *text, EventpollFileEntry *e)
{
	const char *line;
	size_t nr = 0;

	for (line = text; (line = strstr(line, "tfd:")); line += 4)
		nr++;
	e->tfd = crk_dump_alloc(d, nr * sizeof(*e->tfd) + 1);
	if (!e->tfd)
		return -ENOMEM;
	for (line = text; (line = strstr(line, "tfd:")); line += 4) {
		EventpollTfdEntry *t = dump_msg(d, EventpollTfdEntry, eventpoll_tfd_entry__init);
		unsigned long long data;
		unsigned long ino;
		unsigned int events, dev;
		long long pos;
		int tfd;

		if (!t)
			return -ENOMEM;
		if (sscanf(line, "tfd: %d events: %x data: %llx pos:%lld ino:%lx sdev:%x", &tfd, &events, &data, &pos,
			   &ino, &dev) != 6)
			return crk_dfile_refuse(f, "cannot understand its fdinfo: %.80s", line);
		t->id = f->id;
		t->tfd = tfd;
		t->events = events;
		t->data = data;
		t->has_dev = t->has_inode = t->has_pos = true;
		t->dev = dev;
		t->inode = ino;
		t->pos = pos;
		e->tfd[e->n_tfd++] = t;
	}
	return 0;
}

static int epoll_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	struct dump_epoll **list = crk_dump_state(d, &crk_file_epoll, sizeof(*list));
	EventpollFileEntry *e = dump_msg(d, EventpollFileEntry, eventpoll_file_entry__init);
	struct dump_epoll *ep = crk_dump_alloc(d, sizeof(*ep));
	const char *text = crk_dfile_fdinfo(f);

	if (!list || !e || !ep || !text)
		return -ENOMEM;
	e->id = f->id;
	e->flags = f->facts->f_flags;
	e->fown = crk_dfile_fown(d, f);
	if (!e->fown)
		return -ENOMEM;
	fe->epfd = e;
	ep->f = f;
	ep->e = e;
	ep->next = *list;
	*list = ep;
	return slots_parse(d, f, text, e);
}

struct slot {
	pid_t pid;
	struct kcmp_epoll_slot slot;
};

static bool is_watched(pid_t pid, int fd, void *arg)
{
	struct slot *s = arg;

	return !syscall(SYS_kcmp, pid, s->pid, KCMP_EPOLL_TFD, fd, &s->slot);
}

/*
 * A kernel without kcmp(2) can't tell.  Then the file that has the number now is taken if its inode is right: wrong only
 * where the number was used anew for a file of the same inode while a duplicate of the old one stayed open.
 */
static bool is_probably_watched(const struct crk_fd *fd, const EventpollTfdEntry *t)
{
	return fd->ino == t->inode && (syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) && errno == ENOSYS);
}

static int fd_cmp(const void *key, const void *item)
{
	uint32_t fd = *(const uint32_t *)key, other = ((const struct crk_fd *)item)->fd;

	return fd < other ? -1 : fd > other;
}

/* first the descriptor of that number, which it nearly always is */
static uint32_t watched_id(struct crk_dump *d, const struct crk_dfile *f, const EventpollTfdEntry *t, struct slot *s)
{
	const struct crk_dproc *p = f->proc;
	/* the module gives them in order */
	const struct crk_fd *fd = p->nr_fds ? bsearch(&t->tfd, p->fds, p->nr_fds, sizeof(*fd), fd_cmp) : NULL;

	if (fd && (is_watched(p->pid, t->tfd, s) || is_probably_watched(fd, t)))
		return crk_files_id(d, fd->file_id);
	return crk_files_search(d, t->inode, makedev(t->dev >> 20, t->dev & 0xfffff), is_watched, s);
}

/* how many entries of the same number come before this one, which the kernel wants to know */
static int nr_before(struct crk_dump *d, const EventpollFileEntry *e, uint32_t tfd, uint32_t *ret)
{
	uint32_t *nr = crk_dump_known(d, e, tfd, 0);
	int err = 0;

	if (!nr) {
		nr = crk_dump_alloc(d, sizeof(*nr));
		err = nr ? crk_dump_know(d, e, tfd, 0, nr) : -ENOMEM;
	}
	if (!err)
		*ret = (*nr)++;
	return err;
}

static int watched_find(struct crk_dump *d, const struct dump_epoll *ep)
{
	const struct crk_dfile *f = ep->f;
	EventpollFileEntry *e = ep->e;
	CrkFileEntry *extra = crk_dfile_extra(d, f);
	size_t i;

	if (extra)
		extra->epoll_file = crk_dump_alloc(d, e->n_tfd * sizeof(*extra->epoll_file) + 1);
	if (!extra || !extra->epoll_file)
		return -ENOMEM;
	extra->has_holder_pid = true;
	extra->holder_pid = f->proc->pid;
	for (i = 0; i < e->n_tfd; i++) {
		struct slot s = { .pid = f->fd >= 0 ? getpid() : f->proc->pid };

		s.slot.efd = f->facts->fd;
		s.slot.tfd = e->tfd[i]->tfd;
		if (nr_before(d, e, e->tfd[i]->tfd, &s.slot.toff))
			return -ENOMEM;
		extra->epoll_file[i] = watched_id(d, f, e->tfd[i], &s);
		if (!extra->epoll_file[i])
			return crk_dfile_refuse(f, "watches a file that was added as fd %u and that no process of the dump has open",
						e->tfd[i]->tfd);
	}
	extra->n_epoll_file = e->n_tfd;
	return 0;
}

static int epoll_finish(struct crk_dump *d)
{
	struct dump_epoll **list = crk_dump_state(d, &crk_file_epoll, sizeof(*list)), *ep;
	int err = 0;

	if (!list)
		return -ENOMEM;
	for (ep = *list; ep && !err; ep = ep->next)
		err = watched_find(d, ep);
	return err;
}

/* ---- restore ---- */

static int open_epoll(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	_cleanup_close_ int fd = epoll_create1(EPOLL_CLOEXEC);
	int err;

	(void)r;
	if (fd < 0)
		return crk_err(-errno, "epoll id %u: cannot create", fe->id);
	err = crk_fd_setfl(fd, fe->epfd->flags);
	if (err)
		return crk_err(err, "epoll id %u: cannot set flags %#x", fe->id, fe->epfd->flags);
	*ret = steal_fd(&fd);
	return 0;
}

/* adds file @fd under number @as, whatever has that number now */
static int add_as(struct crk_rst *r, int epfd, int fd, int as, struct epoll_event *ev)
{
	int fd_flags = fcntl(as, F_GETFD), saved = -1, err = 0;

	if (fd_flags >= 0) {
		saved = fcntl(as, F_DUPFD_CLOEXEC, r->fd_base);
		if (saved < 0)
			return -errno;
	}
	if (dup3(fd, as, O_CLOEXEC) < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, as, ev))
		err = -errno;
	if (saved >= 0) {
		if (dup3(saved, as, fd_flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0 && !err)
			err = -errno;
		close(saved);
	} else {
		close(as);
	}
	return err;
}

static int number_cmp(const void *key, const void *item)
{
	uint32_t fd = *(const uint32_t *)key, other = (*(FdinfoEntry *const *)item)->fd;

	return fd < other ? -1 : fd > other;
}

static uint32_t id_at(const struct crk_rproc *p, uint32_t number)
{
	FdinfoEntry **e = p && p->nr_fds ? bsearch(&number, p->fds, p->nr_fds, sizeof(*p->fds), number_cmp) : NULL;

	return e ? (*e)->id : 0;
}

static int epoll_connect(struct crk_rst *r, struct crk_rproc *p, const FileEntry *fe, int fd)
{
	const CrkFileEntry *extra = crk_rfile_extra(r, fe->id);
	const EventpollFileEntry *e = fe->epfd;
	uint32_t here, id;
	size_t i;
	int err, target;

	for (i = 0; i < e->n_tfd; i++) {
		const EventpollTfdEntry *t = e->tfd[i];
		struct epoll_event ev = { .events = t->events, .data.u64 = t->data };

		here = id_at(p, t->tfd);
		id = extra && i < extra->n_epoll_file ? extra->epoll_file[i] : here;
		if (!id)
			return crk_fail(-EBADMSG, "epoll id %u: watches fd %u, which is not there", fe->id, t->tfd);
		if (id == here) {
			err = epoll_ctl(fd, EPOLL_CTL_ADD, t->tfd, &ev) ? -errno : 0;
		} else {
			err = crk_rfile_get(r, id, &target);
			if (err)
				return err;
			err = add_as(r, fd, target, t->tfd, &ev);
		}
		if (err)
			return crk_err(err, "epoll id %u: cannot watch fd %u", fe->id, t->tfd);
	}
	return 0;
}

const struct crk_file_ops crk_file_epoll = {
	.name	= "epoll",
	.type	= FD_TYPES__EVENTPOLL,
	.probe	= epoll_probe,
	.dump	= epoll_dump,
	.finish	= epoll_finish,
	.open	= open_epoll,
	.connect = epoll_connect,
};
