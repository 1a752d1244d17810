// SPDX-License-Identifier: GPL-2.0
/*
 * Dispatch of system calls to user mode (PR_SET_SYSCALL_USER_DISPATCH): of each thread its range, its selector, or none.
 * The C library's calls are let through, so that the program can work; those made here are what is caught.
 *
 * crk-test: abi=x86_64
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH	2	/* si_code */
#endif
#ifndef PR_SYS_DISPATCH_INCLUSIVE_ON
#define PR_SYS_DISPATCH_INCLUSIVE_ON 2
#endif

static volatile char selector;
static volatile int nr_caught, caught_code, caught_nr;
static void *volatile caught_at;

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	nr_caught++;
	caught_code = info->si_code;
	caught_nr = info->si_syscall;
	caught_at = info->si_call_addr;
}

/* getpid() from here; its number if it was caught */
extern const char own_call[], own_call_end[];
asm(".text\n.globl own_call, own_call_end\nown_call:\nmov $39, %eax\nsyscall\nown_call_end:\nret\n");

static long own_getpid(void)
{
	return ((long (*)(void))own_call)();
}

static void must_be_caught(void)
{
	nr_caught = 0;
	MUST_EQ(own_getpid(), SYS_getpid);
	MUST_EQ(nr_caught, 1);
	MUST_EQ(caught_code, SYS_USER_DISPATCH);
	MUST_EQ(caught_nr, SYS_getpid);
	MUST(caught_at == own_call_end);
}

static void must_pass(void)
{
	nr_caught = 0;
	MUST_EQ(own_getpid(), getpid());
	MUST_EQ(nr_caught, 0);
}

/* the text of the C library, with its sigreturn */
static void libc_range(unsigned long *start, unsigned long *len)
{
	char *maps = file_text("/proc/self/maps"), *line;
	unsigned long end;

	for (line = strtok(maps, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, "libc") && strstr(line, " r-xp "))
			break;
	MUST(line && sscanf(line, "%lx-%lx", start, &end) == 2);
	*len = end - *start;
	free(maps);
}

static void dispatch(unsigned long mode, unsigned long start, unsigned long len, volatile char *byte)
{
	struct sigaction sa = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };

	MUST(!sigaction(SIGSYS, &sa, NULL));
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, mode, start, len, byte))
		subject_skip("no dispatch of system calls of kind %lu", mode);
}

static void dispatch_own(volatile char *byte)
{
	unsigned long start, len;

	libc_range(&start, &len);
	dispatch(PR_SYS_DISPATCH_ON, start, len, byte);
}

/* dumped when the selector says that calls are caught: the one it sleeps in is not */
ROUNDTRIP(by_selector)
{
	dispatch_own(&selector);
	must_pass();
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	must_be_caught();
	checkpoint_here();
	must_be_caught();
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	must_pass();
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	must_be_caught();
	MUST(!prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0UL, 0UL, 0UL));
	must_pass();
}

ROUNDTRIP(without_selector)
{
	dispatch_own(NULL);
	checkpoint_here();
	must_be_caught();
}

/* newer kernels: calls from a range are caught, all others are let through */
ROUNDTRIP(of_a_range)
{
	dispatch(PR_SYS_DISPATCH_INCLUSIVE_ON, (unsigned long)own_call, own_call_end - own_call + 1, NULL);
	must_be_caught();
	checkpoint_here();
	must_be_caught();
}

/* it is handed on by no fork and no clone: each has its own */
static void *other_thread(void *arg)
{
	must_pass();
	event_set("up");
	event_wait("go");
	must_pass();
	return arg;
}

ROUNDTRIP(of_each_thread)
{
	pthread_t thread;
	pid_t pid;

	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	dispatch_own(&selector);
	MUST(!pthread_create(&thread, NULL, other_thread, NULL));
	event_wait("up");
	pid = fork_child();
	if (!pid) {
		event_wait("go");
		must_pass();
		_exit(0);
	}
	checkpoint_here();
	must_be_caught();
	event_set("go");
	MUST(!pthread_join(thread, NULL));
	reap(pid);
}

TEST_HARNESS_MAIN
