// SPDX-License-Identifier: GPL-2.0
/*
 * epoll_create(2) and what is watched.  The kernel knows a watched file together with the number it had when it was
 * added; the number may since have been closed or reused.  So the file is found by kcmp(2), and added again under its
 * number, which it gets for that moment if it does not have it.  What is ready is found out anew.
 *
 * A kernel without kcmp(2) tells it by epoll_ctl(2): a file that is watched under a number can't be added under it again.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

/* what is asked of files: are you the one that is watched here? */
struct slot {
	struct crk_dump *d;
	const struct crk_dfile *epoll;
	struct kcmp_epoll_slot slot;
	bool kcmp;			/* there is kcmp(2) */
	int err;			/* the question could not be put */
};

static bool have_kcmp(const struct crk_dump *d)
{
	if (d->opts->fault && !strcmp(d->opts->fault, "kcmp"))
		return false;
	return !syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) || errno != ENOSYS;
}

/* @p: NULL: a descriptor of ours */
static pid_t holder(const struct crk_dproc *p)
{
	return p ? p->live->tid : getpid();
}

static int held_fd(struct crk_dump *d, const struct crk_dproc *p, int fd)
{
	return p ? crk_dump_getfd(d, p, fd) : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/*
 * In a process of its own, whose descriptors nobody misses: 1 if @epfd watches @fd's file under the number @as, 0 if
 * not, or -errno.  A file that could be added is taken out again at once, before what stands still can notice.
 */
static int is_there(int epfd, int fd, int as)
{
	struct rlimit lim = { (rlim_t)as + 2, (rlim_t)as + 2 };
	struct epoll_event ev = {};

	/* if it can't be had, dup2() says so */
	setrlimit(RLIMIT_NOFILE, &lim);
	if (epfd == as)
		epfd = fcntl(epfd, F_DUPFD_CLOEXEC, as + 1);
	if (epfd < 0 || dup2(fd, as) < 0)
		return -errno;
	if (!epoll_ctl(epfd, EPOLL_CTL_ADD, as, &ev))
		return epoll_ctl(epfd, EPOLL_CTL_DEL, as, NULL) ? -errno : 0;
	if (errno == EEXIST)
		return 1;
	return errno == ENOMEM ? -errno : 0;
}

static int ask_epoll(int epfd, int fd, int as)
{
	int status, ret;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		ret = is_there(epfd, fd, as);
		_exit(ret < 0 ? -ret + 1 : ret);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status))
		return -EIO;
	ret = WEXITSTATUS(status);
	return ret > 1 ? 1 - ret : ret;
}

static int ask_without_kcmp(struct slot *s, const struct crk_dproc *p, const struct crk_fd *file)
{
	const struct crk_dfile *f = s->epoll;
	_cleanup_close_ int epfd = -1, fd = -1;

	/* most of those that are not asked for are watched by nobody */
	if (p && !(file->flags & CRK_FD_WATCHED))
		return 0;
	epfd = held_fd(s->d, f->fd >= 0 ? NULL : f->proc, f->facts->fd);
	fd = held_fd(s->d, p, file->fd);
	if (epfd < 0 || fd < 0)
		return -errno;
	return ask_epoll(epfd, fd, s->slot.tfd);
}

static bool is_watched(const struct crk_dproc *p, const struct crk_fd *file, void *arg)
{
	struct slot *s = arg;
	int ret;

	if (s->kcmp)
		return !syscall(SYS_kcmp, holder(p), holder(s->epoll->fd >= 0 ? NULL : s->epoll->proc), KCMP_EPOLL_TFD,
				file->fd, &s->slot);
	ret = s->err ? 0 : ask_without_kcmp(s, p, file);
	if (ret < 0)
		s->err = ret;
	return ret > 0;
}

static dev_t item_dev(const EventpollTfdEntry *t)
{
	return makedev(t->dev >> 20, t->dev & 0xfffff);
}

static int fd_cmp(const void *key, const void *item)
{
	uint32_t fd = *(const uint32_t *)key, other = ((const struct crk_fd *)item)->fd;

	return fd < other ? -1 : fd > other;
}

/* first the descriptor of that number, which it nearly always is */
static uint32_t watched_id(struct crk_dump *d, const EventpollTfdEntry *t, struct slot *s)
{
	const struct crk_dproc *p = s->epoll->proc;
	/* the module gives them in order */
	const struct crk_fd *fd = p->nr_fds ? bsearch(&t->tfd, p->fds, p->nr_fds, sizeof(*fd), fd_cmp) : NULL;

	if (fd && fd->ino == t->inode && is_watched(p, fd, s))
		return crk_files_id(d, fd->file_id);
	return crk_files_search(d, t->inode, item_dev(t), is_watched, s);
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

/* without kcmp(2) nobody knows then which of the two is which */
static bool has_twin_before(const EventpollFileEntry *e, size_t i)
{
	const EventpollTfdEntry *t = e->tfd[i];
	size_t j;

	for (j = 0; j < i; j++)
		if (e->tfd[j]->tfd == t->tfd && e->tfd[j]->inode == t->inode && e->tfd[j]->dev == t->dev)
			return true;
	return false;
}

static int watched_find(struct crk_dump *d, const struct dump_epoll *ep)
{
	struct slot s = { .d = d, .epoll = ep->f, .kcmp = have_kcmp(d) };
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
		if (nr_before(d, e, e->tfd[i]->tfd, &s.slot.toff))
			return -ENOMEM;
		if (!s.kcmp && s.slot.toff && has_twin_before(e, i))
			return crk_dfile_refuse(f, "watches two files of one inode that were both added as fd %u, and without kcmp(2) nobody can tell which is which",
						e->tfd[i]->tfd);
		s.slot.efd = f->facts->fd;
		s.slot.tfd = e->tfd[i]->tfd;
		extra->epoll_file[i] = watched_id(d, e->tfd[i], &s);
		if (s.err)
			return crk_dfile_err(s.err, f, "cannot find out what it watches as fd %u", e->tfd[i]->tfd);
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
