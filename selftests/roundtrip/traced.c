// SPDX-License-Identifier: GPL-2.0
/*
 * Tracer and tracee in one tree: wherever the tracer holds its tracee, it holds it there afterwards, sees the same
 * there, is told of no stop twice, and can go on (requirement 2.4).
 */
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"
#include "tracer.h"

/* ---- signals ---- */

ROUNDTRIP(signal_given)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
}

ROUNDTRIP(signal_withheld)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 0);
}

ROUNDTRIP(not_waited_for)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);
	siginfo_t info;

	MUST(!waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT | __WALL));
	checkpoint_here();
	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
}

static int order[3];
static volatile int nr_order;

static void on_any(int sig)
{
	order[nr_order++] = sig;
}

/* the one it is held with is neither the lowest nor the last: others are pending for thread and process */
static void raise_three(void)
{
	sigset_t set;

	signal(SIGHUP, on_any);
	signal(SIGUSR2, on_any);
	signal(SIGTERM, on_any);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR2);
	sigemptyset(&set);
	sigsuspend(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	_exit(nr_order == 3 && order[0] + order[1] + order[2] == SIGUSR2 + SIGHUP + SIGTERM ? 7 : 8);
}

ROUNDTRIP(others_pending)
{
	pid_t pid = tracee_of(raise_three, 0, PTRACE_CONT);
	int status, nr = 1;

	must_wait(pid, SIGNAL_STATUS(SIGUSR2));
	MUST(!kill(pid, SIGHUP));
	MUST(!syscall(SYS_tgkill, pid, pid, SIGTERM));
#ifdef __arm__		/* its call has ended already when it is held again: arch/arm/README */
	checkpoint_here();
	must_be_traced(pid);
#else
	checkpoint_held(pid);
#endif
	trace(PTRACE_CONT, pid, 0, SIGUSR2);
	for (; waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status); nr++)
		trace(PTRACE_CONT, pid, 0, WSTOPSIG(status));
	MUST_EQ(nr, 3);
	MUST_EQ(status, 7 << 8);
}

static void breakpoint(void)
{
#ifdef __thumb__
	asm volatile(".inst.n 0xde01");
#elif defined(__arm__)
	asm volatile(".inst 0xe7f001f0");
#else
	asm volatile("int3");
#endif
	_exit(5);
}

/* where the CPU has not gone on by itself */
static void breakpoint_pass(pid_t pid)
{
#ifdef __arm__
	struct user_regs regs;

	trace(PTRACE_GETREGS, pid, 0, (unsigned long)&regs);
	regs.uregs[15] += regs.uregs[16] & 0x20 ? 2 : 4;
	trace(PTRACE_SETREGS, pid, 0, (unsigned long)&regs);
#endif
}

ROUNDTRIP(at_breakpoint)
{
	pid_t pid = tracee_of(breakpoint, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGTRAP));
	checkpoint_held(pid);
	breakpoint_pass(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 5 << 8);
}

/* a debugger of ARM programs sets breakpoints instead */
#ifndef __arm__
static void count_up(void)
{
	volatile unsigned int i;

	for (i = 0; i < 1000000000; i++)
		;
}

ROUNDTRIP(stepping)
{
	pid_t pid = tracee_of(count_up, 0, PTRACE_SINGLESTEP);
	struct view before, after;
	int i;

	must_wait(pid, SIGNAL_STATUS(SIGTRAP));
	checkpoint_held(pid);
	view_get(pid, &before);
	for (i = 0; i < 100; i++) {
		trace(PTRACE_SINGLESTEP, pid, 0, 0);
		must_wait(pid, SIGNAL_STATUS(SIGTRAP));
		view_get(pid, &after);
		MUST(after.call.instruction_pointer != before.call.instruction_pointer);
		before = after;
	}
	checkpoint_held(pid);
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}
#endif

/* ---- system calls ---- */

static int to_read[2];

static void read_byte(void)
{
	char c = 0;

	if (syscall(SYS_read, to_read[0], &c, 1) != 1)
		_exit(99);
	_exit(c);
}

/* at the entry of read() */
static pid_t tracee_at_read(void)
{
	struct view v;
	pid_t pid;

	MUST(!pipe(to_read));
	pid = tracee_of(read_byte, 0, PTRACE_SYSCALL);
	for (;;) {
		must_wait(pid, SYSCALL_STATUS);
		view_get(pid, &v);
		if (v.call.op == PTRACE_SYSCALL_INFO_ENTRY && v.call.entry.nr == SYS_read)
			return pid;
		trace(PTRACE_SYSCALL, pid, 0, 0);
	}
}

static void ends_with_read(pid_t pid, char byte)
{
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, byte << 8);
}

/* there the kernel hides a register of the thread even from its tracer */
#ifdef __arm__
#define AT_SYSCALL(name)	REFUSED(name, "hides a register")
#else
#define AT_SYSCALL(name)	ROUNDTRIP(name)
#endif

AT_SYSCALL(syscall_entry)
{
	pid_t pid = tracee_at_read();
	struct view v;

	checkpoint_held(pid);
	MUST_EQ(write(to_read[1], "a", 1), 1);
	trace(PTRACE_SYSCALL, pid, 0, 0);
	must_wait(pid, SYSCALL_STATUS);
	view_get(pid, &v);
	MUST_EQ(v.call.op, PTRACE_SYSCALL_INFO_EXIT);
	MUST_EQ(v.call.exit.rval, 1);
	ends_with_read(pid, 'a');
}

AT_SYSCALL(syscall_exit)
{
	pid_t pid = tracee_at_read();

	MUST_EQ(write(to_read[1], "bc", 2), 2);
	trace(PTRACE_SYSCALL, pid, 0, 0);
	must_wait(pid, SYSCALL_STATUS);
	checkpoint_held(pid);
	ends_with_read(pid, 'b');
}

/* the freeze interrupts the call, and so the tracer sees it end and begin again */
AT_SYSCALL(asleep_in_syscall)
{
	pid_t pid = tracee_at_read();
	struct view v;
	int ends = 0;

	trace(PTRACE_SYSCALL, pid, 0, 0);
	nap();
	checkpoint_here();
	must_be_traced(pid);
	MUST_EQ(write(to_read[1], "d", 1), 1);
	for (;;) {
		must_wait(pid, SYSCALL_STATUS);
		view_get(pid, &v);
		if (v.call.op == PTRACE_SYSCALL_INFO_EXIT) {
			ends++;
			if (!v.call.exit.is_error)
				break;
			MUST_EQ(v.call.exit.rval, -512);	/* ERESTARTSYS */
		} else {
			MUST_EQ(v.call.entry.nr, SYS_read);
		}
		trace(PTRACE_SYSCALL, pid, 0, 0);
	}
	MUST(ends >= 1);
	ends_with_read(pid, 'd');
}

ROUNDTRIP(asleep_without_stops)
{
	pid_t pid = tracee_at_read();

	trace(PTRACE_CONT, pid, 0, 0);
	nap();
	checkpoint_here();
	must_be_traced(pid);
	MUST_EQ(write(to_read[1], "e", 1), 1);
	must_wait(pid, 'e' << 8);
}

/* ---- who traces whom ---- */

static void *tracing_thread(void *arg)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	event_set("held");
	event_wait("go");
	must_be_traced(pid);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
	return arg;
}

ROUNDTRIP(by_a_thread)
{
	pthread_t thread;

	MUST(!pthread_create(&thread, NULL, tracing_thread, NULL));
	event_wait("held");
	checkpoint_here();
	event_set("go");
	MUST(!pthread_join(thread, NULL));
}

static void *raising_thread(void *arg)
{
	raise(SIGUSR1);
	return arg;
}

static void raise_in_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, raising_thread, NULL) || pthread_join(thread, NULL))
		_exit(98);
	_exit(nr_usr1);
}

/* one thread held, the other asleep in the kernel, both traced */
ROUNDTRIP(threads)
{
	pid_t pid = tracee_of(raise_in_thread, PTRACE_O_TRACECLONE, PTRACE_CONT), tid = 0, got;
	bool told = false;
	int status;

	/* the new thread may be there before the one that made it has come to its event */
	while (!tid || !told) {
		got = waitpid(-1, &status, __WALL);
		MUST(got > 0 && WIFSTOPPED(status));
		told |= got == pid && status == EVENT_STATUS(PTRACE_EVENT_CLONE);
		if (got != pid && status == SIGNAL_STATUS(SIGUSR1))
			tid = got;
		else
			trace(PTRACE_CONT, got, 0, 0);
	}
	checkpoint_held(tid);
	must_be_traced(pid);
	trace(PTRACE_CONT, tid, 0, SIGUSR1);
	/* it may be overtaken by the exit of all */
	MUST_EQ(waitpid(tid, &status, __WALL), tid);
	MUST(WIFEXITED(status));
	must_wait(pid, 1 << 8);
}

/* is traced itself, in a system call of its own, while it holds another */
static void trace_another(void)
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	raise(SIGUSR2);
	must_be_traced(pid);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
	_exit(6);
}

ROUNDTRIP(tracer_is_held)
{
	pid_t pid = tracee_of(trace_another, 0, PTRACE_CONT);

	wait_for(pid, SIGNAL_STATUS(SIGUSR2), PTRACE_CONT);
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	wait_for(pid, 6 << 8, PTRACE_CONT);
}

/* a zombie whose parent has not been told, since its tracer has not waited */
ROUNDTRIP(zombie_of_another, .refused = "its tracer, pid ")
{
	pid_t child = fork_child(), tracer;
	siginfo_t info;

	if (!child) {
		event_wait("traced");
		_exit(2);
	}
	tracer = fork_child();
	if (!tracer) {
		trace(PTRACE_SEIZE, child, 0, 0);
		event_set("traced");
		MUST(!waitid(P_PID, child, &info, WEXITED | WNOWAIT | __WALL));
		event_set("dead");
		event_wait("go");
		must_wait(child, 2 << 8);
		_exit(0);
	}
	event_wait("dead");
	checkpoint_here();
	event_set("go");
	must_wait(tracer, 0);
	must_wait(child, 2 << 8);
}

ROUNDTRIP(refused_if_asked, .refused = "--refuse-traced", .dump_args = "--refuse-traced")
{
	pid_t pid = tracee_of(raise_usr1, 0, PTRACE_CONT);

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	checkpoint_here();
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, 1 << 8);
}

TEST_HARNESS_MAIN
