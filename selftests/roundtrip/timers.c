// SPDX-License-Identifier: GPL-2.0
/*
 * Interval timers and POSIX timers: ids, time left, intervals, overruns, whom they tell.
 *
 * crk-test: asleep
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

static volatile sig_atomic_t alarms;

static void on_alarm(int signo)
{
	(void)signo;
	alarms++;
}

/* raw calls: the ids are the kernel's */
static int timer_make(int clock, int notify, int signo, int value, pid_t tid)
{
	struct sigevent ev;
	int id = -1;

	memset(&ev, 0, sizeof(ev));
	ev.sigev_notify = notify;
	ev.sigev_signo = signo;
	ev.sigev_value.sival_int = value;
	ev._sigev_un._tid = tid;
	MUST(!syscall(SYS_timer_create, clock, &ev, &id));
	return id;
}

static void timer_arm(int id, int flags, double value, double interval)
{
	struct itimerspec its = {
		.it_value = { (time_t)value, (value - (time_t)value) * 1e9 },
		.it_interval = { (time_t)interval, (interval - (time_t)interval) * 1e9 },
	};

	MUST(!syscall(SYS_timer_settime, id, flags, &its, NULL));
}

static double timer_left(int id, double *interval)
{
	struct itimerspec its;

	MUST(!syscall(SYS_timer_gettime, id, &its));
	if (interval)
		*interval = its.it_interval.tv_sec + its.it_interval.tv_nsec / 1e9;
	return its.it_value.tv_sec + its.it_value.tv_nsec / 1e9;
}

ROUNDTRIP(itimers)
{
	static const int which[] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
	struct itimerval set[3], now;
	int i;

	for (i = 0; i < 3; i++) {
		set[i] = (struct itimerval){ { 30 + i, 5 }, { 5000 + 1000 * i, 0 } };
		MUST(!setitimer(which[i], &set[i], NULL));
	}
	checkpoint_here();
	for (i = 0; i < 3; i++) {
		MUST(!getitimer(which[i], &now));
		MUST_EQ(now.it_interval.tv_sec, set[i].it_interval.tv_sec);
		MUST_EQ(now.it_interval.tv_usec, set[i].it_interval.tv_usec);
		MUST(now.it_value.tv_sec <= set[i].it_value.tv_sec);
		MUST(now.it_value.tv_sec > set[i].it_value.tv_sec - 600);
	}
}

ROUNDTRIP(alarm_comes)
{
	struct itimerval set = { .it_value = { 2, 0 } }, now;
	struct sigaction sa = { .sa_handler = on_alarm };

	MUST(!sigaction(SIGALRM, &sa, NULL));
	MUST(!setitimer(ITIMER_REAL, &set, NULL));
	checkpoint_here();
	WAIT_FOR(alarms == 1);
	MUST(!getitimer(ITIMER_REAL, &now));
	MUST(!now.it_value.tv_sec && !now.it_value.tv_usec);
	alarms = 0;
}

ROUNDTRIP(ids_and_times)
{
	char *before, *after;
	double interval;
	int id[6], i;

	for (i = 0; i < 6; i++)
		id[i] = timer_make(i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, i == 5 ? SIGEV_NONE : SIGEV_SIGNAL,
				   SIGRTMIN + i, i, 0);
	/* holes in the numbering */
	MUST(!syscall(SYS_timer_delete, id[0]));
	MUST(!syscall(SYS_timer_delete, id[3]));
	timer_arm(id[1], 0, 3000, 70.5);
	timer_arm(id[2], 0, 2000, 0);
	timer_arm(id[5], 0, 1000, 0);
	before = file_text("/proc/self/timers");
	checkpoint_here();
	after = file_text("/proc/self/timers");
	MUST_STR(after, before);
	MUST(timer_left(id[1], &interval) <= 3000 && timer_left(id[1], NULL) > 2400);
	MUST(interval == 70.5);
	MUST(timer_left(id[2], &interval) <= 2000 && timer_left(id[2], NULL) > 1400);
	MUST(interval == 0);
	MUST(timer_left(id[4], NULL) == 0);
	MUST(timer_left(id[5], NULL) <= 1000 && timer_left(id[5], NULL) > 400);
	MUST(syscall(SYS_timer_delete, id[0]) < 0);
	/* new ones still find a number */
	MUST(timer_make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0) >= 0);
}

ROUNDTRIP(fires_with_value)
{
	siginfo_t info;
	sigset_t set;
	int id;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
	id = timer_make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 815, 0);
	timer_arm(id, 0, 2, 0);
	checkpoint_here();
	MUST_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
	MUST_EQ(info.si_code, SI_TIMER);
	MUST_EQ(info.si_value.sival_int, 815);
	MUST_EQ(info.si_timerid, id);
}

/* the signal is pending at the dump and more periods pass: they are counted */
ROUNDTRIP(overrun)
{
	siginfo_t info;
	sigset_t set;
	int id, got;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
	id = timer_make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 5, 0);
	timer_arm(id, 0, 0.01, 0.01);
	for (got = 0; got < 20; got++)
		nap();
	checkpoint_here();
	MUST_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
	MUST_EQ(info.si_code, SI_TIMER);
	MUST_EQ(info.si_value.sival_int, 5);
	got = info.si_overrun;
	/* 20 naps are at least 19 periods */
	MUST(got >= 15);
	/* it goes on */
	MUST_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
}

static pid_t told;
static pthread_barrier_t there;

static void *listener(void *arg)
{
	siginfo_t info;
	sigset_t set;

	(void)arg;
	told = syscall(SYS_gettid);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	pthread_barrier_wait(&there);
	event_wait("go");
	MUST_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 2);
	return NULL;
}

ROUNDTRIP(tells_a_thread)
{
	pthread_t t;
	sigset_t set;
	int id;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	MUST(!pthread_sigmask(SIG_BLOCK, &set, NULL));
	pthread_barrier_init(&there, NULL, 2);
	MUST(!pthread_create(&t, NULL, listener, NULL));
	pthread_barrier_wait(&there);
	id = timer_make(CLOCK_MONOTONIC, SIGEV_SIGNAL | SIGEV_THREAD_ID, SIGRTMIN + 2, 0, told);
	timer_arm(id, 0, 1, 0);
	checkpoint_here();
	event_set("go");
	MUST(!pthread_join(t, NULL));
}

/* an absolute time of the wall clock stays that time */
ROUNDTRIP(wall_clock)
{
	struct timespec now;
	double left;
	int id;

	id = timer_make(CLOCK_REALTIME, SIGEV_NONE, 0, 0, 0);
	MUST(!clock_gettime(CLOCK_REALTIME, &now));
	timer_arm(id, TIMER_ABSTIME, now.tv_sec + 1000, 0);
	checkpoint_here();
	left = now.tv_sec + 1000;
	MUST(!clock_gettime(CLOCK_REALTIME, &now));
	left -= now.tv_sec + now.tv_nsec / 1e9;
	MUST(timer_left(id, NULL) < left + 1 && timer_left(id, NULL) > left - 1);
}

TEST_HARNESS_MAIN
