// SPDX-License-Identifier: GPL-2.0
/*
 * signalfd(2): the mask.  Which signals wait for it is the business of the processes that have them pending.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"

static bool signalfd_probe(const struct crk_dfile *f)
{
	return !strcmp(f->link, "anon_inode:[signalfd]");
}

static int signalfd_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	const char *text = crk_dfile_fdinfo(f), *mask;
	SignalfdEntry *e = dump_msg(d, SignalfdEntry, signalfd_entry__init);

	if (!text || !e)
		return -ENOMEM;
	mask = fdinfo_value(text, "sigmask");
	if (!mask)
		return crk_dfile_refuse(f, "its fdinfo tells no mask");
	e->id = f->id;
	e->flags = f->facts->f_flags;
	e->sigmask = strtoull(mask, NULL, 16);
	e->fown = crk_dfile_fown(d, f);
	fe->sgfd = e;
	return e->fown ? 0 : -ENOMEM;
}

static int signalfd_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	uint64_t mask = fe->sgfd->sigmask;
	int fd = syscall(SYS_signalfd4, -1, &mask, sizeof(mask), O_CLOEXEC | (fe->sgfd->flags & O_NONBLOCK));

	(void)r;
	if (fd < 0)
		return crk_err(-errno, "signalfd id %u: cannot create", fe->id);
	*ret = fd;
	return 0;
}

const struct crk_file_ops crk_file_signalfd = {
	.name	= "signalfd",
	.type	= FD_TYPES__SIGNALFD,
	.probe	= signalfd_probe,
	.dump	= signalfd_dump,
	.open	= signalfd_open,
};
