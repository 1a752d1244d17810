// SPDX-License-Identifier: GPL-2.0
/*
 * Resource limits, also those that the work of a restore would exceed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

static void limit_set(int resource, rlim_t cur, rlim_t max)
{
	struct rlimit limit = { cur, max };

	MUST(!setrlimit(resource, &limit));
}

/* in a child: the subject goes on to make processes and files */
static void with_child(void (*take)(void))
{
	struct rlimit before[RLIM_NLIMITS], after;
	pid_t pid = fork_child();
	int i;

	if (!pid) {
		take();
		for (i = 0; i < RLIM_NLIMITS; i++)
			MUST(!getrlimit(i, &before[i]));
		event_set("taken");
		event_wait("go");
		for (i = 0; i < RLIM_NLIMITS; i++) {
			MUST(!getrlimit(i, &after));
			MUST_EQ(after.rlim_cur, before[i].rlim_cur);
			MUST_EQ(after.rlim_max, before[i].rlim_max);
		}
		_exit(0);
	}
	event_wait("taken");
	checkpoint_here();
	event_set("go");
	reap(pid);
}

static void take_each(void)
{
	limit_set(RLIMIT_CORE, 4096, 1 << 20);
	limit_set(RLIMIT_CPU, 1000000, RLIM_INFINITY);
	limit_set(RLIMIT_FSIZE, 1 << 20, 1ULL << 40);
	limit_set(RLIMIT_LOCKS, 10, 20);
	limit_set(RLIMIT_MEMLOCK, 65536, 131072);
	limit_set(RLIMIT_MSGQUEUE, 1000, 2000);
	limit_set(RLIMIT_NICE, 5, 10);
	limit_set(RLIMIT_NPROC, 100, 200);
	limit_set(RLIMIT_RSS, 1 << 20, RLIM_INFINITY);
	limit_set(RLIMIT_RTPRIO, 1, 2);
	limit_set(RLIMIT_RTTIME, 100000000, 200000000);
	limit_set(RLIMIT_SIGPENDING, 3, 30);
	limit_set(RLIMIT_STACK, 1 << 20, 1 << 24);
}

ROUNDTRIP(each)
{
	with_child(take_each);
}

static void take_tight(void)
{
	event_set("exists");
	limit_set(RLIMIT_NOFILE, 16, 16);
	limit_set(RLIMIT_AS, 64 << 20, 64 << 20);
	limit_set(RLIMIT_DATA, 16 << 20, 16 << 20);
	limit_set(RLIMIT_FSIZE, 0, 4096);
}

ROUNDTRIP(tight)
{
	with_child(take_tight);
}

TEST_HARNESS_MAIN
