// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_EVENTS and CRK_IOC_EVENTS_PUT: what comes out is what read(2) gives and stays there; what goes in is read as it
 * went in; what are no events is refused whole.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"

#define HEAD	sizeof(struct inotify_event)

FIXTURE(inotify) {
	int dev;
	int fd;
	char buf[4096] __attribute__((aligned(8)));
	size_t len;
};

FIXTURE_SETUP(inotify)
{
	CMD(crk_restore, cmd, .nr_tasks = 1);

	self->dev = device_open();
	if (self->dev < 0)
		SKIP(return, "no /dev/crk: %s", strerror(errno));
	self->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, device_call(self->dev, CRK_IOC_RESTORE, &cmd));
}

FIXTURE_TEARDOWN(inotify)
{
	close(self->dev);
	close(self->fd);
}

static void event_add(FIXTURE_DATA(inotify) *self, int wd, uint32_t mask, uint32_t cookie, const char *name, size_t len)
{
	struct inotify_event *ev = (void *)(self->buf + self->len);

	*ev = (struct inotify_event){ .wd = wd, .mask = mask, .cookie = cookie, .len = len };
	memset(ev->name, 0, len);
	memcpy(ev->name, name, strlen(name) < len ? strlen(name) : len);
	self->len += HEAD + len;
}

static int put(FIXTURE_DATA(inotify) *self, int fd, unsigned int *nr_ret)
{
	CMD(crk_events_put, cmd, .fd = fd, .out_nr = 0xcccccccc, .buf_uptr = (uintptr_t)self->buf, .buf_len = self->len);
	int ret = device_call(self->dev, CRK_IOC_EVENTS_PUT, &cmd);

	self->len = 0;
	if (nr_ret)
		*nr_ret = cmd.out_nr;
	return ret;
}

TEST_F(inotify, read_as_put)
{
	char got[4096], want[4096];
	unsigned int nr;
	size_t len;

	event_add(self, 5, IN_CREATE | IN_ISDIR, 0, "dir", 16);
	event_add(self, 5, IN_MOVED_FROM, 77, "0123456789abcdef", 32);
	event_add(self, -1, IN_Q_OVERFLOW, 0, "", 0);
	event_add(self, 1, IN_IGNORED, 0, "", 0);
	len = self->len;
	memcpy(want, self->buf, len);
	ASSERT_EQ(0, put(self, self->fd, &nr));
	EXPECT_EQ(4, nr);
	EXPECT_EQ((ssize_t)len, read(self->fd, got, sizeof(got)));
	EXPECT_EQ(0, memcmp(got, want, len));
	EXPECT_EQ(-1, read(self->fd, got, sizeof(got)));
	EXPECT_EQ(EAGAIN, errno);
	/* none at all is fine too */
	EXPECT_EQ(0, put(self, self->fd, &nr));
	EXPECT_EQ(0, nr);
}

TEST_F(inotify, what_is_no_event)
{
	struct inotify_event *ev = (void *)self->buf;
	char got[64];
	unsigned int nr;

	event_add(self, 1, IN_OPEN, 0, "", 0);
	event_add(self, 0, IN_OPEN, 0, "", 0);		/* no such watch number */
	EXPECT_EQ(EINVAL, put(self, self->fd, &nr));
	EXPECT_EQ(0, nr);
	event_add(self, 1, 0, 0, "", 0);
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, 1, IN_OPEN | IN_ONESHOT, 0, "", 0);
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, 1, IN_Q_OVERFLOW, 0, "", 0);
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, -1, IN_Q_OVERFLOW, 0, "", 0);
	event_add(self, -1, IN_Q_OVERFLOW, 0, "", 0);	/* there is one at a time */
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, 1, IN_OPEN, 0, "", 16);		/* a name of nothing */
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, 1, IN_OPEN, 0, "0123456789abcdefg", 16);
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));	/* without an end */
	event_add(self, 1, IN_OPEN, 0, "x", 8);
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, 1, IN_OPEN, 0, "x", 512);
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, 1, IN_OPEN, 0, "x", 16);
	ev->len = 0xfffffff0;
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, 1, IN_OPEN, 0, "x", 16);
	self->len -= 4;
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	event_add(self, 1, IN_OPEN, 0, "", 0);
	self->len -= 4;
	EXPECT_EQ(EINVAL, put(self, self->fd, NULL));
	EXPECT_EQ(-1, read(self->fd, got, sizeof(got)));
	EXPECT_EQ(EAGAIN, errno);
}

TEST_F(inotify, other_files)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	event_add(self, 1, IN_OPEN, 0, "", 0);
	EXPECT_EQ(EINVAL, put(self, fd, NULL));
	event_add(self, 1, IN_OPEN, 0, "", 0);
	EXPECT_EQ(EINVAL, put(self, self->dev, NULL));
	event_add(self, 1, IN_OPEN, 0, "", 0);
	EXPECT_EQ(EBADF, put(self, -1, NULL));
	close(fd);
}

TEST_F(inotify, more_than_there_is_room_for)
{
	char text[16] = "";
	int limit = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY), i, max;
	static char buf[1 << 20];
	CMD(crk_events_put, cmd, .fd = self->fd, .buf_uptr = (uintptr_t)buf);

	ASSERT_LT(0, read(limit, text, sizeof(text) - 1));
	close(limit);
	max = atoi(text);
	if ((max + 1) * HEAD > sizeof(buf))
		SKIP(return, "fs.inotify.max_queued_events is %d", max);
	for (i = 0; i <= max; i++)
		((struct inotify_event *)buf)[i] = (struct inotify_event){ .wd = i + 1, .mask = IN_OPEN };
	cmd.buf_len = (max + 1) * HEAD;
	EXPECT_EQ(ENOSPC, device_call(self->dev, CRK_IOC_EVENTS_PUT, &cmd));
	EXPECT_EQ(0, cmd.out_nr);
	cmd.buf_len = max * HEAD;
	EXPECT_EQ(0, device_call(self->dev, CRK_IOC_EVENTS_PUT, &cmd));
	EXPECT_EQ(max, cmd.out_nr);
	cmd.buf_len = HEAD;
	EXPECT_EQ(ENOSPC, device_call(self->dev, CRK_IOC_EVENTS_PUT, &cmd));
}

static void idle(void *arg)
{
	(void)arg;
	task_ready();
	for (;;)
		pause();
}

TEST_F(inotify, given_and_not_taken)
{
	char dir[] = "/tmp/crk-inotify.XXXXXX", path[64], got[4096], want[4096];
	char *cgroup = cgroup_make(NULL, "inotify");
	CMD(crk_events, cmd, .fd = self->fd, .buf_uptr = (uintptr_t)got);
	int dev, wd;
	ssize_t len;

	EXPECT_EQ(EBUSY, device_call(self->dev, CRK_IOC_EVENTS, &cmd));
	task_start(cgroup, idle, NULL);
	dev = freeze(cgroup);
	ASSERT_NE(NULL, mkdtemp(dir));
	wd = inotify_add_watch(self->fd, dir, IN_CREATE);
	ASSERT_EQ(1, wd);
	snprintf(path, sizeof(path), "%s/one", dir);
	ASSERT_EQ(0, mkdir(path, 0700));
	snprintf(path, sizeof(path), "%s/a longer name", dir);
	ASSERT_EQ(0, mkdir(path, 0700));

	/* what does not fit is not given in part */
	memset(got, 0x5b, sizeof(got));
	cmd.buf_len = HEAD + 16 + HEAD + 15;
	ASSERT_EQ(0, device_call(dev, CRK_IOC_EVENTS, &cmd));
	EXPECT_EQ(2 * (HEAD + 16), cmd.out_len);
	EXPECT_EQ(0x5b, got[HEAD + 16]);
	EXPECT_EQ(2, cmd.out_next_wd);
	cmd.buf_len = sizeof(got);
	ASSERT_EQ(0, device_call(dev, CRK_IOC_EVENTS, &cmd));
	len = read(self->fd, want, sizeof(want));
	ASSERT_EQ((ssize_t)cmd.out_len, len);
	EXPECT_EQ(0, memcmp(got, want, len));
	ASSERT_EQ(0, device_call(dev, CRK_IOC_EVENTS, &cmd));
	EXPECT_EQ(0, cmd.out_len);
	cmd.fd = dev;
	EXPECT_EQ(EINVAL, device_call(dev, CRK_IOC_EVENTS, &cmd));
	cmd.fd = -1;
	EXPECT_EQ(EBADF, device_call(dev, CRK_IOC_EVENTS, &cmd));
	close(dev);
	cgroup_remove(cgroup);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/one", dir);
	rmdir(path);
	rmdir(dir);
}

TEST_HARNESS_MAIN
