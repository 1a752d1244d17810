// SPDX-License-Identifier: GPL-2.0
/*
 * Process trees: parents and children, pids, depth and breadth.
 *
 * crk-test: timeout=900
 */
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

/* waits until the round trip is over and checks that it is who it was */
static void member(pid_t parent)
{
	pid_t pid = getpid(), tid = syscall(SYS_gettid), pgid = getpgrp(), sid = getsid(0);

	event_wait("go");
	MUST_EQ(syscall(SYS_getpid), pid);
	MUST_EQ(syscall(SYS_gettid), tid);
	MUST_EQ(getppid(), parent);
	MUST_EQ(getpgrp(), pgid);
	MUST_EQ(getsid(0), sid);
}

/* @fanout children at each of @depth levels; each waits for its own */
static void grow(pid_t parent, int depth, int fanout)
{
	pid_t child[8], self = getpid();
	char name[32];
	int i;

	for (i = 0; i < fanout && depth; i++) {
		child[i] = fork_child();
		if (child[i])
			continue;
		grow(self, depth - 1, fanout);
		_exit(0);
	}
	snprintf(name, sizeof(name), "here-%d", self);
	event_set(name);
	member(parent);
	for (i = 0; i < fanout && depth; i++)
		reap(child[i]);
}

static bool is_here(pid_t pid)
{
	char name[32];

	snprintf(name, sizeof(name), "here-%d", pid);
	return event_is_set(name);
}

/* how many processes have said that they are there */
static int count_here(void)
{
	FILE *f = popen("ls | grep -c ^here-", "r");
	int nr = -1;

	MUST(f && fscanf(f, "%d", &nr) == 1);
	pclose(f);
	return nr;
}

ROUNDTRIP(one_process)
{
	pid_t pid = getpid(), parent_sid = getsid(0);

	checkpoint_here();
	MUST_EQ(syscall(SYS_getpid), pid);
	MUST_EQ(getsid(0), parent_sid);
}

ROUNDTRIP(three_levels)
{
	pid_t root = fork_child();

	if (!root) {
		grow(getppid(), 2, 3);
		_exit(0);
	}
	WAIT_FOR(is_here(root) && count_here() == 13);
	checkpoint_here();
	event_set("go");
	reap(root);
}

ROUNDTRIP(deep)
{
	pid_t root = fork_child();

	if (!root) {
		grow(getppid(), 20, 1);
		_exit(0);
	}
	WAIT_FOR(count_here() == 21);
	checkpoint_here();
	event_set("go");
	reap(root);
}

/* only the kernel tells afterwards what a child sends when it ends */
ROUNDTRIP(exit_signal)
{
	sigset_t set;
	siginfo_t info;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
	pid = syscall(SYS_clone, SIGUSR1, 0, 0, 0, 0);
	MUST(pid >= 0);
	if (!pid) {
		event_wait("go");
		_exit(0);
	}
	checkpoint_here();
	event_set("go");
	MUST_EQ(waitpid(pid, NULL, __WALL), pid);
	MUST_EQ(sigwaitinfo(&set, &info), SIGUSR1);
	MUST_EQ(info.si_pid, pid);
}

/* asleep in read(): so many that look at a file now and then would keep a small machine busy */
ROUNDTRIP(processes_300)
{
	enum { NR = 300 };
	pid_t pid[NR], self = getpid();
	int go[2], i;
	char byte;

	MUST(!pipe(go));
	for (i = 0; i < NR; i++) {
		pid[i] = fork_child();
		if (pid[i])
			continue;
		close(go[1]);
		pid[i] = getpid();
		MUST_EQ(read(go[0], &byte, 1), 0);
		MUST_EQ(syscall(SYS_getpid), pid[i]);
		MUST_EQ(getppid(), self);
		_exit(0);
	}
	checkpoint_here();
	close(go[1]);
	for (i = 0; i < NR; i++)
		reap(pid[i]);
}

TEST_HARNESS_MAIN
