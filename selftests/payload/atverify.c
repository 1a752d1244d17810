// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a dump, and a command each time when the dump is about to look whether it was disturbed (CRK_IOC_VERIFY): with
 * all read from the target, which is frozen still.  The command is given the number of that time.
 *
 * usage: atverify COMMAND crkhelper dump ARG...
 * Exit status: that of the dump; 99 if a command failed, or the dump did not get as far.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crk.h"

static bool disturb(const char *command, int nr)
{
	char number[16];
	int status;
	pid_t pid;

	snprintf(number, sizeof(number), "%d", nr);
	pid = fork();
	if (!pid) {
		execlp(command, command, number, NULL);
		perror(command);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && !status;
}

int main(int argc, char **argv)
{
	struct __ptrace_syscall_info info;
	int status, nr = 0, signo;
	bool bad = false;
	pid_t pid;

	if (argc < 3)
		return 2;
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC))
		return 99;
	for (signo = 0;;) {
		if (ptrace(PTRACE_SYSCALL, pid, 0, signo) || waitpid(pid, &status, 0) != pid)
			return 99;
		if (!WIFSTOPPED(status))
			break;
		signo = status >> 16 ? 0 : WSTOPSIG(status);
		if (signo != (SIGTRAP | 0x80))
			continue;
		signo = 0;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY && (unsigned int)info.entry.args[1] == CRK_IOC_VERIFY)
			bad |= !disturb(argv[1], ++nr);
	}
	return bad || !nr || !WIFEXITED(status) ? 99 : WEXITSTATUS(status);
}
