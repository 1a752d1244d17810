// SPDX-License-Identifier: GPL-2.0
/*
 * inotify: watches with their numbers and masks; the restore itself makes no events.
 */
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"

static int next_event(int fd, uint32_t *mask)
{
	char buf[1024] __attribute__((aligned(8)));
	const struct inotify_event *ev = (void *)buf;

	/* one at a time: the buffer has room for one with a name */
	if (read(fd, buf, sizeof(*ev) + 16) < 0)
		return -1;
	*mask = ev->mask;
	return ev->wd;
}

ROUNDTRIP(watches)
{
	int fd, a, b, c, file;
	uint32_t mask;
	char *before;

	/* not the directory of the events of this test */
	MUST(!mkdir("a", 0755) && !mkdir("b", 0755) && !mkdir("b/c", 0755));
	file = open("b/file", O_RDWR | O_CREAT, 0644);
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	MUST(inotify_add_watch(fd, "a", IN_CREATE) == 1);
	MUST(!inotify_rm_watch(fd, 1));
	MUST(next_event(fd, &mask) == 1 && mask == IN_IGNORED);
	a = inotify_add_watch(fd, "a", IN_CREATE | IN_DELETE);
	b = inotify_add_watch(fd, "b/file", IN_MODIFY);
	c = inotify_add_watch(fd, "b/c", IN_ALL_EVENTS | IN_EXCL_UNLINK);
	MUST_EQ(a, 2);
	before = file_text("/proc/self/fdinfo/%d", fd);
	checkpoint_here();
	MUST_EQ(fcntl(fd, F_GETFL), O_RDONLY | O_NONBLOCK);
	MUST_STR(text_line(file_text("/proc/self/fdinfo/%d", fd), "inotify wd:4"), text_line(before, "inotify wd:4"));
	MUST_STR(text_line(file_text("/proc/self/fdinfo/%d", fd), "inotify wd:2"), text_line(before, "inotify wd:2"));
	MUST(next_event(fd, &mask) < 0 && errno == EAGAIN);
	MUST_EQ(write(file, "x", 1), 1);
	MUST_EQ(next_event(fd, &mask), b);
	MUST_EQ(mask, IN_MODIFY);
	MUST(!mkdir("a/x", 0755));
	MUST_EQ(next_event(fd, &mask), a);
	MUST_EQ(mask, IN_CREATE | IN_ISDIR);
	MUST(!inotify_rm_watch(fd, c));
	MUST_EQ(next_event(fd, &mask), c);
	MUST_EQ(inotify_add_watch(fd, "b", IN_OPEN), 5);
}

ROUNDTRIP(no_watches)
{
	int fd = inotify_init();

	checkpoint_here();
	MUST_EQ(inotify_add_watch(fd, ".", IN_OPEN), 1);
}

TEST_HARNESS_MAIN
