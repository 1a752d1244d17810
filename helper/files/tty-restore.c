// SPDX-License-Identifier: GPL-2.0
/*
 * Terminals, the restore: pairs come back with their number, settings and what waits to be read on either side;
 * sessions get their controlling terminal and its foreground group again.  A terminal whose master was outside of the
 * dump is replaced by the one the restore runs in, if --shell-job says so.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tty.h"

struct rst_tty {
	struct rst_tty *next;
	TtyInfoEntry *e;		/* of the master, or of the slave if there is none */
	uint32_t index;
	bool has_slave, external, made, complete;
	uint32_t flags;			/* TTY_SLAVE_CLOSED */
	uint32_t mode;			/* of the node; 0: not known */
	int master, slave;		/* held */
	const char *ptmx;		/* path the master was opened by */
};

struct rst_ttys {
	struct rst_tty *list;
	ProtobufCMessage **msgs;	/* kept until the end */
	size_t nr;
	bool loaded;
};

static struct rst_ttys *rst_ttys(struct crk_rst *r)
{
	return crk_restore_state(r, &crk_file_tty, sizeof(struct rst_ttys));
}

static int infos_load(struct crk_rst *r, struct rst_ttys *s)
{
	ProtobufCMessage *msg;
	struct rst_tty *t;
	struct crk_img *img;
	int ret, err;

	s->loaded = true;
	ret = crk_img_open(r->dir, CRK_IMG_TTY_INFO, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		TtyInfoEntry *e = (TtyInfoEntry *)msg;
		uint32_t index = e->pty ? e->pty->index : ~0U;

		for (t = s->list; t && t->index != index; t = t->next)
			;
		if (!t) {
			t = crk_restore_alloc(r, sizeof(*t));
			if (!t) {
				tty_info_entry__free_unpacked(e, NULL);
				ret = -ENOMEM;
				break;
			}
			t->index = index;
			t->master = t->slave = -1;
			t->next = s->list;
			s->list = t;
		}
		if (e->rdev == (TTYAUX_MAJOR << 20 | 2) || !t->e)
			t->e = e;	/* a few hundred bytes each, until the process ends */
		t->has_slave |= e->rdev != (TTYAUX_MAJOR << 20 | 2);
		t->external = t->e->type != TTY_TYPE__PTY;
	}
	err = crk_img_close(img);
	return ret ?: err;
}

static struct rst_tty *rst_tty_get(struct crk_rst *r, uint32_t id)
{
	struct rst_ttys *s = rst_ttys(r);
	struct rst_tty *t;

	if (!s || (!s->loaded && infos_load(r, s)))
		return NULL;
	for (t = s->list; t; t = t->next)
		if (crk_tty_info_id(t->index, true) == id || crk_tty_info_id(t->index, false) == id)
			return t;
	return NULL;
}

static bool is_master(const struct rst_tty *t, const TtyFileEntry *e)
{
	return e->tty_info_id == crk_tty_info_id(t->index, true);
}

static const char *reg_name(struct crk_rst *r, const TtyFileEntry *e)
{
	const FileEntry *reg = e->has_regf_id ? crk_rfile_entry(r, e->regf_id) : NULL;

	return reg && reg->type == FD_TYPES__REG ? reg->reg->name : NULL;
}

/* the terminal the restore runs in */
static int own_terminal(struct crk_rst *r, const struct rst_tty *t)
{
	char what[48];
	int fd;

	snprintf(what, sizeof(what), "tty:[%x]", t->e->rdev);
	fd = crk_inherited(r, what);
	if (fd >= 0)
		return fd;
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (isatty(fd))
			return fd;
	return -ENOTTY;
}

int crk_tty_plan(struct crk_rst *r, const FileEntry *fe)
{
	const CrkFileEntry *extra = crk_rfile_extra(r, fe->id);
	struct rst_tty *t = rst_tty_get(r, fe->tty->tty_info_id);
	char who[64], path[32];
	int err;

	if (!t)
		return crk_fail(-EBADMSG, "tty-info.img: terminal %u of file id %u is missing",
				fe->tty->tty_info_id, fe->id);
	if (fe->tty->has_regf_id)
		crk_rfile_path_only(r, fe->tty->regf_id);
	if (t->external) {
		if (r->opts->shell_job && own_terminal(r, t) >= 0)
			return 0;
		err = crk_fail(-ENOTTY, "%s: its terminal was outside of the dump", crk_rfile_who(r, fe->id, who));
		crk_hint("--shell-job gives it the terminal that the restore runs in");
		return err;
	}
	if (!is_master(t, fe->tty))
		return 0;
	if (extra && extra->has_tty_flags)
		t->flags = extra->tty_flags;
	if (extra && extra->has_mode)
		t->mode = extra->mode;
	t->ptmx = reg_name(r, fe->tty);
	snprintf(path, sizeof(path), "/dev/pts/%u", t->index);
	if (!access(path, F_OK))
		return crk_fail(-EBUSY, "%s: its terminal '%s' is in use by others",
				crk_rfile_who(r, fe->id, who), path);
	return 0;
}

/* the kernel gives the lowest free number, so those below are taken for a moment */
static int master_open(struct crk_rst *r, const struct rst_tty *t, int *ret)
{
	_cleanup_free_ int *spare = calloc(t->index + 1, sizeof(*spare));
	unsigned int i, nr = 0, index;
	int fd, err = spare ? -EBUSY : -ENOMEM;

	(void)r;
	while (spare && nr <= t->index) {
		fd = open(t->ptmx ?: "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (fd < 0 || ioctl(fd, TIOCGPTN, &index)) {
			err = -errno;
			if (fd >= 0)
				close(fd);
			break;
		}
		if (index == t->index) {
			*ret = fd;
			err = 0;
			break;
		}
		spare[nr++] = fd;
	}
	for (i = 0; i < nr; i++)
		close(spare[i]);
	return err ? crk_err(err, "cannot make the terminal /dev/pts/%u again", t->index) : 0;
}

static struct termios2 termios_of(const TermiosEntry *e)
{
	struct termios2 t = { .c_iflag = e->c_iflag, .c_oflag = e->c_oflag, .c_cflag = e->c_cflag,
		.c_lflag = e->c_lflag, .c_line = e->c_line, .c_ispeed = e->c_ispeed, .c_ospeed = e->c_ospeed };
	size_t i;

	for (i = 0; i < NCCS && i < e->n_c_cc; i++)
		t.c_cc[i] = e->c_cc[i];
	return t;
}

static int queues_load(struct crk_rst *r, const struct rst_tty *t, struct crk_tty_queue *in,
		       struct crk_tty_queue *out)
{
	ProtobufCMessage *msg;
	struct crk_img *img;
	int ret, err;

	ret = crk_img_open(r->dir, CRK_IMG_TTY_DATA, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		TtyDataEntry *e = (TtyDataEntry *)msg;
		struct crk_tty_queue *q = e->tty_id == crk_tty_info_id(t->index, true) ? out :
			e->tty_id == crk_tty_info_id(t->index, false) ? in : NULL;

		if (q && e->data.len) {
			q->data = crk_restore_alloc(r, e->data.len);
			if (q->data) {
				q->len = e->data.len;
				memcpy(q->data, e->data.data, q->len);
			}
		}
		tty_data_entry__free_unpacked(e, NULL);
	}
	err = crk_img_close(img);
	return ret ?: err;
}

static int settings_restore(struct crk_rst *r, const struct rst_tty *t)
{
	struct termios2 settings = {}, locked = {};
	struct crk_tty_queue in = {}, out = {};
	struct winsize ws;
	int err = 0;

	if (t->e->termios) {
		settings = termios_of(t->e->termios);
		if (ioctl(t->master, TCSETS2, &settings))
			return -errno;
	}
	if (t->slave >= 0 && t->e->termios) {
		err = queues_load(r, t, &in, &out);
		err = err ?: crk_tty_queues_put(t->master, t->slave, &settings, &in, &out);
	}
	if (!err && t->e->winsize) {
		ws = (struct winsize){ .ws_row = t->e->winsize->ws_row, .ws_col = t->e->winsize->ws_col,
			.ws_xpixel = t->e->winsize->ws_xpixel, .ws_ypixel = t->e->winsize->ws_ypixel };
		err = ioctl(t->master, TIOCSWINSZ, &ws) ? -errno : 0;
	}
	if (!err && t->e->termios_locked) {
		struct termios old = {};

		locked = termios_of(t->e->termios_locked);
		old.c_iflag = locked.c_iflag;
		old.c_oflag = locked.c_oflag;
		old.c_cflag = locked.c_cflag;
		old.c_lflag = locked.c_lflag;
		old.c_line = locked.c_line;
		err = ioctl(t->master, TIOCSLCKTRMIOS, &old) ? -errno : 0;
	}
	return err;
}

static int pair_make(struct crk_rst *r, struct rst_tty *t)
{
	int fd = -1, zero = 0, err;
	char path[32];

	t->made = true;
	err = master_open(r, t, &fd);
	err = err ?: crk_fd_hold(r, fd, &t->master);
	if (err)
		return err;
	if (ioctl(t->master, TIOCSPTLCK, &zero))
		return crk_err(-errno, "/dev/pts/%u: cannot unlock", t->index);
	if (t->has_slave || t->flags & TTY_SLAVE_CLOSED) {
		fd = ioctl(t->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return crk_err(-errno, "/dev/pts/%u: cannot open", t->index);
		/* if no file of the dump has it open it is closed with those that are held: just what is wanted */
		err = crk_fd_hold(r, fd, &t->slave);
		if (err)
			return err;
	}
	err = settings_restore(r, t);
	snprintf(path, sizeof(path), "/dev/pts/%u", t->index);
	if (!err && ((t->e->has_uid && chown(path, t->e->uid, t->e->gid)) || (t->mode && chmod(path, t->mode))))
		err = -errno;
	return err ? crk_err(err, "/dev/pts/%u: cannot set it up", t->index) : 0;
}

/* /dev/tty is the terminal of the session that opens it: a session of its own that has it for a moment */
static int ctty_open(const struct rst_tty *t, int flags, int *ret)
{
	int status, done[2];
	int fd = -1;
	pid_t pid;

	if (pipe2(done, O_CLOEXEC))
		return -errno;
	/* shares the table of descriptors: what it opens is ours */
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		return -errno;
	if (!pid) {
		signal(SIGHUP, SIG_IGN);
		if (setsid() < 0 || ioctl(t->slave, TIOCSCTTY, 0))
			_exit(errno);
		fd = open("/dev/tty", flags | O_CLOEXEC);
		status = fd < 0 ? errno : 0;
		ioctl(t->slave, TIOCNOTTY);
		if (!status && write(done[1], &fd, sizeof(fd)) != sizeof(fd))
			status = EIO;
		_exit(status);
	}
	waitpid(pid, &status, 0);
	close(done[1]);
	if (status || read(done[0], &fd, sizeof(fd)) != sizeof(fd))
		fd = -1;
	close(done[0]);
	*ret = fd;
	return fd >= 0 ? 0 : WIFEXITED(status) && WEXITSTATUS(status) ? -WEXITSTATUS(status) : -EIO;
}

int crk_tty_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	struct rst_tty *t = rst_tty_get(r, fe->tty->tty_info_id);
	int flags = fe->tty->flags & ~(OPEN_ONCE | O_ASYNC), err;
	const char *name = reg_name(r, fe->tty);
	char path[32];

	if (t->external) {
		*ret = crk_fd_reopen(own_terminal(r, t), flags);
		return *ret < 0 ? crk_err(-errno, "cannot open the terminal of the restore") : 0;
	}
	if (!t->made) {
		err = pair_make(r, t);
		if (err)
			return err;
	}
	if (is_master(t, fe->tty)) {
		*ret = fcntl(t->master, F_DUPFD_CLOEXEC, 0);
		err = *ret < 0 ? -errno : crk_fd_setfl(*ret, flags);
		return err ? crk_err(err, "/dev/pts/%u: cannot set flags of the master", t->index) : 0;
	}
	if (name && !strcmp(name, "/dev/tty")) {
		err = ctty_open(t, flags, ret);
		return err ? crk_err(err, "/dev/pts/%u: cannot open it as /dev/tty", t->index) : 0;
	}
	snprintf(path, sizeof(path), "/dev/pts/%u", t->index);
	*ret = open(path, flags | O_NOCTTY | O_CLOEXEC);
	return *ret < 0 ? crk_err(-errno, "cannot open '%s'", path) : 0;
}

/* the leader of a session takes its terminal, and says which group is in front */
int crk_tty_process(struct crk_rst *r, struct crk_rproc *p)
{
	struct rst_tty *t;
	pid_t pgrp;

	if (p->sid != p->pid)
		return 0;
	for (t = rst_ttys(r)->list; t; t = t->next) {
		_cleanup_close_ int fd = -1;

		if (t->external || !t->made || (pid_t)t->e->sid != p->sid)
			continue;
		fd = ioctl(t->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (fd < 0 || ioctl(fd, TIOCSCTTY, 0))
			return crk_err(-errno, "pid %d: cannot make /dev/pts/%u its controlling terminal", p->pid,
				       t->index);
		pgrp = t->e->pgrp;
		if (pgrp && ioctl(fd, TIOCSPGRP, &pgrp) && errno != ESRCH)
			return crk_err(-errno, "pid %d: cannot make %d the group in front of /dev/pts/%u", p->pid, pgrp,
				       t->index);
	}
	return 0;
}

int crk_tty_complete(struct crk_rst *r, const FileEntry *fe, int fd)
{
	struct rst_tty *t = rst_tty_get(r, fe->tty->tty_info_id);
	int one = 1;

	(void)fd;
	if (t->external || t->complete)
		return 0;
	t->complete = true;
	if ((t->e->packet_mode && ioctl(t->master, TIOCPKT, &one)) ||
	    (t->e->locked && ioctl(t->master, TIOCSPTLCK, &one)) ||
	    (t->e->exclusive && t->slave >= 0 && ioctl(t->slave, TIOCEXCL)))
		return crk_err(-errno, "/dev/pts/%u: cannot set its modes", t->index);
	return 0;
}
