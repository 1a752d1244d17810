// SPDX-License-Identifier: GPL-2.0
/*
 * signalfd(2): mask, a signal that waits for it.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "checkpoint.h"

ROUNDTRIP(mask_and_pending)
{
	struct signalfd_siginfo info;
	sigset_t set, all;
	int fd;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMAX);
	fd = signalfd(-1, &set, SFD_NONBLOCK);
	MUST(!sigqueue(getpid(), SIGRTMAX, (union sigval){ .sival_int = 77 }));
	checkpoint_here();
	MUST_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	MUST_EQ(read(fd, &info, sizeof(info)), sizeof(info));
	MUST_EQ(info.ssi_signo, SIGRTMAX);
	MUST_EQ(info.ssi_int, 77);
	MUST(read(fd, &info, sizeof(info)) < 0 && errno == EAGAIN);
	MUST(!kill(getpid(), SIGUSR2));		/* not in the mask */
	MUST(read(fd, &info, sizeof(info)) < 0 && errno == EAGAIN);
	MUST(!kill(getpid(), SIGUSR1));
	MUST_EQ(read(fd, &info, sizeof(info)), sizeof(info));
	MUST_EQ(info.ssi_signo, SIGUSR1);
	MUST(text_line(file_text("/proc/self/fdinfo/%d", fd), "sigmask:\t8000000000000200"));
}

TEST_HARNESS_MAIN
