// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_TASKS and CRK_IOC_CAPTURE: what processes are found to be, their signals, timers and address spaces, against
 * what they made of themselves.  Not of i686: expects the numbers of native calls.
 *
 * crk-test: abi=x86_64,arm
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"
#include "target.h"

FIXTURE(cap) {
	char *cgroup;
	int dev;
	struct capture c;
};

FIXTURE_SETUP(cap)
{
	shared_make();
	self->cgroup = cgroup_make(NULL, "capture");
	self->dev = -1;
}

FIXTURE_TEARDOWN(cap)
{
	close(self->dev);
	cgroup_remove(self->cgroup);
}

/* ---- signals ---- */

static void handler(int sig, siginfo_t *info, void *ctx)
{
}

static void pending(void *arg)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t all;

	sigaddset(&sa.sa_mask, SIGHUP);
	sigaction(SIGUSR1, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	shared->addr[0] = (unsigned long)handler;
	task_ready();
	for (;;)
		pause();
}

TEST_F(cap, signals)
{
	pid_t pid = task_start(self->cgroup, pending, NULL);
	union sigval v = { .sival_ptr = (void *)0x12345678 };
	struct crk_rec_actions *a;
	struct crk_rec_siginfo *s;
	siginfo_t *info;
	int i, n = 0;

	sigqueue(pid, SIGRTMIN + 1, v);
	v.sival_int++;
	sigqueue(pid, SIGRTMIN + 1, v);
	kill(pid, SIGUSR1);
	syscall(SYS_tgkill, pid, pid, SIGUSR2);
	self->dev = freeze(self->cgroup);
	kill(pid, SIGHUP);		/* comes to a frozen task */
	self->c = capture_get(self->dev, 0);
	for (s = NULL; (s = record(&self->c, pid, CRK_REC_SIGINFO, s)); n++) {
		info = (siginfo_t *)s->info;
		EXPECT_EQ(s->signo, info->si_signo);
		EXPECT_EQ(getpid(), info->si_pid);
		EXPECT_EQ(0, s->flags & CRK_SIGINFO_NO_INFO);
		if (n < 2) {
			EXPECT_EQ(SIGRTMIN + 1, s->signo);
			EXPECT_EQ(SI_QUEUE, info->si_code);
			EXPECT_EQ(0x12345678 + n, info->si_value.sival_int);
		}
		EXPECT_EQ(s->signo == SIGUSR2 ? 0 : CRK_SIGINFO_PROCESS, s->flags);
		if (s->signo == SIGUSR2)
			EXPECT_EQ(SI_TKILL, info->si_code);
		for (i = 48; i < 128; i++)
			EXPECT_EQ(0, s->info[i]);
	}
	EXPECT_EQ(5, n);
	a = record(&self->c, pid, CRK_REC_ACTIONS, NULL);
	ASSERT_NE(NULL, a);
	EXPECT_EQ(64, a->nr);
	EXPECT_EQ(shared->addr[0], a->actions[SIGUSR1 - 1].handler);
	EXPECT_EQ(SA_SIGINFO | SA_RESTART, a->actions[SIGUSR1 - 1].flags & ~0x04000000ULL /* SA_RESTORER */);
	EXPECT_EQ(1UL << (SIGHUP - 1), a->actions[SIGUSR1 - 1].mask);
	EXPECT_EQ(CRK_ACTION_NATIVE, a->actions[SIGUSR1 - 1].abi);
	EXPECT_EQ(1, a->actions[SIGPIPE - 1].handler);
	EXPECT_EQ(0, a->actions[SIGTERM - 1].handler);
	capture_put(&self->c);
}

/* ---- timers ---- */

static int timer(int clock, int signo, unsigned long value, int notify)
{
	struct sigevent ev = { .sigev_notify = notify, .sigev_signo = signo };
	int id = -1;

	ev.sigev_value.sival_ptr = (void *)value;
	if (notify == SIGEV_THREAD_ID)
		ev._sigev_un._tid = gettid();
	return syscall(SYS_timer_create, clock, &ev, &id) ? -1 : id;
}

static void arm(int id, int flags, long sec, long nsec, long interval)
{
	struct itimerspec it = { .it_value = { sec, nsec }, .it_interval = { interval, 0 } };

	syscall(SYS_timer_settime, id, flags, &it, NULL);
}

static void with_timers(void *arg)
{
	struct itimerval real = { { 50, 0 }, { 1000, 0 } }, virt = { { 0, 0 }, { 2000, 0 } };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setitimer(ITIMER_REAL, &real, NULL);
	setitimer(ITIMER_VIRTUAL, &virt, NULL);
	shared->id[0] = timer(CLOCK_MONOTONIC, SIGUSR1, 0xabcdef, SIGEV_SIGNAL);
	arm(shared->id[0], 0, 1000, 0, 7);
	shared->id[1] = timer(CLOCK_REALTIME, SIGUSR2, 1, SIGEV_THREAD_ID);
	arm(shared->id[1], TIMER_ABSTIME, 2100000000L, 5, 0);
	shared->id[2] = timer(CLOCK_PROCESS_CPUTIME_ID, SIGUSR2, 2, SIGEV_SIGNAL);
	arm(shared->id[2], 0, 100, 0, 0);
	shared->id[3] = timer(CLOCK_BOOTTIME, SIGUSR2, 3, SIGEV_SIGNAL);
	shared->id[4] = timer(CLOCK_MONOTONIC, SIGRTMIN, 4, SIGEV_SIGNAL);
	arm(shared->id[4], 0, 0, 1, 1000);
	shared->id[5] = timer(CLOCK_MONOTONIC, SIGRTMIN, 5, SIGEV_NONE);
	arm(shared->id[5], 0, 500, 0, 0);
	shared->id[6] = timer(CLOCK_REALTIME, SIGRTMIN, 6, SIGEV_SIGNAL);
	arm(shared->id[6], 0, 600, 0, 0);
	usleep(50000);
	task_ready();
	for (;;)
		pause();
}

static struct crk_rec_posix_timer *timer_record(const struct capture *c, int id)
{
	struct crk_rec_posix_timer *p;

	for (p = NULL; (p = record(c, 0, CRK_REC_POSIX_TIMER, p));)
		if (p->id == id)
			return p;
	return NULL;
}

TEST_F(cap, timers)
{
	pid_t pid = task_start(self->cgroup, with_timers, NULL);
	struct crk_rec_posix_timer *p;
	struct crk_rec_siginfo *s;
	struct crk_rec_itimer *it;

	self->dev = freeze(self->cgroup);
	self->c = capture_get(self->dev, 0);
	it = record(&self->c, pid, CRK_REC_ITIMER, NULL);
	ASSERT_NE(NULL, it);
	EXPECT_EQ(ITIMER_REAL, it->which);
	EXPECT_TRUE(soon(it->remaining_ns, 1000 * SEC));
	EXPECT_EQ(50 * SEC, it->interval_ns);
	it = record(&self->c, pid, CRK_REC_ITIMER, it);
	ASSERT_NE(NULL, it);
	EXPECT_EQ(ITIMER_VIRTUAL, it->which);
	EXPECT_TRUE(soon(it->remaining_ns, 2001 * SEC));
	EXPECT_EQ(NULL, record(&self->c, pid, CRK_REC_ITIMER, it));

	p = timer_record(&self->c, shared->id[0]);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(CRK_TIMER_ARMED, p->flags);
	EXPECT_EQ(CLOCK_MONOTONIC, p->clockid);
	EXPECT_EQ(SIGUSR1, p->signo);
	EXPECT_EQ(0xabcdef, p->value);
	EXPECT_EQ(SIGEV_SIGNAL, p->notify);
	EXPECT_TRUE(soon(p->remaining_ns, 1000 * SEC));
	EXPECT_EQ(7 * SEC, p->interval_ns);

	p = timer_record(&self->c, shared->id[1]);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(CRK_TIMER_ARMED | CRK_TIMER_ABSTIME, p->flags);
	EXPECT_EQ(2100000000 * SEC + 5, p->remaining_ns);
	EXPECT_EQ(pid, p->notify_tid);
	EXPECT_EQ(0, p->interval_ns);

	p = timer_record(&self->c, shared->id[2]);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(CRK_TIMER_ARMED, p->flags);
	EXPECT_TRUE(soon(p->remaining_ns, 100 * SEC));

	p = timer_record(&self->c, shared->id[3]);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(0, p->flags);

	p = timer_record(&self->c, shared->id[4]);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(CRK_TIMER_ARMED | CRK_TIMER_PENDING, p->flags);
	EXPECT_TRUE(soon(p->remaining_ns, 1000 * SEC));
	EXPECT_EQ(1000 * SEC, p->interval_ns);

	p = timer_record(&self->c, shared->id[5]);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(CRK_TIMER_ARMED, p->flags);
	EXPECT_EQ(SIGEV_NONE, p->notify);
	EXPECT_TRUE(soon(p->remaining_ns, 500 * SEC));

	p = timer_record(&self->c, shared->id[6]);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(CRK_TIMER_ARMED, p->flags);
	EXPECT_TRUE(soon(p->remaining_ns, 600 * SEC));

	s = record(&self->c, pid, CRK_REC_SIGINFO, NULL);
	ASSERT_NE(NULL, s);
	EXPECT_EQ(SIGRTMIN, s->signo);
	EXPECT_EQ(SI_TIMER, ((siginfo_t *)s->info)->si_code);
	EXPECT_EQ(4, ((siginfo_t *)s->info)->si_value.sival_int);
	capture_put(&self->c);
}

/* ---- address space ---- */

/* is all where the record says?  The data of our own vDSO is the same */
static void check_vvar(struct __test_metadata *_metadata, const struct crk_rec_mm *mm)
{
	const char *data = (char *)getauxval(AT_SYSINFO_EHDR) - (mm->vdso - mm->vvar);
	const volatile __u64 *times = (void *)(data + mm->vvar_times);
	const __u32 *zone = (void *)(data + mm->vvar_zone);
	struct timespec before, after, res;
	struct timezone tz;
	struct timeval tv;
	__u64 sec;

	ASSERT_NE(0, mm->vvar_times);
	ASSERT_LE(mm->vvar_times + (CLOCK_TAI + 1) * 16, mm->vdso - mm->vvar);
	ASSERT_NE(0, mm->vvar_zone);
	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	sec = times[CLOCK_REALTIME_COARSE * 2];
	clock_gettime(CLOCK_REALTIME_COARSE, &after);
	EXPECT_TRUE(before.tv_sec <= (time_t)sec && (time_t)sec <= after.tv_sec);
	EXPECT_GT(1000000000U, times[CLOCK_REALTIME_COARSE * 2 + 1]);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
	sec = times[CLOCK_MONOTONIC_COARSE * 2];
	clock_gettime(CLOCK_MONOTONIC_COARSE, &after);
	EXPECT_TRUE(before.tv_sec <= (time_t)sec && (time_t)sec <= after.tv_sec);
	gettimeofday(&tv, &tz);
	clock_getres(CLOCK_MONOTONIC, &res);
	EXPECT_EQ(tz.tz_minuteswest, (int)zone[0]);
	EXPECT_EQ(tz.tz_dsttime, (int)zone[1]);
	EXPECT_EQ(res.tv_nsec, zone[2]);
	/* a counter that begins at 1, and a flag behind it */
	if (mm->vvar_random) {
		ASSERT_LE(mm->vvar_random + 9, mm->vdso - mm->vvar);
		EXPECT_NE(0, *(__u64 *)(data + mm->vvar_random));
		EXPECT_EQ(1, data[mm->vvar_random + 8]);
	}
}

TEST_F(cap, mm)
{
	pid_t pid = task_start(self->cgroup, pending, NULL);
	unsigned long auxv[128] = {};
	struct crk_rec_mm *mm;
	char path[64], line[512];
	ssize_t len;
	FILE *f;
	unsigned int i;
	unsigned long start, end, filter, vdso = 0, vdso_end = 0, vvar = 0;
	int fd;

	self->dev = freeze(self->cgroup);
	self->c = capture_get(self->dev, 0);
	mm = record(&self->c, pid, CRK_REC_MM, NULL);
	ASSERT_NE(NULL, mm);
	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	fd = open(path, O_RDONLY);
	len = read(fd, auxv, sizeof(auxv));
	close(fd);
	/* the kernel gives zeroes after the end of a 32-bit vector */
	for (i = 0; i + 2 < len / sizeof(long) && auxv[i] != AT_NULL; i += 2)
		;
	EXPECT_EQ(i + 2, mm->nr_auxv);
	for (i = 0; i < mm->nr_auxv && i < len / sizeof(long); i++)
		EXPECT_EQ(auxv[i], mm->auxv[i]);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (strstr(line, "[vdso]")) {
			vdso = start;
			vdso_end = end;
		} else if (strstr(line, "[vvar]")) {
			vvar = start;
		} else if (strstr(line, "[heap]")) {
			EXPECT_LE(mm->start_brk, start + 4096);
			EXPECT_EQ(end, (mm->brk + 4095) & ~4095UL);
		} else if (strstr(line, "[stack]")) {
			EXPECT_TRUE(start < mm->start_stack && mm->start_stack < end);
		}
	}
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/coredump_filter", pid);
	f = fopen(path, "r");
	ASSERT_EQ(1, fscanf(f, "%lx", &filter));
	fclose(f);
	EXPECT_EQ(vdso, mm->vdso);
	EXPECT_EQ(vvar, mm->vvar);
	EXPECT_EQ(vdso_end - vvar, mm->vdso_len);
	if (vvar)
		check_vvar(_metadata, mm);
	EXPECT_EQ(1, mm->dumpable);
	EXPECT_EQ(filter, mm->coredump_filter);
	EXPECT_LT(0, mm->mmap_base);
	EXPECT_LT(0, mm->task_size);
#ifdef __x86_64__
	EXPECT_EQ(CRK_MM_VSYSCALL, mm->flags);
#endif
	capture_put(&self->c);
}

/* ---- tasks ---- */

static void family(void *arg)
{
	pid_t child;
	pthread_t t;

	setsid();
	child = fork();
	if (!child)
		_exit(23);
	shared->child = child;
	pthread_create(&t, NULL, idle_thread, (void *)0L);
	while (!__atomic_load_n(&shared->nr, __ATOMIC_SEQ_CST))
		usleep(1000);
	while (waitid(P_PID, shared->child, &(siginfo_t){}, WEXITED | WNOWAIT))
		;
	task_ready();
	for (;;)
		pause();
}

TEST_F(cap, tasks)
{
	pid_t pid = task_start(self->cgroup, family, NULL);
	struct crk_task *t, small[3];
	unsigned int nr;

	self->dev = freeze(self->cgroup);
	t = tasks_get(self->dev, &nr);
	ASSERT_NE(NULL, t);
	ASSERT_EQ(3, nr);
	EXPECT_EQ(pid, t[0].tid);
	EXPECT_EQ(pid, t[0].tgid);
	EXPECT_EQ(getpid(), t[0].ppid);
	EXPECT_EQ(pid, t[0].sid);
	EXPECT_EQ(pid, t[0].pgid);
	EXPECT_EQ(CRK_TASK_LEADER, t[0].flags);
	EXPECT_EQ(SIGCHLD, t[0].exit_signal);
	EXPECT_EQ(1, t[0].nr_levels);
	EXPECT_EQ(pid, t[0].ns_tid[0]);
	EXPECT_EQ(0, t[0].ns_tid[1]);
	EXPECT_STREQ("processes", (char *)t[0].comm);
	EXPECT_EQ(shared->tid[0], t[1].tid);
	EXPECT_EQ(pid, t[1].tgid);
	EXPECT_EQ(0, t[1].flags);
	EXPECT_EQ(-1, t[1].exit_signal);
	EXPECT_EQ(t[0].mm_id, t[1].mm_id);
	EXPECT_EQ(t[0].files_id, t[1].files_id);
	EXPECT_EQ(t[0].fs_id, t[1].fs_id);
	EXPECT_EQ(t[0].sighand_id, t[1].sighand_id);
	EXPECT_NE(0, t[0].mm_id);
	EXPECT_EQ(shared->child, t[2].tid);
	EXPECT_EQ(pid, t[2].ppid);
	EXPECT_EQ(CRK_TASK_LEADER | CRK_TASK_ZOMBIE, t[2].flags);
	EXPECT_EQ(23 << 8, t[2].exit_code);
	EXPECT_EQ(0, t[2].mm_id);
	EXPECT_EQ(t[0].pid_ns_id, t[2].pid_ns_id);
	EXPECT_EQ(t[0].cgroup_id, t[2].cgroup_id);
	EXPECT_EQ(0xcc, ((unsigned char *)&t[3])[0]);
	{
		CMD(crk_tasks, cmd, .entry_size = sizeof(*small), .nr = 2, .tasks_uptr = (uintptr_t)small);

		memset(small, 0xcc, sizeof(small));
		EXPECT_EQ(ENOSPC, device_call(self->dev, CRK_IOC_TASKS, &cmd));
		EXPECT_EQ(3, cmd.out_nr);
		EXPECT_EQ(0xcc, ((unsigned char *)small)[0]);
		cmd.nr = 3;
		cmd.entry_size = 8;
		EXPECT_EQ(EINVAL, device_call(self->dev, CRK_IOC_TASKS, &cmd));
		cmd.entry_size = sizeof(*small);
		cmd.tasks_uptr = 8;
		EXPECT_EQ(EFAULT, device_call(self->dev, CRK_IOC_TASKS, &cmd));
	}
	self->c = capture_get(self->dev, 0);
	EXPECT_NE(NULL, record(&self->c, shared->child, CRK_REC_TASK, NULL));
	EXPECT_EQ(NULL, record(&self->c, shared->child, CRK_REC_THREAD, NULL));
	EXPECT_EQ(NULL, record(&self->c, shared->tid[0], CRK_REC_MM, NULL));
	capture_put(&self->c);
	free(t);
}

static void dead_leader(void *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, idle_thread, (void *)0L);
	while (!__atomic_load_n(&shared->nr, __ATOMIC_SEQ_CST))
		usleep(1000);
	task_ready();
	syscall(SYS_exit, 0);
}

TEST_F(cap, dead_leader)
{
	pid_t pid = task_start(self->cgroup, dead_leader, NULL);
	struct crk_task *t;
	unsigned int nr;

	usleep(100000);
	self->dev = freeze(self->cgroup);
	t = tasks_get(self->dev, &nr);
	ASSERT_NE(NULL, t);
	ASSERT_EQ(2, nr);
	EXPECT_EQ(CRK_TASK_LEADER | CRK_TASK_DEAD, t[0].flags);
	self->c = capture_get(self->dev, 0);
	EXPECT_NE(NULL, record(&self->c, pid, CRK_REC_MM, NULL));
	EXPECT_NE(NULL, record(&self->c, pid, CRK_REC_ACTIONS, NULL));
	EXPECT_EQ(NULL, record(&self->c, pid, CRK_REC_THREAD, NULL));
	EXPECT_NE(NULL, record(&self->c, shared->tid[0], CRK_REC_THREAD, NULL));
	capture_put(&self->c);
	free(t);
}

static void in_vfork(void *arg)
{
	task_ready();
	if (!vfork()) {
		shared->child = getpid();
		for (;;)
			syscall(SYS_pause);
	}
	pause();
}

TEST_F(cap, vfork)
{
	pid_t pid = task_start(self->cgroup, in_vfork, NULL);
	struct crk_rec_thread *t;
	struct crk_task *tasks;
	unsigned int nr;

	while (!*(volatile pid_t *)&shared->child)
		usleep(1000);
	self->dev = freeze(self->cgroup);
	tasks = tasks_get(self->dev, &nr);
	ASSERT_NE(NULL, tasks);
	ASSERT_EQ(2, nr);
	EXPECT_EQ(CRK_TASK_LEADER | CRK_TASK_VFORK, tasks[0].flags);
	EXPECT_EQ(CRK_TASK_LEADER, tasks[1].flags);
	EXPECT_EQ(tasks[0].mm_id, tasks[1].mm_id);
	self->c = capture_get(self->dev, 0);
	t = record(&self->c, pid, CRK_REC_THREAD, NULL);
	ASSERT_NE(NULL, t);
	EXPECT_EQ(CRK_SYSCALL_VFORK, t->syscall);
	capture_put(&self->c);
	free(tasks);
}

/* ---- the call itself ---- */

TEST_F(cap, errors)
{
	static char buf[1 << 16];
	pid_t pid = task_start(self->cgroup, pending, NULL);
	CMD_LOG(crk_capture, cmd, .buf_uptr = (uintptr_t)buf, .buf_len = 64);

	self->dev = freeze(self->cgroup);
	EXPECT_EQ(ENOSPC, device_call(self->dev, CRK_IOC_CAPTURE, &cmd));
	EXPECT_TRUE(strstr(cmd_log, "needs")) TH_LOG("%s", cmd_log);
	EXPECT_EQ(0, cmd.out_len);
	cmd.buf_len = sizeof(buf);
	cmd.tid = getpid();
	EXPECT_EQ(ESRCH, device_call(self->dev, CRK_IOC_CAPTURE, &cmd));
	cmd.tid = -1;
	EXPECT_EQ(ESRCH, device_call(self->dev, CRK_IOC_CAPTURE, &cmd));
	cmd.tid = pid;
	cmd.buf_uptr = 8;
	EXPECT_EQ(EFAULT, device_call(self->dev, CRK_IOC_CAPTURE, &cmd));
	cmd.tid = 0;
	cmd.cursor = 5;
	EXPECT_EQ(EINVAL, device_call(self->dev, CRK_IOC_CAPTURE, &cmd));
}

static bool is_kernel_address(uint64_t v)
{
	return (v >= 0xffff800000000000ULL && v < 0xfffff00000000000ULL) ||
	       (v >= 0xffffffff80000000ULL && v < 0xffffffffff000000ULL);
}

/* what looks like an address of the kernel must not be in there */
TEST_F(cap, no_kernel_addresses)
{
	unsigned int nr, bad = 0;
	struct crk_task *t;
	uint64_t *p;

	task_start(self->cgroup, sleep_all, NULL);
	task_start(self->cgroup, family, NULL);
	task_start(self->cgroup, with_timers, NULL);
	self->dev = freeze(self->cgroup);
	self->c = capture_get(self->dev, 0);
	for (p = (uint64_t *)self->c.buf; p < (uint64_t *)(self->c.buf + self->c.len); p++)
		bad += is_kernel_address(*p);
	EXPECT_EQ(0, bad);
	t = tasks_get(self->dev, &nr);
	for (p = (uint64_t *)t; p < (uint64_t *)(t + nr); p++)
		bad += is_kernel_address(*p);
	EXPECT_EQ(0, bad);
	capture_put(&self->c);
	free(t);
}

TEST_HARNESS_MAIN
