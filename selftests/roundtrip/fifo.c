// SPDX-License-Identifier: GPL-2.0
/*
 * Named pipes: contents, a name that is gone, one end only.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"

ROUNDTRIP(contents)
{
	int rd, wr;

	MUST(!mkfifo("fifo", 0600));
	rd = open("fifo", O_RDONLY | O_NONBLOCK);
	wr = open("fifo", O_WRONLY);
	MUST_EQ(write(wr, "abc", 3), 3);
	checkpoint_here();
	MUST_EQ(fcntl(rd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	MUST_EQ(fcntl(wr, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY);
	MUST(text_is(rd, "abc"));
	MUST_EQ(write(wr, "d", 1), 1);
	MUST(text_is(rd, "d"));
	close(wr);
	MUST(at_eof(rd));
}

ROUNDTRIP(removed)
{
	int fd;

	MUST(!mkfifo("fifo", 0600));
	fd = open("fifo", O_RDWR);
	MUST_EQ(write(fd, "abc", 3), 3);
	MUST(!unlink("fifo"));
	checkpoint_here();
	MUST(text_is(fd, "abc"));
	MUST(access("fifo", F_OK) && errno == ENOENT);
}

ROUNDTRIP(opening_asleep)
{
	pid_t pid;
	int fd;

	MUST(!mkfifo("fifo", 0600));
	pid = fork_child();
	if (!pid) {
		event_set("opens");
		fd = open("fifo", O_RDONLY);	/* sleeps until there is a writer */
		MUST(fd >= 0);
		MUST(text_is(fd, "x"));
		_exit(0);
	}
	event_wait("opens");
	checkpoint_here();
	fd = open("fifo", O_WRONLY);
	MUST(fd >= 0);
	MUST_EQ(write(fd, "x", 1), 1);
	reap(pid);
}

TEST_HARNESS_MAIN
