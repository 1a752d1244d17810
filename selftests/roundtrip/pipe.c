// SPDX-License-Identifier: GPL-2.0
/*
 * pipe(2): contents, packets, size, both ends in one or two processes, ends that are closed or outside.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "checkpoint.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS	17	/* <linux/fcntl.h> has it, but not beside <fcntl.h> */
#endif

ROUNDTRIP(contents)
{
	int p[2];

	MUST(!pipe(p));
	MUST_EQ(write(p[1], "abc", 3), 3);
	MUST_EQ(write(p[1], "def", 3), 3);
	checkpoint_here();
	MUST(text_is(p[0], "abcdef"));
	MUST(is_empty(p[0]));
	MUST_EQ(write(p[1], "more", 4), 4);
	MUST(text_is(p[0], "more"));
}

ROUNDTRIP(empty)
{
	int p[2];

	MUST(!pipe2(p, O_CLOEXEC | O_NONBLOCK));
	checkpoint_here();
	MUST_EQ(fcntl(p[0], F_GETFL), O_RDONLY | O_NONBLOCK);
	MUST_EQ(fcntl(p[1], F_GETFL), O_WRONLY | O_NONBLOCK);
	MUST_EQ(fcntl(p[1], F_GETFD), FD_CLOEXEC);
	char c;

	MUST(read(p[0], &c, 1) < 0 && errno == EAGAIN);
}

ROUNDTRIP(full_and_large)
{
	enum { SIZE = 1 << 20 };
	char *buf = malloc(SIZE), *again = malloc(SIZE);
	int p[2], i, n, done = 0;

	for (i = 0; i < SIZE; i++)
		buf[i] = i * 13 + (i >> 9);
	MUST(!pipe2(p, O_NONBLOCK));
	MUST_EQ(fcntl(p[1], F_SETPIPE_SZ, SIZE), SIZE);
	MUST_EQ(write(p[1], buf, SIZE), SIZE);
	checkpoint_here();
	MUST_EQ(fcntl(p[0], F_GETPIPE_SZ), SIZE);
	MUST(write(p[1], "x", 1) < 0 && errno == EAGAIN);
	while ((n = read(p[0], again + done, SIZE - done)) > 0)
		done += n;
	MUST_EQ(done, SIZE);
	MUST(!memcmp(buf, again, SIZE));
}

ROUNDTRIP(small_size)
{
	int p[2];

	MUST(!pipe(p));
	MUST_EQ(fcntl(p[1], F_SETPIPE_SZ, 4096), 4096);
	checkpoint_here();
	MUST_EQ(fcntl(p[0], F_GETPIPE_SZ), 4096);
}

ROUNDTRIP(packets)
{
	char buf[8192];
	int p[2];

	MUST(!pipe2(p, O_DIRECT));
	MUST_EQ(write(p[1], "one", 3), 3);
	MUST_EQ(write(p[1], "second", 6), 6);
	memset(buf, 'x', sizeof(buf));
	MUST_EQ(write(p[1], buf, 4096), 4096);
	MUST_EQ(write(p[1], "4", 1), 1);
	checkpoint_here();
	MUST_EQ(fcntl(p[1], F_GETFL), O_WRONLY | O_DIRECT);
	MUST_EQ(read(p[0], buf, sizeof(buf)), 3);
	MUST_EQ(read(p[0], buf, 2), 2);		/* the rest of the packet is dropped */
	MUST_EQ(read(p[0], buf, sizeof(buf)), 4096);
	MUST_EQ(read(p[0], buf, sizeof(buf)), 1);
	MUST(is_empty(p[0]));
}

ROUNDTRIP(writer_closed)
{
	struct pollfd pfd = { .events = POLLIN };
	int p[2];

	MUST(!pipe(p));
	MUST_EQ(write(p[1], "abc", 3), 3);
	MUST(!close(p[1]));
	checkpoint_here();
	MUST(text_is(p[0], "abc"));
	pfd.fd = p[0];
	MUST_EQ(poll(&pfd, 1, 0), 1);
	MUST_EQ(pfd.revents, POLLHUP);
	MUST(at_eof(p[0]));
}

ROUNDTRIP(reader_closed)
{
	int p[2];

	signal(SIGPIPE, SIG_IGN);
	MUST(!pipe(p));
	MUST(!close(p[0]));
	checkpoint_here();
	MUST(write(p[1], "x", 1) < 0 && errno == EPIPE);
}

ROUNDTRIP(reader_asleep)
{
	int p[2];
	pid_t pid;

	MUST(!pipe(p));
	pid = fork_child();
	if (!pid) {
		close(p[1]);
		event_set("reads");
		MUST(text_is(p[0], "hello"));
		MUST(at_eof(p[0]));
		_exit(0);
	}
	close(p[0]);
	event_wait("reads");
	checkpoint_here();
	MUST_EQ(write(p[1], "hello", 5), 5);
	usleep(50000);
	close(p[1]);
	reap(pid);
}

ROUNDTRIP(chain_of_three)
{
	int a[2], b[2], i;
	pid_t pids[2];
	char c;

	MUST(!pipe(a) && !pipe(b));
	for (i = 0; i < 2; i++) {
		pids[i] = fork_child();
		if (pids[i])
			continue;
		/* first: a to b; second: counts b */
		close(a[1]);
		if (!i) {
			close(b[0]);
			while (read(a[0], &c, 1) == 1) {
				c++;
				MUST_EQ(write(b[1], &c, 1), 1);
			}
		} else {
			close(a[0]);
			close(b[1]);
			MUST(read(b[0], &c, 1) == 1 && c == 'b');
			MUST(read(b[0], &c, 1) == 1 && c == 'c');
			MUST(at_eof(b[0]));
		}
		_exit(0);
	}
	close(a[0]);
	close(b[0]);
	close(b[1]);
	MUST_EQ(write(a[1], "a", 1), 1);
	checkpoint_here();
	MUST_EQ(write(a[1], "b", 1), 1);
	close(a[1]);
	reap(pids[0]);
	reap(pids[1]);
}

ROUNDTRIP(opened_again_through_proc)
{
	char path[32];
	int p[2], rd, both;

	MUST(!pipe(p));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	rd = open(path, O_RDONLY | O_NONBLOCK);
	both = open(path, O_RDWR);
	MUST_EQ(write(both, "abc", 3), 3);
	close(p[0]);
	close(p[1]);
	checkpoint_here();
	MUST_EQ(fcntl(rd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	MUST_EQ(fcntl(both, F_GETFL) & O_ACCMODE, O_RDWR);
	MUST(text_is(rd, "abc"));
	MUST_EQ(write(both, "d", 1), 1);
	MUST(text_is(rd, "d"));
}

ROUNDTRIP(owner_of_o_async)
{
	struct f_owner_ex owner = {};
	int p[2], sig;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	MUST(!pipe(p));
	MUST(!fcntl(p[0], F_SETOWN, getpid()));
	MUST(!fcntl(p[0], F_SETSIG, SIGRTMIN + 3));
	MUST(!fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK));
	checkpoint_here();
	MUST_EQ(fcntl(p[0], F_GETFL), O_RDONLY | O_ASYNC | O_NONBLOCK);
	MUST(!fcntl(p[0], F_GETOWN_EX, &owner));
	MUST_EQ(owner.type, F_OWNER_PID);
	MUST_EQ(owner.pid, getpid());
	MUST_EQ(fcntl(p[0], F_GETSIG), SIGRTMIN + 3);
	MUST_EQ(write(p[1], "x", 1), 1);
	sig = sigwaitinfo(&set, NULL);
	MUST_EQ(sig, SIGRTMIN + 3);
}

/*
 * The owner is a thread or a group as well, and the kernel asks whoever set it whether he may send the signal: not one
 * who may not has it come, after a restore by root neither (requirement 1.14).
 */
ROUNDTRIP(owner_of_o_async_kinds)
{
	static const struct {
		int type;
		uid_t uid, euid;
		bool comes;
	} kinds[] = {
		{ F_OWNER_TID, 0, 0, true },
		{ F_OWNER_PGRP, 0, 0, true },
		{ F_OWNER_PID, 1000, 1001, false },
	};
	struct f_owner_ex owner;
	int p[ARRAY_SIZE(kinds)][2];
	uid_t uids[2];
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		owner.type = kinds[i].type;
		owner.pid = owner.type == F_OWNER_PGRP ? getpgrp() : getpid();
		MUST(!pipe(p[i]) && !fcntl(p[i][0], F_SETSIG, SIGRTMIN + 3));
		MUST(!setresuid(kinds[i].uid, kinds[i].euid, 0));
		MUST(!fcntl(p[i][0], F_SETOWN_EX, &owner));
		MUST(!setresuid(0, 0, 0));
		MUST(!fcntl(p[i][0], F_SETFL, O_ASYNC | O_NONBLOCK));
	}
	checkpoint_here();
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		MUST(!fcntl(p[i][0], F_GETOWN_EX, &owner));
		MUST_EQ(owner.type, kinds[i].type);
		MUST_EQ(owner.pid, owner.type == F_OWNER_PGRP ? getpgrp() : getpid());
		MUST(!fcntl(p[i][0], F_GETOWNER_UIDS, uids));
		MUST_EQ(uids[0], kinds[i].uid);
		MUST_EQ(uids[1], kinds[i].euid);
		MUST_EQ(write(p[i][1], "x", 1), 1);
		MUST_EQ(sigtimedwait(&set, NULL, &(struct timespec){}), kinds[i].comes ? SIGRTMIN + 3 : -1);
	}
}

TEST_HARNESS_MAIN
