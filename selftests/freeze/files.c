// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_FILES: which descriptors are the same open file, the caller's too, without kcmp(2) (requirement 1.10).
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"

static int shared_fd, dup_fd;

static void sleeper(void *arg)
{
	int null = open("/dev/null", O_RDONLY);

	if (dup2(null, 100) != 100 || dup2(shared_fd, 101) != 101)
		_exit(1);
	task_ready();
	for (;;)
		pause();
}

static struct crk_fd fd_facts(int dev, pid_t pid, unsigned int fd)
{
	struct crk_fd facts = {};
	CMD(crk_files, cmd, .pid = pid, .entry_size = sizeof(facts), .fds_uptr = (uintptr_t)&facts, .nr = 1, .first_fd = fd);

	if (device_call(dev, CRK_IOC_FILES, &cmd) || cmd.out_nr != 1 || facts.fd != fd)
		return (struct crk_fd){ .fd = ~0U };
	return facts;
}

FIXTURE(files) {
	char *cgroup;
	pid_t pid;
	int dev;
};

FIXTURE_SETUP(files)
{
	self->cgroup = cgroup_make(NULL, "files");
	shared_fd = eventfd(0, 0);
	dup_fd = dup(shared_fd);
	self->pid = task_start(self->cgroup, sleeper, NULL);
	self->dev = freeze(self->cgroup);
}

FIXTURE_TEARDOWN(files)
{
	close(self->dev);
	cgroup_remove(self->cgroup);
	close(shared_fd);
	close(dup_fd);
}

TEST_F(files, a_file_of_the_caller_is_known)
{
	struct crk_fd there = fd_facts(self->dev, self->pid, shared_fd), here = fd_facts(self->dev, 0, shared_fd);

	ASSERT_EQ(shared_fd, here.fd);
	ASSERT_EQ(shared_fd, there.fd);
	EXPECT_NE(0, here.file_id);
	EXPECT_EQ(there.file_id, here.file_id);
	EXPECT_EQ(there.inode_id, here.inode_id);
	EXPECT_EQ(here.file_id, fd_facts(self->dev, 0, dup_fd).file_id);
	EXPECT_EQ(here.file_id, fd_facts(self->dev, self->pid, 101).file_id);
}

/* the same inode, opened twice */
TEST_F(files, another_one_is_not)
{
	int null = open("/dev/null", O_RDONLY), event = eventfd(0, 0);
	struct crk_fd here = fd_facts(self->dev, 0, null), there = fd_facts(self->dev, self->pid, 100);

	ASSERT_EQ(null, here.fd);
	ASSERT_EQ(100, there.fd);
	EXPECT_EQ(there.ino, here.ino);
	EXPECT_EQ(there.inode_id, here.inode_id);
	EXPECT_NE(there.file_id, here.file_id);
	/* eventfds have one inode between them */
	EXPECT_NE(fd_facts(self->dev, 0, event).file_id, fd_facts(self->dev, 0, shared_fd).file_id);
	close(null);
	close(event);
}

/* by the caller too, as long as one does */
TEST_F(files, watched)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), outer = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {};

	EXPECT_FALSE(fd_facts(self->dev, self->pid, 101).flags & CRK_FD_WATCHED);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, dup_fd, &ev));
	ASSERT_EQ(0, epoll_ctl(outer, EPOLL_CTL_ADD, ep, &ev));
	EXPECT_TRUE(fd_facts(self->dev, self->pid, 101).flags & CRK_FD_WATCHED);
	EXPECT_TRUE(fd_facts(self->dev, 0, shared_fd).flags & CRK_FD_WATCHED);
	EXPECT_TRUE(fd_facts(self->dev, 0, ep).flags & CRK_FD_WATCHED);
	EXPECT_FALSE(fd_facts(self->dev, 0, outer).flags & CRK_FD_WATCHED);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_DEL, dup_fd, NULL));
	EXPECT_FALSE(fd_facts(self->dev, self->pid, 101).flags & CRK_FD_WATCHED);
	ASSERT_EQ(0, epoll_ctl(outer, EPOLL_CTL_DEL, ep, NULL));
	EXPECT_FALSE(fd_facts(self->dev, 0, ep).flags & CRK_FD_WATCHED);
	close(outer);
	close(ep);
}

TEST_F(files, of_nobody_else)
{
	CMD(crk_files, cmd, .pid = getppid(), .entry_size = sizeof(struct crk_fd));

	EXPECT_EQ(ESRCH, device_call(self->dev, CRK_IOC_FILES, &cmd));
	cmd.pid = -1;
	EXPECT_EQ(ESRCH, device_call(self->dev, CRK_IOC_FILES, &cmd));
}

TEST_HARNESS_MAIN
