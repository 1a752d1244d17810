// SPDX-License-Identifier: GPL-2.0
/*
 * Processes whose first thread has exited while others go on: a zombie leads them.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

static char state_of(pid_t pid)
{
	char *text = file_text("/proc/%d/stat", pid), *comm_end = strrchr(text, ')');
	char state = comm_end[2];

	free(text);
	return state;
}

/* a child whose leader runs @thread in other threads, @nr of them, and exits with @code */
static pid_t led_by_zombie(void *(*thread)(void *), int nr, int code)
{
	pid_t pid = fork_child();
	pthread_t t;

	if (!pid) {
		prctl(PR_SET_NAME, "first");
		while (nr--)
			MUST(!pthread_create(&t, NULL, thread, NULL));
		syscall(SYS_exit, code);
	}
	WAIT_FOR(state_of(pid) == 'Z');
	return pid;
}

static void must_exit(pid_t pid, int code)
{
	int status;

	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST(WIFEXITED(status));
	MUST_EQ(WEXITSTATUS(status), code);
}

static void *exits_whole(void *arg)
{
	pid_t pid = getpid(), tid = syscall(SYS_gettid);

	MUST(pid != tid);
	event_set("ready");
	event_wait("go");
	MUST_EQ(getpid(), pid);
	MUST_EQ(syscall(SYS_gettid), tid);
	_exit(7);
}

ROUNDTRIP(one_thread)
{
	pid_t pid = led_by_zombie(exits_whole, 1, 0);

	event_wait("ready");
	checkpoint_here();
	MUST_EQ(state_of(pid), 'Z');
	MUST_STR(file_text("/proc/%d/comm", pid), "first\n");
	MUST_EQ(waitpid(pid, NULL, WNOHANG), 0);
	event_set("go");
	must_exit(pid, 7);
}

static void *exits_alone(void *arg)
{
	event_wait("go");
	syscall(SYS_exit, 9);
	return NULL;
}

/* no thread ends the whole: the code is that of the last one, not the leader's */
ROUNDTRIP(code_of_the_last)
{
	pid_t pid = led_by_zombie(exits_alone, 4, 3);

	checkpoint_here();
	event_set("go");
	must_exit(pid, 9);
}

static int nr_here;
static int fds[2];

static void *uses_all(void *arg)
{
	static __thread int own;
	char cwd[64], byte;

	own = __atomic_add_fetch(&nr_here, 1, __ATOMIC_SEQ_CST);
	if (own == 3)
		event_set("ready");
	event_wait("go");
	MUST(own >= 1 && own <= 3);
	MUST(getcwd(cwd, sizeof(cwd)));
	MUST_STR(cwd, "/");
	if (own == 1)
		MUST(write(fds[1], "xy", 2) == 2);
	else
		MUST(read(fds[0], &byte, 1) == 1 && (byte == 'x' || byte == 'y'));
	if (__atomic_sub_fetch(&nr_here, 1, __ATOMIC_SEQ_CST))
		syscall(SYS_exit, 0);
	_exit(5);
}

static void *makes_room(void *arg)
{
	MUST(!pipe(fds));
	MUST(!chdir("/"));
	return uses_all(arg);
}

static void *waits_for_room(void *arg)
{
	static int first;

	if (!__atomic_exchange_n(&first, 1, __ATOMIC_SEQ_CST))
		return makes_room(arg);
	while (!__atomic_load_n(&fds[1], __ATOMIC_SEQ_CST))
		nap();
	return uses_all(arg);
}

/* memory, open files and directories are found, though the leader has none any more */
ROUNDTRIP(memory_and_files)
{
	pid_t pid = led_by_zombie(waits_for_room, 3, 0);

	event_wait("ready");
	checkpoint_here();
	event_set("go");
	must_exit(pid, 5);
}

static void *watches(void *arg)
{
	struct epoll_event in = { .events = EPOLLIN, .data.u64 = 7 }, got;
	int ep = epoll_create1(0), ev = eventfd(0, 0);

	MUST(!epoll_ctl(ep, EPOLL_CTL_ADD, ev, &in));
	event_set("ready");
	event_wait("go");
	MUST_EQ(epoll_wait(ep, &got, 1, 0), 0);
	MUST(!eventfd_write(ev, 1));
	MUST_EQ(epoll_wait(ep, &got, 1, 0), 1);
	MUST(got.data.u64 == 7);
	_exit(3);
}

ROUNDTRIP(epoll)
{
	pid_t pid = led_by_zombie(watches, 1, 0);

	event_wait("ready");
	checkpoint_here();
	event_set("go");
	must_exit(pid, 3);
}

static void *has_child(void *arg)
{
	pid_t own = getpid(), child = fork_child();

	if (!child) {
		int sig;

		event_set("ready");
		event_wait("go");
		MUST(!prctl(PR_GET_PDEATHSIG, &sig));
		MUST_EQ(sig, SIGKILL);
		MUST_EQ(getppid(), own);
		_exit(0);
	}
	reap(child);
	_exit(4);
}

/* that asked to die with its parent: the leader's exit is none */
ROUNDTRIP(child)
{
	pid_t pid = led_by_zombie(has_child, 1, 0);

	event_wait("ready");
	checkpoint_here();
	event_set("go");
	must_exit(pid, 4);
}

static timer_t timer;

static void *takes_signals(void *arg)
{
	struct itimerspec once = { .it_value.tv_nsec = 200000000 };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	MUST(!pthread_sigmask(SIG_BLOCK, &set, NULL));
	MUST(!timer_create(CLOCK_MONOTONIC, &ev, &timer));
	event_set("ready");
	sigdelset(&set, SIGUSR2);
	MUST(!sigwait(&set, &sig));
	sigaddset(&set, SIGUSR2);
	MUST(!timer_settime(timer, 0, &once, NULL));
	MUST(!sigwait(&set, &sig));
	MUST_EQ(sig, SIGUSR2);
	_exit(6);
}

ROUNDTRIP(signals_and_timers)
{
	pid_t pid = led_by_zombie(takes_signals, 1, 0);

	event_wait("ready");
	checkpoint_here();
	MUST(!kill(pid, SIGUSR1));
	must_exit(pid, 6);
}

/* stopped, and its leader cannot be */
ROUNDTRIP(stopped)
{
	pid_t pid = led_by_zombie(exits_whole, 1, 0);
	int status;

	event_wait("ready");
	MUST(!kill(pid, SIGSTOP));
	WAIT_FOR(waitpid(pid, &status, WUNTRACED | WNOHANG) == pid);
	MUST(WIFSTOPPED(status));
	checkpoint_here();
	event_set("go");
	MUST_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	MUST(!kill(pid, SIGCONT));
	must_exit(pid, 7);
}

ROUNDTRIP(killed)
{
	pid_t pid = led_by_zombie(exits_whole, 1, 0);
	int status;

	event_wait("ready");
	checkpoint_here();
	MUST(!kill(pid, SIGKILL));
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST_HARNESS_MAIN
