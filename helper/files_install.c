// SPDX-License-Identifier: GPL-2.0
/*
 * Open files of a restore, as the processes get them: at their numbers, connected to what they name, complete when all
 * are there.  Knows no kind of file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "files_restore.h"
#include "raw_calls.h"
#include "restore.h"

/* ---- in the restored process ---- */

/* our copy of its number holds its place only */
static int late_fetch(struct crk_rst *r, struct rfile *f)
{
	_cleanup_close_ int fd = -1;

	crk_sync_sleep(&r->sync->late_files);
	fd = syscall(SYS_pidfd_getfd, r->files->coordinator, f->fd, 0);
	if (fd < 0 || dup3(fd, f->fd, O_CLOEXEC) < 0)
		return crk_err(-errno, "%s id %u: cannot get it from the coordinator", f->ops->name, f->fe->id);
	f->late = false;
	return 0;
}

static int install_fds(struct crk_rst *r, struct crk_rproc *p)
{
	size_t i;
	int fd, ret;

	if (syscall(SYS_close_range, 0, r->fd_base - 1, 0))
		return crk_err(-errno, "pid %d: cannot close descriptors", p->pid);
	for (i = 0; i < p->nr_fds; i++) {
		const FdinfoEntry *e = p->fds[i];
		struct rfile *f = crk_rfile_find(r, e->id);

		ret = crk_rfile_get(r, e->id, &fd);
		if (!ret && f->late)
			ret = late_fetch(r, f);
		if (ret)
			return ret;
		if (dup3(fd, e->fd, e->flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
			return crk_err(-errno, "pid %d fd %u: cannot put the file there", p->pid, e->fd);
	}
	return 0;
}

static int connect_fds(struct crk_rst *r, struct crk_rproc *p)
{
	const struct crk_rst_files *s = r->files;
	size_t lo = 0, hi = s->nr_connects;
	int ret = 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->connects[mid]->holder < p->pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->nr_connects && s->connects[lo]->holder == p->pid && !ret; lo++)
		ret = s->connects[lo]->ops->connect(r, p, s->connects[lo]->fe, s->connects[lo]->fd);
	return ret;
}

int crk_files_install(struct crk_rst *r, struct crk_rproc *p)
{
	const struct crk_file_ops * const *ops;
	int ret = 0;

	if (!p->files_of) {
		ret = install_fds(r, p);
		ret = ret ?: connect_fds(r, p);
		ret = ret ?: crk_locks_install(r, p);
	}
	for (ops = crk_file_kinds; *ops && !ret; ops++)
		if ((*ops)->process)
			ret = (*ops)->process(r, p);
	return ret;
}

/* ---- when all are there ---- */

int crk_files_open_late(struct crk_rst *r)
{
	size_t i;
	int fd, ret;

	for (i = 0; i < r->files->nr; i++) {
		struct rfile *f = &r->files->files[i];

		if (!f->late || f->fd < 0)
			continue;
		ret = f->ops->open(r, f->fe, &fd);
		if (ret)
			return ret;
		ret = dup3(fd, f->fd, O_CLOEXEC) < 0 ? crk_err(-errno, "%s id %u", f->ops->name, f->fe->id) : 0;
		close(fd);
		if (ret)
			return ret;
	}
	crk_sync_wake(&r->sync->late_files);
	return 0;
}

/* the entry with the path of a file whose kind has one beside its own */
static const FileEntry *path_entry(struct crk_rst *r, const FileEntry *fe)
{
	const FileEntry *reg = fe;

	if (fe->type == FD_TYPES__FIFO && fe->fifo->has_regf_id)
		reg = crk_rfile_entry(r, fe->fifo->regf_id);
	return reg && reg->type == FD_TYPES__REG ? reg : fe;
}

/* owner of O_ASYNC, if the kind has one */
static const FownEntry *file_fown(const FileEntry *fe)
{
	switch (fe->type) {
	case FD_TYPES__REG:
		return fe->reg->fown;
	case FD_TYPES__PIPE:
		return fe->pipe->fown;
	case FD_TYPES__UNIXSK:
		return fe->usk->fown;
	case FD_TYPES__EVENTFD:
		return fe->efd->fown;
	case FD_TYPES__EVENTPOLL:
		return fe->epfd->fown;
	case FD_TYPES__INOTIFY:
		return fe->ify->fown;
	case FD_TYPES__SIGNALFD:
		return fe->sgfd->fown;
	case FD_TYPES__TTY:
		return fe->tty->fown;
	case FD_TYPES__TIMERFD:
		return fe->tfd->fown;
	case FD_TYPES__MEMFD:
		return fe->memfd->fown;
	default:
		return NULL;
	}
}

static uint32_t file_flags(const FileEntry *fe)
{
	switch (fe->type) {
	case FD_TYPES__PIPE:
		return fe->pipe->flags;
	case FD_TYPES__UNIXSK:
		return fe->usk->flags;
	case FD_TYPES__TTY:
		return fe->tty->flags;
	case FD_TYPES__INOTIFY:
		return fe->ify->flags;
	case FD_TYPES__REG:
		return fe->reg->flags;
	default:
		return 0;
	}
}

/* the kernel remembers who set the owner, and asks him whether he may send the signal */
static int owner_set(int fd, const FownEntry *fown)
{
	struct f_owner_ex owner = { .type = fown->pid_type, .pid = fown->pid };
	uid_t uid = getuid(), euid = geteuid();
	bool other = fown->uid != uid || fown->euid != euid;
	int err = 0;

	if (fown->signum && fcntl(fd, F_SETSIG, fown->signum))
		return -errno;
	if (!fown->pid)
		return 0;
	/* the raw calls: this thread alone */
	if (other && syscall(SYS_SETRESUID, fown->uid, fown->euid, uid))
		return -errno;
	if (fcntl(fd, F_SETOWN_EX, &owner))
		err = -errno;
	if (other && syscall(SYS_SETRESUID, uid, euid, euid))
		return -errno;
	return err;
}

static int complete_one(struct crk_rst *r, struct rfile *f)
{
	const FileEntry *fe = path_entry(r, f->fe);
	const FownEntry *fown = file_fown(fe);
	int ret = 0;

	/* on its way between processes: nobody's descriptors are meant */
	if (f->in_use && !f->holder && f->ops->connect)
		ret = f->ops->connect(r, NULL, f->fe, f->fd);
	if (ret)
		return ret;
	if (fown && (fown->pid || fown->signum)) {
		ret = owner_set(f->fd, fown);
		if (ret)
			return crk_err(ret, "%s id %u: cannot make pid %u the owner of its signals", f->ops->name,
				       f->fe->id, fown->pid);
	}
	if (f->ops->complete)
		ret = f->ops->complete(r, f->fe, f->fd);
	if (!ret && file_flags(fe) & O_ASYNC && !(file_flags(fe) & O_PATH) &&
	    fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) | O_ASYNC))
		ret = crk_err(-errno, "%s id %u: cannot set O_ASYNC", f->ops->name, f->fe->id);
	return ret;
}

int crk_files_complete(struct crk_rst *r)
{
	struct crk_rst_files *s = r->files;
	int ret = 0, last;
	size_t i;

	for (last = 0; last <= 1; last++) {
		for (i = 0; i < s->nr && !ret; i++)
			if (s->files[i].fd >= 0 && s->files[i].ops->completes_last == last)
				ret = complete_one(r, &s->files[i]);
		/* the other end of a pipe must see that there is nobody else */
		crk_rfiles_close(s, last);
	}
	return ret;
}
