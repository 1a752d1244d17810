// SPDX-License-Identifier: GPL-2.0
/*
 * membarrier(2): commands that a process has registered for work without registering again; others are still refused.
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

#ifndef MEMBARRIER_CMD_GET_REGISTRATIONS
#define MEMBARRIER_CMD_GET_REGISTRATIONS	(1 << 9)
#endif

static const int private[] = {
	MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
	MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
};

static long barrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
}

static void needs(int cmd)
{
	long can = barrier(MEMBARRIER_CMD_QUERY);

	if (can < 0 || !(can & cmd))
		subject_skip("no membarrier command %#x (CONFIG_MEMBARRIER)", cmd);
}

/* newer kernels tell; -1 where they don't */
static long registrations(void)
{
	return barrier(MEMBARRIER_CMD_GET_REGISTRATIONS);
}

/* of the private ones, only those in @allowed work */
static void must_allow(int allowed)
{
	size_t i;

	for (i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		if (!(barrier(MEMBARRIER_CMD_QUERY) & private[i]))
			continue;
		if (allowed & private[i]) {
			MUST(!barrier(private[i]));
		} else {
			MUST(barrier(private[i]) == -1 && errno == EPERM);
		}
	}
}

ROUNDTRIP(none)
{
	needs(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	checkpoint_here();
	must_allow(0);
	MUST(registrations() <= 0);
}

ROUNDTRIP(private_expedited)
{
	long before;

	needs(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	MUST(!barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
	before = registrations();
	checkpoint_here();
	must_allow(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	MUST_EQ(registrations(), before);
}

ROUNDTRIP(all_kinds)
{
	long before;
	size_t i;

	needs(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
	needs(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
	MUST(!barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
	for (i = 0; i < sizeof(private) / sizeof(private[0]); i++)
		MUST(!barrier(private[i] << 1));
	before = registrations();
	checkpoint_here();
	must_allow(~0);
	MUST_EQ(registrations(), before);
}

/* one of a parent and a child each, made in both orders: nothing is handed on that was not */
ROUNDTRIP(of_each_process)
{
	pid_t pid;

	needs(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
	pid = fork_child();
	if (!pid) {
		MUST(!barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ));
		event_set("up");
		event_wait("go");
		must_allow(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
		_exit(0);
	}
	MUST(!barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
	event_wait("up");
	checkpoint_here();
	must_allow(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	event_set("go");
	reap(pid);
}

TEST_HARNESS_MAIN
