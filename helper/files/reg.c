// SPDX-License-Identifier: GPL-2.0
/*
 * Files that are opened by path: regular files, directories, symbolic links (O_PATH), memory devices.  What has lost
 * its path is ghost.c's business.
 */
#include <errno.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "files.h"

#define MEM_MAJOR	1

/* null, zero, full, random, urandom; the others of this major have state or are the machine's */
static bool mem_device(dev_t rdev)
{
	static const unsigned int minors[] = { 3, 5, 7, 8, 9 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(minors); i++)
		if (rdev == makedev(MEM_MAJOR, minors[i]))
			return true;
	return false;
}

static bool reg_probe(const struct crk_dfile *f)
{
	mode_t mode = f->st.st_mode;

	if (f->link[0] != '/')
		return false;
	if (f->facts->f_flags & O_PATH)
		return true;
	return S_ISREG(mode) || S_ISDIR(mode) || (S_ISCHR(mode) && mem_device(f->st.st_rdev));
}

/* /proc/PID of a dumped process: its number is, its inode and size mean nothing */
static bool is_of_process(struct crk_dump *d, const struct crk_dfile *f)
{
	struct statfs fs;
	int pid;

	return !fstatfs(f->fd, &fs) && fs.f_type == PROC_SUPER_MAGIC && sscanf(f->link, "/proc/%d/", &pid) == 1 &&
		crk_dump_owner(d, pid) == pid;
}

/* what is there only while the process has the descriptor or mapping that is its name */
static bool is_fleeting(const char *link)
{
	int at = 0, name = 0;
	char dir[16];

	sscanf(link, "/proc/%*d/task/%*d/%n", &at);
	if (!at)
		sscanf(link, "/proc/%*d/%n", &at);
	return sscanf(link + at, "%15[^/]/%n", dir, &name) == 1 && name &&
		(!strcmp(dir, "fd") || !strcmp(dir, "fdinfo") || !strcmp(dir, "map_files"));
}

static bool at_its_path(const struct crk_dfile *f)
{
	struct stat st;

	/* device numbers differ on file systems that are made of several */
	return !fstatat(AT_FDCWD, f->link, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == f->st.st_ino &&
		(st.st_mode & S_IFMT) == (f->st.st_mode & S_IFMT);
}

/* looks like a file whose name was removed or covered, but never had one that can be opened */
static const char *nameless(const struct crk_dfile *f)
{
	static const struct { unsigned int magic; const char *what; } systems[] = {
		{ 0x5345434d, "memfd_secret files" },		/* SECRETMEM_MAGIC */
		{ 0x19800202, "POSIX message queues" },		/* MQUEUE_MAGIC */
	};
	struct statfs fs;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(systems) && !fstatfs(f->fd, &fs); i++)
		if ((unsigned int)fs.f_type == systems[i].magic)
			return systems[i].what;
	return NULL;
}

int crk_reg_fill(struct crk_dump *d, const struct crk_dfile *f, uint32_t id, RegFileEntry **ret)
{
	static const char deleted[] = " (deleted)";
	RegFileEntry *e = dump_msg(d, RegFileEntry, reg_file_entry__init);
	size_t len = strlen(f->link);

	if (!e)
		return -ENOMEM;
	e->id = id;
	e->flags = f->facts->f_flags & ~OPEN_ONCE;
	e->pos = f->facts->pos;
	e->has_mode = true;
	e->mode = f->st.st_mode;
	e->name = crk_dump_strdup(d, f->link);
	e->fown = crk_dfile_fown(d, f);
	if (!e->name || !e->fown)
		return -ENOMEM;
	*ret = e;
	if (is_of_process(d, f)) {
		if (!is_fleeting(f->link))
			return 0;
		crk_dfile_refuse(f, "files that tell of one descriptor or mapping are not supported");
		crk_hint("programs have them open for a moment: try again");
		return -EOPNOTSUPP;
	}
	if (at_its_path(f)) {
		e->has_size = S_ISREG(f->st.st_mode);
		e->size = e->has_size ? f->st.st_size : 0;
		return 0;
	}
	if (nameless(f))
		return crk_dfile_refuse(f, "%s are not supported", nameless(f));
	if (len < sizeof(deleted) || strcmp(f->link + len - strlen(deleted), deleted))
		return crk_dfile_refuse(f, "another file is at its path now, perhaps covered by a mount");
	e->name[len - strlen(deleted)] = '\0';
	return crk_ghost_dump(d, f, e);
}

int crk_reg_dump_extra(struct crk_dump *d, const struct crk_dfile *f, uint32_t *id_ret)
{
	FileEntry fe = FILE_ENTRY__INIT;
	int err;

	fe.type = FD_TYPES__REG;
	fe.id = crk_dump_new_id(d);
	if (!fe.id)
		return -ENOMEM;
	err = crk_reg_fill(d, f, fe.id, &fe.reg);
	*id_ret = fe.id;
	return err ?: crk_dump_put_file(d, &fe);
}

static int reg_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	return crk_reg_fill(d, f, f->id, &fe->reg);
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFIFO:
		return "a fifo";
	case S_IFSOCK:
		return "a socket";
	default:
		return "a device";
	}
}

/* of a process that the restore makes */
static bool reg_late(struct crk_rst *r, const FileEntry *fe)
{
	int pid;

	return sscanf(fe->reg->name, "/proc/%d/", &pid) == 1 && crk_restore_proc(r, pid);
}

static int reg_plan(struct crk_rst *r, const FileEntry *fe)
{
	const RegFileEntry *e = fe->reg;
	struct stat st;
	char who[64];

	if (crk_ghost_is(r, fe->id) || reg_late(r, fe))
		return 0;
	if (fstatat(AT_FDCWD, e->name, &st, AT_SYMLINK_NOFOLLOW)) {
		/* the terminal of the dump may have had another number, see tty-restore.c */
		if (errno == ENOENT && e->has_mode && S_ISCHR(e->mode))
			return 0;
		return crk_err(-errno, "%s: '%s'", crk_rfile_who(r, fe->id, who), e->name);
	}
	if (e->has_mode && (st.st_mode & S_IFMT) != (e->mode & S_IFMT))
		return crk_fail(-ESTALE, "%s: '%s' is %s now, it was %s", crk_rfile_who(r, fe->id, who), e->name,
				type_name(st.st_mode), type_name(e->mode));
	if (e->has_size && S_ISREG(st.st_mode) && (uint64_t)st.st_size != e->size)
		return crk_fail(-ESTALE, "%s: '%s' has %llu bytes now, it had %llu", crk_rfile_who(r, fe->id, who),
				e->name, (unsigned long long)st.st_size, (unsigned long long)e->size);
	return 0;
}

/* threads are made later than processes, but their files are their process's */
static int open_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY), pid, tid, rest = 0;
	char of_process[PATH_MAX];

	if (fd >= 0 || errno != ENOENT || sscanf(path, "/proc/%d/task/%d/%n", &pid, &tid, &rest) != 2 || !rest)
		return fd;
	snprintf(of_process, sizeof(of_process), "/proc/%d/%s", pid, path + rest);
	return open(of_process, flags | O_CLOEXEC | O_NOCTTY);
}

static int reg_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	const RegFileEntry *e = fe->reg;
	int flags = e->flags & ~(OPEN_ONCE | O_ASYNC);
	_cleanup_close_ int fd = -1;
	char who[64];
	int err;

	err = crk_ghost_open(r, e, flags, &fd);
	if (err == -ENOENT) {
		fd = open_path(e->name, flags);
		err = fd < 0 ? crk_err(-errno, "%s: cannot open '%s'", crk_rfile_who(r, fe->id, who), e->name) : 0;
	}
	if (err)
		return err;
	if (e->pos && !(flags & O_PATH) && lseek(fd, e->pos, SEEK_SET) < 0)
		return crk_err(-errno, "%s: cannot set the offset %llu of '%s'", crk_rfile_who(r, fe->id, who),
			       (unsigned long long)e->pos, e->name);
	*ret = steal_fd(&fd);
	return 0;
}

const struct crk_file_ops crk_file_reg = {
	.name	= "file",
	.type	= FD_TYPES__REG,
	.probe	= reg_probe,
	.dump	= reg_dump,
	.late	= reg_late,
	.plan	= reg_plan,
	.open	= reg_open,
};
