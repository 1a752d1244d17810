// SPDX-License-Identifier: GPL-2.0
/*
 * inotify_init(2), its watches and the events that wait.  fdinfo names the watched inodes by file handle; the path comes
 * from opening that.  The events come from the module and go back through it: reading would take them from a target
 * that is left running.  A dump that reads a watched file makes events; what waits is looked at before.
 */
#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "files.h"

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD	_IOW('I', 0, int32_t)
#endif

#define HANDLE_WORDS	16	/* fh_entry.handle has that many at least */

static bool inotify_probe(const struct crk_dfile *f)
{
	return !strcmp(f->link, "anon_inode:inotify");
}

/* ---- dump ---- */

struct handle {
	struct file_handle fh;
	unsigned char bytes[HANDLE_WORDS * 8];
};

static int hex_parse(const char *hex, unsigned char *bytes, size_t nr)
{
	unsigned int byte;
	size_t i;

	for (i = 0; i < nr; i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return -EINVAL;
		bytes[i] = byte;
	}
	return 0;
}

/* "\040" and the like, as /proc/PID/mountinfo writes blanks */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++, to++) {
		*to = *text;
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to = (text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0');
			text += 3;
		}
	}
	*to = '\0';
}

static int path_of_handle(const char *mount, const struct handle *h, ino_t ino, char path[PATH_MAX])
{
	_cleanup_close_ int mount_fd = open(mount, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY), fd = -1;
	char self[32];
	struct stat st;
	ssize_t len;

	if (mount_fd < 0)
		return -errno;
	fd = open_by_handle_at(mount_fd, (struct file_handle *)&h->fh, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	len = readlink(self, path, PATH_MAX - 1);
	if (len < 0)
		return -errno;
	path[len] = '\0';
	/* not visible from our root, covered, or removed */
	return lstat(path, &st) || st.st_ino != ino ? -ENOENT : 0;
}

static int path_find(const char *mounts, dev_t dev, const struct handle *h, ino_t ino, char path[PATH_MAX])
{
	unsigned int maj, min;
	char mount[PATH_MAX];
	const char *line;
	int err = -ENODEV, ret;

	for (line = mounts; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &maj, &min, mount) != 3 || makedev(maj, min) != dev)
			continue;
		unescape(mount);
		ret = path_of_handle(mount, h, ino, path);
		if (!ret)
			return 0;
		err = ret;
	}
	return err;
}

static int watch_parse(struct crk_dump *d, const struct crk_dfile *f, const char *line, const char *mounts,
		       InotifyWdEntry **ret)
{
	InotifyWdEntry *e = dump_msg(d, InotifyWdEntry, inotify_wd_entry__init);
	FhEntry *fh = dump_msg(d, FhEntry, fh_entry__init);
	unsigned int wd, dev, mask, ignored, bytes, type;
	struct handle h = {};
	char path[PATH_MAX];
	unsigned long ino;
	int n = 0, err;

	if (!e || !fh)
		return -ENOMEM;
	if (sscanf(line, "inotify wd:%x ino:%lx sdev:%x mask:%x ignored_mask:%x", &wd, &ino, &dev, &mask, &ignored) != 5)
		return crk_dfile_refuse(f, "cannot understand its fdinfo: %.80s", line);
	if (sscanf(line, "%*s %*s %*s %*s %*s %*s fhandle-bytes:%x fhandle-type:%x f_handle:%n", &bytes, &type, &n) != 2 ||
	    !n || bytes > sizeof(h.bytes) || hex_parse(line + n, h.bytes, bytes))
		return crk_dfile_refuse(f, "its watch %u is on a file system that cannot tell the path (inode %lu)", wd, ino);
	h.fh.handle_bytes = bytes;
	h.fh.handle_type = type;
	err = path_find(mounts, makedev(dev >> 20, dev & 0xfffff), &h, ino, path);
	if (err)
		return crk_dfile_err(err, f, "cannot find the path of its watch %u (inode %lu)", wd, ino);
	e->id = f->id;
	e->i_ino = ino;
	e->mask = mask;
	e->ignored_mask = ignored;
	e->s_dev = dev;
	e->wd = wd;
	e->f_handle = fh;
	fh->bytes = bytes;
	fh->type = type;
	fh->n_handle = HANDLE_WORDS;
	fh->handle = crk_dump_alloc(d, sizeof(h.bytes));
	fh->path = crk_dump_strdup(d, path);
	if (!fh->handle || !fh->path)
		return -ENOMEM;
	memcpy(fh->handle, h.bytes, sizeof(h.bytes));
	*ret = e;
	return 0;
}

/* events of one file; kept until it is dumped */
struct waiting {
	void *events;
	size_t len;
	uint32_t next_wd;
	bool known;			/* else the module can't tell */
};

static int waiting_read(struct crk_dump *d, int fd, struct waiting *w)
{
	_cleanup_free_ void *events = NULL;
	int err = crk_dev_events(d->dev, fd, &events, &w->len, &w->next_wd);

	w->known = !err;
	if (err || !w->len)
		return err == -EOPNOTSUPP ? 0 : err;
	w->events = crk_dump_alloc(d, w->len);
	if (!w->events)
		return -ENOMEM;
	memcpy(w->events, events, w->len);
	return 0;
}

static int anon_stat(struct stat *st)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC);

	return fd < 0 || fstat(fd, st) ? crk_err(-errno, "cannot make an inotify descriptor") : 0;
}

/* to read a watched file makes more events: those that the program has not seen at the dump come first */
static int inotify_early(struct crk_dump *d, struct crk_dproc *p, const struct crk_fd *facts)
{
	/* the inode that inotify's files share with others */
	struct stat *anon = crk_dump_state(d, &crk_file_inotify, sizeof(*anon));
	_cleanup_close_ int fd = -1;
	struct waiting *w;
	int err;

	if (!anon)
		return -ENOMEM;
	err = anon->st_ino ? 0 : anon_stat(anon);
	if (err || facts->ino != anon->st_ino || facts->dev != anon->st_dev)
		return err;
	w = crk_dump_known(d, &crk_file_inotify, facts->file_id, 0);
	fd = w ? -1 : crk_dump_getfd(d, p, facts->fd);
	if (fd < 0)
		return 0;	/* has been read, or the file will be refused with a reason */
	w = crk_dump_alloc(d, sizeof(*w));
	err = w ? waiting_read(d, fd, w) : -ENOMEM;
	if (err)
		return err == -EINVAL ? 0 : err;
	return crk_dump_know(d, &crk_file_inotify, facts->file_id, 0, w);
}

static int events_dump(struct crk_dump *d, const struct crk_dfile *f)
{
	struct waiting *w = crk_dump_known(d, &crk_file_inotify, f->facts->file_id, 0), own = {};
	int waiting = 0, err = 0;
	CrkFileEntry *e;

	if (ioctl(f->fd, FIONREAD, &waiting))
		return crk_dfile_err(-errno, f, "cannot tell whether events wait in it");
	/* one that is on its way in a message has no identity */
	if (!w) {
		w = &own;
		err = waiting_read(d, f->fd, w);
	}
	if (err)
		return err;
	if (!w->known)
		return waiting ? crk_dfile_refuse(f, "events wait in it, which the module cannot read on this kernel") : 0;
	if (w != &own && w->len > (size_t)waiting)
		return crk_dfile_err(-EPROTO, f, "its events are %zu bytes for the module and %d for the kernel", w->len,
				     waiting);
	e = crk_dfile_extra(d, f);
	if (!e)
		return -ENOMEM;
	e->has_inotify_next_wd = true;
	e->inotify_next_wd = w->next_wd;
	e->has_pending_events = w->len;
	e->pending_events.len = w->len;
	e->pending_events.data = w->events;
	return 0;
}

static int inotify_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	static const char start[] = "inotify wd:";
	InotifyFileEntry *e = dump_msg(d, InotifyFileEntry, inotify_file_entry__init);
	_cleanup_free_ char *mounts = NULL;
	const char *text = crk_dfile_fdinfo(f), *line;
	size_t nr = 0;
	int err;

	if (!e || !text)
		return -ENOMEM;
	err = events_dump(d, f);
	if (err)
		return err;
	for (line = text; (line = strstr(line, start)); line++)
		nr++;
	e->id = f->id;
	e->flags = f->facts->f_flags;
	e->fown = crk_dfile_fown(d, f);
	e->wd = crk_dump_alloc(d, nr * sizeof(*e->wd) + 1);
	if (!e->fown || !e->wd)
		return -ENOMEM;
	fe->ify = e;
	err = nr ? read_file_at(AT_FDCWD, "/proc/self/mountinfo", &mounts, NULL) : 0;
	if (err)
		return crk_err(err, "/proc/self/mountinfo");
	for (line = text; (line = strstr(line, start)); line++) {
		err = watch_parse(d, f, line, mounts, &e->wd[e->n_wd]);
		if (err)
			return err;
		e->n_wd++;
	}
	return 0;
}

/* ---- restore ---- */

static size_t events_count(const ProtobufCBinaryData *events)
{
	struct inotify_event ev;
	size_t nr = 0, pos;

	for (pos = 0; pos + sizeof(ev) <= events->len; pos += sizeof(ev) + ev.len) {
		memcpy(&ev, events->data + pos, sizeof(ev));
		nr += !(ev.mask & IN_Q_OVERFLOW);
	}
	return nr;
}

static int events_plan(struct crk_rst *r, const FileEntry *fe)
{
	static const char limit[] = "/proc/sys/fs/inotify/max_queued_events";
	const CrkFileEntry *extra = crk_rfile_extra(r, fe->id);
	_cleanup_free_ char *text = NULL;
	struct crk_info info = {};
	char who[64];
	size_t nr;
	int err;

	if (!extra || !extra->has_pending_events)
		return 0;
	err = crk_dev_info(r->dev, &info);
	if (err)
		return err;
	if (!(info.out_features & CRK_FEAT_INOTIFY))
		return crk_fail(-EOPNOTSUPP, "%s: events wait in it, which the module cannot queue on this kernel",
				crk_rfile_who(r, fe->id, who));
	nr = events_count(&extra->pending_events);
	err = read_file_at(AT_FDCWD, limit, &text, NULL);
	if (err)
		return crk_err(err, "%s", limit);
	if (nr <= strtoul(text, NULL, 10))
		return 0;
	crk_fail(-ENOSPC, "%s: %zu events wait in it, the most that may here are %lu", crk_rfile_who(r, fe->id, who), nr,
		 strtoul(text, NULL, 10));
	crk_hint("sysctl fs.inotify.max_queued_events=%zu", nr);
	return -ENOSPC;
}

static int inotify_plan(struct crk_rst *r, const FileEntry *fe)
{
	const InotifyFileEntry *e = fe->ify;
	struct stat st;
	char who[64];
	size_t i;

	for (i = 0; i < e->n_wd; i++) {
		const char *path = e->wd[i]->f_handle->path;

		if (!path)
			return crk_fail(-EOPNOTSUPP, "%s: its watch %u has no path", crk_rfile_who(r, fe->id, who),
					e->wd[i]->wd);
		if (lstat(path, &st))
			return crk_err(-errno, "%s: watches '%s'", crk_rfile_who(r, fe->id, who), path);
	}
	return events_plan(r, fe);
}

static int inotify_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	int fd = inotify_init1(IN_CLOEXEC | (fe->ify->flags & O_NONBLOCK ? IN_NONBLOCK : 0));

	(void)r;
	if (fd < 0)
		return crk_err(-errno, "inotify id %u: cannot create", fe->id);
	*ret = fd;
	return 0;
}

/* last of all, so that it does not see what a restore does to files */
static int inotify_complete(struct crk_rst *r, const FileEntry *fe, int fd)
{
	const CrkFileEntry *extra = crk_rfile_extra(r, fe->id);
	const InotifyFileEntry *e = fe->ify;
	size_t i;
	int err;

	if (extra && extra->has_pending_events) {
		err = crk_dev_events_put(r->dev, fd, extra->pending_events.data, extra->pending_events.len);
		if (err)
			return crk_err(err, "inotify id %u: cannot queue the events that waited in it", fe->id);
	}
	for (i = 0; i < e->n_wd; i++) {
		const char *path = e->wd[i]->f_handle->path;
		int32_t wd = e->wd[i]->wd, got;

		if (ioctl(fd, INOTIFY_IOC_SETNEXTWD, wd))
			return crk_err(-errno, "inotify id %u: cannot choose the number %d of a watch", fe->id, wd);
		/* IN_DONT_FOLLOW is about the path, which has been followed */
		got = inotify_add_watch(fd, path, e->wd[i]->mask | IN_DONT_FOLLOW);
		if (got < 0)
			return crk_err(-errno, "inotify id %u: cannot watch '%s'", fe->id, path);
		if (got != wd)
			return crk_fail(-EBUSY, "inotify id %u: the watch of '%s' got number %d instead of %d", fe->id, path,
					got, wd);
	}
	if (extra && extra->has_inotify_next_wd && ioctl(fd, INOTIFY_IOC_SETNEXTWD, extra->inotify_next_wd))
		return crk_err(-errno, "inotify id %u: cannot choose the number of the next watch", fe->id);
	return 0;
}

const struct crk_file_ops crk_file_inotify = {
	.name	= "inotify",
	.type	= FD_TYPES__INOTIFY,
	.early	= inotify_early,
	.probe	= inotify_probe,
	.dump	= inotify_dump,
	.plan	= inotify_plan,
	.open	= inotify_open,
	.complete = inotify_complete,
	.completes_last = true,
};
