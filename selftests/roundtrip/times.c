// SPDX-License-Identifier: GPL-2.0
/*
 * When a program began and how much CPU time it has used: new in a restored one, or with --restore-times as it was;
 * timers and limits on that time are right in both.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"

/* of this process, sampled: what limits and ITIMER_PROF go by */
#define CLOCK_SAMPLED	((clockid_t)(~0U << 3))

/* what a restored program may have used before it looks, and what passes between two looks */
#define SLACK	2.0

static double clock_s(clockid_t clock)
{
	struct timespec ts;

	MUST(!clock_gettime(clock, &ts));
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static double tv_s(struct timeval tv)
{
	return tv.tv_sec + tv.tv_usec / 1e6;
}

static void burn(clockid_t clock, double seconds)
{
	double end = clock_s(clock) + seconds;

	/* some of it in the kernel */
	while (clock_s(clock) < end)
		syscall(SYS_getppid);
}

static void *burner(void *arg)
{
	burn(CLOCK_THREAD_CPUTIME_ID, *(double *)arg);
	return NULL;
}

static void burn_in_thread(double seconds)
{
	pthread_t t;

	MUST(!pthread_create(&t, NULL, burner, &seconds) && !pthread_join(t, NULL));
}

static void burn_in_child(double seconds)
{
	pid_t pid = fork_child();

	if (!pid) {
		burn(CLOCK_PROCESS_CPUTIME_ID, seconds);
		_exit(0);
	}
	reap(pid);
}

/* all that tells of time */
struct seen {
	unsigned long long start;		/* clock ticks after boot */
	unsigned long long thread_start;
	double process, thread;			/* exact */
	double utime, stime, cutime, cstime;
	double thread_utime, thread_stime;
};

static unsigned long long stat_start(const char *path)
{
	char *text = file_text("%s", path), *p = strrchr(text, ')');
	unsigned long long start;

	MUST(p && sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			 &start) == 1);
	free(text);
	return start;
}

static struct seen see(void)
{
	struct rusage self, thread, children;
	struct seen s = { .start = stat_start("/proc/self/stat"), .thread_start = stat_start("/proc/thread-self/stat") };
	struct tms tms;

	s.process = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	s.thread = clock_s(CLOCK_THREAD_CPUTIME_ID);
	MUST(!getrusage(RUSAGE_SELF, &self) && !getrusage(RUSAGE_THREAD, &thread) &&
	     !getrusage(RUSAGE_CHILDREN, &children));
	s.utime = tv_s(self.ru_utime);
	s.stime = tv_s(self.ru_stime);
	s.cutime = tv_s(children.ru_utime);
	s.cstime = tv_s(children.ru_stime);
	s.thread_utime = tv_s(thread.ru_utime);
	s.thread_stime = tv_s(thread.ru_stime);
	/* times() says the same */
	MUST(times(&tms) != -1);
	MUST(tms.tms_cutime / 100.0 > s.cutime - 0.02 && tms.tms_cutime / 100.0 < s.cutime + 0.02);
	MUST(tms.tms_utime / 100.0 > s.utime - 0.02 && tms.tms_utime / 100.0 < s.utime + SLACK);
	return s;
}

static void must_go_on(double before, double after)
{
	char text[128];

	if (after >= before && after < before + SLACK)
		return;
	snprintf(text, sizeof(text), "time goes on from %f s: it is %f s", before, after);
	subject_fail(__FILE__, __LINE__, text, 0);
}

static struct seen work_and_see(void)
{
	burn(CLOCK_THREAD_CPUTIME_ID, 0.7);
	burn_in_thread(3);
	burn_in_child(5);
	return see();
}

ROUNDTRIP(go_on, .restore_args = "--restore-times")
{
	struct seen before = work_and_see(), after;

	MUST(before.process > 3.6 && before.cutime + before.cstime > 4.9);
	checkpoint_here();
	after = see();
	MUST_EQ(after.start, before.start);
	MUST_EQ(after.thread_start, before.thread_start);
	must_go_on(before.process, after.process);
	must_go_on(before.thread, after.thread);
	must_go_on(before.utime, after.utime);
	must_go_on(before.stime, after.stime);
	must_go_on(before.thread_utime, after.thread_utime);
	must_go_on(before.thread_stime, after.thread_stime);
	MUST(after.cutime == before.cutime && after.cstime == before.cstime);
	/* they go on, together and each */
	burn(CLOCK_THREAD_CPUTIME_ID, 0.5);
	before = after;
	after = see();
	MUST(after.process >= before.process + 0.5 && after.process < before.process + 0.5 + SLACK);
	MUST(after.utime + after.stime >= before.utime + before.stime + 0.4);
	burn_in_child(0.5);
	after = see();
	MUST(after.cutime + after.cstime > before.cutime + before.cstime + 0.4);
}

ROUNDTRIP(start_anew)
{
	struct seen before, after;

	WAIT_FOR(clock_s(CLOCK_BOOTTIME) * sysconf(_SC_CLK_TCK) > stat_start("/proc/self/stat") + 10);
	before = work_and_see();
	checkpoint_here();
	after = see();
	if (is_left_running()) {
		MUST_EQ(after.start, before.start);
		must_go_on(before.process, after.process);
		return;
	}
	MUST(after.start > before.start + 5);
	MUST(after.process < before.process - 0.5);
	MUST(after.cutime + after.cstime < before.cutime + before.cstime - 3);
}

static double other_time;
static unsigned long long other_start;
static char other_path[64];

static void *other(void *arg)
{
	double was;

	(void)arg;
	snprintf(other_path, sizeof(other_path), "/proc/self/task/%ld/stat", syscall(SYS_gettid));
	burn(CLOCK_THREAD_CPUTIME_ID, 1);
	was = clock_s(CLOCK_THREAD_CPUTIME_ID);
	other_start = stat_start(other_path);
	event_set("burnt");
	event_wait("restored");
	other_time = clock_s(CLOCK_THREAD_CPUTIME_ID);
	must_go_on(was, other_time);
	MUST_EQ(stat_start(other_path), other_start);
	return NULL;
}

/* each thread its own; the sum is that of the living and the dead */
ROUNDTRIP(threads, .restore_args = "--restore-times")
{
	pthread_t t;
	double process;

	burn_in_thread(0.5);
	MUST(!pthread_create(&t, NULL, other, NULL));
	event_wait("burnt");
	process = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	MUST(process >= 1.5);
	checkpoint_here();
	event_set("restored");
	MUST(!pthread_join(t, NULL));
	MUST(other_time >= 1);
	must_go_on(process, clock_s(CLOCK_PROCESS_CPUTIME_ID));
}

static volatile sig_atomic_t hits[65];

static void on_hit(int signo)
{
	hits[signo]++;
}

/* it comes when this process has used between @from and @to seconds from now on, as @clock has it */
static void must_hit(clockid_t clock, int signo, double from, double to)
{
	double start = clock_s(clock), used = 0;

	while (!hits[signo] && used < to)
		used = clock_s(clock) - start;
	MUST(hits[signo] && used >= from);
}

/* what is left of them counts from where the clocks are */
static void cpu_timers(void)
{
	struct itimerval prof = { .it_value = { 2, 0 } };
	struct itimerspec its = { .it_value = { 3, 0 } };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct sigaction sa = { .sa_handler = on_hit };
	struct itimerval left;
	timer_t id;

	burn(CLOCK_PROCESS_CPUTIME_ID, 1);
	burn_in_thread(1.5);
	MUST(!sigaction(SIGPROF, &sa, NULL) && !sigaction(SIGUSR1, &sa, NULL));
	MUST(!timer_create(CLOCK_PROCESS_CPUTIME_ID, &ev, &id) && !timer_settime(id, 0, &its, NULL));
	MUST(!setitimer(ITIMER_PROF, &prof, NULL));
	checkpoint_here();
	MUST(!getitimer(ITIMER_PROF, &left) && !timer_gettime(id, &its));
	MUST(tv_s(left.it_value) > 0.5 && tv_s(left.it_value) <= 2.5);	/* sampled time comes in steps */
	MUST(its.it_value.tv_sec >= 1 && its.it_value.tv_sec <= 3);
	MUST(!hits[SIGPROF] && !hits[SIGUSR1]);
	/* sampled and exact time may be far from each other, so either may come first */
	must_hit(CLOCK_SAMPLED, SIGPROF, 0.5, 3);
	must_hit(CLOCK_PROCESS_CPUTIME_ID, SIGUSR1, 0, 4);
	MUST_EQ(hits[SIGPROF], 1);
}

ROUNDTRIP(timers_with_old_times, .restore_args = "--restore-times")
{
	cpu_timers();
}

ROUNDTRIP(timers_with_new_times)
{
	cpu_timers();
}

/* the limit is one of the whole life of a process */
ROUNDTRIP(cpu_limit, .restore_args = "--restore-times")
{
	struct sigaction sa = { .sa_handler = on_hit };
	struct rlimit limit = { 4, RLIM_INFINITY };

	while (clock_s(CLOCK_SAMPLED) < 2.5)
		burn_in_thread(0.2);
	MUST(!sigaction(SIGXCPU, &sa, NULL) && !setrlimit(RLIMIT_CPU, &limit));
	checkpoint_here();
	MUST(!hits[SIGXCPU]);
	while (!hits[SIGXCPU])
		MUST(clock_s(CLOCK_SAMPLED) < 5);
	MUST(clock_s(CLOCK_SAMPLED) > 3.9);
}

TEST_HARNESS_MAIN
