// SPDX-License-Identifier: GPL-2.0
/*
 * Open files of a dump: every struct file once in files.img, every table of descriptors once in fdinfo-N.img.  Knows
 * no kind of file; the kinds are in files/.  Which descriptors are the same file the module has said, so that a file
 * costs a handful of system calls and no text is parsed here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "files/files.h"

#ifndef F_GETOWNER_UIDS		/* hidden by the C library */
#define F_GETOWNER_UIDS	17
#endif

const struct crk_file_ops * const crk_file_kinds[] = {
#define CRK_FILE_KIND(name) &crk_file_##name,
#include "files/kinds.def"
#undef CRK_FILE_KIND
	NULL
};

/* a file of the dump; the facts stay, the rest of @f is there while the kind dumps it */
struct dump_file {
	struct crk_dfile f;
	struct crk_fd facts;
	uint64_t key;			/* in the hash: identity of the struct file, or made of inode and name */
	bool by_path;			/* not a descriptor */
	bool held;			/* passed in a message; @f.fd stays open so that it can be compared */
	char *link, *fdinfo;
	CrkFileEntry *extra;
	int type;			/* FD_TYPES__* */
};

struct chunk {
	struct chunk *next;
	char data[] __attribute__((aligned(16)));
};

struct state {
	const void *key;
	void *mem;
};

struct crk_dump_files {
	struct dump_file **files;	/* [id - 1]; NULL for entries that are no file of a process */
	size_t nr, room;
	uint32_t *hash;			/* ids, 0: free */
	size_t hash_size;		/* a power of two */
	struct chunk *chunks;
	struct state states[16];	/* of kinds and their helpers */
	struct crk_img *imgs[CRK_NR_IMG_TYPES];
};

/* ---- memory and images ---- */

static struct crk_dump_files *dump_files(struct crk_dump *d)
{
	if (!d->files)
		d->files = calloc(1, sizeof(*d->files));
	if (!d->files)
		crk_oom();
	return d->files;
}

void *crk_dump_alloc(struct crk_dump *d, size_t size)
{
	struct crk_dump_files *s = dump_files(d);
	struct chunk *chunk = s ? calloc(1, sizeof(*chunk) + size) : NULL;

	if (!chunk) {
		if (s)
			crk_oom();
		return NULL;
	}
	chunk->next = s->chunks;
	s->chunks = chunk;
	return chunk->data;
}

char *crk_dump_strdup(struct crk_dump *d, const char *text)
{
	char *copy = crk_dump_alloc(d, strlen(text) + 1);

	return copy ? strcpy(copy, text) : NULL;
}

void *crk_dump_state(struct crk_dump *d, const void *key, size_t size)
{
	struct crk_dump_files *s = dump_files(d);
	struct state *state = s ? s->states : NULL;

	while (state && state->key && state->key != key)
		state++;
	if (state && !state->mem) {
		state->key = key;
		state->mem = crk_dump_alloc(d, size);
	}
	return state ? state->mem : NULL;
}

int crk_dump_img(struct crk_dump *d, enum crk_img_type type, struct crk_img **ret)
{
	struct crk_dump_files *s = dump_files(d);
	int err = s ? 0 : -ENOMEM;

	if (s && !s->imgs[type])
		err = crk_img_create(d->dir, type, 0, &s->imgs[type]);
	if (!err)
		*ret = s->imgs[type];
	return err;
}

int crk_dump_put_file(struct crk_dump *d, FileEntry *fe)
{
	struct crk_img *img;
	int err = crk_dump_img(d, CRK_IMG_FILES, &img);

	return err ?: crk_img_put(img, &fe->base);
}

/* ---- files by identity ---- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	return x;
}

static int hash_grow(struct crk_dump_files *s)
{
	size_t size = s->hash_size ? s->hash_size * 2 : 256, i, slot;
	uint32_t *hash = calloc(size, sizeof(*hash));

	if (!hash)
		return crk_oom();
	for (i = 0; i < s->nr; i++) {
		if (!s->files[i])
			continue;
		slot = mix(s->files[i]->key) & (size - 1);
		while (hash[slot])
			slot = (slot + 1) & (size - 1);
		hash[slot] = i + 1;
	}
	free(s->hash);
	s->hash = hash;
	s->hash_size = size;
	return 0;
}

static struct dump_file *hash_find(struct crk_dump_files *s, uint64_t key, bool by_path,
				   bool (*same)(const struct dump_file *df, const void *arg), const void *arg)
{
	size_t slot;

	if (!s || !s->hash_size)
		return NULL;
	for (slot = mix(key) & (s->hash_size - 1); s->hash[slot]; slot = (slot + 1) & (s->hash_size - 1)) {
		struct dump_file *df = s->files[s->hash[slot] - 1];

		if (df->key == key && df->by_path == by_path && (!same || same(df, arg)))
			return df;
	}
	return NULL;
}

uint32_t crk_files_id(struct crk_dump *d, uint64_t file_id)
{
	struct dump_file *df = file_id ? hash_find(d->files, file_id, false, NULL, NULL) : NULL;

	return df ? df->f.id : 0;
}

uint32_t crk_dump_new_id(struct crk_dump *d)
{
	struct crk_dump_files *s = dump_files(d);
	struct dump_file **slot = s ? array_add(s->files, s->nr, s->room) : NULL;

	if (!slot) {
		if (s)
			crk_oom();
		return 0;
	}
	*slot = NULL;
	return s->nr;
}

static struct dump_file *file_add(struct crk_dump *d, uint64_t key, bool by_path)
{
	struct dump_file *df = crk_dump_alloc(d, sizeof(*df));
	struct crk_dump_files *s = d->files;
	uint32_t id;
	size_t slot;

	if (!df || (s->nr * 2 >= s->hash_size && hash_grow(s)))
		return NULL;
	id = crk_dump_new_id(d);
	if (!id)
		return NULL;
	df->f.id = id;
	df->f.fd = -1;
	df->f.facts = &df->facts;
	df->key = key;
	df->by_path = by_path;
	s->files[id - 1] = df;
	slot = mix(key) & (s->hash_size - 1);
	while (s->hash[slot])
		slot = (slot + 1) & (s->hash_size - 1);
	s->hash[slot] = id;
	return df;
}

uint32_t crk_files_search(struct crk_dump *d, uint64_t ino, uint32_t dev,
			  bool (*same)(pid_t pid, int fd, void *arg), void *arg)
{
	struct crk_dump_files *s = d->files;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		struct dump_file *df = s->files[i];
		pid_t pid;

		if (!df || df->by_path || df->facts.ino != ino || df->facts.dev != dev)
			continue;
		pid = df->held ? getpid() : df->f.proc->pid;
		if (same(pid, df->held ? df->f.fd : (int)df->facts.fd, arg))
			return df->f.id;
	}
	return 0;
}

pid_t crk_dump_owner(struct crk_dump *d, pid_t tid)
{
	size_t i;

	for (i = 0; i < d->nr_tasks; i++)
		if (d->tasks[i].tid == tid)
			return d->tasks[i].tgid;
	return 0;
}

/* ---- what kinds ask about a file ---- */

static struct dump_file *dump_file_of(const struct crk_dfile *f)
{
	return container_of(f, struct dump_file, f);
}

static void file_name(const struct crk_dfile *f, char *text, size_t size)
{
	const struct dump_file *df = dump_file_of(f);
	int n;

	n = snprintf(text, size, "pid %d (%s)", f->proc->pid, (const char *)f->proc->leader->comm);
	if (df->by_path)
		snprintf(text + n, size - n, " '%s'", f->link);
	else if (df->held)
		snprintf(text + n, size - n, " descriptor passed in a message (%s)", f->link);
	else
		snprintf(text + n, size - n, " fd %u (%s)", f->facts->fd, f->link);
}

int crk_dfile_refuse(const struct crk_dfile *f, const char *fmt, ...)
{
	char name[PATH_MAX + 64], text[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	file_name(f, name, sizeof(name));
	return crk_fail(-EOPNOTSUPP, "%s: %s", name, text);
}

int crk_dfile_err(int err, const struct crk_dfile *f, const char *fmt, ...)
{
	char name[PATH_MAX + 64], text[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	file_name(f, name, sizeof(name));
	return crk_err(err, "%s: %s", name, text);
}

const char *crk_dfile_fdinfo(const struct crk_dfile *f)
{
	struct dump_file *df = dump_file_of(f);
	char path[48];
	int dir, err;

	if (df->fdinfo)
		return df->fdinfo;
	if (df->held || df->by_path) {
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", f->fd);
		dir = AT_FDCWD;
	} else {
		snprintf(path, sizeof(path), "fdinfo/%u", f->facts->fd);
		dir = f->proc->procfd;
	}
	err = read_file_at(dir, path, &df->fdinfo, NULL);
	if (err) {
		crk_dfile_err(err, f, "cannot read %s", path);
		return NULL;
	}
	df->f.fdinfo = df->fdinfo;
	return df->fdinfo;
}

const char *fdinfo_value(const char *fdinfo, const char *key)
{
	size_t len = strlen(key);
	const char *p = fdinfo;

	while (p && *p) {
		if (!strncmp(p, key, len) && p[len] == ':')
			return p + len + 1 + strspn(p + len + 1, " \t");
		p = strchr(p, '\n');
		p = p ? p + 1 : NULL;
	}
	return NULL;
}

CrkFileEntry *crk_dfile_extra(struct crk_dump *d, const struct crk_dfile *f)
{
	struct dump_file *df = dump_file_of(f);

	if (!df->extra) {
		df->extra = dump_msg(d, CrkFileEntry, crk_file_entry__init);
		if (df->extra)
			df->extra->id = f->id;
	}
	return df->extra;
}

static bool owner_known(const struct crk_dump *d, const struct f_owner_ex *o)
{
	size_t i;

	for (i = 0; i < d->nr_tasks; i++)
		if ((o->type == F_OWNER_PGRP ? d->tasks[i].pgid : d->tasks[i].tid) == o->pid)
			return true;
	return false;
}

FownEntry *crk_dfile_fown(struct crk_dump *d, const struct crk_dfile *f)
{
	FownEntry *fown = dump_msg(d, FownEntry, fown_entry__init);
	struct f_owner_ex owner = {};
	uid_t ids[2] = {};
	int sig;

	if (!fown || f->facts->f_flags & O_PATH || dump_file_of(f)->by_path)
		return fown;
	sig = fcntl(f->fd, F_GETSIG);
	if (sig < 0 || fcntl(f->fd, F_GETOWN_EX, &owner) < 0) {
		crk_dfile_err(-errno, f, "cannot read the owner of its signals");
		return NULL;
	}
	fown->signum = sig;
	if (!owner.pid)
		return fown;
	if (!owner_known(d, &owner)) {
		if (d->opts->shell_job)
			return fown;
		crk_dfile_refuse(f, "its signals go to %s %d, which is not in the dump",
				 owner.type == F_OWNER_PGRP ? "process group" : "pid", owner.pid);
		return NULL;
	}
	if (fcntl(f->fd, F_GETOWNER_UIDS, ids) < 0) {
		crk_dfile_err(-errno, f, "cannot read who set the owner of its signals");
		return NULL;
	}
	fown->uid = ids[0];
	fown->euid = ids[1];
	fown->pid_type = owner.type;
	fown->pid = owner.pid;
	return fown;
}

int crk_dfile_reopen(const struct crk_dfile *f, int flags, int *ret)
{
	int fd = crk_fd_reopen(f->fd, flags);

	if (fd < 0)
		return crk_dfile_err(-errno, f, "cannot open it a second time");
	*ret = fd;
	return 0;
}

/* ---- dump ---- */

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

static int file_dump(struct crk_dump *d, struct dump_file *df)
{
	const struct crk_file_ops * const *ops;
	FileEntry fe = FILE_ENTRY__INIT;
	int err;

	for (ops = crk_file_kinds; *ops; ops++)
		if ((*ops)->probe(&df->f))
			break;
	if (!*ops)
		return refuse_unknown(&df->f);
	crk_debug("pid %d fd %u: %s id %u, %s", df->f.proc->pid, df->facts.fd, (*ops)->name, df->f.id, df->link);
	fe.type = df->type = (*ops)->type;
	fe.id = df->f.id;
	err = (*ops)->dump(d, &df->f, &fe);
	df->type = fe.type;
	return err ?: crk_dump_put_file(d, &fe);
}

static void file_done(struct dump_file *df)
{
	if (df->f.fd >= 0 && !df->held) {
		close(df->f.fd);
		df->f.fd = -1;
	}
	free(steal_ptr(&df->fdinfo));
	df->f.fdinfo = NULL;
}

static int link_read(struct crk_dump *d, struct dump_file *df, int dirfd, const char *path)
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
	struct dump_file *df = hash_find(d->files, facts->file_id, false, NULL, NULL);
	bool first = !df;
	char path[24];
	int err;

	if (first) {
		df = file_add(d, facts->file_id, false);
		if (!df)
			return -ENOMEM;
		df->facts = *facts;
		df->f.proc = p;
		snprintf(path, sizeof(path), "fd/%u", facts->fd);
		err = link_read(d, df, p->procfd, path);
		if (err)
			return crk_err(err, "pid %d (%s) fd %u", p->pid, (const char *)p->leader->comm, facts->fd);
		df->f.fd = syscall(SYS_pidfd_getfd, p->pidfd, facts->fd, 0);
		if (df->f.fd < 0 || fstat(df->f.fd, &df->f.st))
			return crk_dfile_err(-errno, &df->f, "cannot be read");
		err = file_dump(d, df);
		file_done(df);
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
static int facts_of_own(struct dump_file *df)
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

static bool same_path(const struct dump_file *df, const void *arg)
{
	const struct path_key *key = arg;

	return df->facts.ino == key->st->st_ino && df->facts.dev == key->st->st_dev &&
		df->facts.f_flags == key->flags && !strcmp(df->link, key->link);
}

int crk_files_dump_path(struct crk_dump *d, struct crk_dproc *p, int fd, const char *link, uint32_t flags,
			uint32_t *id_ret)
{
	char path[48], text[PATH_MAX];
	struct dump_file *df;
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
	df = hash_find(d->files, st.st_ino, true, same_path, &key);
	if (!df) {
		df = file_add(d, st.st_ino, true);
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
		file_done(df);
		if (err)
			return err;
	}
	*id_ret = df->f.id;
	return 0;
}

static bool same_file(pid_t pid, int fd, void *own)
{
	return !syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, *(int *)own, fd);
}

int crk_files_dump_fd(struct crk_dump *d, const struct crk_dfile *from, int fd, uint32_t *id_ret)
{
	struct dump_file *df;
	struct stat st;
	char path[32];
	int err;

	if (fstat(fd, &st))
		return crk_dfile_err(-errno, from, "a descriptor passed to it cannot be read");
	*id_ret = crk_files_search(d, st.st_ino, st.st_dev, same_file, &fd);
	if (*id_ret)
		return 0;
	df = file_add(d, ~(uint64_t)fd, false);
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
	file_done(df);
	return err;
}

int crk_files_dump(struct crk_dump *d)
{
	const struct crk_file_ops * const *ops;
	struct crk_img *img;
	size_t i;
	int err;

	err = crk_dump_img(d, CRK_IMG_FILES, &img);	/* there even if nothing is open */
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

int crk_files_dump_end(struct crk_dump *d)
{
	struct crk_dump_files *s = d->files;
	struct crk_img *img;
	int err = 0, err2;
	size_t i;

	for (i = 0; i < s->nr && !err; i++) {
		if (!s->files[i] || !s->files[i]->extra)
			continue;
		err = crk_dump_img(d, CRK_IMG_CRK_FILES, &img);
		err = err ?: crk_img_put(img, &s->files[i]->extra->base);
	}
	for (i = 0; i < CRK_NR_IMG_TYPES; i++) {
		err2 = s->imgs[i] ? crk_img_close(steal_ptr(&s->imgs[i])) : 0;
		err = err ?: err2;
	}
	return err;
}

void crk_files_dump_free(struct crk_dump *d)
{
	struct crk_dump_files *s = d->files;
	struct chunk *chunk;
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->nr; i++) {
		if (!s->files[i])
			continue;
		s->files[i]->held = false;
		file_done(s->files[i]);
	}
	for (i = 0; i < CRK_NR_IMG_TYPES; i++)
		if (s->imgs[i])
			crk_img_close(s->imgs[i]);
	while ((chunk = s->chunks)) {
		s->chunks = chunk->next;
		free(chunk);
	}
	free(s->files);
	free(s->hash);
	free(s);
	d->files = NULL;
}
