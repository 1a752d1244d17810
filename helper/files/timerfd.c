// SPDX-License-Identifier: GPL-2.0
/*
 * timerfd_create(2): goes on with the time that was left, keeps expirations not yet read.  A timer set for a point of
 * the wall clock keeps that point.
 */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "../../arch/host.h"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS	_IOW('T', 0, uint64_t)
#endif

#define NSEC_PER_SEC	1000000000ULL

static bool timerfd_probe(const struct crk_dfile *f)
{
	return !strcmp(f->link, "anon_inode:[timerfd]");
}

static bool wall_clock(uint32_t clockid)
{
	return clockid == CLOCK_REALTIME || clockid == CLOCK_REALTIME_ALARM;
}

static bool is_zero(const struct timespec *ts)
{
	return !ts->tv_sec && !ts->tv_nsec;
}

/*
 * A timer that is due at this moment shows that nothing is left, as one at rest does: it is given a moment to expire.
 * One with a period that has expirations was not at rest, whatever it shows: to set it takes these away.
 */
static int read_left(int fd, struct itimerspec *left)
{
	struct pollfd expired = { .fd = fd, .events = POLLIN };
	int tries, nr = 0;

	for (tries = 0; tries < 4; tries++) {
		/* brings a periodic timer that has expired up to date */
		if (timerfd_gettime(fd, left))
			return -errno;
		if (!is_zero(&left->it_value))
			return 0;
		nr = poll(&expired, 1, 1);
		if (nr > 0 && is_zero(&left->it_interval))
			return 0;
	}
	if (nr > 0)
		left->it_value.tv_nsec = 1;
	return 0;
}

static int timerfd_dump(struct crk_dump *d, const struct crk_dfile *f, FileEntry *fe)
{
	TimerfdEntry *e = dump_msg(d, TimerfdEntry, timerfd_entry__init);
	const char *text, *clockid, *ticks, *flags;
	struct itimerspec left;
	CrkFileEntry *extra;
	int err;

	if (!e)
		return -ENOMEM;
	err = read_left(f->fd, &left);		/* before the expirations, to which it adds */
	if (err)
		return crk_dfile_err(err, f, "cannot read the time left");
	text = crk_dfile_fdinfo(f);
	if (!text)
		return -ENOMEM;
	clockid = fdinfo_value(text, "clockid");
	ticks = fdinfo_value(text, "ticks");
	flags = fdinfo_value(text, "settime flags");
	if (!clockid || !ticks || !flags)
		return crk_dfile_refuse(f, "its fdinfo lacks clock, ticks or flags");
	e->id = f->id;
	e->flags = f->facts->f_flags;
	e->clockid = strtoul(clockid, NULL, 10);
	e->ticks = strtoull(ticks, NULL, 10);
	e->settime_flags = strtoul(flags, NULL, 8);
	e->vsec = left.it_value.tv_sec;
	e->vnsec = left.it_value.tv_nsec;
	e->isec = left.it_interval.tv_sec;
	e->insec = left.it_interval.tv_nsec;
	e->fown = crk_dfile_fown(d, f);
	fe->tfd = e;
	if (!e->fown)
		return -ENOMEM;
	if ((e->vsec || e->vnsec) && e->settime_flags & TFD_TIMER_ABSTIME && wall_clock(e->clockid)) {
		extra = crk_dfile_extra(d, f);
		if (!extra)
			return -ENOMEM;
		extra->has_timer_deadline_ns = true;
		extra->timer_deadline_ns = crk_clock_ns(CLOCK_REALTIME) + e->vsec * NSEC_PER_SEC + e->vnsec;
	}
	return 0;
}

static int timerfd_open(struct crk_rst *r, const FileEntry *fe, int *ret)
{
	_cleanup_close_ int fd = timerfd_create(fe->tfd->clockid, TFD_CLOEXEC);
	int err;

	(void)r;
	if (fd < 0)
		return crk_err(-errno, "timerfd id %u: cannot create one of clock %u", fe->id, fe->tfd->clockid);
	err = crk_fd_setfl(fd, fe->tfd->flags);
	if (err)
		return crk_err(err, "timerfd id %u: cannot set flags %#x", fe->id, fe->tfd->flags);
	*ret = steal_fd(&fd);
	return 0;
}

/* as late as can be: the time begins to run */
static int timerfd_complete(struct crk_rst *r, const FileEntry *fe, int fd)
{
	const CrkFileEntry *extra = crk_rfile_extra(r, fe->id);
	const TimerfdEntry *e = fe->tfd;
	struct itimerspec when = {
		.it_value = { .tv_sec = e->vsec, .tv_nsec = e->vnsec },
		.it_interval = { .tv_sec = e->isec, .tv_nsec = e->insec },
	};
	uint64_t ticks = e->ticks, ns;
	int err;

	if (e->settime_flags & TFD_TIMER_ABSTIME && (e->vsec || e->vnsec)) {
		if (extra && extra->has_timer_deadline_ns)
			ns = extra->timer_deadline_ns;
		else
			ns = crk_clock_ns(e->clockid) + e->vsec * NSEC_PER_SEC + e->vnsec;
		when.it_value.tv_sec = ns / NSEC_PER_SEC;
		when.it_value.tv_nsec = ns % NSEC_PER_SEC;
	}
	if (timerfd_settime(fd, e->settime_flags, &when, NULL))
		return crk_err(-errno, "timerfd id %u: cannot set", fe->id);
	if (!ticks)
		return 0;
	/* the kernel has no such call for its other ABIs */
	if (crk_host->ioctl)
		err = crk_host->ioctl(fd, TFD_IOC_SET_TICKS, &ticks);
	else
		err = ioctl(fd, TFD_IOC_SET_TICKS, &ticks) ? -errno : 0;
	return err ? crk_err(err, "timerfd id %u: cannot set its unread expirations", fe->id) : 0;
}

const struct crk_file_ops crk_file_timerfd = {
	.name	= "timerfd",
	.type	= FD_TYPES__TIMERFD,
	.probe	= timerfd_probe,
	.dump	= timerfd_dump,
	.open	= timerfd_open,
	.complete = timerfd_complete,
};
