// SPDX-License-Identifier: GPL-2.0
/*
 * Terminals, the dump: pairs whose master is in the dump are noted with their number, settings and what waits to be
 * read on either side, and with the session they control.  A terminal whose master is outside is refused, unless
 * --shell-job says that the restore may replace it by its own.
 *
 * The two ends share what the kernel keeps in the slave (termios, session); all of it can be asked through the master.
 */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tty.h"

#define PTS_MAJOR	136		/* to 143 */
#define PTS_MAJOR_LAST	143

static bool is_pts(dev_t rdev)
{
	return major(rdev) >= PTS_MAJOR && major(rdev) <= PTS_MAJOR_LAST;
}

static uint32_t pts_index(dev_t rdev)
{
	return (major(rdev) - PTS_MAJOR) * 256 + minor(rdev);
}

static uint32_t pts_rdev(uint32_t index)
{
	return PTS_MAJOR << 20 | index;
}

static bool tty_probe(const struct crk_dfile *f)
{
	unsigned int maj = major(f->st.st_rdev), min = minor(f->st.st_rdev);

	if (!S_ISCHR(f->st.st_mode) || f->facts->f_flags & O_PATH)
		return false;
	/* /dev/tty, /dev/console, /dev/ptmx, pts, virtual and serial consoles */
	return (maj == TTYAUX_MAJOR && min <= 2) || is_pts(f->st.st_rdev) || maj == 4 || maj == 229 || maj == 204;
}

struct dump_tty {
	struct dump_tty *next;
	const struct crk_dfile *slave;	/* a file of it, for messages; NULL: none is open */
	const struct crk_dfile *master;	/* NULL: not in the dump */
	uint32_t index;
	bool external;			/* no pseudo terminal */
	dev_t rdev;
	int master_fd, slave_fd;	/* duplicates; -1 */
	struct stat node;
};

static struct dump_tty *dump_tty_get(struct crk_dump *d, dev_t rdev)
{
	struct dump_tty **list = crk_dump_state(d, &crk_file_tty, sizeof(*list)), *t;

	if (!list)
		return NULL;
	for (t = *list; t; t = t->next)
		if (t->rdev == rdev)
			return t;
	t = crk_dump_alloc(d, sizeof(*t));
	if (!t)
		return NULL;
	t->rdev = rdev;
	t->external = !is_pts(rdev);
	t->index = t->external ? 0x10000 + major(rdev) * 256 + minor(rdev) : pts_index(rdev);
	t->master_fd = t->slave_fd = -1;
	t->next = *list;
	*list = t;
	return t;
}

/* the terminal behind an opening: for the master its slave, for /dev/tty the controlling terminal it was */
static int tty_rdev(const struct crk_dfile *f, dev_t *rdev_ret, bool *master_ret)
{
	unsigned int dev, index;

	*master_ret = !ioctl(f->fd, TIOCGPTN, &index);
	if (*master_ret) {
		*rdev_ret = makedev(PTS_MAJOR + index / 256, index % 256);
		return 0;
	}
	if (ioctl(f->fd, TIOCGDEV, &dev)) {
		if (errno == EIO)
			return crk_dfile_refuse(f, "a terminal that was hung up is not supported");
		return crk_dfile_err(-errno, f, "cannot find out which terminal it is");
	}
	*rdev_ret = dev;	/* new_encode_dev(): as userspace's makedev() */
	return 0;
}

static int tty_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	TtyFileEntry *e = dump_msg(d, TtyFileEntry, tty_file_entry__init);
	struct dump_tty *t;
	dev_t rdev;
	bool master;
	int err;

	if (!e)
		return -ENOMEM;
	err = tty_rdev(f, &rdev, &master);
	if (err)
		return err;
	t = dump_tty_get(d, rdev);
	if (!t)
		return -ENOMEM;
	if (master && !t->master) {
		t->master = f;
		t->master_fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	}
	if (!master && !t->slave) {
		t->slave = f;
		t->slave_fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
		t->node = f->st;
	}
	if (is_pts(f->st.st_rdev))
		t->node = f->st;	/* rather than that of /dev/tty */
	e->id = f->id;
	e->tty_info_id = crk_tty_info_id(t->index, master);
	e->flags = f->facts->f_flags & ~OPEN_ONCE;
	e->fown = crk_dfile_fown(d, f);
	e->has_regf_id = true;
	fe->tty = e;
	if (!e->fown)
		return -ENOMEM;
	return crk_reg_dump_extra(d, f, &e->regf_id);
}

static TermiosEntry *termios_entry(struct crk_dump *d, const struct termios2 *t)
{
	TermiosEntry *e = dump_msg(d, TermiosEntry, termios_entry__init);
	size_t i;

	if (!e)
		return NULL;
	e->c_iflag = t->c_iflag;
	e->c_oflag = t->c_oflag;
	e->c_cflag = t->c_cflag;
	e->c_lflag = t->c_lflag;
	e->c_line = t->c_line;
	e->c_ispeed = t->c_ispeed;
	e->c_ospeed = t->c_ospeed;
	e->n_c_cc = NCCS;
	e->c_cc = crk_dump_alloc(d, NCCS * sizeof(*e->c_cc));
	for (i = 0; e->c_cc && i < NCCS; i++)
		e->c_cc[i] = t->c_cc[i];
	return e->c_cc ? e : NULL;
}

static int termios_dump(struct crk_dump *d, const struct dump_tty *t, TtyInfoEntry *e, struct termios2 *ret)
{
	int fd = t->master ? t->master_fd : t->slave_fd;
	struct termios locked = {};
	struct winsize ws;

	if (ioctl(fd, TCGETS2, ret) || ioctl(fd, TIOCGWINSZ, &ws) || ioctl(fd, TIOCGLCKTRMIOS, &locked))
		return crk_dfile_err(-errno, t->slave ?: t->master, "cannot read its settings");
	e->termios = termios_entry(d, ret);
	e->termios_locked = termios_entry(d, &(struct termios2){ .c_iflag = locked.c_iflag, .c_oflag = locked.c_oflag,
					  .c_cflag = locked.c_cflag, .c_lflag = locked.c_lflag,
					  .c_line = locked.c_line });
	e->winsize = dump_msg(d, WinsizeEntry, winsize_entry__init);
	if (!e->termios || !e->termios_locked || !e->winsize)
		return -ENOMEM;
	e->winsize->ws_row = ws.ws_row;
	e->winsize->ws_col = ws.ws_col;
	e->winsize->ws_xpixel = ws.ws_xpixel;
	e->winsize->ws_ypixel = ws.ws_ypixel;
	return 0;
}

/* what waits on both sides, taken and put back */
struct pair_queues {
	struct crk_dump *d;
	const struct termios2 *settings;
	int master, slave;
	bool has_output;
	struct crk_tty_queue in, out;
};

static int queues_read(void *arg)
{
	struct pair_queues *q = arg;
	struct termios2 plain = crk_tty_plain(q->settings, false);
	int ends[2] = { 0 }, flags, err, put_err;

	flags = fcntl(q->master, F_GETFL);
	err = fcntl(q->master, F_SETFL, flags | O_NONBLOCK) || ioctl(q->master, TIOCGPKT, &ends[0]) ? -errno : 0;
	if (!err && ends[0])
		ioctl(q->master, TIOCPKT, &ends[1]);
	if (!err && q->has_output)
		err = crk_tty_queue_take(q->d, q->master, &q->out);
	if (!err && ioctl(q->slave, TCSETS2, &plain))
		err = -errno;
	if (!err)
		err = crk_tty_queue_take(q->d, q->slave, &q->in);
	put_err = crk_tty_queues_put(q->master, q->slave, q->settings, &q->in, &q->out);
	ioctl(q->slave, TCSETS2, q->settings);
	if (ends[0])
		ioctl(q->master, TIOCPKT, &ends[0]);
	fcntl(q->master, F_SETFL, flags);
	return err ?: put_err;
}

static int queues_dump(struct crk_dump *d, const struct dump_tty *t, const struct termios2 *settings)
{
	struct pair_queues q = { .d = d, .settings = settings, .master = t->master_fd };
	struct pollfd pfd = { .fd = t->master_fd, .events = POLLIN };
	_cleanup_close_ int slave = -1;
	int waiting = 0, err, i;
	struct crk_img *img;

	/* an opening of our own: opening one that was never open would be noticed */
	if (!t->slave)
		return 0;
	slave = ioctl(t->master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (slave < 0)
		return crk_dfile_err(-errno, t->master, "cannot open its other end");
	poll(&pfd, 1, 0);
	/* in line mode a line that is not complete does not count; it shows when the mode is left */
	ioctl(slave, TIOCINQ, &waiting);
	if (!waiting && !(pfd.revents & POLLIN) && !(settings->c_lflag & ICANON))
		return 0;
	q.slave = slave;
	q.has_output = pfd.revents & POLLIN;
	err = crk_shielded(queues_read, &q);
	if (err)
		return crk_dfile_err(err, t->master, "cannot read what waits in it");
	for (i = 0; i < 2 && !err; i++) {
		const struct crk_tty_queue *side = i ? &q.out : &q.in;
		TtyDataEntry e = TTY_DATA_ENTRY__INIT;

		if (!side->len)
			continue;
		e.tty_id = crk_tty_info_id(t->index, i);
		e.data.data = (uint8_t *)side->data;
		e.data.len = side->len;
		err = crk_dump_img(d, CRK_IMG_TTY_DATA, &img);
		err = err ?: crk_img_put(img, &e.base);
	}
	return err;
}

static int pair_dump(struct crk_dump *d, const struct dump_tty *t, TtyInfoEntry *e)
{
	struct pollfd pfd = { .fd = t->master_fd };
	int locked = 0, exclusive = 0, packets = 0;
	pid_t sid = 0, pgrp = 0;
	CrkFileEntry *extra;

	if (ioctl(t->master_fd, TIOCGPTLCK, &locked) || ioctl(t->master_fd, TIOCGPKT, &packets))
		return crk_dfile_err(-errno, t->master, "cannot read its state");
	if (t->slave)
		ioctl(t->slave_fd, TIOCGEXCL, &exclusive);
	/* fail if it controls no session */
	if (!ioctl(t->master_fd, TIOCGSID, &sid))
		ioctl(t->master_fd, TIOCGPGRP, &pgrp);
	e->locked = locked;
	e->exclusive = exclusive;
	e->packet_mode = packets;
	e->sid = max(sid, 0);
	e->pgrp = e->sid ? max(pgrp, 0) : 0;
	extra = crk_dfile_extra(d, t->master);
	if (!extra)
		return -ENOMEM;
	extra->has_mode = t->node.st_mode != 0;
	extra->mode = t->node.st_mode & 07777;
	poll(&pfd, 1, 0);
	if (!t->slave && pfd.revents & POLLHUP) {
		extra->has_tty_flags = true;
		extra->tty_flags = TTY_SLAVE_CLOSED;
	}
	return 0;
}

static int info_dump(struct crk_dump *d, struct dump_tty *t)
{
	TtyInfoEntry e = TTY_INFO_ENTRY__INIT;
	TtyPtyEntry pty = TTY_PTY_ENTRY__INIT;
	struct termios2 settings;
	struct crk_img *img;
	int err, end;

	if (!t->master && !d->opts->shell_job) {
		err = crk_dfile_refuse(t->slave, t->external ? "this terminal is not a pseudo terminal" :
				       "the other end of its terminal is outside of the dump");
		crk_hint("--shell-job, here and at the restore, replaces it by the terminal of the restore");
		return err;
	}
	if (t->master && !t->slave) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/pts/%u", t->index);
		if (stat(path, &t->node))
			memset(&t->node, 0, sizeof(t->node));
	}
	e.type = t->master ? TTY_TYPE__PTY : TTY_TYPE__EXT_TTY;
	err = termios_dump(d, t, &e, &settings);
	if (!err && t->master)
		err = pair_dump(d, t, &e);
	if (err)
		return err;
	pty.index = t->index;
	e.pty = &pty;
	e.has_uid = e.has_gid = t->node.st_mode != 0;
	e.uid = t->node.st_uid;
	e.gid = t->node.st_gid;
	err = crk_dump_img(d, CRK_IMG_TTY_INFO, &img);
	for (end = 0; end < 2 && !err; end++) {
		if (end ? !t->master : !t->slave)
			continue;
		e.id = crk_tty_info_id(t->index, end);
		e.rdev = end ? TTYAUX_MAJOR << 20 | 2 : t->external ? major(t->rdev) << 20 | minor(t->rdev) :
			pts_rdev(t->index);
		err = crk_img_put(img, &e.base);
	}
	return err ?: t->master ? queues_dump(d, t, &settings) : 0;
}

static int tty_finish(struct crk_dump *d)
{
	struct dump_tty **list = crk_dump_state(d, &crk_file_tty, sizeof(*list)), *t;
	int err = list ? 0 : -ENOMEM;

	for (t = list ? *list : NULL; t; t = t->next) {
		if (!err)
			err = info_dump(d, t);
		if (t->master_fd >= 0)
			close(t->master_fd);
		if (t->slave_fd >= 0)
			close(t->slave_fd);
		t->master_fd = t->slave_fd = -1;
	}
	return err;
}

const struct crk_file_ops crk_file_tty = {
	.name	= "tty",
	.type	= FD_TYPES__TTY,
	.probe	= tty_probe,
	.dump	= tty_dump,
	.finish	= tty_finish,
	.plan	= crk_tty_plan,
	.open	= crk_tty_open,
	.process = crk_tty_process,
	.complete = crk_tty_complete,
};
