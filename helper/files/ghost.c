// SPDX-License-Identifier: GPL-2.0
/*
 * Files that are open and not to be found at their path.  Without any name left ("ghosts") the file itself is saved:
 * contents with holes kept, owner, mode, times.  A restore makes it where it was, opens it, and takes the name away
 * again.  With another name left it gets one more beside the lost one, if --link-remap allows that.
 *
 * One inode is one ghost, however many files of it are open.
 */
#include <errno.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "files.h"

#define COPY_BUFFER	(256UL << 10)
#define TMPFILE_BIT	(O_TMPFILE & ~O_DIRECTORY)

static const char key;		/* of our state */

/* new_encode_dev() */
static uint32_t kernel_dev(dev_t dev)
{
	return major(dev) << 20 | minor(dev);
}

/* ---- dump ---- */

struct ghost_dump {
	ino_t ino;
	dev_t dev;
	uint32_t id;
};

/* a name that link_dump() made */
struct new_link {
	struct new_link *next;
	char name[];
};

struct ghosts_dump {
	struct ghost_dump *ghosts;	/* in memory of the dump */
	size_t nr, room;
	unsigned int nr_links;
	struct new_link *links;
};

static int chunk_copy(struct crk_img *img, int src, off_t off, size_t len)
{
	ssize_t n;
	int fd;

	if (len <= COPY_BUFFER) {
		_cleanup_free_ char *buf = malloc(len);
		int err = buf ? pread_all(src, buf, len, off) : -ENOMEM;

		return err ?: crk_img_put_raw(img, buf, len);
	}
	fd = crk_img_fd(img);
	while (fd >= 0 && len) {
		n = sendfile(fd, src, &off, len);
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		len -= n;
	}
	return fd < 0 ? fd : 0;
}

static int contents_dump(struct crk_img *img, const struct crk_dfile *f)
{
	_cleanup_close_ int src = -1;
	off_t data, hole;
	int err;

	err = crk_dfile_reopen(f, O_RDONLY, &src);
	for (hole = 0; !err && hole < f->st.st_size;) {
		GhostChunkEntry c = GHOST_CHUNK_ENTRY__INIT;

		data = lseek(src, hole, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(src, data, SEEK_HOLE);
		if (hole < 0)
			return crk_dfile_err(-errno, f, "cannot find its data");
		c.off = data;
		c.len = hole - data;
		err = crk_img_put(img, &c.base);
		if (err)
			return err;
		err = chunk_copy(img, src, data, hole - data);
		if (err)
			return crk_dfile_err(err, f, "cannot save its contents");
	}
	return err;
}

static int ghost_save(struct crk_dump *d, const struct crk_dfile *f, uint32_t id)
{
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	Timeval atim = TIMEVAL__INIT, mtim = TIMEVAL__INIT;
	const struct stat *st = &f->st;
	struct crk_img *img;
	int err, err2;

	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISFIFO(st->st_mode) && !S_ISCHR(st->st_mode))
		return crk_dfile_refuse(f, "it was removed, and files of its type cannot be made again");
	if (d->opts->ghost_limit && st->st_blocks * 512ULL > d->opts->ghost_limit) {
		crk_dfile_refuse(f, "it was removed, and has %llu bytes, more than --ghost-limit",
				 st->st_blocks * 512ULL);
		return -EFBIG;
	}
	e.uid = st->st_uid;
	e.gid = st->st_gid;
	e.mode = st->st_mode;
	e.has_dev = e.has_ino = true;
	e.dev = kernel_dev(st->st_dev);
	e.ino = st->st_ino;
	e.has_rdev = S_ISCHR(st->st_mode);
	e.rdev = kernel_dev(st->st_rdev);
	atim.tv_sec = st->st_atim.tv_sec;
	atim.tv_usec = st->st_atim.tv_nsec / 1000;
	mtim.tv_sec = st->st_mtim.tv_sec;
	mtim.tv_usec = st->st_mtim.tv_nsec / 1000;
	e.atim = &atim;
	e.mtim = &mtim;
	e.has_chunks = e.has_size = S_ISREG(st->st_mode);
	e.chunks = true;
	e.size = st->st_size;
	err = crk_img_create(d->dir, CRK_IMG_GHOST_FILE, id, &img);
	if (err)
		return err;
	err = crk_img_put(img, &e.base);
	if (!err && S_ISREG(st->st_mode))
		err = contents_dump(img, f);
	err2 = crk_img_close(img);
	return err ?: err2;
}

static int remap_put(struct crk_dump *d, uint32_t reg_id, uint32_t remap_id, RemapType type)
{
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;
	struct crk_img *img;
	int err;

	e.orig_id = reg_id;
	e.remap_id = remap_id;
	e.has_remap_type = true;
	e.remap_type = type;
	err = crk_dump_img(d, CRK_IMG_REMAP_FPATH, &img);
	return err ?: crk_img_put(img, &e.base);
}

/* one more name, beside the lost one: "link_remap.N", as CRIU calls it */
static int link_dump(struct crk_dump *d, const struct crk_dfile *f, const RegFileEntry *reg, struct ghosts_dump *s)
{
	const char *slash = strrchr(reg->name, '/');
	FileEntry fe = FILE_ENTRY__INIT;
	char name[PATH_MAX + 32], self[32];
	struct new_link *link;
	RegFileEntry e = *reg;
	int err;

	if (!d->opts->link_remap) {
		err = crk_dfile_refuse(f, "its name was removed, but the file has others");
		crk_hint("--link-remap makes one more name for it in the same directory");
		return err;
	}
	do
		snprintf(name, sizeof(name), "%.*s/link_remap.%u", (int)(slash - reg->name), reg->name, ++s->nr_links);
	while (!access(name, F_OK));
	link = crk_dump_alloc(d, sizeof(*link) + strlen(name) + 1);
	if (!link)
		return -ENOMEM;
	strcpy(link->name, name);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	if (linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW))
		return crk_dfile_err(-errno, f, "cannot make the name '%s' for it", name);
	link->next = s->links;
	s->links = link;
	e.name = name;
	fe.type = FD_TYPES__REG;
	fe.id = e.id = crk_dump_new_id(d);
	fe.reg = &e;
	err = fe.id ? crk_dump_put_file(d, &fe) : -ENOMEM;
	return err ?: remap_put(d, reg->id, fe.id, REMAP_TYPE__LINKED);
}

int crk_ghost_dump(struct crk_dump *d, const struct crk_dfile *f, const RegFileEntry *reg)
{
	struct ghosts_dump *s = crk_dump_state(d, &key, sizeof(*s));
	struct ghost_dump *g;
	size_t i;
	int err;

	if (!s)
		return -ENOMEM;
	if (f->st.st_nlink && !S_ISDIR(f->st.st_mode))
		return link_dump(d, f, reg, s);
	for (i = 0; i < s->nr; i++)
		if (s->ghosts[i].ino == f->st.st_ino && s->ghosts[i].dev == f->st.st_dev)
			return remap_put(d, reg->id, s->ghosts[i].id, REMAP_TYPE__GHOST);
	if (s->nr == s->room) {
		size_t room = s->room ? s->room * 2 : 16;

		g = crk_dump_alloc(d, room * sizeof(*g));
		if (!g)
			return -ENOMEM;
		if (s->nr)
			memcpy(g, s->ghosts, s->nr * sizeof(*g));
		s->ghosts = g;
		s->room = room;
	}
	g = &s->ghosts[s->nr++];
	g->ino = f->st.st_ino;
	g->dev = f->st.st_dev;
	g->id = s->nr;
	err = ghost_save(d, f, g->id);
	return err ?: remap_put(d, reg->id, g->id, REMAP_TYPE__GHOST);
}

void crk_ghost_links_undo(struct crk_dump *d)
{
	struct ghosts_dump *s = d->files ? crk_dump_state(d, &key, sizeof(*s)) : NULL;
	struct new_link *link;

	for (link = s ? s->links : NULL; link; link = link->next)
		unlink(link->name);
}

/* ---- restore ---- */

struct remap {
	uint32_t orig_id, remap_id;
	RemapType type;
	int fd;			/* of the first one with this remap_id: the file, once it was made; + 1, 0: none */
	int tmpfile;		/* its opening with O_TMPFILE; + 1 */
};

struct ghosts_restore {
	struct remap *remaps;
	size_t nr, room;
};

static struct ghosts_restore *state_of(struct crk_rst *r)
{
	return crk_restore_state(r, &key, sizeof(struct ghosts_restore));
}

int crk_ghost_plan(struct crk_rst *r)
{
	struct ghosts_restore *s = state_of(r);
	struct crk_img *img;
	ProtobufCMessage *msg;
	size_t nr = 0;
	int ret, err;

	if (!s)
		return -ENOMEM;
	ret = crk_img_open(r->dir, CRK_IMG_REMAP_FPATH, 0, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	/* an entry has two bytes at least */
	s->remaps = crk_restore_alloc(r, (crk_img_left(img) / 6 + 1) * sizeof(*s->remaps));
	if (!s->remaps)
		ret = -ENOMEM;
	while (!ret && (ret = crk_img_get(img, &msg)) > 0) {
		RemapFilePathEntry *e = (RemapFilePathEntry *)msg;
		struct remap *m = &s->remaps[nr++];

		m->orig_id = e->orig_id;
		m->remap_id = e->remap_id;
		m->type = e->has_remap_type ? e->remap_type : REMAP_TYPE__LINKED;
		ret = m->type == REMAP_TYPE__PROCFS ?
			crk_fail(-EOPNOTSUPP, "file id %u: files below /proc/PID of processes that are gone are not supported",
				 m->orig_id) : 0;
		if (m->type == REMAP_TYPE__LINKED)
			crk_rfile_path_only(r, m->remap_id);
		remap_file_path_entry__free_unpacked(e, NULL);
	}
	err = crk_img_close(img);
	s->nr = nr;
	return ret ?: err;
}

static struct remap *remap_find(struct crk_rst *r, uint32_t id)
{
	struct ghosts_restore *s = state_of(r);
	size_t i;

	for (i = 0; s && i < s->nr; i++)
		if (s->remaps[i].orig_id == id)
			return &s->remaps[i];
	return NULL;
}

/* the one of those with the same file that keeps it */
static struct remap *remap_master(struct crk_rst *r, const struct remap *m)
{
	struct ghosts_restore *s = state_of(r);
	size_t i = 0;

	while (s->remaps[i].remap_id != m->remap_id || s->remaps[i].type != m->type)
		i++;
	return &s->remaps[i];
}

bool crk_ghost_is(struct crk_rst *r, uint32_t id)
{
	return remap_find(r, id);
}

static int contents_restore(struct crk_img *img, const GhostFileEntry *e, int fd)
{
	_cleanup_free_ char *buf = malloc(COPY_BUFFER);
	ProtobufCMessage *msg;
	uint64_t off = 0, left;
	int ret = 1;

	if (!buf)
		return crk_oom();
	while (ret > 0) {
		left = crk_img_left(img);
		if (e->has_chunks && e->chunks) {
			ret = crk_img_get(img, &msg);
			if (ret <= 0)
				break;
			off = ((GhostChunkEntry *)msg)->off;
			left = ((GhostChunkEntry *)msg)->len;
			ghost_chunk_entry__free_unpacked((GhostChunkEntry *)msg, NULL);
		} else {
			ret = 0;	/* all the rest */
		}
		while (left) {
			size_t n = min(left, COPY_BUFFER);
			int err = crk_img_get_raw(img, buf, n);

			if (err)
				return err;
			err = pwrite_all(fd, buf, n, off);
			if (err)
				return crk_err(err, "cannot write the contents of a removed file");
			off += n;
			left -= n;
		}
	}
	if (!ret && e->has_size && ftruncate(fd, e->size))
		return crk_err(-errno, "cannot set the size of a removed file");
	return ret;
}

static int node_make(const char *name, const GhostFileEntry *e, int *ret)
{
	switch (e->mode & S_IFMT) {
	case S_IFREG:
		*ret = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		break;
	case S_IFDIR:
		if (mkdir(name, 0700))
			return -errno;
		*ret = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		break;
	case S_IFIFO:
	case S_IFCHR:
		if (mknod(name, (e->mode & S_IFMT) | 0600, makedev(e->rdev >> 20, e->rdev & 0xfffff)))
			return -errno;
		*ret = open(name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
		break;
	default:
		return -EOPNOTSUPP;
	}
	return *ret < 0 ? -errno : 0;
}

/* at its name if that is free, else beside it, else in what is left of the directories above */
static int node_make_near(const char *want, const GhostFileEntry *e, char *name, int *ret)
{
	char base[PATH_MAX], *slash;
	unsigned int i;
	int err;

	snprintf(base, sizeof(base), "%s", want);
	snprintf(name, PATH_MAX, "%s", want);
	for (i = 0;;) {
		err = node_make(name, e, ret);
		if (err == -EEXIST && ++i < 10000) {
			snprintf(name, PATH_MAX, "%.4000s.ghost-%u", base, i);
			continue;
		}
		slash = strrchr(base, '/');
		if (err != -ENOENT || !slash || slash == base)
			return err;
		/* "/a/b/c" becomes "/a/c" */
		*slash = '\0';
		slash = strrchr(base, '/');
		snprintf(slash ? slash + 1 : base, 256, "%.255s", strrchr(want, '/') + 1);
		snprintf(name, PATH_MAX, "%s", base);
	}
}

static int attributes_restore(int fd, const GhostFileEntry *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (chown(self, e->uid, e->gid) || chmod(self, e->mode & 07777))
		return -errno;
	if (e->atim)
		times[0] = (struct timespec){ e->atim->tv_sec, e->atim->tv_usec * 1000 };
	if (e->mtim)
		times[1] = (struct timespec){ e->mtim->tv_sec, e->mtim->tv_usec * 1000 };
	return utimensat(AT_FDCWD, self, times, 0) ? -errno : 0;
}

/* an entry of the same ghost that was opened by O_TMPFILE: only the making itself gives that */
static const RegFileEntry *tmpfile_of(struct crk_rst *r, const struct remap *m, struct remap **ret)
{
	struct ghosts_restore *s = state_of(r);
	size_t i;

	for (i = 0; i < s->nr; i++) {
		const FileEntry *fe = crk_rfile_entry(r, s->remaps[i].orig_id);

		*ret = &s->remaps[i];
		if (s->remaps[i].remap_id == m->remap_id && s->remaps[i].type == REMAP_TYPE__GHOST && fe && fe->reg &&
		    fe->reg->flags & TMPFILE_BIT)
			return fe->reg;
	}
	return NULL;
}

static int tmpfile_make(struct crk_rst *r, const RegFileEntry *reg, struct remap *owner, int *ret)
{
	char dir[PATH_MAX], *slash;
	int fd, err;

	snprintf(dir, sizeof(dir), "%s", reg->name);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	fd = open(dir, (reg->flags & ~(OPEN_ONCE | O_ASYNC)) | O_CLOEXEC, 0600);
	if (fd < 0)
		return crk_err(-errno, "file id %u: cannot make a file without name in '%s'", reg->id, dir);
	err = crk_fd_hold(r, fd, &fd);
	if (err)
		return err;
	owner->tmpfile = fd + 1;
	*ret = crk_fd_reopen(fd, O_RDWR);
	return *ret < 0 ? crk_err(-errno, "file id %u: cannot open it a second time", reg->id) : 0;
}

struct node {
	const GhostFileEntry *e;
	const char *want;
	char name[PATH_MAX];		/* that it had for a moment */
	int fd, unlink_err;
};

static int node_without_name(void *arg)
{
	struct node *n = arg;
	int err = node_make_near(n->want, n->e, n->name, &n->fd);

	if (!err && (S_ISDIR(n->e->mode) ? rmdir(n->name) : unlink(n->name)))
		n->unlink_err = -errno;
	return err;
}

static int ghost_make(struct crk_rst *r, const RegFileEntry *reg, const struct remap *m, int *ret)
{
	struct node n = { .want = reg->name, .fd = -1 };
	const RegFileEntry *tmp;
	struct remap *owner;
	ProtobufCMessage *msg;
	struct crk_img *img;
	GhostFileEntry *e;
	int fd = -1, err;

	err = crk_img_open(r->dir, CRK_IMG_GHOST_FILE, m->remap_id, &img);
	if (err)
		return err == -ENOENT ? crk_fail(-EBADMSG, "ghost-file-%x.img is missing", m->remap_id) : err;
	err = crk_img_get(img, &msg);
	if (err <= 0) {
		crk_img_close(img);
		return err ?: crk_fail(-EBADMSG, "ghost-file-%x.img is empty", m->remap_id);
	}
	e = (GhostFileEntry *)msg;
	tmp = tmpfile_of(r, m, &owner);
	if (tmp) {
		err = tmpfile_make(r, tmp, owner, &fd);
	} else {
		n.e = e;
		err = crk_shielded(node_without_name, &n);
		fd = n.fd;
		if (err)
			crk_err(err, "file id %u: cannot make the removed '%s' again", reg->id, reg->name);
		else if (n.unlink_err)
			err = crk_err(n.unlink_err, "file id %u: cannot remove '%s' again", reg->id, n.name);
	}
	if (!err && S_ISREG(e->mode))
		err = contents_restore(img, e, fd);
	if (!err) {
		err = attributes_restore(fd, e);
		if (err)
			crk_err(err, "file id %u: cannot set owner, mode or times of '%s'", reg->id, reg->name);
	}
	ghost_file_entry__free_unpacked(e, NULL);
	crk_img_close(img);
	if (!err)
		return crk_fd_hold(r, fd, ret);
	if (fd >= 0)
		close(fd);
	return err;
}

struct taken {
	const char *name, *lost;
	int fd;
};

static int open_by_lost_name(void *arg)
{
	struct taken *t = arg;
	bool linked = !link(t->name, t->lost);
	int err;

	t->fd = open(linked ? t->lost : t->name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	err = t->fd < 0 ? -errno : 0;
	if (linked)
		unlink(t->lost);
	return err;
}

/* the file that link_dump() gave a name gets the lost one for a moment, if that is free */
static int link_take(struct crk_rst *r, const RegFileEntry *reg, const struct remap *m, int *ret)
{
	const FileEntry *fe = crk_rfile_entry(r, m->remap_id);
	struct taken t = { .lost = reg->name };
	int err;

	if (!fe || !fe->reg)
		return crk_fail(-EBADMSG, "file id %u: file id %u, which it is, is not in files.img", reg->id, m->remap_id);
	t.name = fe->reg->name;
	err = crk_shielded(open_by_lost_name, &t);
	if (err)
		return crk_err(err, "file id %u: cannot open '%s'", reg->id, t.name);
	return crk_fd_hold(r, t.fd, ret);
}

void crk_ghost_links_remove(struct crk_rst *r)
{
	struct ghosts_restore *s = state_of(r);
	size_t i;

	for (i = 0; s && i < s->nr; i++) {
		const FileEntry *fe = crk_rfile_entry(r, s->remaps[i].remap_id);

		if (s->remaps[i].type == REMAP_TYPE__LINKED && fe && fe->reg)
			unlink(fe->reg->name);
	}
}

int crk_ghost_get(struct crk_rst *r, const RegFileEntry *reg, int *ret)
{
	struct remap *m = remap_find(r, reg->id), *master;
	int fd, err;

	if (!m)
		return -ENOENT;
	master = remap_master(r, m);
	if (!master->fd) {
		err = m->type == REMAP_TYPE__GHOST ? ghost_make(r, reg, m, &fd) : link_take(r, reg, m, &fd);
		if (err)
			return err;
		master->fd = fd + 1;
	}
	*ret = master->fd - 1;
	return 0;
}

int crk_ghost_open(struct crk_rst *r, const RegFileEntry *reg, int flags, int *ret)
{
	struct remap *m = remap_find(r, reg->id);
	int fd, err;

	err = crk_ghost_get(r, reg, &fd);
	if (err)
		return err;
	if (m->tmpfile)
		*ret = fcntl(m->tmpfile - 1, F_DUPFD_CLOEXEC, 0);
	else if (flags & O_PATH)
		*ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	else
		*ret = crk_fd_reopen(fd, flags & ~(O_NOFOLLOW | TMPFILE_BIT));
	return *ret < 0 ? crk_err(-errno, "file id %u: cannot open the removed '%s'", reg->id, reg->name) : 0;
}
