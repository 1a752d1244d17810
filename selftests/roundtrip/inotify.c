// SPDX-License-Identifier: GPL-2.0
/*
 * inotify: watches with their numbers and masks; events that wait; the restore itself makes none.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
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

/* ---- events that wait ---- */

/* all that waits, malloc'ed */
static char *queue_read(int fd, size_t *len)
{
	char *buf = malloc(65536);
	ssize_t n = read(fd, buf, 65536);
	bool empty = n < 0 && errno == EAGAIN;

	MUST(n > 0 || empty);
	*len = empty ? 0 : n;
	return buf;
}

static void must_be_next(char **pos, int wd, uint32_t mask, const char *name)
{
	const struct inotify_event *ev = (void *)*pos;

	MUST_EQ(ev->wd, wd);
	MUST_EQ(ev->mask, mask);
	MUST_STR(ev->len ? ev->name : "", name);
	*pos += sizeof(*ev) + ev->len;
}

static uint32_t cookie(const char *pos)
{
	return ((const struct inotify_event *)pos)->cookie;
}

/* of the first */
static char *event_text(const char *buf)
{
	const struct inotify_event *ev = (const void *)buf;
	char *text;

	MUST(asprintf(&text, "wd %d mask %#x name '%s'", ev->wd, ev->mask, ev->len ? ev->name : "") > 0);
	return text;
}

static void file_make(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	MUST(fd >= 0);
	close(fd);
}

/* in their order, with names and cookies; what comes later comes behind them */
ROUNDTRIP(queued)
{
	static const char longest[] = "a/" "0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789012345678901234";
	int fd = inotify_init1(IN_NONBLOCK), a, b, waiting, now;
	char *buf, *pos;
	size_t len;

	MUST(!mkdir("a", 0755) && !mkdir("b", 0755));
	a = inotify_add_watch(fd, "a", IN_CREATE | IN_MOVE | IN_DELETE | IN_MODIFY | IN_ATTRIB);
	b = inotify_add_watch(fd, "b", IN_MOVED_TO | IN_DELETE_SELF);
	file_make("a/file");
	file_make(longest);
	MUST(!mkdir("a/dir", 0755));
	MUST(!rename("a/file", "b/file"));
	MUST(!chmod("a/dir", 0700) && !chmod("a", 0700));
	MUST(!inotify_rm_watch(fd, b));
	MUST(!ioctl(fd, FIONREAD, &waiting));
	checkpoint_here();
	MUST(!ioctl(fd, FIONREAD, &now));
	MUST_EQ(now, waiting);
	MUST(!rename("a/dir", "a/folder"));
	buf = pos = queue_read(fd, &len);
	must_be_next(&pos, a, IN_CREATE, "file");
	must_be_next(&pos, a, IN_CREATE, longest + 2);
	must_be_next(&pos, a, IN_CREATE | IN_ISDIR, "dir");
	MUST(cookie(pos));
	MUST_EQ(cookie(pos), cookie(pos + 32));
	must_be_next(&pos, a, IN_MOVED_FROM, "file");
	must_be_next(&pos, b, IN_MOVED_TO, "file");
	must_be_next(&pos, a, IN_ATTRIB | IN_ISDIR, "dir");
	must_be_next(&pos, a, IN_ATTRIB | IN_ISDIR, "");
	must_be_next(&pos, b, IN_IGNORED, "");
	MUST_EQ(pos - buf, waiting);
	must_be_next(&pos, a, IN_MOVED_FROM | IN_ISDIR, "dir");
	must_be_next(&pos, a, IN_MOVED_TO | IN_ISDIR, "folder");
	MUST_EQ(pos - buf, (long)len);
	/* a number that an event has named is not given to another watch */
	MUST_EQ(inotify_add_watch(fd, "b", IN_OPEN), 3);
}

/* the same thing happening again and again is one event, on both sides of a dump */
ROUNDTRIP(queued_merge)
{
	int fd = inotify_init1(IN_NONBLOCK), a, self, file, dir;
	char *buf, *pos;
	size_t len;

	MUST(!mkdir("a", 0755));
	file_make("a/file");
	file = open("a/file", O_WRONLY);
	dir = inotify_init1(IN_NONBLOCK);
	self = inotify_add_watch(fd, "a/file", IN_MODIFY);
	a = inotify_add_watch(dir, "a", IN_MODIFY);
	MUST(write(file, "x", 1) == 1 && write(file, "x", 1) == 1);
	checkpoint_here();
	MUST(write(file, "x", 1) == 1);
	buf = pos = queue_read(fd, &len);
	must_be_next(&pos, self, IN_MODIFY, "");
	MUST_EQ(pos - buf, (long)len);
	buf = pos = queue_read(dir, &len);
	must_be_next(&pos, a, IN_MODIFY, "file");
	MUST_EQ(pos - buf, (long)len);
}

static void limit_write(const char *text)
{
	int fd = open("/proc/sys/fs/inotify/max_queued_events", O_WRONLY);

	MUST(fd >= 0 && write(fd, text, strlen(text)) > 0);
	close(fd);
}

/* too many came: all that fit, the mark, and what came when there was room again */
ROUNDTRIP(overflow)
{
	char *limit = file_text("/proc/sys/fs/inotify/max_queued_events"), *buf, *pos, name[16];
	struct pollfd p = { .events = POLLIN };
	int fd, a, i;
	size_t len;

	limit_write("20");
	fd = p.fd = inotify_init1(IN_NONBLOCK);
	MUST(!mkdir("a", 0755));
	a = inotify_add_watch(fd, "a", IN_CREATE);
	for (i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "a/%d", i);
		file_make(name);
	}
	buf = malloc(64);
	MUST(read(fd, buf, 64) == 64);	/* two of them */
	file_make("a/late");
	checkpoint_here();
	MUST_EQ(poll(&p, 1, 0), 1);
	file_make("a/later");
	limit_write(limit);
	buf = pos = queue_read(fd, &len);
	for (i = 2; i < 20; i++) {
		snprintf(name, sizeof(name), "%d", i);
		must_be_next(&pos, a, IN_CREATE, name);
	}
	must_be_next(&pos, -1, IN_Q_OVERFLOW, "");
	must_be_next(&pos, a, IN_CREATE, "late");
	/* the mark counts, too: there is no room for the last, and one mark is there at a time */
	MUST_EQ(pos - buf, (long)len);
}

/* a restore makes files, opens and closes them: that is none of the program's business */
ROUNDTRIP(none_of_our_own)
{
	int fd, file, ghost, root;
	char *map, *buf;
	size_t len;

	MUST(!mkdir("a", 0755));
	file_make("a/file");
	file_make("a/ghost");
	file_make("a/mapped");
	file = open("a/file", O_RDWR);
	ghost = open("a/ghost", O_RDWR);
	MUST(write(file, "file", 4) == 4 && write(ghost, "ghost", 5) == 5);
	MUST(!truncate("a/mapped", 4096));
	len = open("a/mapped", O_RDWR);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, len, 0);
	MUST(map != MAP_FAILED);
	close(len);
	strcpy(map, "mapped");
	MUST(!unlink("a/ghost"));
	/* dumped after the files, whose contents have been read by then */
	fd = inotify_init1(IN_NONBLOCK);
	root = inotify_init1(IN_NONBLOCK);
	MUST(inotify_add_watch(fd, "a", IN_ALL_EVENTS) == 1);
	MUST(inotify_add_watch(fd, "a/file", IN_ALL_EVENTS) == 2);
	MUST(inotify_add_watch(fd, "a/mapped", IN_ALL_EVENTS) == 3);
	/* where the helper goes by, too */
	MUST(inotify_add_watch(root, "/", IN_ALL_EVENTS) == 1);
	checkpoint_here();
	/* a dump reads files, which those who watch them are told; it is a restore that is none of theirs */
	if (is_left_running())
		return;
	buf = queue_read(fd, &len);
	if (len)
		MUST_STR("no event", event_text(buf));
	buf = queue_read(root, &len);
	if (len)
		MUST_STR("no event", event_text(buf));
	MUST_STR(map, "mapped");
	MUST(pread(ghost, map, 5, 0) == 5);
}

TEST_HARNESS_MAIN
