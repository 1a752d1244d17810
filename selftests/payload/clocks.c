// SPDX-License-Identifier: GPL-2.0
/*
 * Lives in the vDSO: a program that is dumped on one kernel and goes on on another, of 64 and of 32 bit.  Its threads do
 * little but ask for the time, each in another way, are asleep in a system call, or are in a signal handler that
 * interrupted the vDSO.  Until the dump, and after the restore, all checks must hold.
 *
 * usage: clocks DIR
 * Makes DIR/ready when it may be dumped; goes on until there is a DIR/go, a while more, prints "ok" and exits with 0.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define DAY	86400
#define ENOUGH	200	/* rounds that each thread does after the restore */

static volatile int restored, in_handler, frame_done, finished;
static time_t begin;
static uintptr_t vdso, vdso_end;

static void __attribute__((noreturn)) fail(const char *what, long long a, long long b)
{
	printf("failed: %s (%lld, %lld)\n", what, a, b);
	fflush(stdout);
	_exit(1);
}

#define CHECK(cond, a, b) do { if (!(cond)) fail(#cond, a, b); } while (0)

/* it is later than when the program began, and not much */
static void check_today(time_t t)
{
	CHECK(t >= begin && t < begin + DAY, t, begin);
}

/* ---- what the threads do ---- */

static void one_clock(clockid_t id, bool today)
{
	struct timespec ts = { -1, -1 };

	CHECK(!clock_gettime(id, &ts), id, errno);
	CHECK(ts.tv_sec >= 0 && ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000, ts.tv_sec, ts.tv_nsec);
	if (today)
		check_today(ts.tv_sec);
}

static void do_monotonic(void)
{
	static __thread struct timespec last;
	static __thread int nr_back;
	struct timespec ts;

	one_clock(CLOCK_MONOTONIC, false);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	/* on another kernel it begins anew, once */
	if (ts.tv_sec < last.tv_sec || (ts.tv_sec == last.tv_sec && ts.tv_nsec < last.tv_nsec))
		CHECK(!nr_back++, ts.tv_sec, last.tv_sec);
	last = ts;
}

static void do_realtime(void)
{
	one_clock(CLOCK_REALTIME, true);
}

static void do_coarse(void)
{
	one_clock(CLOCK_REALTIME_COARSE, true);
	one_clock(CLOCK_MONOTONIC_COARSE, false);
}

static void do_time(void)
{
	time_t t;

	check_today(time(&t));
	check_today(t);
}

static void do_others(void)
{
	struct timezone tz = { -1, -1 };
	struct timespec res = {};
	struct timeval tv;
	unsigned int cpu = ~0U;

	CHECK(!gettimeofday(&tv, &tz), errno, 0);
	check_today(tv.tv_sec);
	CHECK(tv.tv_usec >= 0 && tv.tv_usec < 1000000, tv.tv_usec, 0);
	CHECK(!clock_getres(CLOCK_MONOTONIC, &res) && res.tv_nsec > 0, res.tv_sec, res.tv_nsec);
	CHECK(!getcpu(&cpu, NULL) && cpu < 1024, cpu, 0);
	one_clock(CLOCK_BOOTTIME, false);
	one_clock(CLOCK_MONOTONIC_RAW, false);
	one_clock(CLOCK_TAI, false);
}

/* asleep in a system call, which in 32 bit is in the vDSO */
static void do_sleep(void)
{
	struct timespec ts = { 0, 20000000 };

	CHECK(!poll(NULL, 0, 20), errno, 0);
	CHECK(!clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL), errno, 0);
}

#ifdef SYS_mmap2
#define MMAP	SYS_mmap2
#else
#define MMAP	SYS_mmap
#endif

/* a call with six arguments, and what the kernel says of it */
static void do_syscalls(void)
{
	char *p = (char *)syscall(MMAP, 0UL, 4096UL, 3UL, 0x22UL, -1L, 0UL);

	CHECK(p != (char *)-1, errno, 0);
	*p = 1;
	CHECK(syscall(SYS_getpid) == getpid(), getpid(), 0);
	CHECK(!syscall(SYS_munmap, p, 4096UL), errno, 0);
}

struct job {
	void (*run)(void);
	volatile int rounds;
} jobs[] = {
	{ .run = do_monotonic }, { .run = do_realtime }, { .run = do_coarse }, { .run = do_time }, { .run = do_others },
	{ .run = do_sleep }, { .run = do_syscalls },
};
#define NR_JOBS	(sizeof(jobs) / sizeof(jobs[0]))

static void *job_run(void *arg)
{
	struct job *job = arg;

	while (!finished) {
		job->run();
		if (restored)
			job->rounds++;
	}
	return NULL;
}

/* ---- a handler that interrupted the vDSO ---- */

static uintptr_t context_pc(const ucontext_t *uc)
{
#ifdef __x86_64__
	return uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__arm__)
	return uc->uc_mcontext.arm_pc;
#else
	return uc->uc_mcontext.gregs[REG_EIP];
#endif
}

static void on_signal(int signo, siginfo_t *info, void *uc)
{
	uintptr_t pc = context_pc(uc);
	struct timespec ts = { 0, 1000000 };

	(void)signo;
	(void)info;
	if (in_handler || pc < vdso || pc >= vdso_end)
		return;
	in_handler = 1;
	while (!restored)
		nanosleep(&ts, NULL);
}

static void *frame_run(void *arg)
{
	(void)arg;
	while (!in_handler)
		one_clock(CLOCK_MONOTONIC, false);
	one_clock(CLOCK_MONOTONIC, false);
	frame_done = 1;
	return NULL;
}

/* ---- the ELF image ---- */

static void check_elf(void)
{
	CHECK(getauxval(AT_SYSINFO_EHDR) == vdso, vdso, 0);
	CHECK(!memcmp((void *)vdso, ELFMAG, SELFMAG), vdso, 0);
}

static bool exists(const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !access(path, F_OK);
}

int main(int argc, char **argv)
{
	const ElfW(Ehdr) *head;
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct timespec ms = { 0, 1000000 };
	pthread_t threads[NR_JOBS], frame;
	char path[4096];
	size_t i;
	int fd;

	if (argc != 2)
		return 2;
	vdso = getauxval(AT_SYSINFO_EHDR);
	head = (void *)vdso;
	vdso_end = vdso + ((head->e_shoff + head->e_shnum * sizeof(ElfW(Shdr)) + 4095) & ~4095UL);
	begin = time(NULL);
	sigaction(SIGUSR1, &sa, NULL);
	check_elf();
	pthread_create(&frame, NULL, frame_run, NULL);
	while (!in_handler) {
		pthread_kill(frame, SIGUSR1);
		nanosleep(&ms, NULL);
	}
	for (i = 0; i < NR_JOBS; i++)
		pthread_create(&threads[i], NULL, job_run, &jobs[i]);
	nanosleep(&ms, NULL);
	snprintf(path, sizeof(path), "%s/ready", argv[1]);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	CHECK(fd >= 0, errno, 0);
	close(fd);
	while (!exists(argv[1], "go"))
		nanosleep(&ms, NULL);
	restored = 1;
	check_elf();
	for (i = 0; i < NR_JOBS; i++)
		while (jobs[i].rounds < (jobs[i].run == do_sleep ? 5 : ENOUGH))
			nanosleep(&ms, NULL);
	while (!frame_done)
		nanosleep(&ms, NULL);
	finished = 1;
	for (i = 0; i < NR_JOBS; i++)
		pthread_join(threads[i], NULL);
	pthread_join(frame, NULL);
	puts("ok");
	return 0;
}
