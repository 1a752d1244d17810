// SPDX-License-Identifier: GPL-2.0
/*
 * Locks on files: POSIX, open file description, flock, leases.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "checkpoint.h"

/* would another process get it?  The pid of who holds a lock, -1 of an open file, 0: free */
static int holder(int fd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	struct flock ofd = fl;
	int other = open("file", O_RDWR), ret;

	(void)fd;
	/* by open file: does not release the process's locks */
	MUST(!fcntl(other, F_OFD_GETLK, &ofd));
	ret = ofd.l_type == F_UNLCK ? 0 : ofd.l_pid;
	/* closing it would drop the locks that are tested: it stays open */
	return ret;
}

static int file_open(void)
{
	int fd = open("file", O_RDWR | O_CREAT, 0644);

	MUST(fd >= 0 && write(fd, "0123456789", 10) == 10);
	return fd;
}

ROUNDTRIP(posix)
{
	struct flock rd = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 3 };
	struct flock wr = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 2 };
	struct flock end = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 0 };
	int fd = file_open(), fd2 = dup(fd);

	(void)fd2;
	MUST(!fcntl(fd, F_SETLK, &rd) && !fcntl(fd, F_SETLK, &wr) && !fcntl(fd, F_SETLK, &end));
	checkpoint_here();
	MUST_EQ(holder(fd, F_WRLCK, 0, 3), getpid());
	MUST_EQ(holder(fd, F_RDLCK, 0, 3), 0);
	MUST_EQ(holder(fd, F_WRLCK, 3, 2), 0);
	MUST_EQ(holder(fd, F_RDLCK, 6, 1), getpid());
	MUST_EQ(holder(fd, F_WRLCK, 7, 93), 0);
	MUST_EQ(holder(fd, F_RDLCK, 1000000, 1), getpid());
}

ROUNDTRIP(posix_of_two_processes)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
	int fd = file_open();
	pid_t pid = fork_child();

	if (!pid) {
		MUST(!fcntl(fd, F_SETLK, &fl));
		event_set("locked");
		event_wait("restored");
		_exit(0);
	}
	event_wait("locked");
	fl.l_start = 4;
	MUST(!fcntl(fd, F_SETLK, &fl));
	checkpoint_here();
	MUST_EQ(holder(fd, F_WRLCK, 0, 1), pid);
	MUST_EQ(holder(fd, F_WRLCK, 4, 1), getpid());
	event_set("restored");
	reap(pid);
	MUST_EQ(holder(fd, F_WRLCK, 0, 1), 0);
}

ROUNDTRIP(waiter)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
	int fd = file_open();
	pid_t pid;

	MUST(!fcntl(fd, F_SETLK, &fl));
	pid = fork_child();
	if (!pid) {
		event_set("waits");
		MUST(!fcntl(fd, F_SETLKW, &fl));
		_exit(0);
	}
	event_wait("waits");
	usleep(20000);
	checkpoint_here();
	MUST_EQ(holder(fd, F_WRLCK, 0, 1), getpid());
	fl.l_type = F_UNLCK;
	MUST(!fcntl(fd, F_SETLK, &fl));
	reap(pid);
}

ROUNDTRIP(open_file_description)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 4 };
	int fd = file_open();

	MUST(!fcntl(fd, F_OFD_SETLK, &fl));
	checkpoint_here();
	MUST_EQ(holder(fd, F_WRLCK, 5, 1), -1);
	MUST_EQ(holder(fd, F_WRLCK, 6, 1), 0);
	fl.l_type = F_UNLCK;
	MUST(!fcntl(fd, F_OFD_SETLK, &fl));
	MUST_EQ(holder(fd, F_WRLCK, 5, 1), 0);
}

ROUNDTRIP(whole_file)
{
	int fd = file_open(), other, shared, shared2;

	MUST(!flock(fd, LOCK_EX));
	shared = open("file2", O_RDONLY | O_CREAT, 0644);
	MUST(!flock(shared, LOCK_SH));
	checkpoint_here();
	other = open("file", O_RDONLY);
	MUST(flock(other, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK);
	shared2 = open("file2", O_RDONLY);
	MUST(!flock(shared2, LOCK_SH | LOCK_NB));
	MUST(flock(shared2, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK);
	MUST(!flock(fd, LOCK_UN));
	MUST(!flock(other, LOCK_EX | LOCK_NB));
}

ROUNDTRIP(lease)
{
	int fd;

	close(file_open());
	fd = open("file", O_RDONLY);
	MUST(!fcntl(fd, F_SETLEASE, F_RDLCK));
	checkpoint_here();
	MUST_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
	MUST(!fcntl(fd, F_SETLEASE, F_UNLCK));
}

TEST_HARNESS_MAIN
