// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_SNAPSHOT: all private pages of a snapshot against what was read while the process was frozen, when it has
 * written to each of them since; what is left out; who may not have one; the holder.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "kselftest_harness.h"

#define PAGE		4096UL
#define WRITERS		8
#define WRITER_PAGES	512UL
#define MAX_RANGES	4096
#define MAX_VMAS	512

#ifndef SYS_mseal
#define SYS_mseal	462
#endif

static struct shared {
	volatile unsigned int rounds[WRITERS];
	unsigned long memory, dontfork, wipeonfork, locked, shared, uffd;
	volatile int wait_result;
} *shared;

static unsigned long anon(size_t len, int flags)
{
	/* a hole behind each, so that no two become one */
	char *p = mmap(NULL, len + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p = mmap(p, len, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
	if (p == MAP_FAILED)
		_exit(1);
	memset(p, 'a', len);
	return (unsigned long)p;
}

static void *write_all(void *arg)
{
	size_t id = (size_t)arg, i;
	volatile unsigned int *p = (void *)(shared->memory + id * WRITER_PAGES * PAGE);
	unsigned int round;

	for (round = 1;; round++) {
		for (i = 0; i < WRITER_PAGES; i++) {
			p[i * PAGE / 4] = round;
			p[i * PAGE / 4 + 1023] = round;
		}
		if (!id) {
			*(volatile unsigned int *)shared->dontfork = round;
			*(volatile unsigned int *)shared->wipeonfork = round;
			*(volatile unsigned int *)shared->locked = round;
			*(volatile unsigned int *)shared->shared = round;
			shared->wait_result = waitpid(-1, NULL, WNOHANG | __WALL);
		}
		shared->rounds[id] = round;
	}
	return NULL;
}

static void writers(void *arg)
{
	pthread_t t;
	size_t i;

	shared->memory = anon(WRITERS * WRITER_PAGES * PAGE, MAP_PRIVATE);
	shared->dontfork = anon(4 * PAGE, MAP_PRIVATE);
	shared->wipeonfork = anon(4 * PAGE, MAP_PRIVATE);
	shared->locked = anon(4 * PAGE, MAP_PRIVATE);
	shared->shared = anon(4 * PAGE, MAP_SHARED);
	if (madvise((void *)shared->dontfork, 4 * PAGE, MADV_DONTFORK) ||
	    madvise((void *)shared->wipeonfork, 4 * PAGE, MADV_WIPEONFORK) || mlock((void *)shared->locked, 4 * PAGE))
		_exit(1);
	/* since Linux 6.10 */
	syscall(SYS_mseal, shared->wipeonfork, 4 * PAGE, 0);
	for (i = 0; i < WRITERS; i++)
		pthread_create(&t, NULL, write_all, (void *)i);
	task_ready();
	for (;;)
		pause();
}

static void rounds_wait(unsigned int nr)
{
	unsigned int to[WRITERS];
	int i;

	for (i = 0; i < WRITERS; i++)
		to[i] = shared->rounds[i] + nr;
	for (i = 0; i < WRITERS; i++)
		while (shared->rounds[i] < to[i])
			usleep(1000);
}

FIXTURE(snap) {
	char *cgroup;
	pid_t pid;
	int dev;
};

FIXTURE_SETUP(snap)
{
	CMD_LOG(crk_info, info);
	int dev = device_open();

	ASSERT_EQ(0, device_call(dev, CRK_IOC_INFO, &info));
	close(dev);
	if (!(info.out_features & CRK_FEAT_SNAPSHOT))
		SKIP(return, "no snapshots here: %s", info_log);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	self->cgroup = cgroup_make(NULL, "snapshot");
	self->pid = task_start(self->cgroup, writers, NULL);
	rounds_wait(1);
	self->dev = freeze(self->cgroup);
}

FIXTURE_TEARDOWN(snap)
{
	if (!self->cgroup)
		return;
	close(self->dev);
	/* whatever was done, it runs */
	rounds_wait(1);
	EXPECT_EQ(-1, shared->wait_result);
	EXPECT_EQ(0, kill(self->pid, 0));
	cgroup_remove(self->cgroup);
}

/* ---- calls ---- */

static int snapshot(int dev, pid_t pid, unsigned int flags, unsigned int *id)
{
	CMD_LOG(crk_snapshot, cmd, .pid = pid, .flags = flags);
	int ret = device_call(dev, CRK_IOC_SNAPSHOT, &cmd);

	if (ret)
		fprintf(stderr, "# %s\n", cmd_log);
	*id = cmd.out_id;
	return ret;
}

static int thaw(int dev)
{
	CMD(crk_thaw, cmd);

	return device_call(dev, CRK_IOC_THAW, &cmd);
}

static unsigned int vmas_get(int dev, pid_t pid, struct crk_vma *vmas)
{
	CMD(crk_vmas, cmd, .pid = pid, .entry_size = sizeof(*vmas), .vmas_uptr = (uintptr_t)vmas, .nr = MAX_VMAS);

	return device_call(dev, CRK_IOC_VMAS, &cmd) ? 0 : cmd.out_nr;
}

/* the private pages that are there, but for locked ones */
static unsigned int ranges_get(struct __test_metadata *_metadata, int dev, pid_t pid, struct crk_range *ranges)
{
	static struct crk_vma vmas[MAX_VMAS];
	static struct crk_pages pages[MAX_RANGES];
	unsigned int i, k, nr = 0, nr_vmas = vmas_get(dev, pid, vmas);

	EXPECT_LT(10, nr_vmas);
	for (i = 0; i < nr_vmas; i++) {
		CMD(crk_pagerun, run, .pid = pid, .entry_size = sizeof(*pages), .pages_uptr = (uintptr_t)pages,
		    .nr = MAX_RANGES, .start = vmas[i].start, .end = vmas[i].end);

		if (vmas[i].flags & (CRK_VMA_MAYSHARE | CRK_VMA_LOCKED | CRK_VMA_SPECIAL))
			continue;
		EXPECT_EQ(0, device_call(dev, CRK_IOC_PAGES, &run));
		for (k = 0; k < run.out_nr && nr < MAX_RANGES; k++)
			if (pages[k].flags & (CRK_PAGE_ANON | CRK_PAGE_SWAP))
				ranges[nr++] = (struct crk_range){ pages[k].addr, pages[k].nr * PAGE };
	}
	return nr;
}

/* what is written to the file, mapped; NULL with errno */
static char *read_ranges(int dev, pid_t pid, unsigned int id, unsigned int flags, const struct crk_range *ranges,
			 unsigned int nr, size_t *len)
{
	char name[] = "/tmp/crk-snapshot-XXXXXX", *p;
	CMD_LOG(crk_read, cmd, .pid = pid, .snapshot = id, .flags = flags, .ranges_uptr = (uintptr_t)ranges, .nr = nr);
	int err;

	cmd.file_fd = mkstemp(name);
	unlink(name);
	err = device_call(dev, CRK_IOC_READ, &cmd);
	*len = cmd.out_len;
	p = *len ? mmap(NULL, *len, PROT_READ, MAP_SHARED, cmd.file_fd, 0) : NULL;
	close(cmd.file_fd);
	if (err)
		p = NULL;
	errno = err;
	return p;
}

static int read_errno(int dev, pid_t pid, unsigned int id, unsigned int flags, unsigned long addr)
{
	struct crk_range range = { addr, PAGE };
	size_t len;
	char *p = read_ranges(dev, pid, id, flags, &range, 1, &len);

	if (!p)
		return errno;
	munmap(p, len);
	return 0;
}

static pid_t holder(void)
{
	char path[300], comm[20];
	struct dirent *e;
	pid_t ret = 0;
	DIR *d = opendir("/proc");
	FILE *f;

	while (!ret && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = atoi(e->d_name) ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && !strcmp(comm, "crk-snapshot\n"))
			ret = atoi(e->d_name);
		fclose(f);
	}
	closedir(d);
	return ret;
}

static char *proc_text(pid_t pid, const char *file)
{
	static char bufs[2][1 << 20];
	static int which;
	char path[64], *buf = bufs[which ^= 1];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	f = fopen(path, "re");
	len = f ? fread(buf, 1, sizeof(bufs[0]) - 1, f) : 0;
	buf[len] = '\0';
	if (f)
		fclose(f);
	return buf;
}

static long status_number(pid_t pid, const char *key)
{
	const char *line = strstr(proc_text(pid, "status"), key);

	return line ? atol(line + strlen(key)) : -1;
}

/* ---- what is in it ---- */

TEST_F(snap, all_pages_are_of_the_frozen_moment)
{
	static struct crk_range ranges[MAX_RANGES];
	unsigned int nr, id, i;
	size_t len, len2, k;
	char *truth, *now;

	nr = ranges_get(_metadata, self->dev, self->pid, ranges);
	ASSERT_LT(20, nr);
	ASSERT_GT(MAX_RANGES, nr);
	truth = read_ranges(self->dev, self->pid, 0, 0, ranges, nr, &len);
	ASSERT_NE(NULL, truth);
	ASSERT_LT(WRITERS * WRITER_PAGES * PAGE, len);
	ASSERT_EQ(0, snapshot(self->dev, self->pid, 0, &id));
	ASSERT_NE(0, id);
	ASSERT_EQ(0, thaw(self->dev));
	rounds_wait(3);
	for (i = 0; i < 2; i++) {
		now = read_ranges(self->dev, 0, id, i ? CRK_READ_DROP : 0, ranges, nr, &len2);
		ASSERT_NE(NULL, now) TH_LOG("%s", strerror(errno));
		ASSERT_EQ(len, len2);
		for (k = 0; k < len; k += PAGE)
			EXPECT_EQ(0, memcmp(truth + k, now + k, PAGE)) TH_LOG("page %zu differs", k / PAGE);
		munmap(now, len);
	}
	/* and it can tell: the process has other contents by now */
	for (k = 0; k < len && memcmp(truth + k, (char *)&(unsigned int){ shared->rounds[0] }, 4); k += PAGE)
		;
	EXPECT_EQ(len, k);
	/* all that was read is gone */
	EXPECT_EQ(EFAULT, read_errno(self->dev, 0, id, 0, shared->memory));
	EXPECT_GT(512, status_number(holder(), "VmRSS:"));
	munmap(truth, len);
}

TEST_F(snap, gives_back_what_was_read)
{
	struct crk_range half = { shared->memory, WRITERS * WRITER_PAGES * PAGE / 2 };
	unsigned int id;
	long before, after;
	size_t len;

	ASSERT_EQ(0, snapshot(self->dev, self->pid, 0, &id));
	ASSERT_EQ(0, thaw(self->dev));
	before = status_number(holder(), "VmRSS:");
	ASSERT_NE(NULL, read_ranges(self->dev, 0, id, CRK_READ_DROP, &half, 1, &len));
	after = status_number(holder(), "VmRSS:");
	EXPECT_GE(before - (long)(half.len >> 10), after);
	EXPECT_LT(0, after);
	EXPECT_EQ(EFAULT, read_errno(self->dev, 0, id, 0, half.addr));
	EXPECT_EQ(0, read_errno(self->dev, 0, id, 0, half.addr + half.len));
}

TEST_F(snap, left_out)
{
	unsigned int without, with;

	ASSERT_EQ(0, snapshot(self->dev, self->pid, 0, &without));
	ASSERT_EQ(0, snapshot(self->dev, self->pid, CRK_SNAPSHOT_LOCKED, &with));
	EXPECT_NE(without, with);
	EXPECT_EQ(EFAULT, read_errno(self->dev, 0, without, 0, shared->locked));
	EXPECT_EQ(0, read_errno(self->dev, 0, with, 0, shared->locked));
	EXPECT_EQ(EFAULT, read_errno(self->dev, 0, with, 0, shared->shared));
	EXPECT_EQ(0, read_errno(self->dev, 0, with, 0, shared->dontfork));
	EXPECT_EQ(0, read_errno(self->dev, 0, with, 0, shared->wipeonfork));
}

/* what the process said by madvise(), mlock(), mseal() is as it was */
TEST_F(snap, mappings_are_untouched)
{
	static struct crk_vma before[MAX_VMAS], after[MAX_VMAS];
	unsigned int id, i, nr = vmas_get(self->dev, self->pid, before);

	ASSERT_LT(10, nr);
	ASSERT_EQ(0, snapshot(self->dev, self->pid, 0, &id));
	ASSERT_EQ(nr, vmas_get(self->dev, self->pid, after));
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, memcmp(&before[i], &after[i], sizeof(before[i])))
			TH_LOG("%llx: flags %llx, then %llx", before[i].start, before[i].flags, after[i].flags);
	for (i = 0; i < nr && before[i].start != shared->dontfork; i++)
		;
	EXPECT_TRUE(after[i].flags & CRK_VMA_DONTCOPY);
}

/* ---- refusals ---- */

TEST_F(snap, refused)
{
	unsigned int id, none;

	EXPECT_EQ(ESRCH, snapshot(self->dev, getpid(), 0, &none));
	EXPECT_EQ(0, none);
	ASSERT_EQ(0, snapshot(self->dev, self->pid, 0, &id));
	EXPECT_EQ(ESRCH, read_errno(self->dev, 0, id + 1, 0, shared->memory));
	EXPECT_EQ(EINVAL, read_errno(self->dev, self->pid, id, 0, shared->memory));
	EXPECT_EQ(EINVAL, read_errno(self->dev, self->pid, 0, CRK_READ_DROP, shared->memory));
	EXPECT_EQ(0, read_errno(self->dev, self->pid, 0, 0, shared->memory));
	ASSERT_EQ(0, thaw(self->dev));
	EXPECT_EQ(EBUSY, read_errno(self->dev, self->pid, 0, 0, shared->memory));
	EXPECT_EQ(EBUSY, snapshot(self->dev, self->pid, 0, &none));
	EXPECT_EQ(0, read_errno(self->dev, 0, id, 0, shared->memory));
}

static void with_userfaults(void *arg)
{
	struct uffdio_api api = { .api = UFFD_API, .features = *(__u64 *)arg };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	shared->uffd = anon(4 * PAGE, MAP_PRIVATE);
	reg.range.start = shared->uffd;
	reg.range.len = 4 * PAGE;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		shared->uffd = 0;
	task_ready();
	for (;;)
		pause();
}

/* with events of forks the monitor would be told, and waited for */
TEST_F(snap, refused_with_userfaultfd)
{
	__u64 features[] = { 0, UFFD_FEATURE_EVENT_FORK };
	unsigned int id, i;

	for (i = 0; i < 2; i++) {
		char *cgroup = cgroup_make(NULL, "uffd");
		pid_t pid = task_start(cgroup, with_userfaults, &features[i]);
		int dev = freeze(cgroup);

		EXPECT_NE(0, shared->uffd);
		EXPECT_EQ(EOPNOTSUPP, snapshot(dev, pid, 0, &id));
		close(dev);
		EXPECT_EQ(0, kill(pid, 0));
		cgroup_remove(cgroup);
	}
}

static int sleep_on(void *arg)
{
	for (;;)
		pause();
	return 0;
}

static void with_sharer(void *arg)
{
	static char stack[65536] __attribute__((aligned(16)));

	shared->uffd = clone(sleep_on, stack + sizeof(stack), CLONE_VM, NULL);
	task_ready();
	for (;;)
		pause();
}

/* who runs could change the memory while it is duplicated */
TEST_F(snap, refused_with_sharers_outside)
{
	char *cgroup = cgroup_make(NULL, "sharer"), *other = cgroup_make(NULL, "other");
	pid_t pid = task_start(cgroup, with_sharer, NULL), sharer = shared->uffd;
	unsigned int id;
	int dev;

	ASSERT_LT(0, sharer);
	dev = freeze(cgroup);
	EXPECT_EQ(0, snapshot(dev, pid, 0, &id));
	close(dev);
	cgroup_add(other, sharer);
	dev = freeze(cgroup);
	EXPECT_EQ(EBUSY, snapshot(dev, pid, 0, &id));
	close(dev);
	cgroup_remove(other);
	cgroup_remove(cgroup);
}

/* ---- the holder ---- */

TEST_F(snap, holder)
{
	unsigned int id;
	pid_t pid;
	int i;

	ASSERT_EQ(0, holder());
	ASSERT_EQ(0, snapshot(self->dev, self->pid, 0, &id));
	pid = holder();
	ASSERT_NE(0, pid);
	EXPECT_EQ(2, status_number(pid, "PPid:"));
	EXPECT_EQ(0, strcmp("1000\n", proc_text(pid, "oom_score_adj")));
	EXPECT_EQ(0, strcmp("", proc_text(pid, "cmdline")));
	EXPECT_EQ(0, strcmp("", proc_text(pid, "environ")));
	/* it takes no signal but one */
	kill(pid, SIGTERM);
	kill(pid, SIGSTOP);
	kill(pid, SIGCONT);
	ASSERT_EQ(0, thaw(self->dev));
	EXPECT_EQ(0, read_errno(self->dev, 0, id, 0, shared->memory));
	EXPECT_EQ(pid, holder());
	kill(pid, SIGKILL);
	EXPECT_EQ(ESTALE, read_errno(self->dev, 0, id, 0, shared->memory));
	for (i = 0; i < 1000 && holder(); i++)
		usleep(10000);
	EXPECT_EQ(0, holder());
	EXPECT_EQ(ESTALE, read_errno(self->dev, 0, id, 0, shared->memory));
}

TEST_F(snap, holder_goes_with_the_job)
{
	unsigned int id;

	ASSERT_EQ(0, snapshot(self->dev, self->pid, 0, &id));
	ASSERT_EQ(0, snapshot(self->dev, self->pid, 0, &id));
	EXPECT_NE(0, holder());
	close(self->dev);
	/* close() returns when it is gone */
	EXPECT_EQ(0, holder());
	EXPECT_FALSE(cgroup_frozen(self->cgroup));
	self->dev = -1;
}

TEST_HARNESS_MAIN
