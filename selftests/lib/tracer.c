// SPDX-License-Identifier: GPL-2.0
/* See tracer.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECKPOINT_LIB
#include "checkpoint.h"
#include "tracer.h"

long trace(long request, pid_t pid, unsigned long addr, unsigned long data)
{
	long ret;

	errno = 0;
	ret = syscall(SYS_ptrace, request, pid, addr, data);
	if (ret < 0)
		subject_fail(__FILE__, __LINE__, "ptrace", errno);
	return ret;
}

void must_wait(pid_t pid, int want)
{
	int status;

	MUST_EQ(waitpid(pid, &status, __WALL), pid);
	MUST_EQ(status, want);
}

pid_t tracee_held(void (*init)(void), void (*body)(void))
{
	pid_t pid = fork_child();

	if (!pid) {
		trace(PTRACE_TRACEME, 0, 0, 0);
		if (init)
			init();
		raise(SIGSTOP);
		body();
		_exit(0);
	}
	must_wait(pid, SIGNAL_STATUS(SIGSTOP));
	return pid;
}

static volatile sig_atomic_t nr_sigchld;
volatile sig_atomic_t nr_usr1;

static volatile pid_t held;

static void on_sigchld(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	nr_sigchld += info->si_pid == held;
}

static void on_usr1(int sig)
{
	(void)sig;
	nr_usr1++;
}

static void catch_usr1(void)
{
	signal(SIGUSR1, on_usr1);
}

pid_t tracee_of(void (*body)(void), unsigned long options, long request)
{
	pid_t pid = tracee_held(catch_usr1, body);

	trace(PTRACE_SETOPTIONS, pid, 0, options | PTRACE_O_TRACESYSGOOD);
	trace(request, pid, 0, 0);
	return pid;
}

void view_get(pid_t pid, struct view *v)
{
	memset(v, 0, sizeof(*v));
	trace(PTRACE_GETREGS, pid, 0, (unsigned long)&v->regs);
#ifndef __arm__
	v->regs.eflags |= 2;		/* is always set in user mode; exec leaves it out */
#endif
	trace(PTRACE_GETSIGINFO, pid, 0, (unsigned long)&v->info);
	trace(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&v->message);
	trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(v->call), (unsigned long)&v->call);
#ifndef __arm__
	/* RF: the page with the call was not there yet when it was made again; nothing takes it from there */
	if (v->call.op)
		v->regs.eflags &= ~0x10000UL;
#endif
}

void raise_usr1(void)
{
	raise(SIGUSR1);
	_exit(nr_usr1);
}

void must_be_traced(pid_t pid)
{
	char want[32], *text = file_text("/proc/%d/status", pid), *line = text_line(text, "TracerPid:");

	snprintf(want, sizeof(want), "TracerPid:\t%d", (int)syscall(SYS_gettid));
	MUST_STR(line, want);
	free(text);
	free(line);
}

void checkpoint_held(pid_t pid)
{
	struct sigaction sa = { .sa_sigaction = on_sigchld, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct view before, after;
	size_t i;
	int told;

	held = pid;
	MUST(!sigaction(SIGCHLD, &sa, NULL));
	view_get(pid, &before);
	told = nr_sigchld;
	checkpoint_here();
	MUST_EQ(waitpid(pid, NULL, WNOHANG | __WALL), 0);
	MUST_EQ(nr_sigchld, told);
	must_be_traced(pid);
	view_get(pid, &after);
	for (i = 0; i < sizeof(before.regs) / sizeof(long); i++)
		MUST_EQ(((const long *)&after.regs)[i], ((const long *)&before.regs)[i]);
	MUST(!memcmp(&before.info, &after.info, sizeof(before.info)));
	MUST(!memcmp(&before.call, &after.call, sizeof(before.call)));
	MUST_EQ(before.message, after.message);
	MUST(!sigaction(SIGCHLD, NULL, &sa));
	MUST(sa.sa_sigaction == on_sigchld && !(sa.sa_flags & SA_NOCLDSTOP));
}

/* lets those of @whom (as for waitpid) that report go on until @pid is at @want */
static void wait_among(pid_t whom, pid_t pid, int want, long request)
{
	int status;
	pid_t got;

	for (;;) {
		got = waitpid(whom, &status, __WALL);
		MUST(got > 0);
		if (got == pid && status == want)
			return;
		if (got == pid)
			MUST(WIFSTOPPED(status));
		if (WIFSTOPPED(status))
			trace(request, got, 0, WSTOPSIG(status) == SIGCHLD ? SIGCHLD : 0);
	}
}

void wait_for(pid_t pid, int want, long request)
{
	wait_among(-1, pid, want, request);
}

void wait_alone(pid_t pid, int want, long request)
{
	wait_among(pid, pid, want, request);
}
