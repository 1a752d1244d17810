// SPDX-License-Identifier: GPL-2.0
/* See tracer.h. */
#include <errno.h>
#include <signal.h>
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
