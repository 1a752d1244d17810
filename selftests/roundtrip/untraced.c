// SPDX-License-Identifier: GPL-2.0
/*
 * A tracee whose tracer is outside of the dump: wherever it is held, it is dumped, the tracer is named, and the copy goes
 * on without one; it does once what it was about to do.  The live one stays with its tracer (requirement 2.4).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"
#include "tracer.h"

#define SAID	.outsiders = true, .said = "which is not in the dump: its copy is not traced"

static int fds[2];

/* ---- the tracer: no child of the subject, and in another cgroup ---- */

static bool held = true;
static int let_go_with;		/* the signal that the tracee gets with it */
static pid_t newborn;		/* a second tracee */

static void leave_cgroup(void)
{
	int fd = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY);

	MUST(fd >= 0 && write(fd, "0", 1) == 1);
	close(fd);
}

static void interrupt(pid_t pid)
{
	trace(PTRACE_INTERRUPT, pid, 0, 0);
	must_wait(pid, STOP_STATUS(SIGTRAP));
}

static void tracer_main(pid_t pid, void (*hold)(pid_t pid))
{
	setsid();
	leave_cgroup();
	trace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK);
	hold(pid);
	event_set("held");
	while (!event_is_set("let.go")) {
		siginfo_t info = {};

		/* the dump ended it */
		if (!waitid(P_PID, pid, &info, WEXITED | WNOHANG | __WALL) && info.si_pid)
			goto out;
		nap();
	}
	if (!held)
		interrupt(pid);
	trace(PTRACE_DETACH, pid, 0, let_go_with);
	if (newborn)
		trace(PTRACE_DETACH, newborn, 0, 0);
out:
	if (newborn)
		waitpid(newborn, NULL, __WALL);
	_exit(0);
}

static void hold_from_outside(pid_t pid, void (*hold)(pid_t pid))
{
	pid_t between = fork();

	MUST(between >= 0);
	if (!between) {
		if (!fork())
			tracer_main(pid, hold);
		_exit(0);
	}
	reap(between);
	event_wait("held");
}

static long tracer_of(pid_t pid)
{
	char *text = file_text("/proc/%d/status", pid), *line = text_line(text, "TracerPid:");
	long ret = strtol(line + strlen("TracerPid:"), NULL, 10);

	free(line);
	free(text);
	return ret;
}

static void checkpoint_and_let_go(pid_t pid)
{
	long tracer = tracer_of(pid);

	MUST(tracer);
	checkpoint_here();
	MUST_EQ(tracer_of(pid), is_left_running() ? tracer : 0);
	event_set("let.go");
	WAIT_FOR(!tracer_of(pid));
}

/* ---- where they hold their tracees ---- */

static void nowhere(pid_t pid)
{
	(void)pid;
	held = false;
}

static void at_signal(pid_t pid)
{
	let_go_with = SIGUSR1;
	MUST(!kill(pid, SIGUSR1));
	must_wait(pid, SIGNAL_STATUS(SIGUSR1));
}

static void in_group_stop(pid_t pid)
{
	MUST(!kill(pid, SIGSTOP));
	must_wait(pid, SIGNAL_STATUS(SIGSTOP));
	trace(PTRACE_CONT, pid, 0, SIGSTOP);
	must_wait(pid, STOP_STATUS(SIGSTOP));
}

/* where it is about to write to the pipe */
static void at_entry(pid_t pid)
{
	struct __ptrace_syscall_info info = {};

	interrupt(pid);
	event_set("go");
	while (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_write || (int)info.entry.args[0] != fds[1]) {
		trace(PTRACE_SYSCALL, pid, 0, 0);
		must_wait(pid, SYSCALL_STATUS);
		trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), (unsigned long)&info);
	}
}

static void at_exit_of_call(pid_t pid)
{
	at_entry(pid);
	trace(PTRACE_SYSCALL, pid, 0, 0);
	must_wait(pid, SYSCALL_STATUS);
}

static void at_fork(pid_t pid)
{
	unsigned long message = 0;

	event_set("go");
	must_wait(pid, EVENT_STATUS(PTRACE_EVENT_FORK));
	trace(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&message);
	newborn = message;
	must_wait(newborn, STOP_STATUS(SIGTRAP));
}

/* ---- the tracees ---- */

static void on_usr1(int signo)
{
	(void)signo;
	_exit(7);
}

static pid_t sleeper(void)
{
	pid_t pid = fork_child();

	if (!pid) {
		signal(SIGUSR1, on_usr1);
		event_set("asleep");
		for (;;)
			pause();
	}
	event_wait("asleep");
	return pid;
}

static pid_t writer(void)
{
	pid_t pid;

	MUST(!pipe(fds));
	pid = fork_child();
	if (!pid) {
		event_wait("go");
		_exit(syscall(SYS_write, fds[1], "x", 1) == 1 ? 7 : 1);
	}
	return pid;
}

static pid_t forker(void)
{
	pid_t pid = fork_child(), child;
	int status;

	if (pid)
		return pid;
	event_wait("go");
	child = fork();
	if (!child)
		_exit(6);
	_exit(waitpid(child, &status, 0) == child && status == 6 << 8 ? 7 : 1);
}

static void must_give_7(pid_t pid)
{
	must_wait(pid, 7 << 8);
}

ROUNDTRIP(seized, SAID)
{
	pid_t pid = sleeper();

	hold_from_outside(pid, nowhere);
	checkpoint_and_let_go(pid);
	MUST(!kill(pid, SIGUSR1));
	must_give_7(pid);
}

ROUNDTRIP(interrupted, SAID)
{
	pid_t pid = sleeper();

	hold_from_outside(pid, interrupt);
	checkpoint_and_let_go(pid);
	MUST(!kill(pid, SIGUSR1));
	must_give_7(pid);
}

/* the copy gets the signal that the tracer had not yet decided about */
ROUNDTRIP(signal_given, SAID)
{
	pid_t pid = sleeper();

	hold_from_outside(pid, at_signal);
	checkpoint_and_let_go(pid);
	must_give_7(pid);
}

ROUNDTRIP(group_stop, SAID)
{
	pid_t pid = sleeper();
	siginfo_t info = {};

	hold_from_outside(pid, in_group_stop);
	MUST(!waitid(P_PID, pid, &info, WSTOPPED));
	checkpoint_and_let_go(pid);
	MUST(!kill(pid, SIGUSR1));
	info.si_pid = 0;
	MUST(!waitid(P_PID, pid, &info, WEXITED | WNOHANG) && !info.si_pid);
	MUST(!kill(pid, SIGCONT));
	must_give_7(pid);
}

/* on ARM a register is hidden there, see arch/arm/README */
#ifdef __arm__
#define AT_SYSCALL(name)	REFUSED(name, "hides a register")
#else
#define AT_SYSCALL(name)	ROUNDTRIP(name, SAID)
#endif

AT_SYSCALL(syscall_entry)
{
	pid_t pid = writer();

	hold_from_outside(pid, at_entry);
	MUST(is_empty(fds[0]));
	checkpoint_and_let_go(pid);
	must_give_7(pid);
	MUST(text_is(fds[0], "x") && is_empty(fds[0]));
}

AT_SYSCALL(syscall_exit)
{
	pid_t pid = writer();

	hold_from_outside(pid, at_exit_of_call);
	checkpoint_and_let_go(pid);
	must_give_7(pid);
	MUST(text_is(fds[0], "x") && is_empty(fds[0]));
}

ROUNDTRIP(event_fork, SAID)
{
	pid_t pid = forker();

	hold_from_outside(pid, at_fork);
	checkpoint_and_let_go(pid);
	must_give_7(pid);
}

ROUNDTRIP(refused_if_asked, .outsiders = true, .refused = "--refuse-traced was given", .dump_args = "--refuse-traced")
{
	pid_t pid = sleeper();
	long tracer;

	hold_from_outside(pid, at_signal);
	tracer = tracer_of(pid);
	checkpoint_here();
	MUST(tracer && tracer_of(pid) == tracer);
	event_set("let.go");
	must_give_7(pid);
}

TEST_HARNESS_MAIN
