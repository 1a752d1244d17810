// SPDX-License-Identifier: GPL-2.0
/*
 * A thread in each system call that ends by itself at some time: after the checkpoint it ends with what it would have
 * got undisturbed, and not earlier or later than the time between dump and restore explains (requirement 2.10).
 *
 * crk-test: timeout=900 asleep
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/time_types.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "checkpoint.h"

#define KERNEL_SET	8	/* bytes of a signal set */

/*
 * Seconds: how long they wait in all, how long before the checkpoint, how long they are away between a dump and its
 * restore, and how late a slow machine may be.
 */
#define LENGTH		14
#define BEFORE		5
#define AWAY		2
#define LATE		3

/* ---- how long everybody stood still, and a little more ---- */

static volatile double stalls;

static void *beat_main(void *arg)
{
	double last = seconds(), now;

	(void)arg;
	for (;; last = now) {
		nap();
		now = seconds();
		if (now - last > 0.1)
			stalls += now - last;
	}
	return NULL;
}

enum rule {
	THE_REST,	/* after a restore it waits for what was left of it */
	THE_DEADLINE,	/* it ends at a point in time, wherever that falls */
	EITHER,
	ANEW,		/* after a restore it begins again with all of its time */
};

/* they may have ended while the checkpoint was still at work */
static void all_end(struct call *calls, int nr, enum rule rule, double returned)
{
	struct call *c;

	for (c = calls; c < calls + nr; c++) {
		call_end(c);
		if (c->live_eintr && is_left_running())
			continue;
		/* a clock is read before and after by another rounding */
		call_must(c, c->took >= LENGTH - 0.01);
		if (rule == THE_DEADLINE) {
			double over = returned - c->began;

			call_must(c, c->took <= (over > LENGTH ? over : LENGTH) + LATE);
		} else if (rule == ANEW) {
			call_must(c, c->took <= returned - c->began + LENGTH + LATE);
		} else {
			call_must(c, c->took <= LENGTH + stalls + LATE);
		}
		/* there were two dumps */
		if (rule == THE_REST && !is_left_running())
			call_must(c, c->took >= LENGTH + 2 * AWAY);
	}
}

static void timed_zoo(struct call *calls, int nr, enum rule rule)
{
	pthread_t beat;
	double start;

	calls_start(calls, nr);
	MUST(!pthread_create(&beat, NULL, beat_main, NULL));
	for (start = seconds(); seconds() - start < BEFORE; )
		nap();
	checkpoint_here();
	start = seconds();
	calls_look_up(calls, nr, LENGTH - BEFORE);
	all_end(calls, nr, rule, start);
}

static const struct timespec length = { .tv_sec = LENGTH };

/* LENGTH from now */
static struct timespec deadline(clockid_t clock)
{
	struct timespec ts;

	MUST(!clock_gettime(clock, &ts));
	ts.tv_sec += LENGTH;
	return ts;
}

/* ---- a time to wait ---- */

static long run_nanosleep(struct call *c)
{
	return sys_ret(syscall(SYS_nanosleep, &length, NULL));
}

static long run_clock_nanosleep(struct call *c)
{
	return sys_ret(syscall(SYS_clock_nanosleep, c->arg, 0, &length, NULL));
}

static void make_pipe(struct call *c)
{
	call_must(c, !pipe(c->fd));
}

static long run_poll(struct call *c)
{
	struct pollfd p = { .fd = c->fd[0], .events = POLLIN };

	return sys_ret(syscall(SYS_poll, &p, 1, LENGTH * 1000));
}

static long run_ppoll(struct call *c)
{
	struct pollfd p = { .fd = c->fd[0], .events = POLLIN };
	struct timespec ts = length;

	return sys_ret(syscall(SYS_ppoll, &p, 1, &ts, NULL, KERNEL_SET));
}

static long run_select(struct call *c)
{
	struct timeval tv = { .tv_sec = LENGTH };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(c->fd[0], &set);
	return sys_ret(syscall(NR_SELECT, c->fd[0] + 1, &set, NULL, NULL, &tv));
}

static long run_pselect(struct call *c)
{
	struct timespec ts = length;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(c->fd[0], &set);
	return sys_ret(syscall(SYS_pselect6, c->fd[0] + 1, &set, NULL, NULL, &ts, NULL));
}

/* ->arg is the operation */
static long run_futex(struct call *c)
{
	return sys_ret(syscall(SYS_futex, &c->word, c->arg, 0, &length, NULL, 0));
}

static void make_timerfd(struct call *c)
{
	c->fd[0] = timerfd_create(CLOCK_MONOTONIC, 0);
	call_must(c, c->fd[0] >= 0);
}

static long run_read(struct call *c)
{
	char buf[8];

	return sys_ret(syscall(SYS_read, c->fd[0], buf, sizeof(buf)));
}

static long run_read_timerfd(struct call *c)
{
	struct itimerspec its = { .it_value = length };

	call_must(c, !timerfd_settime(c->fd[0], 0, &its, NULL));
	return run_read(c);
}

ROUNDTRIP(a_time, .away = AWAY)
{
	static struct call calls[] = {
		{ "nanosleep", SYS_nanosleep, run_nanosleep, .want = 0, CALL_BLOCK("nanosleep") },
		{ "CLOCK_REALTIME", SYS_clock_nanosleep, run_clock_nanosleep, .want = 0, CALL_BLOCK("nanosleep"),
		  .arg = CLOCK_REALTIME },
		{ "CLOCK_MONOTONIC", SYS_clock_nanosleep, run_clock_nanosleep, .want = 0, CALL_BLOCK("nanosleep"),
		  .arg = CLOCK_MONOTONIC },
		{ "CLOCK_BOOTTIME", SYS_clock_nanosleep, run_clock_nanosleep, .want = 0, CALL_BLOCK("nanosleep"),
		  .arg = CLOCK_BOOTTIME },
		{ "CLOCK_TAI", SYS_clock_nanosleep, run_clock_nanosleep, .want = 0, CALL_BLOCK("nanosleep"),
		  .arg = CLOCK_TAI },
		{ "poll", SYS_poll, run_poll, make_pipe, .want = 0, CALL_BLOCK("poll") },
		{ "ppoll", SYS_ppoll, run_ppoll, make_pipe, .want = 0, CALL_NOHAND },
		{ "select", NR_SELECT, run_select, make_pipe, .want = 0, CALL_NOHAND },
		{ "pselect", SYS_pselect6, run_pselect, make_pipe, .want = 0, CALL_NOHAND },
		{ "futex", SYS_futex, run_futex, .want = -ETIMEDOUT, CALL_BLOCK("futex"), .arg = FUTEX_WAIT_PRIVATE },
		{ "shared futex", SYS_futex, run_futex, .want = -ETIMEDOUT, CALL_BLOCK("futex"), .arg = FUTEX_WAIT },
		{ "timerfd", SYS_read, run_read_timerfd, make_timerfd, .want = 8, CALL_RESTART },
	};

	timed_zoo(calls, ARRAY_SIZE(calls), THE_REST);
}

/* ---- a point in time ---- */

static long run_sleep_until(struct call *c)
{
	struct timespec ts = deadline(c->arg);

	return sys_ret(syscall(SYS_clock_nanosleep, c->arg, TIMER_ABSTIME, &ts, NULL));
}

static long run_waitv_until(struct call *c)
{
	struct futex_waitv w = { .uaddr = (uintptr_t)&c->word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG };
	struct timespec until = deadline(c->arg);
	struct __kernel_timespec ts = { until.tv_sec, until.tv_nsec };	/* on 32 bit too */

	return sys_ret(syscall(SYS_futex_waitv, &w, 1, 0, &ts, c->arg));
}

static long run_lock_pi_until(struct call *c)
{
	struct timespec ts = deadline(CLOCK_REALTIME);

	return sys_ret(syscall(SYS_futex, &c->word, FUTEX_LOCK_PI_PRIVATE, 0, &ts, NULL, 0));
}

static void own_futex(struct call *c)
{
	c->word = gettid();
}

ROUNDTRIP(a_point_in_time, .away = AWAY)
{
	static struct call calls[] = {
		{ "CLOCK_REALTIME", SYS_clock_nanosleep, run_sleep_until, .want = 0, CALL_NOHAND,
		  .arg = CLOCK_REALTIME },
		{ "CLOCK_MONOTONIC", SYS_clock_nanosleep, run_sleep_until, .want = 0, CALL_NOHAND,
		  .arg = CLOCK_MONOTONIC },
		{ "CLOCK_BOOTTIME", SYS_clock_nanosleep, run_sleep_until, .want = 0, CALL_NOHAND,
		  .arg = CLOCK_BOOTTIME },
		{ "waitv, CLOCK_MONOTONIC", SYS_futex_waitv, run_waitv_until, .want = -ETIMEDOUT, CALL_RESTART,
		  .arg = CLOCK_MONOTONIC },
		{ "waitv, CLOCK_REALTIME", SYS_futex_waitv, run_waitv_until, .want = -ETIMEDOUT, CALL_RESTART,
		  .arg = CLOCK_REALTIME },
		{ "lock_pi", SYS_futex, run_lock_pi_until, own_futex, .want = -ETIMEDOUT, CALL_RESTART },
	};

	timed_zoo(calls, ARRAY_SIZE(calls), THE_DEADLINE);
}

static long run_bitset_until(struct call *c)
{
	int clock_flag = c->arg == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0;
	struct timespec ts = deadline(c->arg);

	return sys_ret(syscall(SYS_futex, &c->word, FUTEX_WAIT_BITSET_PRIVATE | clock_flag, 0, &ts, NULL, 1));
}

/* the kernel keeps their deadline in a restart block, as if they had been given a time to wait */
ROUNDTRIP(futex_until, .away = AWAY)
{
	static struct call calls[] = {
		{ "CLOCK_MONOTONIC", SYS_futex, run_bitset_until, .want = -ETIMEDOUT, CALL_BLOCK("futex"),
		  .arg = CLOCK_MONOTONIC },
		{ "CLOCK_REALTIME", SYS_futex, run_bitset_until, .want = -ETIMEDOUT, CALL_BLOCK("futex"),
		  .arg = CLOCK_REALTIME },
	};

	timed_zoo(calls, ARRAY_SIZE(calls), EITHER);
}

/* ---- a time of which the kernel forgets how much is left ---- */

static void make_epoll(struct call *c)
{
	c->fd[0] = epoll_create1(0);
	call_must(c, c->fd[0] >= 0);
}

static long run_epoll_wait(struct call *c)
{
	struct epoll_event ev;

	return sys_ret(syscall(SYS_epoll_wait, c->fd[0], &ev, 1, LENGTH * 1000));
}

static long run_epoll_pwait2(struct call *c)
{
	struct __kernel_timespec ts = { .tv_sec = LENGTH };
	struct epoll_event ev;

	return sys_ret(syscall(SYS_epoll_pwait2, c->fd[0], &ev, 1, &ts, NULL, KERNEL_SET));
}

static long run_sigtimedwait(struct call *c)
{
	uint64_t set = 1ULL << (SIGUSR2 - 1);

	return sys_ret(syscall(SYS_rt_sigtimedwait, &set, NULL, &length, KERNEL_SET));
}

static void make_semaphore(struct call *c)
{
	c->fd[0] = semget(IPC_PRIVATE, 1, 0600);
	call_must(c, c->fd[0] >= 0);
}

static long run_semtimedop(struct call *c)
{
	struct sembuf op = { .sem_op = -1 };

	return sys_ret(sys_semtimedop(c->fd[0], &op, 1, &length));
}

static void make_socket(struct call *c)
{
	struct timeval tv = { .tv_sec = LENGTH };

	call_must(c, !socketpair(AF_UNIX, SOCK_DGRAM, 0, c->fd));
	call_must(c, !setsockopt(c->fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
}

ROUNDTRIP(a_time_forgotten, .away = AWAY)
{
	static struct call calls[] = {
		{ "epoll_wait", SYS_epoll_wait, run_epoll_wait, make_epoll, .want = 0, CALL_EINTR },
		{ "epoll_pwait2", SYS_epoll_pwait2, run_epoll_pwait2, make_epoll, .want = 0, CALL_EINTR },
		{ "sigtimedwait", SYS_rt_sigtimedwait, run_sigtimedwait, .want = -EAGAIN, CALL_EINTR },
		{ "semtimedop", NR_SEMTIMEDOP, run_semtimedop, make_semaphore, .want = -EAGAIN, CALL_EINTR },
		{ "SO_RCVTIMEO", SYS_read, run_read, make_socket, .want = -EAGAIN, CALL_EINTR },
	};

	timed_zoo(calls, ARRAY_SIZE(calls), ANEW);
	MUST(!semctl(calls[3].fd[0], 0, IPC_RMID));
}

/* ---- clocks of other kinds ---- */

static double cpu_seconds(void)
{
	struct timespec ts;

	MUST(!clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts));
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static long run_cpu_sleep(struct call *c)
{
	struct timespec ts = { .tv_sec = 6 };

	return sys_ret(syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, &ts, NULL));
}

ROUNDTRIP(cpu_time)
{
	static struct call calls[] = {
		{ "cpu", SYS_clock_nanosleep, run_cpu_sleep, .want = 0, CALL_BLOCK("nanosleep on CPU time"),
		  .arg = -1 /* the kernel has its own number for the clock */ },
	};
	double start = cpu_seconds(), used;

	calls_start(calls, 1);
	while (cpu_seconds() - start < 3)
		;
	checkpoint_here();
	calls_look_up(calls, 1, 3.1);
	call_must(&calls[0], !calls[0].ended);
	for (start = cpu_seconds(); !calls[0].ended; )
		call_must(&calls[0], cpu_seconds() - start < 60);
	used = cpu_seconds() - start;
	call_end(&calls[0]);
	/* three seconds of six were used before; some more goes by around the dumps */
	call_must(&calls[0], used > 1 && used < 5.5);
}

ROUNDTRIP(alarm_clocks, .away = AWAY)
{
	static struct call calls[] = {
		{ "CLOCK_REALTIME_ALARM", SYS_clock_nanosleep, run_clock_nanosleep, .want = 0,
		  CALL_BLOCK("nanosleep that wakes the machine"), .arg = CLOCK_REALTIME_ALARM },
		{ "CLOCK_BOOTTIME_ALARM", SYS_clock_nanosleep, run_clock_nanosleep, .want = 0,
		  CALL_BLOCK("nanosleep that wakes the machine"), .arg = CLOCK_BOOTTIME_ALARM },
	};

	if (clock_getres(CLOCK_BOOTTIME_ALARM, NULL))
		subject_skip("no clock that wakes the machine");
	timed_zoo(calls, ARRAY_SIZE(calls), THE_REST);
}

TEST_HARNESS_MAIN
