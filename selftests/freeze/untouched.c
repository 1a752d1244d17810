// SPDX-License-Identifier: GPL-2.0
/*
 * A dump that leaves the target running changes nothing in it (requirements 1.2, 1.3, 5.5): all that /proc tells of its
 * processes, all readable memory and its page tables are compared byte by byte, but for the named list of lib/shot.c; it
 * gets no signal, is never traced, has no new child or thread, and its threads are woken as by a freeze alone.
 *
 * CRK_DUMPS=N: how many dumps the target counts signals over; 1000 take minutes under emulation.
 *
 * crk-test: abi=x86_64,arm
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"
#include "shot.h"

/* ---- the target; forked from the test, so that what it has is at the same addresses ---- */

#define NR_THREADS	4

static volatile unsigned long signals_seen[NSIG];
static volatile unsigned long interrupted, loops;
static uintptr_t rseq_areas[NR_THREADS];	/* 0: the thread has none */

static void on_signal(int sig)
{
	signals_seen[sig]++;
}

static void catch_all(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		sigaction(sig, &sa, NULL);
}

static void rseq_note(size_t i)
{
	if (__rseq_size)
		rseq_areas[i] = (uintptr_t)__builtin_thread_pointer() + __rseq_offset;
}

static void *in_nanosleep(void *arg)
{
	rseq_note(1);
	/* not the C library's: for 32 bit it asks for the rest, which the kernel writes at each freeze */
	syscall(SYS_nanosleep, &(struct timespec){ .tv_sec = 100000 }, NULL);
	_exit(1);
}

static void *in_read(void *arg)
{
	char c;

	rseq_note(2);
	_exit(read(*(int *)arg, &c, 1));
}

static void *in_futex(void *arg)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;

	rseq_note(3);
	pthread_mutex_lock(&m);
	pthread_cond_wait(&c, &m);
	_exit(1);
}

/* one of each kind of thing that a dump looks at closely */
static void have_things(int p[2])
{
	struct itimerspec soon = { .it_value = { .tv_sec = 100000 } };
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 4711 };
	char name[] = "/tmp/untouched.XXXXXX", c = 'x';
	int sock[2], fd, ep, i;
	timer_t timer;
	sigset_t usr2;
	char *m;

	if (pipe(p) || socketpair(AF_UNIX, SOCK_STREAM, 0, sock) || write(sock[0], "queued", 6) != 6)
		_exit(1);
	fd = mkstemp(name);
	if (fd < 0 || ftruncate(fd, 1 << 20) || pwrite(fd, name, sizeof(name), 0) < 0 || lseek(fd, 4711, SEEK_SET) < 0)
		_exit(1);
	/* pages that are there, that are not, and that were copied */
	m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	m[0] ^= m[4096];
	m = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, fd, 0);
	c ^= m[0];
	m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(m, c, 8192);
	m = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < 256; i++)
		m[i * 8192] = i;		/* every second page; the others are looked at or not */
	for (i = 0; i < 64; i++)
		c ^= m[i * 8192 + 4096];	/* the page of zeros */
	mprotect(m, 65536, PROT_READ);
	mprotect(m + 65536, 65536, PROT_NONE);
	mlock(m + (1 << 20), 65536);
	unlink(name);
	ep = epoll_create1(0);
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev);
	eventfd(17, 0);
	fd = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(fd, 0, &soon, NULL);
	timer_create(CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 }, &timer);
	timer_settime(timer, 0, &soon, NULL);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr2, NULL);
	kill(getpid(), SIGUSR2);
	signals_seen[0] = c;
}

static void at_rest(void *arg)
{
	void *(*const fns[])(void *) = { in_nanosleep, in_read, in_futex };
	pthread_t t;
	cpu_set_t one;
	int p[2];
	size_t i;
	char c;

	/* the number of its CPU is part of its memory */
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	catch_all();
	have_things(p);
	rseq_note(0);
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(p[1], "c", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	/* it has run: code at which it never was need not be there, and on ARM the dump looks at that */
	if (read(p[0], &c, 1) != 1)
		_exit(1);
	for (i = 0; i < 3; i++)
		pthread_create(&t, NULL, fns[i], &p[0]);
	task_ready();
	for (;;)
		pause();
}

static void *spin(void *arg)
{
	for (;;)
		loops++;
	return NULL;
}

static void at_work(void *arg)
{
	pthread_t t;

	catch_all();
	pthread_create(&t, NULL, spin, NULL);
	task_ready();
	for (;;)
		if (nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL))
			interrupted++;
}

/* ---- dumps ---- */

/* the length of the freeze in ns, -1 if the dump failed */
static long long dump_with(const char *cgroup, const char *dir, const char *snapshot)
{
	char images[PATH_MAX], out[PATH_MAX], cmd[2 * PATH_MAX + 64], *text, *p;
	double seconds = -1e-9;
	int status, fd;
	pid_t pid;

	snprintf(images, sizeof(images), "%s/img", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", images);
	if (system(cmd))
		return -1;
	pid = fork();
	if (!pid) {
		fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		execlp("crkhelper", "crkhelper", "dump", "-g", cgroup, "-D", images, "--leave-running", "--json", snapshot,
		       NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	text = slurp(out);
	p = text ? strstr(text, "\"frozen_seconds\": ") : NULL;
	if (status || !p)
		fprintf(stderr, "# dump: %#x: %s\n", status, text ?: "");
	else
		seconds = atof(p + 18);
	free(text);
	return seconds * 1e9;
}

/* one whose target is too small for a snapshot: what it writes to after one would be copied, and the faults are counted */
static long long dump(const char *cgroup, const char *dir)
{
	return dump_with(cgroup, dir, "--snapshot=auto");
}

/* looks at the target as often as it can while others dump it */
struct watch {
	pid_t pid;
	const char *cgroup;
	volatile bool stop;
	unsigned long looks, traced, stopped, others;
};

static void *watch(void *arg)
{
	struct watch *w = arg;
	char status[64], procs[PATH_MAX], threads[PATH_MAX], *a, *b, *text, *first_a, *first_b;

	snprintf(status, sizeof(status), "/proc/%d/status", w->pid);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", w->cgroup);
	snprintf(threads, sizeof(threads), "%s/cgroup.threads", w->cgroup);
	first_a = slurp(procs);
	first_b = slurp(threads);
	while (!w->stop) {
		text = slurp(status);
		a = slurp(procs);
		b = slurp(threads);
		w->looks++;
		w->traced += !strstr(text, "\nTracerPid:\t0\n");
		w->stopped += strstr(text, "\nState:\tT") || strstr(text, "\nState:\tt");
		w->others += strcmp(a, first_a) || strcmp(b, first_b);
		free(text);
		free(a);
		free(b);
		usleep(200);
	}
	free(first_a);
	free(first_b);
	return NULL;
}

FIXTURE(untouched) {
	char *cgroup;
	char dir[32];
};

FIXTURE_SETUP(untouched)
{
	self->cgroup = cgroup_make(NULL, "untouched");
	strcpy(self->dir, "/tmp/untouched.XXXXXX");
	ASSERT_TRUE(mkdtemp(self->dir));
}

FIXTURE_TEARDOWN(untouched)
{
	char cmd[64];

	cgroup_remove(self->cgroup);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", self->dir);
	EXPECT_EQ(0, system(cmd));
}

static bool target_get(pid_t pid, void *var, size_t len)
{
	struct iovec here = { var, len }, there = { var, len };

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

#define SAME(a, b) do {									\
	char *_what = shot_differs(&(a), &(b));						\
	EXPECT_FALSE(_what) TH_LOG("%s", _what);					\
	free(_what);									\
} while (0)

static void wait_frozen(const char *cgroup)
{
	cgroup_freeze(cgroup, true);
	while (!cgroup_frozen(cgroup))
		usleep(1000);
}

static const struct look tables = { .when = ALWAYS };
static const struct look all = { .when = ALWAYS, .contents = true };
/* the kernel writes the number of the CPU into the areas whenever the thread comes back from a sleep */
static const struct look thawed = {
	.when = ALWAYS | THAWED, .contents = true, .rseq = rseq_areas, .nr_rseq = NR_THREADS,
};

/* frozen all the time: not one exception is the dump's */
TEST_F_TIMEOUT(untouched, frozen, 600)
{
	pid_t pid = task_start(self->cgroup, at_rest, NULL);
	struct shot a, b, c, d;

	task_wait_state(pid, 'S');
	wait_frozen(self->cgroup);
	/* before anybody read its memory, which makes pages present */
	a = shot_take(self->cgroup, &tables);
	EXPECT_LT(50, a.nr);
	ASSERT_LE(0, dump(self->cgroup, self->dir));
	b = shot_take(self->cgroup, &tables);
	SAME(a, b);
	shot_free(&b);
	/* a duplicate of its memory was there for a while */
	ASSERT_LE(0, dump_with(self->cgroup, self->dir, "--snapshot=always"));
	b = shot_take(self->cgroup, &tables);
	SAME(a, b);
	shot_free(&a);
	shot_take(self->cgroup, &all);
	c = shot_take(self->cgroup, &all);
	EXPECT_LT(500, c.nr);
	ASSERT_LE(0, dump(self->cgroup, self->dir));
	ASSERT_LE(0, dump_with(self->cgroup, self->dir, "--snapshot=always"));
	d = shot_take(self->cgroup, &all);
	SAME(c, d);
	EXPECT_TRUE(cgroup_frozen(self->cgroup));
}

/* asleep in system calls, frozen by the dump: nobody can tell but by what any freeze changes */
TEST_F_TIMEOUT(untouched, at_rest, 600)
{
	pid_t pid = task_start(self->cgroup, at_rest, NULL);
	struct shot a, b;

	task_wait_state(pid, 'S');
	ASSERT_TRUE(target_get(pid, rseq_areas, sizeof(rseq_areas)));
	/* what is different after the first freeze is so after any */
	wait_frozen(self->cgroup);
	cgroup_freeze(self->cgroup, false);
	task_wait_state(pid, 'S');
	shot_take(self->cgroup, &thawed);
	a = shot_take(self->cgroup, &thawed);
	ASSERT_LE(0, dump(self->cgroup, self->dir));
	EXPECT_FALSE(cgroup_frozen(self->cgroup));
	task_wait_state(pid, 'S');
	b = shot_take(self->cgroup, &thawed);
	SAME(a, b);
	memset(rseq_areas, 0, sizeof(rseq_areas));
}

/* the comparison sees a changed byte, a register, a descriptor, a page that was not there */
TEST_F_TIMEOUT(untouched, a_touch_is_seen, 600)
{
	pid_t pid = task_start(self->cgroup, at_rest, NULL);
	unsigned long one = 1;
	struct iovec here = { &one, sizeof(one) }, there = { (void *)&loops, sizeof(loops) };
	struct shot a, b, c;
	char *what;

	task_wait_state(pid, 'S');
	wait_frozen(self->cgroup);
	shot_take(self->cgroup, &all);
	a = shot_take(self->cgroup, &all);
	ASSERT_EQ((ssize_t)sizeof(one), process_vm_writev(pid, &here, 1, &there, 1, 0));
	b = shot_take(self->cgroup, &all);
	what = shot_differs(&a, &b);
	ASSERT_TRUE(what);
	EXPECT_TRUE(strstr(what, "contents at")) TH_LOG("%s", what);
	kill(pid, SIGUSR1);
	c = shot_take(self->cgroup, &all);
	what = shot_differs(&b, &c);
	ASSERT_TRUE(what);
	EXPECT_TRUE(strstr(what, "status: \"SigQ")) TH_LOG("%s", what);
}

TEST_F_TIMEOUT(untouched, gets_no_signal, 3600)
{
	int i, sig, nr = atoi(getenv("CRK_DUMPS") ?: "15");
	pid_t pid = task_start(self->cgroup, at_work, NULL);
	struct watch w = { .pid = pid, .cgroup = self->cgroup };
	unsigned long before;
	pthread_t t;

	pthread_create(&t, NULL, watch, &w);
	for (i = 0; i < nr; i++) {
		ASSERT_TRUE(target_get(pid, (void *)&loops, sizeof(loops)));
		before = loops;
		ASSERT_LE(0, dump_with(self->cgroup, self->dir, i % 2 ? "--snapshot=always" : "--snapshot=auto"));
		/* it works on between two dumps */
		while (loops == before)
			ASSERT_TRUE(target_get(pid, (void *)&loops, sizeof(loops)));
	}
	w.stop = true;
	pthread_join(t, NULL);
	TH_LOG("%d dumps, looked at %lu times", nr, w.looks);
	EXPECT_LT(nr, w.looks);
	EXPECT_EQ(0, w.traced);
	EXPECT_EQ(0, w.stopped);
	EXPECT_EQ(0, w.others);
	ASSERT_TRUE(target_get(pid, (void *)signals_seen, sizeof(signals_seen)));
	ASSERT_TRUE(target_get(pid, (void *)&interrupted, sizeof(interrupted)));
	for (sig = 1; sig < NSIG; sig++)
		EXPECT_EQ(0, signals_seen[sig]) TH_LOG("signal %d", sig);
	EXPECT_EQ(0, interrupted);
	/* it would have seen one */
	kill(pid, SIGTRAP);
	for (i = 0; i < 1000 && !signals_seen[SIGTRAP]; i++) {
		usleep(10000);
		ASSERT_TRUE(target_get(pid, (void *)signals_seen, sizeof(signals_seen)));
	}
	EXPECT_EQ(1, signals_seen[SIGTRAP]);
}

/* of all threads: context switches and CPU time */
struct cost {
	long long switches, cpu_ns;
};

static struct cost cost_of(pid_t pid)
{
	char path[400], dir[64], *text, *p;
	struct cost c = {};
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/task", pid);
	d = opendir(dir);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/status", dir, e->d_name);
		text = slurp(path);
		for (p = strstr(text, "voluntary_ctxt"); p; p = strstr(p + 20, "voluntary_ctxt"))
			c.switches += atoll(strchr(p, ':') + 1);
		free(text);
		snprintf(path, sizeof(path), "%s/%s/schedstat", dir, e->d_name);
		text = slurp(path);
		c.cpu_ns += atoll(text);
		free(text);
	}
	closedir(d);
	return c;
}

static int cmp_cost(const void *a, const void *b)
{
	const struct cost *x = a, *y = b;

	return x->cpu_ns < y->cpu_ns ? -1 : x->cpu_ns > y->cpu_ns;
}

#define NR_COSTS	11

/* what of @nr was usual; the emulator's pauses count as CPU time of whoever runs */
static struct cost cost_median(struct cost *costs, size_t nr)
{
	struct cost m;
	size_t i;

	for (i = nr - 1; i > 0; i--) {
		costs[i].switches -= costs[i - 1].switches;
		costs[i].cpu_ns -= costs[i - 1].cpu_ns;
	}
	qsort(costs + 1, nr - 1, sizeof(*costs), cmp_cost);
	m.cpu_ns = costs[nr / 2].cpu_ns;
	for (m.switches = 0, i = 1; i < nr; i++)
		m.switches += costs[i].switches;
	return m;
}

/*
 * The CPUs never rest, dump or not.  An emulated one that has rested is served at once by its host when it wakes, and
 * another one is interrupted for milliseconds, which the guest counts as CPU time of whoever runs.
 */
static pid_t keep_busy(int cpu)
{
	cpu_set_t one;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	setpriority(PRIO_PROCESS, 0, 19);
	for (;;)
		getppid();
}

static struct cost settled(pid_t pid)
{
	task_wait_state(pid, 'S');
	usleep(20000);
	return cost_of(pid);
}

TEST_F_TIMEOUT(untouched, costs_a_freeze, 600)
{
	char *other = cgroup_make(NULL, "other");
	pid_t pid = task_start(self->cgroup, at_rest, NULL);
	pid_t busy[2] = { keep_busy(0), keep_busy(1) };
	struct cost dumps[NR_COSTS], freezes[NR_COSTS], d, f;
	int i;

	task_start(other, at_rest, NULL);
	dumps[0] = settled(pid);
	for (i = 1; i < NR_COSTS; i++) {
		ASSERT_LE(0, dump(self->cgroup, self->dir));
		dumps[i] = settled(pid);
	}
	/* a machine that does the same work meanwhile, with somebody else: caches, of an emulator too, are as cold */
	freezes[0] = settled(pid);
	for (i = 1; i < NR_COSTS; i++) {
		wait_frozen(self->cgroup);
		ASSERT_LE(0, dump(other, self->dir));
		cgroup_freeze(self->cgroup, false);
		freezes[i] = settled(pid);
	}
	cgroup_remove(other);
	for (i = 0; i < 2; i++) {
		kill(busy[i], SIGKILL);
		waitpid(busy[i], NULL, 0);
	}
	d = cost_median(dumps, NR_COSTS);
	f = cost_median(freezes, NR_COSTS);
	TH_LOG("%d dumps: %lld switches, %lld us each; as many freezes: %lld switches, %lld us each", NR_COSTS - 1,
	       d.switches, d.cpu_ns / 1000, f.switches, f.cpu_ns / 1000);
	EXPECT_LE(d.switches, f.switches + f.switches / 4);
	EXPECT_LE(d.cpu_ns, 3 * f.cpu_ns);
}

TEST_HARNESS_MAIN
