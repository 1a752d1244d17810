// SPDX-License-Identifier: GPL-2.0
/*
 * Programs of the x32 ABI (kernels with syscall.x32=y): threads asleep in calls, futexes, shared memory, signal frames,
 * timers, mappings, core dumps.  What is dumped is payload/x32/subject.c, which checks itself.  Requirement 4.1; trees
 * of processes of all ABIs are in mixed.c.
 *
 * crk-test: abi=x86_64 asleep
 */
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

/* it has been dumped and restored when this returns */
static pid_t x32_subject(const char *part)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	char path[4096];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/payload/subject-x32", getenv("CRK_TESTS") ?: "");
	MUST(!access(path, X_OK));
	pid = fork_child();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &unlimited);
		execl(path, path, part, is_left_running() ? "running" : "restored", NULL);
		event_set(errno == ENOEXEC ? "no-x32" : "ready");
		_exit(98);
	}
	while (!event_is_set("ready")) {
		if (event_is_set("no-x32"))
			subject_skip("no x32 here: the kernel's command line needs syscall.x32=y");
		nap();
	}
	checkpoint_here();
	return pid;
}

ROUNDTRIP(threads, .away = 1)
{
	reap(x32_subject("threads"));
}

ROUNDTRIP(signals)
{
	reap(x32_subject("signals"));
}

/* which are ELF32 files of x86-64 */
ROUNDTRIP(memory_and_core_dump)
{
	pid_t pid = x32_subject("memory");

	event_wait("checked");
	core_must_be(pid, ELFCLASS32, EM_X86_64);
}

TEST_HARNESS_MAIN
