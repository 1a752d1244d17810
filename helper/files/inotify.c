// SPDX-License-Identifier: GPL-2.0
/*
 * inotify_init(2) and its watches.  fdinfo names the watched inodes by file handle; the path comes from opening that.
 * Events that were not read yet stay behind: reading them would take them from a target that is left running.
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

static int inotify_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	static const char start[] = "inotify wd:";
	InotifyFileEntry *e = dump_msg(d, InotifyFileEntry, inotify_file_entry__init);
	_cleanup_free_ char *mounts = NULL;
	const char *text = crk_dfile_fdinfo(f), *line;
	int err, waiting = 0;
	size_t nr = 0;

	if (!e || !text)
		return -ENOMEM;
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
	if (!ioctl(f->fd, FIONREAD, &waiting) && waiting)
		crk_warn("pid %d (%s) fd %u (%s): %d bytes of events not read yet are not saved", f->proc->pid,
			 (const char *)f->proc->leader->comm, f->facts->fd, f->link, waiting);
	return 0;
}

/* ---- restore ---- */

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
	return 0;
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
	const InotifyFileEntry *e = fe->ify;
	size_t i;

	(void)r;
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
	return 0;
}

const struct crk_file_ops crk_file_inotify = {
	.name	= "inotify",
	.type	= FD_TYPES__INOTIFY,
	.probe	= inotify_probe,
	.dump	= inotify_dump,
	.plan	= inotify_plan,
	.open	= inotify_open,
	.complete = inotify_complete,
	.completes_last = true,
};
