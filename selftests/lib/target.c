// SPDX-License-Identifier: GPL-2.0
/* See target.h. */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "target.h"

/* ---- shared memory ---- */

struct shared *shared;

void shared_make(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void thread_here(int i)
{
	shared->tid[i] = gettid();
	__atomic_add_fetch(&shared->nr, 1, __ATOMIC_SEQ_CST);
}

void *idle_thread(void *arg)
{
	thread_here((long)arg);
	for (;;)
		pause();
	return NULL;
}

/* ---- threads asleep in all kinds of calls ---- */

static int pipe_fd[2];
static int epoll_fd;
static unsigned int futex_word = 7;
#ifdef __x86_64__
static struct timespec *low_ts;		/* below 4 GiB */
#endif
static struct timespec remains;

static void *in_nanosleep(void *i)
{
	struct timespec ts = { 1000, 0 };

	thread_here((long)i);
	syscall(SYS_nanosleep, &ts, &remains);
	return NULL;
}

static void *in_clock_boottime(void *i)
{
	struct timespec ts = { 2000, 0 };

	thread_here((long)i);
	syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &ts, NULL);
	return NULL;
}

static void *in_clock_abs(void *i)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += 1000;
	thread_here((long)i);
	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	return NULL;
}

static void *in_clock_cpu(void *i)
{
	struct timespec ts = { 3000, 0 };

	thread_here((long)i);
	syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, &ts, NULL);
	return NULL;
}

static void *in_poll(void *i)
{
	struct pollfd p = { pipe_fd[0], POLLIN };

	thread_here((long)i);
	syscall(SYS_poll, &p, 1, 1000000);
	return NULL;
}

static void *in_poll_forever(void *i)
{
	struct pollfd p = { pipe_fd[0], POLLIN };

	thread_here((long)i);
	syscall(SYS_poll, &p, 1, -1);
	return NULL;
}

static void *in_ppoll(void *i)
{
	struct pollfd p = { pipe_fd[0], POLLIN };
	struct timespec ts = { 1000, 0 };
	uint64_t mask = 1UL << (SIGUSR2 - 1);

	thread_here((long)i);
	syscall(SYS_ppoll, &p, 1, &ts, &mask, sizeof(mask));
	return NULL;
}

static void *in_futex(void *i)
{
	struct timespec ts = { 1000, 0 };

	thread_here((long)i);
	syscall(SYS_futex, &futex_word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 7, &ts, NULL, 0);
	return NULL;
}

static void *in_futex_shared(void *i)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 1000;
	thread_here((long)i);
	syscall(SYS_futex, &futex_word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 7, &ts, NULL, 0x5a);
	return NULL;
}

static void *in_futex_forever(void *i)
{
	thread_here((long)i);
	syscall(SYS_futex, &futex_word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 7, NULL, NULL, 0);
	return NULL;
}

static void *in_pause(void *i)
{
	thread_here((long)i);
	pause();
	return NULL;
}

static void *in_read(void *i)
{
	char c;

	thread_here((long)i);
	if (read(pipe_fd[0], &c, 1))
		return NULL;
	return NULL;
}

static void *in_epoll(void *i)
{
	struct epoll_event ev;

	thread_here((long)i);
	syscall(SYS_epoll_wait, epoll_fd, &ev, 1, -1);
	return NULL;
}

static void *in_sigtimedwait(void *i)
{
	uint64_t set = 1UL << (SIGUSR2 - 1);

	thread_here((long)i);
	syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, sizeof(set));
	return NULL;
}

static void *in_user_mode(void *i)
{
	thread_here((long)i);
	for (;;)
		;
	return NULL;
}

#ifdef __x86_64__
static long int80(long nr, long a, long b)
{
	long ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b) : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

static void *in_int80_nanosleep(void *i)
{
	int *ts = (int *)low_ts;

	ts[0] = 1000;
	ts[1] = 0;
	thread_here((long)i);
	int80(162, (long)ts, (long)ts);
	return NULL;
}
#endif

/* with seconds of 32 bit, where the time that is left goes */
#define LONG_TIME	(sizeof(long) == 4 ? CRK_RESTART_COMPAT_TIME : 0)

const struct sleeper sleepers[] = {
	{ "nanosleep", in_nanosleep, SYS_nanosleep, CRK_SYSCALL_BLOCK, 0, CRK_RESTART_NANOSLEEP,
	  CRK_RESTART_HAS_TIME | CRK_RESTART_WANT_REM | LONG_TIME, 1000 * SEC },
	{ "clock_nanosleep boottime", in_clock_boottime, SYS_clock_nanosleep, CRK_SYSCALL_BLOCK, 0,
	  CRK_RESTART_NANOSLEEP, CRK_RESTART_HAS_TIME, 2000 * SEC },
	{ "clock_nanosleep abs", in_clock_abs, SYS_clock_nanosleep, CRK_SYSCALL_NOHAND },
	{ "clock_nanosleep cpu", in_clock_cpu, SYS_clock_nanosleep, CRK_SYSCALL_BLOCK, 0, CRK_RESTART_CPU_NANOSLEEP,
	  CRK_RESTART_HAS_TIME, 3000 * SEC },
	{ "poll", in_poll, SYS_poll, CRK_SYSCALL_BLOCK, 0, CRK_RESTART_POLL, CRK_RESTART_HAS_TIME, 1000 * SEC },
	{ "poll forever", in_poll_forever, SYS_poll, CRK_SYSCALL_BLOCK, 0, CRK_RESTART_POLL },
	{ "ppoll", in_ppoll, SYS_ppoll, CRK_SYSCALL_NOHAND, .blocked = 1UL << (SIGUSR2 - 1) },
	{ "futex", in_futex, SYS_futex, CRK_SYSCALL_BLOCK, 0, CRK_RESTART_FUTEX, CRK_RESTART_HAS_TIME, 1000 * SEC },
	{ "futex shared", in_futex_shared, SYS_futex, CRK_SYSCALL_BLOCK, 0, CRK_RESTART_FUTEX,
	  CRK_RESTART_HAS_TIME | CRK_RESTART_FUTEX_SHARED | CRK_RESTART_FUTEX_REALTIME, 1000 * SEC },
	{ "futex forever", in_futex_forever, SYS_futex, CRK_SYSCALL_RESTART },
	{ "pause", in_pause, SYS_pause, CRK_SYSCALL_NOHAND },
	{ "read", in_read, SYS_read, CRK_SYSCALL_RESTART },
	{ "epoll_wait", in_epoll, SYS_epoll_wait, CRK_SYSCALL_EINTR },
	{ "rt_sigtimedwait", in_sigtimedwait, SYS_rt_sigtimedwait, CRK_SYSCALL_EINTR },
	{ "user mode", in_user_mode, -1, CRK_SYSCALL_NONE },
#ifdef __x86_64__
	{ "int80 nanosleep", in_int80_nanosleep, 162, CRK_SYSCALL_BLOCK, CRK_ABI_COMPAT, CRK_RESTART_NANOSLEEP,
	  CRK_RESTART_HAS_TIME | CRK_RESTART_WANT_REM | CRK_RESTART_COMPAT_TIME, 1000 * SEC },
#endif
};
const int nr_sleepers = sizeof(sleepers) / sizeof(sleepers[0]);

void sleep_all(void *arg)
{
	pthread_t t;
	long i;

	if (pipe(pipe_fd))
		_exit(1);
	epoll_fd = epoll_create1(0);
#ifdef __x86_64__
	low_ts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
#endif
	for (i = 0; i < nr_sleepers; i++)
		if (pthread_create(&t, NULL, sleepers[i].fn, (void *)i))
			_exit(1);
	while (__atomic_load_n(&shared->nr, __ATOMIC_SEQ_CST) < nr_sleepers)
		usleep(1000);
	task_ready();
	pause();
}

bool soon(long long a, long long b)
{
	return a <= b && a > b - 60 * SEC;
}
