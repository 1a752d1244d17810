// SPDX-License-Identifier: GPL-2.0
/*
 * Working directory, root and umask of processes: fs-PID.img.  Directories are opened in the coordinator, so that a
 * root that is not ours and a directory that was removed need no path here.
 */
#include <errno.h>
#include <unistd.h>

#include "files.h"

static int dir_dump(struct crk_dump *d, struct crk_dproc *p, const char *which, uint32_t *id_ret)
{
	_cleanup_close_ int fd = openat(p->procfd, which, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return crk_err(-errno, "pid %d (%s): %s", p->pid, (const char *)p->leader->comm, which);
	return crk_files_dump_path(d, p, fd, NULL, O_RDONLY | O_DIRECTORY, id_ret);
}

static int umask_read(const struct crk_dproc *p, uint32_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *value;
	int err;

	err = read_file_at(p->procfd, "status", &text, NULL);
	value = err ? NULL : fdinfo_value(text, "Umask");
	if (!value)
		return crk_err(err ?: -EPROTO, "pid %d (%s): cannot read the umask", p->pid,
			       (const char *)p->leader->comm);
	*ret = strtoul(value, NULL, 8);
	return 0;
}

int crk_fs_dump(struct crk_dump *d, struct crk_dproc *p)
{
	/* what was read last, and struct crk_task.paths_id of who has it */
	static struct {
		uint64_t id;
		uint32_t cwd, root, umask;
	} last;
	uint64_t id = p->live->paths_id;
	FsEntry e = FS_ENTRY__INIT;
	int err = 0;

	if (!id || id != last.id) {
		last.id = 0;
		err = dir_dump(d, p, "cwd", &last.cwd);
		err = err ?: dir_dump(d, p, "root", &last.root);
		err = err ?: umask_read(p, &last.umask);
		if (err)
			return err;
		last.id = id;
	}
	e.cwd_id = last.cwd;
	e.root_id = last.root;
	e.has_umask = true;
	e.umask = last.umask;
	return crk_img_write_one(d->dir, CRK_IMG_FS, p->pid, &e.base);
}

int crk_fs_install(struct crk_rst *r, struct crk_rproc *p)
{
	struct stat ours, root;
	int fd, err;

	if (p->fs_of || !p->fs)
		return 0;
	err = crk_rfile_get(r, p->fs->root_id, &fd);
	if (err)
		return err;
	if (fstat(fd, &root) || stat("/", &ours))
		return crk_err(-errno, "pid %d: root directory", p->pid);
	if ((root.st_ino != ours.st_ino || root.st_dev != ours.st_dev) && (fchdir(fd) || chroot(".")))
		return crk_err(-errno, "pid %d: cannot change the root directory", p->pid);
	err = crk_rfile_get(r, p->fs->cwd_id, &fd);
	if (err)
		return err;
	if (fchdir(fd))
		return crk_err(-errno, "pid %d: cannot change the working directory", p->pid);
	if (p->fs->has_umask)
		umask(p->fs->umask);
	return 0;
}
