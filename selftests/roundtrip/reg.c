// SPDX-License-Identifier: GPL-2.0
/*
 * Files with a path: offset, flags, directories, memory devices; descriptors: numbers, close-on-exec, sharing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

/* flags as fdinfo tells them, close-on-exec included */
static char *flags_of(int fd)
{
	return text_line(file_text("/proc/self/fdinfo/%d", fd), "flags:");
}

static void fill(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	MUST(fd >= 0);
	MUST_EQ(write(fd, text, strlen(text)), strlen(text));
	MUST(!close(fd));
}

ROUNDTRIP(offset)
{
	int fd;

	fill("file", "0123456789");
	fd = open("file", O_RDONLY);
	MUST_EQ(lseek(fd, 4, SEEK_SET), 4);
	checkpoint_here();
	MUST_EQ(lseek(fd, 0, SEEK_CUR), 4);
	MUST(text_is(fd, "456789"));
}

ROUNDTRIP(offset_behind_the_end)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644);

	MUST_EQ(lseek(fd, 1LL << 40, SEEK_SET), 1LL << 40);
	checkpoint_here();
	MUST_EQ(lseek(fd, 0, SEEK_CUR), 1LL << 40);
}

ROUNDTRIP(flags)
{
	static const int flags[] = {
		O_RDONLY, O_WRONLY, O_RDWR, 3, O_WRONLY | O_APPEND, O_RDWR | O_NONBLOCK, O_RDWR | O_SYNC, O_RDONLY | O_NOATIME,
		O_RDWR | O_DSYNC | O_CLOEXEC, O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_NOFOLLOW, O_RDONLY | O_CREAT,
	};
	enum { NR = sizeof(flags) / sizeof(flags[0]) };
	char *before[NR];
	int fds[NR], i;

	fill("file", "abc");
	for (i = 0; i < NR; i++) {
		fds[i] = open("file", flags[i], 0644);
		MUST(fds[i] >= 0);
		before[i] = flags_of(fds[i]);
	}
	checkpoint_here();
	for (i = 0; i < NR; i++)
		MUST_STR(flags_of(fds[i]), before[i]);
	MUST_EQ(write(fds[4], "d", 1), 1);
	MUST(text_is(fds[0], "abcd"));
}

ROUNDTRIP(flags_set_later)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644);
	char *before;

	MUST(!fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
	before = flags_of(fd);
	checkpoint_here();
	MUST_STR(flags_of(fd), before);
}

ROUNDTRIP(path_with_odd_bytes)
{
	int fd = open("a b\n\001\377 (deleted)", O_RDWR | O_CREAT, 0644);
	char *before = link_text("/proc/self/fd/%d", fd);

	checkpoint_here();
	MUST_STR(link_text("/proc/self/fd/%d", fd), before);
}

ROUNDTRIP(renamed)
{
	int fd;

	fill("one", "x");
	fd = open("one", O_RDONLY);
	MUST(!rename("one", "two"));
	checkpoint_here();
	MUST(strstr(link_text("/proc/self/fd/%d", fd), "/two"));
	MUST(text_is(fd, "x"));
}

ROUNDTRIP(symlink_itself)
{
	int fd;

	MUST(!symlink("nowhere", "link"));
	fd = open("link", O_PATH | O_NOFOLLOW);
	checkpoint_here();
	char text[16] = "";

	MUST_EQ(readlinkat(fd, "", text, sizeof(text)), 7);
	MUST_STR(text, "nowhere");
}

static int count(DIR *d)
{
	int n = 0;

	while (readdir(d))
		n++;
	return n;
}

ROUNDTRIP(directory)
{
	char name[16];
	DIR *d;
	int i;

	MUST(!mkdir("dir", 0755));
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "dir/%d", i);
		fill(name, "");
	}
	d = opendir("dir");
	MUST(readdir(d) && readdir(d) && readdir(d));
	checkpoint_here();
	MUST_EQ(count(d), 99);
	rewinddir(d);
	MUST_EQ(count(d), 102);
}

ROUNDTRIP(directory_in_the_middle)
{
	char buf[512], name[16];
	int i, fd, n, before = 0, after = 0;

	MUST(!mkdir("dir", 0755));
	for (i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "dir/%d", i);
		fill(name, "");
	}
	fd = open("dir", O_RDONLY | O_DIRECTORY);
	n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
	MUST(n > 0);
	for (i = 0; i < n; i += *(unsigned short *)(buf + i + 16))
		before++;
	checkpoint_here();
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i += *(unsigned short *)(buf + i + 16))
			after++;
	MUST_EQ(before + after, 202);
}

ROUNDTRIP(memory_devices)
{
	static const char * const names[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom" };
	int fds[5], i;
	char c = 1;

	for (i = 0; i < 5; i++)
		MUST((fds[i] = open(names[i], O_RDWR)) >= 0);
	checkpoint_here();
	for (i = 0; i < 5; i++)
		MUST_STR(link_text("/proc/self/fd/%d", fds[i]), names[i]);
	MUST_EQ(read(fds[0], &c, 1), 0);
	MUST_EQ(read(fds[1], &c, 1), 1);
	MUST_EQ(c, 0);
	MUST(write(fds[2], "x", 1) < 0 && errno == ENOSPC);
	MUST_EQ(read(fds[4], &c, 1), 1);
}

ROUNDTRIP(numbers)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644);

	MUST_EQ(dup2(fd, 200), 200);
	MUST_EQ(dup3(fd, 500, O_CLOEXEC), 500);
	MUST(!close(0));
	checkpoint_here();
	MUST(fcntl(0, F_GETFD) < 0 && errno == EBADF);
	MUST_EQ(fcntl(200, F_GETFD), 0);
	MUST_EQ(fcntl(500, F_GETFD), FD_CLOEXEC);
	MUST(fcntl(fd + 1, F_GETFD) < 0 && errno == EBADF);
	/* one open file: one offset */
	MUST_EQ(write(fd, "abc", 3), 3);
	MUST_EQ(lseek(500, 0, SEEK_CUR), 3);
	MUST_EQ(open("/dev/null", O_RDONLY), 0);
}

ROUNDTRIP(none_open)
{
	int fd;

	for (fd = 0; fd < 20; fd++)
		close(fd);
	checkpoint_here();
	MUST_EQ(open("/dev/null", O_RDONLY), 0);
}

ROUNDTRIP(many)
{
	enum { NR = 600 };
	int fds[NR], i;
	char name[16];

	for (i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fds[i] = open(name, O_RDWR | O_CREAT, 0644);
		MUST(fds[i] >= 0);
		MUST_EQ(lseek(fds[i], i, SEEK_SET), i);
	}
	checkpoint_here();
	for (i = 0; i < NR; i++) {
		MUST_EQ(lseek(fds[i], 0, SEEK_CUR), i);
		snprintf(name, sizeof(name), "/f%d", i);
		MUST_STR(strrchr(link_text("/proc/self/fd/%d", fds[i]), '/'), name);
	}
}

ROUNDTRIP(one_file_of_parent_and_child)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644), other;
	pid_t pid = fork_child();

	if (!pid) {
		other = open("file", O_RDONLY);
		event_set("opened");
		event_wait("restored");
		MUST_EQ(write(fd, "abc", 3), 3);
		MUST(text_is(other, "abc"));
		_exit(0);
	}
	event_wait("opened");
	checkpoint_here();
	event_set("restored");
	reap(pid);
	MUST_EQ(lseek(fd, 0, SEEK_CUR), 3);
}

ROUNDTRIP(one_table_of_parent_and_child)
{
	pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	int fd;

	if (!pid) {
		event_wait("restored");
		fd = open("/dev/null", O_RDONLY);
		MUST_EQ(dup2(fd, 77), 77);
		_exit(0);
	}
	checkpoint_here();
	event_set("restored");
	reap(pid);
	MUST_EQ(fcntl(77, F_GETFD), 0);
}

/* ---- files of dumped processes in /proc: there is nothing to open before the processes are there ---- */

static volatile int seen = 4711;

static int read_int(int fd, volatile int *at)
{
	int value;

	MUST_EQ(pread(fd, &value, sizeof(value), (uintptr_t)at), sizeof(value));
	return value;
}

ROUNDTRIP(memory_of_a_child)
{
	pid_t pid = fork_child();
	char path[64];
	int fd, twin;

	if (!pid) {
		seen = 4712;
		event_set("seen");
		event_wait("written");
		_exit(seen == 4713 ? 0 : 1);
	}
	event_wait("seen");
	snprintf(path, sizeof(path), "/proc/%d/task/%d/mem", pid, pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	MUST(fd >= 0);
	MUST_EQ(lseek(fd, 12345, SEEK_SET), 12345);
	twin = dup(fd);
	checkpoint_here();
	MUST_STR(link_text("/proc/self/fd/%d", fd), path);
	MUST_EQ(lseek(twin, 0, SEEK_CUR), 12345);
	MUST_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	MUST_EQ(read_int(fd, &seen), 4712);
	MUST_EQ(pwrite(fd, &(int){ 4713 }, sizeof(int), (uintptr_t)&seen), sizeof(int));
	event_set("written");
	reap(pid);
}

ROUNDTRIP(own_status)
{
	char want[32], *text;
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t len;

	MUST(fd >= 0);
	checkpoint_here();
	text = malloc(4096);
	len = read(fd, text, 4095);
	MUST(len > 0);
	text[len] = '\0';
	snprintf(want, sizeof(want), "Pid:\t%d", getpid());
	MUST_STR(text_line(text, "Pid:"), want);
}

/* one file: parent and child move one offset */
ROUNDTRIP(memory_by_parent_and_child)
{
	int fd = open("/proc/self/mem", O_RDONLY);
	pid_t pid;

	MUST(fd >= 0);
	seen = 4714;
	pid = fork_child();
	if (!pid) {
		event_set("seen");
		event_wait("restored");
		MUST_EQ(read_int(fd, &seen), 4715);	/* the parent's */
		MUST_EQ(lseek(fd, 77, SEEK_SET), 77);
		_exit(0);
	}
	event_wait("seen");
	seen = 4715;
	checkpoint_here();
	event_set("restored");
	reap(pid);
	MUST_EQ(lseek(fd, 0, SEEK_CUR), 77);
}

TEST_HARNESS_MAIN
