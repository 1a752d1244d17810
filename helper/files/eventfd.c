// SPDX-License-Identifier: GPL-2.0
/*
 * eventfd(2): count and semaphore mode.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "files.h"

static bool eventfd_probe(const struct crk_dfile *f)
{
	return !strcmp(f->link, "anon_inode:[eventfd]");
}

static int counter_add(int fd, uint64_t n)
{
	return !n || write(fd, &n, sizeof(n)) == sizeof(n) ? 0 : -errno;
}

static int counter_read(int fd, uint64_t *ret)
{
	return read(fd, ret, sizeof(*ret)) == sizeof(*ret) ? 0 : -errno;
}

/*
 * Before 6.5 (cbe1cedf2a4b "eventfd: show the EFD_SEMAPHORE flag in fdinfo") only a read tells the modes apart: it
 * takes one or all.  The count is at least two for that moment, so that no read blocks and the answer is clear; what
 * was taken is put back.  The target is frozen and sees neither.
 */
static int semaphore_by_reading(int fd, uint64_t count, bool *ret)
{
	uint64_t more = count < 2 ? 2 : 0, got, extra;
	int err;

	err = counter_add(fd, more);
	err = err ?: counter_read(fd, &got);
	if (err)
		return err;
	*ret = got == 1;
	if (!*ret)
		return counter_add(fd, count);
	if (!more)
		return counter_add(fd, 1);
	/* one is left too many */
	return counter_read(fd, &extra);
}

static int eventfd_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	const char *text = crk_dfile_fdinfo(f), *count, *semaphore;
	EventfdFileEntry *e = dump_msg(d, EventfdFileEntry, eventfd_file_entry__init);
	CrkFileEntry *extra;
	bool is_semaphore;
	int err;

	if (!text || !e)
		return -ENOMEM;
	count = fdinfo_value(text, "eventfd-count");
	semaphore = fdinfo_value(text, "eventfd-semaphore");
	if (!count)
		return crk_dfile_refuse(f, "its fdinfo tells no count");
	e->id = f->id;
	e->flags = f->facts->f_flags;
	e->counter = strtoull(count, NULL, 16);
	e->fown = crk_dfile_fown(d, f);
	if (!e->fown)
		return -ENOMEM;
	fe->efd = e;
	if (semaphore) {
		is_semaphore = atoi(semaphore);
	} else {
		err = semaphore_by_reading(f->fd, e->counter, &is_semaphore);
		if (err)
			return crk_dfile_err(err, f, "cannot find out whether it is a semaphore");
	}
	if (!is_semaphore)
		return 0;
	extra = crk_dfile_extra(d, f);
	if (!extra)
		return -ENOMEM;
	extra->has_eventfd_semaphore = extra->eventfd_semaphore = true;
	return 0;
}

static int eventfd_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	const CrkFileEntry *extra = crk_rfile_extra(r, fe->id);
	bool semaphore = extra && extra->eventfd_semaphore;
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (semaphore ? EFD_SEMAPHORE : 0));
	int err;

	if (fd < 0)
		return crk_err(-errno, "eventfd id %u: cannot create", fe->id);
	err = counter_add(fd, fe->efd->counter);
	if (err)
		return crk_err(err, "eventfd id %u: cannot set count %" PRIu64, fe->id, fe->efd->counter);
	err = crk_fd_setfl(fd, fe->efd->flags);
	if (err)
		return crk_err(err, "eventfd id %u: cannot set flags %#x", fe->id, fe->efd->flags);
	*ret = steal_fd(&fd);
	return 0;
}

const struct crk_file_ops crk_file_eventfd = {
	.name	= "eventfd",
	.type	= FD_TYPES__EVENTFD,
	.probe	= eventfd_probe,
	.dump	= eventfd_dump,
	.open	= eventfd_open,
};
