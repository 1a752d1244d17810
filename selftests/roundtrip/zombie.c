// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that have ended and that nobody has waited for yet.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

static pid_t zombie(int code, int sig, const char *comm)
{
	pid_t pid = fork_child();

	if (!pid) {
		prctl(PR_SET_NAME, comm);
		if (!sig)
			_exit(code);
		signal(sig, SIG_DFL);
		kill(getpid(), sig);
		for (;;)
			pause();
	}
	MUST(!waitid(P_PID, pid, NULL, WEXITED | WNOWAIT));
	return pid;
}

ROUNDTRIP(exit_codes)
{
	static const int codes[] = { 0, 1, 7, 255 };
	pid_t pid[4];
	int i, status;

	for (i = 0; i < 4; i++)
		pid[i] = zombie(codes[i], 0, "ended");
	checkpoint_here();
	for (i = 0; i < 4; i++) {
		MUST_EQ(waitpid(pid[i], &status, WNOHANG), pid[i]);
		MUST(WIFEXITED(status));
		MUST_EQ(WEXITSTATUS(status), codes[i]);
	}
}

ROUNDTRIP(signals)
{
	static const int sigs[] = { SIGTERM, SIGKILL, SIGALRM, SIGPIPE, SIGUSR1 };
	pid_t pid[5];
	int i, status;

	for (i = 0; i < 5; i++)
		pid[i] = zombie(0, sigs[i], "killed");
	checkpoint_here();
	for (i = 0; i < 5; i++) {
		MUST_EQ(waitpid(pid[i], &status, WNOHANG), pid[i]);
		MUST(WIFSIGNALED(status));
		MUST_EQ(WTERMSIG(status), sigs[i]);
	}
}

ROUNDTRIP(name)
{
	pid_t pid = zombie(3, 0, "my-zombie");

	checkpoint_here();
	MUST_STR(file_text("/proc/%d/comm", pid), "my-zombie\n");
	MUST_EQ(waitpid(pid, NULL, WNOHANG), pid);
}

/* the deaths of the helpers that made the tree must not show */
ROUNDTRIP(no_stray_signal)
{
	sigset_t set, pending;
	siginfo_t info;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
	pid = zombie(3, 0, "ended");
	MUST_EQ(sigwaitinfo(&set, &info), SIGCHLD);
	checkpoint_here();
	MUST(!sigpending(&pending));
	MUST(!sigismember(&pending, SIGCHLD));
	MUST_EQ(waitpid(pid, NULL, WNOHANG), pid);
}

TEST_HARNESS_MAIN
