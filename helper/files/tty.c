// SPDX-License-Identifier: GPL-2.0
/*
 * Pseudo terminals: pairs whose master is in the dump come back with their number, settings and what waits to be read
 * on either side; sessions get their controlling terminal and its foreground group again.  A terminal whose master is
 * outside is replaced by the one the restore runs in, if --shell-job says so.
 *
 * The two ends share what the kernel keeps in the slave (termios, session); all of it can be asked through the master.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"

#define TTYAUX_MAJOR	5
#define PTS_MAJOR	136		/* to 143 */
#define PTS_MAJOR_LAST	143
#define LDISC_ROOM	4095		/* of N_TTY */
#define MAX_QUEUE	(1UL << 20)	/* bytes on one side, more than a terminal holds */

/* crk_file_entry.tty_flags, of the master */
#define TTY_SLAVE_CLOSED	1	/* all openings of the slave were closed: the master reads EIO */

struct queue {
	char *data;
	size_t len;
};

/* tty_info ids: CRIU counts the two ends apart */
static uint32_t info_id(uint32_t index, bool master)
{
	return 2 * index + (master ? 1 : 2);
}

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

/* ---- dump ---- */

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
	e->tty_info_id = info_id(t->index, master);
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
					  .c_cflag = locked.c_cflag, .c_lflag = locked.c_lflag, .c_line = locked.c_line });
	e->winsize = dump_msg(d, WinsizeEntry, winsize_entry__init);
	if (!e->termios || !e->termios_locked || !e->winsize)
		return -ENOMEM;
	e->winsize->ws_row = ws.ws_row;
	e->winsize->ws_col = ws.ws_col;
	e->winsize->ws_xpixel = ws.ws_xpixel;
	e->winsize->ws_ypixel = ws.ws_ypixel;
	return 0;
}

/*
 * What waits on the two sides can only be read by taking it, so it is put back at once, with the settings changed so
 * that it passes unaltered.  Input of a terminal in line mode goes in in line mode: lines stay lines.
 */
static struct termios2 plain_settings(const struct termios2 *t, bool lines)
{
	struct termios2 plain = *t;

	plain.c_iflag = 0;
	plain.c_oflag = 0;
	plain.c_lflag = lines ? t->c_lflag & ICANON : 0;
	memset(plain.c_cc, 0, sizeof(plain.c_cc));
	plain.c_cc[VMIN] = lines && t->c_lflag & ICANON ? 0 : 1;
	return plain;
}

static int queue_take(struct crk_dump *d, int fd, struct queue *q)
{
	size_t room = 65536;
	char *more;
	ssize_t n;

	q->data = crk_dump_alloc(d, room);
	while (q->data) {
		if (q->len == room) {
			if (room >= MAX_QUEUE)
				return -E2BIG;
			more = crk_dump_alloc(d, room * 2);
			if (!more)
				return -ENOMEM;
			q->data = memcpy(more, q->data, room);
			room *= 2;
		}
		n = read(fd, q->data + q->len, room - q->len);
		if (n > 0)
			q->len += n;
		else if (n < 0 && errno == EINTR)
			continue;
		else
			return n < 0 && errno != EAGAIN && errno != EIO ? -errno : 0;
	}
	return -ENOMEM;
}

/*
 * Input by TIOCSTI, which is there at once, while a write would pass a work queue and meet the settings of later.  It
 * takes a byte a call and no more than the line discipline holds; more there is of unprocessed input only.
 * @t: the settings in the end
 */
static int queues_put(int master, int slave, const struct termios2 *t, const struct queue *in, const struct queue *out)
{
	struct termios2 plain = plain_settings(t, true);
	size_t i, direct = min(in->len, (size_t)LDISC_ROOM);
	int err = 0;

	if (!in->len && !out->len)
		return 0;
	if (ioctl(slave, TCSETS2, &plain))
		return -errno;
	for (i = 0; i < direct && !err; i++)
		err = ioctl(slave, TIOCSTI, in->data + i) ? -errno : 0;
	if (in->len > direct && !err)
		err = write_all(master, in->data + direct, in->len - direct);
	if (out->len && !err)
		err = write_all(slave, out->data, out->len);
	if (ioctl(slave, TCSETS2, t) && !err)
		err = -errno;
	return err;
}

static int queues_dump(struct crk_dump *d, const struct dump_tty *t, const struct termios2 *settings)
{
	_cleanup_close_ int slave = -1;
	struct termios2 plain = plain_settings(settings, false);
	struct queue in = {}, out = {};
	struct pollfd pfd = { .fd = t->master_fd, .events = POLLIN };
	int waiting = 0, ends[2] = { 0 }, flags, err, i;
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
	flags = fcntl(t->master_fd, F_GETFL);
	err = fcntl(t->master_fd, F_SETFL, flags | O_NONBLOCK) || ioctl(t->master_fd, TIOCGPKT, &ends[0]) ? -errno : 0;
	if (!err && ends[0])
		ioctl(t->master_fd, TIOCPKT, &ends[1]);
	if (!err && pfd.revents & POLLIN)
		err = queue_take(d, t->master_fd, &out);
	if (!err && ioctl(slave, TCSETS2, &plain))
		err = -errno;
	if (!err)
		err = queue_take(d, slave, &in);
	i = queues_put(t->master_fd, slave, settings, &in, &out);
	err = err ?: i;
	ioctl(slave, TCSETS2, settings);
	if (ends[0])
		ioctl(t->master_fd, TIOCPKT, &ends[0]);
	fcntl(t->master_fd, F_SETFL, flags);
	if (err)
		return crk_dfile_err(err, t->master, "cannot read what waits in it");
	for (i = 0; i < 2 && !err; i++) {
		const struct queue *q = i ? &out : &in;
		TtyDataEntry e = TTY_DATA_ENTRY__INIT;

		if (!q->len)
			continue;
		e.tty_id = info_id(t->index, i);
		e.data.data = (uint8_t *)q->data;
		e.data.len = q->len;
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
		e.id = info_id(t->index, end);
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

/* ---- restore ---- */

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
		if (info_id(t->index, true) == id || info_id(t->index, false) == id)
			return t;
	return NULL;
}

static bool is_master(const struct rst_tty *t, const TtyFileEntry *e)
{
	return e->tty_info_id == info_id(t->index, true);
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

static int tty_plan(struct crk_rst *r, const FileEntry *fe)
{
	const CrkFileEntry *extra = crk_rfile_extra(r, fe->id);
	struct rst_tty *t = rst_tty_get(r, fe->tty->tty_info_id);
	char who[64], path[32];
	int err;

	if (!t)
		return crk_fail(-EBADMSG, "tty-info.img: terminal %u of file id %u is missing", fe->tty->tty_info_id, fe->id);
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
		return crk_fail(-EBUSY, "%s: its terminal '%s' is in use by others", crk_rfile_who(r, fe->id, who), path);
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

static int queues_load(struct crk_rst *r, const struct rst_tty *t, struct queue *in, struct queue *out)
{
	ProtobufCMessage *msg;
	struct crk_img *img;
	int ret, err;

	ret = crk_img_open(r->dir, CRK_IMG_TTY_DATA, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		TtyDataEntry *e = (TtyDataEntry *)msg;
		struct queue *q = e->tty_id == info_id(t->index, true) ? out :
			e->tty_id == info_id(t->index, false) ? in : NULL;

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
	struct queue in = {}, out = {};
	struct winsize ws;
	int err = 0;

	if (t->e->termios) {
		settings = termios_of(t->e->termios);
		if (ioctl(t->master, TCSETS2, &settings))
			return -errno;
	}
	if (t->slave >= 0 && t->e->termios) {
		err = queues_load(r, t, &in, &out);
		err = err ?: queues_put(t->master, t->slave, &settings, &in, &out);
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

static int tty_open(struct crk_rst *r, const FileEntry *fe, int *ret)
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
static int tty_process(struct crk_rst *r, struct crk_rproc *p)
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
			return crk_err(-errno, "pid %d: cannot make /dev/pts/%u its controlling terminal", p->pid, t->index);
		pgrp = t->e->pgrp;
		if (pgrp && ioctl(fd, TIOCSPGRP, &pgrp) && errno != ESRCH)
			return crk_err(-errno, "pid %d: cannot make %d the group in front of /dev/pts/%u", p->pid, pgrp,
				       t->index);
	}
	return 0;
}

static int tty_complete(struct crk_rst *r, const FileEntry *fe, int fd)
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

const struct crk_file_ops crk_file_tty = {
	.name	= "tty",
	.type	= FD_TYPES__TTY,
	.probe	= tty_probe,
	.dump	= tty_dump,
	.finish	= tty_finish,
	.plan	= tty_plan,
	.open	= tty_open,
	.process = tty_process,
	.complete = tty_complete,
};
