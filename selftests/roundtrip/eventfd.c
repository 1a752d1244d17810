// SPDX-License-Identifier: GPL-2.0
/*
 * eventfd(2): count, semaphore mode, flags, one shared by two processes.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "checkpoint.h"

ROUNDTRIP(counter)
{
	int fd = eventfd(7, EFD_NONBLOCK);
	eventfd_t v;

	checkpoint_here();
	MUST_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	MUST_EQ(fcntl(fd, F_GETFD), 0);
	MUST(!eventfd_read(fd, &v));
	MUST_EQ(v, 7);
	MUST(eventfd_read(fd, &v) && errno == EAGAIN);
}

ROUNDTRIP(largest_counter)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	eventfd_t v;

	MUST(!eventfd_write(fd, 0xfffffffffffffffeULL));
	checkpoint_here();
	MUST_EQ(fcntl(fd, F_GETFL), O_RDWR);
	MUST_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	MUST(!eventfd_read(fd, &v));
	MUST(v == 0xfffffffffffffffeULL);
}

ROUNDTRIP(semaphore)
{
	int fd = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	eventfd_t v;

	checkpoint_here();
	for (int i = 0; i < 3; i++) {
		MUST(!eventfd_read(fd, &v));
		MUST_EQ(v, 1);
	}
	MUST(eventfd_read(fd, &v) && errno == EAGAIN);
}

ROUNDTRIP(shared_by_two_processes)
{
	int fd = eventfd(0, 0);
	eventfd_t v;
	pid_t pid = fork_child();

	if (!pid) {
		event_wait("restored");
		MUST(!eventfd_write(fd, 5));
		_exit(0);
	}
	checkpoint_here();
	event_set("restored");
	MUST(!eventfd_read(fd, &v));	/* sleeps until the child writes */
	MUST_EQ(v, 5);
	reap(pid);
}

TEST_HARNESS_MAIN
