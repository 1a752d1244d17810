// SPDX-License-Identifier: GPL-2.0
/*
 * System calls that the dump interrupts: they go on where they were, those with a time with what is left of it, and
 * never show EINTR (requirement 2.10).
 *
 * crk-test: asleep
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

#define LONG_S	6	/* longer than it takes until the dump has begun */

struct call {
	const char *name;
	long (*run)(void);
	long want;		/* result, or -errno */
	double min, max;	/* seconds it may take in all, as its own clock sees it; max 0: no limit */
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int pipe_fds[2];
static uint32_t word;

static long run_nanosleep(void)
{
	struct timespec ts = { LONG_S, 0 }, rem = {};

	return syscall(SYS_nanosleep, &ts, &rem) ? -errno : 0;
}

static long run_very_long(void)
{
	struct timespec ts = { 100000, 0 }, rem = {};
	long ret = syscall(SYS_nanosleep, &ts, &rem) ? -errno : 0;

	/* the time left is told in the memory of the restored process */
	MUST(rem.tv_sec > 90000 && rem.tv_sec < 100000);
	return ret;
}

static long run_clock_nanosleep(void)
{
	struct timespec ts = { LONG_S, 0 };

	return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &ts, NULL) ? -errno : 0;
}

static long run_clock_nanosleep_abs(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += LONG_S;
	return syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL) ? -errno : 0;
}

static long run_poll(void)
{
	struct pollfd p = { .fd = pipe_fds[0], .events = POLLIN };
	long ret = poll(&p, 1, LONG_S * 1000);

	return ret < 0 ? -errno : ret;
}

static long run_futex(void)
{
	struct timespec ts = { LONG_S, 0 };

	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0) ? -errno : 0;
}

static long run_futex_bitset(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += LONG_S;
	return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &ts, NULL, 4) ? -errno : 0;
}

static long run_read(void)
{
	char byte;

	return read(pipe_fds[0], &byte, 1) < 0 ? -errno : byte;
}

static long run_pause_futex(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) ? -errno : 0;
}

static long run_select(void)
{
	struct timeval tv = { LONG_S, 0 };
	fd_set set;
	long ret;

	FD_ZERO(&set);
	FD_SET(pipe_fds[0], &set);
	ret = select(pipe_fds[0] + 1, &set, NULL, NULL, &tv);
	return ret < 0 ? -errno : ret;
}

struct runner {
	pthread_t thread;
	sem_t begins;
	struct call call;
	long ret;
	double took;
	volatile bool ended;
};

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	double start = now();

	sem_post(&r->begins);
	r->ret = r->call.run();
	r->took = now() - start;
	r->ended = true;
	return NULL;
}

static void runner_start(struct runner *r, const struct call *call)
{
	r->call = *call;
	r->ended = false;
	sem_init(&r->begins, 0, 0);
	MUST(!pthread_create(&r->thread, NULL, runner_main, r));
	MUST(!sem_wait(&r->begins));
	/* until it sleeps in the call */
	nap();
	nap();
}

static void runner_end(struct runner *r)
{
	MUST(!pthread_join(r->thread, NULL));
	MUST_EQ(r->ret, r->call.want);
	MUST(r->took >= r->call.min);
	MUST(!r->call.max || r->took <= r->call.max);
}

static void alone(const struct call *call)
{
	static struct runner r;

	runner_start(&r, call);
	checkpoint_here();
	runner_end(&r);
}

ROUNDTRIP(in_nanosleep)
{
	alone(&(struct call){ "nanosleep", run_nanosleep, 0, LONG_S, 0 });
}

ROUNDTRIP(in_clock_nanosleep)
{
	alone(&(struct call){ "clock_nanosleep", run_clock_nanosleep, 0, LONG_S, 0 });
}

ROUNDTRIP(in_clock_nanosleep_abs)
{
	alone(&(struct call){ "clock_nanosleep abs", run_clock_nanosleep_abs, 0, LONG_S - 1, 0 });
}

ROUNDTRIP(in_poll)
{
	MUST(!pipe(pipe_fds));
	alone(&(struct call){ "poll", run_poll, 0, LONG_S - 0.1, 0 });
}

ROUNDTRIP(in_futex)
{
	alone(&(struct call){ "futex", run_futex, -ETIMEDOUT, LONG_S, 0 });
}

ROUNDTRIP(in_futex_bitset)
{
	alone(&(struct call){ "futex bitset", run_futex_bitset, -ETIMEDOUT, LONG_S - 0.1, 0 });
}

ROUNDTRIP(in_select)
{
	MUST(!pipe(pipe_fds));
	alone(&(struct call){ "select", run_select, 0, LONG_S - 0.1, 0 });
}

ROUNDTRIP(in_read)
{
	static struct runner r;

	MUST(!pipe(pipe_fds));
	runner_start(&r, &(struct call){ "read", run_read, 'x', 0, 0 });
	checkpoint_here();
	MUST(!r.ended);
	MUST_EQ(write(pipe_fds[1], "x", 1), 1);
	runner_end(&r);
}

ROUNDTRIP(futex_woken)
{
	static struct runner r;

	runner_start(&r, &(struct call){ "futex", run_pause_futex, 0, 0, 0 });
	checkpoint_here();
	MUST(!r.ended);
	WAIT_FOR(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
	runner_end(&r);
}

/* what was slept before the dump is not slept again */
ROUNDTRIP(remaining_time)
{
	static struct runner r;
	double before, left;
	int i;

	runner_start(&r, &(struct call){ "nanosleep", run_nanosleep, 0, 0, 0 });
	before = now();
	for (i = 0; i < 300 && !r.ended; i++)
		nap();
	before = now() - before;
	checkpoint_here();
	left = now();
	runner_end(&r);
	left = now() - left;
	/* half a second for the dump that leaves it running, whose time counts, and for a slow machine */
	MUST(left <= LONG_S - before + 0.5);
}

/* a handler still interrupts what can be interrupted */
static void nothing(int signo)
{
	(void)signo;
}

ROUNDTRIP(signal_after)
{
	struct sigaction sa = { .sa_handler = nothing };
	static struct runner r;

	MUST(!sigaction(SIGUSR1, &sa, NULL));
	runner_start(&r, &(struct call){ "nanosleep", run_very_long, -EINTR, 0, 0 });
	checkpoint_here();
	MUST(!pthread_kill(r.thread, SIGUSR1));
	runner_end(&r);
}

ROUNDTRIP(wait_for_child)
{
	pid_t pid = fork_child(), waiter;

	if (!pid) {
		event_wait("go");
		_exit(3);
	}
	waiter = fork_child();
	if (!waiter) {
		/* the subject is in wait4 meanwhile */
		nap();
		nap();
		checkpoint_here();
		event_set("go");
		_exit(0);
	}
	{
		int status;

		MUST_EQ(waitpid(pid, &status, 0), pid);
		MUST_EQ(WEXITSTATUS(status), 3);
	}
	reap(waiter);
}

TEST_HARNESS_MAIN
