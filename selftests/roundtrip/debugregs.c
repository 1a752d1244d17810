// SPDX-License-Identifier: GPL-2.0
/*
 * Hardware breakpoints, which a tracer has set for a thread: after the restore it runs into them, its tracer sees which
 * one it was, and can change them.  Also those that a tracer left behind.
 *
 * crk-test: abi=x86_64
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"
#include "tracer.h"

/* DR7 for breakpoint @nr: stops at execution, or at writes of 4 bytes */
#define AT_EXEC(nr)	(1UL << (2 * (nr)))
#define AT_WRITE(nr)	(AT_EXEC(nr) | 0xdUL << (16 + 4 * (nr)))

static volatile int watched, other;
static volatile int nr_traps, trap_code;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	nr_traps++;
	trap_code = info->si_code;
}

__attribute__((noinline)) static void stop_here(void)
{
	asm volatile("nop");
}

static void debugreg_set(pid_t pid, int nr, unsigned long value)
{
	trace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[nr]), value);
}

static unsigned long debugreg(pid_t pid, int nr)
{
	unsigned long value;

	trace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg[nr]), (unsigned long)&value);
	return value;
}

/* it runs into breakpoint @nr */
static void must_hit(pid_t pid, int nr)
{
	siginfo_t info;

	must_wait(pid, SIGNAL_STATUS(SIGTRAP));
	trace(PTRACE_GETSIGINFO, pid, 0, (unsigned long)&info);
	MUST_EQ(info.si_code, TRAP_HWBKPT);
	MUST_EQ(debugreg(pid, 6) & 0xf, 1 << nr);
}

static unsigned long ip_of(pid_t pid)
{
	struct user_regs_struct regs;

	trace(PTRACE_GETREGS, pid, 0, (unsigned long)&regs);
	return regs.rip;
}

static void write_on_go(void)
{
	event_wait("go");
	other = 1;
	watched = 2;
	other = 3;
	watched = 4;
}

ROUNDTRIP(watchpoint)
{
	pid_t pid = tracee_held(NULL, write_on_go);
	long word;

	debugreg_set(pid, 2, (unsigned long)&watched);
	debugreg_set(pid, 7, AT_WRITE(2));
	trace(PTRACE_CONT, pid, 0, 0);
	checkpoint_here();
	event_set("go");
	must_hit(pid, 2);
	trace(PTRACE_PEEKDATA, pid, (unsigned long)&watched, (unsigned long)&word);
	MUST_EQ((int)word, 2);
	MUST_EQ(debugreg(pid, 2), &watched);
	MUST_EQ(debugreg(pid, 7), AT_WRITE(2));
	/* twice, and not when it is switched off */
	debugreg_set(pid, 6, 0);
	trace(PTRACE_CONT, pid, 0, 0);
	must_hit(pid, 2);
	debugreg_set(pid, 7, 0);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 0);
}

static void run_twice(void)
{
	stop_here();
	stop_here();
}

/* held there: the tracer has been told, but has not looked yet */
ROUNDTRIP(held_at_breakpoint)
{
	pid_t pid = tracee_held(NULL, run_twice);

	debugreg_set(pid, 0, (unsigned long)stop_here);
	debugreg_set(pid, 3, (unsigned long)&watched);
	debugreg_set(pid, 7, AT_EXEC(0) | AT_WRITE(3));
	trace(PTRACE_CONT, pid, 0, 0);
	must_hit(pid, 0);
	checkpoint_here();
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	MUST_EQ(debugreg(pid, 6) & 0xf, 1);
	MUST_EQ(debugreg(pid, 0), stop_here);
	MUST_EQ(debugreg(pid, 1), 0);
	MUST_EQ(debugreg(pid, 3), &watched);
	MUST_EQ(debugreg(pid, 7), AT_EXEC(0) | AT_WRITE(3));
	MUST_EQ(ip_of(pid), stop_here);
	debugreg_set(pid, 6, 0);
	trace(PTRACE_CONT, pid, 0, 0);
	must_hit(pid, 0);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 0);
}

/* an address that is not in use yet */
ROUNDTRIP(switched_off)
{
	pid_t pid = tracee_held(NULL, write_on_go);

	debugreg_set(pid, 1, (unsigned long)&watched);
	checkpoint_here();
	MUST_EQ(debugreg(pid, 1), &watched);
	MUST_EQ(debugreg(pid, 7), 0);
	debugreg_set(pid, 7, AT_WRITE(1));
	trace(PTRACE_CONT, pid, 0, 0);
	event_set("go");
	must_hit(pid, 1);
	debugreg_set(pid, 7, 0);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 0);
}

static void catch_on_go(void)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	MUST(!sigaction(SIGTRAP, &sa, NULL));
	event_set("up");
	event_wait("go");
	MUST_EQ(nr_traps, 0);
	watched = 1;
	MUST_EQ(nr_traps, 1);
	MUST_EQ(trap_code, TRAP_HWBKPT);
}

/* nobody traces it any more: it gets the signal itself */
ROUNDTRIP(left_behind)
{
	pid_t pid = tracee_held(NULL, catch_on_go);

	debugreg_set(pid, 0, (unsigned long)&watched);
	debugreg_set(pid, 7, AT_WRITE(0));
	trace(PTRACE_DETACH, pid, 0, 0);
	event_wait("up");
	checkpoint_here();
	event_set("go");
	reap(pid);
}

static int tid_pipe[2];

static void *write_in_thread(void *arg)
{
	pid_t tid = syscall(SYS_gettid);

	MUST_EQ(write(tid_pipe[1], &tid, sizeof(tid)), sizeof(tid));
	write_on_go();
	return arg;
}

static void write_in_both(void)
{
	pthread_t thread;

	MUST(!pthread_create(&thread, NULL, write_in_thread, NULL));
	event_wait("go leader");
	watched = 1;
	event_set("leader wrote");
	pthread_join(thread, NULL);
}

/* the same address, watched in one thread only */
ROUNDTRIP(of_one_thread)
{
	pid_t pid, tid;

	MUST(!pipe(tid_pipe));
	pid = fork_child();
	if (!pid) {
		write_in_both();
		_exit(0);
	}
	MUST_EQ(read(tid_pipe[0], &tid, sizeof(tid)), sizeof(tid));
	trace(PTRACE_SEIZE, tid, 0, 0);
	trace(PTRACE_INTERRUPT, tid, 0, 0);
	must_wait(tid, STOP_STATUS(SIGTRAP));
	debugreg_set(tid, 0, (unsigned long)&watched);
	debugreg_set(tid, 7, AT_WRITE(0));
	trace(PTRACE_CONT, tid, 0, 0);
	checkpoint_here();
	event_set("go leader");
	event_wait("leader wrote");
	MUST_EQ(waitpid(tid, NULL, WNOHANG | __WALL), 0);
	event_set("go");
	must_hit(tid, 0);
	debugreg_set(tid, 7, 0);
	trace(PTRACE_CONT, tid, 0, 0);
	must_wait(tid, 0);
	reap(pid);
}

TEST_HARNESS_MAIN
