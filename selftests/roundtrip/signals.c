// SPDX-License-Identifier: GPL-2.0
/*
 * Signals: actions, masks, alternative stacks, and what is pending, with its siginfo and in order.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

static volatile sig_atomic_t seen;
static volatile uintptr_t seen_sp;

static void handler(int signo)
{
	int here;

	seen = signo;
	seen_sp = (uintptr_t)&here;
}

static void info_handler(int signo, siginfo_t *info, void *ctx)
{
	(void)ctx;
	seen = signo == info->si_signo ? info->si_value.sival_int : -1;
}

static int queue_self(int signo, int value)
{
	return sigqueue(getpid(), signo, (union sigval){ .sival_int = value });
}

ROUNDTRIP(actions)
{
	struct sigaction sa[SIGRTMAX + 1], now;
	int i;

	for (i = 1; i <= SIGRTMAX; i++) {
		memset(&sa[i], 0, sizeof(sa[i]));
		if (i == SIGKILL || i == SIGSTOP || i == SIGCHLD || (i > 31 && i < SIGRTMIN))
			continue;
		sa[i].sa_handler = i % 3 == 0 ? SIG_IGN : i % 3 == 1 ? SIG_DFL : handler;
		sa[i].sa_flags = (i % 2 ? SA_RESTART : 0) | (i % 5 ? 0 : SA_NODEFER) | (i % 7 ? 0 : SA_ONSTACK);
		sigaddset(&sa[i].sa_mask, i % 30 + 1);
		MUST(!sigaction(i, &sa[i], NULL));
		/* the kernel leaves SIGKILL and SIGSTOP out of a mask */
		MUST(!sigaction(i, NULL, &sa[i]));
	}
	checkpoint_here();
	for (i = 1; i <= SIGRTMAX; i++) {
		if (i == SIGKILL || i == SIGSTOP || i == SIGCHLD || (i > 31 && i < SIGRTMIN))
			continue;
		MUST(!sigaction(i, NULL, &now));
		MUST(now.sa_handler == sa[i].sa_handler);
		MUST_EQ(now.sa_flags, sa[i].sa_flags);
		MUST(!memcmp(&now.sa_mask, &sa[i].sa_mask, 8));
	}
	raise(SIGHUP + 1);	/* 2: handler */
	MUST_EQ(seen, 2);
}

ROUNDTRIP(mask)
{
	sigset_t set, now;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 3);
	sigaddset(&set, SIGRTMAX);
	MUST(!sigprocmask(SIG_SETMASK, &set, NULL));
	checkpoint_here();
	MUST(!sigprocmask(SIG_SETMASK, NULL, &now));
	MUST(!memcmp(&now, &set, 8));
}

ROUNDTRIP(altstack)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	stack_t ss = { .ss_size = 64 << 10 }, now;

	ss.ss_sp = malloc(ss.ss_size);
	MUST(ss.ss_sp && !sigaltstack(&ss, NULL));
	MUST(!sigaction(SIGUSR1, &sa, NULL));
	checkpoint_here();
	MUST(!sigaltstack(NULL, &now));
	MUST(now.ss_sp == ss.ss_sp && now.ss_size == ss.ss_size && !now.ss_flags);
	raise(SIGUSR1);
	MUST_EQ(seen, SIGUSR1);
	MUST(seen_sp >= (uintptr_t)ss.ss_sp && seen_sp < (uintptr_t)ss.ss_sp + ss.ss_size);
}

/* while a handler runs on it, a stack is in use, and its mask is one that sigreturn will take back */
static void handler_with_checkpoint(int signo)
{
	stack_t ss;

	checkpoint_here();
	MUST(!sigaltstack(NULL, &ss));
	MUST_EQ(ss.ss_flags, SS_ONSTACK);
	seen = signo;
}

ROUNDTRIP(in_handler)
{
	struct sigaction sa = { .sa_handler = handler_with_checkpoint, .sa_flags = SA_ONSTACK };
	stack_t ss = { .ss_size = 256 << 10 };
	sigset_t now;

	ss.ss_sp = malloc(ss.ss_size);
	MUST(ss.ss_sp && !sigaltstack(&ss, NULL));
	sigaddset(&sa.sa_mask, SIGUSR2);
	MUST(!sigaction(SIGUSR1, &sa, NULL));
	raise(SIGUSR1);
	MUST_EQ(seen, SIGUSR1);
	MUST(!sigprocmask(SIG_SETMASK, NULL, &now));
	MUST(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
}

ROUNDTRIP(pending_in_order)
{
	siginfo_t info;
	sigset_t all, pending;
	int i;

	sigfillset(&all);
	MUST(!sigprocmask(SIG_SETMASK, &all, NULL));
	for (i = 0; i < 20; i++)
		MUST(!queue_self(SIGRTMIN + 2, 100 + i));
	MUST(!queue_self(SIGRTMIN + 1, 7));
	MUST(!queue_self(SIGUSR2, 8));
	MUST(!kill(getpid(), SIGUSR1));
	MUST(!syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGTERM));
	checkpoint_here();
	MUST(!sigpending(&pending));
	MUST(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2) && sigismember(&pending, SIGTERM));
	/* the thread's own comes first */
	MUST_EQ(sigwaitinfo(&all, &info), SIGTERM);
	/* the C library does not tell SI_TKILL from SI_USER */
	MUST_EQ(info.si_code, SI_USER);
	MUST_EQ(sigwaitinfo(&all, &info), SIGUSR1);
	MUST_EQ(info.si_code, SI_USER);
	MUST_EQ(info.si_pid, getpid());
	MUST_EQ(sigwaitinfo(&all, &info), SIGUSR2);
	MUST_EQ(info.si_code, SI_QUEUE);
	MUST_EQ(info.si_value.sival_int, 8);
	MUST_EQ(sigwaitinfo(&all, &info), SIGRTMIN + 1);
	MUST_EQ(info.si_value.sival_int, 7);
	for (i = 0; i < 20; i++) {
		MUST_EQ(sigwaitinfo(&all, &info), SIGRTMIN + 2);
		MUST_EQ(info.si_value.sival_int, 100 + i);
		MUST_EQ(info.si_uid, getuid());
	}
	MUST(!sigpending(&pending));
	for (i = 1; i < 64; i++)
		MUST(!sigismember(&pending, i));
}

/* one that a child's end left, as the kernel made it */
ROUNDTRIP(pending_sigchld)
{
	siginfo_t info;
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
	pid = fork_child();
	if (!pid)
		_exit(5);
	MUST(!waitid(P_PID, pid, NULL, WEXITED | WNOWAIT));
	checkpoint_here();
	MUST_EQ(sigwaitinfo(&set, &info), SIGCHLD);
	MUST_EQ(info.si_code, CLD_EXITED);
	MUST_EQ(info.si_pid, pid);
	MUST_EQ(info.si_status, 5);
	MUST_EQ(waitpid(pid, NULL, 0), pid);
}

/* handlers run as soon as the mask allows */
ROUNDTRIP(pending_handled)
{
	struct sigaction sa = { .sa_sigaction = info_handler, .sa_flags = SA_SIGINFO };
	sigset_t set;

	MUST(!sigaction(SIGRTMIN + 5, &sa, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(!queue_self(SIGRTMIN + 5, 4711));
	checkpoint_here();
	MUST_EQ(seen, 0);
	MUST(!sigprocmask(SIG_UNBLOCK, &set, NULL));
	MUST_EQ(seen, 4711);
}

struct waiter {
	pthread_t thread;
	sem_t ready;
	pid_t tid;
	sigset_t mask;
	int got, value;
};

static void *waits_for_own(void *arg)
{
	struct waiter *w = arg;
	siginfo_t info;
	sigset_t now;

	MUST(!pthread_sigmask(SIG_SETMASK, &w->mask, NULL));
	w->tid = syscall(SYS_gettid);
	sem_post(&w->ready);
	event_wait("go");
	MUST(!pthread_sigmask(SIG_SETMASK, NULL, &now));
	MUST(!memcmp(&now, &w->mask, 8));
	w->got = sigwaitinfo(&w->mask, &info);
	w->value = info.si_value.sival_int;
	return NULL;
}

/* signals to one thread stay with it, and each has a mask of its own */
ROUNDTRIP(pending_of_threads)
{
	enum { NR = 3 };
	static struct waiter w[NR];
	siginfo_t info;
	int i;

	for (i = 0; i < NR; i++) {
		sem_init(&w[i].ready, 0, 0);
		sigemptyset(&w[i].mask);
		sigaddset(&w[i].mask, SIGRTMIN + 7);
		sigaddset(&w[i].mask, SIGRTMIN + 8 + i);
		MUST(!pthread_create(&w[i].thread, NULL, waits_for_own, &w[i]));
	}
	for (i = 0; i < NR; i++) {
		MUST(!sem_wait(&w[i].ready));
		memset(&info, 0, sizeof(info));
		info.si_signo = SIGRTMIN + 7;
		info.si_code = SI_QUEUE;
		info.si_value.sival_int = 50 + i;
		MUST(!syscall(SYS_rt_tgsigqueueinfo, getpid(), w[i].tid, SIGRTMIN + 7, &info));
	}
	checkpoint_here();
	event_set("go");
	for (i = 0; i < NR; i++) {
		MUST(!pthread_join(w[i].thread, NULL));
		MUST_EQ(w[i].got, SIGRTMIN + 7);
		MUST_EQ(w[i].value, 50 + i);
	}
}

static void *suspended(void *arg)
{
	struct waiter *w = arg;
	sigset_t none, now;

	MUST(!pthread_sigmask(SIG_SETMASK, &w->mask, NULL));
	sigemptyset(&none);
	sem_post(&w->ready);
	sigsuspend(&none);
	MUST(!pthread_sigmask(SIG_SETMASK, NULL, &now));
	MUST(!memcmp(&now, &w->mask, 8));
	w->got = seen;
	return NULL;
}

/* sigsuspend keeps two masks: that of the call, and that for afterwards */
ROUNDTRIP(sigsuspend_goes_on)
{
	struct sigaction sa = { .sa_handler = handler };
	static struct waiter w;

	MUST(!sigaction(SIGUSR1, &sa, NULL));
	sem_init(&w.ready, 0, 0);
	sigemptyset(&w.mask);
	sigaddset(&w.mask, SIGUSR1);
	sigaddset(&w.mask, SIGUSR2);
	MUST(!pthread_sigmask(SIG_BLOCK, &w.mask, NULL));
	MUST(!pthread_create(&w.thread, NULL, suspended, &w));
	MUST(!sem_wait(&w.ready));
	checkpoint_here();
	MUST(!pthread_kill(w.thread, SIGUSR1));
	MUST(!pthread_join(w.thread, NULL));
	MUST_EQ(w.got, SIGUSR1);
}

ROUNDTRIP(stopped)
{
	pid_t pid = fork_child();
	int status;

	if (!pid) {
		event_wait("go");
		_exit(0);
	}
	MUST(!kill(pid, SIGSTOP));
	MUST_EQ(waitpid(pid, &status, WUNTRACED), pid);
	checkpoint_here();
	event_set("go");
	WAIT_FOR(strchr("Tt", text_line(file_text("/proc/%d/status", pid), "State:")[7]));
	MUST_EQ(waitpid(pid, &status, WNOHANG), 0);
	MUST(!kill(pid, SIGCONT));
	reap(pid);
}

TEST_HARNESS_MAIN
