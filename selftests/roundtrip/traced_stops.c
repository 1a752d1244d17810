// SPDX-License-Identifier: GPL-2.0
/*
 * Tracees that are held for another reason than a signal or a system call of theirs: at an event, at the stop of their
 * process, because their tracer interrupted them (requirement 2.4).
 */
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"
#include "tracer.h"

/* ---- events ---- */

#define ALL_EVENTS (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORKDONE | \
		    PTRACE_O_TRACEEXEC)

static void child_or_wait(pid_t pid)
{
	int status;

	if (!pid)
		_exit(3);
	if (waitpid(pid, &status, 0) != pid)
		_exit(98);
	_exit(WEXITSTATUS(status) + 1);
}

static void fork_and_wait(void)
{
	child_or_wait(fork());
}

static void vfork_and_wait(void)
{
	pid_t pid = vfork();

	child_or_wait(pid);
}

static void *thread_fn(void *arg)
{
	return arg;
}

static void make_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_fn, NULL))
		_exit(98);
	pthread_join(thread, NULL);
	_exit(4);
}

static void exec_self(void)
{
	execl("/proc/self/exe", "test", "--subject", "there is none", NULL);
	_exit(98);
}

static void event_roundtrip(void (*body)(void), int event, int code)
{
	pid_t pid = tracee_of(body, ALL_EVENTS, PTRACE_CONT);
	unsigned long child;
	int status;

	/* a zombie that only its tracer knows of can't be dumped */
	if (event != PTRACE_EVENT_VFORK_DONE) {
		wait_alone(pid, EVENT_STATUS(event), PTRACE_CONT);
	} else {
		wait_for(pid, EVENT_STATUS(event), PTRACE_CONT);
		trace(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&child);
		while (waitpid(child, &status, __WALL) == (pid_t)child && WIFSTOPPED(status))
			trace(PTRACE_CONT, child, 0, 0);
	}
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	wait_for(pid, code << 8, PTRACE_CONT);
}

ROUNDTRIP(event_fork)
{
	event_roundtrip(fork_and_wait, PTRACE_EVENT_FORK, 4);
}

ROUNDTRIP(event_vfork)
{
	event_roundtrip(vfork_and_wait, PTRACE_EVENT_VFORK, 4);
}

ROUNDTRIP(event_vfork_done)
{
	event_roundtrip(vfork_and_wait, PTRACE_EVENT_VFORK_DONE, 4);
}

ROUNDTRIP(event_clone)
{
	event_roundtrip(make_thread, PTRACE_EVENT_CLONE, 4);
}

ROUNDTRIP(event_exec)
{
	event_roundtrip(exec_self, PTRACE_EVENT_EXEC, 99);
}

/* with system calls traced too: the end of the fork is reported after the event */
ROUNDTRIP(event_then_exit)
{
	pid_t pid = tracee_of(fork_and_wait, PTRACE_O_TRACEFORK, PTRACE_SYSCALL);
	struct view v;

	wait_alone(pid, EVENT_STATUS(PTRACE_EVENT_FORK), PTRACE_SYSCALL);
	checkpoint_held(pid);
	trace(PTRACE_SYSCALL, pid, 0, 0);
	wait_for(pid, SYSCALL_STATUS, PTRACE_CONT);
	view_get(pid, &v);
	MUST_EQ(v.call.op, PTRACE_SYSCALL_INFO_EXIT);
	MUST(v.call.exit.rval > 0);
	trace(PTRACE_CONT, pid, 0, 0);
	wait_for(pid, 4 << 8, PTRACE_CONT);
}

/* the options are there: the event comes */
ROUNDTRIP(options)
{
	pid_t pid = tracee_of(raise_usr1, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL, PTRACE_CONT);
	unsigned long code;

	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, SIGUSR1);
	must_wait(pid, EVENT_STATUS(PTRACE_EVENT_EXIT));
	trace(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&code);
	MUST_EQ(code, 1 << 8);
	trace(PTRACE_CONT, pid, 0, 0);
	must_wait(pid, 1 << 8);
}

/* ---- seized, stopped ---- */

static void wait_for_term(void)
{
	for (;;)
		pause();
}

static pid_t seized(void)
{
	pid_t pid = fork_child();

	if (!pid) {
		event_set("up");
		wait_for_term();
	}
	event_wait("up");
	trace(PTRACE_SEIZE, pid, 0, 0);
	return pid;
}

ROUNDTRIP(interrupted)
{
	pid_t pid = seized();

	trace(PTRACE_INTERRUPT, pid, 0, 0);
	must_wait(pid, STOP_STATUS(SIGTRAP));
	checkpoint_held(pid);
	trace(PTRACE_CONT, pid, 0, 0);
	trace(PTRACE_INTERRUPT, pid, 0, 0);		/* only one that was seized can be interrupted */
	must_wait(pid, STOP_STATUS(SIGTRAP));
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}

/* held at the stop of its process, which goes on while the tracer listens */
static pid_t seized_and_stopped(void)
{
	pid_t pid = seized();

	MUST(!kill(pid, SIGTSTP));
	must_wait(pid, SIGNAL_STATUS(SIGTSTP));
	trace(PTRACE_CONT, pid, 0, SIGSTOP);
	must_wait(pid, STOP_STATUS(SIGSTOP));
	return pid;
}

ROUNDTRIP(group_stop)
{
	pid_t pid = seized_and_stopped();

	checkpoint_held(pid);
	trace(PTRACE_LISTEN, pid, 0, 0);
	MUST(!kill(pid, SIGCONT));
	must_wait(pid, STOP_STATUS(SIGTRAP));
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}

ROUNDTRIP(listening)
{
	pid_t pid = seized_and_stopped();

	trace(PTRACE_LISTEN, pid, 0, 0);
	checkpoint_here();
	must_be_traced(pid);
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	MUST(!kill(pid, SIGCONT));
	must_wait(pid, STOP_STATUS(SIGTRAP));
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}

/* the older way: no siginfo tells what it is */
ROUNDTRIP(group_stop_attached)
{
	pid_t pid = tracee_of(wait_for_term, 0, PTRACE_CONT);
	siginfo_t info;

	MUST(!kill(pid, SIGSTOP));
	must_wait(pid, SIGNAL_STATUS(SIGSTOP));
	trace(PTRACE_CONT, pid, 0, SIGSTOP);
	must_wait(pid, SIGNAL_STATUS(SIGSTOP));
	MUST(syscall(SYS_ptrace, PTRACE_GETSIGINFO, pid, 0, &info) && errno == EINVAL);
	checkpoint_here();
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	must_be_traced(pid);
	MUST(syscall(SYS_ptrace, PTRACE_GETSIGINFO, pid, 0, &info) && errno == EINVAL);
	MUST(!kill(pid, SIGKILL));
	must_wait(pid, SIGKILL);
}

TEST_HARNESS_MAIN
