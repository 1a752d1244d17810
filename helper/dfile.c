// SPDX-License-Identifier: GPL-2.0
/*
 * What kinds ask about a file while it is dumped: text of fdinfo, owner of its signals, another opening, its name in
 * messages; and about threads of the dump.  Knows no kind, and not which files there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdarg.h>
#include <string.h>

#include "dfile.h"

#ifndef F_GETOWNER_UIDS		/* hidden by the C library */
#define F_GETOWNER_UIDS	17
#endif

static struct crk_dump_file *dump_file_of(const struct crk_dfile *f)
{
	return container_of(f, struct crk_dump_file, f);
}

static void file_name(const struct crk_dfile *f, char *text, size_t size)
{
	const struct crk_dump_file *df = dump_file_of(f);
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
	struct crk_dump_file *df = dump_file_of(f);
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
	struct crk_dump_file *df = dump_file_of(f);

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

void crk_dfile_done(struct crk_dump_file *df)
{
	if (df->f.fd >= 0 && !df->held) {
		close(df->f.fd);
		df->f.fd = -1;
	}
	free(steal_ptr(&df->fdinfo));
	df->f.fdinfo = NULL;
}
