// SPDX-License-Identifier: GPL-2.0
/*
 * Processes stopped by job control: they come back stopped, the parent is told of each stop and each continuation once,
 * and not of the restore's own doings (requirement 2.4).
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

static char state_of(pid_t pid)
{
	char *text = file_text("/proc/%d/stat", pid), *comm_end = strrchr(text, ')');
	char state = comm_end[2];

	free(text);
	return state;
}

static bool sigchld_is_pending(void)
{
	sigset_t pending;

	MUST(!sigpending(&pending));
	return sigismember(&pending, SIGCHLD);
}

static void sigchld_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
}

static void sigchld_take(int code, pid_t pid)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	MUST_EQ(sigwaitinfo(&set, &info), SIGCHLD);
	MUST_EQ(info.si_code, code);
	MUST_EQ(info.si_pid, pid);
}

/* stops by @sig in a group of its own, since a terminal stops no orphaned group; ends with 0 when it goes on */
static pid_t stopped_child(int sig)
{
	pid_t pid = fork_child();
	siginfo_t info;

	if (!pid) {
		setpgid(0, 0);
		raise(sig);
		event_set("goes-on");
		event_wait("end");
		_exit(0);
	}
	MUST(!waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT));
	MUST_EQ(info.si_status, sig);
	return pid;
}

static void must_be_reported(pid_t pid, int sig)
{
	int status;

	MUST_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), pid);
	MUST(WIFSTOPPED(status));
	MUST_EQ(WSTOPSIG(status), sig);
	MUST_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
}

static void must_continue(pid_t pid)
{
	int status;

	MUST_EQ(state_of(pid), 'T');
	MUST(!event_is_set("goes-on"));
	MUST(!kill(pid, SIGCONT));
	MUST_EQ(waitpid(pid, &status, WCONTINUED), pid);
	MUST(WIFCONTINUED(status));
	event_wait("goes-on");
	event_set("end");
	reap(pid);
	MUST(!unlink("goes-on") && !unlink("end"));
}

ROUNDTRIP(parent_has_not_waited)
{
	pid_t pid = stopped_child(SIGSTOP);

	checkpoint_here();
	must_be_reported(pid, SIGSTOP);
	must_continue(pid);
}

ROUNDTRIP(parent_has_waited)
{
	pid_t pid = stopped_child(SIGSTOP);

	must_be_reported(pid, SIGSTOP);
	checkpoint_here();
	MUST_EQ(waitpid(pid, NULL, WUNTRACED | WNOHANG), 0);
	must_continue(pid);
}

ROUNDTRIP(signals_of_a_terminal)
{
	static const int sigs[] = { SIGTSTP, SIGTTIN, SIGTTOU };
	pid_t pid[3];
	int i;

	for (i = 0; i < 3; i++)
		pid[i] = stopped_child(sigs[i]);
	checkpoint_here();
	for (i = 0; i < 3; i++) {
		must_be_reported(pid[i], sigs[i]);
		must_continue(pid[i]);
	}
}

/* one for the stop, taken before; none for the restore; one for the continuation */
ROUNDTRIP(no_stray_sigchld)
{
	pid_t pid;

	sigchld_block();
	pid = stopped_child(SIGSTOP);
	sigchld_take(CLD_STOPPED, pid);
	checkpoint_here();
	MUST(!sigchld_is_pending());
	must_be_reported(pid, SIGSTOP);
	MUST(!kill(pid, SIGCONT));
	sigchld_take(CLD_CONTINUED, pid);
	event_set("end");
	reap(pid);
}

ROUNDTRIP(continued_but_not_reported)
{
	int status;
	pid_t pid = fork_child();

	if (!pid) {
		raise(SIGSTOP);
		event_set("goes-on");
		event_wait("end");
		_exit(0);
	}
	MUST_EQ(waitpid(pid, &status, WUNTRACED), pid);
	MUST(!kill(pid, SIGCONT));
	event_wait("goes-on");
	checkpoint_here();
	MUST_EQ(waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG), pid);
	MUST(WIFCONTINUED(status));
	MUST_EQ(waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG), 0);
	event_set("end");
	reap(pid);
}

static int nr_woken;

static void *sleeper(void *arg)
{
	event_wait("wake");
	__atomic_add_fetch(&nr_woken, 1, __ATOMIC_SEQ_CST);
	return arg;
}

/* all threads of the process, none of which runs before the SIGCONT */
ROUNDTRIP(threads)
{
	enum { NR = 4 };
	pthread_t t[NR];
	siginfo_t info;
	int i, status;
	pid_t pid = fork_child();

	if (!pid) {
		for (i = 0; i < NR; i++)
			MUST(!pthread_create(&t[i], NULL, sleeper, NULL));
		event_set("ready");
		for (i = 0; i < NR; i++)
			MUST(!pthread_join(t[i], NULL));
		MUST_EQ(nr_woken, NR);
		event_set("over");
		event_wait("end");
		_exit(0);
	}
	event_wait("ready");
	MUST(!kill(pid, SIGSTOP));
	MUST(!waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT));
	checkpoint_here();
	must_be_reported(pid, SIGSTOP);
	MUST_EQ(state_of(pid), 'T');
	event_set("wake");
	for (i = 0; i < 20; i++)
		nap();
	MUST(!event_is_set("over"));
	MUST(!kill(pid, SIGCONT));
	MUST_EQ(waitpid(pid, &status, WCONTINUED), pid);
	MUST(WIFCONTINUED(status));
	event_set("end");
	reap(pid);
}

ROUNDTRIP(killed_while_stopped)
{
	pid_t pid = stopped_child(SIGSTOP);
	int status;

	checkpoint_here();
	MUST(!kill(pid, SIGKILL));
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST_HARNESS_MAIN
