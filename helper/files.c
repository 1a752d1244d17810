// SPDX-License-Identifier: GPL-2.0
/*
 * Open files of a dump: every struct file once in files.img, every table of descriptors once in fdinfo-N.img.  Knows
 * no kind of file; the kinds are in files/.  Which descriptors are the same file the module has said, so that a file
 * costs a handful of system calls and no text is parsed here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "dfile.h"

const struct crk_file_ops * const crk_file_kinds[] = {
#define CRK_FILE_KIND(name) &crk_file_##name,
#include "files/kinds.def"
#undef CRK_FILE_KIND
	NULL
};

/* what a file is, for the refusal of one that no kind has claimed */
static int refuse_unknown(const struct crk_dfile *f)
{
	static const struct { const char *link, *what; } names[] = {
		{ "anon_inode:[io_uring]", "io_uring instances" },
		{ "anon_inode:[userfaultfd]", "userfaultfd" },
		{ "anon_inode:[fanotify]", "fanotify groups" },
		{ "anon_inode:[pidfd]", "pidfds" },
		{ "pidfd:", "pidfds" },
		{ "anon_inode:[perf_event]", "perf events" },
		{ "anon_inode:bpf", "bpf objects" },
		{ "/dmabuf:", "DMA buffers" },
		{ "anon_inode:kvm", "KVM objects" },
		{ "anon_inode:[fscontext]", "mount contexts" },
		{ "anon_inode:seccomp", "seccomp listeners" },
		{ "anon_inode:landlock", "landlock rule sets" },
		{ "net:[", "namespace files" }, { "mnt:[", "namespace files" }, { "pid:[", "namespace files" },
		{ "user:[", "namespace files" }, { "uts:[", "namespace files" }, { "ipc:[", "namespace files" },
		{ "cgroup:[", "namespace files" }, { "time:[", "namespace files" },
	};
	static const char * const families[] = {
		[2] = "AF_INET", [3] = "AF_AX25", [10] = "AF_INET6", [15] = "AF_KEY", [16] = "AF_NETLINK",
		[17] = "AF_PACKET", [29] = "AF_CAN", [30] = "AF_TIPC", [31] = "AF_BLUETOOTH", [38] = "AF_ALG",
		[40] = "AF_VSOCK", [44] = "AF_XDP", [45] = "AF_MCTP",
	};
	const char *what = NULL;
	char text[96];
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(names) && !what; i++)
		if (!strncmp(f->link, names[i].link, strlen(names[i].link)))
			what = names[i].what;
	if (S_ISSOCK(f->st.st_mode)) {
		int family = -1;
		socklen_t len = sizeof(family);

		getsockopt(f->fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
		if (family >= 0 && family < (int)ARRAY_SIZE(families) && families[family])
			snprintf(text, sizeof(text), "%s sockets", families[family]);
		else
			snprintf(text, sizeof(text), "sockets of family %d", family);
		what = text;
	} else if (S_ISCHR(f->st.st_mode)) {
		snprintf(text, sizeof(text), "character devices %u:%u", major(f->st.st_rdev), minor(f->st.st_rdev));
		what = text;
	} else if (S_ISBLK(f->st.st_mode)) {
		what = "block devices";
	}
	err = crk_dfile_refuse(f, "%s are not supported", what ?: "files of this kind");
	crk_hint("close it before the dump");
	return err;
}

static int file_dump(struct crk_dump *d, struct crk_dump_file *df)
{
	const struct crk_file_ops * const *ops;
	FileEntry fe = FILE_ENTRY__INIT;
	int err;

	for (ops = crk_file_kinds; *ops; ops++)
		if ((*ops)->probe(&df->f))
			break;
	if (!*ops)
		return refuse_unknown(&df->f);
	if (df->by_path)
		crk_debug("pid %d: %s id %u, %s", df->f.proc->pid, (*ops)->name, df->f.id, df->link);
	else
		crk_debug("pid %d fd %u: %s id %u, %s", df->f.proc->pid, df->facts.fd, (*ops)->name, df->f.id, df->link);
	fe.type = df->type = (*ops)->type;
	fe.id = df->f.id;
	err = (*ops)->dump(d, &df->f, &fe);
	df->type = fe.type;
	return err ?: crk_dump_put_file(d, &fe);
}

static int link_read(struct crk_dump *d, struct crk_dump_file *df, int dirfd, const char *path)
{
	char link[PATH_MAX];
	ssize_t len = readlinkat(dirfd, path, link, sizeof(link) - 1);

	if (len < 0)
		return -errno;
	link[len] = '\0';
	df->link = crk_dump_strdup(d, link);
	df->f.link = df->link;
	return df->link ? 0 : -ENOMEM;
}

static int fd_dump(struct crk_dump *d, struct crk_dproc *p, const struct crk_fd *facts, FdinfoEntry *e)
{
	struct crk_dump_file *df = crk_files_find(d->files, facts->file_id, false, NULL, NULL);
	bool first = !df;
	char path[24];
	int err;

	if (first) {
		df = crk_files_add(d, facts->file_id, false);
		if (!df)
			return -ENOMEM;
		df->facts = *facts;
		df->f.proc = p;
		snprintf(path, sizeof(path), "fd/%u", facts->fd);
		err = link_read(d, df, p->procfd, path);
		if (err)
			return crk_err(err, "pid %d (%s) fd %u", p->pid, (const char *)p->leader->comm, facts->fd);
		df->f.fd = crk_dump_getfd(d, p, facts->fd);
		if (df->f.fd < 0 || fstat(df->f.fd, &df->f.st))
			return crk_dfile_err(-errno, &df->f, "cannot be read");
		err = file_dump(d, df);
		crk_dfile_done(df);
		if (err)
			return err;
	}
	e->id = df->f.id;
	e->type = df->type;
	e->fd = facts->fd;
	e->flags = facts->flags & CRK_FD_CLOEXEC ? FD_CLOEXEC : 0;
	return facts->flags & CRK_FD_LOCKS ? crk_locks_dump(d, p, facts, first) : 0;
}

static int table_dump(struct crk_dump *d, struct crk_dproc *p)
{
	struct crk_img *img;
	int err, err2;
	size_t i;

	/* as ids-PID.img calls it */
	err = crk_img_create(d->dir, CRK_IMG_FDINFO, p - d->procs + 1, &img);
	if (err)
		return err;
	for (i = 0; i < p->nr_fds && !err; i++) {
		FdinfoEntry e = FDINFO_ENTRY__INIT;

		err = fd_dump(d, p, &p->fds[i], &e);
		err = err ?: crk_img_put(img, &e.base);
	}
	err2 = crk_img_close(img);
	return err ?: err2;
}

/* facts as the module would give them, of a descriptor that we have */
static int facts_of_own(struct crk_dump_file *df)
{
	int flags = fcntl(df->f.fd, F_GETFL);
	off_t pos = lseek(df->f.fd, 0, SEEK_CUR);

	if (flags < 0 || fstat(df->f.fd, &df->f.st))
		return -errno;
	df->facts.fd = df->f.fd;
	df->facts.ino = df->f.st.st_ino;
	df->facts.dev = df->f.st.st_dev;
	df->facts.mode = df->f.st.st_mode;
	df->facts.f_flags = flags;
	df->facts.f_mode = ((flags & O_ACCMODE) + 1) & 3;
	df->facts.pos = pos < 0 ? 0 : pos;
	return 0;
}

struct path_key {
	const struct stat *st;
	const char *link;
	uint32_t flags;
};

static bool same_path(const struct crk_dump_file *df, const void *arg)
{
	const struct path_key *key = arg;

	return df->facts.ino == key->st->st_ino && df->facts.dev == key->st->st_dev &&
		df->facts.f_flags == key->flags && !strcmp(df->link, key->link);
}

int crk_files_dump_path(struct crk_dump *d, struct crk_dproc *p, int fd, const char *link, uint32_t flags,
			uint32_t *id_ret)
{
	char path[48], text[PATH_MAX];
	struct crk_dump_file *df;
	struct path_key key;
	struct stat st;
	ssize_t len;
	int err;

	if (!link) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		len = readlink(path, text, sizeof(text) - 1);
		if (len < 0)
			return crk_err(-errno, "pid %d (%s): %s", p->pid, (const char *)p->leader->comm, path);
		text[len] = '\0';
		link = text;
	}
	flags &= ~OPEN_ONCE;
	if (fstat(fd, &st))
		return crk_err(-errno, "pid %d (%s): '%s'", p->pid, (const char *)p->leader->comm, link);
	key = (struct path_key){ &st, link, flags };
	df = crk_files_find(d->files, st.st_ino, true, same_path, &key);
	if (!df) {
		df = crk_files_add(d, st.st_ino, true);
		if (!df)
			return -ENOMEM;
		df->link = crk_dump_strdup(d, link);
		if (!df->link)
			return -ENOMEM;
		df->f.link = df->link;
		df->f.proc = p;
		df->f.st = st;
		df->facts = (struct crk_fd){ .fd = ~0U, .ino = st.st_ino, .dev = st.st_dev, .mode = st.st_mode,
			.f_flags = flags, .f_mode = ((flags & O_ACCMODE) + 1) & 3 };
		df->f.fd = fd;
		err = file_dump(d, df);
		df->f.fd = -1;		/* the caller's */
		crk_dfile_done(df);
		if (err)
			return err;
	}
	*id_ret = df->f.id;
	return 0;
}

int crk_files_dump_fd(struct crk_dump *d, const struct crk_dfile *from, int fd, uint32_t *id_ret)
{
	struct crk_dump_file *df;
	uint64_t file_id;
	char path[32];
	int err;

	err = crk_dev_file_id(d->dev, fd, &file_id);
	if (err)
		return crk_dfile_err(err, from, "a descriptor passed to it cannot be read");
	*id_ret = crk_files_id(d, file_id);
	if (*id_ret)
		return 0;
	df = crk_files_add(d, file_id, false);
	if (!df)
		return -ENOMEM;
	df->held = true;
	df->f.proc = from->proc;
	df->f.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = df->f.fd < 0 ? -errno : facts_of_own(df);
	err = err ?: link_read(d, df, AT_FDCWD, path);
	if (err)
		return crk_dfile_err(err, from, "a descriptor passed to it cannot be read");
	*id_ret = df->f.id;
	err = file_dump(d, df);
	crk_dfile_done(df);
	return err;
}

static int early_all(struct crk_dump *d)
{
	const struct crk_file_ops * const *ops;
	size_t i, k;
	int err = 0;

	for (ops = crk_file_kinds; *ops; ops++)
		for (i = 0; (*ops)->early && i < d->nr_procs; i++)
			for (k = 0; k < d->procs[i].nr_fds && !err; k++)
				err = (*ops)->early(d, &d->procs[i], &d->procs[i].fds[k]);
	return err;
}

int crk_files_dump(struct crk_dump *d)
{
	const struct crk_file_ops * const *ops;
	struct crk_img *img;
	size_t i;
	int err;

	err = crk_dump_img(d, CRK_IMG_FILES, &img);	/* there even if nothing is open */
	err = err ?: early_all(d);
	for (i = 0; i < d->nr_procs && !err; i++) {
		struct crk_dproc *p = &d->procs[i];

		if (p->zombie)
			continue;
		if (!p->files_of)
			err = table_dump(d, p);
		err = err ?: crk_fs_dump(d, p);
	}
	for (ops = crk_file_kinds; *ops && !err; ops++)
		if ((*ops)->finish)
			err = (*ops)->finish(d);
	return err;
}
